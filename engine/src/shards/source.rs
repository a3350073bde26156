//! A scan of shards, in the form of a scan of files: one shard is one file.
//!
//! On the scheduler a [`ShardSource`] knows where each shard is; on an executor the codec gives it the store of the
//! process and connections to the others. What is read of a shard is in [`ShardRead`].

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::object_store::ObjectStore;
use datafusion::physical_expr::conjunction;
use datafusion::physical_expr::expressions::{Column, DynamicFilterTracking};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, PhysicalExpr};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use millpond_proto::plan::ShardTicket;

use super::deleted::Deleted;
use super::live::View;
use super::numbered::{from_first, is_numbered};
use super::read::{ShardRead, with_dictionaries};
use super::reads;
use super::shard::{Shard, ShardId};
use super::store::ShardStore;
use super::wire::rows_in;
use crate::codec;
use crate::connections::Connections;
use crate::files::file_scan;

/// Shards by name, and where and how each is read.
pub type Places = Arc<HashMap<ShardId, Place>>;

/// Where a shard is, and what is to be known to read it.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// `HOST:PORT` of the data ports of the executors that hold it, at least one, best first.
    pub holders: Vec<String>,
    /// Rows that are passed over, as the catalog has them.
    pub deleted: Vec<u8>,
    /// Number of its first row, if rows are numbered.
    pub first_row: u64,
}

/// What an executor reads shards with.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Shards of this process.
    pub store: Arc<ShardStore>,
    /// For those of others.
    pub connections: Connections,
}

impl Reader {
    /// A file for a view, and a reader that has that view and no other shard.
    pub(crate) fn alone(&self, view: &Arc<View>) -> (PartitionedFile, Self) {
        let store = ShardStore::new(Arc::new(UnboundedMemoryPool::default()), 0);
        let shard = store.pin(view, "");
        let file = ShardSource::file_of(shard.id(), 0..shard.rows() as u64, view.bytes() as u64);
        let reader = Self {
            store: Arc::new(store),
            connections: self.connections.clone(),
        };
        (file, reader)
    }
}

/// See the module.
#[derive(Clone)]
pub struct ShardSource {
    /// Columns as they are scanned: some may be dictionaries.
    table_schema: TableSchema,
    /// Columns of the table.
    stored_schema: SchemaRef,
    /// Those that are scanned as dictionaries, by their place in the table.
    dictionaries: Vec<usize>,
    projection: SplitProjection,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    places: Places,
    reader: Option<Reader>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for ShardSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardSource")
            .field("shards", &self.places.len())
            .finish_non_exhaustive()
    }
}

impl ShardSource {
    /// A source over a table of these columns. Only an executor has a `reader`.
    pub fn new(schema: SchemaRef, places: Places, reader: Option<Reader>) -> Self {
        let table_schema = TableSchema::from(schema.clone());
        Self {
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            stored_schema: schema,
            dictionaries: Vec::new(),
            predicate: None,
            places,
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

    /// A file that stands for some rows of a shard, which have `bytes` bytes.
    pub fn file_of(shard: ShardId, rows: Range<u64>, bytes: u64) -> PartitionedFile {
        let place = |row: u64| i64::try_from(row).unwrap_or(i64::MAX);
        // A size of zero would let DataFusion pass the file over.
        PartitionedFile::new(shard.to_string(), bytes.max(1)).with_range(place(rows.start), place(rows.end))
    }

    /// What it reads with, if it is that of an executor.
    pub(crate) fn reader(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }

    /// The same with another reader.
    pub(crate) fn with_reader(&self, reader: Option<Reader>) -> Self {
        Self {
            reader,
            ..self.clone()
        }
    }

    /// The same, with these columns of its result as dictionaries. `None` if one of them is not a column of the table alone,
    /// or is used for another column as well.
    pub(crate) fn with_dictionaries(&self, places: &[usize]) -> Option<Self> {
        let expressions: Vec<&Arc<dyn PhysicalExpr>> = self
            .projection
            .source
            .iter()
            .map(|projected| &projected.expr)
            .collect();
        let dictionaries = columns_alone(&expressions, places)?;
        let columns = self.stored_schema.fields().len();
        let is_dictionary: Vec<bool> = (0..columns)
            .map(|column| dictionaries.contains(&column))
            .collect();
        let table_schema = TableSchema::from(with_dictionaries(&self.stored_schema, &is_dictionary));
        Some(Self {
            projection: SplitProjection::new(table_schema.file_schema(), &self.projection.source),
            table_schema,
            dictionaries,
            ..self.clone()
        })
    }

    /// Shards of files that are in this process.
    pub(crate) fn shards_here<'a>(
        &'a self,
        files: impl IntoIterator<Item = &'a PartitionedFile>,
    ) -> impl Iterator<Item = Arc<Shard>> {
        let files = files.into_iter();
        files.filter_map(|file| self.reader.as_ref()?.store.find(shard_of(file).ok()?))
    }

    /// Columns of the table that come as dictionaries.
    pub(crate) fn dictionaries(&self) -> &[usize] {
        &self.dictionaries
    }

    /// `HOST:PORT` of the data port of the executor where a file's shard is best read.
    pub fn holder_of(&self, file: &PartitionedFile) -> Option<&str> {
        let shard = shard_of(file).ok()?;
        self.places.get(&shard)?.holders.first().map(String::as_str)
    }

    /// Columns that are read, by their place in the table: those of the result and those of the predicate.
    pub fn columns_read(&self) -> BTreeSet<usize> {
        let of_predicate = self.predicate.iter().flat_map(collect_columns);
        let of_result = self.projection.file_indices.iter().copied();
        of_result
            .chain(of_predicate.map(|column| column.index()))
            .collect()
    }

    /// Where the shards of some files are.
    pub fn places<'a>(
        &'a self,
        files: impl IntoIterator<Item = &'a PartitionedFile>,
    ) -> Vec<(ShardId, Place)> {
        files
            .into_iter()
            .filter_map(|file| {
                let shard = shard_of(file).ok()?;
                Some((shard, self.places.get(&shard)?.clone()))
            })
            .collect()
    }
}

/// The columns that some of the expressions are, if they are nothing else and no other expression uses them.
pub(crate) fn columns_alone(expressions: &[&Arc<dyn PhysicalExpr>], places: &[usize]) -> Option<Vec<usize>> {
    let column = |place: &usize| Some(expressions.get(*place)?.downcast_ref::<Column>()?.index());
    let columns: Vec<usize> = places.iter().map(column).collect::<Option<_>>()?;
    let used = expressions
        .iter()
        .flat_map(|expression| collect_columns(expression));
    let uses = used.filter(|used| columns.contains(&used.index())).count();
    (uses == places.len()).then_some(columns)
}

/// The rows of a shard that a file stands for.
pub(crate) fn rows_of(file: &PartitionedFile) -> Range<usize> {
    let place = |row: i64| usize::try_from(row).unwrap_or(0);
    match &file.range {
        Some(range) => place(range.start)..place(range.end),
        None => 0..usize::MAX,
    }
}

/// The shard that a file stands for.
pub(crate) fn shard_of(file: &PartitionedFile) -> Result<ShardId> {
    Ok(file.object_meta.location.as_ref().parse()?)
}

impl FileSource for ShardSource {
    fn create_file_opener(
        &self,
        _: Arc<dyn ObjectStore>,
        scan: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let reader = self
            .reader
            .clone()
            .ok_or_else(|| internal_datafusion_err!("shards are read by executors only"))?;
        let opener = ShardOpener::new(self, reader, scan.limit, partition);
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
            // A filter that is filled at run time must not leave the process that fills it.
            let filled_here = self.reader.is_some();
            if !filled_here && DynamicFilterTracking::classify(&filter).contains_dynamic_filter() {
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
    places: Places,
    /// Columns of the table.
    schema: SchemaRef,
    /// Those that come as dictionaries, by their place in it.
    dictionaries: Vec<usize>,
    read: ShardRead,
    /// Columns that are read, as [`ShardSource::columns_read`] has them; none if rows are numbered, for numbers are not worth
    /// keeping.
    wanted: Vec<usize>,
    local: Count,
    remote: Count,
    cached: Count,
    pruned: Count,
}

impl ShardOpener {
    fn new(source: &ShardSource, reader: Reader, limit: Option<usize>, partition: usize) -> Self {
        let counter = |name| MetricBuilder::new(&source.metrics).counter(name, partition);
        let wanted = match is_numbered(&source.stored_schema) {
            true => Vec::new(),
            false => source.columns_read().into_iter().collect(),
        };
        Self {
            reader,
            places: source.places.clone(),
            schema: source.stored_schema.clone(),
            dictionaries: source.dictionaries.clone(),
            read: ShardRead {
                range: 0..usize::MAX,
                columns: source.projection.file_indices.clone(),
                predicate: source.predicate.clone(),
                limit,
                deleted: Deleted::default(),
            },
            wanted,
            local: counter(reads::LOCAL),
            remote: counter(reads::REMOTE),
            cached: counter(reads::CACHED),
            pruned: counter("batches_pruned"),
        }
    }

    fn rows_here(&self, read: &ShardRead, shard: Arc<Shard>) -> BoxStream<'static, Result<RecordBatch>> {
        stream::iter(read.rows_with_dictionaries(shard, &self.pruned, &self.dictionaries)).boxed()
    }

    /// Rows of a shard that other executors hold: of columns that were kept, or from the first of them that has it.
    fn rows_elsewhere(
        &self,
        id: ShardId,
        read: &ShardRead,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        if let Some(shard) = self.reader.store.cache().shard(id, &self.wanted) {
            self.cached.add(1);
            return Ok(self.rows_here(read, shard));
        }
        self.remote.add(1);
        let elsewhere = Elsewhere {
            id,
            holders: self
                .places
                .get(&id)
                .map(|place| place.holders.clone())
                .ok_or_else(|| internal_datafusion_err!("shard {id} without a place"))?,
            reader: self.reader.clone(),
            table: self.schema.clone(),
            dictionaries: self.dictionaries.clone(),
        };
        let (read, wanted, pruned) = (read.clone(), self.wanted.clone(), self.pruned.clone());
        // The predicate is as it is now: what fills it goes on.
        let ticket = read.ticket(id, codec::physical_codec(None).as_ref())?;
        let opened = async move {
            match elsewhere.fetched(&wanted).await? {
                Some(shard) => {
                    let rows = read.rows_with_dictionaries(shard, &pruned, &elsewhere.dictionaries);
                    Ok::<_, DataFusionError>(stream::iter(rows).boxed())
                }
                None => elsewhere.rows(&read, &ticket, wanted).await,
            }
        };
        Ok(stream::once(opened).try_flatten().boxed())
    }
}

/// A shard that other executors hold.
struct Elsewhere {
    id: ShardId,
    holders: Vec<String>,
    reader: Reader,
    /// Columns of the table.
    table: SchemaRef,
    dictionaries: Vec<usize>,
}

impl Elsewhere {
    /// Rows as they come.
    async fn rows(
        &self,
        read: &ShardRead,
        ticket: &ShardTicket,
        wanted: Vec<usize>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let schema = Arc::new(self.table.project(&read.columns)?);
        let (store, id) = (self.reader.store.clone(), self.id);
        let sent = self.reader.connections.sent_by_any(&self.holders, ticket).await?;
        let sent = sent.inspect_ok(move |sent| store.cache().travelled(id, &wanted, sent));
        let is_dictionary = |column| self.dictionaries.contains(column);
        let rows = rows_in(
            sent.boxed(),
            schema,
            read.columns.iter().map(is_dictionary).collect(),
        );
        Ok(rows.map_err(DataFusionError::from).boxed())
    }

    /// The shard with these columns, if it is time to keep them here and there is room.
    async fn fetched(&self, wanted: &[usize]) -> Result<Option<Arc<Shard>>> {
        let cache = self.reader.store.cache();
        if cache.worth_keeping(self.id, wanted).is_none() {
            return Ok(None);
        }
        let turn = cache.turn(self.id);
        let _one_at_a_time = turn.lock().await;
        let Some(missing) = cache.worth_keeping(self.id, wanted) else {
            // Somebody else has fetched them, or has given up.
            return Ok(cache.shard(self.id, wanted));
        };
        let whole = ShardRead {
            range: 0..usize::MAX,
            columns: missing,
            predicate: None,
            limit: None,
            deleted: Deleted::default(),
        };
        let ticket = whole.ticket(self.id, codec::physical_codec(None).as_ref())?;
        let connections = &self.reader.connections;
        let mut coming = connections.sent_by_any(&self.holders, &ticket).await?;
        let (mut sent, mut bytes) = (Vec::new(), 0);
        while bytes <= cache.limit_bytes()
            && let Some(batch) = coming.try_next().await?
        {
            // The columns of a batch share the memory of its message, each of which counts all of it.
            bytes += batch.get_array_memory_size() / batch.num_columns().max(1);
            sent.push(batch);
        }
        if cache.keep(self.id, &self.table, &whole.columns, &sent)? {
            return Ok(cache.shard(self.id, wanted));
        }
        cache.give_up(self.id);
        Ok(None)
    }
}

impl FileOpener for ShardOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let id = shard_of(&file)?;
        let place = self.places.get(&id);
        let first_row = place.map_or(0, |place| place.first_row);
        let read = ShardRead {
            range: rows_of(&file),
            deleted: Deleted::from_bytes(place.map_or(&[], |place| &place.deleted))?,
            ..self.read.clone()
        };
        let rows = match self.reader.store.read(id) {
            Some(shard) => {
                self.local.add(1);
                self.rows_here(&read, shard)
            }
            None => self.rows_elsewhere(id, &read)?,
        };
        let rows = match first_row {
            0 => rows,
            first => rows
                .map(move |rows| rows.and_then(|rows| from_first(rows, first)))
                .boxed(),
        };
        Ok(Box::pin(async move { Ok(rows) }))
    }
}
