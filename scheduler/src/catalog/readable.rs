//! The catalog as `information_schema` sees it: without what cannot be opened.
//!
//! A view over a table that was dropped must not break every question about columns. It is still named in
//! `information_schema.tables`, which opens nothing.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;

/// A catalog whose broken tables are absent.
#[derive(Debug)]
pub(super) struct Readable<T: ?Sized>(pub(super) Arc<T>);

impl CatalogProviderList for Readable<dyn CatalogProviderList> {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.0.catalog_names()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let catalog = self.0.catalog(name)?;
        Some(Arc::new(Readable(catalog)))
    }
}

impl CatalogProvider for Readable<dyn CatalogProvider> {
    fn schema_names(&self) -> Vec<String> {
        self.0.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let schema = self.0.schema(name)?;
        Some(Arc::new(Readable(schema)))
    }
}

#[async_trait]
impl SchemaProvider for Readable<dyn SchemaProvider> {
    fn table_names(&self) -> Vec<String> {
        self.0.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.table(name).await.unwrap_or_else(|error| {
            tracing::debug!(table = name, %error, "left out of information_schema");
            None
        }))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        self.0.table_type(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name)
    }
}
