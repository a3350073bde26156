//! Sends every partition of its input to a topic, or makes the messages that an outbox is to have.
//!
//! ```text
//! TopicSinkExec: sensor_data, at least once      one row (rows) for each output partition
//!   <any plan>
//! TopicSinkExec: sensor_data, exactly once, from an outbox      a row (key, value, timestamp) for each row
//!   <any plan>
//! ```

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{EvaluationType, SchedulingType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;
use millpond_proto::plan::TopicSink;

use super::messages::{as_messages, as_rows, messages_schema};
use super::{Opened, TopicWriter, shown};
use crate::encode::{Encoder, Messages};
use crate::schema::decode_schema;
use crate::shards::of_table;

/// See the module.
#[derive(Debug, Clone)]
pub struct TopicSinkExec {
    input: Arc<dyn ExecutionPlan>,
    sink: Arc<TopicSink>,
    writer: Option<Arc<dyn TopicWriter>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TopicSinkExec {
    /// Sends what `input` yields. Only an executor has a `writer`.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        sink: Arc<TopicSink>,
        writer: Option<Arc<dyn TopicWriter>>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(rows_of(&sink)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        )
        .with_scheduling_type(SchedulingType::Cooperative)
        .with_evaluation_type(EvaluationType::Eager);
        Self {
            input,
            sink,
            writer,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// Where it sends.
    pub fn sink(&self) -> &TopicSink {
        &self.sink
    }
}

/// Schema of the rows that it yields.
pub(super) fn rows_of(sink: &TopicSink) -> SchemaRef {
    match sink.makes_messages {
        true => messages_schema(),
        false => sent_schema(),
    }
}

fn sent_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("rows", DataType::UInt64, false)]))
}

fn sent_row(count: u64) -> Result<RecordBatch> {
    let count = UInt64Array::from(vec![count]);
    Ok(RecordBatch::try_new(sent_schema(), vec![Arc::new(count)])?)
}

/// Makes the messages of a batch.
enum Maker {
    /// Of rows of the table.
    Rows(SchemaRef, Encoder),
    /// Of rows of an outbox.
    Outbox,
}

impl Maker {
    fn of(sink: &TopicSink) -> Result<Self> {
        if !sink.transaction.is_empty() {
            return Ok(Self::Outbox);
        }
        let schema = decode_schema(&sink.arrow_schema)?;
        let key: Vec<usize> = sink.key.iter().map(|place| *place as usize).collect();
        let encoder = Encoder::new(&sink.settings, &schema, &key)?;
        Ok(Self::Rows(schema, encoder))
    }

    fn messages(&self, batch: RecordBatch) -> Result<Messages> {
        match self {
            Self::Rows(schema, encoder) => Ok(encoder.encode(&of_table(batch, schema)?)?),
            Self::Outbox => as_messages(&batch),
        }
    }
}

/// Rows that were sent, as a batch of [`TopicSinkExec`] says.
///
/// # Errors
/// A batch of another schema.
pub fn rows_sent(batch: &RecordBatch) -> Result<u64> {
    let rows = batch
        .column_by_name("rows")
        .and_then(|rows| rows.as_primitive_opt::<UInt64Type>());
    let rows = rows.ok_or_else(|| internal_datafusion_err!("not the rows of a topic sink"))?;
    Ok(rows.values().iter().sum())
}

impl DisplayAs for TopicSinkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicSinkExec: {}", shown(&self.sink))
    }
}

impl ExecutionPlan for TopicSinkExec {
    fn name(&self) -> &'static str {
        "TopicSinkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
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
        Ok(Arc::new(Self::new(input, self.sink.clone(), self.writer.clone())))
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
        let sink = self.sink.clone();
        if !sink.transaction.is_empty() && self.input.output_partitioning().partition_count() > 1 {
            return internal_err!("a transaction has the rows of one output partition");
        }
        let mut rows = self.input.execute(partition, context)?;
        let maker = Maker::of(&sink)?;
        if sink.makes_messages {
            let made = rows.map(move |batch| as_rows(maker.messages(batch?)?));
            return Ok(Box::pin(RecordBatchStreamAdapter::new(messages_schema(), made)));
        }
        let writer = self
            .writer
            .clone()
            .ok_or_else(|| internal_datafusion_err!("rows are sent by executors only"))?;
        let rows_sent = MetricBuilder::new(&self.metrics).counter("rows_sent", partition);
        let sent = async move {
            let mut topic = match writer.open(&sink).await? {
                Opened::Topic(topic) => topic,
                Opened::Sent(count) => return sent_row(count),
            };
            let mut count = 0;
            while let Some(batch) = rows.next().await {
                let messages = maker.messages(batch?)?;
                let number = messages.values.len();
                topic.send(messages).await?;
                rows_sent.add(number);
                count += number as u64;
            }
            topic.finish(count).await?;
            sent_row(count)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            sent_schema(),
            futures::stream::once(sent),
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
