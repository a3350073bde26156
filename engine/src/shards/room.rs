//! The memory that shards of a store have together, and the part of it that one of them claims.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

use crate::memory::Bytes;

/// Memory for shards: a part of the executor's, with a limit of its own.
pub(super) struct Room {
    pool: Arc<dyn MemoryPool>,
    limit_bytes: usize,
    /// Claimed by shards that the store has or will have.
    used_bytes: AtomicUsize,
}

impl Room {
    pub(super) fn new(pool: Arc<dyn MemoryPool>, limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            pool,
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
        })
    }

    pub(super) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// A claim of nothing yet.
    pub(super) fn claim(self: &Arc<Self>, table: &str) -> Claim {
        Claim {
            reservation: MemoryConsumer::new(format!("table {table}")).register(&self.pool),
            counted: AtomicUsize::new(0),
            room: self.clone(),
        }
    }

    fn count(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit_bytes);
        self.used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    fn uncount(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Memory of one shard. It is given back to the executor when this is dropped, and to the limit for tables when the
/// shard leaves the store, which can be earlier.
pub(super) struct Claim {
    room: Arc<Room>,
    reservation: MemoryReservation,
    /// The part of `used_bytes` that is this claim's.
    counted: AtomicUsize,
}

impl Claim {
    /// Bytes that are claimed.
    pub(super) fn bytes(&self) -> usize {
        self.reservation.size()
    }

    /// True if it is of this room.
    pub(super) fn is_of(&self, room: &Arc<Room>) -> bool {
        Arc::ptr_eq(&self.room, room)
    }

    /// Bytes that all claims of its room may have together.
    pub(super) fn limit_bytes(&self) -> usize {
        self.room.limit_bytes
    }

    /// Claims more; if that cannot be, says why.
    pub(super) fn grow(&self, bytes: usize) -> Result<(), String> {
        if !self.room.count(bytes) {
            let limit = Bytes(self.room.limit_bytes as u64);
            return Err(format!("the limit of {limit} for tables is reached"));
        }
        if let Err(refusal) = self.reservation.try_grow(bytes) {
            self.room.uncount(bytes);
            return Err(refusal.to_string());
        }
        self.counted.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// From now on only readers hold this memory.
    pub(super) fn leave_store(&self) {
        self.room.uncount(self.counted.swap(0, Ordering::Relaxed));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.leave_store();
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}
