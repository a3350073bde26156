//! Random change logs through topics into tables, beside a map that says what the rows must be, while processes are killed,
//! checkpoints are damaged and tables are paused. At every stop the tables equal the map.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cluster_tests::{Bench, Broker, PATIENCE, seed};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

/// Topic partitions of each topic.
const PARTITIONS: i64 = 3;
/// Keys that changes are about.
const KEYS: i64 = 120;
/// Changes between two stops.
const CHANGES: usize = 150;

/// How a topic is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Debezium,
    Op,
    Upsert,
}

/// A table, its topic, and what its rows must be.
struct Followed {
    format: Format,
    table: String,
    topic: String,
    rows: BTreeMap<i64, (String, i64)>,
    dead: i64,
    /// The last messages, to be sent again.
    last: HashMap<i64, Vec<Message>>,
}

#[derive(Clone)]
struct Message {
    key: Option<String>,
    value: Option<String>,
}

impl Followed {
    async fn create(bench: &Bench, format: Format) -> Result<Self> {
        let (table, word) = match format {
            Format::Debezium => ("by_debezium", "debezium-json"),
            Format::Op => ("by_op", "op-json"),
            Format::Upsert => ("by_upsert", "upsert"),
        };
        let topic = bench.broker.topic(table, PARTITIONS as i32).await?;
        let servers = bench.broker.servers();
        bench
            .client
            .run(&format!(
                "CREATE EXTERNAL TABLE {table} (id BIGINT, name TEXT, n BIGINT, PRIMARY KEY (id)) STORED AS KAFKA \
                 LOCATION 'kafka://{servers}/{topic}' OPTIONS ('format' '{word}', 'checkpoint.interval' '300ms')"
            ))
            .await?;
        Ok(Self {
            format,
            table: table.to_string(),
            topic,
            rows: BTreeMap::new(),
            dead: 0,
            last: HashMap::new(),
        })
    }

    /// Sends a random change, and makes it in the map.
    fn change(&mut self, random: &mut StdRng, broker: &Broker) -> Result<()> {
        let id = random.random_range(0..KEYS);
        let partition = id % PARTITIONS;
        let name = format!("name {}", random.random_range(0..1000));
        let row = (name, random.random_range(-1000..1000));
        let message = match random.random_range(0..100) {
            0..3 => {
                self.dead += 1;
                Message {
                    key: None,
                    value: Some("{ no json".to_string()),
                }
            }
            // The same again: only the last change of a topic partition may be, for older ones would be undone.
            3..8 => match self.last.get(&partition) {
                Some(messages) => {
                    for message in messages.clone() {
                        self.send(broker, partition, &message)?;
                    }
                    return Ok(());
                }
                None => return Ok(()),
            },
            8..25 => {
                self.rows.remove(&id);
                self.delete(id)
            }
            25..32 if self.format == Format::Debezium && self.rows.contains_key(&id) => {
                let new = (id + PARTITIONS * random.random_range(1..10)) % KEYS;
                self.rows.remove(&id);
                self.rows.insert(new, row.clone());
                self.update(Some(id), new, &row)
            }
            _ => {
                self.rows.insert(id, row.clone());
                self.update(None, id, &row)
            }
        };
        let is_change = message.value.as_ref().is_none_or(|value| value != "{ no json");
        // A change of a key is not the same when it comes again: its old key is not there any more.
        let is_plain = !message
            .value
            .as_ref()
            .is_some_and(|value| value.contains(r#""before":{"id""#));
        self.send(broker, partition, &message)?;
        if is_change {
            match is_plain {
                true => self.last.insert(partition, vec![message]),
                false => self.last.remove(&partition),
            };
        }
        Ok(())
    }

    fn update(&self, old: Option<i64>, id: i64, (name, n): &(String, i64)) -> Message {
        let row = format!(r#"{{"id":{id},"name":"{name}","n":{n}}}"#);
        let value = match self.format {
            Format::Debezium => {
                let before = old.map_or("null".to_string(), |old| format!(r#"{{"id":{old}}}"#));
                format!(r#"{{"op":"u","before":{before},"after":{row}}}"#)
            }
            Format::Op => format!(r#"{{"op":"update","id":{id},"data":{{"name":"{name}","n":{n}}}}}"#),
            Format::Upsert => row,
        };
        Message {
            key: Some(format!(r#"{{"id":{id}}}"#)),
            value: Some(value),
        }
    }

    fn delete(&self, id: i64) -> Message {
        let value = match self.format {
            // The rest of the row that is deleted is of no interest.
            Format::Debezium => Some(format!(r#"{{"op":"d","before":{{ "id":{id}}},"after":null}}"#)),
            Format::Op => Some(format!(r#"{{"op":"delete","id":{id}}}"#)),
            Format::Upsert => None,
        };
        Message {
            key: Some(format!(r#"{{"id":{id}}}"#)),
            value,
        }
    }

    fn send(&self, broker: &Broker, partition: i64, message: &Message) -> Result<()> {
        let key = message.key.as_deref().map(str::as_bytes);
        let value = message.value.as_deref().map(str::as_bytes);
        broker.send(&self.topic, partition as i32, key, value)
    }

    /// Fails unless the table is what the map says.
    async fn check(&self, bench: &Bench) -> Result<()> {
        let offsets = bench.broker.offsets(&self.topic);
        let table = &self.table;
        bench
            .patiently(&format!(
                "WAIT FOR TABLE {table} OFFSETS '{offsets}' TIMEOUT '60s'"
            ))
            .await?;
        let rows = bench
            .patiently(&format!("SELECT id, name, n FROM {table} ORDER BY id"))
            .await?;
        let expected: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|(id, (name, n))| vec![id.to_string(), name.clone(), n.to_string()])
            .collect();
        if rows != expected {
            let missing: Vec<_> = expected
                .iter()
                .filter(|row| !rows.contains(row))
                .take(5)
                .collect();
            let extra: Vec<_> = rows
                .iter()
                .filter(|row| !expected.contains(row))
                .take(5)
                .collect();
            let streams = bench.patiently("SELECT * FROM system.stream_partitions").await?;
            bail!("{table}: missing {missing:?}, extra {extra:?}\n{streams:?}");
        }
        let counts = bench
            .patiently(&format!(
                "SELECT sum(read), sum(applied + filtered + dead + skipped), sum(dead) FROM system.stream_partitions WHERE table_name = '{table}'"
            ))
            .await?;
        ensure!(counts[0][0] == counts[0][1], "{table}: {counts:?}");
        ensure!(
            counts[0][2] == self.dead.to_string(),
            "{table}: {} dead letters in {counts:?}",
            self.dead
        );
        let letters = bench
            .patiently(&format!(
                "SELECT count(*) FROM system.dead_letters WHERE table_name = '{table}'"
            ))
            .await?;
        ensure!(
            letters[0][0] == self.dead.to_string(),
            "{table}: {letters:?} instead of {}",
            self.dead
        );
        Ok(())
    }
}

/// Files of checkpoints.
fn checkpoints(bench: &Bench) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(&bench.cluster.folder().join("state/streams"), &mut found)?;
    found.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "checkpoint")
    });
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        match path.is_dir() {
            true => walk(&path, found)?,
            false => found.push(path),
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KillExecutor,
    KillScheduler,
    KillAll,
    Pause,
    DamageCheckpoint,
    CrashBroker,
}

const FAULTS: [Fault; 6] = [
    Fault::KillExecutor,
    Fault::KillScheduler,
    Fault::KillAll,
    Fault::Pause,
    Fault::DamageCheckpoint,
    Fault::CrashBroker,
];

/// Tests that use the same broker, of which one stops it, take turns.
static BROKER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Makes a fault, and proves that it was one.
async fn strike(bench: &mut Bench, fault: Fault, random: &mut StdRng) -> Result<()> {
    match fault {
        Fault::KillExecutor => {
            let before = bench
                .patiently("SELECT sum(epoch) FROM system.stream_partitions")
                .await?;
            let at = random.random_range(0..2);
            bench.replace_executor(at)?;
            let later = format!(
                "SELECT sum(epoch) > {} FROM system.stream_partitions",
                before[0][0]
            );
            bench.until(&later, "no topic partition has moved").await?;
        }
        Fault::KillScheduler => bench.restart_scheduler().await?,
        Fault::KillAll => {
            bench.kill_all()?;
            bench.start_again().await?;
        }
        Fault::Pause => {
            bench.client.run("PAUSE TABLE by_op").await?;
            let paused = "SELECT state = 'paused' FROM system.streams WHERE table_name = 'by_op'";
            bench.until(paused, "the table is not paused").await?;
            bench.client.run("RESUME TABLE by_op").await?;
        }
        Fault::DamageCheckpoint => {
            let stored = "SELECT count(checkpoint_offset) > 0 FROM system.stream_partitions";
            bench.until(stored, "nothing is stored").await?;
            // Nothing may write a newer one before the damage is met.
            bench.kill_all()?;
            let mut newest: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
            for path in checkpoints(bench)? {
                newest.insert(path.parent().context("folder")?.to_path_buf(), path);
            }
            ensure!(!newest.is_empty(), "there is no checkpoint");
            for path in newest.values() {
                let mut content = std::fs::read(path)?;
                let middle = content.len() / 2;
                // Torn, or a flipped bit.
                match random.random_bool(0.5) {
                    true => content.truncate(middle),
                    false => content[middle] ^= 4,
                }
                std::fs::write(path, content)?;
            }
            bench.start_again().await?;
        }
        Fault::CrashBroker => {
            bench.broker.crash()?;
            let stalled = "SELECT count(*) > 0 FROM system.stream_partitions WHERE state = 'stalled' AND starts_with(reason, 'brokers: ')";
            bench.until(stalled, "nothing misses the broker").await?;
            bench.broker.revive().await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_equal_their_logs_whatever_happens() -> Result<()> {
    let _turn = BROKER.lock().await;
    let seed = seed()?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut bench = Bench::start(2).await?;
    let mut tables = Vec::new();
    for format in [Format::Debezium, Format::Op, Format::Upsert] {
        tables.push(Followed::create(&bench, format).await?);
    }
    // After the broker inside the test was down, its clients do not find it again.
    let is_possible = |fault: &Fault| *fault != Fault::CrashBroker || bench.broker.is_real();
    let possible: Vec<Fault> = FAULTS.into_iter().filter(is_possible).collect();
    let mut faults = possible.clone();
    faults.shuffle(&mut random);
    faults.extend((0..2).filter_map(|_| possible.choose(&mut random)));
    for fault in faults {
        let context = || format!("{fault:?} MILLPOND_SEED={seed}");
        for table in &mut tables {
            (0..CHANGES).try_for_each(|_| table.change(&mut random, &bench.broker))?;
        }
        // With some of the messages applied, and some not.
        strike(&mut bench, fault, &mut random)
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
    let mut table = Followed::create(&bench, Format::Op).await?;
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
    bench.client.run("DROP TABLE by_op").await?;
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
