//! Texts and bytes: a list of different ones where they repeat, else one after the other.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, GenericByteViewArray, StringViewArray,
};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{BinaryType, ByteArrayType, ByteViewType, DataType, Utf8Type};
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::{Coding, Column, own};

/// Rows that tell whether a column repeats itself.
const SAMPLE_ROWS: usize = 1_024;

pub(super) fn are_in(data_type: &DataType) -> bool {
    use DataType::{Binary, LargeBinary, LargeUtf8, Utf8};
    are_views(data_type) || matches!(data_type, Utf8 | LargeUtf8 | Binary | LargeBinary)
}

pub(super) fn are_views(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8View | DataType::BinaryView)
}

pub(super) fn pack(column: &ArrayRef) -> Result<Column> {
    let (mut joined, coding) = match column.data_type() {
        DataType::Utf8View => (cast(column, &DataType::Utf8)?, Coding::Joined),
        DataType::BinaryView => (cast(column, &DataType::Binary)?, Coding::Joined),
        _ => (own(column)?, Coding::Plain),
    };
    joined.shrink_to_fit();
    if let Some(packed) = words(&joined, column.data_type())? {
        return Ok(packed);
    }
    Ok(Column {
        values: joined,
        coding,
    })
}

/// Places in a list of words, if that is smaller.
fn words(texts: &ArrayRef, wanted: &DataType) -> Result<Option<Column>> {
    let sample = texts.slice(0, texts.len().min(SAMPLE_ROWS));
    let Some((places, found)) = numbered(&sample, DataType::UInt16) else {
        return Ok(None);
    };
    let (rows, different) = (places.len(), found.len());
    // Ten thousand words in all are still worth it; they show 970 in a sample.
    if different > rows - rows / 20 {
        return Ok(None);
    }
    let few = (different <= usize::from(u8::MAX))
        .then(|| numbered(texts, DataType::UInt8))
        .flatten();
    let Some((values, words)) = few.or_else(|| numbered(texts, DataType::UInt16)) else {
        return Ok(None);
    };
    let words = own(&cast(&words, wanted)?)?;
    let coding = Coding::Words(words);
    let packed = Column { values, coding };
    Ok(Some(packed).filter(|packed| packed.bytes() < texts.get_array_memory_size()))
}

/// Places of this type and the words they point to; `None` if there are too many of them.
fn numbered(texts: &ArrayRef, places: DataType) -> Option<(ArrayRef, ArrayRef)> {
    let words = Box::new(texts.data_type().clone());
    let numbered = cast(texts, &DataType::Dictionary(Box::new(places), words)).ok()?;
    let numbered = numbered.as_any_dictionary_opt()?;
    let keys = numbered.keys();
    Some((keys.slice(0, keys.len()), numbered.values().clone()))
}

/// The word at each place.
pub(super) fn spell(places: &ArrayRef, words: &ArrayRef) -> Result<ArrayRef> {
    let texts = take(words, places, None)?;
    match texts.data_type() {
        DataType::Utf8View => Ok(without_long_lists(texts.as_string_view(), &texts)),
        DataType::BinaryView => Ok(without_long_lists(texts.as_binary_view(), &texts)),
        _ => Ok(texts),
    }
}

/// Leaves the texts where the list of words has them, unless few rows would keep a long list.
fn without_long_lists<V: ByteViewType>(views: &GenericByteViewArray<V>, array: &ArrayRef) -> ArrayRef {
    let listed: usize = views.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
    if listed > views.len() * size_of::<u128>() {
        Arc::new(views.gc())
    } else {
        array.clone()
    }
}

/// Views of texts that lie one after the other. Texts outside of the array are not kept.
pub(super) fn views(texts: &ArrayRef) -> Result<ArrayRef> {
    match texts.data_type() {
        DataType::Utf8 => {
            let texts = trimmed::<Utf8Type>(texts)?;
            Ok(Arc::new(StringViewArray::from(texts.as_string::<i32>())))
        }
        DataType::Binary => {
            let texts = trimmed::<BinaryType>(texts)?;
            Ok(Arc::new(BinaryViewArray::from(texts.as_binary::<i32>())))
        }
        other => internal_err!("texts of type {other}"),
    }
}

fn trimmed<T: ByteArrayType<Offset = i32>>(texts: &ArrayRef) -> Result<ArrayRef> {
    let array = texts.as_bytes::<T>();
    let used = array.value_offsets().last().unwrap_or(&0) - array.value_offsets().first().unwrap_or(&0);
    if usize::try_from(used).is_ok_and(|used| used == array.values().len()) {
        Ok(texts.clone())
    } else {
        own(texts)
    }
}

/// Views with buffers of their own.
pub(super) fn compact(views: &ArrayRef) -> ArrayRef {
    match views.data_type() {
        DataType::Utf8View => Arc::new(views.as_string_view().gc()),
        DataType::BinaryView => Arc::new(views.as_binary_view().gc()),
        _ => views.clone(),
    }
}
