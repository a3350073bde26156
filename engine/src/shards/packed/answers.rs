//! What a predicate says of each value that a column may have, to be looked up row by row.
//!
//! Packed values are numbers: places in a list of words, or distances from the least value. Where there are fewer such
//! numbers than rows, a predicate is evaluated once for each of them ([`Domain`]), and a row costs a look into a table
//! ([`Answers`]) instead of unpacking and comparing. (Abadi et al., Integrating Compression and Execution in
//! Column-Oriented Database Systems, SIGMOD 2006.)

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, PrimitiveArray, UInt32Array, new_null_array,
};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::error::Result;

use super::bits::bits_of;
use super::{Coding, Column, integers};

/// The row passes.
const PASSES: u8 = 1;
/// The value is not one of those that were asked about.
const UNKNOWN: u8 = 2;

/// Values that a column may have, in the order of their numbers, and null as the last.
pub(in crate::shards) struct Domain {
    pub(in crate::shards) values: ArrayRef,
    numbers: Coding,
}

/// See the module.
pub(in crate::shards) struct Answers {
    numbers: Coding,
    /// By number; the last one is for all that are greater.
    table: Vec<u8>,
    /// Numbers that pass, if they lie side by side: as for comparisons with one value.
    run: Option<Range<usize>>,
    null_passes: bool,
}

impl Column {
    /// True if it has no more words than so many rows.
    pub(in crate::shards) fn has_few_words(&self, rows: usize) -> bool {
        matches!(&self.coding, Coding::Words(words) if words.len() <= rows)
    }

    /// True if its values are numbered from the least of them.
    pub(in crate::shards) fn has_distances(&self) -> bool {
        matches!(self.coding, Coding::Distances(_))
    }

    /// The rows of which answers say that they pass; `None` if they are not about all of its values.
    pub(in crate::shards) fn look_up(&self, answers: &Answers) -> Option<BooleanArray> {
        let first = match (&self.coding, &answers.numbers) {
            (Coding::Words(words), Coding::Words(known)) if Arc::ptr_eq(words, known) => 0,
            (Coding::Distances(least), Coding::Distances(known)) => integers::distance(least, known)?,
            _ => return None,
        };
        let table = answers.table.get(first..).filter(|table| !table.is_empty())?;
        let run = answers.run.as_ref();
        let part = Part {
            table,
            run: run.map(|run| run.start.saturating_sub(first)..run.end.saturating_sub(first)),
            null_passes: answers.null_passes,
        };
        let passed = match self.values.data_type() {
            DataType::UInt8 => part.look_up(self.values.as_primitive::<UInt8Type>()),
            DataType::UInt16 => part.look_up(self.values.as_primitive::<UInt16Type>()),
            DataType::UInt32 => part.look_up(self.values.as_primitive::<UInt32Type>()),
            DataType::UInt64 => part.look_up(self.values.as_primitive::<UInt64Type>()),
            _ => return None,
        };
        passed.map(|passed| BooleanArray::new(passed, None))
    }
}

impl Domain {
    /// The words of a column. `None` if it has no list of them.
    ///
    /// # Errors
    /// None in practice.
    pub(in crate::shards) fn of_words(column: &Column) -> Result<Option<Self>> {
        let Coding::Words(words) = &column.coding else {
            return Ok(None);
        };
        let null = new_null_array(words.data_type(), 1);
        Ok(Some(Self {
            values: concat(&[words.as_ref(), null.as_ref()])?,
            numbers: column.coding.clone(),
        }))
    }

    /// All values from the first of `bounds` to the second, if they are no more than `most`.
    ///
    /// # Errors
    /// None in practice.
    pub(in crate::shards) fn between(bounds: &ArrayRef, most: usize) -> Result<Option<Self>> {
        let (least, greatest) = (bounds.slice(0, 1), bounds.slice(1, 1));
        let span = integers::distance(&greatest, &least).filter(|span| *span < most);
        let Some(span) = span.and_then(|span| u32::try_from(span).ok()) else {
            return Ok(None);
        };
        let distances = UInt32Array::from_iter((0..=span).map(Some).chain([None]));
        Ok(Some(Self {
            values: integers::unpack(&(Arc::new(distances) as ArrayRef), &least)?,
            numbers: Coding::Distances(least),
        }))
    }

    /// Number of values, with null.
    pub(in crate::shards) fn len(&self) -> usize {
        self.values.len()
    }

    /// Keeps what a predicate says of each value.
    pub(in crate::shards) fn answered(self, passes: &BooleanArray) -> Answers {
        let of_values = passes.len().saturating_sub(1);
        let mut table: Vec<u8> = passes.values().iter().map(u8::from).collect();
        let null_passes = table.pop() == Some(PASSES);
        debug_assert_eq!((of_values, passes.null_count()), (table.len(), 0));
        let run = run_of(&table);
        table.push(UNKNOWN);
        Answers {
            numbers: self.numbers,
            table,
            run,
            null_passes,
        }
    }
}

/// The numbers that pass, if no other lies between them.
fn run_of(table: &[u8]) -> Option<Range<usize>> {
    let start = table.iter().position(|answer| *answer == PASSES).unwrap_or(0);
    let count = table.iter().filter(|answer| **answer == PASSES).count();
    let run = start..start + count;
    table[run.clone()]
        .iter()
        .all(|answer| *answer == PASSES)
        .then_some(run)
}

/// Answers about a column whose numbers begin elsewhere.
struct Part<'a> {
    table: &'a [u8],
    run: Option<Range<usize>>,
    null_passes: bool,
}

impl Part<'_> {
    fn look_up<N: ArrowPrimitiveType>(&self, numbers: &PrimitiveArray<N>) -> Option<BooleanBuffer> {
        match &self.run {
            Some(run) if numbers.null_count() == 0 => in_run(numbers.values(), run, self.table.len() - 1),
            _ => look_up(numbers, self.table, self.null_passes),
        }
    }
}

/// Which numbers are in a run; `None` if one is not below `known`.
fn in_run<N: ArrowNativeTypeOp>(numbers: &[N], run: &Range<usize>, known: usize) -> Option<BooleanBuffer> {
    // A bound that the type has no number for is above all of them.
    let bound = |number: usize| Some(N::usize_as(number)).filter(|bound| bound.as_usize() == number);
    if let Some(known) = bound(known)
        && numbers
            .iter()
            .fold(false, |found, number| found | number.is_ge(known))
    {
        return None;
    }
    let Some(start) = bound(run.start).filter(|_| !run.is_empty()) else {
        return Some(BooleanBuffer::new_unset(numbers.len()));
    };
    Some(match bound(run.end) {
        Some(end) => bits_of(numbers, |number| {
            u8::from(number.is_ge(start) & number.is_lt(end))
        }),
        None => bits_of(numbers, |number| u8::from(number.is_ge(start))),
    })
}

fn look_up<N: ArrowPrimitiveType>(
    numbers: &PrimitiveArray<N>,
    table: &[u8],
    null_passes: bool,
) -> Option<BooleanBuffer> {
    let (last, values) = (table.len() - 1, numbers.values());
    let mut seen = 0;
    let mut passes = |number: N::Native| {
        let answer = table[number.as_usize().min(last)];
        seen |= answer;
        answer & PASSES
    };
    let passed = match numbers.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => bits_of(values, passes),
        // Under a null may be any number.
        Some(nulls) => BooleanBuffer::collect_bool(values.len(), |row| match nulls.is_valid(row) {
            true => passes(values[row]) == PASSES,
            false => null_passes,
        }),
    };
    (seen & UNKNOWN == 0).then_some(passed)
}
