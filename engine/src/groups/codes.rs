//! From the codes of dictionaries to groups.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, DictionaryArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::UInt32Type;
use datafusion::error::Result;
use datafusion::physical_plan::aggregates::group_values::GroupValues;

/// Most combinations of codes that have a table.
const TABLE_MAX: usize = 1 << 16;

/// The code has no group yet.
const NONE: usize = usize::MAX;
/// It is about to get one.
const PENDING: usize = usize::MAX - 1;

/// The groups of combinations of codes, as long as these are of the same dictionaries.
#[derive(Default)]
pub(super) struct Codes {
    dictionaries: Vec<ArrayRef>,
    groups: Vec<usize>,
    /// Of the rows that are grouped, if their keys alone are not their codes.
    codes: Vec<u32>,
}

impl Codes {
    /// Finds the group of each row; `values` knows groups by their values and numbers them.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn groups_of(
        &mut self,
        columns: &[&DictionaryArray<UInt32Type>],
        values: &mut dyn GroupValues,
        groups: &mut Vec<usize>,
    ) -> Result<()> {
        let Some(combinations) = combinations(columns) else {
            let columns = columns
                .iter()
                .map(|column| take(column.values(), column.keys(), None));
            return values.intern(&columns.collect::<Result<Vec<_>, _>>()?, groups);
        };
        self.prepare(columns, combinations);
        if let [column] = columns
            && column.keys().nulls().is_none()
        {
            return self.look_up(column.keys().values(), values, groups);
        }
        self.encode(columns);
        let codes = std::mem::take(&mut self.codes);
        self.look_up(&codes, values, groups)?;
        self.codes = codes;
        Ok(())
    }

    /// Forgets all groups, because they are numbered anew.
    pub(super) fn clear(&mut self) {
        self.dictionaries.clear();
    }

    fn prepare(&mut self, columns: &[&DictionaryArray<UInt32Type>], combinations: usize) {
        let is_known =
            |(known, column): (&ArrayRef, &&DictionaryArray<UInt32Type>)| Arc::ptr_eq(known, column.values());
        let are_known =
            self.dictionaries.len() == columns.len() && self.dictionaries.iter().zip(columns).all(is_known);
        if !are_known {
            self.dictionaries = columns.iter().map(|column| column.values().clone()).collect();
            self.groups.clear();
            self.groups.resize(combinations, NONE);
        }
    }

    /// Makes one code of the codes of all columns, where null comes after the values.
    fn encode(&mut self, columns: &[&DictionaryArray<UInt32Type>]) {
        self.codes.clear();
        for (number, column) in columns.iter().enumerate() {
            let null = column.values().len() as u32;
            let keys = column.keys().values().iter().copied();
            match (number, column.keys().nulls()) {
                (0, None) => self.codes.extend(keys),
                (0, Some(nulls)) => self
                    .codes
                    .extend(keys.zip(nulls).map(|(key, valid)| if valid { key } else { null })),
                (_, None) => {
                    for (code, key) in self.codes.iter_mut().zip(keys) {
                        *code = *code * (null + 1) + key;
                    }
                }
                (_, Some(nulls)) => {
                    for ((code, key), valid) in self.codes.iter_mut().zip(keys).zip(nulls) {
                        *code = *code * (null + 1) + if valid { key } else { null };
                    }
                }
            }
        }
    }

    /// The group of each code. Those that have none get one.
    fn look_up(
        &mut self,
        codes: &[u32],
        values: &mut dyn GroupValues,
        groups: &mut Vec<usize>,
    ) -> Result<()> {
        groups.clear();
        groups.extend(codes.iter().map(|code| self.groups[*code as usize]));
        if groups.contains(&NONE) {
            self.learn(codes, values)?;
            groups.clear();
            groups.extend(codes.iter().map(|code| self.groups[*code as usize]));
        }
        Ok(())
    }

    fn learn(&mut self, codes: &[u32], values: &mut dyn GroupValues) -> Result<()> {
        let mut new = Vec::new();
        for code in codes {
            let group = &mut self.groups[*code as usize];
            if *group == NONE {
                *group = PENDING;
                new.push(*code);
            }
        }
        let mut columns = Vec::with_capacity(self.dictionaries.len());
        let mut left = new.clone();
        for dictionary in self.dictionaries.iter().rev() {
            let null = dictionary.len() as u32;
            let keys = left
                .iter()
                .map(|code| Some(code % (null + 1)).filter(|key| *key < null));
            columns.push(take(dictionary, &UInt32Array::from_iter(keys), None)?);
            left.iter_mut().for_each(|code| *code /= null + 1);
        }
        columns.reverse();
        let mut groups = Vec::new();
        values.intern(&columns, &mut groups)?;
        for (code, group) in new.into_iter().zip(groups) {
            self.groups[code as usize] = group;
        }
        Ok(())
    }
}

/// Combinations of values and nulls, if these are not too many for a table.
fn combinations(columns: &[&DictionaryArray<UInt32Type>]) -> Option<usize> {
    let mut values = columns.iter().map(|column| column.values().len() + 1);
    let product = values.try_fold(1, |product: usize, values| product.checked_mul(values))?;
    (product <= TABLE_MAX).then_some(product)
}
