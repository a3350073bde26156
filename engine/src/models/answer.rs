//! What `covar_matrix` and `linreg_stats` answer.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, ListArray, StructArray, UInt64Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use millpond_model::{Estimate, Linear, LinearOptions, Moments};

fn numbers_type() -> DataType {
    DataType::new_list(DataType::Float64, true)
}

fn numbers(values: Vec<Option<f64>>) -> ArrayRef {
    list(Arc::new(Float64Array::from(values)))
}

/// One list of all values.
fn list(values: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    Arc::new(ListArray::new(field, offsets, values, None))
}

fn fields(named: &[(&str, DataType)]) -> Fields {
    let field = |(name, kind): &(&str, DataType)| Field::new(*name, kind.clone(), true);
    named.iter().map(field).collect()
}

fn row(kind: &DataType, columns: Vec<ArrayRef>) -> Result<ScalarValue> {
    let DataType::Struct(fields) = kind else {
        return Err(DataFusionError::Internal("an answer that is no structure".into()));
    };
    let row = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(ScalarValue::Struct(Arc::new(row)))
}

/// `{count, left_out, means, covariances}`: of a sample, a list for each column.
pub(super) fn covariance_type() -> DataType {
    DataType::Struct(fields(&[
        ("count", DataType::UInt64),
        ("left_out", DataType::UInt64),
        ("means", numbers_type()),
        ("covariances", DataType::new_list(numbers_type(), true)),
    ]))
}

pub(super) fn covariance(sums: &Moments) -> Result<ScalarValue> {
    let columns = 0..sums.columns();
    let known = |value: f64| (!value.is_nan()).then_some(value);
    let means = columns.clone().map(|column| known(sums.mean(column))).collect();
    let all = columns
        .clone()
        .flat_map(|row| columns.clone().map(move |column| (row, column)));
    let values: Float64Array = all
        .map(|(row, column)| known(sums.covariance(row, column)))
        .collect();
    let field = Arc::new(Field::new_list_field(DataType::Float64, true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(sums.columns(), sums.columns()));
    let rows: ArrayRef = Arc::new(ListArray::new(field, offsets, Arc::new(values), None));
    row(
        &covariance_type(),
        vec![
            count(sums.count()),
            count(sums.left_out()),
            numbers(means),
            list(rows),
        ],
    )
}

fn count(value: u64) -> ArrayRef {
    Arc::new(UInt64Array::from(vec![value]))
}

/// `{count, left_out, intercept, coefficients, standard_errors, t, p, r2, adjusted_r2, rmse}`: lists have an
/// entry for each column behind the label.
pub(super) fn regression_type() -> DataType {
    DataType::Struct(fields(&[
        ("count", DataType::UInt64),
        ("left_out", DataType::UInt64),
        ("intercept", DataType::Float64),
        ("coefficients", numbers_type()),
        ("standard_errors", numbers_type()),
        ("t", numbers_type()),
        ("p", numbers_type()),
        ("r2", DataType::Float64),
        ("adjusted_r2", DataType::Float64),
        ("rmse", DataType::Float64),
    ]))
}

pub(super) fn regression(sums: &Moments) -> Result<ScalarValue> {
    let names: Vec<String> = (1..sums.columns())
        .map(|number| format!("column {number}"))
        .collect();
    let options = LinearOptions {
        l2: 0.0,
        intercept: true,
        standardize: false,
    };
    if sums.count() == 0 {
        return ScalarValue::try_from(&regression_type());
    }
    let fit = Linear::fit(sums, &names, options).map_err(super::functions::failed)?;
    let of = |part: fn(&Estimate) -> Option<f64>| {
        let estimates = fit.coefficients.iter();
        numbers(
            estimates
                .map(|estimate| estimate.as_ref().and_then(part))
                .collect(),
        )
    };
    let one = |value: Option<f64>| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
    row(
        &regression_type(),
        vec![
            count(sums.count()),
            count(sums.left_out()),
            one(fit.intercept.map(|intercept| intercept.value)),
            of(|estimate| Some(estimate.value)),
            of(|estimate| estimate.standard_error),
            of(|estimate| estimate.t),
            of(|estimate| estimate.p),
            one(fit.r2),
            one(fit.adjusted_r2),
            one(Some(fit.rmse)),
        ],
    )
}
