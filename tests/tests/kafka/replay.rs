//! Dead letters that are tried again when what was wrong is put right.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cluster_tests::Bench;

const COLUMNS: &str = "id BIGINT, mark BYTEA, PRIMARY KEY (id)";
/// Bytes are base64 unless a table says otherwise.
const OPTIONS: &str = "'format' 'debezium-json'";
const FIX: &str = "ALTER TABLE t SET OPTIONS ('format.binary' 'hex')";
const ALL: &str = "SELECT id, encode(mark, 'hex') FROM t ORDER BY id";
const COUNTS: &str = "SELECT read, applied, filtered, dead, skipped FROM system.streams";

fn put(id: i64, mark: &str) -> String {
    format!(r#"{{"payload":{{"op":"u","before":null,"after":{{"id":{id},"mark":{mark}}},"source":{{}}}}}}"#)
}

fn delete(id: i64) -> String {
    format!(r#"{{"payload":{{"op":"d","before":{{"id":{id}}},"after":null,"source":{{}}}}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_never_takes_the_place_of_a_newer_change() -> Result<()> {
    let mut bench = Bench::start(1).await?;
    let topic = bench.broker.topic("replayed", 1).await?;
    let text = r#""a1""#;
    for message in [
        put(1, "null"),
        put(2, text),
        put(3, text),
        put(4, text),
        put(2, "null"),
        delete(4),
        "noise".to_string(),
    ] {
        bench.broker.say(&topic, 0, &message)?;
    }
    bench.create("t", COLUMNS, &topic, OPTIONS).await?;
    bench.wait("t", &topic).await?;
    ensure!(bench.rows(ALL).await? == ["1 NULL", "2 NULL"]);
    ensure!(bench.rows(COUNTS).await? == ["7 3 0 4 0"]);
    // Nothing is better yet.
    ensure!(bench.rows("REPLAY DEAD LETTERS FROM t").await? == ["0"]);
    ensure!(bench.rows(COUNTS).await? == ["7 3 0 4 0"]);
    bench.client.run(FIX).await?;
    let one = "REPLAY DEAD LETTERS FROM t WHERE kafka_offset = 1 AND reason <> 'not_object'";
    ensure!(bench.rows(one).await? == ["1"]);
    ensure!(bench.rows(ALL).await? == ["1 NULL", "2 NULL"]);
    ensure!(bench.rows(COUNTS).await? == ["7 4 0 3 0"]);
    ensure!(bench.rows("REPLAY DEAD LETTERS FROM t").await? == ["2"]);
    let (rows, counts) = (["1 NULL", "2 NULL", "3 a1"], ["7 6 0 1 0"]);
    ensure!(bench.rows(ALL).await? == rows);
    ensure!(bench.rows(COUNTS).await? == counts);
    // It was stored before the statement ended.
    bench.kill_all()?;
    bench.start_again().await?;
    bench.patiently("WAIT FOR TABLE t").await?;
    ensure!(bench.rows(ALL).await? == rows);
    ensure!(bench.rows(COUNTS).await? == counts);
    let letters = bench
        .rows("SELECT kafka_offset, reason FROM system.dead_letters")
        .await?;
    ensure!(letters == ["6 not_object"], "{letters:?}");
    bench.broker.say(&topic, 0, &put(5, text))?;
    bench.wait("t", &topic).await?;
    ensure!(bench.client.number("SELECT count(*) FROM t").await? == 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_an_append_table_become_rows() -> Result<()> {
    let bench = Bench::start(2).await?;
    let topic = bench.broker.topic("append", 2).await?;
    for (partition, value) in [(0, "1"), (0, "NA"), (1, "2"), (1, "NA"), (1, "x")] {
        bench.broker.say(&topic, partition, value)?;
    }
    let options = "'format' 'csv', 'metadata' 'partition,offset'";
    bench.create("t", "n INT", &topic, options).await?;
    bench.wait("t", &topic).await?;
    bench
        .client
        .run("ALTER TABLE t SET OPTIONS ('format.null' 'NA')")
        .await?;
    ensure!(bench.rows("REPLAY DEAD LETTERS FROM t").await? == ["2"]);
    let nulls = "SELECT kafka_partition, kafka_offset FROM t WHERE n IS NULL ORDER BY 1";
    ensure!(bench.rows(nulls).await? == ["0 1", "1 1"]);
    ensure!(bench.rows(COUNTS).await? == ["5 4 0 1 0"]);
    let refused = [
        ("REPLAY DEAD LETTERS FROM nothing", "nothing"),
        (
            "REPLAY DEAD LETTERS FROM t WHERE kafka_offset IN (SELECT n FROM t)",
            "system.dead_letters",
        ),
        ("REPLAY DEAD LETTERS FROM t WHERE colour = 1", "colour"),
        ("ALTER TABLE t SET OPTIONS ('format' 'json')", "MP0005"),
    ];
    for (statement, part) in refused {
        let text = bench.client.failure(statement).await?;
        ensure!(text.contains(part), "{statement}: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_go_on_while_letters_are_tried() -> Result<()> {
    const KEYS: i64 = 40;
    let bench = Bench::start(2).await?;
    let topic = bench.broker.topic("busy", 2).await?;
    let mut wanted = BTreeMap::new();
    let mut random = 7_u64;
    let mut send = |count: i64, wanted: &mut BTreeMap<i64, String>| -> Result<()> {
        for _ in 0..count {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (id, what) = ((random >> 33) as i64 % KEYS, (random >> 45) % 10);
            let message = match what {
                0 => {
                    wanted.remove(&id);
                    delete(id)
                }
                1..4 => {
                    wanted.insert(id, format!("{:05x}1", random >> 44));
                    put(id, &format!(r#""{}""#, wanted[&id]))
                }
                _ => {
                    wanted.insert(id, "NULL".to_string());
                    put(id, "null")
                }
            };
            let key = id.to_string();
            let partition = (id % 2) as i32;
            bench
                .broker
                .send(&topic, partition, Some(key.as_bytes()), Some(message.as_bytes()))?;
        }
        Ok(())
    };
    send(3000, &mut wanted)?;
    bench.create("t", COLUMNS, &topic, OPTIONS).await?;
    bench.wait("t", &topic).await?;
    let letters = bench
        .client
        .number("SELECT count(*) FROM system.dead_letters")
        .await?;
    ensure!(letters > 500, "only {letters} letters");
    bench.client.run(FIX).await?;
    send(20_000, &mut wanted)?;
    let replayed = bench.client.number("REPLAY DEAD LETTERS FROM t").await?;
    // Everything that was sent after the statement with the other options was read with them.
    ensure!(replayed == letters, "{replayed} of {letters}");
    bench.wait("t", &topic).await?;
    let rows = bench.client.rows(ALL).await?;
    let rows: BTreeMap<i64, String> = rows
        .into_iter()
        .map(|row| Ok((row[0].parse()?, row.into_iter().nth(1).context("no mark")?)))
        .collect::<Result<_>>()?;
    ensure!(rows == wanted, "{rows:?} are not {wanted:?}");
    ensure!(bench.rows(COUNTS).await? == ["23000 23000 0 0 0"]);
    Ok(())
}
