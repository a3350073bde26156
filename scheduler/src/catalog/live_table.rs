//! A table that follows a topic, as a statement sees it.
//!
//! Its columns are known from the catalog. Its rows are pinned when they are first needed, and then once for all scans
//! of the statement, so that a table that is joined with itself is the same table.

use std::fmt;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use millpond_engine::error::Error;
use millpond_engine::schema::{decode_schema, nullable};
use millpond_proto::catalog::KafkaTable;
use tokio::sync::OnceCell;

use super::memory_table::MemoryTable;
use super::statement_catalog::StatementCatalog;

/// See the module.
pub(crate) struct LiveTable {
    name: String,
    schema: SchemaRef,
    table: KafkaTable,
    /// Keeps the pin: a plan may outlive its statement by far.
    catalog: Weak<StatementCatalog>,
    rows: OnceCell<MemoryTable>,
}

impl fmt::Debug for LiveTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveTable")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl LiveTable {
    /// The table `name`, nothing of it pinned yet.
    ///
    /// # Errors
    /// A schema that cannot be read.
    pub(super) fn new(name: String, table: &KafkaTable, catalog: Weak<StatementCatalog>) -> Result<Self> {
        Ok(Self {
            name,
            schema: nullable(decode_schema(&table.arrow_schema)?.as_ref()),
            table: table.clone(),
            catalog,
            rows: OnceCell::new(),
        })
    }

    /// The rows that the statement sees.
    ///
    /// # Errors
    /// [`millpond_engine::error::Code::SHARD_MOVED`] if they cannot be had now.
    pub(crate) async fn rows(&self) -> std::result::Result<&MemoryTable, Error> {
        let pin = async || {
            let ended = || Error::bug("the statement has ended");
            let catalog = self.catalog.upgrade().ok_or_else(ended)?;
            catalog.pin(&self.name, &self.table).await
        };
        self.rows.get_or_try_init(pin).await
    }
}

#[async_trait]
impl TableProvider for LiveTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.rows().await?.scan(session, projection, filters, limit).await
    }
}
