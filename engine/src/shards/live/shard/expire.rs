//! Rows go by themselves: in whole segments, the oldest first.

use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::error::Result;

use super::LiveShard;
use crate::shards::live::segment::Segment;

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

    /// Drops the oldest segments until the rest takes no more than so many bytes, and says whether there were any. Only of a
    /// shard without a key.
    pub fn shrink(&mut self, bytes: usize) -> bool {
        let mut excess = self.bytes().saturating_sub(bytes);
        let mut dropped = 0;
        // The newest one stays.
        for segment in self.segments.iter().rev().skip(1).rev() {
            if excess == 0 || self.keys.is_some() {
                break;
            }
            excess = excess.saturating_sub(segment.bytes());
            dropped += 1;
        }
        self.segments.drop_first(dropped);
        dropped > 0
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
