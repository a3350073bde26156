//! Random histories of changes against a map.

mod expiring;
mod versions;

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::execution::memory_pool::{GreedyMemoryPool, UnboundedMemoryPool};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{binary, col, lit};
use datafusion::physical_plan::metrics::Count;
use proptest::prelude::*;

use super::*;
use crate::shards::{Deleted, Shard, ShardRead};

type Row = (Option<i64>, Option<String>);
type Model = BTreeMap<i64, Row>;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("n", DataType::Int64, true),
        Field::new("t", DataType::Utf8, true),
    ]))
}

fn store(bytes: usize) -> Arc<ShardStore> {
    Arc::new(ShardStore::new(Arc::new(UnboundedMemoryPool::default()), bytes))
}

fn live(store: &Arc<ShardStore>, key: &[usize], segment_rows: usize) -> LiveShard {
    let mut live = LiveShard::new(store.clone(), table(key), 0).unwrap();
    live.segment_rows = segment_rows;
    live
}

fn table(key: &[usize]) -> LiveTable {
    LiveTable {
        name: "t".to_string(),
        schema: schema(),
        required: Vec::new(),
        key: key.to_vec(),
        version: None,
        expiry: None,
        bytes_max: None,
    }
}

/// A message of a test.
#[derive(Debug, Clone)]
enum Step {
    Put(i64, Row),
    /// A delete that says which version it is of.
    DeleteVersion(i64, i64),
    /// Sets only the number.
    Number(i64, i64),
    Delete(i64),
    Rename(i64, i64, Row),
    RenameNumber(i64, i64, i64),
    Truncate,
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let id = 0..40i64;
    let row = || (proptest::option::of(0..5i64), proptest::option::of("[a-c]{0,2}"));
    let step = prop_oneof![
        8 => (id.clone(), row()).prop_map(|(id, row)| Step::Put(id, row)),
        3 => (id.clone(), 0..9i64).prop_map(|(id, number)| Step::Number(id, number)),
        4 => id.clone().prop_map(Step::Delete),
        2 => (id.clone(), id.clone(), row()).prop_map(|(old, new, row)| Step::Rename(old, new, row)),
        2 => (id.clone(), id, 0..9i64).prop_map(|(old, new, number)| Step::RenameNumber(old, new, number)),
        1 => proptest::bool::weighted(0.1).prop_map(|all| if all { Step::Truncate } else { Step::Delete(0) }),
    ];
    proptest::collection::vec(proptest::collection::vec(step, 1..30), 1..20)
}

fn changes(steps: &[Step]) -> Changes {
    let (mut ids, mut numbers, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut kinds, mut messages) = (Vec::new(), Vec::new());
    for (message, step) in steps.iter().enumerate() {
        let rows: Vec<(Kind, Option<i64>, Row)> = match step.clone() {
            Step::Put(id, row) => vec![(Kind::Put, Some(id), row)],
            Step::Number(id, number) => {
                let given: Box<[bool]> = [true, true, false].into();
                vec![(Kind::Merge(given), Some(id), (Some(number), None))]
            }
            Step::Delete(id) => vec![(Kind::Delete, Some(id), (None, None))],
            Step::DeleteVersion(id, version) => vec![(Kind::Delete, Some(id), (Some(version), None))],
            Step::Rename(old, new, row) => vec![
                (Kind::Rekey, Some(old), (None, None)),
                (Kind::Put, Some(new), row),
            ],
            Step::RenameNumber(old, new, number) => vec![
                (Kind::Rekey, Some(old), (None, None)),
                (
                    Kind::Merge([true, true, false].into()),
                    Some(new),
                    (Some(number), None),
                ),
            ],
            Step::Truncate => vec![(Kind::Truncate, None, (None, None))],
        };
        for (kind, id, (number, text)) in rows {
            kinds.push(kind);
            messages.push(message as u32);
            ids.push(id);
            numbers.push(number);
            texts.push(text);
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new(Int64Array::from(numbers)),
        Arc::new(StringArray::from(texts)),
    ];
    Changes {
        rows: RecordBatch::try_new(schema(), columns).unwrap(),
        kinds,
        messages,
    }
}

/// What the steps mean, and which of them name an old key that is not there.
fn follow(model: &mut Model, steps: &[Step]) -> Vec<u32> {
    let mut unknown = Vec::new();
    for (message, step) in steps.iter().enumerate() {
        match step.clone() {
            Step::Put(id, row) => drop(model.insert(id, row)),
            Step::Number(id, number) => model.entry(id).or_default().0 = Some(number),
            Step::Delete(id) | Step::DeleteVersion(id, _) => drop(model.remove(&id)),
            Step::Rename(old, new, row) => match model.remove(&old) {
                Some(_) => drop(model.insert(new, row)),
                None => unknown.push(message as u32),
            },
            Step::RenameNumber(old, new, number) => match model.remove(&old) {
                Some((_, text)) => drop(model.insert(new, (Some(number), text))),
                None => unknown.push(message as u32),
            },
            Step::Truncate => model.clear(),
        }
    }
    unknown
}

fn refused(applied: &Applied) -> Vec<u32> {
    applied.refused.iter().map(|refused| refused.message).collect()
}

fn rows(shard: Arc<Shard>, least: Option<i64>) -> Vec<(i64, Row)> {
    let predicate = least.map(|least| {
        let schema = schema();
        binary(col("n", &schema).unwrap(), Operator::GtEq, lit(least), &schema).unwrap()
    });
    let read = ShardRead {
        range: 0..usize::MAX,
        columns: vec![0, 1, 2],
        predicate,
        limit: None,
        deleted: Deleted::default(),
    };
    let mut rows = Vec::new();
    for batch in read.rows(shard, &Count::new()) {
        let batch = batch.unwrap();
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let numbers = batch.column(1).as_primitive::<Int64Type>();
        let texts = batch.column(2).as_string::<i32>();
        for row in 0..batch.num_rows() {
            let number = numbers.is_valid(row).then(|| numbers.value(row));
            let text = texts.is_valid(row).then(|| texts.value(row).to_string());
            rows.push((ids.value(row), (number, text)));
        }
    }
    rows.sort();
    rows
}

fn of_model(model: &Model) -> Vec<(i64, Row)> {
    model.iter().map(|(id, row)| (*id, row.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_live_shard_is_what_its_log_says(history in steps(), segment_rows in 1..100usize) {
        let store = store(usize::MAX);
        let mut live = live(&store, &[0], segment_rows);
        let views = live.views();
        let mut model = Model::new();
        let mut pinned = Vec::new();
        for (position, batch) in history.iter().enumerate() {
            let applied = live.apply(&changes(batch)).unwrap();
            prop_assert_eq!(refused(&applied), follow(&mut model, batch));
            live.publish(position as u64);
            let view = views.read().clone();
            prop_assert_eq!((view.position(), view.rows()), (position as u64, model.len()));
            pinned.push((store.pin(&view, "w"), of_model(&model)));
        }
        // Every view stays what it was, whatever has come after it.
        for (shard, expected) in pinned {
            prop_assert_eq!(rows(shard.clone(), None), expected.clone());
            let at_least_2: Vec<_> = expected.into_iter().filter(|(_, row)| row.0 >= Some(2)).collect();
            prop_assert_eq!(rows(shard, Some(2)), at_least_2);
        }
    }
}

fn puts(ids: std::ops::Range<i64>) -> Changes {
    let steps: Vec<Step> = ids.map(|id| Step::Put(id, (Some(id), None))).collect();
    changes(&steps)
}

#[test]
fn segments_stay_few_and_full() {
    let store = store(usize::MAX);
    let mut live = live(&store, &[0], 1024);
    for start in (0..20_000).step_by(10) {
        live.apply(&puts(start..start + 10)).unwrap();
    }
    assert!(live.segments.len() < 40, "{}", live.segments.len());
    let deletes: Vec<Step> = (0..20_000).filter(|id| id % 10 > 0).map(Step::Delete).collect();
    for batch in deletes.chunks(100) {
        live.apply(&changes(batch)).unwrap();
    }
    let rows: usize = live.segments.iter().map(Segment::rows).sum();
    assert!(rows < 4_100, "{rows} rows for 2,000");
    live.publish(1);
    assert_eq!(live.views().read().rows(), 2_000);
}

#[test]
fn every_message_is_a_row_without_a_key() {
    let store = store(usize::MAX);
    let mut live = live(&store, &[], 64);
    for _ in 0..3 {
        live.apply(&puts(0..50)).unwrap();
    }
    live.publish(150);
    let view = live.views().read().clone();
    assert_eq!(view.rows(), 150);
    assert_eq!(rows(store.pin(&view, "w"), Some(49)).len(), 3);
}

#[test]
fn without_memory_nothing_changes_and_it_can_be_tried_again() {
    let pool = Arc::new(GreedyMemoryPool::new(1 << 20));
    let store = Arc::new(ShardStore::new(pool, usize::MAX));
    let mut live = live(&store, &[0], SEGMENT_ROWS);
    live.apply(&puts(0..1000)).unwrap();
    live.publish(1);
    let refused = live.apply(&puts(0..60_000)).unwrap_err();
    let Stalled::NoMemory(error) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().contains("table t"), "{error}");
    live.publish(1);
    assert_eq!(live.views().read().rows(), 1000);
    live.apply(&puts(500..1500)).unwrap();
    live.publish(2);
    assert_eq!(live.views().read().rows(), 1500);
}

#[test]
fn live_tables_can_have_memory_of_their_own() {
    let store = |own| {
        let pool = Arc::new(GreedyMemoryPool::new(1 << 20));
        let store = ShardStore::new(pool, 1 << 20).with_live_room(own);
        let others = store.room().claim("other");
        others.grow(1 << 20).unwrap();
        (Arc::new(store), others)
    };
    let (wide, _others) = store(64 << 20);
    let mut fits = live(&wide, &[0], SEGMENT_ROWS);
    fits.apply(&puts(0..60_000)).unwrap();
    let (narrow, _others) = store(1 << 20);
    let mut narrow = live(&narrow, &[0], SEGMENT_ROWS);
    let refused = narrow.apply(&puts(0..60_000)).unwrap_err();
    let Stalled::NoMemory(error) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().contains("tables that follow topics"), "{error}");
}

/// A message of several rows is applied as a whole or not at all.
#[test]
fn nothing_of_a_refused_message_is_applied() {
    let store = store(usize::MAX);
    let mut live = live(&store, &[0], 64);
    live.apply(&puts(0..3)).unwrap();
    let row = || (Some(7), None);
    let mut message = changes(&[
        Step::Put(0, row()),
        Step::Rename(1, 4, row()),
        // There is no such row, as the message has taken it away itself.
        Step::Rename(1, 5, row()),
        Step::Put(6, row()),
    ]);
    message.messages.fill(0);
    let applied = live.apply(&message).unwrap();
    assert_eq!(applied.refused.len(), 1);
    live.publish(1);
    let view = live.views().read().clone();
    assert_eq!(view.rows(), 3);
    let found = rows(store.pin(&view, "w"), None);
    let ids: Vec<i64> = found.iter().map(|row| row.0).collect();
    assert_eq!(ids, [0, 1, 2]);
    assert!(found.iter().all(|row| row.1.0 != Some(7)), "{found:?}");
}

#[test]
fn memory_is_given_back_with_the_last_reader() {
    let store = store(usize::MAX);
    let mut live = live(&store, &[0], 64);
    live.apply(&puts(0..1000)).unwrap();
    live.publish(1);
    let pinned = store.pin(&live.views().read(), "w");
    live.apply(&changes(&[Step::Truncate])).unwrap();
    live.publish(2);
    let with_reader = store.bytes();
    store.drop_shards([pinned.id()]);
    drop(pinned);
    assert!(
        store.bytes() + 2_000 < with_reader,
        "{} of {with_reader}",
        store.bytes()
    );
    drop(live);
    assert_eq!(store.bytes(), 0);
}

/// The same table, where each row has a text.
fn with_texts(table: LiveTable) -> LiveTable {
    LiveTable {
        required: vec![2],
        ..table
    }
}

#[test]
fn a_sparse_change_of_no_row_is_refused_if_it_lacks_what_each_row_has() {
    let store = store(usize::MAX);
    let mut live = LiveShard::new(store.clone(), with_texts(table(&[0])), 0).unwrap();
    let text = |text: &str| (None, Some(text.to_string()));
    let applied = live.apply(&changes(&[
        Step::Number(1, 7),
        Step::Put(2, text("b")),
        Step::Number(2, 8),
        Step::Delete(2),
        Step::Number(2, 9),
        Step::Put(3, text("c")),
        Step::RenameNumber(3, 4, 5),
    ]));
    let applied = applied.unwrap();
    assert_eq!(refused(&applied), [0, 4]);
    assert_eq!(applied.refused[0].reason, "unknown_row");
    assert!(applied.refused[0].detail.contains("'t'"), "{applied:?}");
    live.publish(1);
    let shard = store.pin(&live.views().read().clone(), "w");
    assert_eq!(rows(shard, None), [(4, (Some(5), Some("c".to_string())))]);
}
