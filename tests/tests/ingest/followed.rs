//! A table over a topic, and what its rows must be.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, bail, ensure};
use cluster_tests::{Bench, Broker, Registry};
use rand::Rng;
use rand::rngs::StdRng;

use crate::written::{Columns, Format, Message, Writer};

/// Topic partitions of each topic.
const PARTITIONS: i64 = 3;
/// Keys that changes are about.
const KEYS: i64 = 120;

/// See the module.
pub(crate) struct Followed {
    pub(crate) table: String,
    pub(crate) topic: String,
    writer: Writer,
    rows: BTreeMap<i64, Columns>,
    /// Rows that were sent to a table whose rows stay.
    sent: i64,
    dead: i64,
    /// The last change of each topic partition, to be sent again.
    last: HashMap<i64, Message>,
}

impl Followed {
    pub(crate) async fn create(bench: &Bench, format: Format, registry: &Registry) -> Result<Self> {
        let table = format!("by_{}", format.word().replace('-', "_"));
        let topic = bench.broker.topic(&table, PARTITIONS as i32).await?;
        let writer = Writer::new(format, &topic, registry);
        let key = if format.is_change_log() {
            ", PRIMARY KEY (id)"
        } else {
            ""
        };
        let columns = format!("id BIGINT, name TEXT, n BIGINT{key}");
        let options = format!("{}, 'checkpoint.interval' '300ms'", writer.options(registry));
        bench.create(&table, &columns, &topic, &options).await?;
        Ok(Self {
            table,
            topic,
            writer,
            rows: BTreeMap::new(),
            sent: 0,
            dead: 0,
            last: HashMap::new(),
        })
    }

    /// Sends a random change, and makes it in the map.
    pub(crate) fn change(&mut self, random: &mut StdRng, broker: &Broker) -> Result<()> {
        let format = self.writer.format;
        let id = match format.is_change_log() {
            true => random.random_range(0..KEYS),
            false => self.sent,
        };
        let partition = id % PARTITIONS;
        let columns = (
            format!("name {}", random.random_range(0..1000)),
            random.random_range(-1000..1000),
        );
        let message = match random.random_range(0..100) {
            0..3 => {
                self.dead += 1;
                return self.send(broker, partition, &self.writer.bad());
            }
            _ if !format.is_change_log() => {
                self.sent += 1;
                self.rows.insert(id, columns.clone());
                return self.send(broker, partition, &self.writer.put(None, id, &columns));
            }
            // The same again: only the last change of a topic partition may be, for older ones would be undone.
            3..8 => match self.last.get(&partition) {
                Some(message) => return self.send(broker, partition, message),
                None => return Ok(()),
            },
            8..25 => {
                self.rows.remove(&id);
                self.writer.delete(id)
            }
            25..32 if format.changes_keys() && self.rows.contains_key(&id) => {
                let new = (id + PARTITIONS * random.random_range(1..10)) % KEYS;
                self.rows.remove(&id);
                self.rows.insert(new, columns.clone());
                // It is not the same when it comes again: its old key is not there any more.
                self.last.remove(&partition);
                return self.send(broker, partition, &self.writer.put(Some(id), new, &columns));
            }
            _ => {
                self.rows.insert(id, columns.clone());
                self.writer.put(None, id, &columns)
            }
        };
        self.send(broker, partition, &message)?;
        self.last.insert(partition, message);
        Ok(())
    }

    fn send(&self, broker: &Broker, partition: i64, Message { key, value }: &Message) -> Result<()> {
        broker.send(&self.topic, partition as i32, key.as_deref(), value.as_deref())
    }

    /// Fails unless the table is what the map says.
    pub(crate) async fn check(&self, bench: &Bench) -> Result<()> {
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
