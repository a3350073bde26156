//! Rows go by themselves, the oldest first, when they are too old or too many.

use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::compute::take_record_batch;
use datafusion::error::Result;

use super::LiveShard;
use crate::shards::live::segment::{Dead, Segment};

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

    /// Drops the oldest rows of a shard that is larger than it may be, and says whether there were any: whole segments, and
    /// a part of the newest one if it alone is too large. Readers see it when [`LiveShard::publish`] is called.
    ///
    /// # Errors
    /// Rows that cannot be unpacked.
    pub fn shrink(&mut self) -> Result<bool> {
        let Some(max) = self.table.bytes_max else {
            return Ok(false);
        };
        let mut excess = self.bytes().saturating_sub(max);
        if excess == 0 {
            return Ok(false);
        }
        let mut dropped = 0;
        for segment in self.segments.iter().rev().skip(1).rev() {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(segment.bytes());
            dropped += 1;
        }
        self.segments.drop_first(dropped);
        if excess > 0 {
            self.cut_newest(max)?;
        }
        Ok(true)
    }

    /// The last rows of the newest segment take the place of all; some fewer than may stay, so that it is not soon again.
    fn cut_newest(&mut self, max: usize) -> Result<()> {
        let Some(newest) = self.segments.last() else {
            return Ok(());
        };
        let all = newest.decoded(&self.table.schema)?;
        let share = max as f64 / newest.bytes() as f64 * 0.9;
        let kept = (all.num_rows() as f64 * share) as usize;
        let first = all.num_rows() - kept.clamp(1, all.num_rows());
        let last: UInt32Array = (first as u32..all.num_rows() as u32).collect();
        let prepared = self.prepare(&take_record_batch(&all, &last)?)?;
        // Without memory for the copy it stays as it is.
        if let Ok(claim) = self.claim(prepared.bytes()) {
            self.segments.drop_first(self.segments.len());
            self.add(prepared, Dead::none(last.len()), claim);
        }
        Ok(())
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
