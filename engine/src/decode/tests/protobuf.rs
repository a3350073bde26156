//! Protobuf: types of a registry, and of a descriptor among the options.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use prost_reflect::DescriptorPool;

use super::super::SchemaText;
use super::avro::{Registry, framed, outcome, with_registry};
use super::*;

const SOURCE: &str = r#"
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "colour.proto";
message Other { string x = 1; }
message Row {
  int64 id = 1;
  optional string name = 2;
  double price = 3;
  bytes raw = 4;
  shop.Colour colour = 5;
  repeated sint32 many = 6;
  map<string, Inner> inner = 7;
  google.protobuf.Timestamp at = 8;
  google.protobuf.Int64Value maybe = 9;
  uint64 big = 10;
  Inner one = 11;
  message Inner { int64 x = 1; repeated Inner more = 2; }
  message Key { int64 id = 1; }
}
"#;
const COLOUR: &str = r#"syntax = "proto3"; package shop; enum Colour { RED = 0; BLUE = 1; }"#;

fn source() -> SchemaText {
    SchemaText {
        language: "PROTOBUF".to_owned(),
        text: SOURCE.to_owned(),
        references: vec![("colour.proto".to_owned(), COLOUR.to_owned())],
    }
}

fn every_column() -> Table {
    table(
        &[
            ("id", DataType::Int64),
            ("name", DataType::Utf8),
            ("price", DataType::Float64),
            ("raw", DataType::Binary),
            ("colour", DataType::Utf8),
            ("many", DataType::Utf8),
            ("inner", DataType::Utf8),
            ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("maybe", DataType::Int64),
            ("big", DataType::UInt64),
        ],
        0,
    )
}

/// A field that has a length.
fn part(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat()
}

/// A small whole number.
fn small(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

#[test]
fn fields_are_columns() {
    let registry = Registry::of([(1, source())]);
    let mut decoder = with_registry("protobuf", &every_column(), &registry);
    let mut check = |indexes: &[u8], parts: &[Vec<u8>], expected: &str| {
        let value = framed(1, &[indexes.to_vec(), parts.concat()]);
        assert_eq!(outcome(&mut decoder, None, Some(&value)), expected);
    };
    check(&[2, 2], &[], "Put 0|-|0|[]|RED|[]|{}|-|-|0");
    let inner = part(7, &[part(1, b"k"), part(2, &small(1, 9))].concat());
    check(
        &[2, 2],
        &[
            small(1, 7),
            part(2, b"a"),
            part(4, &[1]),
            small(5, 1),
            part(6, &[1, 2]),
            inner,
            part(8, &[small(1, 1), small(2, 0)].concat()),
            part(9, &[]),
            vec![10 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            vec![15 << 3, 5],
        ],
        r#"Put 7|a|0|[1]|BLUE|[-1,1]|{"k":{"x":9}}|1000000|0|18446744073709551615"#,
    );
    check(&[0], &[part(1, b"x")], "Put -|-|-|-|-|-|-|-|-|-");
    check(&[2, 10], &[], "not_protobuf");
    check(&[2], &[], "not_protobuf");
    check(&[2, 2], &[vec![10, 200]], "not_protobuf");
    check(&[2, 2], &[small(5, 9)], "Put 0|-|0|[]|9|[]|{}|-|-|0");
    assert_eq!(outcome(&mut decoder, None, Some(b"{}")), "not_framed");
    let value = framed(2, &[vec![0]]);
    assert_eq!(outcome(&mut decoder, None, Some(&value)), "unknown_schema");
}

#[test]
fn keys_may_have_a_type() {
    let registry = Registry::of([(1, source())]);
    let two = table(&[("id", DataType::Int64), ("name", DataType::Utf8)], 1);
    let mut decoder = with_registry("upsert-protobuf", &two, &registry);
    // The second message of the file, and the second of those inside of it.
    let key = framed(1, &[vec![4, 2, 2], small(1, 7)]);
    assert_eq!(outcome(&mut decoder, Some(&key), None), "Delete 7|-");
    let value = framed(1, &[vec![2, 2], small(1, 7), part(2, b"a")]);
    assert_eq!(outcome(&mut decoder, None, Some(&value)), "Put 7|a");
    assert_eq!(outcome(&mut decoder, Some(b"7"), None), "Delete 7|-");
}

fn compiled() -> String {
    let mut pool = DescriptorPool::global();
    pool.add_file_descriptor_proto(protox_parse::parse("colour.proto", COLOUR).unwrap())
        .unwrap();
    pool.add_file_descriptor_proto(protox_parse::parse("shop.proto", SOURCE).unwrap())
        .unwrap();
    STANDARD.encode(pool.encode_to_vec())
}

#[test]
fn a_descriptor_may_be_among_the_options() {
    let descriptor = compiled();
    let options = [
        ("format", "protobuf"),
        ("format.descriptor", descriptor.as_str()),
        ("format.message", "shop.Row"),
    ];
    let mut decoder = decoder(&options, &every_column());
    let value = [small(1, 7), part(2, b"a")].concat();
    let expected = "Put 7|a|0|[]|RED|[]|{}|-|-|0";
    assert_eq!(outcome(&mut decoder, None, Some(&value)), expected);
    let format = Format::parse(&options.map(|(k, v)| (k.to_owned(), v.to_owned())).into()).unwrap();
    let columns = format.columns(None, None).unwrap().0;
    let columns: Vec<_> = columns
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    assert_eq!(
        columns,
        [
            "Int64",
            "Utf8",
            "Float64",
            "Binary",
            "Utf8",
            "Utf8",
            "Utf8",
            "Timestamp(ns, \"UTC\")",
            "Int64",
            "Decimal128(20, 0)",
            "Utf8"
        ]
    );
    for (descriptor, message, part) in [("?", "shop.Row", "base64"), (&descriptor, "shop.No", "shop.No")] {
        let options = [
            ("format", "protobuf"),
            ("format.descriptor", descriptor),
            ("format.message", message),
        ];
        let options = options.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let error = Decoder::new(&Format::parse(&options.into()).unwrap(), &every_column()).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn without_a_frame_no_bytes_are_a_message_of_defaults() {
    let two = table(&[("id", DataType::Int64), ("name", DataType::Utf8)], 1);
    let descriptor = compiled();
    for (frame, expected) in [("none", "Put 0|-"), ("confluent", "Delete 7|-")] {
        let options = [
            ("format", "upsert-protobuf"),
            ("format.descriptor", descriptor.as_str()),
            ("format.message", "shop.Row"),
            ("format.frame", frame),
        ];
        let mut decoder = decoder(&options, &two);
        assert_eq!(outcome(&mut decoder, Some(b"7"), Some(b"")), expected);
        assert_eq!(outcome(&mut decoder, Some(b"7"), None), "Delete 7|-");
    }
    let registry = Registry::of([(1, source())]);
    let mut decoder = with_registry("upsert-protobuf", &two, &registry);
    assert_eq!(outcome(&mut decoder, Some(b"7"), Some(b"")), "Delete 7|-");
}

#[test]
fn flattened_records_say_which_rows_are_gone() {
    let text = r#"syntax = "proto3"; package shop;
        message Flat { int64 id = 1; optional string name = 2; string __deleted = 3; optional string __op = 4; }
        message Gone { int64 id = 1; bool __deleted = 2; }"#;
    let flat = SchemaText {
        language: "PROTOBUF".to_owned(),
        text: text.to_owned(),
        references: Vec::new(),
    };
    let registry = Registry::of([(1, flat)]);
    let columns = [
        ("id", DataType::Int64),
        ("name", DataType::Utf8),
        ("__op", DataType::Utf8),
        ("deleted", DataType::Utf8),
    ];
    let check = |format: &str, key: usize, parts: &[Vec<u8>], expected: &str| {
        let mut decoder = with_registry(format, &table(&columns, key), &registry);
        let value = framed(1, &[vec![0], small(1, 7), parts.concat()]);
        assert_eq!(outcome(&mut decoder, None, Some(&value)), expected, "{parts:?}");
    };
    let upsert = |parts: &[Vec<u8>], expected| check("upsert-protobuf", 1, parts, expected);
    upsert(&[part(2, b"a")], "Put 7|a|-|-");
    upsert(&[part(2, b"a"), part(3, b"false"), part(4, b"u")], "Put 7|a|u|-");
    upsert(&[part(2, b"a"), part(3, b"true")], "Delete 7|a|-|-");
    upsert(&[part(4, b"d")], "Delete 7|-|d|-");
    upsert(&[part(4, b"t")], "Truncate -|-|-|-");
    // Where rows are not keyed the field is a column like others, by its JSON name too.
    check("protobuf", 0, &[part(3, b"true")], "Put 7|-|-|true");
    let mut decoder = with_registry("upsert-protobuf", &table(&columns, 1), &registry);
    let gone = framed(1, &[vec![2, 2], small(1, 7), small(2, 1)]);
    assert_eq!(outcome(&mut decoder, None, Some(&gone)), "Delete 7|-|-|-");
}

proptest! {
    #[test]
    fn any_bytes_are_a_row_or_an_error(value in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..100], 0..200)) {
        let registry = Registry::of([(0, source())]);
        let mut decoder = with_registry("upsert-protobuf", &table(&[
            ("id", DataType::Int64),
            ("inner", DataType::Utf8),
            ("at", DataType::Utf8),
            ("one", DataType::Utf8),
            ("many", DataType::Int64),
        ], 1), &registry);
        for value in [value.clone(), framed(0, &[vec![2, 2], value])] {
            if let Err(rejected) = decoder.push(Message { key: Some(&value), value: Some(&value) }) {
                prop_assert!(rejected.detail().len() < 256);
            }
        }
        let changes = decoder.take().unwrap();
        prop_assert_eq!(changes.rows.num_rows(), changes.kinds.len());
    }
}
