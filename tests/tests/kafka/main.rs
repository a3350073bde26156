//! Tables that follow Kafka topics: what is said in SQL, and what the rows are then.

mod columns;
mod cores;
mod exactly;
mod failed;
mod fast;
mod insert;
mod letters;
mod options;
mod replay;
mod secure;
mod windows;

use anyhow::{Result, ensure};
use cluster_tests::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_a_row() -> Result<()> {
    let bench = Bench::start(2).await?;
    let topic = bench.broker.topic("sensors", 3).await?;
    for n in 0..300 {
        let value = format!(
            r#"{{"sensor":"s{}","at":"2026-01-01T00:00:{:02}Z","value":{n}.5}}"#,
            n % 7,
            n % 60
        );
        bench
            .broker
            .send(&topic, n % 3, Some(b"k"), Some(value.as_bytes()))?;
    }
    bench
        .create(
            "sensors",
            "sensor TEXT, at TIMESTAMP, value DOUBLE",
            &topic,
            "'format' 'json', 'metadata' 'partition,offset,key'",
        )
        .await?;
    bench.wait("sensors", &topic).await?;
    for mode in ["direct", "staged"] {
        bench
            .client
            .run(&format!("SET millpond.execution_mode = '{mode}'"))
            .await?;
        let all = bench
            .rows("SELECT count(*), sum(value), min(at) FROM sensors")
            .await?;
        ensure!(all == ["300 45000.0 2026-01-01T00:00:00"], "{mode}: {all:?}");
        let place = bench
            .rows("SELECT kafka_partition, count(*), max(kafka_offset), min(CAST(kafka_key AS TEXT)) FROM sensors GROUP BY 1 ORDER BY 1")
            .await?;
        ensure!(
            place == ["0 100 99 k", "1 100 99 k", "2 100 99 k"],
            "{mode}: {place:?}"
        );
        let one = bench
            .rows("SELECT kafka_partition, kafka_offset FROM sensors WHERE value = 100.5")
            .await?;
        ensure!(one == ["1 33"], "{mode}: {one:?}");
    }
    bench.broker.say(&topic, 0, r#"{"sensor":"new"}"#)?;
    bench.wait("sensors", &topic).await?;
    let new = bench
        .rows("SELECT sensor, value FROM sensors WHERE at IS NULL")
        .await?;
    ensure!(new == ["new NULL"], "{new:?}");
    let owners = bench
        .client
        .number("SELECT count(DISTINCT executor_id) FROM system.stream_partitions")
        .await?;
    ensure!(owners == 2, "topic partitions are with {owners} executors");
    let state = bench
        .rows("SELECT kind, state, partitions, lag, rows, read, applied FROM system.streams")
        .await?;
    ensure!(state == ["append live 3 0 301 301 301"], "{state:?}");
    bench.client.run("DROP TABLE sensors").await?;
    ensure!(
        bench
            .client
            .failure("SELECT * FROM sensors")
            .await?
            .contains("MP0002")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_what_the_change_log_says() -> Result<()> {
    let bench = Bench::start(2).await?;
    let topic = bench.broker.topic("customers", 1).await?;
    let change = |op: &str, before: &str, after: &str| {
        format!(r#"{{"payload":{{"op":"{op}","before":{before},"after":{after},"source":{{}}}}}}"#)
    };
    let say = |value: &str| bench.broker.say(&topic, 0, value);
    say(&change("r", "null", r#"{"id":1,"name":"a","income":10.5}"#))?;
    say(&change("c", "null", r#"{"id":2,"name":"b","income":null}"#))?;
    let columns = "id BIGINT, name TEXT, income DOUBLE, PRIMARY KEY (id)";
    bench
        .create("customers", columns, &topic, "'format' 'debezium-json'")
        .await?;
    bench.wait("customers", &topic).await?;
    let all = "SELECT id, name, income FROM customers ORDER BY id";
    ensure!(bench.rows(all).await? == ["1 a 10.5", "2 b NULL"]);
    say(&change(
        "u",
        r#"{"id":2,"name":"b"}"#,
        r#"{"id":2,"name":"B","income":1}"#,
    ))?;
    say(&change("d", r#"{"id":1,"name":"a"}"#, "null"))?;
    say(&change("c", "null", r#"{"id":3,"name":"c","income":3}"#))?;
    // The key itself changes.
    say(&change("u", r#"{"id":3}"#, r#"{"id":4,"name":"d","income":4}"#))?;
    bench.wait("customers", &topic).await?;
    ensure!(bench.rows(all).await? == ["2 B 1.0", "4 d 4.0"]);
    let join = bench
        .rows("SELECT count(*), count(DISTINCT b.name) FROM customers a JOIN customers b ON a.id = b.id")
        .await?;
    ensure!(join == ["2 2"], "{join:?}");
    // The same again changes nothing.
    say(&change("u", r#"{"id":2}"#, r#"{"id":2,"name":"B","income":1}"#))?;
    say(&change("d", r#"{"id":1}"#, "null"))?;
    bench.wait("customers", &topic).await?;
    ensure!(bench.rows(all).await? == ["2 B 1.0", "4 d 4.0"]);
    say(&change("t", "null", "null"))?;
    bench.wait("customers", &topic).await?;
    ensure!(bench.client.number("SELECT count(*) FROM customers").await? == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_cannot_become_rows_are_kept() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("mixed", 2).await?;
    for value in [r#"{"n":1}"#, "no json", r#"{"n":"x"}"#, r#"{"n":2}"#] {
        bench.broker.say(&topic, 0, value)?;
    }
    bench
        .create("kept", "n INT NOT NULL", &topic, "'format' 'json'")
        .await?;
    bench
        .create(
            "skipped",
            "n INT NOT NULL",
            &topic,
            "'format' 'json', 'on_error' 'skip'",
        )
        .await?;
    bench
        .create(
            "failing",
            "n INT NOT NULL",
            &topic,
            "'format' 'json', 'on_error' 'fail'",
        )
        .await?;
    bench
        .create(
            "full",
            "n INT NOT NULL",
            &topic,
            "'format' 'json', 'dead_letters.max' '1'",
        )
        .await?;
    bench
        .create(
            "last",
            "n INT NOT NULL",
            &topic,
            "'format' 'json', 'dead_letters.max' '1', 'dead_letters.full' 'drop_oldest'",
        )
        .await?;
    for table in ["kept", "skipped", "last"] {
        bench.wait(table, &topic).await?;
        ensure!(
            bench.rows(&format!("SELECT sum(n) FROM {table}")).await? == ["3"],
            "{table}"
        );
    }
    for (table, position) in [("failing", 1), ("full", 2)] {
        bench
            .client
            .run(&format!("WAIT FOR TABLE {table} OFFSETS '0:{position}'"))
            .await?;
        let short = bench
            .client
            .failure(&format!("WAIT FOR TABLE {table} OFFSETS '0:4' TIMEOUT '300ms'"))
            .await?;
        ensure!(short.contains("MP0083"), "{short}");
    }
    let counts = bench
        .rows(
            "SELECT table_name, state, read, applied, filtered, dead, skipped FROM system.streams ORDER BY 1",
        )
        .await?;
    ensure!(
        counts
            == [
                "failing failed 1 1 0 0 0",
                "full stalled 2 1 0 1 0",
                "kept live 4 2 0 2 0",
                "last live 4 2 0 1 1",
                "skipped live 4 2 0 0 2",
            ],
        "{counts:?}"
    );
    let letters = bench
        .rows(
            "SELECT table_name, kafka_partition, kafka_offset, reason, CAST(value AS TEXT) FROM system.dead_letters ORDER BY 1, 3",
        )
        .await?;
    ensure!(
        letters
            == [
                "full 0 1 not_json no json",
                "kept 0 1 not_json no json",
                "kept 0 2 wrong_type {\"n\":\"x\"}",
                "last 0 2 wrong_type {\"n\":\"x\"}",
            ],
        "{letters:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_work_is_refused_when_it_is_created() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("wrong", 1).await?;
    bench.broker.say(&topic, 0, "1,2")?;
    let fails = async |columns: &str, topic: &str, options: &str, parts: &[&str]| {
        let text = bench
            .client
            .failure(&bench.sql("t", columns, topic, options))
            .await?;
        for part in parts {
            ensure!(text.contains(part), "{columns} {options}: {text}");
        }
        Ok(())
    };
    fails("n INT", &topic, "'format' 'json'", &["MP0082", "offset 0"]).await?;
    fails(
        "n INT",
        &topic,
        "'format' 'json', 'scan.startup' 'offsets:0:9'",
        &["MP0080"],
    )
    .await?;
    fails(
        "n INT",
        &topic,
        "'format' 'json', 'scan.startup' 'offsets:5:0'",
        &["MP0080"],
    )
    .await?;
    fails(
        "n INT",
        &topic,
        "'format' 'csv', 'kafka.nonsense' '1'",
        &["MP0072", "nonsense"],
    )
    .await?;
    fails(
        "n INT",
        &topic,
        "'format' 'csv', 'kafka.sasl.password' 'x'",
        &["MP0034"],
    )
    .await?;
    if bench.broker.is_real() {
        fails("n INT", "nowhere", "'format' 'json'", &["MP0080", "nowhere"]).await?;
    } else {
        let since = "'format' 'json', 'scan.startup' 'timestamp:2026-01-01T00:00:00Z'";
        fails("n INT", &topic, since, &["MP0005", "embedded broker"]).await?;
    }
    let silent = "CREATE EXTERNAL TABLE t (n INT) STORED AS KAFKA LOCATION 'kafka://127.0.0.1:1/t' OPTIONS ('format' 'json')";
    let text = bench.client.failure(silent).await?;
    ensure!(text.contains("MP0081") && text.contains("127.0.0.1:1"), "{text}");
    ensure!(bench.client.number("SELECT count(*) FROM system.streams").await? == 0);
    // Nothing is in the way of one that can.
    bench
        .create("t", "a INT, b INT", &topic, "'format' 'csv'")
        .await?;
    ensure!(
        bench
            .client
            .failure("DELETE FROM t WHERE a = 1")
            .await?
            .contains("MP0005")
    );
    ensure!(bench.client.failure("CACHE TABLE t").await?.contains("MP0005"));
    ensure!(
        bench
            .client
            .failure("CREATE VIEW v AS SELECT * FROM t; CACHE TABLE v")
            .await
            .is_ok()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_table_stands_still() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("paused", 1).await?;
    bench.broker.say(&topic, 0, "1")?;
    bench.create("t", "n INT", &topic, "'format' 'csv'").await?;
    bench.wait("t", &topic).await?;
    // A pause that has ended is one.
    for _ in 0..10 {
        bench.client.run("PAUSE TABLE t").await?;
        let state = bench.rows("SELECT state FROM system.streams").await?;
        ensure!(state == ["paused"], "{state:?}");
        bench.client.run("RESUME TABLE t").await?;
    }
    bench.client.run("PAUSE TABLE t").await?;
    bench.broker.say(&topic, 0, "2")?;
    let short = bench
        .client
        .failure("WAIT FOR TABLE t OFFSETS '0:2' TIMEOUT '500ms'")
        .await?;
    ensure!(short.contains("paused"), "{short}");
    ensure!(bench.client.number("SELECT count(*) FROM t").await? == 1);
    bench.client.run("RESUME TABLE t").await?;
    bench.wait("t", &topic).await?;
    ensure!(bench.client.number("SELECT count(*) FROM t").await? == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_partitions_of_an_executor_that_is_gone_are_followed_elsewhere() -> Result<()> {
    let mut bench = Bench::start(2).await?;
    let topic = bench.broker.topic("moved", 4).await?;
    let columns = "id BIGINT, n BIGINT, PRIMARY KEY (id)";
    let send = |bench: &Bench, id: i32, n: i32| {
        let value = format!(r#"{{"op":"update","id":{id},"data":{{"n":{n}}}}}"#);
        bench.broker.send(&topic, id % 4, None, Some(value.as_bytes()))
    };
    (0..4000).try_for_each(|n| send(&bench, n % 1000, n))?;
    bench
        .create("moved", columns, &topic, "'format' 'op-json'")
        .await?;
    bench.wait("moved", &topic).await?;
    let state = "SELECT count(*), sum(n) FROM moved";
    ensure!(
        bench.rows(state).await? == ["1000 3499500"],
        "{:?}",
        bench.rows(state).await?
    );
    bench.cluster.executors[0].kill()?;
    (0..1000).try_for_each(|id| send(&bench, id, 1))?;
    bench.broker.flush()?;
    // Never fewer messages than were seen before, and never half of them.
    let rows = bench.rows("SELECT count(*), min(n) FROM moved").await?;
    ensure!(rows[0].starts_with("1000 "), "{rows:?}");
    bench.wait("moved", &topic).await?;
    ensure!(bench.rows(state).await? == ["1000 1000"]);
    let epochs = bench
        .client
        .number("SELECT max(epoch) FROM system.stream_partitions")
        .await?;
    ensure!(epochs == 2, "{epochs}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_a_column() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("headers", 1).await?;
    let headers = [("trace", "7"), ("source", "a"), ("trace", "8")];
    bench.broker.say_with(&topic, r#"{"n":1}"#, &headers)?;
    bench.broker.say(&topic, 0, r#"{"n":2}"#)?;
    let options = "'format' 'json', 'metadata' 'headers'";
    bench.create("t", "n INT", &topic, options).await?;
    bench.wait("t", &topic).await?;
    let each = "SELECT n, header['key'], CAST(header['value'] AS TEXT) FROM (SELECT n, unnest(headers) AS header FROM t)";
    for mode in ["direct", "staged"] {
        bench
            .client
            .run(&format!("SET millpond.execution_mode = '{mode}'"))
            .await?;
        let rows = bench.rows(each).await?;
        ensure!(
            rows == ["1 trace 7", "1 source a", "1 trace 8"],
            "{mode}: {rows:?}"
        );
        ensure!(
            bench
                .rows("SELECT n FROM t WHERE cardinality(headers) = 0")
                .await?
                == ["2"]
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_knows_how_far_its_last_query_saw() -> Result<()> {
    let bench = Bench::start(2).await?;
    let topic = bench.broker.topic("positions", 2).await?;
    (0..5).try_for_each(|n| bench.broker.say(&topic, n % 2, &format!(r#"{{"n":{n}}}"#)))?;
    bench.create("t", "n INT", &topic, "'format' 'json'").await?;
    bench.wait("t", &topic).await?;
    let seen = "SELECT read_positions FROM system.sessions WHERE read_positions IS NOT NULL";
    ensure!(bench.rows(seen).await?.is_empty());
    bench
        .rows("SELECT count(*) FROM t a JOIN t b ON a.n = b.n")
        .await?;
    ensure!(
        bench.rows(seen).await? == ["public.t 0:3,1:2"],
        "{:?}",
        bench.rows(seen).await?
    );
    let age = "SELECT read_age_ms FROM system.sessions WHERE read_positions IS NOT NULL";
    let age = bench.client.number(age).await?;
    ensure!(age < 60_000, "{age} ms behind");
    Ok(())
}
