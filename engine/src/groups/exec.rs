//! A partial aggregate whose groups are found by code.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{SchemaRef, UInt32Type};
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::{StreamExt, stream};

use super::codes::{Codes, combinations};
use super::functions::{ByCode, Totals};

/// Groups at which what is aggregated so far is passed on: what is above puts parts of a group together.
const GROUPS_MAX: usize = 1 << 16;

/// See the module.
#[derive(Debug, Clone)]
pub struct DictionaryAggregateExec {
    /// What it stands for.
    aggregate: Arc<AggregateExec>,
    /// Columns of the input that are grouped by. They are dictionaries.
    groups: Vec<usize>,
    input: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl DictionaryAggregateExec {
    /// Does what `aggregate` does, over an input whose columns `groups` are dictionaries of what they were.
    pub(super) fn new(aggregate: AggregateExec, groups: Vec<usize>, input: Arc<dyn ExecutionPlan>) -> Self {
        Self {
            aggregate: Arc::new(aggregate),
            groups,
            input,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for DictionaryAggregateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.aggregate.group_expr().expr().iter();
        let groups: Vec<String> = groups.map(|(group, name)| format!("{group} as {name}")).collect();
        let functions: Vec<&str> = self
            .aggregate
            .aggr_expr()
            .iter()
            .map(|function| function.name())
            .collect();
        write!(
            f,
            "DictionaryAggregateExec: mode=Partial, gby=[{}], aggr=[{}]",
            groups.join(", "),
            functions.join(", ")
        )
    }
}

impl ExecutionPlan for DictionaryAggregateExec {
    fn name(&self) -> &'static str {
        "DictionaryAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.aggregate.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            input: children.swap_remove(0),
            metrics: ExecutionPlanMetricsSet::new(),
            ..Arc::unwrap_or_clone(self)
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.aggregate.apply_expressions(visit)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context.clone())?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let memory = MemoryConsumer::new(format!("DictionaryAggregateExec[{partition}]"));
        let memory = memory.register(context.memory_pool());
        let groups = Groups::new(self, memory)?;
        let parts = stream::unfold(Some((rows, groups, metrics)), async |state| {
            let (mut rows, mut groups, metrics) = state?;
            match groups.next_part(&mut rows, &metrics).await {
                Ok(None) => None,
                Ok(Some(part)) => Some((Ok(part), Some((rows, groups, metrics)))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), parts)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What is aggregated so far.
struct Groups {
    schema: SchemaRef,
    /// Columns of the input that are grouped by.
    columns: Vec<usize>,
    codes: Codes,
    by_code: ByCode,
    /// Knows groups by their values and numbers them.
    values: Box<dyn GroupValues>,
    totals: Totals,
    memory: MemoryReservation,
    /// There is no memory for more.
    is_full: bool,
    has_ended: bool,
}

impl Groups {
    fn new(plan: &DictionaryAggregateExec, memory: MemoryReservation) -> Result<Self> {
        let aggregate = &plan.aggregate;
        let of_groups = aggregate.group_expr().group_schema(&aggregate.input_schema())?;
        Ok(Self {
            schema: plan.schema(),
            columns: plan.groups.clone(),
            codes: Codes::default(),
            by_code: ByCode::new(aggregate)?,
            values: new_group_values(of_groups, &GroupOrdering::None)?,
            totals: Totals::new(aggregate)?,
            memory,
            is_full: false,
            has_ended: false,
        })
    }

    /// What is to be passed on next: all groups, at the end of the rows or when they are many or take too much memory.
    async fn next_part(
        &mut self,
        rows: &mut SendableRecordBatchStream,
        metrics: &BaselineMetrics,
    ) -> Result<Option<RecordBatch>> {
        while !self.has_ended && !self.is_full && self.values.len() < GROUPS_MAX {
            match rows.next().await {
                Some(batch) => {
                    let _timer = metrics.elapsed_compute().timer();
                    self.add(&batch?)?;
                }
                None => self.has_ended = true,
            }
        }
        let _timer = metrics.elapsed_compute().timer();
        self.settle()?;
        if self.values.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.take()?.record_output(metrics)))
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = |place: &usize| {
            let column = batch.column(*place).as_dictionary_opt::<UInt32Type>();
            column.ok_or_else(|| internal_datafusion_err!("column {place} is no dictionary"))
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        match combinations(&columns) {
            Some(combinations) => {
                if !self.codes.know(&columns) {
                    self.settle()?;
                    self.codes.learn(&columns);
                }
                let codes = self.codes.encode(&columns);
                self.by_code.update(batch, codes, combinations)?;
            }
            None => {
                let values = columns
                    .iter()
                    .map(|column| take(column.values(), column.keys(), None));
                let mut groups = Vec::new();
                self.values
                    .intern(&values.collect::<Result<Vec<_>, _>>()?, &mut groups)?;
                self.totals.update(batch, &groups, self.values.len())?;
            }
        }
        let needed = self.values.size() + self.totals.bytes() + self.by_code.bytes();
        self.is_full = self.memory.try_resize(needed).is_err() && batch.num_rows() > 0;
        Ok(())
    }

    /// Takes what was found by code over into groups, before codes stand for something else.
    fn settle(&mut self) -> Result<()> {
        let rows = self.by_code.rows().iter().enumerate();
        let used = rows.filter(|(_, rows)| **rows > 0);
        let used = UInt32Array::from_iter_values(used.map(|(code, _)| code as u32));
        let states = self.by_code.take()?;
        if used.is_empty() {
            return Ok(());
        }
        let of_used = |states: &Vec<ArrayRef>| states.iter().map(|state| take(state, &used, None)).collect();
        let states = states.iter().map(of_used).collect::<Result<Vec<_>, _>>()?;
        let mut groups = Vec::new();
        self.values.intern(&self.codes.values_of(&used)?, &mut groups)?;
        self.totals.merge(&states, &groups, self.values.len())
    }

    /// The groups and the states of their functions, which begin anew.
    fn take(&mut self) -> Result<RecordBatch> {
        let mut columns = self.values.emit(EmitTo::All)?;
        columns.extend(self.totals.take()?);
        self.memory.free();
        self.is_full = false;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}
