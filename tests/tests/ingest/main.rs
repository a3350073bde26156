//! Random change logs in all formats through topics into tables, beside maps that say what the rows must be, while processes
//! are killed, come and go, checkpoints are damaged and tables are paused. At every stop the tables equal the maps.

mod faults;
mod followed;
mod written;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster_tests::{Bench, PATIENCE, Registry, seed};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use self::faults::{Fault, checkpoints};
use self::followed::Followed;
use self::written::Format;

/// Changes of a table between two stops.
const CHANGES: usize = 60;

/// Tests that use the same broker, of which one stops it, take turns.
static BROKER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn tables_equal_their_logs_whatever_happens() -> Result<()> {
    let _turn = BROKER.lock().await;
    let seed = seed()?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut bench = Bench::start(2).await?;
    let registry = Registry::start().await?;
    let mut tables = Vec::new();
    for format in Format::ALL {
        tables.push(Followed::create(&bench, format, &registry).await?);
    }
    // After the broker inside the test was down, its clients do not find it again.
    let is_possible = |fault: &Fault| *fault != Fault::CrashBroker || bench.broker.is_real();
    let possible: Vec<Fault> = Fault::ALL.into_iter().filter(is_possible).collect();
    let mut faults = possible.clone();
    faults.shuffle(&mut random);
    faults.extend((0..2).filter_map(|_| possible.choose(&mut random)));
    for fault in faults {
        let context = || format!("{fault:?} MILLPOND_SEED={seed}");
        for table in &mut tables {
            (0..CHANGES).try_for_each(|_| table.change(&mut random, &bench.broker))?;
        }
        // With some of the messages applied, and some not.
        fault
            .strike(&mut bench, &mut random)
            .await
            .with_context(context)?;
        for table in &mut tables {
            (0..CHANGES).try_for_each(|_| table.change(&mut random, &bench.broker))?;
        }
        bench.broker.flush()?;
        for table in &tables {
            table.check(&bench).await.with_context(context)?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_needs_only_the_messages_after_its_checkpoint() -> Result<()> {
    let _turn = BROKER.lock().await;
    let mut bench = Bench::start(2).await?;
    let registry = Registry::start().await?;
    let mut table = Followed::create(&bench, Format::Op, &registry).await?;
    let mut random = StdRng::seed_from_u64(1);
    (0..1000).try_for_each(|_| table.change(&mut random, &bench.broker))?;
    bench.broker.flush()?;
    table.check(&bench).await?;
    let stored = "SELECT bool_and(checkpoint_offset = position) FROM system.stream_partitions";
    bench.until(stored, "not everything is stored").await?;
    bench.broker.forget(&table.topic).await?;
    table.check(&bench).await?;
    bench.until(stored, "not everything is stored").await?;
    bench.kill_all()?;
    bench.start_again().await?;
    (0..100).try_for_each(|_| table.change(&mut random, &bench.broker))?;
    bench.broker.flush()?;
    table.check(&bench).await?;
    // What was dropped leaves nothing behind.
    bench.client.run("DROP TABLE by_op_json").await?;
    let start = Instant::now();
    while !checkpoints(&bench)?.is_empty() {
        ensure!(
            start.elapsed() < PATIENCE,
            "checkpoints stay: {:?}",
            checkpoints(&bench)?
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Rows that are sent while the broker crashes: slowly, so that it is in time.
const SENT: usize = 3_000;
const SLOW: &str = "'kafka.queue.buffering.max.messages' '100', 'kafka.linger.ms' '100', 'kafka.reconnect.backoff.max.ms' '500'";
const NO_OUTBOX: &str =
    "SELECT count(*) = 0 FROM information_schema.tables WHERE starts_with(table_name, '__outbox_')";

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_sent_while_the_broker_crashes_are_all_there() -> Result<()> {
    let _turn = BROKER.lock().await;
    let bench = Bench::start(2).await?;
    if !bench.broker.is_real() {
        eprintln!("this broker does not come back: nothing is tested");
        return Ok(());
    }
    let mut sending = Vec::new();
    for delivery in ["at_least_once", "exactly_once"] {
        let topic = bench.broker.topic("crashed", 3).await?;
        let options = format!("'format' 'json', 'sink.delivery' '{delivery}', {SLOW}");
        bench.create(delivery, "n BIGINT", &topic, &options).await?;
        let client = bench.cluster.connect().await?;
        let insert = format!("INSERT INTO {delivery} SELECT value FROM generate_series(1, {SENT})");
        let insert = tokio::spawn(async move { client.rows(&insert).await });
        sending.push((delivery, topic, insert));
    }
    let start = Instant::now();
    for (_, topic, _) in &sending {
        while bench.broker.values(topic, 3, false)?.is_empty() {
            ensure!(start.elapsed() < PATIENCE, "nothing is sent");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    bench.broker.crash()?;
    let in_vain = sending.iter().any(|(_, _, insert)| insert.is_finished());
    ensure!(!in_vain, "everything was sent before the crash");
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.broker.revive().await?;
    for (delivery, topic, insert) in sending {
        let said = insert.await??;
        ensure!(said == [[SENT.to_string()]], "{delivery}: {said:?}");
        let sent = bench.broker.values(&topic, 3, true)?;
        let different: HashSet<&String> = sent.iter().collect();
        ensure!(different.len() == SENT, "{delivery}: {} rows", different.len());
        let is_once = delivery == "at_least_once" || sent.len() == SENT;
        ensure!(is_once, "{delivery}: {} messages", sent.len());
        bench.client.run(&format!("WAIT FOR TABLE {delivery}")).await?;
        let rows = bench
            .rows(&format!("SELECT count(DISTINCT n) FROM {delivery}"))
            .await?;
        ensure!(rows == [SENT.to_string()], "{rows:?}");
    }
    bench.until(NO_OUTBOX, "an outbox is left").await
}
