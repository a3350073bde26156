//! What shards say that they take in memory is what the allocator gives them, and it is less than plain Arrow takes.
//!
//! One test, alone in its process, because it watches the allocator.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::alloc::System;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringViewArray,
};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::DataType;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use millpond_engine::shards::ShardStore;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tpchgen::dates::TPCHDate;
use tpchgen::distribution::Distributions;
use tpchgen::generators::{LineItem, LineItemGenerator};
use tpchgen::text::TextPool;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Rows of each table; more than a stored batch holds.
const ROWS: usize = 200_000;
/// Rows that arrive at once.
const ARRIVING_ROWS: usize = 8_192;

#[test]
fn shards_count_what_they_take_and_take_less_than_plain_arrow() {
    check("lineitem", &line_items(), 0.5);
    check("marketing", &customers(), 0.4);
}

/// Stores rows and compares: with the allocator within a tenth, with plain Arrow at most `share`.
fn check(table: &str, rows: &RecordBatch, share: f64) {
    let store = ShardStore::new(Arc::new(UnboundedMemoryPool::default()), usize::MAX);
    let region = Region::new(ALLOCATOR);
    let mut writer = store.start(table, "w", rows.schema());
    for start in (0..ROWS).step_by(ARRIVING_ROWS) {
        writer
            .push(rows.slice(start, ARRIVING_ROWS.min(ROWS - start)))
            .unwrap();
    }
    let shard = writer.finish().unwrap().unwrap();
    let change = region.change();
    let allocated = (change.bytes_allocated - change.bytes_deallocated) as f64;
    let (said, plain) = (shard.bytes() as f64, plain_bytes(rows) as f64);
    let numbers = format!("{table}: {said} bytes said, {allocated} allocated, {plain} in plain Arrow");
    assert!((said / allocated - 1.0).abs() < 0.1, "{numbers}");
    assert!(said / plain <= share, "{numbers}");
    let batches: Vec<RecordBatch> = shard.decoded().map(Result::unwrap).collect();
    assert_eq!(&concat_batches(rows.schema_ref(), &batches).unwrap(), rows);
}

/// Bytes of the rows in Arrow's smallest plain form, in which texts lie one after the other.
fn plain_bytes(rows: &RecordBatch) -> usize {
    let plain = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => cast(column, &DataType::Utf8).unwrap(),
        _ => column.clone(),
    };
    let bytes = |column: &ArrayRef| plain(column).to_data().get_slice_memory_size().unwrap();
    rows.columns().iter().map(bytes).sum()
}

fn line_items() -> RecordBatch {
    let distributions = Distributions::static_default();
    let texts = TextPool::new(1 << 20, distributions);
    let items = LineItemGenerator::new_with_distributions_and_text_pool(1.0, 1, 1, distributions, &texts);
    let items: Vec<LineItem<'_>> = items.iter().take(ROWS).collect();
    let keys = |of: fn(&LineItem<'_>) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(items.iter().map(of)))
    };
    let amounts = |of: fn(&LineItem<'_>) -> i64| -> ArrayRef {
        let amounts = Decimal128Array::from_iter_values(items.iter().map(|item| i128::from(of(item))));
        Arc::new(amounts.with_precision_and_scale(15, 2).unwrap())
    };
    let dates = |of: fn(&LineItem<'_>) -> TPCHDate| -> ArrayRef {
        let days = items
            .iter()
            .map(|item| of(item).into_inner() + TPCHDate::UNIX_EPOCH_OFFSET);
        Arc::new(Date32Array::from_iter_values(days))
    };
    let texts = |of: for<'a> fn(&'a LineItem<'_>) -> &'a str| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(items.iter().map(of)))
    };
    let numbers = Int32Array::from_iter_values(items.iter().map(|item| item.l_linenumber));
    RecordBatch::try_from_iter([
        ("l_orderkey", keys(|item| item.l_orderkey)),
        ("l_partkey", keys(|item| item.l_partkey)),
        ("l_suppkey", keys(|item| item.l_suppkey)),
        ("l_linenumber", Arc::new(numbers) as ArrayRef),
        ("l_quantity", amounts(|item| item.l_quantity * 100)),
        ("l_extendedprice", amounts(|item| item.l_extendedprice.0)),
        ("l_discount", amounts(|item| item.l_discount.0)),
        ("l_tax", amounts(|item| item.l_tax.0)),
        ("l_returnflag", texts(|item| item.l_returnflag)),
        ("l_linestatus", texts(|item| item.l_linestatus)),
        ("l_shipdate", dates(|item| item.l_shipdate)),
        ("l_commitdate", dates(|item| item.l_commitdate)),
        ("l_receiptdate", dates(|item| item.l_receiptdate)),
        ("l_shipinstruct", texts(|item| item.l_shipinstruct)),
        ("l_shipmode", texts(|item| item.l_shipmode)),
        ("l_comment", texts(|item| item.l_comment)),
    ])
    .unwrap()
}

/// Rows in the shape of the marketing data: a key, words, an income that some do not tell, and small counts.
fn customers() -> RecordBatch {
    let drawn = |row: usize, salt: usize| ((row * 31 + salt) * 2_654_435_761) >> 12;
    let numbers = |salt: usize, different: usize| -> ArrayRef {
        let numbers = (0..ROWS).map(|row| (drawn(row, salt) % different) as i64);
        Arc::new(Int64Array::from_iter_values(numbers))
    };
    let words = |salt: usize, words: &[&str]| -> ArrayRef {
        let words = (0..ROWS).map(|row| words[drawn(row, salt) % words.len()]);
        Arc::new(StringViewArray::from_iter_values(words))
    };
    let income = (0..ROWS).map(|row| (row % 50 > 0).then(|| (drawn(row, 3) % 160_000) as i64));
    let days = (0..ROWS).map(|row| 15_550 + (drawn(row, 4) % 700) as i32);
    let mut columns = vec![
        (
            String::from("ID"),
            Arc::new(Int64Array::from_iter_values(0..ROWS as i64)) as ArrayRef,
        ),
        (
            String::from("Education"),
            words(1, &["Graduation", "PhD", "Master", "2n Cycle", "Basic"]),
        ),
        (
            String::from("Marital_Status"),
            words(2, &["Married", "Together", "Single", "Divorced", "Widow"]),
        ),
        (String::from("Income"), Arc::new(Int64Array::from_iter(income))),
        (
            String::from("Dt_Customer"),
            Arc::new(Date32Array::from_iter_values(days)),
        ),
        (
            String::from("Score"),
            Arc::new(Float64Array::from_iter_values(
                (0..ROWS).map(|row| row as f64 / 7.0),
            )),
        ),
    ];
    columns.extend((0..8).map(|count| (format!("Mnt{count}"), numbers(10 + count, 1_500))));
    columns.extend((0..14).map(|count| (format!("Flag{count}"), numbers(20 + count, 2))));
    RecordBatch::try_from_iter(columns).unwrap()
}
