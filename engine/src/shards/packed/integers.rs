//! Numbers in narrow types: their distances from the least of them.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, PrimitiveArray, downcast_primitive_array,
};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{
    ArrowNativeType, DataType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::{Coding, Column};

/// `None` for a column that has no integers, or whose values are too far apart for a narrower type.
pub(super) fn pack(column: &ArrayRef) -> Option<Column> {
    if !has_integers(column.data_type()) {
        return None;
    }
    downcast_primitive_array!(
        column => {
            let (least, distances) = distances(column.values(), column.nulls())?;
            let least = typed_as(column, ScalarBuffer::from(vec![least]), None);
            Some(Column { values: distances, coding: Coding::Distances(least) })
        },
        _ => None
    )
}

/// Adds the only value of `least` to every distance.
pub(super) fn unpack(distances: &ArrayRef, least: &ArrayRef) -> Result<ArrayRef> {
    downcast_primitive_array!(
        least => {
            let base = least.value(0);
            let values = match distances.data_type() {
                DataType::UInt8 => raised(distances.as_primitive::<UInt8Type>(), base),
                DataType::UInt16 => raised(distances.as_primitive::<UInt16Type>(), base),
                DataType::UInt32 => raised(distances.as_primitive::<UInt32Type>(), base),
                DataType::UInt64 => raised(distances.as_primitive::<UInt64Type>(), base),
                other => return internal_err!("distances of type {other}"),
            };
            Ok(typed_as(least, values, distances.nulls().cloned()))
        },
        other => internal_err!("distances of values of type {other}")
    )
}

/// How far the only value of `to` is above the only one of `from`. `None` if it is below, or too far, or of another type.
pub(super) fn distance(to: &ArrayRef, from: &ArrayRef) -> Option<usize> {
    if to.data_type() != from.data_type() {
        return None;
    }
    downcast_primitive_array!(
        to => distance_of(to, from),
        _ => None
    )
}

fn distance_of<T: ArrowPrimitiveType>(to: &PrimitiveArray<T>, from: &ArrayRef) -> Option<usize> {
    let (to, from) = (to.value(0), from.as_primitive_opt::<T>()?.value(0));
    let distance = to
        .sub_checked(from)
        .ok()
        .filter(|distance| distance.is_ge(T::Native::ZERO))?;
    Some(distance.as_usize()).filter(|bytes| T::Native::usize_as(*bytes) == distance)
}

/// Every distance once, without nulls. `None` if it is not worth it: they may all be different.
pub(super) fn different(distances: &ArrayRef) -> Option<ArrayRef> {
    match distances.data_type() {
        DataType::UInt8 => once(distances.as_primitive::<UInt8Type>(), 1 << 8),
        DataType::UInt16 => once(distances.as_primitive::<UInt16Type>(), 1 << 16),
        _ => None,
    }
}

/// The values that there are of so many possible ones, if these are no more than the rows.
fn once<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, possible: usize) -> Option<ArrayRef> {
    if possible > values.len() {
        return None;
    }
    let mut is_there = vec![false; possible];
    match values.nulls() {
        None => values
            .values()
            .iter()
            .for_each(|value| is_there[value.as_usize()] = true),
        Some(_) => values
            .iter()
            .flatten()
            .for_each(|value| is_there[value.as_usize()] = true),
    }
    let found = is_there.iter().enumerate().filter(|(_, is_there)| **is_there);
    let found = found.map(|(value, _)| T::Native::usize_as(value));
    Some(Arc::new(PrimitiveArray::<T>::from_iter_values(found)))
}

/// The same numbers without a list of nulls that has none: it would be looked at for each row. Others stay as they are.
pub(super) fn without_idle_nulls(column: ArrayRef) -> ArrayRef {
    if column.nulls().is_none_or(|nulls| nulls.null_count() > 0) {
        return column;
    }
    let numbers = &column;
    downcast_primitive_array!(
        numbers => typed_as(numbers, numbers.values().clone(), None),
        _ => column
    )
}

fn has_integers(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(..)
                | DataType::Duration(_)
                | DataType::Decimal32(..)
                | DataType::Decimal64(..)
                | DataType::Decimal128(..)
        )
}

/// An array of the type that `like` has, with time zone or scale.
fn typed_as<T: ArrowPrimitiveType>(
    like: &PrimitiveArray<T>,
    values: ScalarBuffer<T::Native>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values, nulls).with_data_type(like.data_type().clone()))
}

/// The least value and the distances from it, in the narrowest type that holds them.
fn distances<N: ArrowNativeTypeOp>(values: &[N], nulls: Option<&NullBuffer>) -> Option<(N, ArrayRef)> {
    let (least, greatest) = bounds(values, nulls)?;
    let range = greatest.sub_checked(least).ok()?;
    // A range of more than eight bytes does not come back.
    let range = Some(range.as_usize()).filter(|bytes| N::usize_as(*bytes) == range)?;
    let distances = match range {
        0..=0xff if size_of::<N>() > 1 => lowered::<UInt8Type, N>(values, least, nulls),
        0..=0xffff if size_of::<N>() > 2 => lowered::<UInt16Type, N>(values, least, nulls),
        0..=0xffff_ffff if size_of::<N>() > 4 => lowered::<UInt32Type, N>(values, least, nulls),
        _ if size_of::<N>() > 8 => lowered::<UInt64Type, N>(values, least, nulls),
        _ => return None,
    };
    Some((least, distances))
}

/// Least and greatest value that are not null; zero where all are.
fn bounds<N: ArrowNativeTypeOp>(values: &[N], nulls: Option<&NullBuffer>) -> Option<(N, N)> {
    let wider = |(least, greatest): (N, N), value: N| {
        let least = if value.is_lt(least) { value } else { least };
        let greatest = if value.is_gt(greatest) { value } else { greatest };
        (least, greatest)
    };
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => {
            let first = *values.first()?;
            Some(values.iter().copied().fold((first, first), wider))
        }
        Some(nulls) => {
            let mut valid = nulls.valid_indices().map(|index| values[index]);
            let first = valid.next().unwrap_or(N::ZERO);
            Some(valid.fold((first, first), wider))
        }
    }
}

fn lowered<O: ArrowPrimitiveType, N: ArrowNativeTypeOp>(
    values: &[N],
    least: N,
    nulls: Option<&NullBuffer>,
) -> ArrayRef {
    // Under a null may be anything, and it is cut off.
    let distances = values
        .iter()
        .map(|value| O::Native::usize_as(value.sub_wrapping(least).as_usize()));
    let distances = ScalarBuffer::from(distances.collect::<Vec<O::Native>>());
    Arc::new(PrimitiveArray::<O>::new(distances, nulls.cloned()))
}

fn raised<O: ArrowPrimitiveType, N: ArrowNativeTypeOp>(
    distances: &PrimitiveArray<O>,
    least: N,
) -> ScalarBuffer<N> {
    let values = distances
        .values()
        .iter()
        .map(|distance| least.add_wrapping(N::usize_as(distance.as_usize())));
    ScalarBuffer::from(values.collect::<Vec<N>>())
}
