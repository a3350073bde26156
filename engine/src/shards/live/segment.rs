//! An immutable batch of rows of a live shard, and which of them are still there.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, new_null_array};
use datafusion::arrow::buffer::{BooleanBuffer, Buffer};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::error::{DataFusionError, Result};

use super::moment;
use super::row_ids::RowIds;
use crate::schema::fit_column;
use crate::shards::packed::Column;
use crate::shards::room::Claim;
use crate::shards::shard::batch_of;
use crate::shards::statistics::{of_batch, of_column};

const WORD_BITS: usize = u64::BITS as usize;

/// Rows that are there no more, a bit for each. Copied before it is changed while a reader has it.
#[derive(Clone)]
pub(super) struct Dead {
    words: Vec<u64>,
    count: usize,
}

impl Dead {
    pub(super) fn none(rows: usize) -> Self {
        Self {
            words: vec![0; rows.div_ceil(WORD_BITS)],
            count: 0,
        }
    }

    pub(super) fn kill(&mut self, row: usize) {
        let (word, bit) = (&mut self.words[row / WORD_BITS], 1 << (row % WORD_BITS));
        self.count += usize::from(*word & bit == 0);
        *word |= bit;
    }

    /// As they were stored: a bit for each row, and fewer words if the rest is alive.
    pub(super) fn of(rows: usize, words: &[u64]) -> Self {
        let mut dead = Self::none(rows);
        for (word, stored) in dead.words.iter_mut().zip(words) {
            *word = *stored;
        }
        if let (Some(last), used) = (dead.words.last_mut(), rows % WORD_BITS)
            && used > 0
        {
            *last &= (1 << used) - 1;
        }
        dead.count = dead.words.iter().map(|word| word.count_ones() as usize).sum();
        dead
    }

    pub(super) fn has(&self, row: usize) -> bool {
        self.words[row / WORD_BITS] & (1 << (row % WORD_BITS)) != 0
    }

    /// True for the rows that are still there.
    fn alive(&self, rows: &Range<usize>) -> BooleanArray {
        let words = rows.start / WORD_BITS..rows.end.div_ceil(WORD_BITS);
        let alive: Vec<u64> = self.words[words].iter().map(|word| !word).collect();
        let bits = BooleanBuffer::new(Buffer::from_vec(alive), rows.start % WORD_BITS, rows.len());
        BooleanArray::from(bits)
    }
}

/// See the module. A copy shares the rows; one that was given to a reader stays as it is.
#[derive(Clone)]
pub(in crate::shards) struct Segment {
    id: u32,
    rows: usize,
    ids: Arc<RowIds>,
    columns: Arc<Vec<Column>>,
    /// Of all rows, dead ones too.
    statistics: Arc<Statistics>,
    dead: Option<Arc<Dead>>,
    packed: bool,
    /// Of each row, if the shard needs them.
    versions: Option<Arc<Vec<i64>>>,
    /// The greatest time of its rows, if they expire.
    newest: Option<i64>,
    /// The least of the greatest times of the batches that it was made of.
    began: Option<i64>,
    claim: Arc<Claim>,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("id", &self.id)
            .field("rows", &self.rows)
            .field("live_rows", &self.live_rows())
            .finish_non_exhaustive()
    }
}

/// Rows for a segment, in the form they will have, to be put there when there is memory for them.
pub(super) struct Prepared {
    rows: usize,
    columns: Vec<Column>,
    statistics: Statistics,
    packed: bool,
    versions: Option<Vec<i64>>,
    newest: Option<i64>,
}

/// What a shard looks up of its rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks {
    /// Column of their versions.
    pub(super) version: Option<usize>,
    /// Column of the time at which they expire.
    pub(super) time: Option<usize>,
}

impl Prepared {
    /// Packing takes time and is for rows that stay together for long.
    pub(super) fn new(rows: &RecordBatch, packed: bool, marks: Marks) -> Result<Self> {
        let column = |column: &ArrayRef| match packed {
            true => Column::pack(column),
            false => Ok(Column::plain(column.clone())),
        };
        let versions = marks.version.map(|place| moment::versions(rows.column(place)));
        let statistics = of_batch(rows);
        Ok(Self {
            rows: rows.num_rows(),
            columns: rows.columns().iter().map(column).collect::<Result<_>>()?,
            newest: marks.time.and_then(|place| moment::newest(&statistics, place)),
            statistics,
            packed,
            versions: versions.transpose()?,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::bytes).sum();
        let versions = self
            .versions
            .as_ref()
            .map_or(0, |versions| size_of_val(&**versions));
        columns + versions + size_of::<Segment>() + size_of::<Statistics>()
    }

    /// Versions of the rows; none if the shard does not need them.
    pub(super) fn versions(&self) -> &[i64] {
        self.versions.as_deref().unwrap_or_default()
    }

    /// A segment of these rows, whose numbers are `ids`.
    pub(super) fn segment(self, id: u32, ids: RowIds, dead: Dead, claim: Claim) -> Segment {
        Segment {
            id,
            rows: self.rows,
            ids: Arc::new(ids),
            columns: Arc::new(self.columns),
            statistics: Arc::new(self.statistics),
            dead: (dead.count > 0).then(|| Arc::new(dead)),
            packed: self.packed,
            versions: self.versions.map(Arc::new),
            newest: self.newest,
            began: self.newest,
            claim: Arc::new(claim),
        }
    }
}

impl Segment {
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// The numbers of its rows, dead ones too.
    pub(super) fn ids(&self) -> &RowIds {
        &self.ids
    }

    /// True if both have the same rows; others of them may be dead.
    pub(super) fn has_rows_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.columns, &other.columns)
    }

    /// The rows that are alive here and dead in `other`, which has the same rows.
    pub(super) fn alive_here_only(&self, other: &Self) -> Self {
        let word = |dead: &Option<Arc<Dead>>, place: usize| dead.as_ref().map_or(0, |dead| dead.words[place]);
        let words = 0..self.rows.div_ceil(WORD_BITS);
        let words: Vec<u64> = words
            .map(|place| word(&self.dead, place) | !word(&other.dead, place))
            .collect();
        Self {
            dead: Some(Arc::new(Dead::of(self.rows, &words))),
            ..self.clone()
        }
    }

    /// Rows that it has, dead ones too.
    pub(in crate::shards) fn rows(&self) -> usize {
        self.rows
    }

    pub(in crate::shards) fn live_rows(&self) -> usize {
        self.rows - self.dead.as_ref().map_or(0, |dead| dead.count)
    }

    /// Bytes of memory that its rows claim.
    pub(super) fn bytes(&self) -> usize {
        self.claim.bytes()
    }

    /// Version of a row, if the shard needs them.
    pub(super) fn version(&self, row: usize) -> Option<i64> {
        self.versions.as_ref()?.get(row).copied()
    }

    /// The greatest time of its rows, milliseconds since the Unix epoch, if they expire and have any.
    pub(super) fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// The least of the greatest times of the batches that it was made of.
    pub(super) fn began(&self) -> Option<i64> {
        self.began
    }

    pub(super) fn set_began(&mut self, began: Option<i64>) {
        self.began = began;
    }

    /// Its rows in other columns, by name: one that it does not have is null. `grow` gets it more memory.
    ///
    /// # Errors
    /// Values that have no place in their new type, and no memory; then nothing has changed.
    pub(super) fn fit<E: From<DataFusionError>>(
        &mut self,
        old: &Schema,
        new: &Schema,
        grow: impl FnOnce(&Claim, usize) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut columns = Vec::with_capacity(new.fields().len());
        let mut statistics = Vec::with_capacity(new.fields().len());
        for field in new.fields() {
            let known = old.column_with_name(field.name());
            if let Some((place, known)) = known
                && known.data_type() == field.data_type()
            {
                columns.push(self.columns[place].clone());
                statistics.push(self.statistics.column_statistics[place].clone());
                continue;
            }
            let values = match known {
                Some((place, _)) => fit_column(&self.column(place)?, field.data_type())?,
                None => new_null_array(field.data_type(), self.rows),
            };
            statistics.push(of_column(&values, field));
            columns.push(Column::pack(&values)?);
        }
        let bytes = |columns: &[Column]| columns.iter().map(Column::bytes).sum::<usize>();
        grow(&self.claim, bytes(&columns).saturating_sub(bytes(&self.columns)))?;
        self.columns = Arc::new(columns);
        self.statistics = Arc::new(Statistics {
            column_statistics: statistics,
            ..self.statistics.as_ref().clone()
        });
        Ok(())
    }

    /// Its rows expire by another column.
    pub(super) fn set_time(&mut self, place: Option<usize>) {
        self.newest = place.and_then(|place| moment::newest(&self.statistics, place));
        self.began = self.newest;
    }

    pub(super) fn is_packed(&self) -> bool {
        self.packed
    }

    pub(in crate::shards) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Of the rows as they are stored, for a scan that passes whole segments over.
    pub(in crate::shards) fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }

    /// Of the rows that are there, for a planner: a bound or a number of nulls may be that of a dead row.
    pub(super) fn live_statistics(&self) -> Statistics {
        let mut live = self.statistics.as_ref().clone();
        if self.dead.is_some() {
            live = live.to_inexact();
            live.num_rows = Precision::Exact(self.live_rows());
            for column in &mut live.column_statistics {
                column.null_count = Precision::Absent;
            }
        }
        live
    }

    /// A bit for each row that is dead; no words if none is.
    pub(super) fn dead_words(&self) -> &[u64] {
        self.dead.as_ref().map_or(&[], |dead| &dead.words)
    }

    pub(super) fn kill(&mut self, row: usize) {
        let dead = self.dead.get_or_insert_with(|| Arc::new(Dead::none(self.rows)));
        Arc::make_mut(dead).kill(row);
    }

    /// True if a row is there.
    pub(super) fn has(&self, row: usize) -> bool {
        self.dead.as_ref().is_none_or(|dead| !dead.has(row))
    }

    /// Which of some rows are there; `None`: all of them.
    pub(in crate::shards) fn alive(&self, rows: &Range<usize>) -> Option<BooleanArray> {
        self.dead.as_ref().map(|dead| dead.alive(rows))
    }

    /// A column of all rows, dead ones too.
    pub(super) fn column(&self, place: usize) -> Result<ArrayRef> {
        self.columns[place].unpack()
    }

    /// The rows that are there.
    pub(in crate::shards) fn decoded(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        let columns = self.columns.iter().map(Column::unpack).collect::<Result<_>>()?;
        let all = batch_of(schema.clone(), columns, self.rows)?;
        match self.alive(&(0..self.rows)) {
            Some(alive) => Ok(filter_record_batch(&all, &alive)?),
            None => Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_there_in_any_range() {
        let mut dead = Dead::none(200);
        let killed = [0, 63, 64, 130, 130, 199];
        killed.iter().for_each(|row| dead.kill(*row));
        assert_eq!(dead.count, 5);
        for range in [0..200, 60..70, 64..128, 129..131, 199..200, 5..5] {
            let alive = dead.alive(&range);
            let expected: Vec<bool> = range.map(|row| !killed.contains(&row)).collect();
            assert_eq!(alive, BooleanArray::from(expected));
        }
    }
}
