//! What is known of rows without reading them: their number, and per column nulls, least, greatest and distinct values.
//!
//! They are taken when rows are stored, for each batch and for the shard. The planner sees those of shards, the scan
//! those of batches. As everywhere in DataFusion, what is exact may be answered without reading: so a column with
//! NaN has no bounds, because a comparison with NaN follows other rules than the order of values, and long texts
//! have none because they would weigh too much.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics, internal_datafusion_err};
use datafusion::error::Result;
use datafusion::functions_aggregate::approx_distinct::approx_distinct_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::PhysicalExpr;
use datafusion_proto_common::protobuf_common;
use millpond_proto::Message;

/// Bytes of the longest text that is kept as a bound.
const BOUND_BYTES_MAX: usize = 64;

/// Statistics of a batch, without distinct values. Types without an order have no bounds.
pub(super) fn of_batch(batch: &RecordBatch) -> Statistics {
    of_batch_by(batch, batch.columns())
}

/// As [`of_batch`], where `values` has for each column the same values, as often as it likes.
fn of_batch_by(batch: &RecordBatch, values: &[ArrayRef]) -> Statistics {
    let fields = batch.schema();
    let columns = batch.columns().iter().zip(values).zip(fields.fields());
    let column_statistics = columns.map(|((column, values), field)| ColumnStatistics {
        null_count: Precision::Exact(column.null_count()),
        ..of_column(values, field)
    });
    Statistics {
        num_rows: Precision::Exact(batch.num_rows()),
        total_byte_size: Precision::Inexact(batch.get_array_memory_size()),
        column_statistics: column_statistics.collect(),
    }
}

pub(super) fn of_column(column: &ArrayRef, field: &Arc<Field>) -> ColumnStatistics {
    let bound = |function: Arc<AggregateUDF>| {
        has_bounds(field.data_type())
            .then(|| aggregated(&function, field, column).ok())
            .flatten()
            .filter(is_bound)
    };
    let (min, max) = match (bound(min_udaf()), bound(max_udaf())) {
        (Some(min), Some(max)) => (Precision::Exact(min), Precision::Exact(max)),
        _ => (Precision::Absent, Precision::Absent),
    };
    ColumnStatistics {
        null_count: Precision::Exact(column.null_count()),
        min_value: min,
        max_value: max,
        ..ColumnStatistics::new_unknown()
    }
}

fn has_bounds(data_type: &DataType) -> bool {
    data_type.is_primitive()
        || matches!(
            data_type,
            DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        )
}

fn is_bound(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float16(Some(number)) => !number.is_nan(),
        ScalarValue::Float32(Some(number)) => !number.is_nan(),
        ScalarValue::Float64(Some(number)) => !number.is_nan(),
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => text.len() <= BOUND_BYTES_MAX,
        other => !other.is_null(),
    }
}

/// Statistics of a shard that is being written, from its batches one by one.
#[derive(Debug)]
pub(super) struct Collector {
    schema: SchemaRef,
    of_batches: Vec<Arc<Statistics>>,
    /// For each column what counts its values, if they can be counted.
    distinct: Vec<Option<Box<dyn Accumulator>>>,
}

impl Collector {
    pub(super) fn new(schema: SchemaRef) -> Self {
        let distinct = schema.fields().iter();
        let distinct = distinct.map(|field| accumulator(&approx_distinct_udaf(), field).ok());
        Self {
            distinct: distinct.collect(),
            of_batches: Vec::new(),
            schema,
        }
    }

    /// Bytes that the statistics of one batch take, about.
    pub(super) fn bytes_per_batch(&self) -> usize {
        size_of::<Statistics>() + self.distinct.len() * size_of::<ColumnStatistics>()
    }

    /// Adds a batch. `values` has for each column the same values, as often as it likes: the fewer, the faster.
    pub(super) fn add(&mut self, batch: &RecordBatch, values: &[ArrayRef]) {
        self.of_batches.push(Arc::new(of_batch_by(batch, values)));
        for (distinct, column) in self.distinct.iter_mut().zip(values) {
            if let Some(values) = distinct
                && values.update_batch(std::slice::from_ref(column)).is_err()
            {
                *distinct = None;
            }
        }
    }

    /// Statistics of each batch, and of all with an estimate of distinct values.
    ///
    /// # Errors
    /// Batches of different columns.
    pub(super) fn finish(self) -> Result<(Vec<Arc<Statistics>>, Statistics)> {
        let mut merged = merge(&self.schema, self.of_batches.iter().map(Arc::as_ref))?;
        for (column, distinct) in merged.column_statistics.iter_mut().zip(self.distinct) {
            let distinct = distinct.and_then(|mut values| values.evaluate().ok());
            if let Some(ScalarValue::UInt64(Some(count))) = distinct {
                column.distinct_count = Precision::Inexact(usize::try_from(count).unwrap_or(usize::MAX));
            }
        }
        Ok((self.of_batches, merged))
    }
}

/// Statistics of all rows together. Those of no rows at all say zero rows.
///
/// # Errors
/// Statistics of different columns.
pub fn merge<'a>(schema: &Schema, parts: impl IntoIterator<Item = &'a Statistics>) -> Result<Statistics> {
    let mut parts = parts.into_iter().peekable();
    if parts.peek().is_none() {
        return Ok(Statistics {
            num_rows: Precision::Exact(0),
            total_byte_size: Precision::Inexact(0),
            ..Statistics::new_unknown(schema)
        });
    }
    let mut merged = Statistics::try_merge_iter(parts, schema)?;
    // An exact size would make the adaptive planner read the whole table in every task of a broadcast join.
    merged.total_byte_size = merged.total_byte_size.to_inexact();
    Ok(merged)
}

/// An aggregate function over one column.
fn accumulator(function: &AggregateUDF, field: &Arc<Field>) -> Result<Box<dyn Accumulator>> {
    let schema = Schema::new(vec![field.clone()]);
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), 0));
    let return_field = function.return_field(std::slice::from_ref(field))?;
    function.accumulator(AccumulatorArgs {
        return_field,
        schema: &schema,
        ignore_nulls: false,
        order_bys: &[],
        name: function.name(),
        is_distinct: false,
        exprs: &[column],
        expr_fields: std::slice::from_ref(field),
        is_reversed: false,
    })
}

/// What an aggregate function answers over a column.
fn aggregated(function: &AggregateUDF, field: &Arc<Field>, values: &ArrayRef) -> Result<ScalarValue> {
    let mut accumulator = accumulator(function, field)?;
    accumulator.update_batch(std::slice::from_ref(values))?;
    accumulator.evaluate()
}

/// Statistics as they are sent and stored.
pub fn encode(statistics: &Statistics) -> Vec<u8> {
    protobuf_common::Statistics::from(statistics).encode_to_vec()
}

/// Reads what [`encode`] made.
///
/// # Errors
/// Bytes of another version.
pub fn decode(bytes: &[u8]) -> Result<Statistics> {
    let message = protobuf_common::Statistics::decode(bytes)
        .map_err(|error| internal_datafusion_err!("statistics of another version: {error}"))?;
    Statistics::try_from(&message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Float64Array, Int64Array, StringArray};

    fn batch(numbers: Vec<Option<i64>>, floats: Vec<f64>, texts: Vec<&str>) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("f", DataType::Float64, true),
            Field::new("t", DataType::Utf8, true),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(numbers)),
            Arc::new(Float64Array::from(floats)),
            Arc::new(StringArray::from(texts)),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    fn of(batches: &[RecordBatch]) -> Statistics {
        let mut collector = Collector::new(batches[0].schema());
        batches
            .iter()
            .for_each(|batch| collector.add(batch, batch.columns()));
        collector.finish().unwrap().1
    }

    #[test]
    fn bounds_nulls_and_distinct_values_of_a_shard() {
        let parts = [
            batch(vec![Some(3), None], vec![1.0, 2.0], vec!["b", "c"]),
            batch(vec![Some(-1), Some(3)], vec![0.5, 2.0], vec!["a", "c"]),
        ];
        let whole = of(&parts);
        assert_eq!(whole.num_rows, Precision::Exact(4));
        let [n, f, t] = whole.column_statistics.as_slice() else {
            panic!("three columns");
        };
        assert_eq!(n.null_count, Precision::Exact(1));
        assert_eq!(n.min_value, Precision::Exact(ScalarValue::from(-1i64)));
        assert_eq!(n.max_value, Precision::Exact(ScalarValue::from(3i64)));
        assert_eq!(n.distinct_count, Precision::Inexact(2));
        assert_eq!(f.min_value, Precision::Exact(ScalarValue::from(0.5)));
        assert_eq!(t.max_value, Precision::Exact(ScalarValue::from("c")));
        assert_eq!(decode(&encode(&whole)).unwrap(), whole);
    }

    #[test]
    fn nan_nulls_only_and_long_texts_have_no_bounds() {
        let long = "x".repeat(100);
        let whole = of(&[batch(vec![None, None], vec![1.0, f64::NAN], vec!["a", &long])]);
        for column in &whole.column_statistics {
            assert_eq!(column.min_value, Precision::Absent);
            assert_eq!(column.max_value, Precision::Absent);
        }
    }

    #[test]
    fn nothing_is_zero_rows() {
        let schema = batch(vec![], vec![], vec![]).schema();
        assert_eq!(merge(&schema, []).unwrap().num_rows, Precision::Exact(0));
    }
}
