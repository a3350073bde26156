//! Changes of Debezium, of compacted topics, and written by hand.

use super::*;

fn customers() -> Table {
    let money = DataType::Decimal128(10, 2);
    table(
        &[
            ("id", DataType::Int32),
            ("name", DataType::Utf8),
            ("credit", money),
            ("notes", DataType::Utf8),
        ],
        1,
    )
}

fn debezium(key: Option<&str>, value: &str) -> String {
    one(&[("format", "debezium-json")], &customers(), key, Some(value))
}

#[test]
fn envelopes_of_debezium() {
    let source =
        r#""source":{"lsn":24023128,"sequence":"[\"1\",null]","snapshot":"first"},"ts_ms":1559033904863"#;
    let create = format!(
        r#"{{"before":null,"after":{{"id":1,"name":"Ann","credit":"BNI=","notes":null}},{source},"op":"c"}}"#
    );
    assert_eq!(debezium(None, &create), "Put 1|Ann|1234|-");
    let wrapped =
        format!(r#"{{"schema":{{"type":"struct","fields":[{{"field":"op"}}]}},"payload":{create}}}"#);
    assert_eq!(debezium(None, &wrapped), "Put 1|Ann|1234|-");
    assert_eq!(
        debezium(
            None,
            r#"{"before":null,"after":{"id":1,"credit":{"scale":1,"value":"fQ=="}},"op":"r"}"#
        ),
        "Put 1|-|1250|-"
    );
    assert_eq!(
        debezium(None, r#"{"op":"r","after":{"id":1,"credit":"12.5"}}"#),
        "Put 1|-|1250|-"
    );
    assert_eq!(
        debezium(None, r#"{"op":"r","after":{"id":1,"credit":12.345}}"#),
        "Put 1|-|1235|-"
    );
    assert_eq!(
        debezium(
            None,
            r#"{"op":"u","before":null,"after":{"id":1,"name":"Bo","notes":"__debezium_unavailable_value"}}"#
        ),
        "Merge 1|Bo|-|keep"
    );
    assert_eq!(
        debezium(
            None,
            r#"{"op":"u","before":{"id":1},"after":{"id":1,"notes":["__debezium_unavailable_value"]}}"#
        ),
        "Merge 1|-|-|keep"
    );
    assert_eq!(
        debezium(
            None,
            r#"{"op":"u","before":{"id":1,"name":"Ann"},"after":{"id":2,"name":"Ann"}}"#
        ),
        "Rekey 1|-|-|-; Put 2|Ann|-|-"
    );
    assert_eq!(
        debezium(
            None,
            r#"{"op":"d","before":{"id":1,"name":"Ann","credit":"?"},"after":null}"#
        ),
        "Delete 1|Ann|-|-"
    );
    let key = Some(r#"{"schema":{"type":"struct"},"payload":{"id":1}}"#);
    assert_eq!(
        debezium(key, r#"{"op":"d","before":null,"after":null}"#),
        "Delete 1|-|-|-"
    );
    assert_eq!(
        debezium(None, r#"{"op":"t","before":null,"after":null}"#),
        "Truncate -|-|-|-"
    );
}

#[test]
fn what_debezium_writes_beside_changes() {
    assert_eq!(
        debezium(None, r#"{"op":"m","message":{"prefix":"p","content":"AQ=="}}"#),
        "skipped logical_message"
    );
    assert_eq!(
        debezium(None, r#"{"status":"BEGIN","id":"571:1","event_count":null}"#),
        "skipped transaction"
    );
    assert_eq!(debezium(None, r#"{"ts_ms":1559033904863}"#), "skipped heartbeat");
    assert_eq!(
        debezium(None, r#"{"source":{},"databaseName":"d","ddl":"CREATE TABLE t"}"#),
        "skipped ddl"
    );
    assert_eq!(
        debezium(None, r#"{"schema":null,"payload":null}"#),
        "skipped tombstone"
    );
    assert_eq!(debezium(Some(r#"{"id":4}"#), ""), "Delete 4|-|-|-");
    assert_eq!(debezium(None, "null"), "skipped tombstone");
    assert_eq!(
        debezium(None, r#"{"op":"x","after":{"id":1}}"#),
        "unknown_operation"
    );
    assert_eq!(debezium(None, r#"{"id":1,"name":"Ann"}"#), "unknown_operation");
    assert_eq!(debezium(None, r#"{"op":"c","after":null}"#), "missing_row");
    assert_eq!(
        debezium(None, r#"{"op":"c","after":{"name":"Ann"}}"#),
        "missing_key"
    );
    assert_eq!(debezium(None, r#"{"op":"d","before":null}"#), "missing_key");
}

#[test]
fn times_of_debezium_are_in_the_unit_of_their_column() {
    let times = table(
        &[
            ("id", DataType::Int32),
            ("d", DataType::Date32),
            ("ms", DataType::Timestamp(TimeUnit::Millisecond, None)),
            ("us", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("t", DataType::Time64(TimeUnit::Microsecond)),
        ],
        1,
    );
    let value = r#"{"op":"c","after":{"id":1,"d":16936,"ms":1463270400123,"us":"2016-05-15T00:00:00.123456Z","t":5}}"#;
    assert_eq!(
        one(&[("format", "debezium-json")], &times, None, Some(value)),
        "Put 1|16936|1463270400123|1463270400123456|5"
    );
    let ms = [("format", "debezium-json"), ("format.timestamp_unit", "ms")];
    assert_eq!(
        one(
            &ms,
            &times,
            None,
            Some(r#"{"op":"c","after":{"id":1,"us":7,"t":1}}"#)
        ),
        "Put 1|-|-|7000|1000"
    );
}

#[test]
fn whole_numbers_of_debezium_may_be_base64() {
    let columns = table(
        &[
            ("id", DataType::Int32),
            ("u", DataType::UInt64),
            ("i", DataType::Int64),
            ("m", DataType::Decimal128(20, 0)),
        ],
        1,
    );
    let check = |options: &[(&str, &str)], row: &str, expected: &str| {
        let options = [&[("format", "debezium-json")][..], options].concat();
        let value = format!(r#"{{"op":"c","after":{{"id":1,{row}}}}}"#);
        assert_eq!(one(&options, &columns, None, Some(&value)), expected, "{row}");
    };
    // `bigint.unsigned.handling.mode` `precise`.
    let precise = ("format.decimals", "precise");
    check(
        &[precise],
        r#""u":"AP//////////","i":"MDk=","m":"AP//////////""#,
        "Put 1|18446744073709551615|12345|18446744073709551615",
    );
    check(&[precise], r#""i":"AP//////////""#, "out_of_range");
    check(&[precise], r#""u":"/w==""#, "out_of_range");
    check(&[precise], r#""i":"x1=""#, "wrong_type");
    check(&[precise], r#""i":"""#, "wrong_type");
    // Nobody has said so.
    check(&[], r#""i":"John""#, "wrong_type");
    check(&[], r#""u":"1234","i":"-123""#, "Put 1|1234|-123|-");
    check(&[precise], r#""i":"1234""#, "Put 1|-|-2658824|-");
    check(&[precise], r#""i":"12345""#, "Put 1|-|12345|-");
    let string = ("format.decimals", "string");
    check(&[string], r#""u":"1234""#, "Put 1|1234|-|-");
    check(&[string], r#""i":"MDk=""#, "wrong_type");
}

#[test]
fn decimals_that_are_no_numbers() {
    let check = |data_type: DataType, word: &str, expected: &str| {
        let columns = table(&[("id", DataType::Int32), ("c", data_type)], 1);
        let value = format!(r#"{{"op":"c","after":{{"id":1,"c":"{word}"}}}}"#);
        let found = one(&[("format", "debezium-json")], &columns, None, Some(&value));
        assert_eq!(found, expected, "{word}");
    };
    for (word, shown) in [
        ("NAN", "Put 1|NaN"),
        ("POSITIVE_INFINITY", "Put 1|inf"),
        ("NEGATIVE_INFINITY", "Put 1|-inf"),
    ] {
        check(DataType::Float64, word, shown);
        check(DataType::Decimal128(10, 2), word, "wrong_type");
    }
}

#[test]
fn the_key_of_the_message_alone() {
    let options = [("format", "debezium-json"), ("format.key_only", "true")];
    let value = Some(r#"{"op":"u","before":{"id":3},"after":{"id":1,"name":"Ann"}}"#);
    assert_eq!(
        one(&options, &customers(), Some(r#"{"id":9}"#), value),
        "Put 9|Ann|-|-"
    );
    assert_eq!(one(&options, &customers(), None, value), "missing_key");
}

#[test]
fn compacted_topics() {
    let upsert = |key, value| one(&[("format", "upsert")], &customers(), key, value);
    assert_eq!(
        upsert(Some(r#"{"id":1}"#), Some(r#"{"name":"Ann"}"#)),
        "Put 1|Ann|-|-"
    );
    assert_eq!(
        upsert(None, Some(r#"{"id":1,"name":"Ann","__op":"c"}"#)),
        "Put 1|Ann|-|-"
    );
    assert_eq!(
        upsert(None, Some(r#"{"schema":{},"payload":{"id":1,"name":"Ann"}}"#)),
        "Put 1|Ann|-|-"
    );
    assert_eq!(upsert(Some("1"), None), "Delete 1|-|-|-");
    assert_eq!(upsert(Some("1"), Some("")), "Delete 1|-|-|-");
    assert_eq!(upsert(Some("\"1\""), Some("null")), "Delete 1|-|-|-");
    assert_eq!(upsert(None, None), "missing_key");
    assert_eq!(upsert(Some("x"), None), "wrong_type");
    assert_eq!(
        upsert(None, Some(r#"{"id":1,"name":"Ann","__deleted":"true"}"#)),
        "Delete 1|Ann|-|-"
    );
    assert_eq!(
        upsert(None, Some(r#"{"id":1,"__deleted":"false","__op":"u"}"#)),
        "Put 1|-|-|-"
    );
    assert_eq!(
        upsert(None, Some(r#"{"id":1,"credit":"1234"}"#)),
        "Put 1|-|123400|-"
    );
    let two = table(&[("a", DataType::Utf8), ("b", DataType::Utf8)], 2);
    assert_eq!(
        one(
            &[("format", "upsert")],
            &two,
            Some(r#"{"a":"x","b":"y\n"}"#),
            None
        ),
        "Delete x|y\n"
    );
    assert_eq!(one(&[("format", "upsert")], &two, Some("x"), None), "missing_key");
}

#[test]
fn operations_in_many_spellings() {
    let op = |value: &str| one(&[("format", "op-json")], &customers(), None, Some(value));
    assert_eq!(
        op(r#"{"op":"insert","table":"customer","data":{"id":1,"name":"Ann"}}"#),
        "Put 1|Ann|-|-"
    );
    assert_eq!(op(r#"{"op":"SNAPSHOT","after":{"id":1}}"#), "Put 1|-|-|-");
    assert_eq!(op(r#"{"op":"upsert","id":1,"name":"Ann"}"#), "Put 1|Ann|-|-");
    assert_eq!(
        op(r#"{"op":"update","id":7,"data":{"name":"Ann"}}"#),
        "Merge 7|Ann|keep|keep"
    );
    assert_eq!(
        op(r#"{"op":"u","key":{"id":7},"data":{"credit":null}}"#),
        "Merge 7|keep|-|keep"
    );
    assert_eq!(
        op(r#"{"op":"u","key":7,"new":{"name":"Ann","credit":1,"notes":"n"}}"#),
        "Put 7|Ann|100|n"
    );
    assert_eq!(
        op(r#"{"op":"update","old":{"id":1},"new":{"id":2,"name":"Ann","credit":1,"notes":"n"}}"#),
        "Rekey 1|-|-|-; Put 2|Ann|100|n"
    );
    assert_eq!(op(r#"{"op":"delete","data":{"id":1}}"#), "Delete 1|-|-|-");
    assert_eq!(op(r#"{"op":"remove","key":1}"#), "Delete 1|-|-|-");
    assert_eq!(
        op(r#"{"op":"d","before":{"id":1,"name":"Ann"},"data":null}"#),
        "Delete 1|Ann|-|-"
    );
    assert_eq!(op(r#"{"op":"truncate"}"#), "Truncate -|-|-|-");
    assert_eq!(op(r#"{"op":"merge","data":{"id":1}}"#), "unknown_operation");
    assert_eq!(op(r#"{"data":{"id":1}}"#), "unknown_operation");
    let renamed = [
        ("format", "op-json"),
        ("format.op_field", "what"),
        ("format.data_field", "row"),
        ("format.table_field", "of"),
        ("format.table", "customer"),
    ];
    let named = |value| one(&renamed, &customers(), None, Some(value));
    assert_eq!(
        named(r#"{"what":"i","of":"customer","row":{"id":1}}"#),
        "Put 1|-|-|-"
    );
    assert_eq!(
        named(r#"{"what":"i","of":"orders","row":{"id":1}}"#),
        "skipped other_table"
    );
}
