//! Dead letters that are tried again.
//!
//! A standby has its own letters and knows nothing of what its owner does with others, so while letters of a table are
//! tried again none of its topic partitions moves; one that moves already is waited for by whoever asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use millpond_engine::error::{Code, Error};
use millpond_proto::catalog::{KafkaTable, TopicPartition};
use millpond_proto::stream::ReplayLetters;

use super::{Inner, Streams};

/// As long as it lives, topic partitions of a table stay where they are.
pub(crate) struct Replaying {
    streams: Arc<Inner>,
    table_id: String,
}

impl Drop for Replaying {
    fn drop(&mut self) {
        self.streams.replaying.lock().remove(&self.table_id);
    }
}

impl Streams {
    /// Keeps the topic partitions of a table where they are. A placement may still be under way: see [`Streams::placed`].
    ///
    /// # Errors
    /// Somebody else does the same.
    pub(crate) fn start_to_replay(&self, table_id: &str, name: &str) -> Result<Replaying, Error> {
        if !self.inner.replaying.lock().insert(table_id.to_string()) {
            return Err(Error::user(
                Code::STATE_CONFLICT,
                format!("dead letters of {name} are being tried again"),
            )
            .with_hint("wait until that statement is done"));
        }
        Ok(Replaying {
            streams: self.inner.clone(),
            table_id: table_id.to_string(),
        })
    }

    /// Returns when the placement that is under way now, if there is one, is in the catalog.
    pub(crate) async fn placed(&self) {
        drop(self.inner.placing.lock().await);
    }

    /// True for a table whose topic partitions must stay.
    pub(super) fn is_replaying(&self, table_id: &str) -> bool {
        self.inner.replaying.lock().contains(table_id)
    }

    /// Has the owners of topic partitions try letters again, and says how many are none any more.
    ///
    /// # Errors
    /// A topic partition that moves or has no owner; the first error of an owner. What others have done stays.
    pub(crate) async fn replay(
        &self,
        table: &KafkaTable,
        mut letters: BTreeMap<u32, Vec<u64>>,
    ) -> Result<u64, Error> {
        let mut requests = Vec::new();
        for partition in &table.partitions {
            let Some(offsets) = letters.remove(&partition.number) else {
                continue;
            };
            let owner = partition.owner.as_ref().filter(|_| partition.standby.is_none());
            let owner = owner.ok_or_else(|| moving(partition))?;
            let request = ReplayLetters {
                table_id: table.table_id.clone(),
                settings: table.settings.clone(),
                number: partition.number,
                epoch: owner.epoch,
                offsets,
            };
            requests.push((owner.address.as_str(), request));
        }
        let asked = requests
            .iter()
            .map(|(address, request)| self.inner.connections.replay_letters(address, request));
        let mut settled = 0;
        for answer in join_all(asked).await {
            settled += answer?.settled;
        }
        Ok(settled)
    }
}

fn moving(partition: &TopicPartition) -> Error {
    Error::new(
        Code::SHARD_MOVED,
        format!(
            "topic partition {} is moving to another executor",
            partition.number
        ),
    )
    .with_hint("run the statement again in a moment")
}
