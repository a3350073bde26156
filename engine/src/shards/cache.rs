//! Columns of shards that other executors hold, kept here because they are read again and again.
//!
//! A shard that is elsewhere is read by a ticket: projection, predicate and limit are applied where it is, and what is
//! left travels. That is best once. When as many rows have travelled for a column as its shard has, the next read takes
//! the whole column and keeps it, packed as it is; from then on its rows are read as those of a shard of this process.
//! So nothing travels more than about twice as much as it had to, whatever comes (the rule for renting or buying skis;
//! Karlin, Manasse, Rudolph and Sleator, "Competitive snoopy caching", 1988).
//!
//! ```text
//! read ─► ColumnCache::shard ── all columns are here ─► rows of this process
//!             └─ wanted? ── no ──► ticket ─► rows ─► ColumnCache::travelled
//!                  └─ yes ─► whole columns ─► ColumnCache::keep ─► rows of this process
//! ```
//!
//! Shards never change, so what is kept is never stale; those of live tables are of one statement each and are not kept.
//! What is kept lies in the store's [`Room`], up to a limit. It gives way when tables need the room, and goes when
//! nobody reads it any more.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics, internal_err};
use datafusion::error::Result;
use parking_lot::Mutex;

use super::level::StorageLevel;
use super::packed::Column;
use super::read::{by_batch, rows_of_shard};
use super::room::{Claim, Room};
use super::shard::{About, Contents, Shard, ShardId};
use super::statistics;

/// See the module.
pub(super) struct ColumnCache {
    room: Arc<Room>,
    limit_bytes: usize,
    shards: Mutex<HashMap<ShardId, Elsewhere>>,
}

/// What is known of a shard of another executor.
struct Elsewhere {
    /// Rows that have travelled, by what they were read or chosen by: columns, by their place in the table.
    travelled: HashMap<usize, usize>,
    /// Number of its rows.
    rows: usize,
    /// Those of its columns that are here.
    kept: Option<Arc<Shard>>,
    /// Who fetches columns has this.
    turn: Arc<tokio::sync::Mutex<()>>,
    used_at: Instant,
}

/// A whole column of a shard.
pub(super) struct KeptColumn {
    /// For each batch of the shard.
    batches: Vec<Column>,
    statistics: Vec<ColumnStatistics>,
    claim: Claim,
}

impl KeptColumn {
    pub(super) fn batch(&self, batch: usize) -> Column {
        self.batches[batch].clone()
    }

    pub(super) fn bytes(&self) -> usize {
        self.claim.bytes()
    }

    pub(super) fn leave_store(&self) {
        self.claim.leave_store();
    }
}

impl ColumnCache {
    /// Keeps nothing yet, and at most `limit_bytes`.
    pub(super) fn new(room: Arc<Room>, limit_bytes: usize) -> Self {
        Self {
            room,
            limit_bytes,
            shards: Mutex::default(),
        }
    }

    /// A shard of which these columns are here.
    pub(super) fn shard(&self, id: ShardId, wanted: &[usize]) -> Option<Arc<Shard>> {
        let mut shards = self.shards.lock();
        let elsewhere = shards.get_mut(&id)?;
        elsewhere.used_at = Instant::now();
        let is_whole = !wanted.is_empty() && wanted.iter().all(|column| elsewhere.has(*column));
        elsewhere.kept.clone().filter(|_| is_whole)
    }

    /// Counts rows that came for a read of these columns.
    pub(super) fn travelled(&self, id: ShardId, wanted: &[usize], sent: &RecordBatch) {
        let Some(rows) = rows_of_shard(sent).filter(|_| self.limit_bytes > 0) else {
            return;
        };
        let mut shards = self.shards.lock();
        let elsewhere = shards.entry(id).or_insert_with(|| Elsewhere::new(rows));
        elsewhere.used_at = Instant::now();
        for column in wanted {
            *elsewhere.travelled.entry(*column).or_default() += sent.num_rows();
        }
    }

    /// Which of these columns are to be fetched, if it is time to.
    pub(super) fn worth_keeping(&self, id: ShardId, wanted: &[usize]) -> Option<Vec<usize>> {
        let shards = self.shards.lock();
        let elsewhere = shards.get(&id)?;
        let is_kept = |column: &usize| elsewhere.has(*column);
        let has_travelled = |column: &usize| {
            let travelled = elsewhere.travelled.get(column);
            travelled.is_some_and(|travelled| *travelled >= elsewhere.rows)
        };
        let missing: Vec<usize> = wanted.iter().copied().filter(|column| !is_kept(column)).collect();
        let is_time = !missing.is_empty() && missing.iter().all(has_travelled);
        is_time.then_some(missing)
    }

    /// What whoever fetches columns of a shard must lock.
    pub(super) fn turn(&self, id: ShardId) -> Arc<tokio::sync::Mutex<()>> {
        let shards = self.shards.lock();
        shards
            .get(&id)
            .map(|elsewhere| elsewhere.turn.clone())
            .unwrap_or_default()
    }

    /// Bytes that can be kept at most.
    pub(super) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Columns could not be kept: they must travel as often again before the next attempt.
    pub(super) fn give_up(&self, id: ShardId) {
        if let Some(elsewhere) = self.shards.lock().get_mut(&id) {
            elsewhere.travelled.clear();
        }
    }

    /// Keeps whole columns, as they were sent, beside those that are kept of the shard. False if there is no room.
    ///
    /// # Errors
    /// What does not stand for these columns.
    pub(super) fn keep(
        &self,
        id: ShardId,
        schema: &SchemaRef,
        columns: &[usize],
        sent: &[RecordBatch],
    ) -> Result<bool> {
        let Some(sent) = by_batch(sent) else {
            return Ok(false);
        };
        let mut added = BTreeMap::new();
        for (place, column) in columns.iter().enumerate() {
            let Some(kept) = self.take(schema, *column, place, &sent)? else {
                return Ok(false);
            };
            added.insert(*column, Arc::new(kept));
        }
        let mut shards = self.shards.lock();
        let batches: Vec<usize> = sent.iter().map(|batch| row_count(batch)).collect();
        let bytes_kept: usize = shards.values().map(Elsewhere::bytes).sum();
        let bytes_added: usize = added.values().map(|column| column.bytes()).sum();
        if bytes_kept + bytes_added > self.limit_bytes {
            return Ok(false);
        }
        let elsewhere = shards
            .entry(id)
            .or_insert_with(|| Elsewhere::new(batches.iter().sum()));
        // A replica may be cut into other batches.
        let known = elsewhere
            .kept
            .as_ref()
            .filter(|kept| kept.about().batches == batches);
        let known = known.and_then(|kept| kept.kept_columns()).into_iter().flatten();
        added.extend(known.map(|(column, kept)| (*column, kept.clone())));
        elsewhere.kept = Some(Arc::new(shard_of(id, schema, added, batches)));
        Ok(true)
    }

    /// A column in memory of its own, at a place of what was sent. `None` if there is no room for it.
    fn take(
        &self,
        schema: &SchemaRef,
        column: usize,
        place: usize,
        sent: &[&[RecordBatch]],
    ) -> Result<Option<KeptColumn>> {
        let Some(field) = schema.fields().get(column) else {
            return internal_err!("a shard without column {column}");
        };
        let claim = self.room.claim("columns of other executors");
        let (mut batches, mut of_batches) = (Vec::with_capacity(sent.len()), Vec::with_capacity(sent.len()));
        for batch in sent {
            let of_part = |part: &RecordBatch| {
                Column::of_sent(
                    field.data_type(),
                    part.schema_ref().field(place),
                    part.column(place),
                )
            };
            let parts: Vec<Column> = batch.iter().map(of_part).collect::<Result<_>>()?;
            let column = Column::concat(&parts.iter().collect::<Vec<_>>())?.to_own()?;
            if claim.bytes() + column.bytes() > self.limit_bytes || claim.grow(column.bytes()).is_err() {
                return Ok(None);
            }
            let values = column.different()?.map_or_else(|| column.unpack(), Ok)?;
            of_batches.push(ColumnStatistics {
                null_count: Precision::Exact(column.nulls()),
                ..statistics::of_column(&values, field)
            });
            batches.push(column);
        }
        Ok(Some(KeptColumn {
            batches,
            statistics: of_batches,
            claim,
        }))
    }

    /// Forgets what was not used for longest, to make room. False if nothing is kept.
    pub(super) fn give_way(&self) -> bool {
        let mut shards = self.shards.lock();
        let kept = shards.iter().filter(|(_, elsewhere)| elsewhere.kept.is_some());
        let oldest = kept
            .min_by_key(|(_, elsewhere)| elsewhere.used_at)
            .map(|(id, _)| *id);
        let forgotten = oldest.and_then(|id| shards.remove(&id));
        forgotten.inspect(Elsewhere::leave).is_some()
    }

    /// Forgets what nobody has used for this long. Its shard may be gone.
    pub(super) fn forget_unused(&self, idle: Duration) {
        self.shards.lock().retain(|_, elsewhere| {
            let is_used = elsewhere.used_at.elapsed() < idle;
            if !is_used {
                elsewhere.leave();
            }
            is_used
        });
    }

    /// Bytes of what is kept.
    pub(super) fn bytes(&self) -> usize {
        self.shards.lock().values().map(Elsewhere::bytes).sum()
    }
}

impl Elsewhere {
    fn new(rows: usize) -> Self {
        Self {
            travelled: HashMap::new(),
            rows,
            kept: None,
            turn: Arc::default(),
            used_at: Instant::now(),
        }
    }

    fn has(&self, column: usize) -> bool {
        let kept = self.kept.as_ref().and_then(|kept| kept.kept_columns());
        kept.is_some_and(|kept| kept.contains_key(&column))
    }

    fn bytes(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.bytes())
    }

    /// Only readers have the memory from now on.
    fn leave(&self) {
        self.kept.iter().for_each(|kept| kept.leave_store());
    }
}

fn row_count(batch: &[RecordBatch]) -> usize {
    batch.iter().map(RecordBatch::num_rows).sum()
}

/// The columns that are here as a shard.
fn shard_of(
    id: ShardId,
    schema: &SchemaRef,
    columns: BTreeMap<usize, Arc<KeptColumn>>,
    batches: Vec<usize>,
) -> Shard {
    let of_batch = |(number, rows): (usize, &usize)| {
        let mut known = Statistics::new_unknown(schema);
        known.num_rows = Precision::Exact(*rows);
        for (column, kept) in &columns {
            known.column_statistics[*column].clone_from(&kept.statistics[number]);
        }
        Arc::new(known)
    };
    let about = About {
        id,
        write: String::new(),
        schema: schema.clone(),
        level: StorageLevel::Memory,
        statistics: batches.iter().enumerate().map(of_batch).collect(),
        batches,
        summary: Statistics::new_unknown(schema),
        hits: AtomicU64::new(0),
        used_at: AtomicU64::new(0),
        stored_at: Instant::now(),
    };
    Shard::new(about, Contents::Kept(columns))
}

#[cfg(test)]
mod tests;
