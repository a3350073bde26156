//! `model_usable(x, ...)`: true for a row in which every number can be used, which is none that is null, NaN, infinite or beyond
//! [`LARGEST`](millpond_model::LARGEST). It is what formulas of models with several numbers begin with: one look at each number, where a comparison
//! and an `AND` for each would cost more than the formula.

use std::sync::Arc;

use datafusion::arrow::array::BooleanArray;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use millpond_model::keep_usable;

use super::functions::{Column, can_be_a_number, columns_of};

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(UsableFunction {
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct UsableFunction {
    signature: Signature,
}

impl ScalarUDFImpl for UsableFunction {
    fn name(&self) -> &'static str {
        "model_usable"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types.iter().find(|kind| !can_be_a_number(kind)) {
            Some(other) => plan_err!("model_usable is over numbers, and not {other}"),
            None => Ok(vec![DataType::Float64; types.len()]),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = args.args.iter().map(|values| values.to_array(args.number_rows));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut usable = vec![true; args.number_rows];
        for column in columns_of(&columns)?.iter().map(Column::numbers) {
            keep_usable(column, &mut usable);
        }
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(usable))))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, AsArray};

    use crate::session;

    async fn usable(rows: &str) -> Vec<bool> {
        let state = session::with_functions(datafusion::prelude::SessionConfig::new()).unwrap();
        let context = datafusion::prelude::SessionContext::new_with_state(state);
        let sql = format!("SELECT model_usable(a, b, 1) FROM (VALUES {rows}) AS rows (a, b)");
        let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
        let of_batch = |batch: &datafusion::arrow::array::RecordBatch| {
            let found = batch.column(0).as_boolean().clone();
            assert_eq!(found.null_count(), 0);
            found.values().iter().collect::<Vec<_>>()
        };
        batches.iter().flat_map(of_batch).collect()
    }

    #[tokio::test]
    async fn a_row_is_as_usable_as_its_worst_number() {
        let rows = "(1e0, 2), (1e140, -7), (-1.1e140, 1), (CAST('NaN' AS DOUBLE), 1), (CAST('-inf' AS DOUBLE), 1), (NULL, 1), (0e0, NULL)";
        assert_eq!(
            usable(rows).await,
            [true, true, false, false, false, false, false]
        );
    }
}
