//! The shards of one process, and which of them are in memory.
//!
//! A shard that is written claims memory batch by batch ([`Room`]). When there is none, columns of shards that are
//! elsewhere ([`ColumnCache`]) give way first, and then shards that may leave memory move to disk, those first that were not read for longest, and the writer goes on; readers that hold such a shard keep
//! its memory until they are done. If that is not enough the new shard itself goes to disk, or, where its table must
//! be in memory, the statement fails.
//!
//! Moving happens in the task that needs the room and blocks its thread while it writes: that task could not go on
//! anyway, and others find theirs. One moves at a time; whoever waits for it looks again for room first.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use parking_lot::Mutex;

use super::cache::ColumnCache;
use super::room::{Claim, Room};
use super::shard::{Shard, ShardId};
use super::writer::Writer;
use crate::error::{Code, Error};
use crate::memory::Bytes;

/// What the scheduler asks about a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The shard.
    pub id: ShardId,
    /// Write that made it.
    pub write: String,
    /// Number of rows.
    pub rows: usize,
    /// Bytes of its buffers; 0 if it is on disk.
    pub bytes: usize,
    /// Times it was read.
    pub hits: u64,
    /// Milliseconds since it was stored.
    pub age_ms: u64,
    /// Bytes of its file on disk; 0 if it is in memory.
    pub disk_bytes: usize,
}

/// All shards of a process. Reads take no lock that a write holds for long.
pub struct ShardStore {
    shards: DashMap<ShardId, Arc<Shard>>,
    room: Arc<Room>,
    /// Memory of live tables: the same, or of their own.
    live_room: Arc<Room>,
    /// Columns of shards that are elsewhere.
    cache: ColumnCache,
    /// Where files go; without it everything is in memory.
    folder: Option<PathBuf>,
    /// Counts reads and writes, to tell which was the last.
    events: AtomicU64,
    spilled: AtomicU64,
    spilling: Mutex<()>,
}

impl fmt::Debug for ShardStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardStore")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

impl ShardStore {
    /// An empty store that takes its memory from `pool`, at most `limit_bytes`.
    pub fn new(pool: Arc<dyn MemoryPool>, limit_bytes: usize) -> Self {
        let room = Room::new(pool, limit_bytes);
        Self {
            shards: DashMap::new(),
            cache: ColumnCache::new(room.clone(), 0),
            live_room: room.clone(),
            room,
            folder: None,
            events: AtomicU64::new(0),
            spilled: AtomicU64::new(0),
            spilling: Mutex::new(()),
        }
    }

    /// The same with a folder, which is there and nobody else's, for shards that are not in memory.
    pub fn with_folder(self, folder: PathBuf) -> Self {
        Self {
            folder: Some(folder),
            ..self
        }
    }

    /// The same with memory for live tables that nothing else takes, at most `limit_bytes`.
    pub fn with_live_room(self, limit_bytes: usize) -> Self {
        let pool = Arc::new(GreedyMemoryPool::new(limit_bytes));
        Self {
            live_room: Room::new(pool, limit_bytes),
            ..self
        }
    }

    /// The same with room, within the limit, for columns of shards that are elsewhere.
    pub fn with_column_cache(self, limit_bytes: usize) -> Self {
        Self {
            cache: ColumnCache::new(self.room.clone(), limit_bytes),
            ..self
        }
    }

    /// Starts a shard of a table; `table` names it in errors.
    pub fn start(&self, table: &str, write: &str, schema: SchemaRef) -> Writer<'_> {
        self.start_copy(ShardId::random(), table, write, schema)
    }

    /// Starts a shard that is elsewhere too.
    pub fn start_copy(&self, id: ShardId, table: &str, write: &str, schema: SchemaRef) -> Writer<'_> {
        Writer::new(self, id, table, write, schema)
    }

    /// A shard, to be read.
    pub fn read(&self, id: ShardId) -> Option<Arc<Shard>> {
        let shard = self.shards.get(&id)?.clone();
        shard.about().hits.fetch_add(1, Ordering::Relaxed);
        shard.about().used_at.store(self.next_event(), Ordering::Relaxed);
        Some(shard)
    }

    /// A shard, to look at what is known of it.
    pub(super) fn find(&self, id: ShardId) -> Option<Arc<Shard>> {
        Some(self.shards.get(&id)?.clone())
    }

    /// True if a shard is here.
    pub fn contains(&self, id: ShardId) -> bool {
        self.shards.contains_key(&id)
    }

    /// Forgets shards; their memory is free, and their files are gone, when their last reader is done. Unknown ones
    /// are passed over.
    pub fn drop_shards(&self, ids: impl IntoIterator<Item = ShardId>) -> usize {
        ids.into_iter()
            .filter_map(|id| self.shards.remove(&id))
            .map(|(_, shard)| shard.leave_store())
            .count()
    }

    /// Every shard there is.
    pub fn list(&self) -> Vec<Stored> {
        self.shards
            .iter()
            .map(|entry| {
                let (shard, about) = (entry.value(), entry.value().about());
                Stored {
                    id: shard.id(),
                    write: about.write.clone(),
                    rows: shard.rows(),
                    bytes: shard.bytes(),
                    hits: about.hits.load(Ordering::Relaxed),
                    age_ms: u64::try_from(about.stored_at.elapsed().as_millis()).unwrap_or(u64::MAX),
                    disk_bytes: shard.disk_bytes(),
                }
            })
            .collect()
    }

    /// Bytes of memory of all shards, with those that are being written.
    pub fn bytes(&self) -> usize {
        self.room.used_bytes()
    }

    /// Bytes of memory of columns of shards that are elsewhere; they are part of [`ShardStore::bytes`].
    pub fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Forgets columns of shards that are elsewhere, if nobody has read them for this long.
    pub fn forget_unused(&self, idle: Duration) {
        self.cache.forget_unused(idle);
    }

    /// Bytes of files of all shards.
    pub fn disk_bytes(&self) -> usize {
        self.shards.iter().map(|entry| entry.value().disk_bytes()).sum()
    }

    /// Shards that went to disk for want of memory, since the start.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// Most bytes of memory that shards may have here.
    pub fn limit_bytes(&self) -> usize {
        self.room.limit_bytes()
    }

    /// Bytes of live tables and the most that they may have, if they have memory of their own; else zeros.
    pub fn live_bytes(&self) -> (usize, usize) {
        match Arc::ptr_eq(&self.live_room, &self.room) {
            true => (0, 0),
            false => (self.live_room.used_bytes(), self.live_room.limit_bytes()),
        }
    }

    pub(super) fn cache(&self) -> &ColumnCache {
        &self.cache
    }

    pub(super) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    pub(super) fn live_room(&self) -> &Arc<Room> {
        &self.live_room
    }

    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    pub(super) fn next_event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn count_spilled(&self) {
        self.spilled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn insert(&self, shard: &Arc<Shard>) {
        if let Some(replaced) = self.shards.insert(shard.id(), shard.clone()) {
            replaced.leave_store();
        }
    }

    /// Claims memory, if need be after moving other shards to disk. If there is none, answers why.
    ///
    /// # Errors
    /// A disk that cannot be written.
    pub(super) fn claim(&self, claim: &Claim, bytes: usize) -> Result<Option<String>> {
        if claim.grow(bytes).is_ok() {
            return Ok(None);
        }
        let _one_at_a_time = self.spilling.lock();
        loop {
            let Err(refusal) = claim.grow(bytes) else {
                return Ok(None);
            };
            let is_hopeless = bytes > claim.limit_bytes() || !claim.is_of(&self.room);
            if is_hopeless || !(self.cache.give_way() || self.spill_one()?) {
                return Ok(Some(refusal));
            }
        }
    }

    /// Moves the shard that was not used for longest to disk. False if there is none.
    fn spill_one(&self) -> Result<bool> {
        let used_at = |shard: &Arc<Shard>| shard.about().used_at.load(Ordering::Relaxed);
        let candidates = self.shards.iter().map(|entry| entry.value().clone());
        let oldest = candidates
            .filter(|shard| shard.may_leave_memory())
            .min_by_key(used_at);
        let (Some(folder), Some(shard)) = (&self.folder, oldest) else {
            return Ok(false);
        };
        let moved = Arc::new(shard.on_disk(folder)?);
        // It may have been dropped meanwhile; then the file goes too.
        if let Some(mut stored) = self.shards.get_mut(&shard.id())
            && Arc::ptr_eq(&stored, &shard)
        {
            tracing::debug!(shard = %shard.id(), bytes = shard.bytes(), disk_bytes = moved.disk_bytes(), "moved a shard to disk");
            *stored = moved;
            shard.leave_store();
            self.count_spilled();
        }
        Ok(true)
    }

    /// Live tables have no room for what one of them wants.
    pub(super) fn live_full(&self, table: &str, wanted: usize, detail: String) -> DataFusionError {
        if Arc::ptr_eq(&self.live_room, &self.room) {
            return self.full(table, wanted, detail);
        }
        let message = format!(
            "no memory for table {table}: {} more do not fit into the {} that this executor has for tables that follow \
             topics ({} are used)",
            Bytes(wanted as u64),
            Bytes(self.live_room.limit_bytes() as u64),
            Bytes(self.live_room.used_bytes() as u64),
        );
        Error::resource(Code::MEMORY_LIMIT, message)
            .with_detail(detail)
            .with_hint("drop tables, add executors, or raise executor.ingest_limit")
            .into()
    }

    pub(super) fn full(&self, table: &str, wanted: usize, detail: String) -> DataFusionError {
        let message = format!(
            "no memory for table {table}: {} more do not fit into the {} that this executor has for tables ({} are used)",
            Bytes(wanted as u64),
            Bytes(self.limit_bytes() as u64),
            Bytes(self.bytes() as u64),
        );
        Error::resource(Code::MEMORY_LIMIT, message)
            .with_detail(detail)
            .with_hint(
                "drop tables, add executors, raise executor.storage_limit, or give tables the 'storage_level' \
                 'memory_and_disk', with which they may leave memory",
            )
            .into()
    }
}

#[cfg(test)]
mod tests;
