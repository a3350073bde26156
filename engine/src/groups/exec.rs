//! A partial aggregate whose groups are found by code.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{SchemaRef, UInt32Type};
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
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

use super::codes::Codes;

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

/// An aggregate function, with what it is called with.
struct Function {
    accumulator: Box<dyn GroupsAccumulator>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

impl Function {
    fn update(&mut self, rows: &RecordBatch, groups: &[usize], total: usize) -> Result<()> {
        let evaluate =
            |expression: &Arc<dyn PhysicalExpr>| expression.evaluate(rows)?.into_array(rows.num_rows());
        let values: Vec<ArrayRef> = self.arguments.iter().map(evaluate).collect::<Result<_>>()?;
        let filter = self.filter.as_ref().map(evaluate).transpose()?;
        let filter: Option<&BooleanArray> = match &filter {
            Some(filter) => Some(
                filter
                    .as_boolean_opt()
                    .ok_or_else(|| internal_datafusion_err!("a filter of {}", filter.data_type()))?,
            ),
            None => None,
        };
        self.accumulator.update_batch(&values, groups, filter, total)
    }
}

/// What is aggregated so far.
struct Groups {
    schema: SchemaRef,
    /// Columns of the input that are grouped by.
    columns: Vec<usize>,
    codes: Codes,
    values: Box<dyn GroupValues>,
    functions: Vec<Function>,
    /// Of the rows of the last batch.
    groups: Vec<usize>,
    memory: MemoryReservation,
    /// There is no memory for more.
    is_full: bool,
    has_ended: bool,
}

impl Groups {
    fn new(plan: &DictionaryAggregateExec, memory: MemoryReservation) -> Result<Self> {
        let aggregate = &plan.aggregate;
        let of_groups = aggregate.group_expr().group_schema(&aggregate.input_schema())?;
        let functions = aggregate.aggr_expr().iter().zip(aggregate.filter_expr());
        let functions = functions.map(|(function, filter)| {
            Ok(Function {
                accumulator: function.create_groups_accumulator()?,
                arguments: function.expressions(),
                filter: filter.clone(),
            })
        });
        Ok(Self {
            schema: plan.schema(),
            columns: plan.groups.clone(),
            codes: Codes::default(),
            values: new_group_values(of_groups, &GroupOrdering::None)?,
            functions: functions.collect::<Result<_>>()?,
            groups: Vec::new(),
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
        if self.values.is_empty() {
            return Ok(None);
        }
        let _timer = metrics.elapsed_compute().timer();
        let part = self.take()?;
        Ok(Some(part.record_output(metrics)))
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = |place: &usize| {
            let column = batch.column(*place).as_dictionary_opt::<UInt32Type>();
            column.ok_or_else(|| internal_datafusion_err!("column {place} is no dictionary"))
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        self.codes
            .groups_of(&columns, self.values.as_mut(), &mut self.groups)?;
        let total = self.values.len();
        for function in &mut self.functions {
            function.update(batch, &self.groups, total)?;
        }
        let of_functions = self.functions.iter().map(|function| function.accumulator.size());
        let needed = self.values.size() + of_functions.sum::<usize>();
        self.is_full = self.memory.try_resize(needed).is_err() && !self.values.is_empty();
        Ok(())
    }

    /// The groups and the states of their functions, which begin anew.
    fn take(&mut self) -> Result<RecordBatch> {
        let mut columns = self.values.emit(EmitTo::All)?;
        for function in &mut self.functions {
            columns.extend(function.accumulator.state(EmitTo::All)?);
        }
        self.codes.clear();
        self.memory.free();
        self.is_full = false;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}
