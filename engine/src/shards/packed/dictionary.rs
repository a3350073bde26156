//! Columns that are wanted as Arrow dictionaries: the numbers that packed values are, and one list of what they stand for.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, DictionaryArray, UInt32Array};
use datafusion::arrow::compute::{cast, max};
use datafusion::arrow::datatypes::{DataType, UInt8Type, UInt16Type, UInt32Type};
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::{Coding, Column, integers};

/// The type of a dictionary of such values.
pub(in crate::shards) fn dictionary_of(values: &DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(values.clone()))
}

impl Column {
    /// Greatest number of different values that it may have, if they are numbered and few.
    pub(in crate::shards) fn values_max(&self) -> Option<usize> {
        match &self.coding {
            Coding::Words(words) => Some(words.len()),
            Coding::Distances(_) => greatest(&self.values).map(|greatest| greatest as usize + 1),
            Coding::Plain | Coding::Mapped | Coding::Joined | Coding::Numbers(_) => None,
        }
    }

    /// The same column as a dictionary. Slices of it share the values of that.
    ///
    /// # Errors
    /// A type that has no dictionaries.
    pub(in crate::shards) fn to_dictionary(&self) -> Result<Self> {
        let values = match &self.coding {
            Coding::Words(values) => values.clone(),
            Coding::Distances(least) if let Some(greatest) = greatest(&self.values) => {
                let distances: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..=greatest));
                integers::unpack(&distances, least)?
            }
            _ => {
                let plain = self.unpack()?;
                return Ok(Self::plain(cast(&plain, &dictionary_of(plain.data_type()))?));
            }
        };
        Ok(Self {
            values: self.values.clone(),
            coding: Coding::Numbers(values),
        })
    }
}

/// The dictionary of numbers that are places in `values`.
pub(super) fn dictionary(numbers: &ArrayRef, values: &ArrayRef) -> Result<ArrayRef> {
    // Arrow's cast takes longer: it asks of each number whether it has one in the other type.
    let keys = match numbers.data_type() {
        DataType::UInt8 => numbers.as_primitive::<UInt8Type>().unary(u32::from),
        DataType::UInt16 => numbers.as_primitive::<UInt16Type>().unary(u32::from),
        other => return internal_err!("numbers of type {other}"),
    };
    let dictionary = DictionaryArray::<UInt32Type>::try_new(keys, values.clone())?;
    Ok(Arc::new(dictionary))
}

/// The greatest distance, of narrow ones; 0 if all are null.
fn greatest(distances: &ArrayRef) -> Option<u32> {
    match distances.data_type() {
        DataType::UInt8 => Some(max(distances.as_primitive::<UInt8Type>()).unwrap_or(0).into()),
        DataType::UInt16 => Some(max(distances.as_primitive::<UInt16Type>()).unwrap_or(0).into()),
        _ => None,
    }
}
