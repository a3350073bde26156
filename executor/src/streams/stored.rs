//! A topic partition begins with what its last owner has stored, and is stored again and again.
//!
//! ```text
//! begin: restore ─► Partition ─► Follower          Follower ── Handover ─► save, one at a time
//! ```
//!
//! Sums of models are brought to the view that is stored, and stored with it.
//!
//! One task of the runtime does both, apart from the thread that reads messages. A state store that does not answer delays
//! the begin; later it makes checkpoints old, and nothing else.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use millpond_engine::clock::now_ms;
use millpond_engine::error::Error;
use millpond_engine::models::Kept;
use millpond_engine::shards::ShardStore;
use millpond_engine::streams::checkpoints::{CheckpointFolder, Failed, Restored, Saver, ToSave};
use millpond_proto::stream::{FollowPartition, LettersReplayed};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::follower::Command;
use super::metrics;
use super::partition::{Begun, Partition};
use super::replay::Answer;
use super::shared::Shared;
use super::source::Source;

/// Pauses between attempts to begin, the first and the longest.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Without a new checkpoint for so long, sums of models are told that their rows are still those of the table.
const IDLE: Duration = Duration::from_secs(30);

/// A checkpoint that is to be stored.
pub(super) struct Handover {
    pub(super) what: ToSave,
    /// Of the letters at this position, which are there only if they are others than at the last one.
    pub(super) letters_version: u64,
    /// Who waits until it is, and hears what.
    pub(super) replayed: Vec<(Answer, LettersReplayed)>,
}

/// What a topic partition is made of.
pub(super) struct Stored {
    pub(super) source: Arc<Source>,
    pub(super) store: Arc<ShardStore>,
    pub(super) runtime: Arc<RuntimeEnv>,
    /// URL of the folder of all checkpoints; empty: nothing is stored.
    pub(super) checkpoints: String,
    /// This process.
    pub(super) instance: String,
    pub(super) asked: FollowPartition,
    pub(super) shared: Arc<Shared>,
    /// Sums of models over rows that are here.
    pub(super) kept: Arc<Kept>,
}

impl Stored {
    /// Begins, hands the topic partition to its follower, and stores what that gives until it ends.
    pub(super) async fn run(self, commands: Sender<Command>) {
        let mut pause = RETRY_PAUSE.0;
        let (partition, saver, to_save) = loop {
            match self.begin().await {
                Ok(begun) => break begun,
                Err(Failed::Fenced(epoch)) => return self.shared.fence(epoch),
                Err(Failed::Store(error)) => {
                    let (table, partition) = (&self.source.name, self.asked.number);
                    tracing::warn!(table, partition, %error, "begin to follow a topic partition");
                    self.shared
                        .set_state("stalled", &format!("checkpoint: {}", error.message));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(RETRY_PAUSE.1);
            if self.shared.is_revoked() {
                return;
            }
        };
        let command = Command {
            add: vec![partition],
            ..Command::default()
        };
        if commands.send(command).is_err() {
            return;
        }
        // The thread ends when nobody can send commands any more.
        drop(commands);
        // Who goes on from a checkpoint has its letters in it.
        let (saver, letters) = match saver {
            None => (self.take_over().await, None),
            owner => (owner, Some(0)),
        };
        if let Some(saver) = saver {
            self.keep_saving(saver, letters, to_save).await;
        }
    }

    /// Becomes the owner when the scheduler says so. `None`: it never does, or nothing is stored.
    async fn take_over(&self) -> Option<Saver> {
        let folder = self.folder().ok()??;
        self.shared.promoted().await;
        while !self.shared.is_revoked() {
            match folder.take_over(self.asked.epoch, &self.instance).await {
                Ok(saver) => return Some(saver),
                Err(Failed::Fenced(epoch)) => {
                    self.shared.fence(epoch);
                    return None;
                }
                Err(Failed::Store(error)) => self.shared.miss_checkpoint(&error.message),
            }
            tokio::time::sleep(RETRY_PAUSE.0).await;
        }
        None
    }

    async fn begin(&self) -> Result<(Partition, Option<Saver>, mpsc::Receiver<Handover>), Failed> {
        let (sender, to_save) = mpsc::channel(1);
        let (mut restored, saver) = match self.folder()? {
            None => (Restored::default(), None),
            Some(folder) if self.asked.standby => (folder.peek(&self.source.live).await?, None),
            Some(folder) => {
                let restored = folder
                    .restore(self.asked.epoch, &self.instance, &self.source.live)
                    .await?;
                (restored.0, Some(restored.1))
            }
        };
        if !restored.damaged.is_empty() {
            let (table, partition) = (&self.source.name, self.asked.number);
            tracing::warn!(table, partition, checkpoints = ?restored.damaged, "passed over damaged checkpoints");
            metrics::count_damaged(table, partition, restored.damaged.len());
        }
        let sums = std::mem::take(&mut restored.sums);
        let begun = Begun {
            source: self.source.clone(),
            store: self.store.clone(),
            shared: self.shared.clone(),
            start: self.asked.start,
            paused_at: self.asked.paused_at,
            added: self.asked.added,
            checkpoints: (!self.checkpoints.is_empty()).then_some(sender),
        };
        // The index of all keys is made.
        let made = tokio::task::spawn_blocking(move || begun.restore(restored)).await;
        let partition = made.map_err(|error| Failed::Store(Error::bug(error.to_string())))?;
        let partition = partition.map_err(Failed::Store)?;
        if let Some(view) = self.shared.view() {
            self.kept.restore(&view, sums);
        }
        Ok((partition, saver, to_save))
    }

    fn folder(&self) -> Result<Option<CheckpointFolder>, Failed> {
        if self.checkpoints.is_empty() {
            return Ok(None);
        }
        let (table, partition) = (&self.source.table_id, self.asked.number);
        Ok(Some(CheckpointFolder::open(
            &self.checkpoints,
            table,
            partition,
            &self.runtime,
        )?))
    }

    /// Stores what is handed over. `letters` is the version of those that the last checkpoint has.
    async fn keep_saving(
        &self,
        mut saver: Saver,
        mut letters: Option<u64>,
        mut to_save: mpsc::Receiver<Handover>,
    ) {
        let (table, shared) = (&self.source.name, &self.shared);
        loop {
            let Handover {
                mut what,
                letters_version,
                replayed,
            } = match timeout(IDLE, to_save.recv()).await {
                Ok(Some(handover)) => handover,
                Ok(None) => return,
                Err(_) => {
                    if let Some(view) = shared.view() {
                        self.kept.at(&view).await;
                    }
                    continue;
                }
            };
            if what.letters.is_none() && letters != Some(letters_version) {
                // It counts on letters of a checkpoint before it, which could not be stored.
                shared.miss_checkpoint("the one before it could not be stored");
                continue;
            }
            let position = what.view.position();
            what.sums = self.kept.at(&what.view).await;
            match saver.save(what).await {
                Ok(()) => {
                    letters = Some(letters_version);
                    shared.set_checkpoint(position, now_ms());
                    for (answer, replayed) in replayed {
                        // One who does not wait any more need not hear it.
                        drop(answer.send(Ok(replayed)));
                    }
                }
                Err(Failed::Fenced(epoch)) => return shared.fence(epoch),
                Err(Failed::Store(error)) => {
                    tracing::warn!(table, partition = shared.number, %error, "store a checkpoint");
                    shared.miss_checkpoint(&error.message);
                }
            }
        }
    }
}
