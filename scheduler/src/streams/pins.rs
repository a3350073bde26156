//! What a statement sees of a table that follows a topic: one position of each topic partition, from start to end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::future::try_join_all;
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::{decode_schema, encode_schema, nullable};
use millpond_engine::shards::ShardId;
use millpond_proto::catalog::{KafkaTable, MemoryTable, PartitionOwner, TableShard, TopicPartition};
use millpond_proto::statement::LiveRead;
use millpond_proto::stream::{PinPartition, PinPartitions};
use parking_lot::Mutex;

use super::Streams;
use crate::shards::{RunningWrite, Shards};
use crate::state::CatalogState;

/// What a statement has read of tables that follow topics, by `schema.name`.
pub(crate) type LiveReads = Arc<Mutex<BTreeMap<String, LiveRead>>>;

/// Shards that executors keep for a statement, until this is dropped.
pub(crate) struct Pin {
    shards: Shards,
    /// By the address of the executor.
    held: HashMap<String, Vec<ShardId>>,
    /// As long as it runs, nobody else drops them.
    write: Option<RunningWrite>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let (shards, held, write) = (
            self.shards.clone(),
            std::mem::take(&mut self.held),
            self.write.take(),
        );
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            for (holder, pinned) in &held {
                if let Err(error) = shards.drop_at(holder, pinned).await {
                    tracing::debug!(%error, "drop what was kept for a statement");
                    return;
                }
            }
            write.into_iter().for_each(RunningWrite::end_clean);
        });
    }
}

impl Streams {
    /// Has the owners of a table's topic partitions keep what they have now, and answers it as a table in memory, with
    /// how far it is.
    ///
    /// # Errors
    /// [`Code::SHARD_MOVED`] if a topic partition has no owner that is far enough: a later try may find one.
    pub(crate) async fn pin(
        &self,
        name: &str,
        table: &KafkaTable,
    ) -> Result<(MemoryTable, LiveRead, Pin), Error> {
        let mut by_owner: HashMap<&str, Vec<PinPartition>> = HashMap::new();
        for partition in &table.partitions {
            let owner = partition.owner.as_ref().ok_or_else(|| nobody(name, partition))?;
            by_owner
                .entry(&owner.address)
                .or_default()
                .push(self.wanted(table, partition, owner));
        }
        let write = self.inner.shards.start_write();
        let asked = by_owner.into_iter().map(|(owner, partitions)| {
            let request = PinPartitions {
                table_id: table.table_id.clone(),
                pin: write.id().to_string(),
                partitions,
                arrow_schema: table.arrow_schema.clone(),
            };
            async move {
                let pinned = self.inner.connections.pin_partitions(owner, &request).await;
                pinned.map(|pinned| (owner, request, pinned))
            }
        });
        let answers = try_join_all(asked).await;
        let mut held: HashMap<String, Vec<ShardId>> = HashMap::new();
        let mut read = LiveRead {
            table: name.to_string(),
            age_ms: Some(0),
            ..Default::default()
        };
        let mut shards: Vec<(u32, TableShard)> = Vec::with_capacity(table.partitions.len());
        for (owner, request, pinned) in answers.map_err(|error| moved(name, error))? {
            for (wanted, pinned) in request.partitions.iter().zip(pinned.partitions) {
                self.remember(&table.table_id, wanted.number, pinned.position);
                read.positions.insert(wanted.number, pinned.position);
                read.age_ms = read.age_ms.zip(pinned.age_ms).map(|(one, other)| one.max(other));
                let shard = pinned
                    .shard
                    .ok_or_else(|| Error::bug("a pinned topic partition has no shard"))?;
                held.entry(owner.to_string())
                    .or_default()
                    .push(shard.shard.parse()?);
                shards.push((
                    wanted.number,
                    TableShard {
                        holder: owner.to_string(),
                        ..shard
                    },
                ));
            }
        }
        self.check_owners(name, table)?;
        shards.sort_by_key(|(number, _)| *number);
        let schema = decode_schema(&table.arrow_schema).map_err(Error::from_datafusion)?;
        let rows = MemoryTable {
            table_id: table.table_id.clone(),
            arrow_schema: encode_schema(&nullable(&schema)).map_err(Error::from_datafusion)?,
            shards: shards.into_iter().map(|(_, shard)| shard).collect(),
            ..Default::default()
        };
        let pin = Pin {
            shards: self.inner.shards.clone(),
            held,
            write: Some(write),
        };
        Ok((rows, read, pin))
    }

    /// An answer of one who is not the owner any more may be beyond what the owner after it has asked the brokers for, so
    /// that a later statement could see less.
    fn check_owners(&self, name: &str, table: &KafkaTable) -> Result<(), Error> {
        let version = self.inner.log.current();
        let mut tables = version.kafka_tables();
        let Some((_, now)) = tables.find(|(_, now)| now.table_id == table.table_id) else {
            // It was dropped, and is there for this statement.
            return Ok(());
        };
        let ownership = |partition: &TopicPartition| {
            let owner = partition.owner.as_ref();
            (
                partition.number,
                owner.map(|owner| (owner.address.clone(), owner.epoch)),
            )
        };
        let asked: HashMap<_, _> = table.partitions.iter().map(ownership).collect();
        let changed = now
            .partitions
            .iter()
            .find(|partition| asked.get(&partition.number) != Some(&ownership(partition).1));
        match changed {
            Some(partition) => Err(Error::new(
                Code::SHARD_MOVED,
                format!(
                    "topic partition {} of table {name} has another owner now",
                    partition.number
                ),
            )
            .with_hint("run the statement again")),
            None => Ok(()),
        }
    }

    fn wanted(&self, table: &KafkaTable, partition: &TopicPartition, owner: &PartitionOwner) -> PinPartition {
        let pinned = self.inner.pinned.lock();
        let seen = pinned.get(&(table.table_id.clone(), partition.number));
        PinPartition {
            number: partition.number,
            epoch: owner.epoch,
            at_least: seen.copied().unwrap_or(partition.start),
        }
    }

    /// Forgets what was seen of tables that there are no more.
    pub(super) fn forget_tables(&self, version: &CatalogState) {
        let tables: HashSet<&str> = version
            .kafka_tables()
            .map(|(_, table)| table.table_id.as_str())
            .collect();
        let mut pinned = self.inner.pinned.lock();
        pinned.retain(|(table, _), _| tables.contains(table.as_str()));
    }

    /// No later statement may see less.
    fn remember(&self, table_id: &str, number: u32, position: u64) {
        let mut pinned = self.inner.pinned.lock();
        let seen = pinned.entry((table_id.to_string(), number)).or_default();
        *seen = position.max(*seen);
    }
}

fn nobody(name: &str, partition: &TopicPartition) -> Error {
    Error::new(
        Code::SHARD_MOVED,
        format!(
            "topic partition {} of table {name} is followed by nobody yet",
            partition.number
        ),
    )
    .with_hint("run the statement again in a moment, and look at system.stream_partitions")
}

/// An owner that does not answer is found out by others; the statement waits for the next one.
fn moved(name: &str, error: Error) -> Error {
    match error.code {
        Code::EXECUTOR_LOST => Error::new(
            Code::SHARD_MOVED,
            format!("an executor that follows the topic of table {name} does not answer"),
        )
        .with_detail(error.message)
        .with_hint("run the statement again in a moment"),
        _ => error,
    }
}
