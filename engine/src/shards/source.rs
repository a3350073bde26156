//! A scan of shards, in the form of a scan of files: one shard is one file.
//!
//! On the scheduler a [`ShardSource`] knows where each shard is; on an executor the codec gives it the store of the
//! process and connections to the others. Predicates over the table's columns are evaluated while reading, before
//! unneeded columns are dropped.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{exec_datafusion_err, internal_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::object_store::ObjectStore;
use datafusion::physical_expr::conjunction;
use datafusion::physical_expr::expressions::{Column, DynamicFilterTracking};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, PhysicalExpr};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::store::{Shard, ShardId, ShardStore};
use super::wire::Connections;
use crate::files::file_scan;

/// Rows that a scan passes on at once; stored batches are larger.
const BATCH_ROWS: usize = 8_192;

/// Shards by name, and the `HOST:PORT` of the data port of the executor that holds each.
pub type Holders = Arc<HashMap<ShardId, String>>;

/// What an executor reads shards with.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Shards of this process.
    pub store: Arc<ShardStore>,
    /// For those of others.
    pub connections: Connections,
}

/// See the module.
#[derive(Clone)]
pub struct ShardSource {
    table_schema: TableSchema,
    projection: SplitProjection,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    holders: Holders,
    reader: Option<Reader>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for ShardSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardSource")
            .field("shards", &self.holders.len())
            .finish_non_exhaustive()
    }
}

impl ShardSource {
    /// A source over a table of these columns. Only an executor has a `reader`.
    pub fn new(schema: SchemaRef, holders: Holders, reader: Option<Reader>) -> Self {
        let table_schema = TableSchema::from(schema);
        Self {
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            predicate: None,
            holders,
            reader,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The same with a predicate over the table's columns.
    pub fn with_predicate(mut self, predicate: Option<Arc<dyn PhysicalExpr>>) -> Self {
        self.predicate = predicate;
        self
    }

    /// If `plan` is a scan of shards: the scan and its source.
    pub fn scanned_by(plan: &Arc<dyn ExecutionPlan>) -> Option<(&FileScanConfig, &Self)> {
        let scan = file_scan(plan)?;
        Some((scan, scan.file_source.downcast_ref::<Self>()?))
    }

    /// A file that stands for a shard of `bytes` bytes.
    pub fn file_of(shard: ShardId, bytes: u64) -> PartitionedFile {
        // A size of zero would let DataFusion pass the file over.
        PartitionedFile::new(shard.to_string(), bytes.max(1))
    }

    /// `HOST:PORT` of the data port of the executor that holds a file's shard.
    pub fn holder_of(&self, file: &PartitionedFile) -> Option<&str> {
        let shard = shard_of(file).ok()?;
        self.holders.get(&shard).map(String::as_str)
    }

    /// Where the shards of some files are.
    pub fn places<'a>(
        &'a self,
        files: impl IntoIterator<Item = &'a PartitionedFile>,
    ) -> Vec<(ShardId, String)> {
        files
            .into_iter()
            .filter_map(|file| {
                let shard = shard_of(file).ok()?;
                Some((shard, self.holders.get(&shard)?.clone()))
            })
            .collect()
    }
}

fn shard_of(file: &PartitionedFile) -> Result<ShardId> {
    Ok(file.object_meta.location.as_ref().parse()?)
}

impl FileSource for ShardSource {
    fn create_file_opener(
        &self,
        _: Arc<dyn ObjectStore>,
        _: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let reader = self
            .reader
            .clone()
            .ok_or_else(|| internal_datafusion_err!("shards are read by executors only"))?;
        let opener = ShardOpener::new(self, reader, partition);
        ProjectionOpener::try_new(
            self.projection.clone(),
            Arc::new(opener),
            self.table_schema.file_schema(),
        )
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, _: usize) -> Arc<dyn FileSource> {
        Arc::new(self.clone())
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.predicate.clone()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "shard"
    }

    fn fmt_extra(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.predicate {
            Some(predicate) => write!(f, ", predicate={predicate}"),
            None => Ok(()),
        }
    }

    /// A shard is read whole by one task.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut taken: Vec<Arc<dyn PhysicalExpr>> = self.predicate.iter().cloned().collect();
        let mut answers = Vec::with_capacity(filters.len());
        for filter in filters {
            // A filter that is filled at run time stays in the process that fills it.
            if DynamicFilterTracking::classify(&filter).contains_dynamic_filter() {
                answers.push(PushedDown::No);
            } else {
                taken.push(filter);
                answers.push(PushedDown::Yes);
            }
        }
        let predicate = (!taken.is_empty()).then(|| conjunction(taken));
        let source: Arc<dyn FileSource> = Arc::new(self.clone().with_predicate(predicate));
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(answers).with_updated_node(source))
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let mut source = self.clone();
        source.projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(source)))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let projected = self.projection.source.iter().map(|projected| &projected.expr);
        let roots: Vec<&Arc<dyn PhysicalExpr>> = self.predicate.iter().chain(projected).collect();
        datafusion::physical_plan::apply_expression_roots(roots, visit)
    }
}

/// Opens shards for one output partition.
struct ShardOpener {
    reader: Reader,
    holders: Holders,
    /// Columns to read from a shard: those of the result, then those that only the predicate needs.
    read: Vec<usize>,
    /// How many of them are of the result.
    kept: usize,
    /// The predicate over the columns that are read.
    predicate: Option<Arc<dyn PhysicalExpr>>,
    local: Count,
    remote: Count,
}

impl ShardOpener {
    fn new(source: &ShardSource, reader: Reader, partition: usize) -> Self {
        let mut read = source.projection.file_indices.clone();
        let kept = read.len();
        let predicate = source
            .predicate
            .clone()
            .map(|predicate| over_read_columns(predicate, &mut read));
        Self {
            reader,
            holders: source.holders.clone(),
            read,
            kept,
            predicate,
            local: MetricBuilder::new(&source.metrics).counter("shards_local", partition),
            remote: MetricBuilder::new(&source.metrics).counter("shards_remote", partition),
        }
    }
}

/// Points the columns of a predicate to their places among the columns that are read, adding those that are not yet.
fn over_read_columns(predicate: Arc<dyn PhysicalExpr>, read: &mut Vec<usize>) -> Arc<dyn PhysicalExpr> {
    let moved = predicate.clone().transform(|expr| {
        use datafusion::common::tree_node::Transformed;
        let Some(column) = expr.downcast_ref::<Column>() else {
            return Ok(Transformed::no(expr));
        };
        let place = match read.iter().position(|known| *known == column.index()) {
            Some(place) => place,
            None => {
                read.push(column.index());
                read.len() - 1
            }
        };
        Ok(Transformed::yes(
            Arc::new(Column::new(column.name(), place)) as Arc<dyn PhysicalExpr>
        ))
    });
    moved.map_or(predicate, |moved| moved.data)
}

impl FileOpener for ShardOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let id = shard_of(&file)?;
        let (read, kept, predicate) = (self.read.clone(), self.kept, self.predicate.clone());
        let rows: BoxStream<'static, Result<RecordBatch>> = match self.reader.store.read(id) {
            Some(shard) => {
                self.local.add(1);
                local_rows(shard, read)
            }
            None => {
                self.remote.add(1);
                let holder = self
                    .holders
                    .get(&id)
                    .cloned()
                    .ok_or_else(|| internal_datafusion_err!("shard {id} without a place"))?;
                remote_rows(self.reader.connections.clone(), holder, id, read)
            }
        };
        let rows = rows
            .map(move |batch| select(&batch?, predicate.as_ref(), kept))
            .boxed();
        Ok(Box::pin(async move { Ok(rows) }))
    }
}

fn local_rows(shard: Arc<Shard>, columns: Vec<usize>) -> BoxStream<'static, Result<RecordBatch>> {
    let slices = shard.batches().iter().flat_map(move |batch| {
        let batch = batch.project(&columns);
        let rows = batch.as_ref().map_or(1, RecordBatch::num_rows);
        (0..rows).step_by(BATCH_ROWS).map(move |start| match &batch {
            Ok(batch) => Ok(batch.slice(start, BATCH_ROWS.min(rows - start))),
            Err(error) => Err(exec_datafusion_err!("{error}")),
        })
    });
    stream::iter(slices.collect::<Vec<_>>()).boxed()
}

fn remote_rows(
    connections: Connections,
    holder: String,
    id: ShardId,
    columns: Vec<usize>,
) -> BoxStream<'static, Result<RecordBatch>> {
    let opened = async move {
        let rows = connections.read(&holder, id, &columns).await?;
        Ok::<_, DataFusionError>(rows.map_err(|error| DataFusionError::External(Box::new(error))))
    };
    stream::once(opened).try_flatten().boxed()
}

/// Rows that pass the predicate, without the columns that only it needs.
fn select(
    batch: &RecordBatch,
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    kept: usize,
) -> Result<RecordBatch> {
    let columns: Vec<usize> = (0..kept).collect();
    let Some(predicate) = predicate else {
        return Ok(batch.project(&columns)?);
    };
    let passed = predicate.evaluate(batch)?.into_array(batch.num_rows())?;
    let passed = passed
        .as_any()
        .downcast_ref::<BooleanArray>()
        .ok_or_else(|| internal_datafusion_err!("a predicate that is not boolean"))?;
    Ok(filter_record_batch(&batch.project(&columns)?, passed)?)
}
