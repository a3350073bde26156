//! Arrow schemas as bytes, in the catalog and in plans: the schema message of an IPC stream
//! (<https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format>).

use std::io::Cursor;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef};
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

/// The same rows in other columns, by name: one that is not there is null, one of another type is cast.
///
/// # Errors
/// Values that have no place in their new type.
pub fn fit(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let count = rows.num_rows();
    let column = |field: &FieldRef| match rows.column_by_name(field.name()) {
        Some(column) => fit_column(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), count)),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

/// The same values in another type.
///
/// # Errors
/// Values that have no place in it.
pub fn fit_column(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(column, data_type, &options)?)
}

/// True if every value of a type has a place in another one, which is not the same.
pub fn is_wider(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Date32, Date64, Decimal128, Decimal256, Float32, Float64, Int8, Int16, Int32, Int64, Timestamp,
        UInt8, UInt16, UInt32, UInt64,
    };
    let digits = |data_type: &DataType| match *data_type {
        Decimal128(precision, scale) | Decimal256(precision, scale) => {
            Some((i32::from(precision) - i32::from(scale), i32::from(scale)))
        }
        _ => None,
    };
    if let (Some((whole, scale)), Some((wider, finer))) = (digits(from), digits(to)) {
        return from != to && wider >= whole && finer >= scale;
    }
    match from {
        Int8 => matches!(to, Int16 | Int32 | Int64 | Float32 | Float64),
        Int16 => matches!(to, Int32 | Int64 | Float32 | Float64),
        Int32 => matches!(to, Int64 | Float64),
        UInt8 => matches!(
            to,
            UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64 | Float32 | Float64
        ),
        UInt16 => matches!(to, UInt32 | UInt64 | Int32 | Int64 | Float32 | Float64),
        UInt32 => matches!(to, UInt64 | Int64 | Float64),
        Float32 => *to == Float64,
        Date32 => matches!(to, Date64 | Timestamp(_, None)),
        _ => false,
    }
}

/// The columns of a table that shall have those of `new` too: wider types, except of those that are `fixed`, and what is
/// new at the end, where it may be null. `None` if it has all of them.
pub fn grown(old: &Schema, new: &Schema, fixed: impl Fn(&str) -> bool) -> Option<Schema> {
    let widened = |field: &FieldRef| match new.field_with_name(field.name()) {
        Ok(wanted) if !fixed(field.name()) && is_wider(field.data_type(), wanted.data_type()) => {
            let field = field.as_ref().clone();
            Arc::new(field.with_data_type(wanted.data_type().clone()))
        }
        _ => field.clone(),
    };
    let is_new = |field: &&FieldRef| old.field_with_name(field.name()).is_err();
    let added = new.fields().iter().filter(is_new);
    let added = added.map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    let fields: Fields = old.fields().iter().map(widened).chain(added).collect();
    (fields != *old.fields()).then(|| Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Array, Int32Array, Int64Array};
    use datafusion::arrow::datatypes::Field;

    #[test]
    fn a_table_grows_and_never_shrinks() {
        let schema = |fields: &[(&str, DataType)]| {
            let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), false);
            Schema::new(fields.iter().map(field).collect::<Vec<_>>())
        };
        let old = schema(&[
            ("id", DataType::Int32),
            ("n", DataType::Int32),
            ("gone", DataType::Utf8),
        ]);
        let new = schema(&[
            ("new", DataType::Utf8),
            ("n", DataType::Int64),
            ("id", DataType::Int64),
        ]);
        let grown_now = grown(&old, &new, |name| name == "id").unwrap();
        let names: Vec<String> = grown_now
            .fields()
            .iter()
            .map(|field| format!("{} {} {}", field.name(), field.data_type(), field.is_nullable()))
            .collect();
        assert_eq!(
            names,
            [
                "id Int32 false",
                "n Int64 false",
                "gone Utf8 false",
                "new Utf8 true"
            ]
        );
        assert_eq!(grown(&grown_now, &new, |name| name == "id"), None);
        assert_eq!(grown(&grown_now, &old, |_| false), None);
    }

    #[test]
    fn rows_in_other_columns() {
        let n: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let gone: ArrayRef = Arc::new(Int32Array::from(vec![7, 7]));
        let rows = RecordBatch::try_from_iter([("gone", gone), ("n", n)]).unwrap();
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("text", DataType::Utf8, true),
        ]));
        let fitted = fit(&rows, &schema).unwrap();
        let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        assert_eq!((fitted.column(0), fitted.column(1).null_count()), (&n, 2));
        let narrow = Arc::new(Schema::new(vec![Field::new("n", DataType::Int8, true)]));
        assert!(fit(&rows, &narrow).is_ok());
        let big: ArrayRef = Arc::new(Int64Array::from(vec![1 << 40]));
        let big = RecordBatch::try_from_iter([("n", big)]).unwrap();
        assert!(fit(&big, &narrow).is_err());
    }

    #[test]
    fn wider_types() {
        let decimal = DataType::Decimal128;
        assert!(is_wider(&decimal(10, 2), &decimal(12, 4)));
        assert!(!is_wider(&decimal(10, 2), &decimal(10, 3)));
        assert!(!is_wider(&decimal(10, 2), &decimal(10, 2)));
        assert!(is_wider(&DataType::Int32, &DataType::Float64));
        assert!(!is_wider(&DataType::Int64, &DataType::Float64));
        assert!(!is_wider(&DataType::Utf8, &DataType::Int64));
    }

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
