//! The columns of a table whose messages have a schema.

use datafusion::arrow::datatypes::{DataType, Field, Schema as Columns, TimeUnit};

use super::super::names::Names;
use super::super::schemas::SchemaText;
use super::schema::{self, Form, Meaning, Schema, Type};

/// Most digits of a decimal column.
const DIGITS_MAX: u64 = 38;

/// The columns of the rows of a schema; `within` is the field that has the row, if it is not the value itself.
///
/// # Errors
/// What is wrong with the schema.
pub(in super::super) fn columns_of(text: &SchemaText, within: Option<&str>) -> Result<Columns, String> {
    let schema = parse(text)?;
    let mut record = schema.record(schema.root).ok_or("it is no record")?;
    if let Some(within) = within {
        let field = record.iter().find(|field| field.name == within);
        let row = field.and_then(|field| schema.record(field.of));
        record = row.ok_or_else(|| format!("it has no record {within:?}"))?;
    }
    let column = |field: &schema::Field| Field::new(&field.name, type_of(schema.unwrapped(field.of)), true);
    Ok(Columns::new(record.iter().map(column).collect::<Vec<_>>()))
}

fn parse(text: &SchemaText) -> Result<Schema, String> {
    Schema::parse(text, &Names::new(std::iter::empty()))
}

fn type_of(of: &Type) -> DataType {
    match (of.meaning, &of.form) {
        (Meaning::Date, _) => DataType::Date32,
        (Meaning::Time(TimeUnit::Nanosecond), _) => DataType::Time64(TimeUnit::Nanosecond),
        (Meaning::Time(_), _) => DataType::Time64(TimeUnit::Microsecond),
        (Meaning::Instant(unit), _) => DataType::Timestamp(unit, Some("UTC".into())),
        (Meaning::InstantText, _) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        (Meaning::Local(unit), _) => DataType::Timestamp(unit, None),
        (Meaning::Decimal { precision, scale }, _) => decimal(precision, scale),
        (Meaning::Uuid | Meaning::ScaledDecimal, _) => DataType::Utf8,
        (_, Form::Boolean) => DataType::Boolean,
        (_, Form::Int) => DataType::Int32,
        (_, Form::Long) => DataType::Int64,
        (_, Form::Float) => DataType::Float32,
        (_, Form::Double) => DataType::Float64,
        (_, Form::Bytes | Form::Fixed(_)) => DataType::Binary,
        _ => DataType::Utf8,
    }
}

fn decimal(precision: u64, scale: u32) -> DataType {
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision @ 1..), Ok(scale))
            if u64::from(precision) <= DIGITS_MAX && scale.unsigned_abs() <= precision =>
        {
            DataType::Decimal128(precision, scale)
        }
        _ => DataType::Utf8,
    }
}
