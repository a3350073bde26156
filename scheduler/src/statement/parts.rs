//! The statements that a statement is made of, such as the queries of a pipeline or of a training.
//!
//! Each runs as a statement of its own would, under the name of the whole. Tables in between have names that begin with
//! [`TEMPORARY`]; they go with the [`Parts`], whatever the end, and with the next start of a scheduler that had none.

use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Fields;
use futures::TryStreamExt;
use millpond_engine::error::Error;
use millpond_proto::catalog::{Change, ChangeKind, RelationRef};

use super::frontend::{Request, Services};
use super::registry::Statement;
use super::result::ResultSet;
use super::run;
use crate::catalog::{StatementCatalog, is_at_hand};
use crate::state::CatalogLog;

/// Start of the names of tables in between.
const TEMPORARY: &str = "__part_";
/// How these are kept: beside the memory on disk, and nowhere else.
const STORAGE: &str = "WITH (durable = 'off', storage_level = 'memory_and_disk')";

/// See the module.
pub(super) struct Parts<'a> {
    pub(super) services: &'a Services,
    pub(super) statement: &'a Arc<Statement>,
    /// Start of the names of its tables, which it alone has.
    prefix: String,
    /// What all queries read, once it is held.
    held: OnceLock<Arc<StatementCatalog>>,
}

/// A statement that is cancelled leaves no table behind either.
impl Drop for Parts<'_> {
    fn drop(&mut self) {
        if temporary(&self.services.catalog, &self.prefix).is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (catalog, prefix) = (self.services.catalog.clone(), self.prefix.clone());
        runtime.spawn(async move { drop_or_warn(&catalog, &prefix).await });
    }
}

impl<'a> Parts<'a> {
    /// Of a statement about `name`.
    pub(super) fn new(services: &'a Services, statement: &'a Arc<Statement>, name: &str) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self {
            services,
            statement,
            prefix: format!("{TEMPORARY}{name}_{}", &id[..8]),
            held: OnceLock::new(),
        }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The columns of a query.
    pub(super) async fn fields_of(&self, query: &str) -> Result<Fields, Error> {
        let catalog = match self.held.get() {
            Some(held) => held.clone(),
            None => run::statement_catalog(self.services, self.statement).await,
        };
        let plan = run::plan_part(&catalog, query).await?;
        Ok(plan.schema().fields().clone())
    }

    /// If a query reads rows of tables in memory as they are, all that run from now on read these rows, whatever others do
    /// with the tables. False: it does not, and nothing is held.
    pub(super) async fn hold_rows_of(&self, query: &str) -> Result<bool, Error> {
        let catalog = run::statement_catalog(self.services, self.statement).await;
        let plan = run::plan_only(&catalog, query).await?;
        let is_at_hand = is_at_hand(&plan);
        if is_at_hand {
            self.held.get_or_init(|| catalog);
        }
        Ok(is_at_hand)
    }

    /// Runs a statement, up to its answer.
    pub(super) async fn run(&self, sql: &str) -> Result<ResultSet, Error> {
        self.run_at(sql, self.held.get().cloned()).await
    }

    async fn run_at(&self, sql: &str, at: Option<Arc<StatementCatalog>>) -> Result<ResultSet, Error> {
        let request = Request {
            sql: sql.to_string(),
            at,
            is_part: true,
            ..Request::default()
        };
        tracing::debug!(sql, "a part of a statement");
        let verb = self.statement.progress().status.verb;
        let answer = run::run(self.services, self.statement, &request).await;
        // It is a part of the statement, which keeps its name.
        self.statement.update(|status| {
            status.verb = verb;
            status.affected_rows = None;
        });
        answer
    }

    /// Runs a statement to its end.
    pub(super) async fn execute(&self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        self.read(self.run(sql).await?).await
    }

    /// As [`Parts::execute`], over a table that was stored after rows were held, and nothing else.
    pub(super) async fn execute_over_stored(&self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        self.read(self.run_at(sql, None).await?).await
    }

    async fn read(&self, ended: ResultSet) -> Result<Vec<RecordBatch>, Error> {
        let mut batches = Vec::new();
        for partition in 0..ended.partitions() {
            let rows = ended.read(self.services, self.statement, partition).await?;
            batches.extend(
                rows.try_collect::<Vec<_>>()
                    .await
                    .map_err(Error::from_datafusion)?,
            );
        }
        Ok(batches)
    }

    /// Keeps the rows of a query in a table in between, whose name begins with [`Parts::prefix`] and is in quotes.
    pub(super) async fn store(&self, table: &str, query: &str) -> Result<(), Error> {
        self.execute(&format!("CREATE TABLE {table} {STORAGE} AS {query}"))
            .await?;
        Ok(())
    }

    /// Shows what the statement is doing.
    pub(super) fn say(&self, what: &str) {
        self.statement.update(|status| status.phase = what.to_string());
    }

    /// Drops the tables in between.
    pub(super) async fn clean_up(&self) {
        drop_or_warn(&self.services.catalog, &self.prefix).await;
    }
}

/// Drops the tables in between of statements that ended with their scheduler.
///
/// # Errors
/// A state store that does not answer.
pub(crate) async fn drop_leftovers(catalog: &CatalogLog) -> Result<(), Error> {
    drop_temporary(catalog, TEMPORARY).await
}

/// Tables whose names begin so, by schema and name.
fn temporary(catalog: &CatalogLog, prefix: &str) -> Vec<(String, String)> {
    let version = catalog.current();
    let names = version.relations.keys();
    names
        .filter(|(_, name)| name.starts_with(prefix))
        .cloned()
        .collect()
}

async fn drop_temporary(catalog: &CatalogLog, prefix: &str) -> Result<(), Error> {
    let drop = |(schema, name)| Change {
        kind: Some(ChangeKind::DropRelation(RelationRef { schema, name })),
    };
    let changes: Vec<Change> = temporary(catalog, prefix).into_iter().map(drop).collect();
    if !changes.is_empty() {
        catalog.commit(changes).await?;
    }
    Ok(())
}

async fn drop_or_warn(catalog: &CatalogLog, prefix: &str) {
    if let Err(error) = drop_temporary(catalog, prefix).await {
        tracing::warn!(prefix, %error, "drop the tables in between of a statement");
    }
}
