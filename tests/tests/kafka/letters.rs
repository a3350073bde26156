//! Dead letters that go to a topic too.

use anyhow::{Context, Result, ensure};
use cluster_tests::Bench;
use futures::future::try_join_all;

const COLUMNS: &str = "id BIGINT, PRIMARY KEY (id)";
/// Where each letter is from and what is wrong, by its headers.
const HEADERS: &str = "SELECT CAST(value AS TEXT), array_to_string(array_sort(array_agg(DISTINCT concat(h['key'], '=', CAST(h['value'] AS TEXT)))), ' ')
    FROM (SELECT value, unnest(headers) AS h FROM letters) WHERE h['key'] NOT IN ('millpond.detail', 'millpond.topic') GROUP BY 1 ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_in_their_topic_before_they_are_stored() -> Result<()> {
    let mut bench = Bench::start(1).await?;
    let topic = bench.broker.topic("spoiled", 2).await?;
    let letters = bench.broker.topic("letters", 1).await?;
    bench
        .broker
        .say(&topic, 0, r#"{"op":"insert","id":1,"data":{}}"#)?;
    bench.broker.say_with(&topic, "noise", &[("trace", "7")])?;
    let options =
        format!("'format' 'op-json', 'checkpoint.interval' '100ms', 'dead_letters.topic' '{letters}'");
    bench.create("t", COLUMNS, &topic, &options).await?;
    bench.wait("t", &topic).await?;
    bench
        .broker
        .say(&topic, 0, r#"{"op":"insert","id":"x","data":{}}"#)?;
    bench.wait("t", &topic).await?;
    let stored = "SELECT count(*) = 1 FROM system.stream_partitions WHERE table_name = 't' AND position > 0 AND checkpoint_offset = position";
    bench.until(stored, "no checkpoint").await?;
    let raw = "'format' 'raw', 'metadata' 'headers'";
    bench.create("letters", "value BYTEA", &letters, raw).await?;
    bench.patiently("WAIT FOR TABLE letters").await?;
    let expected = [
        "noise millpond.offset=1 millpond.partition=0 millpond.reason=not_object millpond.table=public.t trace=7",
        r#"{"op":"insert","id":"x","data":{}} millpond.offset=2 millpond.partition=0 millpond.reason=wrong_type millpond.table=public.t"#,
    ];
    let found = bench.rows(HEADERS).await?;
    ensure!(found == expected, "{found:?}");
    // What is stored is not sent again.
    bench.kill_all()?;
    bench.start_again().await?;
    bench.broker.say(&topic, 0, "more noise")?;
    bench.wait("t", &topic).await?;
    bench.until(stored, "no checkpoint").await?;
    bench.patiently("WAIT FOR TABLE letters").await?;
    let all = bench.client.number("SELECT count(*) FROM letters").await?;
    ensure!(all == 3, "{all} letters");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_for_letters_must_be_there_and_another() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("spoiled", 1).await?;
    for (letters, said) in [("nowhere", "nowhere"), (topic.as_str(), "follows")] {
        let options = format!("'format' 'op-json', 'dead_letters.topic' '{letters}'");
        let refused = bench.create("t", COLUMNS, &topic, &options).await;
        let error = refused.err().context("the table was made")?;
        ensure!(format!("{error:#}").contains(said), "{error:#}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_change_of_no_row_is_a_letter_where_a_column_must_have_a_value() -> Result<()> {
    let mut bench = Bench::start(1).await?;
    let topic = bench.broker.topic("sparse", 1).await?;
    for message in [
        r#"{"op":"update","id":1,"data":{"n":5}}"#,
        r#"{"op":"insert","id":2,"data":{"name":"two"}}"#,
        r#"{"op":"update","id":2,"data":{"n":6}}"#,
        r#"{"op":"update","id":3,"data":{"name":"three"}}"#,
    ] {
        bench.broker.say(&topic, 0, message)?;
    }
    let columns = "id BIGINT, name TEXT NOT NULL, n BIGINT, PRIMARY KEY (id)";
    let options = "'format' 'op-json', 'checkpoint.interval' '100ms'";
    bench.create("t", columns, &topic, options).await?;
    bench.wait("t", &topic).await?;
    let rows = "SELECT id, name, n FROM t ORDER BY id";
    let letters = "SELECT kafka_offset, reason FROM system.dead_letters";
    let counts = "SELECT read, applied, dead FROM system.stream_partitions WHERE table_name = 't'";
    let expected = ["2 two 6", "3 three NULL", "0 unknown_row", "4 3 1"];
    let found = try_join_all([rows, letters, counts].map(|sql| bench.rows(sql)));
    let found = found.await?.concat();
    ensure!(found == expected, "{found:?}");
    let stored = "SELECT count(*) = 1 FROM system.stream_partitions WHERE table_name = 't' AND position = 4 AND checkpoint_offset = 4";
    bench.until(stored, "no checkpoint").await?;
    bench.kill_all()?;
    bench.start_again().await?;
    bench.wait("t", &topic).await?;
    let found = try_join_all([rows, letters, counts].map(|sql| bench.rows(sql)));
    let found = found.await?.concat();
    ensure!(found == expected, "after a restart: {found:?}");
    bench
        .until(stored, "the checkpoint that was read is not shown")
        .await?;
    // The row has come since, and is newer than the letter.
    bench
        .broker
        .say(&topic, 0, r#"{"op":"insert","id":1,"data":{"name":"one"}}"#)?;
    bench.wait("t", &topic).await?;
    bench.patiently("REPLAY DEAD LETTERS FROM t").await?;
    let found = try_join_all([rows, counts].map(|sql| bench.rows(sql)))
        .await?
        .concat();
    ensure!(
        found == ["1 one NULL", "2 two 6", "3 three NULL", "5 5 0"],
        "{found:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_moves_to_another_topic_partition_is_a_letter() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("moved_keys", 2).await?;
    let say = |partition: i32, op: &str, before: &str, after: &str| {
        let value = format!(r#"{{"op":"{op}","before":{before},"after":{after}}}"#);
        bench.broker.say(&topic, partition, &value)
    };
    say(0, "c", "null", r#"{"id":1,"n":1}"#)?;
    say(1, "c", "null", r#"{"id":2,"n":2}"#)?;
    let options = "'format' 'debezium-json'";
    bench
        .create("t", "id BIGINT, n BIGINT, PRIMARY KEY (id)", &topic, options)
        .await?;
    bench.wait("t", &topic).await?;
    // The row of key 1 is in topic partition 0.
    say(1, "u", r#"{"id":1,"n":1}"#, r#"{"id":3,"n":3}"#)?;
    say(1, "u", r#"{"id":2,"n":2}"#, r#"{"id":4,"n":4}"#)?;
    bench.wait("t", &topic).await?;
    let rows = bench.rows("SELECT id, n FROM t ORDER BY id").await?;
    ensure!(rows == ["1 1", "4 4"], "{rows:?}");
    let letters = bench
        .rows("SELECT kafka_partition, kafka_offset, reason FROM system.dead_letters WHERE table_name = 't'")
        .await?;
    ensure!(letters == ["1 1 key_change_across_partitions"], "{letters:?}");
    // As Debezium does it: the end of one key, and another.
    say(0, "d", r#"{"id":1,"n":1}"#, "null")?;
    say(1, "c", "null", r#"{"id":3,"n":3}"#)?;
    bench.wait("t", &topic).await?;
    let rows = bench.rows("SELECT id, n FROM t ORDER BY id").await?;
    ensure!(rows == ["3 3", "4 4"], "{rows:?}");
    Ok(())
}
