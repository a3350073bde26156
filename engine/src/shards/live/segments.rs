//! The segments of a shard, and in which of them a row is.

use std::ops::{Deref, Range};

use super::row_ids::{RowId, RowIds};
use super::segment::Segment;

/// See the module. They are in the order of their batches; a segment that was written anew is where the old one was.
#[derive(Default)]
pub(super) struct Segments {
    list: Vec<Segment>,
    /// The first number of each and its place in the list, by number. No two have numbers within those of the other.
    starts: Vec<(u64, usize)>,
}

impl Deref for Segments {
    type Target = [Segment];

    fn deref(&self) -> &[Segment] {
        &self.list
    }
}

impl Segments {
    pub(super) fn push(&mut self, segment: Segment) {
        self.change(|list| list.push(segment));
    }

    /// Others in the place of some.
    pub(super) fn replace(&mut self, old: Range<usize>, new: Segment) {
        self.change(|list| drop(list.splice(old, [new])));
    }

    /// The same ones with other columns.
    pub(super) fn set(&mut self, list: Vec<Segment>) {
        self.change(|old| *old = list);
    }

    pub(super) fn clear(&mut self) {
        self.change(Vec::clear);
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Segment) -> bool) {
        self.change(|list| list.retain(keep));
    }

    pub(super) fn remove(&mut self, at: usize) -> Segment {
        self.change(|list| list.remove(at))
    }

    /// Drops the oldest ones.
    pub(super) fn drop_first(&mut self, count: usize) {
        self.change(|list| drop(list.drain(..count)));
    }

    /// Where a row is: in which segment, and which row of it.
    pub(super) fn find(&self, id: RowId) -> Option<(usize, usize)> {
        let behind = self.starts.partition_point(|(first, _)| *first <= id.0);
        let (_, at) = self.starts[behind.checked_sub(1)?];
        self.list[at].ids().row(id).map(|row| (at, row))
    }

    /// A row is there no more.
    pub(super) fn kill(&mut self, id: RowId) {
        if let Some((at, row)) = self.find(id) {
            self.list[at].kill(row);
        }
    }

    /// The numbers that the live rows of some segments have, if they can keep them as rows of one segment: they ascend,
    /// those of no other segment are among them, and they are not too far apart.
    pub(super) fn joined_ids(&self, range: Range<usize>) -> Option<RowIds> {
        let parts = &self.list[range.clone()];
        let first = parts.first()?.ids().first();
        let at = self.starts.partition_point(|(start, _)| *start < first);
        let in_order = self.starts[at..].iter().map(|(_, place)| *place);
        if !in_order.take(range.len()).eq(range) {
            return None;
        }
        let rows = parts.iter().map(Segment::live_rows).sum();
        let ids = parts.iter().flat_map(|part| {
            let rows = part.ids().iter().enumerate();
            rows.filter_map(|(row, id)| part.has(row).then_some(id))
        });
        RowIds::ascending(rows, ids, parts.last()?.ids().end())
    }

    fn change<T>(&mut self, change: impl FnOnce(&mut Vec<Segment>) -> T) -> T {
        let changed = change(&mut self.list);
        let starts = self.list.iter().map(|segment| segment.ids().first()).zip(0..);
        self.starts = starts.collect();
        self.starts.sort_unstable();
        changed
    }
}
