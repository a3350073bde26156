//! Formats whose messages are rows: json, csv and raw.

use super::*;

const JSON: &[(&str, &str)] = &[("format", "json")];

fn cell(data_type: DataType, value: &str) -> String {
    let table = table(&[("v", data_type)], 0);
    one(JSON, &table, None, Some(&format!("{{\"v\":{value}}}"))).replace("Put ", "")
}

#[test]
fn members_are_columns() {
    let table = table(
        &[
            ("id", DataType::Int64),
            ("Name!", DataType::Utf8),
            ("x", DataType::Float64),
        ],
        0,
    );
    let check =
        |value: &str, expected: &str| assert_eq!(one(JSON, &table, None, Some(value)), expected, "{value}");
    check(r#"{"id":1,"Name":"a","x":0.5}"#, "Put 1|a|0.5");
    check(
        r#" {"x":-1e3 ,"NAME":"a\n\u00e9\"","more":{"id":[2]},"ID":7} "#,
        "Put 7|a\né\"|-1000",
    );
    check(r#"{"Name":"a","Name":"b"}"#, "Put -|b|-");
    check(r#"{"Name":"a","name":"b"}"#, "Put -|a|-");
    check(r#"{"name":"b","Name":"a"}"#, "Put -|a|-");
    check(r#"{"id":1}"#, "missing_column");
    check(r#"{"id":1,"Name":null}"#, "missing_column");
    check(r#"{"Name":"a"}x"#, "not_json");
    check(r#"{"Name":"a""#, "not_json");
    check(r#"{"Name":"a",}"#, "not_json");
    check("null", "not_object");
    check("", "not_json");
    check(
        &format!(
            "{{\"Name\":\"a\",\"deep\":{}{}}}",
            "[".repeat(5000),
            "]".repeat(5000)
        ),
        "not_json",
    );
    assert_eq!(one(JSON, &table, None, None), "null_value");
    let mut decoder = decoder(JSON, &table);
    let bytes = Message {
        key: None,
        value: Some(b"{\"Name\":\"\xff\"}"),
    };
    assert_eq!(decoder.push(bytes).unwrap_err().reason().name(), "not_utf8");
}

#[test]
fn a_list_has_a_row_in_each_object() {
    let columns = [("id", DataType::Int64), ("t", DataType::Utf8)];
    let check = |value: &str, expected: &str| {
        let found = one(JSON, &table(&columns, 0), None, Some(value));
        assert_eq!(found, expected, "{value}");
    };
    check(
        r#" [{"id":1,"t":"a\u00e9"}, {"T":"b"},{}] "#,
        "Put 1|aé; Put -|b; Put -|-",
    );
    check(r#"[{"t":{"x":[1]}}]"#, r#"Put -|{"x":[1]}"#);
    check("[]", "skipped empty");
    check(r#"[{"id":1},2]"#, "not_object");
    check(r#"[{"id":1},null]"#, "not_object");
    check(r#"[[{"id":1}]]"#, "not_object");
    check(r#"[{"id":1},{"id":"x"}]"#, "wrong_type");
    check(r#"[{"id":1}]x"#, "not_json");
    check(r#"[{"id":1},]"#, "not_json");
    // A key of the message is that of one row.
    let put = |value| one(JSON, &table(&columns, 1), Some("7"), Some(value));
    assert_eq!(put(r#"[{"t":"a"}]"#), "Put 7|a");
    assert_eq!(put(r#"[{"t":"a"},{"t":"b"}]"#), "missing_key");
    assert_eq!(put(r#"[{"id":1,"t":"a"},{"id":2,"t":"b"}]"#), "Put 1|a; Put 2|b");
    let upsert = one(
        &[("format", "upsert")],
        &table(&columns, 1),
        None,
        Some(r#"[{"id":1}]"#),
    );
    assert_eq!(upsert, "not_object");
}

#[test]
fn control_characters_need_no_escape() {
    let columns = [
        ("id", DataType::Utf8),
        ("t", DataType::Utf8),
        ("a\tb", DataType::Utf8),
    ];
    let check = |value: &str, expected: &str| {
        for (format, key) in [("json", 0), ("upsert", 1)] {
            let found = one(&[("format", format)], &table(&columns, key), None, Some(value));
            assert_eq!(found, expected, "{value:?}");
        }
    };
    check(
        "{\"id\":\"1\",\"t\":\"a\tb\u{0}é\n\\n\"}",
        "Put 1|a\tb\u{0}é\n\n|-",
    );
    check(
        "{\n\t\"id\":\"1\",\n\"a\tb\":\"\\\"\r\\\\\"}\r\n",
        "Put 1|-|\"\r\\",
    );
    check(
        "{\"id\":\"1\",\"more\":[\"\t\"],\"t\":{\"x\":\"\t\"}}",
        r#"Put 1|{"x":"\t"}|-"#,
    );
    check("{\"id\":\"1\",\"t\":\"a\tb\"", "not_json");
    check("{\"id\":\"1\",\t\"t\":\"a\\\tb\"}", "not_json");
    check("{\"id\":\"1\",\"t\":\t\"a\" \"\t\"}", "not_json");
    let deleted = |key| one(&[("format", "upsert")], &table(&columns, 1), Some(key), None);
    assert_eq!(deleted("{\"id\":\"a\tb\"}"), "Delete a\tb|-|-");
    assert_eq!(deleted("\"a\tb\""), "Delete a\tb|-|-");
    assert_eq!(deleted("a\tb"), "Delete a\tb|-|-");
    // What was read of it first leaves nothing behind.
    let list = "[{\"id\":\"1\",\"t\":\"\\n\"},{\"id\":\"2\\n\",\"t\":\"\t\"}]";
    assert_eq!(
        one(JSON, &table(&columns, 0), None, Some(list)),
        "Put 1|\n|-; Put 2\n|\t|-"
    );
}

#[test]
fn numbers_are_exact_or_refused() {
    use DataType::{Boolean, Decimal128, Float64, Int8, Int64, UInt64};
    assert_eq!(cell(Int64, "9223372036854775807"), "9223372036854775807");
    assert_eq!(cell(Int64, "9007199254740993"), "9007199254740993");
    assert_eq!(cell(Int64, "9223372036854775808"), "out_of_range");
    assert_eq!(cell(Int64, "\"-12\""), "-12");
    assert_eq!(cell(Int64, "\"12x\""), "wrong_type");
    assert_eq!(cell(Int64, "\"\""), "wrong_type");
    assert_eq!(cell(Int64, "1.0"), "1");
    assert_eq!(cell(Int64, "1.5"), "wrong_type");
    assert_eq!(cell(Int64, "true"), "wrong_type");
    assert_eq!(cell(Int8, "-128"), "-128");
    assert_eq!(cell(Int8, "128"), "out_of_range");
    assert_eq!(cell(UInt64, "18446744073709551615"), "18446744073709551615");
    assert_eq!(cell(UInt64, "-1"), "out_of_range");
    assert_eq!(cell(Float64, "NaN"), "not_json");
    assert_eq!(cell(Float64, "\"NaN\""), "NaN");
    assert_eq!(cell(Float64, "\"-Infinity\""), "-inf");
    assert_eq!(cell(Float64, "\"inf\""), "wrong_type");
    assert_eq!(cell(Float64, "\"NAN\""), "NaN");
    assert_eq!(cell(Float64, "\"POSITIVE_INFINITY\""), "inf");
    assert_eq!(cell(Float64, "\"NEGATIVE_INFINITY\""), "-inf");
    assert_eq!(cell(Int64, "\"POSITIVE_INFINITY\""), "wrong_type");
    assert_eq!(cell(Decimal128(5, 2), "\"NAN\""), "wrong_type");
    assert_eq!(cell(Float64, "1e999"), "out_of_range");
    assert_eq!(cell(Float64, "\"2.5\""), "2.5");
    assert_eq!(
        cell(Decimal128(38, 2), "123456789012345678901234567890.125"),
        "12345678901234567890123456789013"
    );
    assert_eq!(cell(Decimal128(5, 2), "\"-999.99\""), "-99999");
    assert_eq!(cell(Decimal128(5, 2), "1000"), "out_of_range");
    for (text, value) in [
        ("true", "true"),
        ("\"False\"", "false"),
        ("0", "false"),
        ("\"1\"", "true"),
        ("2", "wrong_type"),
    ] {
        assert_eq!(cell(Boolean, text), value);
    }
}

#[test]
fn texts_bytes_and_times() {
    use DataType::{Binary, Date32, Time64, Timestamp, Utf8, Utf8View};
    assert_eq!(cell(Utf8, "12.50"), "12.50");
    assert_eq!(cell(Utf8, "true"), "true");
    assert_eq!(cell(Utf8View, r#"{"a": [1, 2]}"#), r#"{"a": [1, 2]}"#);
    assert_eq!(cell(Binary, "\"AQI=\""), "[1, 2]");
    assert_eq!(cell(Binary, "\"?\""), "wrong_type");
    assert_eq!(cell(Date32, "\"1970-01-11\""), "10");
    assert_eq!(cell(Date32, "10"), "10");
    assert_eq!(cell(Time64(TimeUnit::Microsecond), "\"00:00:01\""), "1000000");
    assert_eq!(cell(Time64(TimeUnit::Microsecond), "86400000"), "out_of_range");
    assert_eq!(cell(Timestamp(TimeUnit::Microsecond, None), "5"), "5000");
    assert_eq!(
        cell(
            Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            "\"1970-01-01T01:00:00+01:00\""
        ),
        "0"
    );
    let table = table(&[("v", Timestamp(TimeUnit::Microsecond, None))], 0);
    let seconds = [("format", "json"), ("format.timestamp_unit", "s")];
    assert_eq!(one(&seconds, &table, None, Some(r#"{"v":1.5}"#)), "Put 1500000");
}

#[test]
fn lines_of_csv() {
    let table = table(
        &[
            ("id", DataType::Int64),
            ("t", DataType::Utf8),
            ("d", DataType::Date32),
        ],
        0,
    );
    let csv = |value: &str| one(&[("format", "csv")], &table, None, Some(value));
    assert_eq!(csv("1,a,1970-01-02\r\n"), "Put 1|a|1");
    assert_eq!(csv("1,,"), "Put 1|-|-");
    assert_eq!(csv("1,\"\","), "Put 1||-");
    assert_eq!(csv("1,\"a,\"\"b\"\"\n\",1970-01-02"), "Put 1|a,\"b\"\n|1");
    assert_eq!(csv("1,a"), "not_csv");
    assert_eq!(csv("1,a,1970-01-02,x"), "not_csv");
    assert_eq!(csv("1,\"a,"), "not_csv");
    assert_eq!(csv("1,\"a\"b,"), "not_csv");
    assert_eq!(csv("x,a,"), "wrong_type");
    let options = [
        ("format", "csv"),
        ("format.delimiter", "\\t"),
        ("format.null", "\\N"),
    ];
    assert_eq!(one(&options, &table, None, Some("1\t\t\\N")), "Put 1||-");
}

#[test]
fn raw_is_the_value_itself() {
    let text = table(&[("v!", DataType::Utf8)], 0);
    let bytes = table(&[("v", DataType::Binary)], 0);
    let raw = &[("format", "raw")];
    assert_eq!(one(raw, &text, None, Some("a b")), "Put a b");
    assert_eq!(one(raw, &text, None, None), "null_value");
    assert_eq!(one(raw, &bytes, None, None), "Put -");
    let mut decoder = decoder(raw, &bytes);
    decoder
        .push(Message {
            key: None,
            value: Some(b"\xff\x00"),
        })
        .unwrap();
    assert_eq!(take(&mut decoder), ["Put [255, 0]"]);
}

#[test]
fn a_keyed_table_takes_the_key_of_the_message() {
    let keyed = table(&[("id", DataType::Int64), ("t", DataType::Utf8)], 1);
    let put = |key, value| one(JSON, &keyed, key, Some(value));
    assert_eq!(put(None, r#"{"id":1,"t":"a"}"#), "Put 1|a");
    assert_eq!(put(Some("7"), r#"{"t":"a"}"#), "Put 7|a");
    assert_eq!(put(Some("x"), r#"{"t":"a"}"#), "wrong_type");
    assert_eq!(put(None, r#"{"id":null,"t":"a"}"#), "missing_key");
}

#[test]
fn tables_that_cannot_be_filled_are_refused_in_time() {
    let fails = |format: &str, table: &Table, part: &str| {
        let options = [("format".to_owned(), format.to_owned())].into_iter().collect();
        let error = Decoder::new(&Format::parse(&options).unwrap(), table).unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    fails("json", &table(&[("v", DataType::Date64)], 0), "'v'");
    fails("json", &table(&[], 0), "no columns");
    fails(
        "debezium-json",
        &table(&[("v", DataType::Utf8)], 0),
        "PRIMARY KEY",
    );
    fails(
        "raw",
        &table(&[("v", DataType::Utf8), ("w", DataType::Utf8)], 0),
        "exactly one",
    );
    fails(
        "json",
        &table(
            &[(
                "v",
                DataType::Timestamp(TimeUnit::Second, Some("No/Where".into())),
            )],
            0,
        ),
        "No/Where",
    );
}
