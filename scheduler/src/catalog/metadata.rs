//! Tables whose rows the scheduler makes itself: `information_schema` and `system`.
//!
//! Their rows are computed when a scan is planned and travel inside the plan as one partition in memory, a leaf that
//! Ballista knows how to give to exactly one task. So they can be joined with each other on the scheduler and with
//! any table in a cluster job.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

/// Makes the rows of a metadata table. The session gives settings and a task context.
pub(crate) type Rows =
    dyn for<'a> Fn(&'a dyn Session) -> BoxFuture<'a, Result<Vec<RecordBatch>>> + Send + Sync;

/// Boxes a function that makes rows; it is here so that the compiler sees the lifetimes it must have.
pub(crate) fn rows_fn<F>(rows: F) -> Arc<Rows>
where
    F: for<'a> Fn(&'a dyn Session) -> BoxFuture<'a, Result<Vec<RecordBatch>>> + Send + Sync + 'static,
{
    Arc::new(rows)
}

/// A table that is computed by the scheduler at each scan.
pub(crate) struct MetadataTable {
    schema: SchemaRef,
    rows: Arc<Rows>,
}

impl fmt::Debug for MetadataTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataTable")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl MetadataTable {
    /// Makes a table with `schema` whose rows come from `rows`; every batch must have that schema.
    pub(crate) fn new(schema: SchemaRef, rows: Arc<Rows>) -> Self {
        Self { schema, rows }
    }
}

#[async_trait]
impl TableProvider for MetadataTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batches = (self.rows)(state).await?;
        let exec = MemorySourceConfig::try_new_exec(&[batches], self.schema.clone(), projection.cloned())?;
        Ok(exec)
    }
}

/// What kinds of tables a plan reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Constants and metadata only: no executor is needed.
    MetadataOnly,
    /// At least one table whose rows are elsewhere.
    Tables,
}

/// Finds out what a plan reads, subqueries included.
pub(crate) fn what_is_read(plan: &LogicalPlan) -> Result<Reads> {
    let mut reads = Reads::MetadataOnly;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            // The work table of a recursive query holds what the query itself has made so far.
            let local = source_as_provider(&scan.source).is_ok_and(|provider| {
                provider.downcast_ref::<MetadataTable>().is_some()
                    || provider.downcast_ref::<CteWorkTable>().is_some()
            });
            if !local {
                reads = Reads::Tables;
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(reads)
}
