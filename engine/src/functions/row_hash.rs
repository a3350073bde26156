//! A number that equal rows share.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::hash_utils::{QualityRandomState, create_hashes};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// The same on every executor.
const SEED: u64 = 0x6d69_6c6c_706f_6e64;

/// `row_hash(value, ...)`: a whole number of 64 bits that follows from some values, nulls among them. Rows that `GROUP BY` would put together
/// have the same; others hardly ever do. It is that of DataFusion's groups, and no cryptographic one: it may be another in
/// another version.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct RowHash {
    signature: Signature,
}

impl RowHash {
    pub(super) fn new() -> Self {
        Self {
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for RowHash {
    fn name(&self) -> &'static str {
        "row_hash"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the field says more")
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), DataType::Int64, false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|values| values.to_array(args.number_rows))
            .collect::<Result<_>>()?;
        let mut hashes = vec![0; args.number_rows];
        create_hashes(&columns, &QualityRandomState::with_seed(SEED), &mut hashes)?;
        let hashes = hashes.into_iter().map(u64::cast_signed);
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from_iter_values(
            hashes,
        ))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use datafusion::arrow::array::{Array, AsArray, DictionaryArray, StringArray, StringViewArray};
    use datafusion::arrow::datatypes::{Int8Type, Int64Type};

    use super::*;

    use crate::session;

    async fn hashes(rows: &str) -> Vec<i64> {
        let state = session::with_functions(datafusion::prelude::SessionConfig::new()).unwrap();
        let context = datafusion::prelude::SessionContext::new_with_state(state);
        let sql = format!("SELECT row_hash(a, b, c) FROM (VALUES {rows}) AS rows (a, b, c)");
        let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
        let columns = batches
            .iter()
            .map(|batch| batch.column(0).as_primitive::<Int64Type>());
        columns.flat_map(|column| column.values().to_vec()).collect()
    }

    #[tokio::test]
    async fn rows_that_are_one_group_have_one_hash() {
        let equal = [
            "(1, 'x', 0.0), (1, 'x', -0.0)",
            "(1, NULL, 2.5), (1, NULL, 2.5)",
            "(1, NULL, 'NaN'::DOUBLE), (1, NULL, 'NaN'::DOUBLE)",
            "([1, NULL], {a: 'x'}, 1.0), ([1, NULL], {a: 'x'}, 1.0)",
            "(NULL, 'a longer text than a view has within', 1.0), (NULL, 'a longer text than a view has within', 1.0)",
        ];
        for rows in equal {
            let found = hashes(rows).await;
            assert_eq!(found.len(), 2);
            assert_eq!(found[0], found[1], "{rows}");
        }
    }

    #[test]
    fn a_value_has_the_same_hash_however_its_array_is_built() {
        let hash = |values: ArrayRef| {
            let mut hashes = vec![0; values.len()];
            create_hashes([values], &QualityRandomState::with_seed(SEED), &mut hashes).unwrap();
            hashes
        };
        let long = "a text that no view has within";
        let texts = StringViewArray::from(vec![Some(long), None, Some("b")]);
        let alone = StringViewArray::from(vec![Some(long)]);
        assert_eq!(hash(Arc::new(texts.clone()))[0], hash(Arc::new(alone))[0]);
        let part = texts.slice(1, 2);
        assert_eq!(hash(Arc::new(part)), hash(Arc::new(texts))[1..]);
        // A null of a dictionary is a key or a word.
        let words: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
        let by_word = DictionaryArray::<Int8Type>::new(vec![0, 1].into(), words.clone());
        let by_key = DictionaryArray::<Int8Type>::new(vec![Some(0), None].into(), words);
        assert_eq!(hash(Arc::new(by_word)), hash(Arc::new(by_key)));
    }

    #[tokio::test]
    async fn other_rows_have_others() {
        let rows: Vec<String> = (0..2_000)
            .map(|row| format!("({}, '{}', {}.0)", row % 10, row % 20, row / 20))
            .collect();
        let found: HashSet<i64> = hashes(&rows.join(", ")).await.into_iter().collect();
        assert_eq!(found.len(), 2_000);
    }
}
