//! Has executors take copies of a table's shards.

use std::collections::BTreeMap;

use futures::future::join_all;
use millpond_engine::error::Error;
use millpond_proto::catalog::{ShardPlaces, TableShard};
use millpond_proto::plan::{CopyShards, ShardCopy};

use super::Shards;
use super::placement::Copies;

/// Shards that an executor is asked for at once.
const SHARDS_PER_REQUEST: usize = 32;

/// What executors need to know of a table to hold copies of its shards.
#[derive(Debug, Clone)]
pub(crate) struct TableCopies<'a> {
    /// Name for messages.
    pub(crate) table: &'a str,
    /// Identifier of the running write that protects the copies until their commit.
    pub(crate) write: &'a str,
    pub(crate) arrow_schema: &'a [u8],
    pub(crate) storage_level: &'a str,
}

impl Shards {
    /// Has copies made, and gives the new places of every shard of which at least one place is certain, with the first
    /// error if there was one.
    pub(crate) async fn copy(
        &self,
        table: &TableCopies<'_>,
        wanted: &[(&TableShard, Copies)],
    ) -> (Vec<ShardPlaces>, Option<Error>) {
        let mut by_target: BTreeMap<&str, Vec<ShardCopy>> = BTreeMap::new();
        for (shard, copies) in wanted {
            for to in &copies.to {
                by_target.entry(to).or_default().push(ShardCopy {
                    shard: shard.shard.clone(),
                    holders: copies.from.clone(),
                    snapshot: shard.snapshot.clone(),
                });
            }
        }
        let failed = join_all(by_target.into_iter().map(async |(target, shards)| {
            let sent = self.copy_to(target, table, shards).await;
            sent.err().map(|error| (target.to_string(), error))
        }))
        .await;
        let failed: Vec<(String, Error)> = failed.into_iter().flatten().collect();
        let places = wanted.iter().map(|(shard, copies)| {
            let made = copies
                .to
                .iter()
                .filter(|to| failed.iter().all(|(target, _)| target != *to));
            ShardPlaces {
                shard: shard.shard.clone(),
                holders: copies.kept.iter().chain(made).cloned().collect(),
                snapshot: shard.snapshot.clone(),
            }
        });
        let places = places.filter(|places| !places.holders.is_empty()).collect();
        (places, failed.into_iter().next().map(|(_, error)| error))
    }

    async fn copy_to(
        &self,
        target: &str,
        table: &TableCopies<'_>,
        shards: Vec<ShardCopy>,
    ) -> Result<(), Error> {
        for part in shards.chunks(SHARDS_PER_REQUEST) {
            let request = CopyShards {
                table: table.table.to_string(),
                write: table.write.to_string(),
                arrow_schema: table.arrow_schema.to_vec(),
                snapshots: self.snapshot_url().to_string(),
                shards: part.to_vec(),
                storage_level: table.storage_level.to_string(),
            };
            self.inner.connections.copy_shards(target, &request).await?;
        }
        Ok(())
    }
}
