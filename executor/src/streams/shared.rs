//! What is known of a topic partition outside of the thread that follows it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::datatypes::SchemaRef;
use millpond_engine::clock::now_ms;
use millpond_engine::error::{Code, Error};
use millpond_engine::shards::{ShardStore, View, statistics};
use millpond_proto::catalog::TableShard;
use millpond_proto::stream::{DeadLetter, FollowPartition, PartitionStatus, PinPartition, PinnedPartition};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::source::Source;

/// Most bytes of dead letters of a topic partition; beyond them it is as full as with too many.
const LETTER_BYTES_MAX: usize = 64 << 20;

/// See the module.
pub(super) struct Shared {
    pub(super) number: u32,
    pub(super) epoch: u64,
    /// Set when there are rows.
    views: OnceLock<Arc<RwLock<Arc<View>>>>,
    /// Somebody else follows it from now on.
    revoked: AtomicBool,
    /// Somebody else is the owner, and this one reads along.
    standby: watch::Sender<bool>,
    /// Epoch of an owner that came after this one; 0: none that is known.
    fenced: AtomicU64,
    /// Readers wait for this position: whoever followed the topic partition before may have shown as much.
    readable_from: AtomicU64,
    status: Mutex<PartitionStatus>,
    checkpoint: Mutex<Checkpoint>,
    letters: Mutex<Letters>,
    /// Letters are being tried again.
    replaying: AtomicBool,
}

/// As long as it lives, nobody else tries letters of a topic partition again.
pub(super) struct Alone(Arc<Shared>);

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.replaying.store(false, Ordering::Release);
    }
}

/// The last checkpoint.
#[derive(Default)]
struct Checkpoint {
    position: Option<u64>,
    written_at_ms: u64,
    error: String,
    /// One that was handed over is not there.
    missed: bool,
}

#[derive(Default)]
struct Letters {
    letters: VecDeque<DeadLetter>,
    bytes: usize,
    /// How often they have changed here; 0: they are those of the checkpoint that was begun with.
    version: u64,
    /// The version that was handed over to be stored last, or is stored; `None`: no checkpoint of this owner has any.
    handed: Option<u64>,
}

impl Shared {
    /// Of a topic partition of a table, of which nothing is known yet.
    pub(super) fn new(source: &Source, asked: &FollowPartition) -> Self {
        let status = PartitionStatus {
            table_id: source.table_id.clone(),
            number: asked.number,
            epoch: asked.epoch,
            state: "starting".to_string(),
            follows_version: source.version,
            ..Default::default()
        };
        Self {
            number: asked.number,
            epoch: asked.epoch,
            views: OnceLock::new(),
            revoked: AtomicBool::new(false),
            standby: watch::Sender::new(asked.standby),
            fenced: AtomicU64::new(0),
            readable_from: AtomicU64::new(u64::MAX),
            status: Mutex::new(status),
            checkpoint: Mutex::default(),
            letters: Mutex::default(),
            replaying: AtomicBool::new(false),
        }
    }

    /// Has nobody else try letters again. A statement that was given up may still be at it.
    ///
    /// # Errors
    /// [`Code::SHARD_MOVED`] if somebody does.
    pub(super) fn alone(self: &Arc<Self>) -> Result<Alone, Error> {
        if self.replaying.swap(true, Ordering::AcqRel) {
            let text = format!("letters of topic partition {} are being tried again", self.number);
            return Err(Error::new(Code::SHARD_MOVED, text).with_hint("run the statement again in a moment"));
        }
        Ok(Alone(self.clone()))
    }

    /// From now on there are rows.
    pub(super) fn set_views(&self, views: Arc<RwLock<Arc<View>>>) {
        // They are set once, by whoever begins.
        let _ = self.views.set(views);
    }

    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        // Whoever waits to become the owner need not wait any longer.
        self.standby.send_modify(|_| {});
    }

    /// True if somebody else is the owner.
    pub(super) fn is_standby(&self) -> bool {
        *self.standby.borrow()
    }

    /// Makes one that has read along the owner.
    pub(super) fn promote(&self) {
        self.standby.send_replace(false);
    }

    /// Returns when this is the owner, or will never be.
    pub(super) async fn promoted(&self) {
        let mut standby = self.standby.subscribe();
        let decided = standby.wait_for(|standby| !*standby || self.is_revoked()).await;
        tracing::trace!(decided = decided.is_ok(), "a standby waits no more");
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    pub(super) fn fence(&self, epoch: u64) {
        self.fenced.store(epoch, Ordering::Release);
        self.set_state("failed", &fenced_by(epoch));
    }

    /// Epoch of an owner that came after this one, if one is known.
    pub(super) fn fenced_by(&self) -> Option<u64> {
        Some(self.fenced.load(Ordering::Acquire)).filter(|epoch| *epoch > 0)
    }

    pub(super) fn set_checkpoint(&self, position: u64, written_at_ms: u64) {
        *self.checkpoint.lock() = Checkpoint {
            position: Some(position),
            written_at_ms,
            error: String::new(),
            missed: false,
        };
    }

    pub(super) fn miss_checkpoint(&self, error: &str) {
        self.letters.lock().handed = None;
        let mut checkpoint = self.checkpoint.lock();
        checkpoint.error = error.to_string();
        checkpoint.missed = true;
    }

    /// True if a checkpoint that was handed over since the last call could not be stored.
    pub(super) fn take_missed_checkpoint(&self) -> bool {
        std::mem::take(&mut self.checkpoint.lock().missed)
    }

    /// What readers can see; `None` before it has begun.
    pub(super) fn view(&self) -> Option<Arc<View>> {
        self.views.get().map(|views| views.read().clone())
    }

    /// Next offset after what readers can see.
    pub(super) fn position(&self) -> u64 {
        self.views.get().map_or(0, |views| views.read().position())
    }

    /// True for an owner of which nobody knows yet what its readers must see.
    pub(super) fn waits_for_adoption(&self) -> bool {
        !self.is_standby() && self.readable_from.load(Ordering::Acquire) == u64::MAX
    }

    pub(super) fn set_readable_from(&self, position: u64) {
        self.readable_from.store(position, Ordering::Release);
    }

    pub(super) fn status(&self) -> PartitionStatus {
        let checkpoint = self.checkpoint.lock();
        PartitionStatus {
            checkpoint: checkpoint.position,
            checkpoint_ms: checkpoint.written_at_ms,
            checkpoint_error: checkpoint.error.clone(),
            fenced_by: self.fenced.load(Ordering::Acquire),
            ..self.status.lock().clone()
        }
    }

    pub(super) fn set_state(&self, state: &str, reason: &str) {
        let mut status = self.status.lock();
        status.state = state.to_string();
        status.reason = reason.to_string();
    }

    pub(super) fn set_status(&self, status: PartitionStatus) {
        *self.status.lock() = status;
    }

    /// Keeps what is there now, in these columns, for a statement.
    ///
    /// # Errors
    /// [`Code::SHARD_MOVED`] if it is not that far yet, or has other columns.
    pub(super) fn pin(
        &self,
        store: &ShardStore,
        wanted: &PinPartition,
        schema: &SchemaRef,
        pin: &str,
    ) -> Result<PinnedPartition, Error> {
        let Some(views) = self.views.get() else {
            return Err(self.behind(0));
        };
        let view = views.read().clone();
        let least = wanted.at_least.max(self.readable_from.load(Ordering::Acquire));
        if view.position() < least {
            return Err(self.behind(view.position()));
        }
        if view.schema() != schema {
            return Err(self.has_other_columns());
        }
        let shard = store.pin(&view, pin);
        let shard = TableShard {
            shard: shard.id().to_string(),
            rows: shard.rows() as u64,
            bytes: view.bytes() as u64,
            statistics: statistics::encode(shard.summary()),
            ..Default::default()
        };
        Ok(PinnedPartition {
            shard: Some(shard),
            position: view.position(),
            age_ms: self.age_ms(view.position()),
        })
    }

    /// Milliseconds by which what a reader sees is behind the topic, as far as is known.
    fn age_ms(&self, position: u64) -> Option<u64> {
        let status = self.status.lock();
        let is_at_end = status.state == "live" && status.end.is_some_and(|end| end <= position);
        let last = Some(status.last_message_ms).filter(|last| *last > 0);
        match is_at_end {
            true => Some(0),
            false => last.map(|last| now_ms().saturating_sub(last)),
        }
    }

    /// Columns change in the catalog first, and here a moment later.
    fn has_other_columns(&self) -> Error {
        Error::new(
            Code::SHARD_MOVED,
            format!("topic partition {} has other columns", self.number),
        )
        .with_hint("run the statement again in a moment, and look at system.stream_partitions")
    }

    fn behind(&self, position: u64) -> Error {
        let status = self.status();
        let error = Error::new(
            Code::SHARD_MOVED,
            format!(
                "topic partition {} is read again and is at offset {position}",
                self.number
            ),
        );
        match status.reason.is_empty() {
            true => error.with_hint("run the statement again in a moment"),
            false => error
                .with_detail(format!("{}: {}", status.state, status.reason))
                .with_hint("look at system.stream_partitions"),
        }
    }

    pub(super) fn letters(&self) -> Vec<DeadLetter> {
        self.letters.lock().letters.iter().cloned().collect()
    }

    /// True if no more than `max` letters would be kept with one more.
    pub(super) fn has_room(&self, max: usize) -> bool {
        self.letters.lock().have_room(max)
    }

    /// True if more than `max` letters are kept.
    pub(super) fn is_over(&self, max: usize) -> bool {
        let letters = self.letters.lock();
        letters.letters.len() > max || letters.bytes > LETTER_BYTES_MAX
    }

    /// The version of the letters, and all of them if they are others than were handed over last.
    pub(super) fn hand_over_letters(&self) -> (u64, Option<Vec<DeadLetter>>) {
        let mut letters = self.letters.lock();
        let version = letters.version;
        let is_new = letters.handed.replace(version) != Some(version);
        (version, is_new.then(|| letters.letters.iter().cloned().collect()))
    }

    /// Has the letters of a checkpoint. An owner goes on from it; for one that reads along it is somebody else's.
    pub(super) fn restore(&self, stored: Vec<DeadLetter>) {
        let mut letters = self.letters.lock();
        letters.handed = (!self.is_standby()).then_some(letters.version);
        letters.bytes = stored.iter().map(bytes_of).sum();
        letters.letters = stored.into();
    }

    pub(super) fn keep(&self, letter: DeadLetter) {
        let mut letters = self.letters.lock();
        letters.version += 1;
        letters.bytes += bytes_of(&letter);
        letters.letters.push_back(letter);
    }

    /// Takes letters away, by their offsets, and puts others of the same offsets in their place. Says how many went.
    pub(super) fn settle(&self, gone: &BTreeSet<u64>, others: Vec<DeadLetter>) -> u64 {
        let mut letters = self.letters.lock();
        let before = letters.letters.len();
        letters.letters.retain(|letter| !gone.contains(&letter.offset));
        let went = before - letters.letters.len();
        let mut others: HashMap<u64, DeadLetter> =
            others.into_iter().map(|letter| (letter.offset, letter)).collect();
        for letter in &mut letters.letters {
            if let Some(other) = others.remove(&letter.offset) {
                *letter = other;
            }
        }
        letters.bytes = letters.letters.iter().map(bytes_of).sum();
        letters.version += 1;
        went as u64
    }

    /// Drops the oldest letters until there is room for one more, and says how many.
    pub(super) fn drop_oldest(&self, max: usize) -> u64 {
        let mut letters = self.letters.lock();
        let mut dropped = 0;
        while !letters.have_room(max)
            && let Some(oldest) = letters.letters.pop_front()
        {
            letters.version += 1;
            letters.bytes -= bytes_of(&oldest);
            dropped += 1;
        }
        dropped
    }
}

impl Letters {
    fn have_room(&self, max: usize) -> bool {
        self.letters.len() < max && self.bytes < LETTER_BYTES_MAX
    }
}

/// Why an owner has stopped.
pub(super) fn fenced_by(epoch: u64) -> String {
    format!("fenced: another executor has begun epoch {epoch}")
}

fn bytes_of(letter: &DeadLetter) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let of_headers = letter
        .headers
        .iter()
        .map(|header| header.key.len() + length(&header.value));
    length(&letter.key)
        + length(&letter.value)
        + of_headers.sum::<usize>()
        + letter.detail.len()
        + size_of::<DeadLetter>()
}
