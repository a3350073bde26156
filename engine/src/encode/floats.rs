//! Numbers that JSON has no number for, as the words that its readers know: `NaN`, `Infinity` and `-Infinity`.

use std::fmt;

use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder};
use datafusion::arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{FieldRef, Float32Type, Float64Type};
use datafusion::arrow::error::ArrowError;
use serde::Serialize;

/// The word for a number that is not finite.
pub(super) fn word(number: f64) -> Option<&'static str> {
    match number {
        number if number.is_finite() => None,
        number if number.is_nan() => Some("NaN"),
        number if number > 0.0 => Some("Infinity"),
        _ => Some("-Infinity"),
    }
}

/// Writes columns that have such numbers; the others are written as ever.
#[derive(Debug)]
pub(super) struct Words;

impl EncoderFactory for Words {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let doubles = array.as_primitive_opt::<Float64Type>().and_then(encoder_of);
        Ok(doubles.or_else(|| array.as_primitive_opt::<Float32Type>().and_then(encoder_of)))
    }
}

struct Numbers<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

fn encoder_of<T>(numbers: &PrimitiveArray<T>) -> Option<NullableEncoder<'_>>
where
    T: ArrowPrimitiveType,
    T::Native: Into<f64> + Serialize,
{
    let needs_words = numbers
        .values()
        .iter()
        .any(|number| word((*number).into()).is_some());
    needs_words.then(|| NullableEncoder::new(Box::new(Numbers(numbers)), numbers.nulls().cloned()))
}

impl<T> Encoder for Numbers<'_, T>
where
    T: ArrowPrimitiveType,
    T::Native: Into<f64> + Serialize,
{
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let number = self.0.value(row);
        // Writing numbers and words to memory cannot fail.
        let _ = match word(number.into()) {
            Some(word) => serde_json::to_writer(out, word),
            None => serde_json::to_writer(out, &number),
        };
    }
}

impl<T: ArrowPrimitiveType> fmt::Debug for Numbers<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numbers")
    }
}
