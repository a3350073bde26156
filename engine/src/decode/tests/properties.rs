//! What holds for any message.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const FORMATS: [&str; 9] = [
    "json",
    "csv",
    "debezium-json",
    "maxwell-json",
    "canal-json",
    "ogg-json",
    "dms-json",
    "upsert-json",
    "op-json",
];

fn every_type() -> Table {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into()));
    table(
        &[
            ("id", DataType::Int64),
            ("b", DataType::Boolean),
            ("f", DataType::Float64),
            ("m", DataType::Decimal128(38, 9)),
            ("t", DataType::Utf8),
            ("v", DataType::Utf8View),
            ("x", DataType::Binary),
            ("d", DataType::Date32),
            ("c", DataType::Time64(TimeUnit::Microsecond)),
            ("at", timestamp),
        ],
        1,
    )
}

/// JSON that is nearly a change of some connector.
fn nearly_json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[0-9]{1,40}(\\.[0-9]{0,9})?(e-?[0-9]{1,6})?",
        "[a-zA-Z0-9+/=: T.-]{0,24}".prop_map(|text| format!("\"{text}\"")),
        "\\PC{0,8}".prop_map(|text| format!("{text:?}")),
        prop::sample::select(vec![
            "c", "u", "d", "t", "INSERT", "UPDATE", "delete", "load", "I", "U", "D"
        ])
        .prop_map(|op| format!("\"{op}\"")),
    ];
    let names = vec![
        "id",
        "b",
        "f",
        "m",
        "t",
        "v",
        "x",
        "d",
        "c",
        "at",
        "op",
        "op_type",
        "type",
        "operation",
        "metadata",
        "data",
        "old",
        "before",
        "after",
        "payload",
        "schema",
        "key",
        "table",
        "isDdl",
        "scale",
        "value",
        "__deleted",
        "BI_id",
        "t_isMissing",
    ];
    scalar.prop_recursive(4, 48, 8, move |inner| {
        let member = (prop::sample::select(names.clone()), inner.clone());
        prop_oneof![
            3 => prop::collection::vec(member, 0..8).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
            1 => prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

/// A row whose key is mostly good, or none.
fn row() -> impl Strategy<Value = String> {
    let id = prop_oneof![4 => (1..4).prop_map(|id: i32| id.to_string()), 1 => Just("\"2\"".to_owned()), 1 => Just("null".to_owned())];
    let values = vec![
        "null",
        "true",
        "\"1\"",
        "1",
        "1.5",
        "1e30",
        "\"AQI=\"",
        "\"a\\n\"",
        "\"2026-01-02\"",
        "\"01:02:03\"",
        "\"2026-01-02 03:04:05\"",
        "{\"scale\":1,\"value\":\"fQ==\"}",
        "\"__debezium_unavailable_value\"",
    ];
    let names = vec![
        "b",
        "f",
        "m",
        "t",
        "v",
        "x",
        "d",
        "c",
        "at",
        "BI_id",
        "more",
        "id_isMissing",
        "t_isMissing",
    ];
    let members = prop::collection::vec((prop::sample::select(names), prop::sample::select(values)), 0..4);
    let object = (id, members).prop_map(|(id, members)| {
        let more = members.iter().map(|(name, value)| format!(",\"{name}\":{value}"));
        format!("{{\"id\":{id}{}}}", more.collect::<String>())
    });
    prop_oneof![6 => object, 1 => Just("null".to_owned()), 1 => Just("{}".to_owned())]
}

/// A change of each connector with these rows.
fn changes(op: usize, now: &str, before: &str) -> [(&'static str, String); 6] {
    let word = |words: [&'static str; 4]| words[op];
    let letter = word(["c", "u", "d", "t"]);
    let long = word(["insert", "update", "delete", "truncate"]);
    let upper = long.to_uppercase();
    let first = &upper[..1];
    [
        (
            "debezium-json",
            format!(r#"{{"op":"{letter}","before":{before},"after":{now}}}"#),
        ),
        (
            "op-json",
            format!(r#"{{"op":"{long}","data":{now},"before":{before}}}"#),
        ),
        (
            "maxwell-json",
            format!(r#"{{"type":"{long}","data":{now},"old":{before}}}"#),
        ),
        (
            "canal-json",
            format!(r#"{{"data":[{now},{now}],"old":[{before},{before}],"type":"{upper}"}}"#),
        ),
        (
            "ogg-json",
            format!(r#"{{"op_type":"{first}","before":{before},"after":{now}}}"#),
        ),
        (
            "dms-json",
            format!(r#"{{"data":{now},"before-image":{before},"metadata":{{"operation":"{long}"}}}}"#),
        ),
    ]
}

fn push_to_all(key: Option<&[u8]>, value: Option<&[u8]>) {
    let raw = table(&[("v", DataType::Binary)], 0);
    let all = FORMATS
        .iter()
        .map(|format| (*format, every_type()))
        .chain([("raw", raw)]);
    for (format, table) in all {
        push_to(format, &table, key, value);
    }
}

fn push_to(format: &str, table: &Table, key: Option<&[u8]>, value: Option<&[u8]>) {
    let mut decoder = decoder(&[("format", format)], table);
    match decoder.push(Message { key, value }) {
        Ok(Outcome::Rows(rows) | Outcome::Doubtful(rows)) => assert_eq!(decoder.rows(), rows),
        Ok(Outcome::Skipped(_)) => assert_eq!(decoder.rows(), 0),
        Err(rejected) => {
            assert_eq!(decoder.rows(), 0);
            assert!(rejected.detail().len() < 256);
        }
    }
    let changes = decoder.take().unwrap();
    assert_eq!(changes.rows.num_rows(), changes.kinds.len());
    for column in &table.key {
        let keys = changes.rows.column(*column);
        let is_good = |row: usize| keys.is_valid(row) || changes.kinds[row] == Kind::Truncate;
        assert!((0..keys.len()).all(is_good), "a change without a key");
    }
    for kind in changes.kinds.windows(2).filter(|pair| pair[0] == Kind::Rekey) {
        assert!(matches!(kind[1], Kind::Put | Kind::Merge(_)));
    }
    assert_ne!(changes.kinds.last(), Some(&Kind::Rekey));
}

proptest! {
    #[test]
    fn bytes_never_panic(
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        value in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
    ) {
        push_to_all(key.as_deref(), value.as_deref());
    }

    #[test]
    fn texts_never_panic(key in prop::option::of("\\PC{0,20}"), value in "[{}\\[\\]\",:0-9a-z\\\\é-]{0,80}") {
        push_to_all(key.as_deref().map(str::as_bytes), Some(value.as_bytes()));
    }

    #[test]
    fn changes_never_panic(key in prop::option::of(nearly_json()), value in nearly_json(), cut in 0usize..400) {
        push_to_all(key.as_deref().map(str::as_bytes), Some(value.as_bytes()));
        let cut = value.as_bytes().get(..cut).unwrap_or_default();
        push_to_all(key.as_deref().map(str::as_bytes), Some(cut));
    }

    #[test]
    fn changes_have_keys(op in 0usize..4, now in row(), before in row(), key in prop::option::of(row())) {
        for (format, value) in changes(op, &now, &before) {
            push_to(format, &every_type(), key.as_deref().map(str::as_bytes), Some(value.as_bytes()));
        }
        push_to("upsert-json", &every_type(), key.as_deref().map(str::as_bytes), Some(now.as_bytes()));
    }

    #[test]
    fn a_row_of_json_is_itself(
        id in any::<i64>(),
        flag in any::<Option<bool>>(),
        float in -1e300..1e300f64,
        money in -10i64.pow(17)..10i64.pow(17),
        text in any::<String>(),
        day in 0i32..40_000,
    ) {
        let table = table(&[
            ("id", DataType::Int64),
            ("b", DataType::Boolean),
            ("f", DataType::Float64),
            ("m", DataType::Decimal128(18, 0)),
            ("t", DataType::Utf8),
            ("d", DataType::Date32),
        ], 0);
        let flag = flag.map_or("null".to_owned(), |flag| flag.to_string());
        let quoted = json_text(&text);
        let value = format!(r#"{{"id":{id},"b":{flag},"f":{float:e},"m":{money},"t":{quoted},"d":{day}}}"#);
        let shown = if flag == "null" { "-" } else { &flag };
        let found = one(&[("format", "json")], &table, None, Some(&value));
        prop_assert_eq!(found, format!("Put {id}|{shown}|{float}|{money}|{text}|{day}"));
    }

    #[test]
    fn texts_need_no_escapes_for_control_characters(text in "[\\x00-\\x1f\"\\\\aé]{0,12}") {
        let table = table(&[("id", DataType::Int64), ("t", DataType::Utf8)], 1);
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        let bare = format!("{{\"id\":1,\"t\":\"{text}\"}}");
        let mut escaped = String::new();
        for letter in bare.chars() {
            match letter {
                letter if (letter as u32) < 0x20 => escaped.push_str(&format!("\\u{:04x}", letter as u32)),
                letter => escaped.push(letter),
            }
        }
        for format in ["json", "upsert"] {
            let read = |value: &str| one(&[("format", format)], &table, None, Some(value));
            prop_assert_eq!(read(&bare), read(&escaped));
        }
    }

    #[test]
    fn a_list_of_rows_is_its_rows(rows in prop::collection::vec(row(), 1..4)) {
        let table = every_type();
        let read = |value: &str| one(&[("format", "json")], &table, None, Some(value));
        let each: Vec<String> = rows.iter().map(|row| read(row)).collect();
        let list = read(&format!("[{}]", rows.join(",")));
        match each.iter().find(|row| !row.starts_with("Put ")) {
            Some(rejected) => prop_assert_eq!(&list, rejected),
            None => prop_assert_eq!(list, each.join("; ")),
        }
    }

    #[test]
    fn a_bad_message_leaves_the_good_ones(bad in nearly_json(), at in 0usize..4) {
        for format in ["json", "upsert-json", "op-json"] {
            let mut decoder = decoder(&[("format", format)], &every_type());
            let mut expected = HashMap::new();
            for index in 0..4u32 {
                if index as usize == at {
                    let cut = bad.get(..bad.len() / 2).unwrap_or("{");
                    let _ = push(&mut decoder, None, Some(&format!("{{\"id\":5,\"t\":\"left\",\"z\":{cut}")));
                }
                let value = format!(r#"{{"op":"c","id":{index},"t":"t{index}","v":"a\n"}}"#);
                push(&mut decoder, None, Some(&value)).unwrap();
                expected.insert(index, format!("Put {index}|-|-|-|t{index}|a\n|-|-|-|-"));
            }
            let rows = take(&mut decoder);
            prop_assert_eq!(rows.len(), 4);
            for (index, row) in (0u32..).zip(rows) {
                prop_assert_eq!(Some(&row), expected.get(&index));
            }
        }
    }
}

fn json_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if (letter as u32) < 0x20 => quoted.push_str(&format!("\\u{:04x}", letter as u32)),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[test]
fn messages_are_counted_with_those_that_gave_no_row() {
    let mut decoder = decoder(&[("format", "debezium-json")], &every_type());
    let _ = push(&mut decoder, None, Some("{"));
    push(
        &mut decoder,
        None,
        Some(r#"{"op":"u","before":{"id":1},"after":{"id":2}}"#),
    )
    .unwrap();
    push(&mut decoder, None, None).unwrap();
    push(&mut decoder, None, Some(r#"{"op":"t"}"#)).unwrap();
    let changes = decoder.take().unwrap();
    assert_eq!(changes.messages, [1, 1, 3]);
    assert_eq!(changes.kinds, [Kind::Rekey, Kind::Put, Kind::Truncate]);
    push(&mut decoder, None, Some(r#"{"op":"c","after":{"id":2}}"#)).unwrap();
    assert_eq!(decoder.take().unwrap().messages, [0]);
}
