//! Bytes, for which JSON has no form, become texts as the reader of the format takes them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::array::{ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;

use crate::decode::Coding;

/// A column as it goes into JSON.
///
/// # Errors
/// A value that is too large for its type.
pub(super) fn in_texts(column: &ArrayRef, coding: Coding) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let bytes = cast(column, &DataType::Binary)?;
            let texts = bytes.as_binary::<i32>().iter();
            let texts: StringArray = texts
                .map(|bytes| bytes.map(|bytes| text(bytes, coding)))
                .collect();
            Ok(Arc::new(texts))
        }
        _ => Ok(column.clone()),
    }
}

fn text(bytes: &[u8], coding: Coding) -> String {
    match coding {
        Coding::Base64 => STANDARD.encode(bytes),
        Coding::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Coding::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}
