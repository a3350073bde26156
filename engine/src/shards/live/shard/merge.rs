//! Sparse changes: what they do not bring is taken from the row that they replace.

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::compute::interleave;
use datafusion::error::Result;

use super::LiveShard;
use crate::decode::Kind;
use crate::shards::live::row_ids::RowId;
use crate::shards::shard::batch_of;

/// A row that a sparse change makes from an older one.
pub(super) struct Merge {
    pub(super) row: usize,
    /// The older one, under its key of before if the change has another.
    pub(super) old: Option<RowId>,
}

impl LiveShard {
    /// The rows of a batch, where sparse ones have got from older rows what they do not bring.
    pub(super) fn merged(&self, rows: &RecordBatch, kinds: &[Kind], merges: &[Merge]) -> Result<RecordBatch> {
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
        let mut segments: Vec<usize> = Vec::new();
        for merge in merges {
            let Kind::Merge(given) = &kinds[merge.row] else {
                continue;
            };
            if given.get(place).copied().unwrap_or(true) {
                continue;
            }
            let in_batch = merge.old.and_then(|old| self.in_batch(old));
            let in_segment = merge.old.and_then(|old| self.segments.find(old));
            values[merge.row] = match (in_batch, in_segment) {
                (Some(row), _) => values[row],
                (None, None) => (1, 0),
                (None, Some((at, row))) => {
                    let known = segments.iter().position(|segment| *segment == at);
                    let array = match known {
                        Some(known) => known + 2,
                        None => {
                            segments.push(at);
                            arrays.push(self.segments[at].column(place)?);
                            arrays.len() - 1
                        }
                    };
                    (array, row)
                }
            };
        }
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        Ok(interleave(&arrays, &values)?)
    }
}
