//! Codes of rows, and what they stand for.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, DictionaryArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::UInt32Type;
use datafusion::error::Result;

/// Most combinations of the values of columns that have codes.
const COMBINATIONS_MAX: usize = 1 << 16;

/// A column of values that are numbered.
pub(super) type Numbered = DictionaryArray<UInt32Type>;

/// A code for each combination of the values of some columns, where null comes after the values of a column.
#[derive(Default)]
pub(super) struct Codes {
    /// The values of each column.
    dictionaries: Vec<ArrayRef>,
    /// Of the rows of the last batch, if they are not the keys of its only column.
    rows: Vec<u32>,
}

impl Codes {
    /// True if codes of these columns stand for what they stood for until now.
    pub(super) fn know(&self, columns: &[&Numbered]) -> bool {
        let is_known = |(known, column): (&ArrayRef, &&Numbered)| {
            Arc::ptr_eq(known, column.values()) || known == column.values()
        };
        self.dictionaries.len() == columns.len() && self.dictionaries.iter().zip(columns).all(is_known)
    }

    /// From here on codes stand for values of these columns.
    pub(super) fn learn(&mut self, columns: &[&Numbered]) {
        self.dictionaries.clear();
        self.dictionaries
            .extend(columns.iter().map(|column| column.values().clone()));
    }

    /// The code of each row.
    pub(super) fn encode<'a>(&'a mut self, columns: &[&'a Numbered]) -> &'a [u32] {
        let nulls_of = |column: &'a Numbered| column.keys().nulls().filter(|nulls| nulls.null_count() > 0);
        if let [column] = columns
            && nulls_of(column).is_none()
        {
            return column.keys().values();
        }
        self.rows.clear();
        self.rows
            .resize(columns.first().map_or(0, |column| column.len()), 0);
        for column in columns {
            let null = column.values().len() as u32;
            let rows = self.rows.iter_mut().zip(column.keys().values());
            match nulls_of(column) {
                None => rows.for_each(|(code, key)| *code = *code * (null + 1) + key),
                Some(nulls) => rows.zip(nulls).for_each(|((code, key), is_valid)| {
                    *code = *code * (null + 1) + if is_valid { *key } else { null };
                }),
            }
        }
        &self.rows
    }

    /// The values that codes stand for, column by column.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn values_of(&self, codes: &UInt32Array) -> Result<Vec<ArrayRef>> {
        let mut left = codes.values().to_vec();
        let mut columns = Vec::with_capacity(self.dictionaries.len());
        for dictionary in self.dictionaries.iter().rev() {
            let null = dictionary.len() as u32;
            let keys = left
                .iter()
                .map(|code| Some(code % (null + 1)).filter(|key| *key < null));
            columns.push(take(dictionary, &UInt32Array::from_iter(keys), None)?);
            left.iter_mut().for_each(|code| *code /= null + 1);
        }
        columns.reverse();
        Ok(columns)
    }
}

/// Combinations of values and nulls, if these are not too many for codes.
pub(super) fn combinations(columns: &[&Numbered]) -> Option<usize> {
    let mut values = columns.iter().map(|column| column.values().len() + 1);
    let product = values.try_fold(1, |product: usize, values| product.checked_mul(values))?;
    (product <= COMBINATIONS_MAX).then_some(product)
}
