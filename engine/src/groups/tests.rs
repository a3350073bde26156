//! Groups that are found by code are those that are found by value.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::FileScanConfigBuilder;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::min_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{binary, col, lit};
use datafusion::physical_plan::aggregates::PhysicalGroupBy;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::collect;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use super::*;
use crate::connections::Connections;
use crate::shards::{Reader, ShardStore};

type Row = (Option<usize>, Option<i64>, Option<i64>);

const WORDS: [&str; 4] = ["", "one", "a word of more than twelve bytes", "日本"];

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("word", DataType::Utf8, true),
        Field::new("day", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("whole", DataType::Int64, false),
    ]))
}

/// A scan of one shard for each list of rows, all in one output partition.
fn scan(shards: &[Vec<Row>]) -> Arc<dyn ExecutionPlan> {
    let store = Arc::new(ShardStore::new(
        Arc::new(UnboundedMemoryPool::default()),
        usize::MAX,
    ));
    let mut files = Vec::new();
    for rows in shards {
        let mut writer = store.start("t", "w", schema());
        for rows in rows.chunks(65_536) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter(
                    rows.iter().map(|row| row.0.map(|word| WORDS[word])),
                )),
                Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))),
                Arc::new(Float64Array::from_iter(
                    rows.iter().map(|row| row.2.map(|x| x as f64)),
                )),
                Arc::new(Int64Array::from_iter_values(
                    (0..rows.len()).map(|row| row as i64),
                )),
            ];
            writer
                .push(RecordBatch::try_new(schema(), columns).unwrap())
                .unwrap();
        }
        let shard = writer.finish().unwrap().unwrap();
        files.push(ShardSource::file_of(shard.id(), 0..rows.len() as u64, 1));
    }
    let reader = Reader {
        store,
        connections: Connections::new(1 << 20),
    };
    let source = ShardSource::new(schema(), Arc::default(), Some(reader));
    let url = ObjectStoreUrl::local_filesystem();
    let scan = FileScanConfigBuilder::new(url, Arc::new(source)).with_file_group(FileGroup::new(files));
    DataSourceExec::from_data_source(scan.build())
}

/// Functions of counts and sums and others, of `x` and of `whole`, by some columns.
fn aggregate(input: Arc<dyn ExecutionPlan>, by: &[&str], mode: AggregateMode) -> Arc<dyn ExecutionPlan> {
    let columns = schema();
    let x = || col("x", &columns).unwrap();
    let function_of = |function, argument, name: &str| {
        let function = AggregateExprBuilder::new(function, vec![argument])
            .schema(columns.clone())
            .alias(name);
        Arc::new(function.build().unwrap())
    };
    let function = |of, name: &str| function_of(of, x(), name);
    let groups = by
        .iter()
        .map(|name| (col(name, &input.schema()).unwrap(), (*name).to_string()));
    let positive = binary(x(), Operator::Gt, lit(0.0), &columns).unwrap();
    let filters = match mode {
        AggregateMode::Partial => vec![None, None, Some(positive), None, None, None, None],
        _ => vec![None; 7],
    };
    let functions = vec![
        function_of(count_udaf(), lit(1_i64), "rows"),
        function(count_udaf(), "n"),
        function(avg_udaf(), "mean of some"),
        function(avg_udaf(), "mean"),
        function(sum_udaf(), "sum"),
        function(min_udaf(), "least"),
        function_of(sum_udaf(), col("whole", &columns).unwrap(), "sum of whole"),
    ];
    let groups = PhysicalGroupBy::new_single(groups.collect());
    Arc::new(AggregateExec::try_new(mode, groups, functions, filters, input, columns.clone()).unwrap())
}

/// The lines of the whole answer, sorted.
fn answer(partial: Arc<dyn ExecutionPlan>, by: &[&str]) -> Vec<String> {
    let plan = aggregate(
        Arc::new(CoalescePartitionsExec::new(partial)),
        by,
        AggregateMode::Final,
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let rows = runtime
        .block_on(collect(plan.clone(), Arc::new(TaskContext::default())))
        .unwrap();
    let rows = concat_batches(&plan.schema(), &rows).unwrap();
    let mut lines: Vec<String> = pretty_format_batches(&[rows])
        .unwrap()
        .to_string()
        .lines()
        .map(str::to_string)
        .collect();
    lines.sort();
    lines
}

fn projected(input: Arc<dyn ExecutionPlan>, columns: &[&str]) -> Arc<dyn ExecutionPlan> {
    let schema = input.schema();
    let columns = columns
        .iter()
        .map(|name| (col(name, &schema).unwrap(), (*name).to_string()));
    Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), input).unwrap())
}

fn is_by_code(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<DictionaryAggregateExec>().is_some()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        weighted(0.9, 0..4usize),
        weighted(0.9, -3..5i64),
        weighted(0.9, -9..9i64),
    );
    vec(row, 1..300)
}

proptest! {
    #[test]
    fn groups_are_the_same((one, other) in (rows(), rows())) {
        // A shard of few rows is not packed, and read as it is.
        let often: Vec<Row> = one.iter().cycle().take(one.len().max(4_000)).copied().collect();
        for shards in [vec![often.clone()], vec![often, other]] {
            for by in [&["word"][..], &["word", "day"], &["day", "word"], &["day"]] {
                // Each plan has a scan of its own, for that is read once.
                let by_value = || {
                    let scan = scan(&shards);
                    let input = if by.len() == 2 { projected(scan, &["whole", "x", "day", "word"]) } else { scan };
                    aggregate_over(input, by)
                };
                let by_code = by_code(by_value()).unwrap();
                prop_assert_eq!(answer(by_code, by), answer(by_value(), by));
            }
        }
    }
}

fn aggregate_over(input: Arc<dyn ExecutionPlan>, by: &[&str]) -> Arc<dyn ExecutionPlan> {
    // The functions are over the table's columns, in their order.
    let input = projected(input, &["word", "day", "x", "whole"]);
    aggregate(input, by, AggregateMode::Partial)
}

fn many(rows: usize) -> Vec<Row> {
    let row = |row: usize| (Some(row % 4), Some(row as i64 % 50), Some(row as i64));
    (0..rows).map(row).collect()
}

#[test]
fn what_is_numbered_is_grouped_by_code() {
    let partial = |by: &[&str]| by_code(aggregate_over(scan(&[many(5_000)]), by)).unwrap();
    assert!(is_by_code(&partial(&["word"])));
    assert!(is_by_code(&partial(&["day", "word"])));
    assert!(is_by_code(&partial(&["day"])));
    // A column that is used has to be there.
    assert!(!is_by_code(&partial(&["x", "word"])));
    // The shard has too many combinations.
    let wide = vec![
        (0..9_000)
            .map(|row| (Some(row % 4), Some(row as i64 * 7), None))
            .collect(),
    ];
    assert!(!is_by_code(
        &by_code(aggregate_over(scan(&wide), &["word", "day"])).unwrap()
    ));
    let unknown = scan(&[]);
    assert!(!is_by_code(&by_code(aggregate_over(unknown, &["word"])).unwrap()));
}

#[test]
fn many_groups_are_passed_on_in_parts() {
    // The first and the last batch have few values, those between them many.
    let wide = |row: usize| (Some(row % 4), Some(row as i64), Some(1));
    let between = (0..200_000).map(wide);
    let rows: Vec<Row> = many(70_000)
        .into_iter()
        .chain(between)
        .chain(many(140_000))
        .collect();
    let by = ["day", "word"];
    let shards = [rows];
    let by_value = || aggregate_over(scan(&shards), &by);
    let of_parts = by_code(by_value()).unwrap();
    assert!(is_by_code(&of_parts));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let parts = runtime
        .block_on(collect(of_parts, Arc::new(TaskContext::default())))
        .unwrap();
    assert!(
        parts.len() > 1 && parts.iter().all(|part| part.num_rows() < 80_000),
        "{} parts",
        parts.len()
    );
    assert_eq!(answer(by_code(by_value()).unwrap(), &by), answer(by_value(), &by));
}
