//! Topic partitions that move between executors, and who gets them.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cluster_tests::{Bench, Broker, Cluster, PATIENCE, command};

const COLUMNS: &str = "id BIGINT, n BIGINT, PRIMARY KEY (id)";
const OPTIONS: &str = "'format' 'upsert', 'checkpoint.interval' '300ms'";
const PARTITIONS: i32 = 4;

/// Sets `n` of some keys.
fn put(bench: &Bench, topic: &str, keys: std::ops::Range<i64>, n: i64) -> Result<()> {
    for id in keys {
        let (key, value) = (format!("{{\"id\":{id}}}"), format!("{{\"n\":{n}}}"));
        let partition = (id % i64::from(PARTITIONS)) as i32;
        bench
            .broker
            .send(topic, partition, Some(key.as_bytes()), Some(value.as_bytes()))?;
    }
    bench.broker.flush()
}

/// Topic partitions of each executor, in the order of their names.
async fn spread(bench: &Bench) -> Result<Vec<String>> {
    bench
        .rows(
            "SELECT split_part(executor_id, '-', 2), count(*), count(standby_id) FROM system.stream_partitions \
             GROUP BY 1 ORDER BY 1",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_that_come_and_go_stop_neither_readers_nor_the_stream() -> Result<()> {
    let mut bench = Bench::start(1).await?;
    let topic = bench.broker.topic("moving", PARTITIONS).await?;
    put(&bench, &topic, 0..1000, 0)?;
    bench.create("moving", COLUMNS, &topic, OPTIONS).await?;
    bench.wait("moving", &topic).await?;

    bench.cluster.add_executor(&[])?;
    let (start, mut round) = (Instant::now(), 0);
    while spread(&bench).await? != ["1 2 0", "2 2 0"] {
        round += 1;
        put(&bench, &topic, 0..1000, round)?;
        bench.wait("moving", &topic).await?;
        let rows = bench.rows("SELECT count(*), min(n), max(n) FROM moving").await?;
        ensure!(
            rows == [format!("1000 {round} {round}")],
            "{rows:?} in round {round}"
        );
        ensure!(start.elapsed() < PATIENCE, "{:?}", spread(&bench).await?);
    }
    ensure!(round > 1, "it moved before anybody could look");

    bench.cluster.run(&["drain", "executor-1"])?;
    ensure!(spread(&bench).await? == ["2 4 0"], "{:?}", spread(&bench).await?);
    let refused = bench.cluster.run(&["drain", "executor-2"]);
    ensure!(refused.is_err(), "nobody is left");
    bench.cluster.executors[0].kill()?;
    put(&bench, &topic, 500..1500, -1)?;
    bench.wait("moving", &topic).await?;
    let rows = bench
        .rows("SELECT count(*), sum(CASE WHEN n = -1 THEN 1 ELSE 0 END) FROM moving")
        .await?;
    ensure!(rows == ["1500 1000"], "{rows:?}");

    // What the last owner has stored under its epochs is whole.
    let stored = "SELECT count(*) = 0 FROM system.stream_partitions WHERE checkpoint_offset IS DISTINCT FROM end_offset";
    bench.until(stored, "not everything is stored").await?;
    bench.kill_all()?;
    bench.start_again().await?;
    let rows = bench
        .patiently("SELECT count(*), sum(CASE WHEN n = -1 THEN 1 ELSE 0 END) FROM moving")
        .await?;
    ensure!(rows == [["1500", "1000"]], "{rows:?}");
    Ok(())
}

/// Messages that came after the pause are not seen, whoever follows the topic and however old its checkpoint is.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_table_moves_and_stands_still() -> Result<()> {
    let mut bench = Bench::start(2).await?;
    let topic = bench.broker.topic("still", PARTITIONS).await?;
    put(&bench, &topic, 0..1000, 0)?;
    bench.create("still", COLUMNS, &topic, OPTIONS).await?;
    let never = "'format' 'upsert', 'checkpoint.interval' '1h'";
    bench.create("unstored", COLUMNS, &topic, never).await?;
    put(&bench, &topic, 0..1000, 1)?;
    for table in ["still", "unstored"] {
        bench.wait(table, &topic).await?;
        bench.client.run(&format!("PAUSE TABLE {table}")).await?;
    }
    put(&bench, &topic, 0..1500, 2)?;
    bench.cluster.add_executor(&[])?;
    bench.cluster.wait_for_executors(3).await?;
    bench.cluster.run(&["drain", "executor-1"])?;
    stand_still(&bench).await?;
    // It has got some of what executor 1 had.
    let has_some =
        "SELECT count(*) > 0 FROM system.stream_partitions WHERE split_part(executor_id, '-', 2) = '3'";
    ensure!(bench.rows(has_some).await? == ["true"], "it follows nothing");
    bench.cluster.executors[2].kill()?;
    stand_still(&bench).await?;
    bench.kill_all()?;
    bench.start_again().await?;
    stand_still(&bench).await?;
    for table in ["still", "unstored"] {
        bench.client.run(&format!("RESUME TABLE {table}")).await?;
        bench.wait(table, &topic).await?;
        let rows = bench
            .rows(&format!("SELECT count(*), min(n), max(n) FROM {table}"))
            .await?;
        ensure!(rows == ["1500 2 2"], "{rows:?}");
    }
    Ok(())
}

/// Whoever follows a topic partition has its letters, and they are stored with what it stores.
#[tokio::test(flavor = "multi_thread")]
async fn letters_move_with_their_topic_partition() -> Result<()> {
    let mut bench = Bench::start(2).await?;
    let topic = bench.broker.topic("letters", 1).await?;
    for value in [r#"{"n":1}"#, "bad", "worse", r#"{"n":2}"#, "worst"] {
        bench.broker.say(&topic, 0, value)?;
    }
    bench
        .create(
            "t",
            "n INT",
            &topic,
            "'format' 'json', 'checkpoint.interval' '100ms'",
        )
        .await?;
    bench.wait("t", &topic).await?;
    let letters = "SELECT count(*), min(kafka_offset), max(kafka_offset) FROM system.dead_letters";
    ensure!(bench.rows(letters).await? == ["3 1 4"]);
    let stored = "SELECT count(*) = 1 FROM system.stream_partitions WHERE checkpoint_offset = end_offset";
    bench.until(stored, "no checkpoint").await?;
    let owner = "SELECT DISTINCT executor_id FROM system.stream_partitions";
    let first = bench.rows(owner).await?;
    let first = first.first().context("nobody follows the topic")?;
    bench.cluster.run(&["drain", first])?;
    ensure!(bench.rows(owner).await? != [first.as_str()], "it has not moved");
    // Neither twice while two of them have them, nor not at all.
    ensure!(
        bench.rows(letters).await? == ["3 1 4"],
        "{:?}",
        bench.rows(letters).await?
    );
    // After so many checkpoints those of the owner before are gone.
    for n in 3..8 {
        bench.broker.say(&topic, 0, &format!(r#"{{"n":{n}}}"#))?;
        bench.wait("t", &topic).await?;
        bench.until(stored, "no checkpoint").await?;
    }
    bench.kill_all()?;
    bench.start_again().await?;
    ensure!(bench.patiently("SELECT sum(n) FROM t").await? == [["28"]]);
    let found = bench.patiently(letters).await?;
    ensure!(found == [["3", "1", "4"]], "{found:?}");
    let counts = "SELECT read, applied, dead FROM system.streams";
    ensure!(
        bench.rows(counts).await? == ["10 7 3"],
        "{:?}",
        bench.rows(counts).await?
    );
    Ok(())
}

async fn stand_still(bench: &Bench) -> Result<()> {
    for table in ["still", "unstored"] {
        let rows = bench
            .patiently(&format!("SELECT count(*), min(n), max(n) FROM {table}"))
            .await?;
        ensure!(rows == [["1000", "1", "1"]], "{table}: {rows:?}");
    }
    let paused = "SELECT count(*) = 8 FROM system.stream_partitions WHERE state = 'paused'";
    bench.until(paused, "they do not stand still").await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_executors_with_the_role_follow_topics() -> Result<()> {
    let cluster = Cluster::start_with(1, &[], &["--roles", "query"]).await?;
    let client = cluster.connect().await?;
    let broker = Broker::start()?;
    let mut bench = Bench {
        cluster,
        client,
        broker,
    };
    let topic = bench.broker.topic("apart", PARTITIONS).await?;
    put(&bench, &topic, 0..100, 7)?;
    bench.create("apart", COLUMNS, &topic, OPTIONS).await?;
    let owners = "SELECT count(executor_id) FROM system.stream_partitions";
    ensure!(
        bench.rows(owners).await? == ["0"],
        "an executor without the role has some"
    );

    bench.cluster.add_executor(&["--roles", "ingest"])?;
    bench.wait("apart", &topic).await?;
    ensure!(spread(&bench).await? == ["2 4 0"], "{:?}", spread(&bench).await?);
    let vcores = "SELECT vcores = 0 FROM system.executors ORDER BY executor_id";
    ensure!(bench.rows(vcores).await? == ["false", "true"]);
    for mode in ["direct", "staged"] {
        bench
            .client
            .run(&format!("SET millpond.execution_mode = '{mode}'"))
            .await?;
        let rows = bench
            .rows("SELECT count(*), sum(a.n) FROM apart a JOIN apart b USING (id) WHERE b.n = 7")
            .await?;
        ensure!(rows == ["100 700"], "{mode}: {rows:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_was_brought_back_goes_on_from_newer_checkpoints() -> Result<()> {
    let mut bench = Bench::start(2).await?;
    let topic = bench.broker.topic("older", PARTITIONS).await?;
    put(&bench, &topic, 0..100, 1)?;
    bench.create("older", COLUMNS, &topic, OPTIONS).await?;
    bench.wait("older", &topic).await?;
    let state = bench.cluster.folder().join("state");
    let backup = bench.cluster.folder().join("older.backup");
    run(&["state", "backup", path(&backup)?, "--state", path(&state)?])?;

    bench.replace_executor(0)?;
    let moved = "SELECT max(epoch) > 1 AND min(checkpoint_offset) > 0 FROM system.stream_partitions";
    bench.until(moved, "no topic partition has moved").await?;
    put(&bench, &topic, 0..50, 2)?;
    bench.wait("older", &topic).await?;
    bench.kill_all()?;
    run(&[
        "state",
        "restore",
        path(&backup)?,
        "--replace",
        "--state",
        path(&state)?,
    ])?;
    bench.start_again().await?;
    let rows = bench.patiently("SELECT count(*), sum(n) FROM older").await?;
    ensure!(rows == [["100", "150"]], "{rows:?}");
    let failed = "SELECT count(*) = 0 FROM system.stream_partitions WHERE state = 'failed'";
    bench.until(failed, "a topic partition is fenced for good").await
}

fn path(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}

fn run(args: &[&str]) -> Result<()> {
    let output = command()?.args(args).output()?;
    ensure!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
