//! What is packed comes out as it went in, for every type, with nulls, after slices and filters.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array, Int32Array,
    Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray, TimestampNanosecondArray,
    UInt8Array, UInt64Array,
};
use datafusion::arrow::compute::{FilterBuilder, cast, filter};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use super::*;
use crate::shards::statistics::of_column;

/// Integers that are close to each other, or not.
fn numbers() -> impl Strategy<Value = Vec<Option<i64>>> {
    let near = |spread: i64| {
        any::<i64>().prop_flat_map(move |base| {
            let base = base.saturating_sub(spread).max(i64::MIN + spread);
            vec(weighted(0.9, base..=base.saturating_add(spread)), 0..600)
        })
    };
    prop_oneof![
        near(200),
        near(60_000),
        near(4_000_000_000),
        vec(weighted(0.9, any::<i64>()), 0..200)
    ]
}

/// Texts, short and long, that repeat themselves or not.
fn texts() -> impl Strategy<Value = Vec<Option<String>>> {
    let word = prop_oneof![
        Just("married"),
        Just(""),
        Just("a word of more than twelve bytes"),
        Just("日本")
    ];
    prop_oneof![
        vec(weighted(0.9, word.prop_map(str::to_string)), 0..400),
        vec(weighted(0.9, ".{0,30}"), 0..200)
    ]
}

/// The columns of all types that can be made of some integers.
fn columns_of(numbers: &[Option<i64>]) -> Vec<ArrayRef> {
    let narrow = |number: &Option<i64>| number.map(|number| number as i32);
    let decimals = numbers
        .iter()
        .map(|number| number.map(|number| i128::from(number) * 3));
    let vast = numbers
        .iter()
        .map(|number| number.map(|number| i128::from(number) << 60));
    vec![
        Arc::new(Int64Array::from(numbers.to_vec())),
        Arc::new(UInt64Array::from_iter(
            numbers.iter().map(|number| number.map(|number| number as u64)),
        )),
        Arc::new(Int32Array::from_iter(numbers.iter().map(narrow))),
        Arc::new(Int16Array::from_iter(
            numbers.iter().map(|number| number.map(|number| number as i16)),
        )),
        Arc::new(UInt8Array::from_iter(
            numbers.iter().map(|number| number.map(|number| number as u8)),
        )),
        Arc::new(Date32Array::from_iter(numbers.iter().map(narrow))),
        Arc::new(TimestampNanosecondArray::from(numbers.to_vec()).with_timezone("+02:00")),
        Arc::new(
            Decimal128Array::from_iter(decimals)
                .with_precision_and_scale(38, 4)
                .unwrap(),
        ),
        Arc::new(
            Decimal128Array::from_iter(vast)
                .with_precision_and_scale(38, 0)
                .unwrap(),
        ),
        Arc::new(Float64Array::from_iter(
            numbers.iter().map(|number| number.map(|number| number as f64)),
        )),
        Arc::new(BooleanArray::from_iter(
            numbers.iter().map(|number| number.map(|number| number % 2 == 0)),
        )),
    ]
}

/// The columns of all types that can be made of some texts.
fn columns_of_texts(texts: &[Option<String>]) -> Vec<ArrayRef> {
    let plain: ArrayRef = Arc::new(StringArray::from_iter(texts));
    let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    vec![
        Arc::new(StringViewArray::from_iter(texts)),
        Arc::new(LargeStringArray::from_iter(texts)),
        Arc::new(BinaryArray::from_iter(
            texts.iter().map(|text| text.as_ref().map(String::as_bytes)),
        )),
        cast(&plain, &DataType::BinaryView).unwrap(),
        cast(&plain, &words).unwrap(),
        plain,
    ]
}

/// Packs and unpacks a column as a whole, some of its rows, and those that pass a filter.
fn check(column: &ArrayRef, cut: (usize, usize), pass: &[bool]) {
    let field = Arc::new(Field::new("column", column.data_type().clone(), true));
    if let Some(different) = Column::pack(column).unwrap().different().unwrap() {
        assert_eq!(different.null_count(), 0);
        let (all, once) = (of_column(column, &field), of_column(&different, &field));
        assert_eq!((all.min_value, all.max_value), (once.min_value, once.max_value));
    }
    let mapped = Column::mapped(column.clone());
    for packed in [Column::pack(column).unwrap(), mapped] {
        assert_eq!(&packed.unpack().unwrap(), column);
        let (one, other) = (cut.0 % (column.len() + 1), cut.1 % (column.len() + 1));
        let rows = one.min(other)..one.max(other);
        let (part, expected) = (packed.slice(&rows), column.slice(rows.start, rows.len()));
        assert_eq!(&part.unpack().unwrap(), &expected);
        check_sent(&part, &expected);
        let pass: BooleanArray = (0..rows.len()).map(|row| Some(pass[row % pass.len()])).collect();
        let passed = FilterBuilder::new(&pass).optimize().build();
        let few = part.filter(&passed).unwrap();
        check_sent(&few, &filter(&expected, &pass).unwrap());
        let both = Column::concat(&[&few, &few]).unwrap().unpack().unwrap();
        let second = both.slice(few.values.len(), few.values.len());
        assert_eq!(&second, &few.unpack().unwrap());
        let rows = few.unpack().unwrap();
        assert_eq!(rows.data_type(), column.data_type());
        assert_eq!(&rows, &filter(&expected, &pass).unwrap());
    }
}

/// Sends a column in Arrow's format and reads it again.
fn check_sent(column: &Column, expected: &ArrayRef) {
    let (field, array) = column.to_sent("column").unwrap();
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    stream.write(&batch).unwrap();
    let bytes = stream.into_inner().unwrap();
    let received = StreamReader::try_new(bytes.as_slice(), None).unwrap().next();
    let received = received.unwrap().unwrap();
    let schema = received.schema();
    let received = Column::of_sent(expected.data_type(), schema.field(0), received.column(0)).unwrap();
    assert_eq!(&received.unpack().unwrap(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn numbers_come_out_as_they_went_in(
        numbers in numbers(), cut in any::<(usize, usize)>(), pass in vec(any::<bool>(), 1..50)
    ) {
        for column in columns_of(&numbers) {
            check(&column, cut, &pass);
        }
    }

    #[test]
    fn texts_come_out_as_they_went_in(
        texts in texts(), cut in any::<(usize, usize)>(), pass in vec(any::<bool>(), 1..50)
    ) {
        for column in columns_of_texts(&texts) {
            check(&column, cut, &pass);
            // A part of a column packs as a column does.
            check(&column.slice(column.len() / 3, column.len() / 3), cut, &pass);
        }
    }
}

/// Texts of which so many are different, in no order.
fn texts_of(different: u64) -> ArrayRef {
    let drawn = |row: u64| {
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        hasher.finish() % different
    };
    let texts = (0..60_000).map(|row| format!("a text of some length, {}", drawn(row)));
    Arc::new(StringViewArray::from_iter_values(texts))
}

fn packed_bytes(column: impl Array + 'static) -> usize {
    Column::pack(&(Arc::new(column) as ArrayRef))
        .unwrap()
        .values
        .get_buffer_memory_size()
}

#[test]
fn values_are_there_once_if_few_are_possible() {
    let different = |column: ArrayRef| Column::pack(&column).unwrap().different().unwrap();
    let numbers = |rows: i64, of: i64| (0..rows).map(move |row| (row % 7 != 0).then_some(row % of * 3 - 10));
    let few: ArrayRef = Arc::new(Int64Array::from_iter(numbers(1_000, 50)));
    let found = different(few).unwrap();
    let found = found.as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(found, (0..50).map(|value| value * 3 - 10).collect::<Vec<i64>>());
    for (rows, of) in [(100, 50), (1_000, 1_000)] {
        let column: ArrayRef = Arc::new(Int64Array::from_iter(numbers(rows, of)));
        assert!(different(column).is_none(), "{rows} of {of}");
    }
    let nothing: ArrayRef = Arc::new(Int64Array::from(vec![None; 500]));
    assert!(different(nothing).unwrap().is_empty());
    assert_eq!(different(texts_of(200)).unwrap().len(), 200);
    assert!(different(Arc::new(Float64Array::from(vec![1.0; 500]))).is_none());
}

#[test]
fn numbers_take_the_bytes_of_their_range() {
    let numbers = |step: i64| Int64Array::from_iter_values((0..1000).map(|number| number * step - 500));
    assert_eq!(packed_bytes(numbers(0)), 1000);
    assert_eq!(packed_bytes(numbers(65)), 2000);
    assert_eq!(packed_bytes(numbers(4_000_000)), 4000);
    assert_eq!(packed_bytes(numbers(1 << 40)), 8000);
    let decimals = Decimal128Array::from_iter_values((0..1000).map(|number| number << 40));
    assert_eq!(packed_bytes(decimals), 8000);
    let extremes = Int64Array::from(vec![i64::MIN, i64::MAX]);
    assert_eq!(packed_bytes(extremes), 16);
    assert_eq!(
        packed_bytes(Int32Array::from(vec![None; 1000])),
        1000 + 125_usize.next_multiple_of(64)
    );
}

#[test]
fn texts_that_repeat_take_one_or_two_bytes() {
    let of = |different| {
        let packed = Column::pack(&texts_of(different)).unwrap();
        packed.values.get_buffer_memory_size()
    };
    assert_eq!(of(200), 60_000);
    assert_eq!(of(6_000), 120_000);
    assert!(of(1 << 40) > 20 * 60_000);
}

#[test]
fn few_rows_do_not_keep_a_long_list_of_words() {
    let packed = Column::pack(&texts_of(6_000)).unwrap();
    let bytes = |rows: Range<usize>| {
        let rows = packed.slice(&rows).unpack().unwrap();
        let buffers = rows.as_string_view().data_buffers();
        buffers.iter().map(|buffer| buffer.capacity()).sum::<usize>()
    };
    assert!(bytes(0..10) < 1_000, "{}", bytes(0..10));
    assert!(bytes(0..60_000) < 200_000, "{}", bytes(0..60_000));
}

#[test]
fn columns_travel_in_few_bytes() {
    let sent = |column: ArrayRef| {
        let (_, array) = Column::pack(&column).unwrap().to_sent("column").unwrap();
        array.get_buffer_memory_size()
    };
    let decimals = Decimal128Array::from_iter_values((0..1000).map(|number| number % 250));
    assert_eq!(sent(Arc::new(decimals)), 1000);
    assert!(sent(texts_of(200)) < 80_000);
    // Few rows of many words are sent without the words of others.
    let few = Column::pack(&texts_of(6_000)).unwrap().slice(&(0..10));
    let (_, array) = few.to_sent("column").unwrap();
    assert!(array.get_buffer_memory_size() < 1_000);
}

#[test]
fn what_stands_for_no_column_is_refused() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let (field, array) = Column::pack(&numbers).unwrap().to_sent("column").unwrap();
    assert!(Column::of_sent(&DataType::Int64, &field, &array).is_ok());
    assert!(
        Column::of_sent(&DataType::Int16, &field, &array).is_err(),
        "a base of another width"
    );
    let plain = Field::new("column", array.data_type().clone(), true);
    assert!(
        Column::of_sent(&DataType::Int64, &plain, &array).is_err(),
        "no base"
    );
    let broken = plain.with_metadata([("base".to_owned(), "?".to_owned())].into());
    assert!(Column::of_sent(&DataType::Int64, &broken, &array).is_err());
}

#[test]
fn answers_are_about_the_values_that_were_asked_about() {
    let of = |numbers: std::ops::Range<i64>| {
        Column::pack(&(Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef)).unwrap()
    };
    let bounds: ArrayRef = Arc::new(Int64Array::from(vec![100, 400]));
    assert!(Domain::between(&bounds, 300).unwrap().is_none());
    let domain = Domain::between(&bounds, 301).unwrap().unwrap();
    let even = domain.values.as_primitive::<Int64Type>().iter();
    let even = BooleanArray::from_iter(even.map(|value| Some(value.is_some_and(|value| value % 2 == 0))));
    let answers = domain.answered(&even);
    let passed = |column: &Column| column.look_up(&answers).map(|passed| passed.true_count());
    assert_eq!(passed(&of(100..401)), Some(151));
    assert_eq!(passed(&of(395..400)), Some(2));
    // Below, above, and another type.
    assert_eq!(passed(&of(99..200)), None);
    assert_eq!(passed(&of(390..402)), None);
    assert_eq!(passed(&of(500..502)), None);
    let other: ArrayRef = Arc::new(Int32Array::from_iter_values(100..110));
    assert_eq!(passed(&Column::pack(&other).unwrap()), None);

    let domain = Domain::between(&bounds, 301).unwrap().unwrap();
    let less = domain.values.as_primitive::<Int64Type>().iter();
    let less = BooleanArray::from_iter(less.map(|value| Some(value.is_some_and(|value| value < 250))));
    let answers = domain.answered(&less);
    let passed = |column: &Column| column.look_up(&answers).map(|passed| passed.true_count());
    assert_eq!(passed(&of(100..401)), Some(150));
    assert_eq!(passed(&of(240..260)), Some(10));
    assert_eq!(passed(&of(260..300)), Some(0));
    assert_eq!(passed(&of(110..120)), Some(10));
    assert_eq!(passed(&of(390..402)), None);

    let words = |word: &str| {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![word; 100]));
        Column::pack(&texts).unwrap()
    };
    let (one, other) = (words("one"), words("other"));
    assert!(one.has_few_words(1) && !one.has_few_words(0));
    let answers = Domain::of_words(&one)
        .unwrap()
        .unwrap()
        .answered(&BooleanArray::from(vec![true, false]));
    assert_eq!(one.look_up(&answers).map(|passed| passed.true_count()), Some(100));
    assert!(other.look_up(&answers).is_none());
}
