//! Two stores play two executors: what one sends is kept by the other.

use datafusion::arrow::array::{ArrayRef, Int64Array, StringViewArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{binary, col, lit};
use datafusion::physical_plan::metrics::Count;

use super::*;
use crate::shards::{Deleted, ShardRead, ShardStore};

const ROWS: usize = 150_000;
const MIB: usize = 1 << 20;

fn store(limit: usize, cache: usize) -> ShardStore {
    ShardStore::new(Arc::new(UnboundedMemoryPool::default()), limit).with_column_cache(cache)
}

/// Numbers, few words, and texts that differ, in three stored batches.
fn elsewhere() -> Arc<Shard> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("word", DataType::Utf8View, true),
        Field::new("text", DataType::Utf8View, true),
    ]));
    let numbers = (0..ROWS as i64).map(|number| (number % 7 > 0).then_some(number));
    let words =
        (0..ROWS).map(|number| (number % 5 > 0).then(|| format!("a word of some length {}", number % 3)));
    let texts = (0..ROWS).map(|number| Some(format!("text {number}")));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(numbers)),
        Arc::new(StringViewArray::from_iter(words)),
        Arc::new(StringViewArray::from_iter(texts)),
    ];
    let store = store(usize::MAX, 0);
    let mut writer = store.start("t", "w", schema.clone());
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    for start in (0..ROWS).step_by(8_192) {
        writer.push(batch.slice(start, 8_192.min(ROWS - start))).unwrap();
    }
    writer.finish().unwrap().unwrap()
}

fn everything(columns: Vec<usize>) -> ShardRead {
    ShardRead {
        range: 0..usize::MAX,
        columns,
        predicate: None,
        limit: None,
        deleted: Deleted::default(),
    }
}

/// What the executor that holds the shard sends; like the network, in parts of a batch.
fn sent(shard: &Arc<Shard>, read: &ShardRead) -> Vec<RecordBatch> {
    let packed = read.packed_rows(shard.clone(), &Count::new());
    let whole: Vec<RecordBatch> = packed.collect::<Result<_>>().unwrap();
    let halves = |batch: RecordBatch| {
        let middle = batch.num_rows() / 2;
        [
            batch.slice(0, middle),
            batch.slice(middle, batch.num_rows() - middle),
        ]
    };
    whole.into_iter().flat_map(halves).collect()
}

/// Reads some columns as a scan does, from the other executor.
fn travel(cache: &ColumnCache, shard: &Arc<Shard>, read: &ShardRead) {
    for batch in sent(shard, read) {
        cache.travelled(shard.id(), &read.columns, &batch);
    }
}

fn keep(cache: &ColumnCache, shard: &Arc<Shard>, columns: Vec<usize>) -> bool {
    let sent = sent(shard, &everything(columns.clone()));
    cache.keep(shard.id(), shard.schema(), &columns, &sent).unwrap()
}

fn rows(shard: &Arc<Shard>, read: &ShardRead, pruned: &Count) -> RecordBatch {
    let batches: Vec<RecordBatch> = read.rows(shard.clone(), pruned).collect::<Result<_>>().unwrap();
    let schema = Arc::new(shard.schema().project(&read.columns).unwrap());
    concat_batches(&schema, &batches).unwrap()
}

#[test]
fn columns_are_worth_keeping_when_as_many_rows_have_travelled_as_there_are() {
    let (store, shard) = (store(usize::MAX, usize::MAX), elsewhere());
    let cache = store.cache();
    let half = ShardRead {
        limit: Some(ROWS / 2),
        ..everything(vec![0])
    };
    assert!(cache.worth_keeping(shard.id(), &[0]).is_none());
    travel(cache, &shard, &half);
    assert!(cache.worth_keeping(shard.id(), &[0]).is_none());
    travel(cache, &shard, &half);
    assert_eq!(cache.worth_keeping(shard.id(), &[0]).unwrap(), [0]);
    // The other column has not travelled.
    assert!(cache.worth_keeping(shard.id(), &[0, 1]).is_none());
    assert!(cache.worth_keeping(shard.id(), &[]).is_none());
    cache.give_up(shard.id());
    assert!(cache.worth_keeping(shard.id(), &[0]).is_none());
}

#[test]
fn a_read_of_kept_columns_is_that_of_the_shard() {
    let (store, shard) = (store(usize::MAX, usize::MAX), elsewhere());
    let cache = store.cache();
    assert!(keep(cache, &shard, vec![2, 0]));
    assert!(cache.shard(shard.id(), &[0, 1]).is_none());
    // The second time adds to the first.
    assert!(keep(cache, &shard, vec![1]));
    let kept = cache.shard(shard.id(), &[0, 1, 2]).unwrap();
    let late = binary(
        col("n", shard.schema()).unwrap(),
        Operator::GtEq,
        lit(140_000i64),
        shard.schema(),
    );
    let few = ShardRead {
        predicate: Some(late.unwrap()),
        range: 10..149_000,
        ..everything(vec![1, 2])
    };
    for read in [everything(vec![0, 1, 2]), everything(vec![2]), few.clone()] {
        let (here, there) = (Count::new(), Count::new());
        assert_eq!(rows(&kept, &read, &here), rows(&shard, &read, &there));
        assert_eq!(here.value(), there.value());
    }
    let pruned = Count::new();
    rows(&kept, &few, &pruned);
    assert_eq!(pruned.value(), 2, "bounds of batches are known");
}

#[test]
fn what_is_kept_counts_and_gives_way() {
    let shard = elsewhere();
    let store = store(3 * MIB, 3 * MIB);
    let cache = store.cache();
    assert!(keep(cache, &shard, vec![0, 1]));
    let kept = cache.shard(shard.id(), &[0, 1]).unwrap();
    assert!(kept.bytes() > 0 && store.cached_bytes() == kept.bytes() && store.bytes() == kept.bytes());
    let claim = store.room().claim("t");
    assert_eq!(store.claim(&claim, 3 * MIB).unwrap(), None, "tables come first");
    assert_eq!((store.cached_bytes(), store.bytes()), (0, 3 * MIB));
    assert!(cache.shard(shard.id(), &[0]).is_none());
    // There is no room now, and a reader that was there before goes on.
    assert!(!keep(cache, &shard, vec![0]));
    assert_eq!(rows(&kept, &everything(vec![0]), &Count::new()).num_rows(), ROWS);
}

#[test]
fn there_is_a_limit_and_an_end() {
    let shard = elsewhere();
    let store = store(usize::MAX, MIB);
    let cache = store.cache();
    // The texts have some 1.5 MiB.
    assert!(!keep(cache, &shard, vec![2]));
    assert!(keep(cache, &shard, vec![1]));
    store.forget_unused(Duration::from_secs(60));
    assert!(cache.shard(shard.id(), &[1]).is_some());
    store.forget_unused(Duration::ZERO);
    assert!(cache.shard(shard.id(), &[1]).is_none());
    assert_eq!((store.cached_bytes(), store.bytes()), (0, 0));
    let mut torn = sent(&shard, &everything(vec![1]));
    torn.pop();
    let kept = cache.keep(shard.id(), shard.schema(), &[1], &torn).unwrap();
    assert!(!kept, "not the whole shard");
}

#[test]
fn nothing_is_counted_where_nothing_is_kept() {
    let (store, shard) = (store(usize::MAX, 0), elsewhere());
    travel(store.cache(), &shard, &everything(vec![0]));
    assert!(store.cache().worth_keeping(shard.id(), &[0]).is_none());
}
