//! The shards of one process.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dashmap::DashMap;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use uuid::Uuid;

use super::statistics;
use crate::error::{Code, Error};
use crate::memory::Bytes;

/// Rows of a stored batch, except for the last of a shard.
const BATCH_ROWS: usize = 65_536;

/// Name of a shard, drawn when it is written; no two shards of a cluster share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(Uuid);

impl ShardId {
    /// A new name.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.simple(), f)
    }
}

impl FromStr for ShardId {
    type Err = Error;

    fn from_str(text: &str) -> std::result::Result<Self, Error> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| Error::bug(format!("'{text}' is no shard")))
    }
}

/// An immutable piece of a table. Whoever holds it can read it, also after the store has dropped it.
pub struct Shard {
    id: ShardId,
    /// Write that made it, for the scheduler to know whether that still runs.
    write: String,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// Of each batch.
    statistics: Vec<Arc<Statistics>>,
    /// Of all of them.
    summary: Statistics,
    rows: usize,
    reservation: MemoryReservation,
    hits: AtomicU64,
    stored_at: Instant,
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("id", &self.id)
            .field("rows", &self.rows)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// Its name.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Columns of its rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Its rows. Batches share no memory with anything else.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// What is known of each batch.
    pub fn statistics(&self) -> &[Arc<Statistics>] {
        &self.statistics
    }

    /// What is known of all its rows.
    pub fn summary(&self) -> &Statistics {
        &self.summary
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of its buffers.
    pub fn bytes(&self) -> usize {
        self.reservation.size()
    }
}

/// What the scheduler asks about a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The shard.
    pub id: ShardId,
    /// Write that made it.
    pub write: String,
    /// Number of rows.
    pub rows: usize,
    /// Bytes of its buffers.
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
    pool: Arc<dyn MemoryPool>,
    limit_bytes: usize,
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
        Self {
            shards: DashMap::new(),
            pool,
            limit_bytes,
        }
    }

    /// Starts a shard of a table; `table` names it in errors.
    pub fn start(&self, table: &str, write: &str, schema: SchemaRef) -> Writer<'_> {
        self.start_copy(ShardId::random(), table, write, schema)
    }

    /// Starts a shard that is elsewhere too.
    pub fn start_copy(&self, id: ShardId, table: &str, write: &str, schema: SchemaRef) -> Writer<'_> {
        Writer {
            store: self,
            id,
            table: table.to_string(),
            write: write.to_string(),
            schema,
            waiting: Vec::new(),
            waiting_rows: 0,
            batches: Vec::new(),
            reservation: MemoryConsumer::new(format!("table {table}")).register(&self.pool),
        }
    }

    /// A shard, to be read.
    pub fn read(&self, id: ShardId) -> Option<Arc<Shard>> {
        let shard = self.shards.get(&id)?.clone();
        shard.hits.fetch_add(1, Ordering::Relaxed);
        Some(shard)
    }

    /// True if a shard is here.
    pub fn contains(&self, id: ShardId) -> bool {
        self.shards.contains_key(&id)
    }

    /// Forgets shards; their memory is free when their last reader is done. Unknown ones are passed over.
    pub fn drop_shards(&self, ids: impl IntoIterator<Item = ShardId>) -> usize {
        ids.into_iter()
            .filter(|id| self.shards.remove(id).is_some())
            .count()
    }

    /// Every shard there is.
    pub fn list(&self) -> Vec<Stored> {
        self.shards
            .iter()
            .map(|entry| {
                let shard = entry.value();
                Stored {
                    id: shard.id,
                    write: shard.write.clone(),
                    rows: shard.rows,
                    bytes: shard.bytes(),
                    hits: shard.hits.load(Ordering::Relaxed),
                    age_ms: u64::try_from(shard.stored_at.elapsed().as_millis()).unwrap_or(u64::MAX),
                    disk_bytes: 0,
                }
            })
            .collect()
    }

    /// Bytes of all shards.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|entry| entry.value().bytes()).sum()
    }

    /// Most bytes that shards may have here.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    fn full(&self, table: &str, wanted: usize, detail: String) -> DataFusionError {
        let message = format!(
            "no memory for table {table}: {} more do not fit into the {} that this executor has for tables ({} are used)",
            Bytes(wanted as u64),
            Bytes(self.limit_bytes as u64),
            Bytes(self.bytes() as u64),
        );
        Error::resource(Code::MEMORY_LIMIT, message)
            .with_detail(detail)
            .with_hint(
                "drop tables, add executors, or raise executor.memory_limit, half of which is for tables",
            )
            .into()
    }
}

/// A shard that is being written. Dropped before [`Writer::finish`], it leaves nothing.
pub struct Writer<'a> {
    store: &'a ShardStore,
    id: ShardId,
    table: String,
    write: String,
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    batches: Vec<RecordBatch>,
    reservation: MemoryReservation,
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl Writer<'_> {
    /// Adds rows.
    ///
    /// # Errors
    /// A full store; the error names table, limit and remedy.
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.waiting_rows += batch.num_rows();
        self.waiting.push(batch);
        if self.waiting_rows >= BATCH_ROWS {
            self.pack()?;
        }
        Ok(())
    }

    /// Rows that were added so far.
    pub fn rows(&self) -> usize {
        let packed: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        packed + self.waiting_rows
    }

    /// Copies waiting rows into buffers of their own, so that what is counted is what is held.
    fn pack(&mut self) -> Result<()> {
        if self.waiting_rows == 0 {
            return Ok(());
        }
        let packed = concat_batches(&self.schema, &self.waiting)?;
        self.waiting.clear();
        self.waiting_rows = 0;
        let bytes = packed.get_array_memory_size();
        let over = self.store.bytes() + self.reservation.size() + bytes > self.store.limit_bytes;
        if over {
            return Err(self
                .store
                .full(&self.table, bytes, "the limit for tables is reached".to_string()));
        }
        self.reservation
            .try_grow(bytes)
            .map_err(|error| self.store.full(&self.table, bytes, error.to_string()))?;
        self.batches.push(packed);
        Ok(())
    }

    /// Puts the shard into the store. `None` if there were no rows.
    ///
    /// # Errors
    /// A full store.
    pub fn finish(mut self) -> Result<Option<Arc<Shard>>> {
        self.pack()?;
        if self.batches.is_empty() {
            return Ok(None);
        }
        let of_batches: Vec<_> = self
            .batches
            .iter()
            .map(|batch| Arc::new(statistics::of_batch(batch)))
            .collect();
        let shard = Arc::new(Shard {
            id: self.id,
            write: self.write,
            summary: statistics::of_shard(&self.schema, &self.batches, &of_batches)?,
            statistics: of_batches,
            schema: self.schema,
            rows: self.batches.iter().map(RecordBatch::num_rows).sum(),
            batches: self.batches,
            reservation: self.reservation,
            hits: AtomicU64::new(0),
            stored_at: Instant::now(),
        });
        self.store.shards.insert(shard.id, shard.clone());
        Ok(Some(shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    fn numbers(count: i64) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(0..count))]).unwrap()
    }

    fn store(limit: usize) -> ShardStore {
        ShardStore::new(Arc::new(GreedyMemoryPool::new(limit)), limit)
    }

    fn filled(store: &ShardStore, count: i64) -> Result<Option<Arc<Shard>>> {
        let batch = numbers(count);
        let mut writer = store.start("t", "w", batch.schema());
        writer.push(batch)?;
        writer.finish()
    }

    #[test]
    fn a_shard_holds_its_rows_and_counts_their_bytes() {
        let store = store(1 << 20);
        let mut writer = store.start("t", "w", numbers(0).schema());
        // A slice of a large batch must not keep the large one.
        for start in (0..1000).step_by(10) {
            writer.push(numbers(50_000).slice(start, 10)).unwrap();
        }
        let shard = writer.finish().unwrap().unwrap();
        assert_eq!(shard.rows(), 1000);
        assert!((8_000..9_000).contains(&shard.bytes()), "{}", shard.bytes());
        assert_eq!(store.bytes(), shard.bytes());
        assert_eq!(store.read(shard.id()).unwrap().rows(), 1000);
        assert_eq!(store.list()[0].hits, 1);
    }

    #[test]
    fn memory_is_free_when_the_last_reader_is_done() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1 << 20));
        let store = ShardStore::new(pool.clone(), 1 << 20);
        let shard = filled(&store, 1000).unwrap().unwrap();
        let reader = store.read(shard.id()).unwrap();
        assert_eq!(store.drop_shards([shard.id(), ShardId::random()]), 1);
        drop(shard);
        assert!(pool.reserved() > 0);
        assert_eq!(reader.rows(), 1000);
        drop(reader);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn a_full_store_names_the_table_and_keeps_nothing_of_it() {
        let store = store(100_000);
        filled(&store, 5_000).unwrap();
        let error = Error::from_datafusion(filled(&store, 10_000).unwrap_err());
        assert_eq!(error.code, Code::MEMORY_LIMIT);
        assert!(error.user_text().contains("table t"), "{}", error.user_text());
        assert_eq!(store.list().len(), 1);
        assert_eq!(store.pool.reserved(), store.bytes());
        assert!(filled(&store, 0).unwrap().is_none());
    }
}
