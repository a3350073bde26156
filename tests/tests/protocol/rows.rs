//! The log of a topic partition, and the rows that are made of it.

use std::collections::BTreeSet;

/// Keys of the messages. The last one changes a row of the first.
const KEYS: [u8; 4] = [7, 8, 7, 8];
/// Set in a segment that was made of others.
const MERGED: u8 = 1 << 7;

/// Rows at a position. A segment is a set of offsets, one bit each, and never changes; which of its rows are dead is said
/// apart from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Rows {
    /// Next offset to read.
    pub(crate) position: u8,
    /// Messages that were applied.
    pub(crate) applied: u8,
    pub(crate) segments: BTreeSet<u8>,
    pub(crate) dead: u8,
}

impl Rows {
    /// Applies the next message.
    pub(crate) fn apply_next(&mut self) {
        let key = KEYS[self.position as usize];
        let same = (0..self.position).filter(|offset| KEYS[*offset as usize] == key);
        let same = same.fold(0, |bits, offset| bits | 1 << offset);
        self.dead |= self.present() & same;
        self.segments.insert(1 << self.position);
        self.applied += 1;
        self.position += 1;
    }

    /// Makes one segment of all, without the rows that are dead.
    pub(crate) fn merge(&mut self) {
        self.segments = BTreeSet::from([self.live() | MERGED]);
        self.dead = 0;
    }

    fn present(&self) -> u8 {
        self.segments.iter().fold(0, |all, segment| all | segment) & !MERGED
    }

    fn live(&self) -> u8 {
        self.present() & !self.dead
    }

    /// See [`is_fold`].
    pub(crate) fn is_fold(&self) -> bool {
        is_fold(self.position, self.applied, self.present(), self.dead)
    }
}

/// True if every message before a position was applied once and no other, so that each key has its last row.
pub(crate) fn is_fold(position: u8, applied: u8, present: u8, dead: u8) -> bool {
    let is_last =
        |offset: &u8| (offset + 1..position).all(|later| KEYS[later as usize] != KEYS[*offset as usize]);
    let expected = (0..position)
        .filter(is_last)
        .fold(0, |bits, offset| bits | 1 << offset);
    applied == position && present & !MERGED & !dead == expected
}
