//! A live shard goes to a checkpoint and comes back from it.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;

use super::graves;
use super::row_ids::{RowId, RowIds};
use super::segment::{Dead, Segment};
use super::shard::{LiveShard, Stalled};
use super::table::LiveTable;
use super::view::View;
use crate::shards::shard::batch_of;
use crate::shards::store::ShardStore;

/// A segment of a view, to be stored.
#[derive(Debug)]
pub struct SegmentView<'a> {
    segment: &'a Segment,
    of_graves: bool,
}

impl SegmentView<'_> {
    /// Its number. The rows of a number never change, only which of them are dead.
    pub fn id(&self) -> u32 {
        self.segment.id()
    }

    /// True if its rows are keys that were deleted. Those have numbers of their own.
    pub fn of_graves(&self) -> bool {
        self.of_graves
    }

    /// All its rows, dead ones too, in the columns of `table`.
    ///
    /// # Errors
    /// Columns that cannot be unpacked.
    pub fn rows(&self, table: &LiveTable) -> Result<RecordBatch> {
        let columns = self.segment.columns().iter().map(|column| column.unpack());
        batch_of(
            stored_schema(table, self.of_graves)?,
            columns.collect::<Result<_>>()?,
            self.segment.rows(),
        )
    }

    /// A bit for each row that is dead; no words if none is.
    pub fn dead(&self) -> &[u64] {
        self.segment.dead_words()
    }
}

/// A segment as it comes from a checkpoint.
#[derive(Debug)]
pub struct SavedSegment {
    /// Its number.
    pub id: u32,
    /// True if its rows are keys that were deleted.
    pub of_graves: bool,
    /// All its rows, dead ones too.
    pub rows: RecordBatch,
    /// A bit for each row that is dead.
    pub dead: Vec<u64>,
}

impl View {
    /// The segments, to be stored.
    pub fn segments(&self) -> impl Iterator<Item = SegmentView<'_>> {
        let view = |of_graves| move |segment| SegmentView { segment, of_graves };
        let graves = self.graves.iter().map(view(true));
        self.segments.iter().map(view(false)).chain(graves)
    }
}

/// Columns of a segment as it is stored.
///
/// # Errors
/// A key that is not in the table.
pub fn stored_schema(table: &LiveTable, of_graves: bool) -> Result<SchemaRef> {
    match of_graves {
        true => graves::schema_of(table),
        false => Ok(table.schema.clone()),
    }
}

impl LiveShard {
    /// A shard as it was at a position.
    ///
    /// # Errors
    /// As for [`LiveShard::new`], and no memory.
    pub fn restore(
        store: Arc<ShardStore>,
        table: LiveTable,
        position: u64,
        segments: Vec<SavedSegment>,
    ) -> std::result::Result<Self, Stalled> {
        let mut shard = Self::new(store, table, position)?;
        for saved in segments {
            match &mut shard.graves {
                Some(graves) if saved.of_graves => graves.shard.take_back(saved)?,
                // Nobody looks at graves any more.
                None if saved.of_graves => {}
                _ => shard.take_back(saved)?,
            }
        }
        shard.publish(position);
        Ok(shard)
    }

    fn take_back(&mut self, saved: SavedSegment) -> std::result::Result<(), Stalled> {
        let prepared = self.prepare(&saved.rows)?;
        let claim = self.claim(prepared.bytes()).map_err(Stalled::NoMemory)?;
        let rows = saved.rows.num_rows();
        let dead = Dead::of(rows, &saved.dead);
        let first = self.new_ids(rows);
        if let Some(mut keys) = self.keys.take() {
            let row_keys = keys.of(&saved.rows)?;
            let claimed = self.claim_index(&keys, rows, row_keys.size());
            claimed.map_err(Stalled::NoMemory)?;
            for row in (0..rows).filter(|row| !dead.has(*row)) {
                let id = RowId(first + row as u64);
                keys.index.put(row_keys.row(row).as_ref(), id);
            }
            self.keys = Some(keys);
        }
        let ids = RowIds::contiguous(first, rows);
        self.segments.push(prepared.segment(saved.id, ids, dead, claim));
        self.next_segment = self.next_segment.max(saved.id + 1);
        Ok(())
    }
}
