//! One shard: its rows in memory or in a file, and what is known of them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::CompressionType;
use datafusion::common::{Statistics, internal_datafusion_err};
use datafusion::error::Result;
use uuid::Uuid;

use super::cache::KeptColumn;
use super::file::{FileBeingWritten, IpcWriter, ShardFile, has_place_for};
use super::level::StorageLevel;
use super::live::View;
use super::packed::Column;
use super::room::Claim;
use crate::error::Error;

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

/// An immutable piece of a table. Whoever holds it can read it, also after the store has dropped it or moved its rows
/// to disk.
pub struct Shard {
    about: Arc<About>,
    contents: Contents,
}

/// What stays the same wherever the rows are.
pub(super) struct About {
    pub(super) id: ShardId,
    /// Write that made it, for the scheduler to know whether that still runs.
    pub(super) write: String,
    pub(super) schema: SchemaRef,
    pub(super) level: StorageLevel,
    /// Rows of each batch.
    pub(super) batches: Vec<usize>,
    /// Of each batch.
    pub(super) statistics: Vec<Arc<Statistics>>,
    /// Of all of them.
    pub(super) summary: Statistics,
    pub(super) hits: AtomicU64,
    /// When it was last read or stored, in the store's count of such events.
    pub(super) used_at: AtomicU64,
    pub(super) stored_at: Instant,
}

/// Where the rows are.
pub(super) enum Contents {
    Memory {
        batches: Vec<Vec<Column>>,
        claim: Claim,
    },
    Disk(ShardFile),
    /// Of a live table; their memory counts as that of the table.
    Live(Arc<View>),
    /// Some columns of a shard that another executor holds, by their place in the table.
    Kept(BTreeMap<usize, Arc<KeptColumn>>),
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("id", &self.id())
            .field("rows", &self.rows())
            .field("bytes", &self.bytes())
            .field("disk_bytes", &self.disk_bytes())
            .finish_non_exhaustive()
    }
}

impl Shard {
    pub(super) fn new(about: About, contents: Contents) -> Self {
        let about = Arc::new(about);
        Self { about, contents }
    }

    /// Its name.
    pub fn id(&self) -> ShardId {
        self.about.id
    }

    /// Columns of its rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.about.schema
    }

    /// What is known of each batch.
    pub fn statistics(&self) -> &[Arc<Statistics>] {
        &self.about.statistics
    }

    /// What is known of all its rows.
    pub fn summary(&self) -> &Statistics {
        &self.about.summary
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.about.batches.iter().sum()
    }

    /// Bytes that it takes in memory, as the allocator sees them.
    pub fn bytes(&self) -> usize {
        match &self.contents {
            Contents::Memory { claim, .. } => claim.bytes(),
            Contents::Kept(columns) => columns.values().map(|column| column.bytes()).sum(),
            Contents::Disk(_) | Contents::Live(_) => 0,
        }
    }

    /// Bytes of its file on disk; 0 if it is in memory.
    pub fn disk_bytes(&self) -> usize {
        match &self.contents {
            Contents::Memory { .. } | Contents::Live(_) | Contents::Kept(_) => 0,
            Contents::Disk(file) => file.bytes(),
        }
    }

    /// All its rows as the table has them, batch by batch, unpacked while they are asked for.
    pub fn decoded(&self) -> impl Iterator<Item = Result<RecordBatch>> + Send + '_ {
        let all: Vec<usize> = (0..self.schema().fields().len()).collect();
        self.about.batches.iter().enumerate().map(move |(index, rows)| {
            if let Contents::Live(view) = &self.contents {
                return view.batch(index).decoded(self.schema());
            }
            let columns = self.columns(index, &all)?;
            let columns = columns.iter().map(Column::unpack).collect::<Result<_>>()?;
            batch_of(self.schema().clone(), columns, *rows)
        })
    }

    /// The view that it is, if its rows are those of a live table.
    pub(crate) fn view(&self) -> Option<&Arc<View>> {
        match &self.contents {
            Contents::Live(view) => Some(view),
            Contents::Memory { .. } | Contents::Disk(_) | Contents::Kept(_) => None,
        }
    }

    pub(super) fn about(&self) -> &About {
        &self.about
    }

    /// Some columns of a batch, in the order of `wanted`. The one behind those of the table is the numbers of its rows.
    pub(super) fn columns(&self, batch: usize, wanted: &[usize]) -> Result<Vec<Column>> {
        let numbers = self.schema().fields().len();
        if let Some(place) = wanted.iter().position(|column| *column == numbers) {
            let mut others = wanted.to_vec();
            others.remove(place);
            let mut columns = self.columns(batch, &others)?;
            columns.insert(place, self.row_numbers(batch));
            return Ok(columns);
        }
        match &self.contents {
            Contents::Memory { batches, .. } => Ok(wanted
                .iter()
                .map(|column| batches[batch][*column].clone())
                .collect()),
            Contents::Disk(file) => file.columns(batch, wanted),
            Contents::Live(view) => {
                let columns = view.batch(batch).columns();
                Ok(wanted.iter().map(|column| columns[*column].clone()).collect())
            }
            Contents::Kept(columns) => {
                let kept = wanted.iter().map(|column| columns.get(column));
                let kept = kept.map(|column| column.map(|column| column.batch(batch)));
                kept.collect::<Option<_>>()
                    .ok_or_else(|| internal_datafusion_err!("a column that is not here"))
            }
        }
    }

    fn row_numbers(&self, batch: usize) -> Column {
        let first = self.first_row(batch) as u64;
        let rows = self.about.batches[batch] as u64;
        Column::plain(Arc::new(UInt64Array::from_iter_values(first..first + rows)))
    }

    /// The place of the first row of a batch.
    pub(super) fn first_row(&self, batch: usize) -> usize {
        self.about.batches[..batch].iter().sum()
    }

    /// How many different combinations of values these columns may have in a batch, as the first and the last one say, with
    /// null as a value. `None` if values are not numbered.
    pub(crate) fn combinations_max(&self, columns: &[usize]) -> Option<usize> {
        let last = self.about.batches.len().checked_sub(1)?;
        let of_batch = |batch: usize| {
            let columns = self.columns(batch, columns).ok()?;
            let values = columns.iter().map(|column| Some(column.values_max()? + 1));
            values
                .into_iter()
                .try_fold(1, |product: usize, values| product.checked_mul(values?))
        };
        of_batch(0)?.max(of_batch(last)?).into()
    }

    /// Which of some rows of a batch are there; `None`: all of them.
    pub(super) fn alive(&self, batch: usize, rows: &Range<usize>) -> Option<BooleanArray> {
        match &self.contents {
            Contents::Live(view) => view.batch(batch).alive(rows),
            Contents::Memory { .. } | Contents::Disk(_) | Contents::Kept(_) => None,
        }
    }

    /// Those of its columns that are here, if another executor holds it.
    pub(super) fn kept_columns(&self) -> Option<&BTreeMap<usize, Arc<KeptColumn>>> {
        match &self.contents {
            Contents::Kept(columns) => Some(columns),
            Contents::Memory { .. } | Contents::Disk(_) | Contents::Live(_) => None,
        }
    }

    /// Whether its rows can be moved from memory to disk.
    pub(super) fn may_leave_memory(&self) -> bool {
        self.about.level != StorageLevel::Memory
            && matches!(self.contents, Contents::Memory { .. })
            && has_place_for(self.schema())
    }

    /// The same shard with its rows in a new file of this folder.
    pub(super) fn on_disk(&self, folder: &Path) -> Result<Self> {
        let mut file = FileBeingWritten::create(folder, self.id(), self.schema())?;
        for batch in self.decoded() {
            file.write(&batch?)?;
        }
        Ok(Self {
            about: self.about.clone(),
            contents: Contents::Disk(file.finish()?),
        })
    }

    /// Its memory no longer counts as the store's: only readers that hold it keep it.
    pub(super) fn leave_store(&self) {
        match &self.contents {
            Contents::Memory { claim, .. } => claim.leave_store(),
            Contents::Kept(columns) => columns.values().for_each(|column| column.leave_store()),
            Contents::Disk(_) | Contents::Live(_) => {}
        }
    }
}

/// A batch of these columns, which may be none.
pub(super) fn batch_of(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// Writes the rows of a shard as a file in Arrow's IPC format, one record batch for each stored batch.
///
/// Columns have the table's types, except that a dictionary becomes what is in it, for the format has one dictionary
/// for a whole file; a dictionary inside of a list or struct is an error.
///
/// # Errors
/// Those of the writer.
pub fn write_ipc(shard: &Shard, writer: impl Write, compression: Option<CompressionType>) -> Result<()> {
    let mut ipc = IpcWriter::new(writer, shard.schema(), compression)?;
    for batch in shard.decoded() {
        ipc.write(&batch?)?;
    }
    ipc.finish().map(drop)
}
