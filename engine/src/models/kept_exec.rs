//! An aggregate over live shards that is computed from what has changed since the last time.
//!
//! It stands over an aggregate without groups, the first of its stage, whose rows come from a scan of shards by way of projections and filters alone:
//! each row then counts for itself, and a row that is gone can be taken away again. For each live shard the
//! executor keeps the state of the aggregates and the view that it is of. The next time, the scan below reads the rows that are new and
//! those that are gone, and nothing else:
//!
//! ```text
//! state of a view ── merge ─► accumulators ◄─ update ── rows of this view that are not in that one
//!                                          ◄─ retract ─ rows of that view that are not in this one
//! ```
//!
//! Shards that are not live, or of which another executor has the rows, are read whole.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_datafusion_err, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, stream};

use super::functions;
use super::kept::{Kept, KeptSums, States};
use crate::shards::{Reader, ShardSource, View, rows_of, shard_of};

/// How far kept sums were away from those of all rows when they were last made anew: [`Moments::drift_from`].
///
/// [`Moments::drift_from`]: millpond_model::Moments::drift_from
const DRIFT: &str = "model_sums_drift";

/// See the module.
#[derive(Debug)]
pub struct KeptSumsExec {
    /// The partial aggregate.
    input: Arc<dyn ExecutionPlan>,
    /// Only an executor has it.
    kept: Option<Arc<Kept>>,
    metrics: ExecutionPlanMetricsSet,
}

impl KeptSumsExec {
    /// Over a partial aggregate. Only an executor has something `kept`.
    pub fn new(input: Arc<dyn ExecutionPlan>, kept: Option<Arc<Kept>>) -> Self {
        Self {
            input,
            kept,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// Puts one over `plan`, if it is an aggregate that rows can be taken away from.
    pub fn over(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let aggregate = plan.downcast_ref::<AggregateExec>()?;
        let mode = *aggregate.mode();
        let begins = matches!(mode, AggregateMode::Partial | AggregateMode::Single);
        let can_take_away = aggregate
            .aggr_expr()
            .iter()
            .all(|function| functions::is_kept(function.fun().name()));
        let is_simple = aggregate.group_expr().is_empty()
            && !aggregate.aggr_expr().is_empty()
            && aggregate.filter_expr().iter().all(Option::is_none);
        let is_volatile =
            |function: &Arc<AggregateFunctionExpr>| function.expressions().iter().any(is_volatile);
        let is_same_again = is_row_wise(aggregate.input()) && !aggregate.aggr_expr().iter().any(is_volatile);
        (begins && is_simple && can_take_away && is_same_again).then(|| Self::new(plan.clone(), None))
    }

    fn aggregate(&self) -> Result<&AggregateExec> {
        self.input
            .downcast_ref::<AggregateExec>()
            .ok_or_else(|| internal_datafusion_err!("kept sums of something that is no aggregate"))
    }
}

/// Whether the rows of a plan are those of a scan of shards, each by itself and always the same.
fn is_row_wise(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let input = match plan.children().as_slice() {
        [] => return ShardSource::scanned_by(plan).is_some(),
        [input] => *input,
        _ => return false,
    };
    changes_rows(plan).is_some_and(|expressions| !expressions.into_iter().any(is_volatile))
        && is_row_wise(input)
}

/// The expressions of a node that makes one row of one row, or none.
fn changes_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<&Arc<dyn PhysicalExpr>>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return Some(projection.expr().iter().map(|column| &column.expr).collect());
    }
    plan.downcast_ref::<FilterExec>()
        .map(|filter| vec![filter.predicate()])
}

/// The scan at the end of a plan that [`is_row_wise`], but for nodes that an executor puts in between.
fn scan_below(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    match plan.children().as_slice() {
        [] => ShardSource::scanned_by(plan).map(|_| plan),
        [input] => scan_below(input),
        _ => None,
    }
}

/// The same plan over another scan; nodes of which `keep` is false are left out.
fn over_scan(
    plan: &Arc<dyn ExecutionPlan>,
    scan: &Arc<dyn ExecutionPlan>,
    keep: fn(&Arc<dyn ExecutionPlan>) -> bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    match plan.children().as_slice() {
        [] => Ok(scan.clone()),
        [input] => {
            let input = over_scan(input, scan, keep)?;
            match keep(plan) {
                true => plan.clone().replace_children(vec![input], recompute()),
                false => Ok(input),
            }
        }
        _ => internal_err!("kept sums over rows that do not come from one scan"),
    }
}

fn recompute() -> ReplaceChildrenOptions {
    ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute)
}

impl DisplayAs for KeptSumsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("KeptSumsExec")
    }
}

impl ExecutionPlan for KeptSumsExec {
    fn name(&self) -> &str {
        "KeptSumsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.swap_remove(0);
        Ok(Arc::new(Self::new(input, self.kept.clone())))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, recompute())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let aggregate = self.aggregate()?;
        let Some(kept) = &self.kept else {
            return internal_err!("kept sums are with executors only");
        };
        let work = Work::new(aggregate, kept.clone(), partition, context, &self.metrics)?;
        let schema = aggregate.schema();
        let rows = stream::once(work.run(schema.clone()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The work of one task.
struct Work {
    aggregate: AggregateExec,
    scan: Arc<dyn ExecutionPlan>,
    files: Vec<PartitionedFile>,
    reader: Reader,
    kept: Arc<Kept>,
    context: Arc<TaskContext>,
    added: Count,
    removed: Count,
    read_whole: Count,
}

impl Work {
    fn new(
        aggregate: &AggregateExec,
        kept: Arc<Kept>,
        partition: usize,
        context: Arc<TaskContext>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Self> {
        let broken = || internal_datafusion_err!("kept sums without a scan of shards");
        let scan = scan_below(aggregate.input()).ok_or_else(broken)?;
        let (config, source) = ShardSource::scanned_by(scan).ok_or_else(broken)?;
        let files = config
            .file_groups
            .get(partition)
            .map(|group| group.iter().cloned().collect());
        let counter = |name| MetricBuilder::new(metrics).counter(name, partition);
        Ok(Self {
            aggregate: aggregate.clone(),
            scan: scan.clone(),
            files: files.unwrap_or_default(),
            reader: source.reader().cloned().ok_or_else(broken)?,
            kept,
            context,
            added: counter("rows_added"),
            removed: counter("rows_removed"),
            read_whole: counter("shards_read_whole"),
        })
    }

    /// One row: the state of the aggregates over all shards of the task.
    async fn run(self, schema: SchemaRef) -> Result<RecordBatch> {
        let mut whole = self.accumulators()?;
        for file in &self.files {
            let states = match self.live_view(file)? {
                // Of a shard that several tasks were to read a part of, the first does all.
                Some(_) if rows_of(file).start > 0 => continue,
                Some(view) => self.of_view(&view).await?,
                None => {
                    self.read_whole.add(1);
                    let mut accumulators = self.accumulators()?;
                    let scan = self.scan_of(file.clone(), self.reader.clone())?;
                    self.feed(scan, &mut accumulators, Direction::Update).await?;
                    states_of(&mut accumulators)?
                }
            };
            merge(&mut whole, &states)?;
        }
        let values: Vec<ScalarValue> = match self.aggregate.mode() {
            AggregateMode::Partial => states_of(&mut whole)?.into_iter().flatten().collect(),
            _ => whole
                .iter_mut()
                .map(|accumulator| accumulator.evaluate())
                .collect::<Result<_>>()?,
        };
        let columns = values.iter().map(|value| value.to_array_of_size(1));
        Ok(RecordBatch::try_new(schema, columns.collect::<Result<_>>()?)?)
    }

    /// The view behind a file, if it is that of a live shard of this process.
    fn live_view(&self, file: &PartitionedFile) -> Result<Option<Arc<View>>> {
        let shard = self.reader.store.read(shard_of(file)?);
        Ok(shard.and_then(|shard| shard.view().cloned()))
    }

    /// The states for a view, from those that were kept of one before it.
    async fn of_view(&self, view: &Arc<View>) -> Result<States> {
        let key = self.key()?;
        let (states, updates) = match self.kept.take(&key, view.origin()) {
            None => (self.all_rows(view).await?, 0),
            Some(before) => {
                let states = self.changed(&before, view).await?;
                match before.is_worn() {
                    true => (self.made_anew(&states, view).await?, 0),
                    false => (states, before.updates + 1),
                }
            }
        };
        let sums = KeptSums {
            view: view.clone(),
            states: states.clone(),
            updates,
        };
        self.kept.put(key, sums);
        Ok(states)
    }

    /// The states from those of an earlier view: what is gone is taken away, and what is new is added.
    async fn changed(&self, before: &KeptSums, view: &Arc<View>) -> Result<States> {
        let mut accumulators = self.accumulators()?;
        merge(&mut accumulators, &before.states)?;
        for (rows, direction, counter) in [
            (before.view.minus(view), Direction::Retract, &self.removed),
            (view.minus(&before.view), Direction::Update, &self.added),
        ] {
            counter.add(rows.rows());
            self.feed_rows(rows, &mut accumulators, direction).await?;
        }
        states_of(&mut accumulators)
    }

    async fn all_rows(&self, view: &Arc<View>) -> Result<States> {
        self.read_whole.add(1);
        let mut accumulators = self.accumulators()?;
        let rows = view.minus(&view.nothing());
        self.feed_rows(rows, &mut accumulators, Direction::Update).await?;
        states_of(&mut accumulators)
    }

    /// The states of all rows, and a word about how far those that were kept were away from them.
    async fn made_anew(&self, kept: &States, view: &Arc<View>) -> Result<States> {
        let states = self.all_rows(view).await?;
        let drift = functions::drift(kept, &states);
        metrics::gauge!(DRIFT).set(drift);
        tracing::info!(drift, rows = view.rows(), "sums of a live shard are made anew");
        Ok(states)
    }

    async fn feed_rows(
        &self,
        rows: View,
        accumulators: &mut [Box<dyn Accumulator>],
        direction: Direction,
    ) -> Result<()> {
        if rows.rows() == 0 {
            return Ok(());
        }
        let (file, reader) = self.reader.alone(&Arc::new(rows));
        let scan = self.scan_of(file, reader)?;
        self.feed(scan, accumulators, direction).await
    }

    /// What makes two aggregates the same: the plan without what it reads.
    fn key(&self) -> Result<Vec<u8>> {
        let nothing = self.scan_of_files(Vec::new(), None)?;
        let input = over_scan(self.aggregate.input(), &nothing, |node| {
            changes_rows(node).is_some()
        })?;
        let plan = Arc::new(self.aggregate.clone()).replace_children(vec![input], recompute())?;
        crate::codec::encode_plan(plan)
    }

    fn scan_of(&self, file: PartitionedFile, reader: Reader) -> Result<Arc<dyn ExecutionPlan>> {
        self.scan_of_files(vec![file], Some(reader))
    }

    fn scan_of_files(
        &self,
        files: Vec<PartitionedFile>,
        reader: Option<Reader>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let broken = || internal_datafusion_err!("kept sums without a scan of shards");
        let (config, source) = ShardSource::scanned_by(&self.scan).ok_or_else(broken)?;
        let scan = FileScanConfigBuilder::from(config.clone())
            .with_source(Arc::new(source.with_reader(reader)))
            .with_file_groups(vec![FileGroup::new(files)])
            // Those of other shards: they change what two plans look like and not what they are.
            .with_statistics(Statistics::new_unknown(config.file_schema()))
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }

    fn accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        let functions = self.aggregate.aggr_expr().iter();
        functions.map(|function| function.create_accumulator()).collect()
    }

    /// Gives the rows of a scan, as the aggregate would get them, to accumulators.
    async fn feed(
        &self,
        scan: Arc<dyn ExecutionPlan>,
        accumulators: &mut [Box<dyn Accumulator>],
        direction: Direction,
    ) -> Result<()> {
        let input = over_scan(self.aggregate.input(), &scan, |_| true)?;
        let mut batches = input.execute(0, self.context.clone())?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            for (function, accumulator) in self.aggregate.aggr_expr().iter().zip(accumulators.iter_mut()) {
                let arguments = function.expressions();
                let values = arguments.iter().map(|argument| {
                    let value = argument.evaluate(&batch)?;
                    value.into_array(batch.num_rows())
                });
                let values = values.collect::<Result<Vec<_>>>()?;
                match direction {
                    Direction::Update => accumulator.update_batch(&values)?,
                    Direction::Retract => accumulator.retract_batch(&values)?,
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Update,
    Retract,
}

fn states_of(accumulators: &mut [Box<dyn Accumulator>]) -> Result<States> {
    accumulators
        .iter_mut()
        .map(|accumulator| accumulator.state())
        .collect()
}

fn merge(accumulators: &mut [Box<dyn Accumulator>], states: &States) -> Result<()> {
    for (accumulator, state) in accumulators.iter_mut().zip(states) {
        let arrays = state.iter().map(|value: &ScalarValue| value.to_array_of_size(1));
        accumulator.merge_batch(&arrays.collect::<Result<Vec<_>>>()?)?;
    }
    Ok(())
}
