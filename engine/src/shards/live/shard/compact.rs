//! Segments of few rows are joined with their neighbours, and those with many dead rows are written anew.
//!
//! Each batch of changes pays for at most one step, which is bounded by the size of a segment. Segments whose rows expire at
//! other times stay apart, for they go as a whole, and so do those that together would be a large part of what may be there.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::error::Result;

use super::LiveShard;
use crate::shards::live::row_ids::{RowId, RowIds};
use crate::shards::live::segment::{Dead, Segment};

/// Part of the time after which rows expire by which segments that are joined may differ.
const EXPIRY_PARTS: u128 = 8;
/// Part of the size of a shard that a segment is of at most.
pub(super) const SIZE_PARTS: usize = 8;

impl LiveShard {
    /// One step towards fewer and fuller segments, if there is one to take.
    pub(super) fn compact(&mut self) -> Result<()> {
        match self.next_join() {
            Some((first, count)) => self.join(first, count),
            None => Ok(()),
        }
    }

    /// Which neighbours are to be made one segment.
    fn next_join(&self) -> Option<(usize, usize)> {
        let last = self.segments.len().checked_sub(1)?;
        let live = |at: usize| self.segments[at].live_rows();
        // All small ones before the last that it has outgrown at once.
        let (mut first, mut rows) = (last, live(last));
        while first > 0
            && live(first - 1) <= 2 * rows
            && live(first - 1) + rows <= self.segment_rows
            && self.go_together(first - 1, last)
        {
            first -= 1;
            rows += live(first);
        }
        if first < last {
            return Some((first, last - first + 1));
        }
        let hollow = |at: &usize| 2 * live(*at) < self.segments[*at].rows();
        if let Some(at) = (0..last).find(hollow) {
            let with_next = live(at) + live(at + 1) <= self.segment_rows && self.go_together(at, at + 1);
            return Some((at, if with_next { 2 } else { 1 }));
        }
        // What will not grow any more is packed.
        let full = |at: &usize| !self.segments[*at].is_packed() && self.is_full(live(*at));
        (0..last).find(full).map(|at| (at, 1))
    }

    /// True if the batches of some segments would go at about the same time.
    fn go_together(&self, first: usize, last: usize) -> bool {
        let segments = &self.segments[first..=last];
        let bytes = || segments.iter().map(Segment::bytes).sum::<usize>();
        if self.table.bytes_max.is_some_and(|max| bytes() > max / SIZE_PARTS) {
            return false;
        }
        let began = segments.iter().filter_map(Segment::began).min();
        let newest = segments.iter().filter_map(Segment::newest).max();
        match (self.table.expiry, began, newest) {
            (Some(expiry), Some(began), Some(newest)) => {
                u128::from(newest.abs_diff(began)) <= expiry.after.as_millis() / EXPIRY_PARTS
            }
            _ => true,
        }
    }

    fn join(&mut self, first: usize, count: usize) -> Result<()> {
        let old = &self.segments[first..first + count];
        let parts: Vec<RecordBatch> = old
            .iter()
            .map(|segment| segment.decoded(&self.table.schema))
            .collect::<Result<_>>()?;
        let rows = concat_batches(&self.table.schema, &parts)?;
        let prepared = self.prepare(&rows)?;
        let kept = self.segments.joined_ids(first..first + count);
        let id_bytes = kept.as_ref().map_or(0, RowIds::bytes);
        // Without memory for the copy the segments stay as they are.
        let Ok(claim) = self.claim(prepared.bytes() + id_bytes) else {
            return Ok(());
        };
        let began = old.iter().filter_map(Segment::began).min();
        let ids = match kept {
            Some(ids) => ids,
            None => self.renumber(&rows)?,
        };
        let mut joined = prepared.segment(self.next_segment, ids, Dead::none(rows.num_rows()), claim);
        self.next_segment += 1;
        joined.set_began(began);
        self.segments.replace(first..first + count, joined);
        Ok(())
    }

    /// New numbers for some rows, and the index knows them.
    fn renumber(&mut self, rows: &RecordBatch) -> Result<RowIds> {
        let first = self.new_ids(rows.num_rows());
        if let Some(keys) = &mut self.keys {
            let row_keys = keys.of(rows)?;
            for (key, id) in row_keys.iter().zip(first..) {
                keys.index.put(key.as_ref(), RowId(id));
            }
        }
        Ok(RowIds::contiguous(first, rows.num_rows()))
    }
}
