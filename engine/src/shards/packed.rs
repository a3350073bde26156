//! Columns of stored batches, in fewer bytes than plain Arrow has for them.
//!
//! A [`Column`] holds an Arrow array that is smaller than the one it stands for, and a [`Coding`] that says how to
//! get from one to the other. Slices and filters work on the small array, so that only rows that are wanted are
//! unpacked, and every step is a kernel over whole arrays.
//!
//! ```text
//! integers, dates, times, decimals   distances from the least value, of 1, 2, 4 or 8 bytes
//! texts and bytes that repeat        places in a list of different values, of 1 or 2 bytes
//! other views                        texts one after the other, without the 16 bytes of a view
//! everything else                    as it is
//! ```
//!
//! What comes out has the type that went in and the same values; slots of nulls may differ.

mod answers;
mod bits;
mod dictionary;
mod integers;
mod sent;
mod texts;

use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef, new_empty_array};
use datafusion::arrow::compute::{FilterPredicate, concat};
use datafusion::error::Result;

pub(super) use self::answers::{Answers, Domain};
pub(super) use self::dictionary::dictionary_of;

/// A column, or a part of one, as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Column {
    values: ArrayRef,
    coding: Coding,
}

/// What the values of a [`Column`] are.
#[derive(Debug, Clone)]
enum Coding {
    /// The column.
    Plain,
    /// The column, in memory that is not ours: what is unpacked is copied, so that its bytes count as they should.
    Mapped,
    /// The texts of a column of views.
    Joined,
    /// Distances from the only value of this array.
    Distances(ArrayRef),
    /// Places in this array.
    Words(ArrayRef),
    /// The same of a column that is wanted as a dictionary.
    Numbers(ArrayRef),
}

impl Column {
    /// Packs a column. The result shares no memory with it.
    ///
    /// # Errors
    /// Those of Arrow's kernels, as for more than 2 GiB of text.
    pub(super) fn pack(column: &ArrayRef) -> Result<Self> {
        let packed = match integers::pack(column) {
            Some(packed) => packed,
            None if texts::are_in(column.data_type()) => texts::pack(column)?,
            None => Self::plain(own(column)?),
        };
        Ok(packed.shrunk())
    }

    /// A column as it is, which may share memory with others.
    pub(super) fn plain(values: ArrayRef) -> Self {
        let coding = Coding::Plain;
        Self { values, coding }
    }

    /// A column of a file that is mapped into memory.
    pub(super) fn mapped(values: ArrayRef) -> Self {
        let coding = Coding::Mapped;
        Self { values, coding }
    }

    /// Some of its rows, not copied.
    pub(super) fn slice(&self, rows: &Range<usize>) -> Self {
        Self {
            values: self.values.slice(rows.start, rows.len()),
            coding: self.coding.clone(),
        }
    }

    /// The rows that pass.
    ///
    /// # Errors
    /// A filter of another length.
    pub(super) fn filter(&self, passed: &FilterPredicate) -> Result<Self> {
        let coding = match &self.coding {
            // The rows of views stay where they are.
            Coding::Mapped if !texts::are_views(self.values.data_type()) => Coding::Plain,
            coding => coding.clone(),
        };
        let values = passed.filter(&self.values)?;
        Ok(Self { values, coding })
    }

    /// The column in the type it had.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn unpack(&self) -> Result<ArrayRef> {
        match &self.coding {
            Coding::Plain => Ok(self.values.clone()),
            Coding::Mapped if texts::are_views(self.values.data_type()) => Ok(texts::compact(&self.values)),
            Coding::Mapped => own(&self.values),
            Coding::Joined => texts::views(&self.values),
            Coding::Distances(base) => integers::unpack(&self.values, base),
            Coding::Words(words) => texts::spell(&self.values, words),
            Coding::Numbers(values) => dictionary::dictionary(&self.values, values),
        }
    }

    /// Its values without most of the repetitions, of a whole column whose coding knows them.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn different(&self) -> Result<Option<ArrayRef>> {
        match &self.coding {
            Coding::Words(words) => Ok(Some(words.clone())),
            Coding::Distances(base) => integers::different(&self.values)
                .map(|distances| integers::unpack(&distances, base))
                .transpose(),
            Coding::Plain | Coding::Mapped | Coding::Joined | Coding::Numbers(_) => Ok(None),
        }
    }

    /// The same in memory of its own.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn to_own(&self) -> Result<Self> {
        let owned = |array: &ArrayRef| match texts::are_views(array.data_type()) {
            true => Ok(texts::compact(array)),
            false => own(array),
        };
        let coding = match &self.coding {
            Coding::Distances(base) => Coding::Distances(owned(base)?),
            Coding::Words(words) => Coding::Words(owned(words)?),
            Coding::Numbers(values) => Coding::Numbers(owned(values)?),
            Coding::Mapped => Coding::Plain,
            coding @ (Coding::Plain | Coding::Joined) => coding.clone(),
        };
        let values = owned(&self.values)?;
        Ok(Self { values, coding }.shrunk())
    }

    fn shrunk(mut self) -> Self {
        self.values = integers::without_idle_nulls(self.values);
        self.values.shrink_to_fit();
        if let Coding::Words(words) = &mut self.coding {
            words.shrink_to_fit();
        }
        self
    }

    /// Number of its rows without a value.
    pub(super) fn nulls(&self) -> usize {
        self.values.null_count()
    }

    /// Bytes of its buffers, with what describes them.
    pub(super) fn bytes(&self) -> usize {
        let of_coding = match &self.coding {
            Coding::Distances(array) | Coding::Words(array) | Coding::Numbers(array) => {
                array.get_array_memory_size()
            }
            Coding::Plain | Coding::Mapped | Coding::Joined => 0,
        };
        self.values.get_array_memory_size() + of_coding
    }
}

/// A copy that shares no memory with anything else.
fn own(values: &ArrayRef) -> Result<ArrayRef> {
    // One array alone would not be copied.
    let nothing = new_empty_array(values.data_type());
    Ok(concat(&[nothing.as_ref(), values.as_ref()])?)
}

#[cfg(test)]
mod tests;
