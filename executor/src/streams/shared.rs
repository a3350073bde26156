//! What is known of a topic partition outside of the thread that follows it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millpond_engine::error::{Code, Error};
use millpond_engine::shards::{ShardStore, View, statistics};
use millpond_proto::catalog::TableShard;
use millpond_proto::stream::{DeadLetter, PartitionStatus, PinPartition, PinnedPartition};
use parking_lot::{Mutex, RwLock};

/// Most bytes of dead letters of a topic partition; beyond them it is as full as with too many.
const LETTER_BYTES_MAX: usize = 64 << 20;

/// See the module.
pub(super) struct Shared {
    pub(super) number: u32,
    pub(super) epoch: u64,
    views: Arc<RwLock<Arc<View>>>,
    /// Readers wait for this position: whoever followed the topic partition before may have shown as much.
    readable_from: AtomicU64,
    status: Mutex<PartitionStatus>,
    letters: Mutex<Letters>,
}

#[derive(Default)]
struct Letters {
    letters: VecDeque<DeadLetter>,
    bytes: usize,
}

impl Shared {
    pub(super) fn new(number: u32, epoch: u64, views: Arc<RwLock<Arc<View>>>) -> Self {
        Self {
            number,
            epoch,
            views,
            readable_from: AtomicU64::new(u64::MAX),
            status: Mutex::default(),
            letters: Mutex::default(),
        }
    }

    pub(super) fn set_readable_from(&self, position: u64) {
        self.readable_from.store(position, Ordering::Release);
    }

    pub(super) fn status(&self) -> PartitionStatus {
        self.status.lock().clone()
    }

    pub(super) fn set_status(&self, status: PartitionStatus) {
        *self.status.lock() = status;
    }

    /// Keeps what is there now for a statement.
    ///
    /// # Errors
    /// [`Code::SHARD_MOVED`] if it is not that far yet.
    pub(super) fn pin(
        &self,
        store: &ShardStore,
        wanted: &PinPartition,
        pin: &str,
    ) -> Result<PinnedPartition, Error> {
        let view = self.views.read().clone();
        let least = wanted.at_least.max(self.readable_from.load(Ordering::Acquire));
        if view.position() < least {
            return Err(self.behind(view.position()));
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
        })
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
        let letters = self.letters.lock();
        letters.letters.len() < max && letters.bytes < LETTER_BYTES_MAX
    }

    pub(super) fn keep(&self, letter: DeadLetter) {
        let mut letters = self.letters.lock();
        letters.bytes += bytes_of(&letter);
        letters.letters.push_back(letter);
    }

    /// Drops the oldest letter, if there is one.
    pub(super) fn drop_oldest(&self) -> bool {
        let mut letters = self.letters.lock();
        let oldest = letters.letters.pop_front();
        letters.bytes -= oldest.as_ref().map_or(0, bytes_of);
        oldest.is_some()
    }
}

fn bytes_of(letter: &DeadLetter) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    length(&letter.key) + length(&letter.value) + letter.detail.len() + size_of::<DeadLetter>()
}
