//! Times and versions of rows, as numbers that can be compared.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMillisecondType, UInt64Type};
use datafusion::common::Statistics;
use datafusion::error::Result;

/// Version of a row without one: it is older than all others.
pub(super) const NO_VERSION: i64 = i64::MIN;

/// True for types whose values are versions.
pub fn is_version(data_type: &DataType) -> bool {
    data_type.is_integer() || is_time(data_type)
}

/// True for types whose values are times.
pub fn is_time(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)
    )
}

/// Milliseconds since the Unix epoch of each value; `None` where it is null.
///
/// # Errors
/// A type that [`is_time`] does not know.
pub fn times(column: &ArrayRef) -> Result<Vec<Option<i64>>> {
    let times = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
    Ok(times.as_primitive::<TimestampMillisecondType>().iter().collect())
}

/// The greatest time of a column, milliseconds since the Unix epoch, if it has any.
pub(super) fn newest(statistics: &Statistics, place: usize) -> Option<i64> {
    let column = statistics.column_statistics.get(place)?;
    let greatest = column.max_value.get_value()?.to_array().ok()?;
    times(&greatest).ok()?.into_iter().next().flatten()
}

/// The version of each row.
///
/// # Errors
/// A type that [`is_version`] does not know.
pub(super) fn versions(column: &ArrayRef) -> Result<Vec<i64>> {
    if let Some(numbers) = column.as_primitive_opt::<UInt64Type>() {
        // The same order, in numbers with a sign.
        let moved = |number: u64| (number ^ (1 << 63)).cast_signed();
        return Ok(numbers
            .iter()
            .map(|number| number.map_or(NO_VERSION, moved))
            .collect());
    }
    let numbers = match column.data_type() {
        DataType::Date32 => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(column, &DataType::Int64)?,
    };
    let numbers = numbers.as_primitive::<Int64Type>();
    if numbers.null_count() == 0 {
        return Ok(numbers.values().to_vec());
    }
    Ok(numbers
        .iter()
        .map(|number| number.unwrap_or(NO_VERSION))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Date32Array, TimestampMicrosecondArray, UInt64Array};

    use super::*;

    #[test]
    fn versions_keep_their_order() {
        let column: ArrayRef = Arc::new(UInt64Array::from(vec![None, Some(0), Some(7), Some(u64::MAX)]));
        assert!(versions(&column).unwrap().is_sorted());
        let column: ArrayRef = Arc::new(Date32Array::from(vec![None, Some(-3), Some(20_000)]));
        assert_eq!(versions(&column).unwrap(), [NO_VERSION, -3, 20_000]);
    }

    #[test]
    fn times_are_in_milliseconds() {
        let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(5_000), None]));
        assert_eq!(times(&column).unwrap(), [Some(5), None]);
        let column: ArrayRef = Arc::new(Date32Array::from(vec![1]));
        assert_eq!(times(&column).unwrap(), [Some(86_400_000)]);
    }
}
