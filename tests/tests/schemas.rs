//! Tables over topics whose messages have schemas: Avro with a registry, and columns that nobody declares.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cluster_tests::binary::{framed, int, text};
use cluster_tests::{Bench, Broker, Cluster, Registry, command};
use serde_json::{Value, json};

const ROW: &str = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"long"},
    {"name":"name","type":["null","string"]}]}"#;
/// The same, later.
const WIDER: &str = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"int"},
    {"name":"more","type":{"type":"array","items":"string"}},{"name":"name","type":"string"}]}"#;
const KEY: &str = r#"{"type":"record","name":"Key","fields":[{"name":"id","type":"long"}]}"#;
const ENVELOPE: &str = r#"{"type":"record","name":"Envelope","fields":[
    {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
        {"name":"id","type":"long"},
        {"name":"income","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}]},
        {"name":"born","type":["null",{"type":"int","connect.name":"io.debezium.time.Date"}]}]}]},
    {"name":"after","type":["null","Value"]},
    {"name":"op","type":"string"}]}"#;
/// Of JSON.
const EVENT: &str = r##"{"type":"object","required":["id"],"properties":{
    "name":{"type":"string"},
    "id":{"type":"integer"},
    "born":{"type":"string","format":"date"},
    "seen":{"oneOf":[{"type":"null"},{"type":"string","format":"date-time"}]},
    "tags":{"$ref":"#/definitions/tags"}},
    "definitions":{"tags":{"type":"array","items":{"type":"string"}}}}"##;
/// As Kafka Connect writes it.
const INCOME: &str = r#"{"type":"object","title":"Value","properties":{
    "city":{"connect.index":1,"oneOf":[{"type":"null"},{"type":"string"}]},
    "income":{"type":"number","connect.index":0,"connect.type":"float64"}}}"#;

fn say(broker: &Broker, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
    broker.send(topic, 0, key, value)?;
    broker.flush()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_follow_their_schemas_and_wait_for_the_registry() -> Result<()> {
    let bench = Bench::start(1).await?;
    let mut registry = Registry::start().await?;
    let topic = bench.broker.topic("rows", 1).await?;
    let one = registry.register(&format!("{topic}-value"), ROW);
    let send = |value: Vec<u8>| say(&bench.broker, &topic, None, Some(&value));
    for id in 0..100 {
        send(framed(one, &[int(id), int(1), text(format!("n{id}"))]))?;
    }
    let options = format!("'format' 'avro', 'format.registry' '{}'", registry.url());
    bench
        .create("rows", "id BIGINT, name TEXT", &topic, &options)
        .await?;
    bench.wait("rows", &topic).await?;
    let all = bench
        .rows("SELECT count(*), sum(id), max(name) FROM rows")
        .await?;
    ensure!(all == ["100 4950 n99"], "{all:?}");
    // One request when the table was made, one by its reader.
    ensure!(registry.asked() <= 2, "asked {} times", registry.asked());
    // A number that nobody knows, and bytes that are no Avro, are the fault of the message.
    send(framed(77, &[int(1)]))?;
    send(framed(one, &[int(1)]))?;
    send(b"{}".to_vec())?;
    bench.wait("rows", &topic).await?;
    let letters = bench
        .rows("SELECT reason FROM system.dead_letters WHERE table_name = 'rows' ORDER BY kafka_offset")
        .await?;
    ensure!(
        letters == ["unknown_schema", "not_avro", "not_framed"],
        "{letters:?}"
    );
    // A registry that is gone is not.
    registry.stop().await?;
    let two = registry.register(&format!("{topic}-value"), WIDER);
    send(framed(one, &[int(100), int(0)]))?;
    send(framed(two, &[int(101), int(1), text("x"), int(0), text("wide")]))?;
    bench
        .until(
            "SELECT bool_and(state = 'stalled' AND reason LIKE 'registry%') FROM system.stream_partitions",
            "a registry that is gone stalls the table",
        )
        .await?;
    let before = bench.rows("SELECT count(*), max(id) FROM rows").await?;
    ensure!(before == ["101 100"], "{before:?}");
    registry.start_again().await?;
    bench.wait("rows", &topic).await?;
    let after = bench
        .rows("SELECT id, name FROM rows WHERE id > 99 ORDER BY id")
        .await?;
    ensure!(after == ["100 NULL", "101 wide"], "{after:?}");
    let state = bench
        .rows("SELECT state, dead, applied FROM system.streams")
        .await?;
    ensure!(state == ["live 3 102"], "{state:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_called_by_guids_in_front_or_in_headers() -> Result<()> {
    let bench = Bench::start(1).await?;
    let registry = Registry::start().await?;
    let topic = bench.broker.topic("guids", 1).await?;
    let one = registry.register(&format!("{topic}-value"), ROW);
    let row = |id: i64| [int(id), int(1), text(format!("n{id}"))].concat();
    let guid = |id: u32| [vec![1], u128::from(id).to_be_bytes().to_vec()].concat();
    let say_with = |value: Vec<u8>, header: Vec<u8>| {
        let headers = [("trace", b"t".to_vec()), ("__value_schema_id", header)];
        bench.broker.say_with(&topic, value, &headers)
    };
    say_with(row(1), guid(one))?;
    say(&bench.broker, &topic, None, Some(&[guid(one), row(2)].concat()))?;
    say(&bench.broker, &topic, None, Some(&framed(one, &[row(3)])))?;
    say_with(row(4), [vec![0], one.to_be_bytes().to_vec()].concat())?;
    // One that nobody knows yet: the letter keeps the header, so it can be tried again.
    say_with(row(5), guid(2))?;
    say_with(row(6), b"what".to_vec())?;
    let options = format!("'format' 'avro', 'format.registry' '{}'", registry.url());
    bench
        .create("guids", "id BIGINT, name TEXT", &topic, &options)
        .await?;
    bench.wait("guids", &topic).await?;
    let rows = bench.rows("SELECT id, name FROM guids ORDER BY id").await?;
    ensure!(rows == ["1 n1", "2 n2", "3 n3", "4 n4"], "{rows:?}");
    let letters = bench
        .rows("SELECT reason FROM system.dead_letters WHERE table_name = 'guids' ORDER BY kafka_offset")
        .await?;
    ensure!(letters == ["unknown_schema", "not_framed"], "{letters:?}");
    registry.register(&format!("{topic}-value"), ROW);
    // What a registry did not know is asked again after ten seconds.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        bench.rows("REPLAY DEAD LETTERS FROM guids").await?;
        let rows = bench.rows("SELECT max(id), count(*) FROM guids").await?;
        if rows == ["5 5"] {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{rows:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_debezium_bring_their_columns() -> Result<()> {
    let bench = Bench::start(1).await?;
    let registry = Registry::start().await?;
    let topic = bench.broker.topic("changes", 1).await?;
    let sql = format!(
        "CREATE EXTERNAL TABLE people STORED AS KAFKA LOCATION 'kafka://{}/{topic}' \
         OPTIONS ('format' 'debezium-avro', 'format.registry' '{}')",
        bench.broker.servers(),
        registry.url()
    );
    let refused = bench.client.failure(&sql).await?;
    ensure!(refused.contains(&format!("{topic}-value")), "{refused}");
    let key = registry.register(&format!("{topic}-key"), KEY);
    let value = registry.register(&format!("{topic}-value"), ENVELOPE);
    let row =
        |id: i64, cents: u8, day: i64| [int(1), int(id), int(1), text([cents]), int(1), int(day)].concat();
    let send = |id: i64, before: Vec<u8>, after: Vec<u8>, op: &str| {
        let key = framed(key, &[int(id)]);
        say(
            &bench.broker,
            &topic,
            Some(&key),
            Some(&framed(value, &[before, after, text(op)])),
        )
    };
    send(1, int(0), row(1, 50, 1), "c")?;
    send(2, int(0), row(2, 60, 2), "r")?;
    send(1, row(1, 50, 1), row(1, 51, 1), "u")?;
    bench.client.run(&sql).await?;
    bench.wait("people", &topic).await?;
    let columns = bench
        .rows("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'people'")
        .await?;
    ensure!(
        columns == ["id Int64", "income Decimal128(9, 2)", "born Date32"],
        "{columns:?}"
    );
    let all = "SELECT id, income, born FROM people ORDER BY id";
    let rows = bench.rows(all).await?;
    ensure!(rows == ["1 0.51 1970-01-02", "2 0.60 1970-01-03"], "{rows:?}");
    send(2, row(2, 60, 2), int(0), "d")?;
    // The mark for compaction, of a row that is gone already.
    say(&bench.broker, &topic, Some(&framed(key, &[int(2)])), None)?;
    say(&bench.broker, &topic, Some(&framed(key, &[int(9)])), None)?;
    bench.wait("people", &topic).await?;
    let rows = bench.rows(all).await?;
    ensure!(rows == ["1 0.51 1970-01-02"], "{rows:?}");
    let dead = bench.rows("SELECT dead FROM system.streams").await?;
    ensure!(dead == ["0"], "{dead:?}");
    // The source gets a column, and a wider type.
    let grown = ENVELOPE.replace(r#""precision":9"#, r#""precision":12"#).replace(
        r#"{"name":"born""#,
        r#"{"name":"city","type":["null","string"]},{"name":"born""#,
    );
    let value = registry.register(&format!("{topic}-value"), &grown);
    let after = [int(1), int(3), int(0), int(1), text("Lyon"), int(0)].concat();
    let changed = framed(value, &[int(0), after, text("c")]);
    say(
        &bench.broker,
        &topic,
        Some(&framed(key, &[int(3)])),
        Some(&changed),
    )?;
    bench.wait("people", &topic).await?;
    let columns = bench
        .rows("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'people'")
        .await?;
    ensure!(
        columns == ["id Int64", "income Decimal128(12, 2)", "born Date32", "city Utf8"],
        "{columns:?}"
    );
    let rows = bench
        .rows("SELECT id, income, born, city FROM people ORDER BY id")
        .await?;
    ensure!(rows == ["1 0.51 1970-01-02 NULL", "3 NULL NULL Lyon"], "{rows:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_json_are_those_of_the_first_messages() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("json", 1).await?;
    let create = |options: &str| {
        format!(
            "CREATE EXTERNAL TABLE t STORED AS KAFKA LOCATION 'kafka://{}/{topic}' OPTIONS ({options})",
            bench.broker.servers()
        )
    };
    let plain = bench.client.failure(&create("'format' 'json'")).await?;
    ensure!(plain.contains("schema.infer"), "{plain}");
    let inferring = create("'format' 'json', 'schema.infer' 'true'");
    let empty = bench.client.failure(&inferring).await?;
    ensure!(empty.contains("columns are not known"), "{empty}");
    bench.broker.say(&topic, 0, r#"{"b":1,"a":"x"}"#)?;
    // With the frame of a registry's serializer.
    bench
        .broker
        .say(&topic, 0, "\0\0\0\0\u{7}{\"b\":1.5,\"n\":{\"x\":1}}")?;
    bench.client.run(&inferring).await?;
    bench.wait("t", &topic).await?;
    let rows = bench.rows("SELECT * FROM t ORDER BY b").await?;
    ensure!(rows == ["1.0 x NULL", "1.5 NULL {\"x\":1}"], "{rows:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_json_are_those_of_the_registry() -> Result<()> {
    let bench = Bench::start(1).await?;
    let registry = Registry::start().await?;
    let register = |subject: String, schema: &str| {
        registry.register_as(&subject, json!({"schemaType": "JSON", "schema": schema}))
    };
    let create = |table: &str, format: &str, topic: &str, more: &str| {
        format!(
            "CREATE EXTERNAL TABLE {table} STORED AS KAFKA LOCATION 'kafka://{}/{topic}' \
             OPTIONS ('format' '{format}', 'format.registry' '{}'{more})",
            bench.broker.servers(),
            registry.url()
        )
    };
    let columns = async |table: &str| {
        let of = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name =";
        bench.rows(&format!("{of} '{table}'")).await
    };
    // Messages are read without their schemas. This number nobody knows, and it is no UTF-8.
    let framed = |value: &str| framed(200, &[value.as_bytes().to_vec()]);

    let topic = bench.broker.topic("events", 1).await?;
    register(format!("{topic}-value"), EVENT);
    let seen = r#"{"id":1,"name":"a","born":"2026-01-02","seen":"2026-01-02T03:04:05Z","tags":["x"]}"#;
    say(&bench.broker, &topic, None, Some(&framed(seen)))?;
    say(&bench.broker, &topic, None, Some(br#"{"id":2}"#))?;
    bench.client.run(&create("events", "json", &topic, "")).await?;
    bench.wait("events", &topic).await?;
    let found = columns("events").await?;
    let wanted = [
        "name Utf8",
        "id Int64",
        "born Date32",
        "seen Timestamp(µs, \"UTC\")",
        "tags Utf8",
    ];
    ensure!(found == wanted, "{found:?}");
    let rows = bench
        .rows("SELECT id, name, born, CAST(seen AS BIGINT), tags FROM events ORDER BY id")
        .await?;
    let wanted = ["1 a 2026-01-02 1767323045000000 [\"x\"]", "2 NULL NULL NULL NULL"];
    ensure!(rows == wanted, "{rows:?}");
    ensure!(registry.asked() == 1, "asked {} times", registry.asked());
    register(
        format!("{topic}-value"),
        r#"{"properties":{"odd":{"type":"thing"}}}"#,
    );
    let refused = bench.client.failure(&create("odd", "json", &topic, "")).await?;
    ensure!(refused.contains("property \"odd\""), "{refused}");

    let topic = bench.broker.topic("incomes", 1).await?;
    register(
        format!("{topic}-key"),
        r#"{"properties":{"id":{"type":"integer"}}}"#,
    );
    register(format!("{topic}-value"), INCOME);
    let send = |id: i64, value: Option<&str>| {
        let key = framed(&format!(r#"{{"id":{id}}}"#));
        let value = value.map(framed);
        say(&bench.broker, &topic, Some(&key), value.as_deref())
    };
    send(1, Some(r#"{"income":1.5,"city":"Lyon"}"#))?;
    send(2, Some(r#"{"income":2.5,"city":null}"#))?;
    bench.client.run(&create("incomes", "upsert", &topic, "")).await?;
    send(2, Some(r#"{"income":3.5,"city":"Oslo"}"#))?;
    send(1, None)?;
    bench.wait("incomes", &topic).await?;
    let found = columns("incomes").await?;
    ensure!(found == ["id Int64", "income Float64", "city Utf8"], "{found:?}");
    let rows = bench.rows("SELECT id, income, city FROM incomes").await?;
    ensure!(rows == ["2 3.5 Oslo"], "{rows:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_json_get_the_columns_of_newer_schemas() -> Result<()> {
    let bench = Bench::start(1).await?;
    let registry = Registry::start().await?;
    let topic = bench.broker.topic("growing", 1).await?;
    let register = |properties: &str| {
        let schema =
            format!(r#"{{"properties":{{"id":{{"type":"integer","connect.type":"int64"}},{properties}}}}}"#);
        registry.register_as(
            &format!("{topic}-value"),
            json!({"schemaType": "JSON", "schema": schema}),
        )
    };
    let by_registry = format!("'format' 'json', 'format.registry' '{}'", registry.url());
    let of = |schema: u32, row: &str| framed(schema, &[row.as_bytes().to_vec()]);
    let small = register(r#""n":{"type":"integer","connect.type":"int32"}"#);
    say(&bench.broker, &topic, None, Some(&of(small, r#"{"id":1,"n":1}"#)))?;
    for (table, columns, more) in [
        ("growing", "", ""),
        ("declared", "(id BIGINT)", ", 'schema.evolve' 'true'"),
        ("fixed", "(id BIGINT, n INT)", ""),
    ] {
        let sql = format!(
            "CREATE EXTERNAL TABLE {table} {columns} STORED AS KAFKA LOCATION 'kafka://{}/{topic}' OPTIONS ({by_registry}{more})",
            bench.broker.servers()
        );
        bench.client.run(&sql).await?;
    }
    let large = register(r#""n":{"type":"integer"},"city":{"type":"string"}"#);
    let row = of(large, r#"{"id":2,"n":3000000000,"city":"Lyon"}"#);
    say(&bench.broker, &topic, None, Some(&row))?;
    // The frame may be in a header.
    let header = [
        vec![0],
        register(r#""seen":{"type":"boolean"}"#).to_be_bytes().to_vec(),
    ]
    .concat();
    let row = br#"{"id":3,"seen":true}"#.to_vec();
    bench
        .broker
        .say_with(&topic, row, &[("__value_schema_id", header)])?;
    for table in ["growing", "declared"] {
        bench.wait(table, &topic).await?;
        let rows = bench
            .rows(&format!("SELECT id, n, city, seen FROM {table} ORDER BY id"))
            .await?;
        let wanted = ["1 1 NULL NULL", "2 3000000000 Lyon NULL", "3 NULL NULL true"];
        ensure!(rows == wanted, "{table}: {rows:?}");
    }
    bench.wait("fixed", &topic).await?;
    let rows = bench.rows("SELECT * FROM fixed ORDER BY id").await?;
    ensure!(rows == ["1 1", "3 NULL"], "{rows:?}");
    let letters = bench
        .rows("SELECT table_name, reason FROM system.dead_letters")
        .await?;
    ensure!(letters == ["fixed out_of_range"], "{letters:?}");
    let useless = "'format' 'json', 'schema.evolve' 'true'";
    let refused = bench
        .client
        .failure(&bench.sql("useless", "id BIGINT", &topic, useless))
        .await?;
    ensure!(refused.contains("format.registry"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_of_a_registry_is_in_the_configuration() -> Result<()> {
    // me:secret
    let registry = Registry::start_for(Some("Basic bWU6c2VjcmV0")).await?;
    let url = format!("kafka.registry.url={}", registry.url());
    let flags = [
        "--set",
        &url,
        "--set",
        "kafka.registry.user=me",
        "--set",
        "kafka.registry.password=secret",
    ];
    let cluster = Cluster::start_with(1, &[], &flags).await?;
    let bench = Bench {
        client: cluster.connect().await?,
        cluster,
        broker: Broker::start()?,
    };
    let topic = bench.broker.topic("account", 1).await?;
    let id = registry.register(&format!("{topic}-value"), ROW);
    say(&bench.broker, &topic, None, Some(&framed(id, &[int(7), int(0)])))?;
    let options = format!("'format' 'avro', 'format.registry' '{}'", registry.url());
    bench.create("t", "id BIGINT", &topic, &options).await?;
    bench.wait("t", &topic).await?;
    ensure!(bench.rows("SELECT id FROM t").await? == ["7"]);
    // Another registry does not get it.
    let other = Registry::start_for(Some("Basic bWU6c2VjcmV0")).await?;
    let options = format!("'format' 'avro', 'format.registry' '{}'", other.url());
    let refused = bench
        .client
        .failure(&bench.sql("u", "id BIGINT", &topic, &options))
        .await?;
    ensure!(refused.contains("401"), "{refused}");
    // Nobody listens there.
    let options = "'format' 'avro', 'format.registry' 'http://127.0.0.1:1'";
    let silent = bench
        .client
        .failure(&bench.sql("w", "id BIGINT", &topic, options))
        .await?;
    ensure!(silent.contains("MP0086"), "{silent}");
    let secret = registry.url().replace("http://", "http://me:secret@");
    let options = format!("'format' 'avro', 'format.registry' '{secret}'");
    let refused = bench
        .client
        .failure(&bench.sql("v", "id BIGINT", &topic, &options))
        .await?;
    ensure!(refused.contains("kafka.registry.user"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_protobuf_have_the_types_of_the_registry() -> Result<()> {
    let bench = Bench::start(1).await?;
    let registry = Registry::start().await?;
    let topic = bench.broker.topic("protobuf", 1).await?;
    let colour = r#"syntax = "proto3"; package shop; enum Colour { RED = 0; BLUE = 1; }"#;
    registry.register_as("colours", json!({"schemaType": "PROTOBUF", "schema": colour}));
    let row = r#"syntax = "proto3"; package shop; import "shop/colour.proto";
        message Row { int64 id = 1; Colour colour = 2; repeated string tags = 3; }"#;
    let references = json!([{"name": "shop/colour.proto", "subject": "colours", "version": 1}]);
    let id = registry.register_as(
        &format!("{topic}-value"),
        json!({"schemaType": "PROTOBUF", "schema": row, "references": references}),
    );
    // The first message type, then id 7, colour 1 and a tag.
    let value = framed(id, &[vec![0], vec![0x08, 7, 0x10, 1, 0x1a, 1, b'a']]);
    say(&bench.broker, &topic, None, Some(&value))?;
    say(
        &bench.broker,
        &topic,
        None,
        Some(&framed(id, &[vec![0], vec![0x08]])),
    )?;
    let sql = format!(
        "CREATE EXTERNAL TABLE t STORED AS KAFKA LOCATION 'kafka://{}/{topic}' \
         OPTIONS ('format' 'protobuf', 'format.registry' '{}')",
        bench.broker.servers(),
        registry.url()
    );
    bench.client.run(&sql).await?;
    bench.wait("t", &topic).await?;
    let rows = bench.rows("SELECT id, colour, tags FROM t").await?;
    ensure!(rows == ["7 BLUE [\"a\"]"], "{rows:?}");
    let letters = bench.rows("SELECT reason FROM system.dead_letters").await?;
    ensure!(letters == ["not_protobuf"], "{letters:?}");
    Ok(())
}

/// Lines of `millpond topic consume`, by offset.
fn consume(broker: &Broker, topic: &str, flags: &[&str]) -> Result<Vec<Value>> {
    let output = command()?
        .args(["topic", "consume", topic, "--brokers", broker.servers()])
        .args(flags)
        .env("MILLPOND_KAFKA_REGISTRY_PASSWORD", "secret")
        .output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{complaint}");
    ensure!(!complaint.contains("secret"), "{complaint}");
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_shown_as_rows_by_its_schemas() -> Result<()> {
    let broker = Broker::start()?;
    let registry = Registry::start_for(Some("Basic bWU6c2VjcmV0")).await?;
    let url = registry.url();
    let by_registry = format!("format.registry={url}");
    let address = format!("kafka.registry.url={url}");
    let account = ["--set", &address, "--set", "kafka.registry.user=me"];

    let rows = broker.topic("shown", 1).await?;
    let number = registry.register(&format!("{rows}-value"), ROW);
    for value in [
        framed(number, &[int(7), int(1), text("Ada")]),
        framed(number, &[int(8), int(0)]),
        b"{}".to_vec(),
    ] {
        say(&broker, &rows, None, Some(&value))?;
    }
    let avro = [&["--format", "avro", "-o", &by_registry], &account[..]].concat();
    let lines = consume(&broker, &rows, &avro)?;
    let values: Vec<&Value> = lines.iter().map(|line| &line["value"]).collect();
    ensure!(
        values[..2] == [&json!({"id": 7, "name": "Ada"}), &json!({"id": 8, "name": null})],
        "{lines:?}"
    );
    let rejected = values[2]["rejected"].as_str().unwrap_or_default();
    ensure!(
        rejected.starts_with("not_framed: ") && values[2]["message"] == json!({}),
        "{lines:?}"
    );
    ensure!(lines[1]["offset"] == 1, "{lines:?}");

    let changes = broker.topic("shown_changes", 1).await?;
    registry.register(&format!("{changes}-key"), KEY);
    let number = registry.register(&format!("{changes}-value"), ENVELOPE);
    let row = |id: i64| [int(1), int(id), int(1), text([50]), int(0)].concat();
    for [before, after, op] in [
        [int(0), row(1), text("c")],
        [row(1), row(2), text("u")],
        [row(2), int(0), text("d")],
    ] {
        say(
            &broker,
            &changes,
            None,
            Some(&framed(number, &[before, after, op])),
        )?;
    }
    say(&broker, &changes, None, None)?;
    let debezium = [
        &["--values", "--format", "debezium-avro", "-o", &by_registry],
        &account[..],
    ];
    let lines = consume(&broker, &changes, &debezium.concat())?;
    let whole = |id: i64| json!({"id": id, "income": 0.5, "born": null});
    let expected = [
        json!([{"change": "put", "row": whole(1)}]),
        json!([{"change": "delete", "row": {"id": 1}}, {"change": "put", "row": whole(2)}]),
        json!([{"change": "delete", "row": {"id": 2, "income": 0.5}}]),
        json!({"skipped": "tombstone"}),
    ];
    ensure!(lines == expected, "{lines:?}");

    let said = consume(&broker, &rows, &[&["--format", "json"], &account[..]].concat());
    let said = said.unwrap_err().to_string();
    ensure!(said.contains("without a schema"), "{said}");
    let said = consume(&broker, &rows, &["--format", "avro", "-o", &by_registry]);
    let said = said.unwrap_err().to_string();
    ensure!(said.contains("kafka.registry.user"), "{said}");
    Ok(())
}
