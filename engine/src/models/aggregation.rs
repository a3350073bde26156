//! How the states of an aggregate are made of rows: from all of them, or from those that came and went.
//!
//! ```text
//! state of a view ── merge ─► accumulators ◄─ update ── rows of this view that are not in that one
//!                                          ◄─ retract ─ rows of that view that are not in this one
//! ```
//!
//! It is the plan of an aggregate without what the plan reads, so it is the same for every shard, every query and every process.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Statistics, internal_datafusion_err, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, PhysicalExpr, ReplaceChildrenOptions,
};
use datafusion::scalar::ScalarValue;
use futures::StreamExt;

use super::kept::{KeptSums, States};
use crate::shards::{Reader, ShardSource, View};

/// See the module.
#[derive(Debug)]
pub(super) struct Aggregation {
    /// What makes two aggregates the same.
    key: Vec<u8>,
    functions: Vec<Arc<AggregateFunctionExpr>>,
    mode: AggregateMode,
    /// What is between the aggregate and its rows.
    input: Arc<dyn ExecutionPlan>,
    reader: Reader,
}

/// Rows that were looked at on the way from one view to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) added: usize,
    pub(super) removed: usize,
}

impl Aggregation {
    /// Of an aggregate that [`super::KeptSumsExec::over`] takes, on an executor.
    pub(super) fn new(aggregate: &AggregateExec) -> Result<Self> {
        let scan = scan_below(aggregate.input()).ok_or_else(no_scan)?;
        let (_, source) = ShardSource::scanned_by(scan).ok_or_else(no_scan)?;
        let nothing = scan_of(scan, Vec::new(), None)?;
        let input = over_scan(aggregate.input(), &nothing)?;
        let plan = Arc::new(aggregate.clone()).replace_children(vec![input.clone()], recompute())?;
        Ok(Self {
            key: crate::codec::encode_plan(plan)?,
            functions: aggregate.aggr_expr().to_vec(),
            mode: *aggregate.mode(),
            input,
            reader: source.reader().cloned().ok_or_else(no_scan)?,
        })
    }

    /// What makes two aggregates the same.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// What rows are read with.
    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The columns of the table.
    pub(super) fn table_schema(&self) -> Result<SchemaRef> {
        let scan = scan_below(&self.input).ok_or_else(no_scan)?;
        let (config, _) = ShardSource::scanned_by(scan).ok_or_else(no_scan)?;
        Ok(config.file_schema().clone())
    }

    /// The states for a view from those of another of the same shard: what is gone is taken away, what is new is added.
    pub(super) async fn moved(
        &self,
        from: &KeptSums,
        to: &Arc<View>,
        context: &Arc<TaskContext>,
    ) -> Result<(States, Difference)> {
        let mut accumulators = self.accumulators()?;
        merge(&mut accumulators, &from.states)?;
        let (gone, new) = (from.view.minus(to), to.minus(&from.view));
        let difference = Difference {
            added: new.rows(),
            removed: gone.rows(),
        };
        self.feed_view(gone, &mut accumulators, Direction::Retract, context)
            .await?;
        self.feed_view(new, &mut accumulators, Direction::Update, context)
            .await?;
        Ok((states_of(&mut accumulators)?, difference))
    }

    /// The states for all rows of a view.
    pub(super) async fn of_all(&self, view: &Arc<View>, context: &Arc<TaskContext>) -> Result<States> {
        let mut accumulators = self.accumulators()?;
        let rows = view.minus(&view.nothing());
        self.feed_view(rows, &mut accumulators, Direction::Update, context)
            .await?;
        states_of(&mut accumulators)
    }

    /// The states for the rows of a file.
    pub(super) async fn of_file(&self, file: &PartitionedFile, context: &Arc<TaskContext>) -> Result<States> {
        let mut accumulators = self.accumulators()?;
        self.feed(
            file.clone(),
            self.reader.clone(),
            &mut accumulators,
            Direction::Update,
            context,
        )
        .await?;
        states_of(&mut accumulators)
    }

    /// What the aggregate yields for states of several shards: theirs together, or its result.
    pub(super) fn together(&self, states: &[States]) -> Result<Vec<ScalarValue>> {
        let mut accumulators = self.accumulators()?;
        for states in states {
            merge(&mut accumulators, states)?;
        }
        match self.mode {
            AggregateMode::Partial => Ok(states_of(&mut accumulators)?.into_iter().flatten().collect()),
            _ => accumulators
                .iter_mut()
                .map(|accumulator| accumulator.evaluate())
                .collect(),
        }
    }

    fn accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        let functions = self.functions.iter();
        functions.map(|function| function.create_accumulator()).collect()
    }

    async fn feed_view(
        &self,
        rows: View,
        accumulators: &mut [Box<dyn Accumulator>],
        direction: Direction,
        context: &Arc<TaskContext>,
    ) -> Result<()> {
        if rows.rows() == 0 {
            return Ok(());
        }
        let (file, reader) = self.reader.alone(&Arc::new(rows));
        self.feed(file, reader, accumulators, direction, context).await
    }

    /// Gives the rows of a file, as the aggregate would get them, to accumulators.
    async fn feed(
        &self,
        file: PartitionedFile,
        reader: Reader,
        accumulators: &mut [Box<dyn Accumulator>],
        direction: Direction,
        context: &Arc<TaskContext>,
    ) -> Result<()> {
        let scan = scan_below(&self.input).ok_or_else(no_scan)?;
        let scan = scan_of(scan, vec![file], Some(reader))?;
        // Memory is always ready; others want their turn.
        let scan: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(scan));
        let mut batches = over_scan(&self.input, &scan)?.execute(0, context.clone())?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            for (function, accumulator) in self.functions.iter().zip(accumulators.iter_mut()) {
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

/// The expressions of a node that makes one row of one row, or none.
pub(super) fn changes_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<&Arc<dyn PhysicalExpr>>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return Some(projection.expr().iter().map(|column| &column.expr).collect());
    }
    plan.downcast_ref::<FilterExec>()
        .map(|filter| vec![filter.predicate()])
}

/// The scan of shards at the end of a plan.
pub(super) fn scan_below(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    match plan.children().as_slice() {
        [] => ShardSource::scanned_by(plan).map(|_| plan),
        [input] => scan_below(input),
        _ => None,
    }
}

/// The same plan over another scan, without what executors put in between.
fn over_scan(plan: &Arc<dyn ExecutionPlan>, scan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    match plan.children().as_slice() {
        [] => Ok(scan.clone()),
        [input] => {
            let input = over_scan(input, scan)?;
            match changes_rows(plan) {
                Some(_) => plan.clone().replace_children(vec![input], recompute()),
                None => Ok(input),
            }
        }
        _ => internal_err!("kept sums over rows that do not come from one scan"),
    }
}

/// The same scan of other files.
fn scan_of(
    scan: &Arc<dyn ExecutionPlan>,
    files: Vec<PartitionedFile>,
    reader: Option<Reader>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (config, source) = ShardSource::scanned_by(scan).ok_or_else(no_scan)?;
    let scan = FileScanConfigBuilder::from(config.clone())
        .with_source(Arc::new(source.with_reader(reader)))
        .with_file_groups(vec![FileGroup::new(files)])
        // Those of other shards: they change what two plans look like and not what they are.
        .with_statistics(Statistics::new_unknown(config.file_schema()))
        .build();
    Ok(DataSourceExec::from_data_source(scan))
}

fn no_scan() -> datafusion::error::DataFusionError {
    internal_datafusion_err!("kept sums without a scan of shards")
}

pub(super) fn recompute() -> ReplaceChildrenOptions {
    ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute)
}
