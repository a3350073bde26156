//! Avro: rows, changes and keys, in schemas of a registry or of the options.

use std::collections::HashMap;
use std::sync::Mutex;

use arrow_avro::schema::FingerprintStrategy;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroSoeFormat;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use proptest::prelude::*;

use super::super::{NoSchema, SchemaId, SchemaText, Schemas};
use super::*;

/// Schemas by number; others are unknown, or away.
#[derive(Debug, Default)]
pub(super) struct Registry {
    schemas: Mutex<HashMap<u32, Arc<SchemaText>>>,
    is_away: Mutex<bool>,
}

impl Registry {
    fn with(schemas: &[(u32, &str)]) -> Arc<Self> {
        let schemas = schemas.iter();
        Self::of(schemas.map(|(id, text)| (*id, SchemaText::avro(*text))))
    }

    pub(super) fn of(schemas: impl IntoIterator<Item = (u32, SchemaText)>) -> Arc<Self> {
        let schemas = schemas.into_iter().map(|(id, text)| (id, Arc::new(text)));
        Arc::new(Self {
            schemas: Mutex::new(schemas.collect()),
            is_away: Mutex::new(false),
        })
    }
}

impl Schemas for Registry {
    fn find(&self, id: SchemaId) -> Result<Arc<SchemaText>, NoSchema> {
        if *self.is_away.lock().unwrap() {
            return Err(NoSchema::Away("it sleeps".to_owned()));
        }
        let schemas = self.schemas.lock().unwrap();
        let number = match id {
            SchemaId::Number(number) => number,
            SchemaId::Guid(guid) => guid.as_u128() as u32,
        };
        let schema = schemas.get(&number).cloned();
        schema.ok_or_else(|| NoSchema::Unknown(format!("schema {id}")))
    }
}

pub(super) fn with_registry(format: &str, table: &Table, registry: &Arc<Registry>) -> Decoder {
    let options = [("format", format), ("format.registry", "http://r:1")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let format = Format::parse(&options.into_iter().collect()).unwrap();
    Decoder::with_schemas(&format, table, registry.clone()).unwrap()
}

/// A whole number.
fn int(value: i64) -> Vec<u8> {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while zigzag >= 0x80 {
        bytes.push((zigzag & 0x7f) as u8 | 0x80);
        zigzag >>= 7;
    }
    bytes.push(zigzag as u8);
    bytes
}

/// A text, or bytes.
fn text(value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [int(value.len() as i64), value.to_vec()].concat()
}

pub(super) fn framed(id: u32, parts: &[Vec<u8>]) -> Vec<u8> {
    [vec![0], id.to_be_bytes().to_vec(), parts.concat()].concat()
}

pub(super) fn outcome(decoder: &mut Decoder, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    match decoder.push(Message { key, value }) {
        Ok(Outcome::Rows(_) | Outcome::Doubtful(_)) => take(decoder).join("; "),
        Ok(Outcome::Skipped(skip)) => format!("skipped {}", skip.name()),
        Err(rejected) => rejected.reason().to_string(),
    }
}

/// A value of one field, in a column.
fn cell(of: &str, data_type: DataType, value: &[u8]) -> String {
    let schema = format!(r#"{{"type":"record","name":"r","fields":[{{"name":"v","type":{of}}}]}}"#);
    let options = [("format", "avro"), ("format.schema", schema.as_str())];
    let mut decoder = decoder(&options, &table(&[("v", data_type)], 0));
    outcome(&mut decoder, None, Some(value)).replace("Put ", "")
}

#[test]
fn every_type_has_its_column() {
    use DataType::*;
    use TimeUnit::{Microsecond, Millisecond};
    let check = |of: &str, data_type: DataType, value: Vec<u8>, expected: &str| {
        assert_eq!(
            cell(of, data_type.clone(), &value),
            expected,
            "{of} as {data_type}"
        );
    };
    let logical = |of: &str, logical: &str| format!(r#"{{"type":"{of}","logicalType":"{logical}"}}"#);
    let debezium =
        |of: &str, name: &str| format!(r#"{{"type":"{of}","connect.name":"io.debezium.time.{name}"}}"#);
    let (ms, us) = (Timestamp(Millisecond, None), Timestamp(Microsecond, None));
    let in_berlin = Timestamp(Microsecond, Some("Europe/Berlin".into()));
    check(r#""int""#, Int32, int(-7), "-7");
    check(r#""long""#, Int64, int(i64::MIN), "-9223372036854775808");
    check(r#""long""#, Int8, int(200), "out_of_range");
    check(r#""long""#, Float64, int(3), "3");
    check(r#""long""#, Decimal128(9, 2), int(3), "300");
    check(r#""long""#, Utf8, int(3), "3");
    check(r#""double""#, Float64, 1.5f64.to_le_bytes().to_vec(), "1.5");
    check(r#""double""#, Int64, 2f64.to_le_bytes().to_vec(), "2");
    check(r#""double""#, Int64, 2.5f64.to_le_bytes().to_vec(), "wrong_type");
    check(r#""float""#, Float64, 0.5f32.to_le_bytes().to_vec(), "0.5");
    check(r#""float""#, Utf8, 0.5f32.to_le_bytes().to_vec(), "0.5");
    check(r#""boolean""#, Boolean, vec![1], "true");
    check(r#""boolean""#, Utf8, vec![0], "false");
    check(r#""string""#, Utf8, text("é"), "é");
    check(r#""string""#, Int64, text("12"), "12");
    check(r#""string""#, us.clone(), text("1970-01-01T00:00:01Z"), "1000000");
    check(r#""bytes""#, Binary, text([1, 2]), "[1, 2]");
    check(r#""bytes""#, Utf8, text([1, 2]), "AQI=");
    check(
        r#"{"type":"fixed","name":"f","size":2}"#,
        Binary,
        vec![1, 2],
        "[1, 2]",
    );
    check(
        r#"{"type":"enum","name":"e","symbols":["A","B"]}"#,
        Utf8,
        int(1),
        "B",
    );
    check(
        r#"{"type":"enum","name":"e","symbols":["A","B"]}"#,
        Utf8,
        int(2),
        "not_avro",
    );
    check(r#"["null","long"]"#, Int64, int(0), "-");
    check(r#"["null","long"]"#, Int64, [int(1), int(5)].concat(), "5");
    check(r#"["null","long"]"#, Int64, int(2), "not_avro");
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#;
    check(decimal, Decimal128(9, 2), text([0x04, 0xd2]), "1234");
    check(decimal, Decimal128(9, 3), text([0x04, 0xd2]), "12340");
    check(decimal, Utf8, text([0xfb, 0x2e]), "-12.34");
    check(decimal, Float64, text([0x04, 0xd2]), "12.34");
    // Two to the power of 128.
    let long = text([&[1u8][..], &[0; 16]].concat());
    check(
        decimal,
        Utf8,
        long.clone(),
        "3402823669209384634633746074317682114.56",
    );
    check(decimal, Decimal128(38, 2), long, "out_of_range");
    check(&logical("int", "date"), Date32, int(1), "1");
    check(&logical("int", "date"), Utf8, int(1), "1970-01-02");
    check(
        &logical("int", "time-millis"),
        Time64(Microsecond),
        int(2),
        "2000",
    );
    check(&logical("long", "time-micros"), Utf8, int(1_000_000), "00:00:01");
    check(&logical("long", "timestamp-millis"), us.clone(), int(-1), "-1000");
    check(&logical("long", "timestamp-micros"), ms.clone(), int(1999), "1");
    check(&logical("long", "timestamp-millis"), Date32, int(86_400_000), "1");
    check(&logical("long", "timestamp-millis"), Int64, int(5), "5");
    check(
        &logical("long", "timestamp-millis"),
        Utf8,
        int(1),
        "1970-01-01T00:00:00.001Z",
    );
    check(
        &logical("long", "local-timestamp-micros"),
        in_berlin.clone(),
        int(0),
        "-3600000000",
    );
    check(&logical("long", "timestamp-micros"), in_berlin, int(0), "0");
    check(&logical("string", "uuid"), Utf8, text("u"), "u");
    let uuid = r#"{"type":"fixed","name":"u","size":16,"logicalType":"uuid"}"#;
    check(uuid, Utf8, vec![0x11; 16], "11111111-1111-1111-1111-111111111111");
    check(&debezium("int", "Date"), Date32, int(2), "2");
    check(&debezium("long", "MicroTime"), Time64(Microsecond), int(2), "2");
    check(&debezium("long", "NanoTimestamp"), us.clone(), int(2000), "2");
    check(&debezium("long", "MicroTimestamp"), ms, int(2000), "2");
    check(
        &debezium("string", "ZonedTimestamp"),
        us,
        text("1970-01-01T00:00:00+01:00"),
        "-3600000000",
    );
    let scaled = r#"{"type":"record","name":"VariableScaleDecimal","namespace":"io.debezium.data",
        "fields":[{"name":"scale","type":"int"},{"name":"value","type":"bytes"}]}"#;
    let value = [int(1), text([125])].concat();
    check(scaled, Decimal128(9, 2), value.clone(), "1250");
    check(scaled, Utf8, value, "12.5");
}

#[test]
fn nested_values_are_json() {
    let check = |of: &str, parts: &[Vec<u8>], expected: &str| {
        assert_eq!(cell(of, DataType::Utf8, &parts.concat()), expected, "{of}");
    };
    check(
        r#"{"type":"array","items":["null","string"]}"#,
        &[int(2), int(1), text("a\""), int(0), int(0)],
        r#"["a\"",null]"#,
    );
    check(
        r#"{"type":"map","values":"double"}"#,
        &[int(-1), int(10), text("k"), 1.5f64.to_le_bytes().to_vec(), int(0)],
        r#"{"k":1.5}"#,
    );
    check(
        r#"{"type":"record","name":"p","fields":[{"name":"x","type":"int"},
            {"name":"next","type":["null","p"]}]}"#,
        &[int(1), int(1), int(2), int(0)],
        r#"{"x":1,"next":{"x":2,"next":null}}"#,
    );
    let items = r#"{"type":"array","items":"null"}"#;
    check(items, &[int(1 << 40)], "too_large");
}

const ROW: &str = r#"{"type":"record","name":"r","fields":[{"name":"more","type":["null",{"type":"array","items":"long"}]},
    {"name":"id","type":"long"},{"name":"NAME","type":["null","string"],"default":null}]}"#;

fn two() -> Table {
    table(&[("id", DataType::Int64), ("name", DataType::Utf8)], 1)
}

#[test]
fn fields_are_found_by_name_in_each_schema() {
    let newer = r#"{"type":"record","name":"r","fields":[{"name":"name","type":"string"},{"name":"id","type":"int"}]}"#;
    let registry = Registry::with(&[(1, ROW), (2, newer)]);
    let mut decoder = with_registry(
        "avro",
        &table(&[("id", DataType::Int64), ("name", DataType::Utf8)], 0),
        &registry,
    );
    let mut check = |value: &[u8], expected: &str| {
        assert_eq!(outcome(&mut decoder, None, Some(value)), expected);
    };
    check(
        &framed(1, &[int(1), int(1), int(9), int(0), int(7), int(1), text("a")]),
        "Put 7|a",
    );
    check(&framed(1, &[int(0), int(7), int(0)]), "Put 7|-");
    check(&framed(2, &[text("b"), int(8)]), "Put 8|b");
    check(&framed(2, &[text("b"), int(8), int(0)]), "not_avro");
    check(&framed(2, &[text("b")]), "not_avro");
    check(&framed(3, &[text("b"), int(8)]), "unknown_schema");
    check(b"{\"id\":1}", "not_framed");
    check(b"", "not_framed");
    assert_eq!(outcome(&mut decoder, None, None), "null_value");
}

#[test]
fn without_a_frame_no_bytes_may_be_a_record() {
    let schema = r#"{"type":"record","name":"r","fields":[{"name":"name","type":"null"}]}"#;
    for (frame, expected) in [("none", "Put 7|-"), ("confluent", "Delete 7|-")] {
        let options = [
            ("format", "upsert-avro"),
            ("format.schema", schema),
            ("format.frame", frame),
        ];
        let mut decoder = decoder(&options, &two());
        assert_eq!(outcome(&mut decoder, Some(b"7"), Some(b"")), expected);
        assert_eq!(outcome(&mut decoder, Some(b"7"), None), "Delete 7|-");
    }
    let options = [("format", "upsert-avro"), ("format.schema", ROW)];
    let mut unframed = decoder(&options, &two());
    assert_eq!(outcome(&mut unframed, Some(b"7"), Some(b"")), "not_avro");
    let mut framed = with_registry("upsert-avro", &two(), &Registry::with(&[(1, ROW)]));
    assert_eq!(outcome(&mut framed, Some(b"7"), Some(b"")), "Delete 7|-");
}

#[test]
fn what_a_silent_registry_knows_is_tried_again() {
    let registry = Registry::with(&[(1, ROW)]);
    let mut decoder = with_registry("upsert-avro", &two(), &registry);
    let value = framed(1, &[int(0), int(7), int(0)]);
    *registry.is_away.lock().unwrap() = true;
    let message = Message {
        key: None,
        value: Some(&value),
    };
    assert!(decoder.push(message).unwrap_err().reason().passes());
    assert!(decoder.retry().unwrap_err().reason().passes());
    *registry.is_away.lock().unwrap() = false;
    decoder.retry().unwrap();
    assert_eq!(outcome(&mut decoder, None, Some(&value)), "Put 7|-");
    // What is known needs nobody.
    *registry.is_away.lock().unwrap() = true;
    assert_eq!(outcome(&mut decoder, None, Some(&value)), "Put 7|-");
    let tombstone = framed(2, &[int(7)]);
    assert_eq!(outcome(&mut decoder, Some(&tombstone), None), "registry");
    assert!(decoder.retry().is_err());
}

#[test]
fn keys_of_upserts_are_avro_or_text() {
    let value = r#"{"type":"record","name":"v","fields":[{"name":"name","type":"string"}]}"#;
    let key = r#"{"type":"record","name":"k","fields":[{"name":"id","type":"int"}]}"#;
    let registry = Registry::with(&[(1, value), (2, key), (3, "\"long\"")]);
    let mut decoder = with_registry("upsert-avro", &two(), &registry);
    let value = framed(1, &[text("a")]);
    let mut check = |key: Option<&[u8]>, value: Option<&[u8]>, expected: &str| {
        assert_eq!(outcome(&mut decoder, key, value), expected);
    };
    check(Some(&framed(2, &[int(5)])), Some(&value), "Put 5|a");
    check(Some(&framed(3, &[int(6)])), Some(&value), "Put 6|a");
    check(Some(b"7"), Some(&value), "Put 7|a");
    check(Some(b"{\"id\":8}"), Some(&value), "Put 8|a");
    check(Some(&framed(2, &[int(5)])), None, "Delete 5|-");
    check(Some(&framed(9, &[int(5)])), None, "unknown_schema");
    check(Some(&framed(2, &[])), Some(&value), "not_avro");
    check(None, Some(&value), "missing_key");
}

#[test]
fn envelopes_of_debezium_are_changes() {
    let envelope = r#"{"type":"record","name":"Envelope","namespace":"db.t","fields":[
        {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
            {"name":"id","type":"long"},{"name":"name","type":["null","string"]}]}]},
        {"name":"after","type":["null","Value"]},
        {"name":"source","type":{"type":"record","name":"Source","fields":[{"name":"lsn","type":"long"}]}},
        {"name":"op","type":"string"},
        {"name":"ts_ms","type":["null","long"]}]}"#;
    let registry = Registry::with(&[(1, envelope)]);
    let mut decoder = with_registry("debezium-avro", &two(), &registry);
    let row = |id: i64, name: &str| [int(1), int(id), int(1), text(name)].concat();
    let mut check = |before: Vec<u8>, after: Vec<u8>, op: &str, expected: &str| {
        let value = framed(1, &[before, after, int(77), text(op), int(1), int(5)]);
        assert_eq!(outcome(&mut decoder, None, Some(&value)), expected);
    };
    check(int(0), row(1, "a"), "c", "Put 1|a");
    check(row(1, "a"), row(1, "b"), "u", "Put 1|b");
    check(row(1, "b"), row(2, "b"), "u", "Rekey 1|-; Put 2|b");
    check(
        row(2, "b"),
        row(2, "__debezium_unavailable_value"),
        "u",
        "Merge 2|keep",
    );
    check(row(2, "b"), int(0), "d", "Delete 2|b");
    check(int(0), int(0), "t", "Truncate -|-");
    check(int(0), int(0), "c", "missing_row");
    check(int(0), row(1, "a"), "x", "unknown_operation");
    let text = SchemaText::avro(envelope);
    let key = SchemaText::avro(r#"{"type":"record","name":"k","fields":[{"name":"id","type":"long"}]}"#);
    let options = [("format", "debezium-avro"), ("format.registry", "http://r")];
    let format = Format::parse(&options.map(|(k, v)| (k.to_owned(), v.to_owned())).into()).unwrap();
    let (columns, names) = format.columns(Some(&text), Some(&key)).unwrap();
    assert_eq!(names, ["id"]);
    let columns: Vec<_> = columns
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    assert_eq!(columns, ["id Int64", "name Utf8"]);
}

#[test]
fn options_about_schemas_are_checked() {
    let check = |options: &[(&str, &str)], part: &str| {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let error = Format::parse(&options.collect()).unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    let avro = ("format", "avro");
    check(&[avro], "format.registry");
    check(&[avro, ("format.registry", "ftp://r")], "http://HOST:PORT");
    check(
        &[avro, ("format.registry", "http://u:p@r")],
        "kafka.registry.user",
    );
    check(
        &[avro, ("format.registry", "http://r"), ("format.schema", "int")],
        "has all schemas",
    );
    check(
        &[("format", "csv"), ("format.registry", "http://r")],
        "is not for format",
    );
    let options = [("format", "avro"), ("format.schema", "{\"type\":\"recrd\"}")];
    let options = options.map(|(k, v)| (k.to_owned(), v.to_owned()));
    let format = Format::parse(&options.into_iter().collect()).unwrap();
    let error = Decoder::new(&format, &two()).unwrap_err();
    assert!(error.contains("format.schema"), "{error}");
}

#[test]
fn json_may_have_a_frame() {
    let table = two();
    let value = b"\0\0\0\0\x07{\"id\":1,\"name\":\"a\"}";
    for format in ["json", "upsert"] {
        let table = if format == "json" {
            self::table(&[("id", DataType::Int64), ("name", DataType::Utf8)], 0)
        } else {
            table.clone()
        };
        let mut decoder = decoder(&[("format", format)], &table);
        assert_eq!(outcome(&mut decoder, None, Some(value)), "Put 1|a");
    }
    let mut decoder = decoder(&[("format", "upsert")], &table);
    // Also one whose number is no UTF-8.
    for key in [b"\0\0\0\0\x08{\"id\":1}", b"\0\0\0\0\xc8{\"id\":1}"] {
        assert_eq!(outcome(&mut decoder, Some(key), None), "Delete 1|-");
    }
}

/// What another writer of Avro writes is read as it was.
#[test]
fn rows_of_another_writer_are_themselves() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, -2]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("f", Arc::new(Float64Array::from(vec![Some(0.5), None]))),
        ("t", Arc::new(StringArray::from(vec![Some("é"), None]))),
        ("d", Arc::new(Date32Array::from(vec![Some(9), None]))),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-5), None]).with_timezone("UTC")),
        ),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, array)| (name, array, name != "id")),
    )
    .unwrap();
    let mut encoder = WriterBuilder::new(batch.schema().as_ref().clone())
        .with_fingerprint_strategy(FingerprintStrategy::Id(9))
        .build_encoder::<AvroSoeFormat>()
        .unwrap();
    encoder.encode(&batch).unwrap();
    let rows = encoder.flush();
    let schema = arrow_avro::schema::AvroSchema::try_from(batch.schema().as_ref()).unwrap();
    let registry = Registry::with(&[(9, &schema.json_string)]);
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let table = table(
        &[
            ("id", DataType::Int64),
            ("b", DataType::Boolean),
            ("f", DataType::Float64),
            ("t", DataType::Utf8),
            ("d", DataType::Date32),
            ("at", at),
        ],
        0,
    );
    let mut decoder = with_registry("avro", &table, &registry);
    let shown: Vec<_> = (0..2)
        .map(|row| outcome(&mut decoder, None, Some(&rows.row(row).unwrap())))
        .collect();
    assert_eq!(shown, ["Put 1|true|0.5|é|9|-5", "Put -2|-|-|-|-|-"]);
}

const EVERYTHING: &str = r#"{"type":"record","name":"r","fields":[
    {"name":"id","type":"long"},{"name":"b","type":["null","boolean"]},
    {"name":"m","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
    {"name":"t","type":["null",{"type":"array","items":["null","r","string","double",{"type":"map","values":"bytes"}]}]},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"f","type":{"type":"array","items":{"type":"array","items":"null"}}},
    {"name":"x","type":["int","string","r"]}]}"#;

proptest! {
    #[test]
    fn any_bytes_are_a_row_or_an_error(
        value in prop::collection::vec(prop_oneof![2 => any::<u8>(), 3 => 0u8..8], 0..300),
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
    ) {
        let columns = table(
            &[
                ("id", DataType::Int64),
                ("b", DataType::Boolean),
                ("m", DataType::Decimal128(9, 2)),
                ("t", DataType::Utf8),
                ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
                ("x", DataType::Utf8),
            ],
            1,
        );
        let registry = Registry::with(&[(0, EVERYTHING), (1, "\"long\"")]);
        for format in ["upsert-avro", "debezium-avro"] {
            let mut decoder = with_registry(format, &columns, &registry);
            let framed = framed(0, std::slice::from_ref(&value));
            for value in [&framed, &value] {
                let outcome = decoder.push(Message { key: key.as_deref(), value: Some(value) });
                if let Err(rejected) = outcome {
                    prop_assert!(rejected.detail().len() < 256);
                }
            }
            let changes = decoder.take().unwrap();
            prop_assert_eq!(changes.rows.num_rows(), changes.kinds.len());
        }
    }

    #[test]
    fn any_text_is_a_schema_or_an_error(schema in "[\\[{}\\]\":,a-z]{0,60}|\\{\"type\":\"(record|array|map|enum|fixed)\",\"[a-z]{4,8}\":\\PC{0,20}\\}") {
        let options = [("format", "avro"), ("format.schema", schema.as_str())];
        let options = options.map(|(k, v)| (k.to_owned(), v.to_owned()));
        if let Ok(format) = Format::parse(&options.into_iter().collect()) {
            let _ = Decoder::new(&format, &two());
        }
    }

    #[test]
    fn a_row_is_itself(id in any::<i64>(), name in any::<Option<String>>(), float in any::<f64>()) {
        let schema = r#"{"type":"record","name":"r","fields":[{"name":"id","type":"long"},
            {"name":"name","type":["string","null"]},{"name":"f","type":"double"}]}"#;
        let registry = Registry::with(&[(1, schema)]);
        let columns = table(&[("id", DataType::Int64), ("name", DataType::Utf8), ("f", DataType::Float64)], 0);
        let mut decoder = with_registry("avro", &columns, &registry);
        let written = match &name {
            Some(name) => [int(0), text(name)].concat(),
            None => int(1),
        };
        let value = framed(1, &[int(id), written, float.to_le_bytes().to_vec()]);
        let expected = format!("Put {id}|{}|{float}", name.as_deref().unwrap_or("-"));
        prop_assert_eq!(outcome(&mut decoder, None, Some(&value)), expected);
    }
}

#[test]
fn schemas_that_name_themselves_do_not_end_the_process() {
    let forever = r#"{"type":"record","name":"r","fields":[{"name":"v","type":"r"}]}"#;
    let registry = Registry::with(&[(1, forever)]);
    let columns = table(&[("v", DataType::Utf8)], 0);
    let mut decoder = with_registry("avro", &columns, &registry);
    assert_eq!(outcome(&mut decoder, None, Some(&framed(1, &[]))), "too_large");
    let nested = r#"{"type":"record","name":"r","fields":[{"name":"v","type":["null",{"type":"array","items":"r"}]}]}"#;
    let registry = Registry::with(&[(1, nested)]);
    let mut decoder = with_registry("avro", &columns, &registry);
    let value = framed(1, &vec![vec![2, 2]; 100_000]);
    assert_eq!(outcome(&mut decoder, None, Some(&value)), "too_large");
}
