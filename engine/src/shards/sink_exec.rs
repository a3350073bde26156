//! Leaves every partition of its input as shards in the memory of the process that runs the task.
//!
//! ```text
//! ShardSinkExec: clean          one row (shard, rows, bytes) for each shard
//!   <any plan>
//! ```

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BinaryArray, RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{EvaluationType, SchedulingType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;
use millpond_proto::plan::ShardSink;

use super::parts::{Part, Parts, key_of};
use super::shard::{Shard, ShardId};
use super::snapshot::Snapshots;
use super::statistics;
use super::store::ShardStore;
use crate::error::{Code, Error};

/// One shard that was written: a row that [`ShardSinkExec`] yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRow {
    /// The shard.
    pub shard: ShardId,
    /// Rows in it.
    pub rows: u64,
    /// Bytes that it takes, in memory or on disk.
    pub bytes: u64,
    /// What is known of its columns, for [`statistics::decode`].
    pub statistics: Vec<u8>,
    /// Hash class of its rows, if the table has such.
    pub bucket: Option<u32>,
}

impl ShardRow {
    /// Reads the rows of a batch that [`ShardSinkExec`] made.
    ///
    /// # Errors
    /// A batch of another schema.
    pub fn read(batch: &RecordBatch) -> Result<Vec<Self>> {
        let wrong = || internal_datafusion_err!("not the rows of a shard sink: {:?}", batch.schema());
        let numbers = |name: &str| {
            batch
                .column_by_name(name)
                .and_then(|column| column.as_any().downcast_ref::<UInt64Array>())
                .ok_or_else(wrong)
        };
        let shards = batch
            .column_by_name("shard")
            .and_then(|column| column.as_any().downcast_ref::<StringArray>())
            .ok_or_else(wrong)?;
        let statistics = batch
            .column_by_name("statistics")
            .and_then(|column| column.as_any().downcast_ref::<BinaryArray>())
            .ok_or_else(wrong)?;
        let (rows, bytes, buckets) = (numbers("rows")?, numbers("bytes")?, numbers("bucket")?);
        (0..batch.num_rows())
            .map(|index| {
                Ok(Self {
                    shard: shards.value(index).parse()?,
                    rows: rows.value(index),
                    bytes: bytes.value(index),
                    statistics: statistics.value(index).to_vec(),
                    bucket: buckets.is_valid(index).then(|| buckets.value(index) as u32),
                })
            })
            .collect()
    }

    /// The schema of these rows.
    pub fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("shard", DataType::Utf8, false),
            Field::new("rows", DataType::UInt64, false),
            Field::new("bytes", DataType::UInt64, false),
            Field::new("statistics", DataType::Binary, false),
            Field::new("bucket", DataType::UInt64, true),
        ]))
    }

    fn batch(parts: &[Part]) -> Result<RecordBatch> {
        let shards = || parts.iter().map(|(_, shard)| shard);
        let names = StringArray::from_iter_values(shards().map(|shard| shard.id().to_string()));
        let rows = UInt64Array::from_iter_values(shards().map(|shard| shard.rows() as u64));
        let bytes = |shard: &Arc<Shard>| (shard.bytes() + shard.disk_bytes()) as u64;
        let bytes = UInt64Array::from_iter_values(shards().map(bytes));
        let statistics =
            BinaryArray::from_iter_values(shards().map(|shard| statistics::encode(shard.summary())));
        let buckets: UInt64Array = parts.iter().map(|(bucket, _)| bucket.map(u64::from)).collect();
        Ok(RecordBatch::try_new(
            Self::schema(),
            vec![
                Arc::new(names),
                Arc::new(rows),
                Arc::new(bytes),
                Arc::new(statistics),
                Arc::new(buckets),
            ],
        )?)
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct ShardSinkExec {
    input: Arc<dyn ExecutionPlan>,
    sink: Arc<ShardSink>,
    /// Columns of the table: what is stored has these names, types and null rules.
    schema: SchemaRef,
    store: Option<Arc<ShardStore>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ShardSinkExec {
    /// Stores what `input` yields. Only an executor has a `store`.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        sink: Arc<ShardSink>,
        schema: SchemaRef,
        store: Option<Arc<ShardStore>>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(ShardRow::schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        )
        .with_scheduling_type(SchedulingType::Cooperative)
        .with_evaluation_type(EvaluationType::Eager);
        Self {
            input,
            sink,
            schema,
            store,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// For whom it writes.
    pub fn sink(&self) -> &ShardSink {
        &self.sink
    }

    /// Columns of the table.
    pub fn table_schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl DisplayAs for ShardSinkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardSinkExec: {}", self.sink.table)
    }
}

impl ExecutionPlan for ShardSinkExec {
    fn name(&self) -> &'static str {
        "ShardSinkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    /// Rows of one hash class come together, if the table is partitioned by columns.
    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let key = key_of(&self.sink.partition_by, &self.input.schema());
        let distribution = match key.is_empty() {
            true => Distribution::UnspecifiedDistribution,
            false => Distribution::KeyPartitioned(key),
        };
        InputDistributionRequirements::new(vec![distribution])
    }

    /// Each output partition is sorted, if the table is.
    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let key = key_of(&self.sink.sort_by, &self.input.schema());
        let order = LexOrdering::new(key.into_iter().map(PhysicalSortExpr::new_default));
        vec![order.map(OrderingRequirements::from)]
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
        Ok(Arc::new(Self::new(
            input,
            self.sink.clone(),
            self.schema.clone(),
            self.store.clone(),
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
        let store = self
            .store
            .clone()
            .ok_or_else(|| internal_datafusion_err!("rows are stored by executors only"))?;
        let mut rows = self.input.execute(partition, context.clone())?;
        let (sink, schema) = (self.sink.clone(), self.schema.clone());
        let rows_stored = MetricBuilder::new(&self.metrics).counter("rows_stored", partition);
        let bytes_stored = MetricBuilder::new(&self.metrics).counter("bytes_stored", partition);
        let snapshots = match sink.snapshots.as_str() {
            "" => None,
            folder => Some(Snapshots::open(folder, &context.runtime_env())?),
        };
        let stored = async move {
            let mut parts = Parts::new(&store, &sink, &schema)?;
            while let Some(batch) = rows.next().await {
                parts.push(of_table(batch?, &schema)?)?;
            }
            let parts = parts.finish()?;
            for (_, shard) in &parts {
                if let Some(snapshots) = &snapshots {
                    let path = Snapshots::path_of(&sink.write, shard.id());
                    snapshots.save(shard.clone(), &path).await?;
                }
                rows_stored.add(shard.rows());
                bytes_stored.add(shard.bytes() + shard.disk_bytes());
            }
            ShardRow::batch(&parts)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            ShardRow::schema(),
            futures::stream::once(stored),
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Gives rows the table's schema, and refuses nulls where it has none.
pub(crate) fn of_table(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    for (column, field) in batch.columns().iter().zip(schema.fields()) {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(Error::user(
                Code::TYPE_MISMATCH,
                format!(
                    "column '{}' is NOT NULL, and a row has no value for it",
                    field.name()
                ),
            )
            .with_hint("filter such rows out, or replace the nulls with coalesce(...)")
            .into());
        }
    }
    Ok(RecordBatch::try_new(schema.clone(), batch.columns().to_vec())?)
}
