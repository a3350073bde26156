//! How a shard comes to be: rows are gathered into batches, measured, packed, and put where there is room.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;

use super::file::{FileBeingWritten, has_place_for};
use super::level::StorageLevel;
use super::packed::Column;
use super::room::Claim;
use super::shard::{About, Contents, Shard, ShardId, batch_of};
use super::statistics::Collector;
use super::store::ShardStore;

/// Rows of a stored batch, except for the last of a shard.
const BATCH_ROWS: usize = 65_536;

/// A shard that is being written. Dropped before [`Writer::finish`], it leaves nothing.
pub struct Writer<'a> {
    store: &'a ShardStore,
    id: ShardId,
    table: String,
    write: String,
    schema: SchemaRef,
    level: StorageLevel,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    /// Rows of each batch that is stored.
    batches: Vec<usize>,
    statistics: Collector,
    target: Target,
}

/// Where the batches are put.
enum Target {
    Memory { batches: Vec<Vec<Column>>, claim: Claim },
    Disk(Box<FileBeingWritten>),
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        store: &'a ShardStore,
        id: ShardId,
        table: &str,
        write: &str,
        schema: SchemaRef,
    ) -> Self {
        Self {
            store,
            id,
            table: table.to_string(),
            write: write.to_string(),
            level: StorageLevel::default(),
            waiting: Vec::new(),
            waiting_rows: 0,
            batches: Vec::new(),
            statistics: Collector::new(schema.clone()),
            target: Target::Memory {
                batches: Vec::new(),
                claim: store.room().claim(table),
            },
            schema,
        }
    }

    /// The same for a table that is kept elsewhere than by default.
    pub fn with_level(self, level: StorageLevel) -> Self {
        Self { level, ..self }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// A full store, whose error names table, limit and remedy, or a full disk.
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.waiting_rows += batch.num_rows();
        self.waiting.push(batch);
        if self.waiting_rows >= BATCH_ROWS {
            self.store_waiting()?;
        }
        Ok(())
    }

    /// Rows that were added so far.
    pub fn rows(&self) -> usize {
        self.batches.iter().sum::<usize>() + self.waiting_rows
    }

    /// Makes a batch of the waiting rows.
    fn store_waiting(&mut self) -> Result<()> {
        if self.waiting_rows == 0 {
            return Ok(());
        }
        let batch = concat_batches(&self.schema, &self.waiting)?;
        self.waiting.clear();
        self.waiting_rows = 0;
        self.batches.push(batch.num_rows());
        if self.level == StorageLevel::Disk {
            self.go_to_disk()?;
        }
        match &mut self.target {
            Target::Disk(file) => {
                self.statistics.add(&batch, batch.columns());
                file.write(&batch)
            }
            Target::Memory { batches, claim } => {
                let columns = batch.columns().iter();
                let packed: Vec<Column> = columns.map(Column::pack).collect::<Result<_>>()?;
                let values = packed.iter().zip(batch.columns());
                let values: Vec<ArrayRef> = values
                    .map(|(packed, column)| Ok(packed.different()?.unwrap_or_else(|| column.clone())))
                    .collect::<Result<_>>()?;
                self.statistics.add(&batch, &values);
                let bytes =
                    packed.iter().map(Column::bytes).sum::<usize>() + self.statistics.bytes_per_batch();
                match self.store.claim(claim, bytes)? {
                    None => batches.push(packed),
                    Some(refusal) => self.without_memory(&batch, bytes, refusal)?,
                }
                Ok(())
            }
        }
    }

    /// Goes on with a batch for which there is no memory.
    fn without_memory(&mut self, batch: &RecordBatch, bytes: usize, refusal: String) -> Result<()> {
        let may_leave_memory = self.level != StorageLevel::Memory && has_place_for(&self.schema);
        if !may_leave_memory || self.store.folder().is_none() {
            return Err(self.store.full(&self.table, bytes, refusal));
        }
        self.store.count_spilled();
        let file = self.go_to_disk()?;
        file.write(batch)
    }

    /// The file, into which the batches that are in memory are written first.
    fn go_to_disk(&mut self) -> Result<&mut FileBeingWritten> {
        if let Target::Memory { batches, .. } = &self.target {
            let folder = self.store.folder();
            let folder = folder.ok_or_else(|| internal_datafusion_err!("no folder for tables on disk"))?;
            let mut file = FileBeingWritten::create(folder, self.id, &self.schema)?;
            for (columns, rows) in batches.iter().zip(&self.batches) {
                let columns = columns.iter().map(Column::unpack).collect::<Result<_>>()?;
                file.write(&batch_of(self.schema.clone(), columns, *rows)?)?;
            }
            self.target = Target::Disk(Box::new(file));
        }
        match &mut self.target {
            Target::Disk(file) => Ok(file),
            Target::Memory { .. } => Err(internal_datafusion_err!("no file was made")),
        }
    }

    /// Puts the shard into the store. `None` if there were no rows.
    ///
    /// # Errors
    /// As for [`Writer::push`].
    pub fn finish(mut self) -> Result<Option<Arc<Shard>>> {
        self.store_waiting()?;
        if self.batches.is_empty() {
            return Ok(None);
        }
        let (statistics, summary) = self.statistics.finish()?;
        let about = About {
            id: self.id,
            write: self.write,
            schema: self.schema,
            level: self.level,
            batches: self.batches,
            statistics,
            summary,
            hits: AtomicU64::new(0),
            used_at: AtomicU64::new(self.store.next_event()),
            stored_at: Instant::now(),
        };
        let contents = match self.target {
            Target::Memory { batches, claim } => Contents::Memory { batches, claim },
            Target::Disk(file) => Contents::Disk(file.finish()?),
        };
        let shard = Arc::new(Shard::new(about, contents));
        self.store.insert(&shard);
        Ok(Some(shard))
    }
}
