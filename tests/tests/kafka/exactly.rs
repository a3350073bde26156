//! Rows that are sent exactly once. Only real brokers have transactions; `just kafka` has them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use cluster_tests::{Bench, PATIENCE};
use tokio::task::JoinHandle;

const PARTITIONS: i32 = 3;
const ROWS: usize = 12_000;
/// Their source has as many shards, and there are fewer cores: some are sent before others.
const SHARDS: usize = 6;
/// A transaction of so many rows takes some seconds.
const SLOW: &str = "'kafka.queue.buffering.max.messages' '100', 'kafka.linger.ms' '100'";
/// So often a case may strike between two transactions.
const ATTEMPTS: usize = 5;
const NO_OUTBOX: &str =
    "SELECT count(*) = 0 FROM information_schema.tables WHERE starts_with(table_name, '__outbox_')";

#[tokio::test(flavor = "multi_thread")]
async fn brokers_without_transactions_are_refused() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("refused", 1).await?;
    bench.create("t", "n INT", &topic, "'format' 'json'").await?;
    let create = |delivery: &str| {
        let options = format!("'format' 'json', 'sink.delivery' '{delivery}'");
        bench.sql("u", "n INT", &topic, &options)
    };
    let said = bench.client.failure(&create("twice")).await?;
    ensure!(
        said.contains("MP0072") && said.contains("at_least_once or exactly_once"),
        "{said}"
    );
    let alter = "ALTER TABLE t SET OPTIONS ('sink.delivery' 'exactly_once')";
    if bench.broker.is_real() {
        bench.client.run(alter).await?;
        return bench.client.run(&create("exactly_once")).await;
    }
    for refused in [create("exactly_once").as_str(), alter] {
        let said = bench.client.failure(refused).await?;
        ensure!(
            said.contains("MP0005") && said.contains("leave the option out"),
            "{said}"
        );
    }
    // The table is as it was.
    bench.client.run("INSERT INTO t VALUES (1)").await?;
    ensure!(bench.broker.values(&topic, 1, false)?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn inserted_rows_go_through_an_outbox() -> Result<()> {
    let bench = Bench::start(2).await?;
    if is_embedded(&bench) {
        return Ok(());
    }
    let topic = bench.broker.topic("exactly", PARTITIONS).await?;
    let columns = "id BIGINT, name TEXT, PRIMARY KEY (id)";
    let options = "'format' 'upsert', 'metadata' 'offset,timestamp', 'sink.delivery' 'exactly_once'";
    bench.create("t", columns, &topic, options).await?;
    let insert = "INSERT INTO t (id, name, kafka_timestamp) SELECT value, 'n' || value, TIMESTAMP '2026-01-01T00:00:00Z' FROM generate_series(1, 5000)";
    let explained = bench.rows(&format!("EXPLAIN {insert}")).await?.join("\n");
    ensure!(explained.contains("exactly once"), "{explained}");
    ensure!(bench.rows(insert).await? == ["5000"]);
    ensure!(bench.rows("INSERT INTO t (id) SELECT 1 WHERE false").await? == ["0"]);
    bench.client.run("WAIT FOR TABLE t").await?;
    let rows = bench
        .rows("SELECT count(*), sum(id), max(name), min(kafka_timestamp) FROM t")
        .await?;
    ensure!(rows == ["5000 12502500 n999 2026-01-01T00:00:00Z"], "{rows:?}");
    ensure!(bench.rows(NO_OUTBOX).await? == ["true"]);
    // What cannot be a message is refused before anything is sent.
    let bad = "INSERT INTO t (id, kafka_offset) SELECT value, CASE WHEN value = 4000 THEN 1 END FROM generate_series(1, 5000)";
    let said = bench.client.failure(bad).await?;
    ensure!(said.contains("kafka_offset"), "{said}");
    let said = bench.client.failure("INSERT INTO t (name) VALUES ('x')").await?;
    ensure!(said.contains("NOT NULL"), "{said}");
    ensure!(bench.broker.values(&topic, PARTITIONS, false)?.len() == 5000);
    ensure!(bench.rows(NO_OUTBOX).await? == ["true"]);
    let analyzed = bench
        .rows("EXPLAIN ANALYZE INSERT INTO t (id) VALUES (1)")
        .await?;
    ensure!(
        analyzed.iter().any(|row| row.contains("TopicSinkExec")),
        "{analyzed:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_is_lost_while_it_sends_makes_no_row_come_twice() -> Result<()> {
    until_given_up(2, async |bench| {
        let (topic, insert) = start_slowly(bench, "", "").await?;
        half_sent(bench, &topic).await?;
        bench.cluster.executors[0].kill()?;
        let sent = insert.await??;
        ensure!(sent == [[ROWS.to_string()]], "{sent:?}");
        Ok(topic)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cluster_leaves_when_all_of_it_ends_the_next_one_sends() -> Result<()> {
    until_given_up(2, async |bench| {
        let (topic, insert) = start_slowly(bench, "", "").await?;
        half_sent(bench, &topic).await?;
        bench.kill_all()?;
        insert.abort();
        bench.start_again().await?;
        bench.until(NO_OUTBOX, "what is left is not sent").await?;
        Ok(topic)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_statement_leaves_is_sent_later() -> Result<()> {
    until_given_up(1, async |bench| {
        let (topic, insert) = start_slowly(bench, "", "SET statement_timeout = '4s'").await?;
        let said = insert.await?;
        let said = said.map_or_else(|error| format!("{error:#}"), |rows| format!("{rows:?}"));
        ensure!(said.contains("took longer than 4s"), "{said}");
        bench.until(NO_OUTBOX, "what is left is not sent").await?;
        Ok(topic)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_takes_too_long_is_given_up() -> Result<()> {
    let bench = Bench::start(1).await?;
    if is_embedded(&bench) {
        return Ok(());
    }
    let short = ", 'kafka.transaction.timeout.ms' '1000'";
    let (topic, insert) = start_slowly(&bench, short, "").await?;
    let Err(said) = insert.await? else {
        bail!("it was in time");
    };
    let said = format!("{said:#}");
    ensure!(said.contains("kafka.transaction.timeout.ms"), "{said}");
    bench.until(NO_OUTBOX, "what was given up is kept").await?;
    let committed = bench.broker.values(&topic, PARTITIONS, true)?;
    ensure!(committed.len() < ROWS, "everything was sent");
    // The table goes on.
    ensure!(bench.rows("INSERT INTO t VALUES (-1)").await? == ["1"]);
    bench.client.run("WAIT FOR TABLE t").await?;
    let rows = bench.rows("SELECT count(*), count(DISTINCT n) FROM t").await?;
    let expected = committed.len() + 1;
    ensure!(rows == [format!("{expected} {expected}")], "{rows:?}");
    Ok(())
}

/// Runs a case on a new cluster, and looks at the topic it sent to. A transaction may end, and the next one of
/// its executor not have begun, when the case strikes; then nothing was given up, and the case runs again.
async fn until_given_up(executors: usize, case: impl AsyncFn(&mut Bench) -> Result<String>) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let mut bench = Bench::start(executors).await?;
        if is_embedded(&bench) {
            return Ok(());
        }
        let topic = case(&mut bench).await?;
        let in_vain = once_each(&bench, &topic)?;
        eprintln!("{in_vain} rows were sent in vain");
        if in_vain > 0 {
            return Ok(());
        }
    }
    bail!("no transaction was given up in {ATTEMPTS} runs, so nothing was tested")
}

fn is_embedded(bench: &Bench) -> bool {
    if !bench.broker.is_real() {
        eprintln!("the broker has no transactions: nothing is tested");
    }
    !bench.broker.is_real()
}

/// Starts an `INSERT` that takes some seconds, into a table with more options, after a statement of its session.
async fn start_slowly(
    bench: &Bench,
    more: &str,
    setting: &str,
) -> Result<(String, JoinHandle<Result<Vec<Vec<String>>>>)> {
    let topic = bench.broker.topic("slow", PARTITIONS).await?;
    let options = format!("'format' 'json', 'sink.delivery' 'exactly_once', {SLOW}{more}");
    bench.create("t", "n BIGINT", &topic, &options).await?;
    let source = format!(
        "CREATE TABLE source WITH (partitions = '{SHARDS}', partition_by = 'n') AS SELECT value AS n FROM generate_series(1, {ROWS})"
    );
    bench.client.run(&source).await?;
    let client = bench.cluster.connect().await?;
    if !setting.is_empty() {
        client.run(setting).await?;
    }
    let insert = tokio::spawn(async move { client.rows("INSERT INTO t SELECT n FROM source").await });
    Ok((topic, insert))
}

/// Waits until some transactions are committed, and rows of others are on their way.
async fn half_sent(bench: &Bench, topic: &str) -> Result<()> {
    let start = Instant::now();
    loop {
        let committed = bench.broker.values(topic, PARTITIONS, true)?.len();
        let all = bench.broker.values(topic, PARTITIONS, false)?.len();
        if committed > 0 && committed < all && committed < ROWS {
            eprintln!("{committed} rows are committed, {} on their way", all - committed);
            return Ok(());
        }
        ensure!(committed < ROWS, "everything is sent already");
        ensure!(start.elapsed() < PATIENCE, "nothing is sent");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every row is there once for those who read what is committed. Returns how many were sent in vain.
fn once_each(bench: &Bench, topic: &str) -> Result<usize> {
    let values = bench.broker.values(topic, PARTITIONS, true)?;
    let distinct: HashSet<&String> = values.iter().collect();
    ensure!(
        values.len() == ROWS && distinct.len() == ROWS,
        "{} messages, {} different",
        values.len(),
        distinct.len()
    );
    let all = bench.broker.values(topic, PARTITIONS, false)?.len();
    Ok(all - ROWS)
}
