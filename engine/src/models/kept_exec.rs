//! An aggregate over live shards that is computed from what has changed since the last time.
//!
//! It stands over an aggregate without groups, the first of its stage, whose rows come from a scan of shards by way of projections and filters alone:
//! each row then counts for itself, and a row that is gone can be taken away again. For each live shard the
//! executor keeps the state of the aggregates and the view that it is of. The next time, the scan below reads the rows that are new and
//! those that are gone, and nothing else: see [`Aggregation`].
//!
//! Shards that are not live, or of which another executor has the rows, are read whole.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use futures::stream;

use super::aggregation::{Aggregation, changes_rows, recompute, scan_below};
use super::functions;
use super::kept::{Kept, KeptSums, States};
use crate::shards::{ShardSource, View, rows_of, shard_of};

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
    aggregation: Arc<Aggregation>,
    files: Vec<PartitionedFile>,
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
        let scan = scan_below(aggregate.input()).and_then(ShardSource::scanned_by);
        let (config, _) = scan.ok_or_else(|| internal_datafusion_err!("kept sums without a scan"))?;
        let files = config
            .file_groups
            .get(partition)
            .map(|group| group.iter().cloned().collect());
        let counter = |name| MetricBuilder::new(metrics).counter(name, partition);
        Ok(Self {
            aggregation: Arc::new(Aggregation::new(aggregate)?),
            files: files.unwrap_or_default(),
            kept,
            context,
            added: counter("rows_added"),
            removed: counter("rows_removed"),
            read_whole: counter("shards_read_whole"),
        })
    }

    /// One row: what the aggregate yields over all shards of the task.
    async fn run(self, schema: SchemaRef) -> Result<RecordBatch> {
        let mut of_shards = Vec::with_capacity(self.files.len());
        for file in &self.files {
            of_shards.push(match self.live_view(file)? {
                // Of a shard that several tasks were to read a part of, the first does all.
                Some(_) if rows_of(file).start > 0 => continue,
                Some(view) => self.of_view(&view).await?,
                None => {
                    self.read_whole.add(1);
                    self.aggregation.of_file(file, &self.context).await?
                }
            });
        }
        let values = self.aggregation.together(&of_shards)?;
        let columns = values.iter().map(|value| value.to_array_of_size(1));
        Ok(RecordBatch::try_new(schema, columns.collect::<Result<_>>()?)?)
    }

    /// The view behind a file, if it is that of a live shard of this process.
    fn live_view(&self, file: &PartitionedFile) -> Result<Option<Arc<View>>> {
        let shard = self.aggregation.reader().store.read(shard_of(file)?);
        Ok(shard.and_then(|shard| shard.view().cloned()))
    }

    /// The states for a view, from those that were kept of another.
    async fn of_view(&self, view: &Arc<View>) -> Result<States> {
        let key = self.aggregation.key();
        let (states, updates) = match self.kept.get(key, view.origin()) {
            None => (self.all_rows(view).await?, 0),
            Some(before) => {
                let moved = self.aggregation.moved(&before, view, &self.context).await;
                let (states, difference) = moved.inspect_err(|_| self.kept.remove(key, view.origin()))?;
                self.added.add(difference.added);
                self.removed.add(difference.removed);
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
        self.kept.put(&self.aggregation, sums);
        Ok(states)
    }

    async fn all_rows(&self, view: &Arc<View>) -> Result<States> {
        self.read_whole.add(1);
        self.aggregation.of_all(view, &self.context).await
    }

    /// The states of all rows, and a word about how far those that were kept were away from them.
    async fn made_anew(&self, kept: &States, view: &Arc<View>) -> Result<States> {
        let states = self.all_rows(view).await?;
        let drift = functions::drift(kept, &states);
        metrics::gauge!(DRIFT).set(drift);
        tracing::info!(drift, rows = view.rows(), "sums of a live shard are made anew");
        Ok(states)
    }
}
