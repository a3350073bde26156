//! An executor dies while clients query tables in memory: no client sees an error or a wrong answer, and the lost
//! shards come back.
//!
//! The tables hold about `MILLPOND_LOSS_MB` MiB, 32 if it does not say. Every answer is known beforehand, because every
//! row follows from its number. The time until the cluster is whole again is printed, and how long the slowest answer
//! took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster_tests::{Client, Cluster, seed};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

const CLIENTS: u64 = 8;
/// Bytes of a row of `facts`, which is three numbers and a text, with its share of the other tables.
const ROW_BYTES: i64 = 42;
/// Rows that one statement adds.
const CHUNK: i64 = 500_000;
const KEYS: i64 = 100;
/// One in so many rows of `facts` has a partner in `marks`.
const STRIDE: i64 = 10;
/// Longest wait for the cluster to be whole.
const PATIENCE: Duration = Duration::from_secs(300);
/// Ways of execution, one for each client in turn.
const MODES: [&str; 3] = ["auto", "direct", "staged"];

#[tokio::test(flavor = "multi_thread")]
async fn clients_do_not_notice_the_loss_of_an_executor() -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed()?);
    let mut cluster = Cluster::start(3).await?;
    let client = cluster.connect().await?;
    let rows = (mebibytes()? << 20) / ROW_BYTES;
    make_tables(&client, rows).await?;
    let holders = "SELECT count(DISTINCT executor_id) FROM system.shards WHERE table_name = 'facts'";
    assert_eq!(client.number(holders).await?, 3, "every executor has rows");
    let bytes = client.number("SELECT sum(bytes) FROM system.tables").await?;

    let asked = Arc::new(Asked::default());
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (client, random) = (cluster.connect().await?, StdRng::from_rng(&mut random));
        clients.spawn(ask(client, number as usize, random, rows, asked.clone()));
    }
    asked.wait_for_more(&mut clients).await?;
    let dead = cluster.executors[1].announced("executor")?.to_string();
    let start = Instant::now();
    cluster.executors[1].kill()?;
    wait_until_whole(&client, &dead).await?;
    eprintln!(
        "{} MiB on 3 executors, one lost: whole again after {:?}",
        bytes >> 20,
        start.elapsed()
    );
    asked.wait_for_more(&mut clients).await?;
    asked.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    eprintln!(
        "{} MiB, {CLIENTS} clients: {} answers, the slowest after {} ms",
        bytes >> 20,
        asked.count.load(Ordering::SeqCst),
        asked.slowest_ms.load(Ordering::SeqCst)
    );
    assert_eq!(
        client.number("SELECT sum(n) FROM facts").await?,
        rows * (rows + 1) / 2
    );
    Ok(())
}

/// Size of the tables in memory together.
fn mebibytes() -> Result<i64> {
    match std::env::var("MILLPOND_LOSS_MB") {
        Ok(size) => size.parse().context("MILLPOND_LOSS_MB"),
        Err(_) => Ok(32),
    }
}

/// `facts` has a row for each number, `marks` one for every tenth, `names` one for each key.
async fn make_tables(client: &Client, rows: i64) -> Result<()> {
    client
        .run("CREATE TABLE facts (n BIGINT, k BIGINT, v DOUBLE, s TEXT)")
        .await?;
    client.run("CREATE TABLE marks (n BIGINT, w BIGINT)").await?;
    client
        .run(&format!(
            "CREATE TABLE names AS SELECT value AS k, 'name ' || value AS name FROM generate_series(0, {})",
            KEYS - 1
        ))
        .await?;
    for first in (1..=rows).step_by(CHUNK as usize) {
        // DISTINCT has the rows dealt to all executors.
        let numbers = format!(
            "(SELECT DISTINCT value AS n FROM generate_series({first}, {}))",
            rows.min(first + CHUNK - 1)
        );
        client
            .run(&format!(
                "INSERT INTO facts SELECT n, n % {KEYS}, n * 0.5, 'text ' || n FROM {numbers}"
            ))
            .await?;
        client
            .run(&format!(
                "INSERT INTO marks SELECT n, n * 2 FROM {numbers} WHERE n % {STRIDE} = 0"
            ))
            .await?;
    }
    Ok(())
}

/// What the clients have done, and whether they go on.
#[derive(Debug, Default)]
struct Asked {
    count: AtomicU64,
    slowest_ms: AtomicU64,
    stop: AtomicBool,
}

impl Asked {
    /// Waits until each client may have had three more answers; a client that fails ends the wait.
    async fn wait_for_more(&self, clients: &mut JoinSet<Result<()>>) -> Result<()> {
        let enough = self.count.load(Ordering::SeqCst) + 3 * CLIENTS;
        while self.count.load(Ordering::SeqCst) < enough {
            if let Some(ended) = clients.try_join_next() {
                ended??;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// Asks one question after the other and checks every answer.
async fn ask(client: Client, number: usize, mut random: StdRng, rows: i64, asked: Arc<Asked>) -> Result<()> {
    let mode = MODES[number % MODES.len()];
    client
        .run(&format!("SET millpond.execution_mode = '{mode}'"))
        .await?;
    while !asked.stop.load(Ordering::SeqCst) {
        let question = Question::draw(&mut random, rows);
        let start = Instant::now();
        let mut answer = client
            .rows(&question.sql)
            .await
            .with_context(|| format!("client {number}, {mode}: {}", question.sql))?;
        answer.sort();
        ensure!(
            answer == question.answer,
            "client {number}, {mode}: {}: {answer:?} instead of {:?}",
            question.sql,
            question.answer
        );
        asked
            .slowest_ms
            .fetch_max(start.elapsed().as_millis() as u64, Ordering::SeqCst);
        asked.count.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

/// A query and its answer, in order.
struct Question {
    sql: String,
    answer: Vec<Vec<String>>,
}

impl Question {
    fn draw(random: &mut StdRng, rows: i64) -> Self {
        let key = random.random_range(0..KEYS);
        match random.random_range(0..5) {
            0 => Self::new(
                format!("SELECT count(*) FROM facts WHERE k = {key}"),
                vec![vec![count_of(key, rows).to_string()]],
            ),
            1 => {
                let n = random.random_range(1..=rows);
                Self::new(
                    format!("SELECT k, s FROM facts WHERE n = {n}"),
                    vec![vec![(n % KEYS).to_string(), format!("text {n}")]],
                )
            }
            2 => Self::new(
                "SELECT k, count(*), sum(n) FROM facts GROUP BY k".to_string(),
                (0..KEYS).map(|key| group(key.to_string(), key, rows)).collect(),
            ),
            3 => Self::new(
                format!(
                    "SELECT name, count(*), sum(n) FROM facts JOIN names ON facts.k = names.k WHERE names.k <= {key} \
                     GROUP BY name"
                ),
                (0..=key)
                    .map(|key| group(format!("name {key}"), key, rows))
                    .collect(),
            ),
            _ => {
                let marks = rows / STRIDE;
                let sum = 3 * STRIDE * marks * (marks + 1) / 2;
                Self::new(
                    "SELECT count(*), sum(facts.n + w) FROM facts JOIN marks ON facts.n = marks.n"
                        .to_string(),
                    vec![vec![marks.to_string(), sum.to_string()]],
                )
            }
        }
    }

    fn new(sql: String, mut answer: Vec<Vec<String>>) -> Self {
        answer.sort();
        Self { sql, answer }
    }
}

/// Numbers from 1 to `rows` with this key.
fn count_of(key: i64, rows: i64) -> i64 {
    (rows - key) / KEYS + i64::from(key > 0)
}

/// Name, count and sum of the numbers with a key.
fn group(name: String, key: i64, rows: i64) -> Vec<String> {
    let count = count_of(key, rows);
    let first = if key == 0 { KEYS } else { key };
    let sum = count * first + KEYS * count * (count - 1) / 2;
    vec![name, count.to_string(), sum.to_string()]
}

/// Waits until the cluster has noticed the loss and every shard is with an executor that is there.
async fn wait_until_whole(client: &Client, dead: &str) -> Result<()> {
    let start = Instant::now();
    let gone = format!("SELECT count(*) FROM system.executors WHERE executor_id = '{dead}'");
    let lost =
        format!("SELECT count(*) FROM system.shards WHERE executor_id IS NULL OR executor_id = '{dead}'");
    while client.number(&gone).await? > 0 || client.number(&lost).await? > 0 {
        ensure!(start.elapsed() < PATIENCE, "the shards did not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
