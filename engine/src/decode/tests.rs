//! What decoders make of messages, shown as text.

mod avro;
mod changes;
mod connectors;
mod hints;
mod json_schema;
mod plain;
mod properties;
mod protobuf;

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int8Type, Int32Type, Int64Type, Schema,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, UInt64Type,
};

use super::{Decoder, Format, Kind, Message, Outcome, Rejected, Skip, Table};

/// Columns by name and type; those with `!` are NOT NULL, and the first `key` ones are the key.
pub(super) fn table(columns: &[(&str, DataType)], key: usize) -> Table {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, data_type)| {
            let bare = name.trim_end_matches('!');
            Field::new(bare, data_type.clone(), bare == *name)
        })
        .collect();
    Table {
        schema: Arc::new(Schema::new(fields)),
        key: (0..key).collect(),
    }
}

pub(super) fn decoder(options: &[(&str, &str)], table: &Table) -> Decoder {
    let options = options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Decoder::new(&Format::parse(&options.collect()).unwrap(), table).unwrap()
}

pub(super) fn push(
    decoder: &mut Decoder,
    key: Option<&str>,
    value: Option<&str>,
) -> Result<Outcome, Rejected> {
    decoder.push(Message {
        key: key.map(str::as_bytes),
        value: value.map(str::as_bytes),
    })
}

/// All changes, one text each: the kind, then the columns.
pub(super) fn take(decoder: &mut Decoder) -> Vec<String> {
    let changes = decoder.take().unwrap();
    assert_eq!(changes.rows.num_rows(), changes.kinds.len());
    assert_eq!(changes.rows.num_rows(), changes.messages.len());
    let rows = changes.kinds.iter().enumerate().map(|(row, kind)| {
        let mut cells: Vec<_> = changes
            .rows
            .columns()
            .iter()
            .map(|column| show(column, row))
            .collect();
        let kind = match kind {
            Kind::Merge(flags) => {
                for (cell, flag) in cells.iter_mut().zip(flags) {
                    if !flag {
                        *cell = "keep".to_owned();
                    }
                }
                "Merge".to_owned()
            }
            kind => format!("{kind:?}"),
        };
        format!("{kind} {}", cells.join("|"))
    });
    rows.collect()
}

fn show(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "-".to_owned();
    }
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Date32 => column.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value(row).to_string(),
        DataType::Time64(_) => column
            .as_primitive::<Time64MicrosecondType>()
            .value(row)
            .to_string(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => column
            .as_primitive::<TimestampMicrosecondType>()
            .value(row)
            .to_string(),
        DataType::Timestamp(..) => column
            .as_primitive::<TimestampMillisecondType>()
            .value(row)
            .to_string(),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Utf8View => column.as_string_view().value(row).to_owned(),
        DataType::Binary => format!("{:?}", column.as_binary::<i32>().value(row)),
        other => panic!("no text for {other}"),
    }
}

/// One message in a decoder of its own: its changes, its skip or its reason.
pub(super) fn one(options: &[(&str, &str)], table: &Table, key: Option<&str>, value: Option<&str>) -> String {
    let mut decoder = decoder(options, table);
    match push(&mut decoder, key, value) {
        Ok(Outcome::Rows(rows) | Outcome::Doubtful(rows)) => {
            let changes = take(&mut decoder);
            assert_eq!(rows, changes.len());
            changes.join("; ")
        }
        Ok(Outcome::Skipped(skip)) => {
            assert_eq!(decoder.rows(), 0);
            format!("skipped {}", Skip::name(skip))
        }
        Err(rejected) => {
            assert_eq!(decoder.rows(), 0);
            rejected.reason().to_string()
        }
    }
}
