//! Messages that say more than their columns: schemas beside payloads, placeholders, keys in parts, and words of connectors.

use super::*;

fn notes() -> Table {
    table(
        &[
            ("id", DataType::Int32),
            ("v", DataType::Utf8),
            ("w", DataType::Int32),
        ],
        1,
    )
}

#[test]
fn only_a_schema_and_a_payload_are_an_envelope() {
    let check = |key, value: &str, expected: &str| {
        assert_eq!(
            one(&[("format", "upsert")], &notes(), key, Some(value)),
            expected,
            "{value}"
        );
    };
    let row = r#"{"id":1,"payload":{"id":99,"v":"inner"},"v":"outer"}"#;
    check(None, row, "Put 1|outer|-");
    check(Some("3"), r#"{"id":3,"payload":null,"v":"new"}"#, "Put 3|new|-");
    let payload = r#""payload":{"id":3,"v":"a","w":1}"#;
    let schema = r#""schema":{"type":"struct","fields":[{"field":"id"}]}"#;
    for envelope in [
        format!("{{{schema},{payload}}}"),
        format!("{{{payload},{schema}}}"),
    ] {
        check(Some(r#"{"id":3}"#), &envelope, "Put 3|a|1");
    }
    check(
        Some(r#"{"id":3}"#),
        &format!("{{{schema},\"payload\":null}}"),
        "Delete 3|-|-",
    );
}

#[test]
fn a_column_may_be_called_schema() {
    let columns = table(
        &[
            ("id", DataType::Int32),
            ("schema", DataType::Utf8),
            ("v", DataType::Utf8),
        ],
        1,
    );
    let check = |value: &str, expected: &str| {
        assert_eq!(
            one(&[("format", "upsert")], &columns, None, Some(value)),
            expected,
            "{value}"
        );
    };
    check(
        r#"{"schema":{"type":"struct"},"payload":{"id":1,"schema":"public","v":"a"}}"#,
        "Put 1|public|a",
    );
    check(r#"{"id":1,"schema":"public"}"#, "Put 1|public|-");
}

#[test]
fn a_tombstone_is_read_with_the_schema_of_its_key() {
    let columns = table(&[("id", DataType::Decimal128(10, 2)), ("v", DataType::Utf8)], 1);
    let decimal = r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":2}"#;
    let key = format!(r#"{{"schema":{{"fields":[{{{decimal},"field":"id"}}]}},"payload":{{"id":"BNI="}}}}"#);
    assert_eq!(
        one(&[("format", "upsert")], &columns, Some(&key), None),
        "Delete 1234|-"
    );
}

/// A row of one column beside `id`, in an envelope of Debezium and flattened, with what the schema says of the column.
fn with_schema(data_type: &DataType, field: &str, value: &str) -> String {
    let columns = table(&[("id", DataType::Int32), ("c", data_type.clone())], 1);
    let fields = format!(r#"[{{"type":"int32","field":"id"}},{{{field},"field":"c"}}]"#);
    let row = format!(r#"{{"id":1,"c":{value}}}"#);
    let flat = format!(r#"{{"schema":{{"type":"struct","fields":{fields}}},"payload":{row}}}"#);
    let envelope = format!(
        r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","field":"after","fields":{fields}}}]}},"payload":{{"op":"c","after":{row}}}}}"#
    );
    let flat = one(
        &[("format", "upsert")],
        &columns,
        Some(r#"{"id":1}"#),
        Some(&flat),
    );
    let found = one(&[("format", "debezium-json")], &columns, None, Some(&envelope));
    assert_eq!(flat, found, "{field} {value}");
    found
}

#[test]
fn schemas_say_scales_and_units() {
    let decimal = DataType::Decimal128(20, 4);
    let of_scale_2 =
        r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}"#;
    assert_eq!(with_schema(&decimal, of_scale_2, r#""MDk=""#), "Put 1|1234500");
    assert_eq!(
        with_schema(&DataType::Float64, of_scale_2, r#""MDk=""#),
        "Put 1|123.45"
    );
    assert_eq!(
        with_schema(&DataType::Int64, of_scale_2, r#""MDk=""#),
        "wrong_type"
    );
    assert_eq!(with_schema(&decimal, of_scale_2, r#""12.34""#), "wrong_type");
    let of_no_scale = of_scale_2.replace("\"2\"", "\"70000\"");
    assert_eq!(
        with_schema(&DataType::Int64, &of_no_scale, r#""MDk=""#),
        "wrong_type"
    );
    let text = r#""type":"string""#;
    assert_eq!(with_schema(&decimal, text, r#""1234""#), "Put 1|12340000");
    assert_eq!(with_schema(&decimal, text, r#""1e10""#), "Put 1|100000000000000");

    let named = |kind: &str| format!(r#""type":"int64","name":"{kind}","version":1"#);
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let at = "Put 1|1514863845123000";
    for kind in [
        "io.debezium.time.Timestamp",
        "org.apache.kafka.connect.data.Timestamp",
    ] {
        assert_eq!(with_schema(&micros, &named(kind), "1514863845123"), at);
    }
    let nanos = named("io.debezium.time.NanoTimestamp");
    assert_eq!(with_schema(&micros, &nanos, "1514863845123000000"), at);
    for kind in ["io.debezium.time.Date", "org.apache.kafka.connect.data.Date"] {
        assert_eq!(
            with_schema(&micros, &named(kind), "17533"),
            "Put 1|1514851200000000"
        );
        assert_eq!(
            with_schema(&DataType::Date32, &named(kind), "17533"),
            "Put 1|17533"
        );
    }
    let millis = named("io.debezium.time.Timestamp");
    assert_eq!(
        with_schema(&DataType::Date32, &millis, "1514851200000"),
        "Put 1|17533"
    );
    assert_eq!(
        with_schema(&DataType::Date32, &named("io.debezium.time.Year"), "2018"),
        "wrong_type"
    );
    assert_eq!(
        with_schema(&DataType::Int32, &named("io.debezium.time.Year"), "2018"),
        "Put 1|2018"
    );
}

#[test]
fn decimals_are_spelled_out_in_columns_of_text() {
    let of_scale_2 =
        r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}"#;
    let text = |field: &str, value: &str| with_schema(&DataType::Utf8, field, value);
    assert_eq!(text(of_scale_2, r#""MDk=""#), "Put 1|123.45");
    assert_eq!(text(of_scale_2, "12.50"), "Put 1|12.50");
    assert_eq!(text(of_scale_2, "null"), "Put 1|-");
    assert_eq!(text(of_scale_2, r#""?""#), "wrong_type");
    // Two to the power of 128: no other column has room for it.
    let long = r#""AQAAAAAAAAAAAAAAAAAAAAA=""#;
    assert_eq!(
        text(of_scale_2, long),
        "Put 1|3402823669209384634633746074317682114.56"
    );
    assert_eq!(
        with_schema(&DataType::Decimal128(38, 2), of_scale_2, long),
        "out_of_range"
    );
    assert_eq!(text(r#""type":"bytes""#, r#""MDk=""#), "Put 1|MDk=");
}

#[test]
fn decimals_may_bring_their_scale() {
    let scaled = r#""type":"struct","name":"io.debezium.data.VariableScaleDecimal","version":1,
        "fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}]"#;
    let check = |data_type: DataType, value: &str, expected: &str| {
        assert_eq!(
            with_schema(&data_type, scaled, value),
            expected,
            "{value} as {data_type}"
        );
    };
    let (fraction, whole) = (r#"{"scale":2,"value":"BNI="}"#, r#"{"scale":2,"value":"BLA="}"#);
    check(DataType::Decimal128(20, 4), fraction, "Put 1|123400");
    check(DataType::Utf8, fraction, "Put 1|12.34");
    check(DataType::Utf8, r#"{"value":"-y4=","scale":-1}"#, "Put 1|-12340");
    check(DataType::Utf8, "null", "Put 1|-");
    check(
        DataType::Utf8,
        r#"{"scale":2000000000,"value":"AQ=="}"#,
        "out_of_range",
    );
    check(DataType::Utf8, r#"{"scale":2}"#, "wrong_type");
    check(DataType::Float64, fraction, "Put 1|12.34");
    check(DataType::Int64, fraction, "wrong_type");
    for data_type in [DataType::Int8, DataType::Int32, DataType::Int64, DataType::UInt64] {
        check(data_type, whole, "Put 1|12");
    }
    check(DataType::Int8, r#"{"scale":0,"value":"BNI="}"#, "out_of_range");
    check(DataType::UInt64, r#"{"scale":0,"value":"/w=="}"#, "out_of_range");
    check(DataType::Int64, r#"{"scale":2,"value":7}"#, "wrong_type");
    // Without a schema nobody knows what an object in a text is.
    let columns = |data_type| table(&[("id", DataType::Int32), ("c", data_type)], 1);
    let message = format!(r#"{{"op":"c","after":{{"id":1,"c":{fraction}}}}}"#);
    let plain = |data_type| {
        one(
            &[("format", "debezium-json")],
            &columns(data_type),
            None,
            Some(&message),
        )
    };
    assert_eq!(plain(DataType::Utf8), format!("Put 1|{fraction}"));
    assert_eq!(plain(DataType::Float64), "Put 1|12.34");
}

#[test]
fn infinity_is_no_time() {
    let check = |data_type: &DataType, value: &str| {
        let columns = table(&[("id", DataType::Int32), ("c", data_type.clone())], 1);
        let message = format!(r#"{{"op":"c","after":{{"id":1,"c":{value}}}}}"#);
        let found = one(&[("format", "debezium-json")], &columns, None, Some(&message));
        assert_eq!(found, "out_of_range", "{value}");
    };
    check(&DataType::Date32, "2147483647");
    check(
        &DataType::Timestamp(TimeUnit::Microsecond, None),
        "9223372036825200000",
    );
    check(
        &DataType::Timestamp(TimeUnit::Microsecond, None),
        "-9223372036832400000",
    );
    check(&DataType::Timestamp(TimeUnit::Microsecond, None), r#""infinity""#);
}

#[test]
fn placeholders_have_a_form_for_each_type() {
    let columns = table(
        &[
            ("id", DataType::Int32),
            ("w", DataType::Int32),
            ("h", DataType::Utf8),
        ],
        1,
    );
    let text = "__debezium_unavailable_value";
    let bytes = |end: &str, blank: &str| {
        let bytes: Vec<String> = text.bytes().map(|byte| format!("{byte}{end}")).collect();
        format!("[{}]", bytes.join(&format!(",{blank}")))
    };
    for form in [
        format!(r#""{text}""#),
        r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#.to_owned(),
        format!(r#"{{"{text}":"{text}"}}"#),
        format!(r#""{{\"{text}\":\"{text}\"}}""#),
        format!(r#"["{text}"]"#),
        r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#.to_owned(),
        r#"[ "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==" ]"#.to_owned(),
        bytes("", " "),
        bytes(".0", ""),
        r#"{"wkb": "AQEAACDmEAAAAAAA/IPXl8EAAAD8g9eXwQ==", "srid": 4326}"#.to_owned(),
    ] {
        let message = format!(r#"{{"op":"u","after":{{"id":1,"w":2,"h":{form}}}}}"#);
        let found = one(&[("format", "debezium-json")], &columns, None, Some(&message));
        assert_eq!(found, "Merge 1|2|keep", "{form}");
    }
}

#[test]
fn a_sparse_change_may_bring_a_part_of_a_key() {
    let columns = table(
        &[
            ("a", DataType::Int32),
            ("b", DataType::Utf8),
            ("v", DataType::Utf8),
            ("w", DataType::Int32),
        ],
        2,
    );
    let check = |value: &str, expected: &str| {
        assert_eq!(
            one(&[("format", "op-json")], &columns, None, Some(value)),
            expected,
            "{value}"
        );
    };
    check(
        r#"{"op":"update","before":{"a":1,"b":"x"},"data":{"b":"y","w":2}}"#,
        "Rekey 1|x|-|-; Merge 1|y|keep|2",
    );
    check(
        r#"{"op":"update","before":{"a":1,"b":"x"},"data":{"b":"x","w":2}}"#,
        "Merge 1|x|keep|2",
    );
    check(
        r#"{"op":"update","before":{"a":1,"b":"x"},"data":{"w":2}}"#,
        "Merge 1|x|keep|2",
    );
}

#[test]
fn bytes_of_dms_are_hexadecimal() {
    let columns = table(&[("id", DataType::Int32), ("b", DataType::Binary)], 1);
    for text in ["0xDEADBEEF01", "DEADBEEF01"] {
        let message = format!(
            r#"{{"data":{{"id":1,"b":"{text}"}},"metadata":{{"record-type":"data","operation":"load","table-name":"t"}}}}"#
        );
        let found = one(&[("format", "dms-json")], &columns, None, Some(&message));
        assert_eq!(found, "Put 1|[222, 173, 190, 239, 1]");
    }
}
