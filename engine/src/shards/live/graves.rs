//! Keys that were deleted, and the version that each had then.
//!
//! A change that comes later than the delete and is older must not bring its row back. Graves are rows of a live shard of
//! their own (key, version, time of the delete), which has all that is needed: an index, memory that is counted, segments
//! that go to checkpoints. They expire in whole segments.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;

use super::segment::Segment;
use super::shard::{LiveShard, Stalled};
use super::table::{Expiry, LiveTable, VersionColumn};
use crate::decode::{Changes, Kind};
use crate::shards::store::ShardStore;

/// See the module.
#[derive(Debug)]
pub(super) struct Graves {
    pub(super) shard: Box<LiveShard>,
    /// Columns of the key in the table.
    key: Vec<usize>,
}

/// What becomes of the grave of a key.
#[derive(Debug)]
pub(super) struct Burial {
    /// A row of the batch that has the key.
    pub(super) row: usize,
    /// The version that is remembered; `None`: the key is back.
    pub(super) version: Option<i64>,
}

/// Columns of the graves of a table; the columns of the key come first.
///
/// # Errors
/// A key that is not in the table.
pub(super) fn schema_of(table: &LiveTable) -> Result<SchemaRef> {
    let field = |place: &usize| {
        let field = table.schema.fields().get(*place).cloned();
        field.ok_or_else(|| internal_datafusion_err!("no column {place} for a key"))
    };
    let mut fields: Vec<FieldRef> = table.key.iter().map(field).collect::<Result<_>>()?;
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    fields.push(Arc::new(Field::new("grave.version", DataType::Int64, true)));
    fields.push(Arc::new(Field::new("grave.at", time, true)));
    Ok(Arc::new(Schema::new(fields)))
}

impl Graves {
    /// Graves of a table, of which there are none yet.
    ///
    /// # Errors
    /// A type that cannot be part of a key.
    pub(super) fn new(store: Arc<ShardStore>, table: &LiveTable, version: VersionColumn) -> Result<Self> {
        let keys = table.key.len();
        let graves = LiveTable {
            name: table.name.clone(),
            schema: schema_of(table)?,
            required: Vec::new(),
            key: (0..keys).collect(),
            version: None,
            expiry: Some(Expiry {
                place: keys + 1,
                after: version.tombstones,
            }),
            bytes_max: None,
        };
        Ok(Self {
            shard: Box::new(LiveShard::with_versions(store, graves, Some(keys), 0)?),
            key: table.key.clone(),
        })
    }

    /// Graves stay for another time.
    pub(super) fn set_tombstones(&mut self, after: Duration) {
        if let Some(expiry) = &mut self.shard.table.expiry {
            expiry.after = after;
        }
    }

    /// The version that is remembered of a key.
    pub(super) fn version(&self, key: &[u8]) -> Option<i64> {
        self.shard.version_of(key)
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.shard.segments
    }

    /// Digs and fills graves for keys of `rows`; all others go first if the table was emptied.
    ///
    /// # Errors
    /// No memory, in which case nothing has changed.
    pub(super) fn bury(
        &mut self,
        rows: &RecordBatch,
        burials: &[Burial],
        emptied: bool,
    ) -> std::result::Result<(), Stalled> {
        if burials.is_empty() && !emptied {
            return Ok(());
        }
        let first = emptied.then_some(0);
        let of_rows = first.into_iter().chain(burials.iter().map(|burial| burial.row));
        let places = UInt32Array::from_iter_values(of_rows.map(|row| row as u32));
        let mut kinds = vec![Kind::Truncate; usize::from(emptied)];
        kinds.extend(burials.iter().map(|burial| match burial.version {
            Some(_) => Kind::Put,
            None => Kind::Delete,
        }));
        let key = self
            .key
            .iter()
            .map(|place| take(rows.column(*place), &places, None));
        let mut columns: Vec<ArrayRef> = key.collect::<std::result::Result<_, _>>()?;
        let none = emptied.then_some(None);
        let versions: Int64Array = none
            .into_iter()
            .chain(burials.iter().map(|burial| burial.version))
            .collect();
        columns.push(Arc::new(versions));
        let now = vec![now_ms(); kinds.len()];
        columns.push(Arc::new(TimestampMillisecondArray::from(now)));
        let changes = Changes {
            rows: RecordBatch::try_new(self.shard.schema().clone(), columns)?,
            messages: (0..kinds.len() as u32).collect(),
            kinds,
        };
        self.shard.apply(&changes).map(|_| ())
    }

    /// Forgets graves that are old enough.
    ///
    /// # Errors
    /// Rows that cannot be unpacked.
    pub(super) fn expire(&mut self) -> Result<bool> {
        self.shard.expire(SystemTime::now())
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_millis() as i64
}
