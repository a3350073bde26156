//! The columns of a table whose messages have a type of Protobuf.

use datafusion::arrow::datatypes::{DataType, Field, Schema as Columns, TimeUnit};
use prost_reflect::{FieldDescriptor, Kind};

use super::super::options::Options;
use super::super::schemas::SchemaText;
use super::types::Types;

/// The columns of the messages of a schema, or of the type among the options.
///
/// # Errors
/// What is wrong with them.
pub(in super::super) fn columns_of(
    options: &Options,
    schema: Option<&SchemaText>,
) -> Result<Columns, String> {
    let name = options.message.as_deref();
    let types = match (schema, &options.descriptor) {
        (Some(schema), _) => Types::parse(schema, name)?,
        (None, Some(descriptor)) => Types::compiled(descriptor, name.unwrap_or_default())?,
        (None, None) => return Err("there is none".to_owned()),
    };
    let of = types.first().ok_or("it has no message type")?;
    let columns = of
        .fields()
        .map(|field| Field::new(field.name(), type_of(&field), true));
    Ok(Columns::new(columns.collect::<Vec<_>>()))
}

fn type_of(field: &FieldDescriptor) -> DataType {
    if field.is_list() || field.is_map() {
        return DataType::Utf8;
    }
    match field.kind() {
        Kind::Double => DataType::Float64,
        Kind::Float => DataType::Float32,
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => DataType::Int32,
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint32 | Kind::Fixed32 => DataType::Int64,
        Kind::Uint64 | Kind::Fixed64 => DataType::Decimal128(20, 0),
        Kind::Bool => DataType::Boolean,
        Kind::String | Kind::Enum(_) => DataType::Utf8,
        Kind::Bytes => DataType::Binary,
        Kind::Message(of) => match of.full_name() {
            "google.protobuf.Timestamp" => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            "google.protobuf.DoubleValue" => DataType::Float64,
            "google.protobuf.FloatValue" => DataType::Float32,
            "google.protobuf.Int32Value" => DataType::Int32,
            "google.protobuf.Int64Value" | "google.protobuf.UInt32Value" => DataType::Int64,
            "google.protobuf.UInt64Value" => DataType::Decimal128(20, 0),
            "google.protobuf.BoolValue" => DataType::Boolean,
            "google.protobuf.BytesValue" => DataType::Binary,
            _ => DataType::Utf8,
        },
    }
}
