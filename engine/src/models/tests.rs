//! Sums that follow a live shard, beside those of all its rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Float64Array, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use futures::TryStreamExt;
use millpond_model::Moments;

use super::{Kept, KeptSumsExec, aggregates};
use crate::connections::Connections;
use crate::decode::{Changes, Kind};
use crate::shards::{LiveShard, LiveTable, Reader, SavedSegment, ShardSource, ShardStore, View};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
    ]))
}

fn table() -> LiveTable {
    LiveTable {
        name: "t".to_string(),
        schema: schema(),
        required: Vec::new(),
        key: vec![0],
        version: None,
        expiry: None,
        bytes_max: None,
    }
}

fn store() -> Arc<ShardStore> {
    Arc::new(ShardStore::new(
        Arc::new(UnboundedMemoryPool::default()),
        usize::MAX,
    ))
}

/// An executor with one live shard.
struct Bench {
    store: Arc<ShardStore>,
    shard: LiveShard,
    kept: Arc<Kept>,
}

impl Bench {
    fn new() -> Self {
        let store = store();
        let shard = LiveShard::new(store.clone(), table(), 0).unwrap();
        Self {
            store,
            shard,
            kept: Arc::default(),
        }
    }

    fn view(&self) -> Arc<View> {
        self.shard.views().read().clone()
    }

    /// Puts rows with a value, and deletes those without.
    fn apply(&mut self, rows: &[(i64, Option<f64>)]) {
        let id = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
        let x: Float64Array = rows.iter().map(|row| row.1).collect();
        let kind = |row: &(i64, Option<f64>)| row.1.map_or(Kind::Delete, |_| Kind::Put);
        let changes = Changes {
            rows: RecordBatch::try_new(schema(), vec![Arc::new(id), Arc::new(x)]).unwrap(),
            kinds: rows.iter().map(kind).collect(),
            messages: (0..rows.len() as u32).collect(),
        };
        self.shard.apply(&changes).unwrap();
        self.shard.publish(self.view().position() + rows.len() as u64);
    }

    /// The sums over all rows, and how many shards were read whole for them.
    async fn sums(&self) -> (Moments, usize) {
        let pinned = self.store.pin(&self.view(), "w");
        let file = ShardSource::file_of(pinned.id(), 0..pinned.rows() as u64, 1);
        let reader = Reader {
            store: self.store.clone(),
            connections: Connections::new(1 << 20),
        };
        let source = ShardSource::new(schema(), Arc::default(), Some(reader));
        let url = ObjectStoreUrl::local_filesystem();
        let scan = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(vec![FileGroup::new(vec![file])]);
        let scan = DataSourceExec::from_data_source(scan.build());
        let function = aggregates()
            .find(|function| function.name() == "model_moments")
            .unwrap();
        let arguments = vec![col("x", &schema()).unwrap()];
        let sums = AggregateExprBuilder::new(function, arguments)
            .schema(schema())
            .alias("sums");
        let aggregate = AggregateExec::try_new(
            AggregateMode::Single,
            PhysicalGroupBy::default(),
            vec![Arc::new(sums.build().unwrap())],
            vec![None],
            scan,
            schema(),
        );
        let aggregate: Arc<dyn ExecutionPlan> = Arc::new(aggregate.unwrap());
        assert!(KeptSumsExec::over(&aggregate).is_some());
        let plan = KeptSumsExec::new(aggregate, Some(self.kept.clone()));
        let rows = plan.execute(0, Arc::new(TaskContext::default())).unwrap();
        let batches: Vec<RecordBatch> = rows.try_collect().await.unwrap();
        let sums = Moments::from_bytes(batches[0].column(0).as_binary::<i32>().value(0)).unwrap();
        let read_whole = plan
            .metrics()
            .and_then(|metrics| metrics.sum_by_name("shards_read_whole"));
        (sums, read_whole.map_or(0, |count| count.as_usize()))
    }

    /// Another process goes on from what is stored now.
    async fn moved(&self) -> Self {
        let view = self.view();
        let segments = view.segments().map(|segment| SavedSegment {
            id: segment.id(),
            of_graves: segment.of_graves(),
            rows: segment.rows(&table()).unwrap(),
            dead: segment.dead().to_vec(),
        });
        let (store, kept) = (store(), Arc::new(Kept::default()));
        let shard = LiveShard::restore(store.clone(), table(), view.position(), segments.collect()).unwrap();
        let stored = self.kept.at(&view).await;
        let moved = Self { store, shard, kept };
        moved.kept.restore(&moved.view(), stored);
        moved
    }
}

#[track_caller]
fn same(found: &Moments, alive: &BTreeMap<i64, f64>) {
    let mean = alive.values().sum::<f64>() / alive.len() as f64;
    assert_eq!(found.count(), alive.len() as u64);
    assert!((found.mean(0) - mean).abs() <= 1e-9 * mean.abs());
}

/// Random numbers, by xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        for shift in [13, -7, 17] {
            self.0 ^= if shift > 0 {
                self.0 << shift
            } else {
                self.0 >> -shift
            };
        }
        (self.0 >> 11) % limit
    }
}

/// As many changes as it takes until all rows are read again, with checkpoints and a new owner on the way.
#[tokio::test]
async fn sums_follow_any_history_and_are_made_anew_now_and_then() {
    let mut random = Random(17);
    let (mut bench, mut alive) = (Bench::new(), BTreeMap::new());
    let mut whole_at = Vec::new();
    for turn in 0..1_500 {
        let mut rows = Vec::new();
        for _ in 0..=random.below(3) {
            let (id, x) = (random.below(60) as i64, 1e6 + random.below(1000) as f64 / 1e3);
            match random.below(10) < 3 {
                true => drop(alive.remove(&id)),
                false => drop(alive.insert(id, x)),
            }
            rows.push((id, alive.get(&id).copied()));
        }
        bench.apply(&rows);
        if turn == 400 {
            bench = bench.moved().await;
        }
        if turn % 50 == 49 {
            // A checkpoint may be of a view before the last one.
            let before = bench.view();
            bench.apply(&[(1, Some(5.0))]);
            alive.insert(1, 5.0);
            bench.sums().await;
            bench.kept.at(&before).await;
        }
        let (found, read_whole) = bench.sums().await;
        same(&found, &alive);
        if read_whole > 0 {
            whole_at.push(turn);
        }
    }
    assert_eq!(whole_at.len(), 2, "{whole_at:?}");
    assert_eq!(whole_at[0], 0);
    assert!(whole_at[1] > 900, "{whole_at:?}");
}

#[tokio::test]
async fn a_checkpoint_has_the_sums_of_its_own_rows() {
    let mut bench = Bench::new();
    bench.apply(&[(1, Some(1.0)), (2, Some(2.0))]);
    bench.sums().await;
    bench.apply(&[(2, Some(4.0)), (3, Some(9.0))]);
    let view = bench.view();
    bench.apply(&[(3, None)]);
    bench.sums().await;
    let stored = bench.kept.at(&view).await;
    let [sums] = stored.as_slice() else {
        panic!("{stored:?}")
    };
    let moments = Moments::from_bytes(&sums.states[0]).unwrap();
    assert_eq!((moments.count(), moments.mean(0)), (3, 14.0 / 3.0));
    let (now, read_whole) = bench.sums().await;
    assert_eq!((now.count(), now.mean(0), read_whole), (2, 2.5, 0));
}
