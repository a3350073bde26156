//! Writes every partition of its input to files of its own.
//!
//! ```text
//! FileSinkExec: parquet in s3://b/out.staging-1/      one row (file, rows) for each output partition
//!   <any plan>
//! ```

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr,
};
use datafusion::physical_plan::execution_plan::{EvaluationType, SchedulingType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use millpond_proto::plan::FileSink;
use uuid::Uuid;

use super::writer;
use crate::error::Error;

/// One partition that was written: a row that [`FileSinkExec`] yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkRow {
    /// Path in the folder of the write: a file, or a folder of files with a slash at its end.
    pub file: String,
    /// Rows in it.
    pub rows: u64,
}

impl SinkRow {
    /// Reads the rows of a batch that [`FileSinkExec`] made.
    ///
    /// # Errors
    /// A batch of another schema.
    pub fn read(batch: &RecordBatch) -> Result<Vec<Self>> {
        let wrong = || internal_datafusion_err!("not the rows of a file sink: {:?}", batch.schema());
        let file = batch.column_by_name("file").ok_or_else(wrong)?;
        let rows = batch.column_by_name("rows").ok_or_else(wrong)?;
        let file = file.as_any().downcast_ref::<StringArray>().ok_or_else(wrong)?;
        let rows = rows.as_any().downcast_ref::<UInt64Array>().ok_or_else(wrong)?;
        Ok((0..batch.num_rows())
            .map(|index| Self {
                file: file.value(index).to_string(),
                rows: rows.value(index),
            })
            .collect())
    }

    /// The schema of these rows.
    pub fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("file", DataType::Utf8, false),
            Field::new("rows", DataType::UInt64, false),
        ]))
    }

    fn batch(self) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(
            Self::schema(),
            vec![
                Arc::new(StringArray::from(vec![self.file])),
                Arc::new(UInt64Array::from(vec![self.rows])),
            ],
        )?)
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct FileSinkExec {
    input: Arc<dyn ExecutionPlan>,
    sink: Arc<FileSink>,
    ordering: Option<LexOrdering>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FileSinkExec {
    /// Writes what `input` yields. An input that is one ordered partition stays that.
    pub fn new(input: Arc<dyn ExecutionPlan>, sink: Arc<FileSink>) -> Self {
        let ordering = (input.output_partitioning().partition_count() == 1)
            .then(|| input.output_ordering().cloned())
            .flatten();
        Self::with_ordering(input, sink, ordering)
    }

    fn with_ordering(
        input: Arc<dyn ExecutionPlan>,
        sink: Arc<FileSink>,
        ordering: Option<LexOrdering>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(SinkRow::schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        )
        .with_scheduling_type(SchedulingType::Cooperative)
        .with_evaluation_type(EvaluationType::Eager);
        Self {
            input,
            sink,
            ordering,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// How and where it writes.
    pub fn sink(&self) -> &FileSink {
        &self.sink
    }
}

impl DisplayAs for FileSinkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSinkExec: {} in {}", self.sink.format, self.sink.folder)
    }
}

impl ExecutionPlan for FileSinkExec {
    fn name(&self) -> &'static str {
        "FileSinkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![if self.sink.one_task || self.ordering.is_some() {
            Distribution::SinglePartition
        } else {
            Distribution::UnspecifiedDistribution
        }])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.ordering.clone().map(OrderingRequirements::from)]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.swap_remove(0);
        Ok(Arc::new(Self::with_ordering(
            input,
            self.sink.clone(),
            self.ordering.clone(),
        )))
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
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context.clone())?;
        let sink = self.sink.clone();
        let rows_written = MetricBuilder::new(&self.metrics).counter("rows_written", partition);
        let elapsed = MetricBuilder::new(&self.metrics).subset_time("write_time", partition);
        let written = async move {
            let _timer = elapsed.timer();
            let file = new_name(&sink);
            let location = format!("{}{file}", sink.folder);
            // With its code: the text of a writer's error alone says little to who reads it elsewhere.
            let rows = writer::write(&sink, &location, rows, context)
                .await
                .map_err(|error| DataFusionError::from(Error::from_datafusion(error)))?;
            rows_written.add(usize::try_from(rows).unwrap_or(usize::MAX));
            SinkRow { file, rows }.batch()
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            SinkRow::schema(),
            futures::stream::once(written),
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// A name that no other task, nor another attempt of this one, uses.
fn new_name(sink: &FileSink) -> String {
    let name = Uuid::new_v4().simple();
    if sink.partition_by.is_empty() {
        format!("{name}.{}", sink.extension)
    } else {
        format!("{name}/")
    }
}
