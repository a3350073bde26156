//! Bytes, for which texts have no form, are written as the reader of the format takes them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;

use crate::decode::Coding;

/// Some columns of rows, those of bytes as texts.
///
/// # Errors
/// A value that is too large for its type.
pub(super) fn in_texts(
    rows: &RecordBatch,
    columns: &[usize],
    coding: Coding,
) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut written = Vec::with_capacity(columns.len());
    for place in columns {
        let values = column_in_texts(rows.column(*place), coding)?;
        let name = rows.schema_ref().field(*place).name();
        fields.push(Field::new(name, values.data_type().clone(), true));
        written.push(values);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), written)
}

fn column_in_texts(column: &ArrayRef, coding: Coding) -> Result<ArrayRef, ArrowError> {
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
