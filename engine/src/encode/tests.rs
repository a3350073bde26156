//! Rows that are written and read again.

use datafusion::arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::Schema;

use super::*;
use crate::decode::{Decoder, Message, Outcome, Table};

fn rows() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        (
            "text",
            Arc::new(StringArray::from(vec![Some("a \"b\"\n,;"), None, Some("żółw")])),
        ),
        (
            "number",
            Arc::new(Float64Array::from(vec![Some(0.1), Some(-1e300), None])),
        ),
        (
            "yes",
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![Some(20_000), None, Some(-1)])),
        ),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(1_700_000_000_123_456),
                None,
                Some(0),
            ])),
        ),
        (
            "bytes",
            Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None, Some(b"x")])),
        ),
        (
            "price",
            Arc::new(
                Decimal128Array::from(vec![Some(-1250), None, Some(5)])
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn settings(options: &[(&str, &str)]) -> HashMap<String, String> {
    let pair = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
    options.iter().map(pair).collect()
}

/// The rows as they come back.
fn through(options: &[(&str, &str)], key: &[usize], rows: &RecordBatch) -> RecordBatch {
    let settings = settings(options);
    let messages = Encoder::new(&settings, &rows.schema(), key)
        .unwrap()
        .encode(rows)
        .unwrap();
    let table = Table {
        schema: rows.schema(),
        key: key.to_vec(),
    };
    let mut decoder = Decoder::new(&Format::parse(&settings).unwrap(), &table).unwrap();
    for (key, value) in messages.keys.iter().zip(messages.values.iter()) {
        let outcome = decoder.push(Message { key, value });
        assert_eq!(
            outcome,
            Ok(Outcome::Rows(1)),
            "{:?}",
            value.map(String::from_utf8_lossy)
        );
    }
    decoder.take().unwrap().rows
}

#[test]
fn rows_come_back_as_they_went() {
    for (options, key) in [
        (&[("format", "json")][..], &[][..]),
        (&[("format", "json"), ("format.binary", "hex")], &[]),
        (
            &[
                ("format", "csv"),
                ("format.null", "\\N"),
                ("format.delimiter", ";"),
            ],
            &[],
        ),
        (&[("format", "upsert")], &[0]),
        (
            &[("format", "debezium-json"), ("format.decimals", "double")],
            &[0],
        ),
        (
            &[
                ("format", "op-json"),
                ("format.op_field", "what"),
                ("format.data_field", "row"),
            ],
            &[0],
        ),
    ] {
        let rows = rows();
        assert_eq!(through(options, key, &rows), rows, "{options:?}");
    }
}

#[test]
fn what_is_no_number_and_what_is_empty_come_back() {
    let doubles = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5];
    let singles = vec![1e30_f32, f32::NEG_INFINITY, f32::NAN, 0.1];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
        ("double", Arc::new(Float64Array::from(doubles))),
        ("single", Arc::new(Float32Array::from(singles))),
        (
            "text",
            Arc::new(StringArray::from(vec![
                Some(""),
                None,
                Some("\"\""),
                Some("NULL"),
            ])),
        ),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    for (options, key) in [
        (&[("format", "json")][..], &[][..]),
        (&[("format", "csv")], &[]),
        (&[("format", "csv"), ("format.null", "NULL")], &[]),
        (&[("format", "upsert")], &[0]),
        (&[("format", "debezium-json")], &[0]),
        (&[("format", "op-json")], &[0]),
    ] {
        assert_eq!(through(options, key, &rows), rows, "{options:?}");
    }
}

#[test]
fn a_primary_key_is_the_key_of_the_message() {
    let rows = rows().project(&[1, 0]).unwrap();
    let encoder = Encoder::new(&settings(&[("format", "upsert")]), &rows.schema(), &[1]).unwrap();
    let messages = encoder.encode(&rows).unwrap();
    assert_eq!(messages.keys.value(0), br#"{"id":1}"#);
}

#[test]
fn columns_about_the_message_are_heeded_or_refused() {
    let mut fields: Vec<FieldRef> = vec![Arc::new(Field::new("n", DataType::Int64, true))];
    let wanted = [
        MetadataColumn::Key,
        MetadataColumn::Timestamp,
        MetadataColumn::Offset,
    ];
    fields.extend(wanted.map(MetadataColumn::field));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let options = settings(&[("format", "json"), ("metadata", "key,timestamp,offset")]);
    let encoder = Encoder::new(&options, &schema, &[]).unwrap();
    let times = datafusion::arrow::array::TimestampMillisecondArray::from(vec![7]).with_timezone("UTC");
    let batch = |offset: Option<i64>| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1])),
            Arc::new(BinaryArray::from(vec![&b"k"[..]])),
            Arc::new(times.clone()),
            Arc::new(Int64Array::from(vec![offset])),
        ];
        RecordBatch::try_new(schema.clone(), columns).unwrap()
    };
    let messages = encoder.encode(&batch(None)).unwrap();
    assert_eq!(
        (messages.keys.value(0), messages.values.value(0)),
        (&b"k"[..], &br#"{"n":1}"#[..])
    );
    assert_eq!(messages.timestamps, Some(vec![Some(7)]));
    assert!(
        encoder
            .encode(&batch(Some(3)))
            .unwrap_err()
            .to_string()
            .contains("kafka_offset")
    );
}

#[test]
fn what_a_connector_writes_is_only_read() {
    let schema = rows().schema();
    let error = Encoder::new(&settings(&[("format", "maxwell-json")]), &schema, &[0]).unwrap_err();
    assert_eq!(error.code, Code::NOT_SUPPORTED);
}
