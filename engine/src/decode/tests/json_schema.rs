//! JSON Schema: the columns that a registry has for messages of JSON.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{NoSchema, SchemaId, SchemaText, Schemas};
use super::avro::outcome;
use super::*;

fn schema(text: &str) -> SchemaText {
    SchemaText {
        language: "JSON".to_owned(),
        text: text.to_owned(),
        references: Vec::new(),
    }
}

fn format(word: &str, more: &[(&str, &str)]) -> Format {
    let options = [("format", word), ("format.registry", "http://r")];
    let options = options.iter().chain(more);
    let options = options.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Format::parse(&options.collect()).unwrap()
}

fn shown(columns: &Schema) -> Vec<String> {
    let columns = columns.fields().iter();
    let columns = columns.map(|field| format!("{} {}", field.name(), field.data_type()));
    columns.collect()
}

fn columns(word: &str, text: &str) -> Result<Vec<String>, String> {
    let (columns, _) = format(word, &[]).columns(Some(&schema(text)), None)?;
    Ok(shown(&columns))
}

/// The type of the column of a property with this schema.
fn column(word: &str, property: &str) -> Result<String, String> {
    let text = format!(
        r##"{{"type":"object","properties":{{"p":{property}}},
            "definitions":{{"a/b":{{"type":"boolean"}},"loop":{{"$ref":"#/definitions/loop"}},
                "wide":{{"anyOf":[{{"$ref":"#/definitions/wide"}},{{"$ref":"#/definitions/wide"}}]}}}},
            "$defs":{{"day":{{"type":"string","format":"date"}}}}}}"##
    );
    let columns = columns(word, &text)?;
    assert_eq!(columns.len(), 1);
    Ok(columns[0].trim_start_matches("p ").to_owned())
}

#[test]
fn types_are_those_that_values_have() {
    for (property, expected) in [
        (r#"{"type":"integer"}"#, "Int64"),
        (r#"{"type":"integer","connect.type":"int8"}"#, "Int8"),
        (r#"{"type":"integer","connect.type":"int16"}"#, "Int16"),
        (r#"{"type":"integer","connect.type":"int32"}"#, "Int32"),
        (r#"{"type":"integer","connect.type":"int64"}"#, "Int64"),
        (r#"{"type":"number"}"#, "Float64"),
        (r#"{"type":"number","connect.type":"float32"}"#, "Float32"),
        (r#"{"type":"string"}"#, "Utf8"),
        (r#"{"type":"string","connect.type":"bytes"}"#, "Binary"),
        (r#"{"type":"string","format":"date"}"#, "Date32"),
        (r#"{"type":"string","format":"time"}"#, "Time64(µs)"),
        (
            r#"{"type":"string","format":"date-time"}"#,
            r#"Timestamp(µs, "UTC")"#,
        ),
        (r#"{"type":"string","format":"uuid"}"#, "Utf8"),
        (r#"{"type":"boolean"}"#, "Boolean"),
        (
            r#"{"type":"object","properties":{"x":{"type":"integer"}}}"#,
            "Utf8",
        ),
        (r#"{"type":"array","items":{"type":"integer"}}"#, "Utf8"),
        (r#"{"type":["null","integer"]}"#, "Int64"),
        (r#"{"type":["integer","number"]}"#, "Float64"),
        (r#"{"type":["integer","string"]}"#, "Utf8"),
        (r#"{"type":"null"}"#, "Utf8"),
        (
            r#"{"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int16"}]}"#,
            "Int16",
        ),
        (
            r#"{"anyOf":[{"type":"integer"},{"type":"object"},{"type":"null"}]}"#,
            "Utf8",
        ),
        (r#"{"allOf":[{"description":"x"},{"type":"boolean"}]}"#, "Boolean"),
        (r#"{"enum":["a","b",null]}"#, "Utf8"),
        (r#"{"const":7}"#, "Int64"),
        (r#"{"enum":[1,2.5]}"#, "Float64"),
        (r#"{"description":"anything"}"#, "Utf8"),
        ("true", "Utf8"),
        (r##"{"$ref":"#/definitions/a~1b"}"##, "Boolean"),
        (
            r##"{"anyOf":[{"$ref":"#/$defs/day"},{"type":"null"}]}"##,
            "Date32",
        ),
    ] {
        assert_eq!(column("json", property).as_deref(), Ok(expected), "{property}");
    }
}

#[test]
fn what_is_not_known_is_refused_by_the_name_of_the_property() {
    for (property, part) in [
        (r#"{"type":"text"}"#, "no type \"text\""),
        (r#"{"type":7}"#, "is no text"),
        ("false", "no value"),
        ("7", "no schema"),
        (r#"{"$ref":"other.json"}"#, "leads nowhere"),
        (r##"{"$ref":"#anchor"}"##, "leads nowhere"),
        (r##"{"$ref":"#/definitions/loop"}"##, "refers to itself"),
        (r##"{"$ref":"#/definitions/wide"}"##, "refers to itself"),
        (r##"{"$dynamicRef":"#node"}"##, "$dynamicRef"),
        (
            r#"{"type":"number","title":"org.apache.kafka.connect.data.Decimal"}"#,
            "scale",
        ),
        (
            r#"{"type":"number","title":"org.apache.kafka.connect.data.Decimal","connect.parameters":{"scale":"40"}}"#,
            "scale 40",
        ),
    ] {
        let error = column("json", property).unwrap_err();
        assert!(
            error.contains("schema of values: property \"p\"") && error.contains(part),
            "{error}"
        );
    }
    let refused = |text: &str, part: &str| {
        let error = columns("upsert", text).unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    refused("{", "no JSON");
    refused(r#"{"type":"string"}"#, "no object with properties");
    refused(
        r#"{"type":"object","properties":{}}"#,
        "no object with properties",
    );
    refused(
        r#"{"oneOf":[{"properties":{"a":{"type":"string"}}},{"properties":{"b":{"type":"string"}}}]}"#,
        "only some of its objects",
    );
    let avro = format("json", &[]).columns(Some(&SchemaText::avro("\"int\"")), None);
    assert!(avro.unwrap_err().contains("it is AVRO, not JSON"));
}

#[test]
fn columns_have_the_order_of_the_text_or_of_connect() {
    let text = r#"{"properties":{"z":{"type":"integer"},"a":{"type":"string"},"m":{"type":"boolean"}}}"#;
    assert_eq!(columns("json", text).unwrap(), ["z Int64", "a Utf8", "m Boolean"]);
    let text = r#"{"properties":{"a":{"connect.index":2,"oneOf":[{"type":"null"},{"type":"string"}]},
        "z":{"type":"integer","connect.index":0},"more":{"type":"string"},"m":{"type":"boolean","connect.index":1}}}"#;
    assert_eq!(
        columns("json", text).unwrap(),
        ["z Int64", "m Boolean", "a Utf8", "more Utf8"]
    );
}

#[test]
fn objects_are_made_of_parts() {
    let text = r##"{"allOf":[{"$ref":"#/$defs/base"},{"properties":{"b":{"type":"string"},"a":true}}],
        "anyOf":[{"properties":{"a":{"const":1}},"required":["b"]},{"required":["a"]}],
        "$defs":{"base":{"type":"object","properties":{"a":{"type":"integer"}}}}}"##;
    assert_eq!(columns("json", text).unwrap(), ["a Int64", "b Utf8"]);
    let null = r#"{"oneOf":[{"type":"null"},{"type":"object","properties":{"a":{"type":"integer"}}}]}"#;
    assert_eq!(columns("json", null).unwrap(), ["a Int64"]);
    let named = SchemaText {
        references: vec![(
            "parts.json".to_owned(),
            r##"{"$defs":{"id":{"$ref":"#/$defs/number"},"number":{"type":"number"}}}"##.to_owned(),
        )],
        ..schema(r##"{"properties":{"id":{"$ref":"parts.json#/$defs/id"}}}"##)
    };
    let (columns, _) = format("json", &[]).columns(Some(&named), None).unwrap();
    assert_eq!(shown(&columns), ["id Float64"]);
}

#[test]
fn times_are_columns_where_their_unit_is_read() {
    let titled =
        |kind: &str, title: &str| format!(r#"{{"type":"{kind}","title":"{title}","connect.type":"int64"}}"#);
    let check = |word: &str, kind: &str, title: &str, expected: &str| {
        let property = titled(kind, title);
        assert_eq!(column(word, &property).as_deref(), Ok(expected), "{word} {title}");
    };
    for word in ["json", "upsert"] {
        check(word, "integer", "org.apache.kafka.connect.data.Date", "Date32");
        check(
            word,
            "integer",
            "org.apache.kafka.connect.data.Time",
            "Time32(ms)",
        );
        check(
            word,
            "integer",
            "org.apache.kafka.connect.data.Timestamp",
            r#"Timestamp(ms, "UTC")"#,
        );
        check(word, "integer", "io.debezium.time.Timestamp", "Timestamp(ms)");
        check(word, "integer", "io.debezium.time.NanoTimestamp", "Int64");
        check(word, "integer", "io.debezium.time.Year", "Int64");
        check(
            word,
            "string",
            "io.debezium.time.ZonedTimestamp",
            r#"Timestamp(µs, "UTC")"#,
        );
    }
    check(
        "upsert",
        "integer",
        "io.debezium.time.MicroTimestamp",
        "Timestamp(µs)",
    );
    check("upsert", "integer", "io.debezium.time.MicroTime", "Time64(µs)");
    // Numbers in times are milliseconds there, unless another unit is given.
    check("json", "integer", "io.debezium.time.MicroTimestamp", "Int64");
    let text = format!(
        r#"{{"properties":{{"p":{}}}}}"#,
        titled("integer", "io.debezium.time.MicroTimestamp")
    );
    let micros = format("json", &[("format.timestamp_unit", "us")]);
    let (columns, _) = micros.columns(Some(&schema(&text)), None).unwrap();
    assert_eq!(shown(&columns), ["p Timestamp(µs)"]);
}

#[test]
fn decimals_have_the_digits_that_connect_says() {
    let check = |parameters: &str, expected: &str| {
        let property = format!(
            r#"{{"type":"number","title":"org.apache.kafka.connect.data.Decimal","connect.type":"bytes",
                "connect.version":1,"connect.parameters":{parameters}}}"#
        );
        assert_eq!(column("json", &property).as_deref(), Ok(expected), "{parameters}");
    };
    check(
        r#"{"scale":"2","connect.decimal.precision":"9"}"#,
        "Decimal128(9, 2)",
    );
    check(r#"{"scale":2}"#, "Decimal128(38, 2)");
    check(
        r#"{"scale":"0","connect.decimal.precision":"64"}"#,
        "Decimal128(38, 0)",
    );
}

/// As `JsonSchemaConverter` has them registered.
#[test]
fn envelopes_of_debezium_have_the_row_in_after() {
    let row = r#"{"type":"object","title":"s.t.Value","properties":{
        "name":{"connect.index":1,"oneOf":[{"type":"null"},{"type":"string"}]},
        "id":{"type":"integer","connect.index":0,"connect.type":"int32"}}}"#;
    let envelope = format!(
        r#"{{"type":"object","title":"s.t.Envelope","connect.version":1,"properties":{{
            "op":{{"type":"string","connect.index":3}},
            "before":{{"connect.index":0,"oneOf":[{{"type":"null"}},{row}]}},
            "after":{{"connect.index":1,"oneOf":[{{"type":"null"}},{row}]}}}}}}"#
    );
    let key = schema(r#"{"type":"object","properties":{"id":{"type":"integer","connect.type":"int32"}}}"#);
    let (columns, names) = format("debezium-json", &[])
        .columns(Some(&schema(&envelope)), Some(&key))
        .unwrap();
    assert_eq!(
        (shown(&columns), names),
        (
            vec!["id Int32".to_owned(), "name Utf8".to_owned()],
            vec!["id".to_owned()]
        )
    );
    let error = self::columns("debezium-json", row).unwrap_err();
    assert!(error.contains("no property \"after\""), "{error}");
}

#[test]
fn keys_of_upsert_bring_their_columns() {
    let value = schema(r#"{"properties":{"v":{"type":"number"},"b":{"type":"string"}}}"#);
    let key = schema(r#"{"properties":{"a":{"type":"integer"},"b":{"type":"string"}}}"#);
    let (columns, names) = format("upsert", &[]).columns(Some(&value), Some(&key)).unwrap();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(shown(&columns), ["a Int64", "v Float64", "b Utf8"]);
    // A row of its own has no key.
    let (columns, names) = format("json", &[]).columns(Some(&value), Some(&key)).unwrap();
    assert_eq!((names.len(), columns.fields().len()), (0, 2));
}

/// Panics if it is asked.
/// A registry that knows some schemas, is away for others, and remembers which it was asked for.
#[derive(Debug, Default)]
struct Asked {
    ids: Mutex<Vec<SchemaId>>,
    is_away: AtomicBool,
}

impl Schemas for Asked {
    fn find(&self, id: SchemaId) -> Result<Arc<SchemaText>, NoSchema> {
        self.ids.lock().unwrap().push(id);
        match self.is_away.load(Ordering::Relaxed) {
            true => Err(NoSchema::Away("it sleeps".to_owned())),
            false => Err(NoSchema::Unknown("it has none".to_owned())),
        }
    }
}

fn framed(id: u8, text: &str) -> Vec<u8> {
    // It is no UTF-8.
    [&[0, 0, 0, 200, id], text.as_bytes()].concat()
}

const WAYS: [(&str, usize, &str); 3] = [
    ("json", 0, r#"{"id":1,"name":"a"}"#),
    ("upsert", 1, r#"{"id":1,"name":"a"}"#),
    ("debezium-json", 1, r#"{"op":"c","after":{"id":1,"name":"a"}}"#),
];

fn id_and_name(key: usize) -> Table {
    table(&[("id", DataType::Int64), ("name", DataType::Utf8)], key)
}

#[test]
fn messages_are_read_without_their_schemas() {
    for (word, key, value) in WAYS {
        let mut decoder = Decoder::new(&format(word, &[]), &id_and_name(key)).unwrap();
        for value in [&framed(7, value)[..], value.as_bytes()] {
            assert_eq!(outcome(&mut decoder, None, Some(value)), "Put 1|a", "{word}");
        }
        assert!(!decoder.heeds_frames(), "{word}");
    }
    let mut decoder = Decoder::new(&format("upsert", &[]), &id_and_name(1)).unwrap();
    assert_eq!(
        outcome(&mut decoder, Some(&framed(7, r#"{"id":1}"#)), None),
        "Delete 1|-"
    );
}

#[test]
fn a_registry_hears_of_each_schema_before_its_first_message_is_read() {
    for (word, key, value) in WAYS {
        let asked = Arc::new(Asked::default());
        let mut decoder =
            Decoder::with_schemas(&format(word, &[]), &id_and_name(key), asked.clone()).unwrap();
        assert!(decoder.heeds_frames(), "{word}");
        for value in [
            &framed(1, value)[..],
            &framed(1, value),
            value.as_bytes(),
            &framed(2, value),
        ] {
            assert_eq!(outcome(&mut decoder, None, Some(value)), "Put 1|a", "{word}");
        }
        let numbers = [1, 2].map(|id| SchemaId::Number(200 << 8 | id));
        assert_eq!(*asked.ids.lock().unwrap(), numbers, "{word}");

        asked.is_away.store(true, Ordering::Relaxed);
        let message = framed(3, value);
        let mut push = || {
            decoder.push(Message {
                key: None,
                value: Some(&message),
            })
        };
        assert!(push().unwrap_err().reason().passes(), "{word}");
        assert!(decoder.retry().is_err(), "{word}");
        asked.is_away.store(false, Ordering::Relaxed);
        decoder.retry().unwrap();
        assert_eq!(outcome(&mut decoder, None, Some(&message)), "Put 1|a", "{word}");
    }
}
