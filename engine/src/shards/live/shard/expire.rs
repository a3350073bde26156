//! Rows go by themselves, the oldest first, when they are too old or too many.

use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::compute::take_record_batch;
use datafusion::error::Result;

use super::LiveShard;
use super::compact::SIZE_PARTS;
use crate::shards::live::row_ids::RowIds;
use crate::shards::live::segment::{Dead, Prepared, Segment};

impl LiveShard {
    /// Drops segments of which every row has expired, and says whether there were any. Of a shard with a key it is one at
    /// most, for its keys must be forgotten one by one. Readers see it when [`LiveShard::publish`] is called.
    ///
    /// # Errors
    /// Rows that cannot be unpacked.
    pub fn expire(&mut self, now: SystemTime) -> Result<bool> {
        let mut has_changed = match &mut self.graves {
            Some(graves) => graves.expire()?,
            None => false,
        };
        let Some(expiry) = self.table.expiry else {
            return Ok(has_changed);
        };
        let before = now.checked_sub(expiry.after).unwrap_or(UNIX_EPOCH);
        let before = before.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let has_expired = |segment: &Segment| segment.newest().is_some_and(|newest| newest < before);
        if self.keys.is_none() {
            let known = self.segments.len();
            self.segments.retain(|segment| !has_expired(segment));
            has_changed |= self.segments.len() < known;
        } else if let Some(at) = self.segments.iter().position(has_expired) {
            let expired = self.segments.remove(at);
            self.forget(&expired)?;
            has_changed = true;
        }
        Ok(has_changed)
    }

    /// Drops the oldest rows of a shard that is larger than it may be, and says whether there were any: whole segments while
    /// no more goes with them than an eighth of what may be there, and the first rows of one that is larger. Readers see it
    /// when [`LiveShard::publish`] is called.
    ///
    /// # Errors
    /// Rows that cannot be unpacked.
    pub fn shrink(&mut self) -> Result<bool> {
        let Some(max) = self.table.bytes_max else {
            return Ok(false);
        };
        let mut has_changed = false;
        loop {
            let excess = self.bytes().saturating_sub(max);
            let Some(oldest) = self.segments.first().filter(|_| excess > 0) else {
                return Ok(has_changed);
            };
            let goes_whole = oldest.bytes() <= excess + max / SIZE_PARTS && self.segments.len() > 1;
            if goes_whole {
                self.segments.drop_first(1);
            } else if !self.cut_oldest(excess + max / (2 * SIZE_PARTS))? {
                return Ok(has_changed);
            }
            has_changed = true;
        }
    }

    /// The last rows of the oldest segment take its place, so that about so many bytes go; one row stays. False if nothing
    /// has changed: there is but one, or no memory for the copy.
    fn cut_oldest(&mut self, excess: usize) -> Result<bool> {
        let oldest = &self.segments[0];
        let all = oldest.decoded(&self.table.schema)?;
        let rows = all.num_rows();
        let share = excess as f64 / oldest.bytes() as f64;
        let cut = ((rows as f64 * share).ceil() as usize).clamp(1, rows.max(1));
        let kept = (rows - cut.min(rows)).max(1);
        if kept >= rows {
            return Ok(false);
        }
        let last: UInt32Array = ((rows - kept) as u32..rows as u32).collect();
        let last = take_record_batch(&all, &last)?;
        let prepared = Prepared::new(&last, oldest.is_packed(), self.marks())?;
        let Ok(claim) = self.claim(prepared.bytes()) else {
            return Ok(false);
        };
        let began = oldest.began();
        let ids = RowIds::contiguous(self.new_ids(kept), kept);
        let mut cut = prepared.segment(self.next_segment, ids, Dead::none(kept), claim);
        self.next_segment += 1;
        cut.set_began(began);
        self.segments.replace(0..1, cut);
        Ok(true)
    }

    fn forget(&mut self, segment: &Segment) -> Result<()> {
        let Some(keys) = &mut self.keys else { return Ok(()) };
        let row_keys = keys.of_segment(segment)?;
        for row in (0..segment.rows()).filter(|row| segment.has(*row)) {
            keys.index.remove(row_keys.row(row).as_ref());
        }
        Ok(())
    }
}
