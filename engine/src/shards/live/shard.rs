//! The writer's side of a live shard.
//!
//! A batch of changes is applied in one go. Segments of few rows are joined with their neighbours as they come, so that
//! each row is copied a few times at most; a segment whose rows are mostly dead is written anew. Each batch of changes
//! pays for at most one of these steps, which is bounded by the size of a segment.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::compute::{concat_batches, interleave};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use parking_lot::RwLock;

use super::index::{KeyIndex, Place};
use super::keys::Keys;
use super::segment::{Dead, Prepared, Segment};
use super::view::View;
use crate::decode::{Changes, Kind};
use crate::error::Error;
use crate::shards::room::Claim;
use crate::shards::shard::batch_of;
use crate::shards::store::ShardStore;

/// Most rows of a segment that is made of others.
const SEGMENT_ROWS: usize = 65_536;

/// What became of a batch of changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Messages whose change of a key names one that is not here: nothing of them was applied.
    pub unknown_old_key: Vec<u32>,
    /// Deletes of keys that were not there.
    pub deletes_of_nothing: usize,
}

/// Why a batch of changes was not applied.
#[derive(Debug)]
pub enum Stalled {
    /// There is no memory for it now; nothing has changed, and it can be tried again.
    NoMemory(Error),
    /// The shard cannot be used any more.
    Broken(Error),
}

impl From<DataFusionError> for Stalled {
    fn from(error: DataFusionError) -> Self {
        Self::Broken(Error::from_datafusion(error))
    }
}

impl From<datafusion::arrow::error::ArrowError> for Stalled {
    fn from(error: datafusion::arrow::error::ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

/// A row that a sparse change makes from an older one.
struct Merge {
    row: usize,
    /// Where the older one is; none: there is none.
    old: Option<Place>,
}

/// See the module.
pub struct LiveShard {
    store: Arc<ShardStore>,
    table: String,
    schema: SchemaRef,
    /// Of a table with a key.
    pub(super) keys: Option<Keys>,
    index_claim: Claim,
    pub(super) segments: Vec<Segment>,
    pub(super) next_segment: u32,
    /// As [`SEGMENT_ROWS`], but for tests.
    segment_rows: usize,
    view: Arc<RwLock<Arc<View>>>,
}

impl fmt::Debug for LiveShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveShard")
            .field("table", &self.table)
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

impl LiveShard {
    /// A shard without rows, at a position. `key` are the columns of the primary key, none for a table where every
    /// message is a row; `table` names it in errors.
    ///
    /// # Errors
    /// A type that cannot be part of a key.
    pub fn new(
        store: Arc<ShardStore>,
        table: &str,
        schema: SchemaRef,
        key: &[usize],
        position: u64,
    ) -> Result<Self> {
        let view = View::new(schema.clone(), Vec::new(), position);
        Ok(Self {
            keys: (!key.is_empty()).then(|| Keys::new(key, &schema)).transpose()?,
            index_claim: store.room().claim(table),
            store,
            table: table.to_string(),
            schema,
            segments: Vec::new(),
            next_segment: 0,
            segment_rows: SEGMENT_ROWS,
            view: Arc::new(RwLock::new(Arc::new(view))),
        })
    }

    /// Where readers find the last view that was published.
    pub fn views(&self) -> Arc<RwLock<Arc<View>>> {
        self.view.clone()
    }

    /// Bytes of memory that its rows and its index claim.
    pub fn bytes(&self) -> usize {
        self.segments.iter().map(Segment::bytes).sum::<usize>() + self.index_claim.bytes()
    }

    /// Applies changes in their order. Readers see them when [`LiveShard::publish`] is called.
    ///
    /// # Errors
    /// No memory, in which case nothing has changed.
    pub fn apply(&mut self, changes: &Changes) -> std::result::Result<Applied, Stalled> {
        if changes.rows.num_rows() == 0 {
            return Ok(Applied::default());
        }
        let prepared = self.prepare(&changes.rows)?;
        let claim = self.claim(prepared.bytes()).map_err(Stalled::NoMemory)?;
        let applied = match self.keys.take() {
            None => {
                self.add(prepared, Dead::none(changes.rows.num_rows()), claim);
                Applied::default()
            }
            Some(mut keys) => {
                let applied = self.apply_keyed(&mut keys, changes, prepared, claim);
                self.keys = Some(keys);
                applied?
            }
        };
        self.segments.retain(|segment| segment.live_rows() > 0);
        self.compact()?;
        Ok(applied)
    }

    /// Makes everything applied so far visible, which is the topic partition up to `position`.
    pub fn publish(&self, position: u64) {
        let view = View::new(self.schema.clone(), self.segments.clone(), position);
        *self.view.write() = Arc::new(view);
    }

    /// Segments that stay as they are for long are worth packing.
    fn is_full(&self, rows: usize) -> bool {
        2 * rows >= self.segment_rows
    }

    pub(super) fn prepare(&self, rows: &RecordBatch) -> Result<Prepared> {
        Prepared::new(rows, self.is_full(rows.num_rows()))
    }

    /// Memory for so many bytes.
    pub(super) fn claim(&self, bytes: usize) -> std::result::Result<Claim, Error> {
        let claim = self.store.room().claim(&self.table);
        self.grow(&claim, bytes)?;
        Ok(claim)
    }

    pub(super) fn claim_index(
        &self,
        keys: &Keys,
        more: usize,
        key_bytes: usize,
    ) -> std::result::Result<(), Error> {
        let wanted = keys.index.bytes() + KeyIndex::bytes_for(more, key_bytes);
        match wanted.saturating_sub(self.index_claim.bytes()) {
            0 => Ok(()),
            missing => self.grow(&self.index_claim, missing),
        }
    }

    fn grow(&self, claim: &Claim, bytes: usize) -> std::result::Result<(), Error> {
        let refused = |refusal| self.store.full(&self.table, bytes, refusal);
        let claimed = self.store.claim(claim, bytes);
        let claimed = claimed.and_then(|refusal| refusal.map_or(Ok(()), |refusal| Err(refused(refusal))));
        claimed.map_err(Error::from_datafusion)
    }

    fn add(&mut self, prepared: Prepared, dead: Dead, claim: Claim) {
        self.segments
            .push(prepared.segment(self.next_segment, dead, claim));
        self.next_segment += 1;
    }

    fn apply_keyed(
        &mut self,
        keys: &mut Keys,
        changes: &Changes,
        mut prepared: Prepared,
        claim: Claim,
    ) -> std::result::Result<Applied, Stalled> {
        let rows = changes.rows.num_rows();
        let row_keys = keys.of(&changes.rows)?;
        self.claim_index(keys, rows, row_keys.size())
            .map_err(Stalled::NoMemory)?;
        let mut applied = Applied::default();
        let mut dead = Dead::none(rows);
        let mut merges = Vec::new();
        for (row, (kind, message)) in changes.kinds.iter().zip(&changes.messages).enumerate() {
            if applied.unknown_old_key.last() == Some(message) {
                dead.kill(row);
                continue;
            }
            let key = row_keys.row(row);
            let key: &[u8] = key.as_ref();
            let here = Place {
                segment: self.next_segment,
                row: row as u32,
            };
            match kind {
                Kind::Put => {
                    let old = keys.index.put(key, here);
                    self.kill(old, &mut dead);
                }
                Kind::Merge(_) => {
                    let old = keys.index.put(key, here);
                    merges.push(Merge { row, old });
                    self.kill(old, &mut dead);
                }
                Kind::Delete => {
                    let old = keys.index.remove(key);
                    applied.deletes_of_nothing += usize::from(old.is_none());
                    self.kill(old, &mut dead);
                    dead.kill(row);
                }
                Kind::Rekey => {
                    let old = keys.index.remove(key);
                    if old.is_none() {
                        applied.unknown_old_key.push(*message);
                    }
                    self.kill(old, &mut dead);
                    dead.kill(row);
                }
                Kind::Truncate => {
                    keys.clear();
                    self.index_claim = self.store.room().claim(&self.table);
                    self.segments.clear();
                    (0..=row).for_each(|row| dead.kill(row));
                }
            }
        }
        if !merges.is_empty() {
            let merged = self.merged(&changes.rows, &changes.kinds, &merges)?;
            prepared = self.prepare(&merged)?;
        }
        self.add(prepared, dead, claim);
        Ok(applied)
    }

    /// The row at a place is there no more. `new` is the segment that is being made.
    fn kill(&mut self, place: Option<Place>, new: &mut Dead) {
        let Some(place) = place else { return };
        if place.segment == self.next_segment {
            new.kill(place.row as usize);
        } else if let Some(at) = self.find(place.segment) {
            self.segments[at].kill(place.row as usize);
        }
    }

    fn find(&self, segment: u32) -> Option<usize> {
        self.segments.iter().position(|known| known.id() == segment)
    }

    /// The rows of a batch, where sparse ones have got from older rows what they do not bring.
    fn merged(&self, rows: &RecordBatch, kinds: &[Kind], merges: &[Merge]) -> Result<RecordBatch> {
        let columns = rows.columns().iter().enumerate();
        let columns = columns.map(|(place, column)| self.merged_column(place, column, kinds, merges));
        batch_of(rows.schema(), columns.collect::<Result<_>>()?, rows.num_rows())
    }

    fn merged_column(
        &self,
        place: usize,
        column: &ArrayRef,
        kinds: &[Kind],
        merges: &[Merge],
    ) -> Result<ArrayRef> {
        // Where each value is: an array and a place in it. The first array is the column, the second has a null.
        let mut values: Vec<(usize, usize)> = (0..column.len()).map(|row| (0, row)).collect();
        let mut arrays: Vec<ArrayRef> = vec![column.clone(), new_null_array(column.data_type(), 1)];
        let mut segments: Vec<u32> = Vec::new();
        for merge in merges {
            let Kind::Merge(given) = &kinds[merge.row] else {
                continue;
            };
            if given.get(place).copied().unwrap_or(true) {
                continue;
            }
            values[merge.row] = match merge.old {
                None => (1, 0),
                Some(old) if old.segment == self.next_segment => values[old.row as usize],
                Some(old) => {
                    let known = segments.iter().position(|segment| *segment == old.segment);
                    let array = match known {
                        Some(known) => known + 2,
                        None => match self.find(old.segment) {
                            Some(at) => {
                                segments.push(old.segment);
                                arrays.push(self.segments[at].column(place)?);
                                arrays.len() - 1
                            }
                            None => 1,
                        },
                    };
                    (array, if array == 1 { 0 } else { old.row as usize })
                }
            };
        }
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        Ok(interleave(&arrays, &values)?)
    }

    /// One step towards fewer and fuller segments, if there is one to take.
    fn compact(&mut self) -> Result<()> {
        match self.next_join() {
            Some((first, count)) => self.join(first, count),
            None => Ok(()),
        }
    }

    /// Which neighbours are to be made one segment.
    fn next_join(&self) -> Option<(usize, usize)> {
        let last = self.segments.len().checked_sub(1)?;
        let live = |at: usize| self.segments[at].live_rows();
        if last > 0 && live(last - 1) <= 2 * live(last) && live(last - 1) + live(last) <= self.segment_rows {
            // All small ones before it that it has outgrown at once.
            let mut first = last - 1;
            let mut rows = live(first) + live(last);
            while first > 0 && live(first - 1) <= 2 * rows && live(first - 1) + rows <= self.segment_rows {
                first -= 1;
                rows += live(first);
            }
            return Some((first, last - first + 1));
        }
        let hollow = |at: &usize| 2 * live(*at) < self.segments[*at].rows();
        if let Some(at) = (0..last).find(hollow) {
            let with_next = live(at) + live(at + 1) <= self.segment_rows;
            return Some((at, if with_next { 2 } else { 1 }));
        }
        // What will not grow any more is packed.
        let full = |at: &usize| !self.segments[*at].is_packed() && self.is_full(live(*at));
        (0..last).find(full).map(|at| (at, 1))
    }

    fn join(&mut self, first: usize, count: usize) -> Result<()> {
        let old = &self.segments[first..first + count];
        let parts: Vec<RecordBatch> = old
            .iter()
            .map(|segment| segment.decoded(&self.schema))
            .collect::<Result<_>>()?;
        let rows = concat_batches(&self.schema, &parts)?;
        let prepared = self.prepare(&rows)?;
        // Without memory for the copy the segments stay as they are.
        let Ok(claim) = self.claim(prepared.bytes()) else {
            return Ok(());
        };
        let id = self.next_segment;
        self.next_segment += 1;
        let joined = prepared.segment(id, Dead::none(rows.num_rows()), claim);
        if let Some(keys) = &mut self.keys {
            let row_keys = keys.of_segment(&joined)?;
            for row in 0..rows.num_rows() {
                let key = row_keys.row(row);
                let row = row as u32;
                keys.index.put(key.as_ref(), Place { segment: id, row });
            }
        }
        self.segments.splice(first..first + count, [joined]);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
