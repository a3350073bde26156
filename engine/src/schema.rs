//! Arrow schemas as bytes, in the catalog and in plans: the schema message of an IPC stream
//! (<https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format>).

use std::io::Cursor;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::error::{DataFusionError, Result};

/// Writes a schema.
///
/// # Errors
/// A type that has no place in the format.
pub fn encode_schema(schema: &Schema) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    StreamWriter::try_new(&mut bytes, schema)?.finish()?;
    Ok(bytes)
}

/// Reads a schema.
///
/// # Errors
/// Bytes that are none.
pub fn decode_schema(bytes: &[u8]) -> Result<Arc<Schema>> {
    let reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(DataFusionError::from)?;
    Ok(reader.schema())
}

/// The same columns, each of which may be null.
pub fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    Arc::new(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field};

    #[test]
    fn a_schema_survives_storage() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("amount", DataType::Decimal128(15, 2), true),
            Field::new(
                "tags",
                DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
                true,
            ),
        ]));
        assert_eq!(decode_schema(&encode_schema(&schema).unwrap()).unwrap(), schema);
        assert!(decode_schema(b"garbage").is_err());
    }
}
