//! CSV and JSON scans that keep their settings on the way to an executor.
//!
//! DataFusion's message for such a scan has no place for the compression of the files, nor for the line terminator of
//! CSV, so an executor would read compressed bytes as text. [`keep_settings`] wraps the scans that have such settings;
//! the wrapper behaves like what it wraps, only the codec sees the difference and sends the settings beside the scan.

use std::fmt;
use std::sync::Arc;

use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{config::ConfigOptions, internal_datafusion_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::physical_plan::{
    CsvSource, FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::object_store::ObjectStore;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use millpond_proto::plan::TextScan;

use super::file_scan;

/// A CSV or JSON source with settings that must travel beside it.
pub(crate) struct TextSource {
    inner: Arc<dyn FileSource>,
}

/// Wraps every scan of a plan whose settings would be lost.
///
/// # Errors
/// None of its own; those of rebuilding the plan.
pub(crate) fn keep_settings(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(scan) = file_scan(&node) else {
            return Ok(Transformed::no(node));
        };
        let terminator = scan
            .file_source
            .downcast_ref::<CsvSource>()
            .and_then(CsvSource::terminator);
        let text = matches!(scan.file_source.file_type(), "csv" | "json");
        let wrapped = scan.file_source.downcast_ref::<TextSource>().is_some();
        if wrapped || !text || (terminator.is_none() && !scan.file_compression_type.is_compressed()) {
            return Ok(Transformed::no(node));
        }
        let inner = scan.file_source.clone();
        let scan = FileScanConfigBuilder::from(scan.clone())
            .with_source(Arc::new(TextSource { inner }))
            .build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(scan)))
    })
    .map(|plan| plan.data)
}

/// If `plan` is a wrapped scan: the scan without its wrapper, and the settings to send beside it.
pub(crate) fn unwrap(plan: &Arc<dyn ExecutionPlan>) -> Option<(Arc<dyn ExecutionPlan>, TextScan)> {
    let scan = file_scan(plan)?;
    let source = scan.file_source.downcast_ref::<TextSource>()?;
    let settings = TextScan {
        scan: Vec::new(),
        compression: scan.file_compression_type.get_variant().to_string(),
        terminator: source
            .inner
            .downcast_ref::<CsvSource>()
            .and_then(CsvSource::terminator)
            .map(u32::from),
    };
    let scan = FileScanConfigBuilder::from(scan.clone())
        .with_source(source.inner.clone())
        .build();
    Some((DataSourceExec::from_data_source(scan), settings))
}

/// Gives a scan that was sent its settings again.
///
/// # Errors
/// A plan that is no scan, or settings of another version.
pub(crate) fn restore(plan: &Arc<dyn ExecutionPlan>, settings: &TextScan) -> Result<Arc<dyn ExecutionPlan>> {
    let scan =
        file_scan(plan).ok_or_else(|| internal_datafusion_err!("settings of a scan without a scan"))?;
    let compression: CompressionTypeVariant = settings
        .compression
        .parse()
        .map_err(|_| internal_datafusion_err!("compression '{}'", settings.compression))?;
    let mut builder = FileScanConfigBuilder::from(scan.clone())
        .with_file_compression_type(FileCompressionType::from(compression));
    let terminator = settings.terminator.and_then(|byte| u8::try_from(byte).ok());
    if let (Some(terminator), Some(csv)) = (terminator, scan.file_source.downcast_ref::<CsvSource>()) {
        builder = builder.with_source(Arc::new(csv.with_terminator(Some(terminator))));
    }
    Ok(DataSourceExec::from_data_source(builder.build()))
}

impl fmt::Debug for TextSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextSource")
            .field("file_type", &self.inner.file_type())
            .finish()
    }
}

impl FileSource for TextSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(store, config, partition)
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let inner = self.inner.with_batch_size(batch_size);
        Arc::new(Self { inner })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.inner.fmt_extra(format, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        file_min_size: usize,
        ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        self.inner
            .repartitioned(target_partitions, file_min_size, ordering, config)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.inner.try_pushdown_filters(filters, config)?;
        pushed.updated_node = pushed
            .updated_node
            .map(|inner| Arc::new(Self { inner }) as Arc<dyn FileSource>);
        Ok(pushed)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.inner.try_pushdown_projection(projection)?;
        Ok(pushed.map(|inner| Arc::new(Self { inner }) as Arc<dyn FileSource>))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(visit)
    }
}
