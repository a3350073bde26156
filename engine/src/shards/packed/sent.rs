//! Columns on their way to another executor, which get there as they are stored.
//!
//! An Arrow field and array stand for each column, so that Arrow's IPC format carries them: narrow distances with the least
//! value beside the field, places with their words as a dictionary, everything else as it is. What comes in is told apart
//! by the type that the column has in its table.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use datafusion::arrow::array::{
    Array, ArrayData, ArrayRef, ArrowPrimitiveType, AsArray, DictionaryArray, make_array,
};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    ArrowDictionaryKeyType, DataType, Field, FieldRef, UInt8Type, UInt16Type,
};
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::Result;

use super::texts::{are_views, compact};
use super::{Coding, Column};

/// Metadata of a field: the bytes of the value that distances are from.
const BASE: &str = "base";

impl Column {
    /// The field and array that stand for the column `name`.
    ///
    /// # Errors
    /// Those of Arrow's kernels.
    pub(in crate::shards) fn to_sent(&self, name: &str) -> Result<(FieldRef, ArrayRef)> {
        let field = |array: &ArrayRef| Field::new(name, array.data_type().clone(), true);
        let plain = |array: ArrayRef| (Arc::new(field(&array)), array);
        match &self.coding {
            Coding::Plain | Coding::Mapped if are_views(self.values.data_type()) => {
                Ok(plain(compact(&self.values)))
            }
            Coding::Plain | Coding::Mapped | Coding::Joined => Ok(plain(self.values.clone())),
            Coding::Distances(base) => {
                let base = BASE64_STANDARD.encode(bytes_of(base)?);
                let field = field(&self.values).with_metadata([(BASE.to_owned(), base)].into());
                Ok((Arc::new(field), self.values.clone()))
            }
            // A list of words for few rows is more than the rows.
            Coding::Words(words) if words.len() > self.values.len() => Ok(plain(compact(&self.unpack()?))),
            Coding::Numbers(_) => Ok(plain(self.unpack()?)),
            Coding::Words(words) => {
                let words = match words.data_type() {
                    DataType::Utf8View => cast(words, &DataType::Utf8)?,
                    DataType::BinaryView => cast(words, &DataType::Binary)?,
                    _ => words.clone(),
                };
                Ok(plain(dictionary(&self.values, words)?))
            }
        }
    }

    /// The column of this type that a field and an array stand for.
    ///
    /// # Errors
    /// What does not stand for such a column.
    pub(in crate::shards) fn of_sent(data_type: &DataType, field: &Field, array: &ArrayRef) -> Result<Self> {
        if let Some(base) = field.metadata().get(BASE) {
            let coding = Coding::Distances(value_of(base, data_type)?);
            let values = array.clone();
            return Ok(Self { values, coding });
        }
        if array.data_type() == data_type {
            return Ok(Self::plain(array.clone()));
        }
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            let values = dictionary.keys();
            let coding = Coding::Words(cast(dictionary.values(), data_type)?);
            let values = values.slice(0, values.len());
            return Ok(Self { values, coding });
        }
        match (data_type, array.data_type()) {
            (DataType::Utf8View, DataType::Utf8) | (DataType::BinaryView, DataType::Binary) => Ok(Self {
                values: array.clone(),
                coding: Coding::Joined,
            }),
            (wanted, sent) => internal_err!("a column of {wanted} that was sent as {sent}"),
        }
    }

    /// Parts of one column, one after the other.
    ///
    /// # Errors
    /// Parts of different columns.
    pub(in crate::shards) fn concat(parts: &[&Self]) -> Result<Self> {
        match parts {
            [] => internal_err!("a column without parts"),
            [only] => Ok((*only).clone()),
            [first, ..] => {
                let values: Vec<&dyn Array> = parts.iter().map(|part| part.values.as_ref()).collect();
                Ok(Self {
                    values: datafusion::arrow::compute::concat(&values)?,
                    coding: first.coding.clone(),
                })
            }
        }
    }
}

fn dictionary(places: &ArrayRef, words: ArrayRef) -> Result<ArrayRef> {
    fn of<K: ArrowDictionaryKeyType + ArrowPrimitiveType>(
        places: &ArrayRef,
        words: ArrayRef,
    ) -> Result<ArrayRef> {
        let places = places.as_primitive::<K>().clone();
        Ok(Arc::new(DictionaryArray::<K>::try_new(places, words)?))
    }
    match places.data_type() {
        DataType::UInt8 => of::<UInt8Type>(places, words),
        DataType::UInt16 => of::<UInt16Type>(places, words),
        other => internal_err!("places of type {other}"),
    }
}

/// The bytes of the only value of an array of fixed width.
fn bytes_of(value: &ArrayRef) -> Result<Vec<u8>> {
    let data = value.to_data();
    let width = value.data_type().primitive_width();
    let bytes = width.and_then(|width| {
        let start = data.offset() * width;
        data.buffers().first()?.get(start..start + width)
    });
    match bytes {
        Some(bytes) => Ok(bytes.to_vec()),
        None => internal_err!("distances from a value of type {}", value.data_type()),
    }
}

/// An array of one value, of its bytes.
fn value_of(bytes: &str, data_type: &DataType) -> Result<ArrayRef> {
    let bytes = BASE64_STANDARD
        .decode(bytes)
        .map_err(|error| internal_datafusion_err!("the least value of a column: {error}"))?;
    if Some(bytes.len()) != data_type.primitive_width() {
        return internal_err!("{} bytes for a value of type {data_type}", bytes.len());
    }
    let value = ArrayData::builder(data_type.clone())
        .len(1)
        .add_buffer(Buffer::from(bytes))
        .align_buffers(true)
        .build()?;
    Ok(make_array(value))
}
