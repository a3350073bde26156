//! Dead letters that are tried again.
//!
//! A standby has its own letters and knows nothing of what its owner does with others, so while letters of a table are
//! tried again none of its topic partitions moves, but for those whose owner is gone.

use std::collections::{BTreeMap, HashSet};
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

    /// Tables whose topic partitions must stay.
    pub(super) fn replaying(&self) -> HashSet<String> {
        self.inner.replaying.lock().clone()
    }

    /// Looks whether the letters of all topic partitions of a table are known: those of one that is still restored are not.
    ///
    /// # Errors
    /// [`Code::SHARD_MOVED`] if they are not.
    pub(crate) async fn check_letters(&self, table: &KafkaTable) -> Result<(), Error> {
        self.refresh_table(table).await;
        let mut partitions = table.partitions.iter();
        let unknown = partitions.find(|partition| {
            let owner = partition.owner.as_ref();
            let status = owner.and_then(|owner| self.status_of(&table.table_id, partition.number, owner));
            // Where it ends is asked when there is what was stored.
            status.is_none_or(|status| status.end.is_none())
        });
        unknown.map_or(Ok(()), |partition| {
            let text = format!("topic partition {} has not begun", partition.number);
            Err(Error::new(Code::SHARD_MOVED, text)
                .with_hint("look at system.stream_partitions, and run the statement again in a moment"))
        })
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
        let answers = join_all(asked).await;
        let settled = answers
            .iter()
            .flatten()
            .map(|replayed| replayed.settled)
            .sum::<u64>();
        match answers.into_iter().find_map(Result::err) {
            Some(error) if settled > 0 => Err(partly(settled, &error)),
            Some(error) => Err(error),
            None => Ok(settled),
        }
    }
}

/// To run it again would say nothing of those that are done.
fn partly(settled: u64, error: &Error) -> Error {
    let text = format!("{settled} letters are no dead letters any more, and others could not be tried");
    Error::new(Code::EXECUTION_FAILED, text)
        .with_detail(error.to_string())
        .with_hint("run the statement again for the others")
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
