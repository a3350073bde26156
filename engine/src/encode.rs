//! Rows become messages of a topic: the way back from [`crate::decode`].
//!
//! What a format writes is what it reads: rows that go through a topic come out equal. A row of a table with a primary key
//! has its key as the key of the message, a JSON object of the columns of the key in their order without blanks, so that
//! all changes of a key are in one topic partition; a change log gets each row as an insert. A row of another table has a key if
//! the table has a column for it.

mod floats;
mod texts;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, RecordBatch, StructArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Float32Type, Float64Type, SchemaRef, TimeUnit, TimestampMillisecondType,
};
use datafusion::arrow::error::ArrowError;

use self::texts::in_texts;
use crate::decode::{Form, Format};
use crate::error::{Code, Error};
use crate::streams::{MetadataColumn, StreamOptions};

/// Messages, one for each row.
#[derive(Debug)]
pub struct Messages {
    /// Their keys; null: none.
    pub keys: BinaryArray,
    /// Their values; null: none.
    pub values: BinaryArray,
    /// Their timestamps, milliseconds since the Unix epoch; none: when they are sent.
    pub timestamps: Option<Vec<Option<i64>>>,
}

/// See the module.
#[derive(Debug)]
pub struct Encoder {
    form: Form,
    /// Columns of the row itself, by their place.
    row: Vec<usize>,
    /// Columns of the primary key, by their place.
    key: Vec<usize>,
    /// Columns about the message.
    metadata: Vec<(usize, MetadataColumn)>,
}

impl Encoder {
    /// An encoder for rows with the columns of a table, `schema` with those about the message, and its options.
    ///
    /// # Errors
    /// Options that make no sense, and formats that are only read.
    pub fn new(settings: &HashMap<String, String>, schema: &SchemaRef, key: &[usize]) -> Result<Self, Error> {
        let format = Format::parse(settings).map_err(|reason| Error::user(Code::INVALID_SETTING, reason))?;
        let form = format.form().ok_or_else(|| {
            Error::user(
                Code::NOT_SUPPORTED,
                format!("messages of format '{}' are only read", format.name()),
            )
            .with_hint(
                "INSERT writes json, csv, raw, upsert, debezium-json and op-json, and none with schemas of a registry",
            )
        })?;
        let options = StreamOptions::parse(settings)?;
        let own = schema.fields().len() - options.metadata.len().min(schema.fields().len());
        Ok(Self {
            form,
            row: (0..own).collect(),
            key: key.to_vec(),
            metadata: (own..).zip(options.metadata).collect(),
        })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// A value that no message can have, or that the broker sets.
    pub fn encode(&self, rows: &RecordBatch) -> Result<Messages, Error> {
        let written = self
            .values(rows)
            .and_then(|values| Ok((values, self.keys(rows)?)));
        let (values, keys) = written.map_err(|error| Error::from_datafusion(error.into()))?;
        let mut messages = Messages {
            keys,
            values,
            timestamps: None,
        };
        for (place, column) in &self.metadata {
            self.heed(rows.column(*place), *column, &mut messages)?;
        }
        Ok(messages)
    }

    fn values(&self, rows: &RecordBatch) -> Result<BinaryArray, ArrowError> {
        match &self.form {
            Form::Json { before, after, bytes } => json(&in_texts(rows, &self.row, *bytes)?, (before, after)),
            Form::Csv {
                delimiter,
                null,
                bytes,
            } => csv(&in_texts(rows, &self.row, *bytes)?, *delimiter, null),
            Form::Raw => Ok(cast(rows.column(0), &DataType::Binary)?
                .as_binary::<i32>()
                .clone()),
        }
    }

    fn keys(&self, rows: &RecordBatch) -> Result<BinaryArray, ArrowError> {
        match &self.form {
            Form::Json { bytes, .. } if !self.key.is_empty() => {
                json(&in_texts(rows, &self.key, *bytes)?, ("", ""))
            }
            _ => Ok(BinaryArray::new_null(rows.num_rows())),
        }
    }

    /// Does what a column about the message says.
    fn heed(&self, values: &ArrayRef, column: MetadataColumn, messages: &mut Messages) -> Result<(), Error> {
        if values.null_count() == values.len() {
            return Ok(());
        }
        match column {
            MetadataColumn::Key if self.key.is_empty() => {
                messages.keys = values.as_binary::<i32>().clone();
                Ok(())
            }
            MetadataColumn::Timestamp => {
                let unit = DataType::Timestamp(TimeUnit::Millisecond, None);
                let times = cast(values, &unit).map_err(|error| Error::from_datafusion(error.into()))?;
                messages.timestamps = Some(times.as_primitive::<TimestampMillisecondType>().iter().collect());
                Ok(())
            }
            _ => Err(Error::user(
                Code::INVALID_VALUE,
                format!("column '{}' is not for INSERT to set", column.name()),
            )
            .with_hint(
                "leave the column out of the INSERT: it comes from the broker or from the primary key",
            )),
        }
    }
}

/// An object for each row, between two texts.
fn json(rows: &RecordBatch, (before, after): (&str, &str)) -> Result<BinaryArray, ArrowError> {
    let all = StructArray::from(rows.clone());
    let field: FieldRef = Arc::new(Field::new("row", all.data_type().clone(), false));
    let options = EncoderOptions::default()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(floats::Words));
    let mut encoder = make_encoder(&field, &all, &options)?;
    let mut messages = BinaryBuilder::new();
    let mut message = Vec::new();
    for row in 0..rows.num_rows() {
        message.clear();
        message.extend_from_slice(before.as_bytes());
        encoder.encode(row, &mut message);
        message.extend_from_slice(after.as_bytes());
        messages.append_value(&message);
    }
    Ok(messages.finish())
}

/// A line without its end for each row. A text that would be taken for null, or for more than itself, is in quotes.
fn csv(rows: &RecordBatch, delimiter: u8, null: &str) -> Result<BinaryArray, ArrowError> {
    let options = FormatOptions::default();
    let columns = rows.columns().iter();
    let columns: Vec<_> = columns
        .map(|column| Ok((column, ArrayFormatter::try_new(column, &options)?)))
        .collect::<Result<_, ArrowError>>()?;
    let mut messages = BinaryBuilder::new();
    let mut line = String::new();
    for row in 0..rows.num_rows() {
        line.clear();
        for (place, (column, formatter)) in columns.iter().enumerate() {
            if place > 0 {
                line.push(char::from(delimiter));
            }
            if column.is_null(row) {
                line.push_str(null);
                continue;
            }
            match word_of(column, row) {
                Some(word) => push_field(word, delimiter, null, &mut line),
                None => push_field(&formatter.value(row).try_to_string()?, delimiter, null, &mut line),
            }
        }
        messages.append_value(&line);
    }
    Ok(messages.finish())
}

fn word_of(column: &ArrayRef, row: usize) -> Option<&'static str> {
    let double = column.as_primitive_opt::<Float64Type>();
    let double = double.map(|numbers| numbers.value(row));
    let single = || Some(f64::from(column.as_primitive_opt::<Float32Type>()?.value(row)));
    double.or_else(single).and_then(floats::word)
}

fn push_field(field: &str, delimiter: u8, null: &str, line: &mut String) {
    let breaks = |byte: u8| byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
    if field == null || field.bytes().any(breaks) {
        line.push('"');
        line.push_str(&field.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(field);
    }
}

#[cfg(test)]
mod tests;
