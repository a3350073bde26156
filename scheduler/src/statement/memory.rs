//! Statements that write tables in memory: `CREATE TABLE`, `INSERT`, `DELETE`, `UPDATE`, `TRUNCATE`.
//!
//! The rows to write are the result of a query, which leaves them as shards with the executors; the rows of the job
//! name these shards, and one change of the catalog makes them visible, all of them or none. `DELETE` and `UPDATE` leave
//! shards where they are, and note which rows are gone ([`edit`]). What a statement takes away must be as it has read it
//! when it commits; else the statement runs again.
//!
//! ```text
//! query ─► ShardSinkExec ─► (shard, rows, bytes) ─► CommitShards ─► visible
//!                └── failed, cancelled, run twice: no commit names the shard, and it is dropped
//! ```

mod edit;
mod store;
mod upkeep;

use std::collections::HashMap;
use std::sync::Arc;

use ballista_core::JobId;
use datafusion::arrow::datatypes::Schema;
use datafusion::execution::SessionState;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{
    CreateMemoryTable, DmlStatement, EmptyRelation, LogicalPlan, LogicalPlanBuilder, WriteOp,
};
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::{decode_schema, encode_schema};
use millpond_engine::session::{CATALOG, DEFAULT_SCHEMA};
use millpond_proto::catalog::{Change, ChangeKind, CommitShards, MemoryTable, RelationKind, TableShard};

pub(super) use self::store::{Storing, settle, store, table_shard};
pub(super) use self::upkeep::{compact, rebuild};
use super::frontend::Services;
use super::registry::Statement;
use crate::catalog::{Owner, RelationKey, StatementCatalog, TableOptions, checked, ddl};

/// A write that was committed.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) rows: u64,
    /// `None` if nothing had to be computed.
    pub(super) job: Option<JobId>,
}

/// The table in memory that a statement writes to, or `None` if it writes to something else.
pub(super) fn target(catalog: &StatementCatalog, dml: &DmlStatement) -> Option<Target> {
    let name = dml.table_name.clone().resolve(CATALOG, DEFAULT_SCHEMA);
    let (schema, name) = (name.schema.to_string(), name.table.to_string());
    let relation = catalog.version().relations.get(&(schema.clone(), name.clone()))?;
    match &relation.kind {
        Some(RelationKind::Memory(table)) => Some(Target {
            schema,
            name,
            table: table.clone(),
        }),
        _ => None,
    }
}

/// A table in memory at the version that the statement reads.
pub(super) struct Target {
    schema: String,
    name: String,
    table: MemoryTable,
}

impl Target {
    fn key(&self) -> RelationKey {
        (self.schema.clone(), self.name.clone())
    }

    /// The change that adds shards and takes others away, which must be as they were read.
    fn commit(&self, add: Vec<TableShard>, remove: &[TableShard]) -> Change {
        let commit = CommitShards {
            schema: self.schema.clone(),
            name: self.name.clone(),
            table_id: self.table.table_id.clone(),
            add,
            remove: remove.iter().map(|shard| shard.shard.clone()).collect(),
            same_rows: false,
            deleted_when_read: deleted_rows(remove),
        };
        Change {
            kind: Some(ChangeKind::CommitShards(commit)),
        }
    }
}

/// Of shards that have some, their number of deleted rows.
fn deleted_rows<'a>(shards: impl IntoIterator<Item = &'a TableShard>) -> HashMap<String, u64> {
    shards
        .into_iter()
        .filter(|shard| shard.deleted_rows > 0)
        .map(|shard| (shard.shard.clone(), shard.deleted_rows))
        .collect()
}

/// Runs `CREATE TABLE`, with or without rows.
pub(super) async fn create(
    services: &Services,
    statement: &Arc<Statement>,
    context: &ddl::Context<'_>,
    command: &CreateMemoryTable,
    options: &[(String, String)],
) -> Result<Written, Error> {
    let settings = checked(options, Owner::Table)?;
    let options = TableOptions::of(&settings);
    let Some(place) = ddl::new_memory_table(context, command)? else {
        return Ok(Written { rows: 0, job: None });
    };
    let is_empty = matches!(
        command.input.as_ref(),
        LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: false,
            ..
        })
    );
    // What a query computes happens to have no nulls today; only a column list can promise that.
    let schema = Arc::new(stored_schema(command.input.schema().as_arrow(), !is_empty));
    let storing = Storing::table(&place.name, &schema, &options);
    storing.check()?;
    // Taken before the rows: if the source changes meanwhile, they cannot be computed again.
    let key = (place.schema.clone(), place.name.clone());
    let lineage = upkeep::lineage(statement, context, &key, command, &options).await?;
    let (shards, job, _write) = if is_empty {
        (Vec::new(), None, None)
    } else {
        let plan = command.input.as_ref().clone();
        let stored = store(services, statement, context.state, plan, &storing).await?;
        (stored.shards, Some(stored.job), Some(stored.write))
    };
    let rows = shards.iter().map(|shard| shard.rows).sum();
    let table = MemoryTable {
        table_id: uuid::Uuid::new_v4().simple().to_string(),
        arrow_schema: encode_schema(&schema).map_err(Error::from_datafusion)?,
        version: 1,
        shards,
        definition: context.sql.trim().trim_end_matches(';').to_string(),
        lineage: lineage.filter(|_| !is_empty),
        settings,
        outbox: None,
    };
    ddl::commit_relation(context, place, RelationKind::Memory(table), command).await?;
    statement.update(|status| status.affected_rows = Some(rows));
    Ok(Written { rows, job })
}

/// Columns without the metadata of where they came from.
pub(super) fn stored_schema(schema: &Schema, nullable: bool) -> Schema {
    let fields = schema.fields().iter().map(|field| {
        let nullable = nullable || field.is_nullable();
        field
            .as_ref()
            .clone()
            .with_nullable(nullable)
            .with_metadata(Default::default())
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// Runs a statement that changes the rows of a table.
///
/// # Errors
/// [`Code::STATE_CONFLICT`] if another statement has changed the same rows meanwhile.
pub(super) async fn change(
    services: &Services,
    statement: &Arc<Statement>,
    catalog: &Arc<StatementCatalog>,
    state: &SessionState,
    dml: &DmlStatement,
    target: &Target,
) -> Result<Written, Error> {
    let written = match &dml.op {
        WriteOp::Delete | WriteOp::Update => {
            let edit = edit::Edit::new(services, statement, catalog, state, target);
            Box::pin(edit.run(dml)).await
        }
        _ => write(services, statement, state, dml, target).await,
    }?;
    statement.update(|status| status.affected_rows = Some(written.rows));
    Ok(written)
}

/// Adds rows, or takes all away.
async fn write(
    services: &Services,
    statement: &Arc<Statement>,
    state: &SessionState,
    dml: &DmlStatement,
    target: &Target,
) -> Result<Written, Error> {
    let schema = decode_schema(&target.table.arrow_schema).map_err(Error::from_datafusion)?;
    let plan = rows_to_write(dml)?;
    let remove: &[TableShard] = match &dml.op {
        WriteOp::Insert(InsertOp::Append) => &[],
        _ => &target.table.shards,
    };
    let options = TableOptions::of(&target.table.settings);
    let storing = Storing::table(&target.name, &schema, &options);
    let stored = match plan {
        Some(plan) => Some(store(services, statement, state, plan, &storing).await?),
        None => None,
    };
    let (add, job, _write) = match stored {
        Some(stored) => (stored.shards, Some(stored.job), Some(stored.write)),
        None => (Vec::new(), None, None),
    };
    let rows = match &dml.op {
        WriteOp::Truncate => remove.iter().map(TableShard::live_rows).sum(),
        _ => add.iter().map(|shard| shard.rows).sum(),
    };
    let commit = target.commit(add, remove);
    services.catalog.commit(vec![commit]).await?;
    Ok(Written { rows, job })
}

/// The query whose rows a statement writes; `None` if it writes none.
fn rows_to_write(dml: &DmlStatement) -> Result<Option<LogicalPlan>, Error> {
    match &dml.op {
        WriteOp::Insert(InsertOp::Append | InsertOp::Overwrite) => Ok(Some(dml.input.as_ref().clone())),
        WriteOp::Truncate => Ok(None),
        other => Err(Error::user(
            Code::NOT_SUPPORTED,
            format!("{other} is not supported on a table in memory"),
        )),
    }
}

/// The plan of such a statement as `EXPLAIN` shows it: the rows that are written, or those that are looked for.
pub(super) async fn explained(
    catalog: &Arc<StatementCatalog>,
    dml: &DmlStatement,
    target: &Target,
) -> Result<LogicalPlan, Error> {
    if matches!(dml.op, WriteOp::Delete | WriteOp::Update) {
        return edit::search(catalog, dml, target).await;
    }
    let Some(plan) = rows_to_write(dml)? else {
        return LogicalPlanBuilder::empty(false)
            .build()
            .map_err(Error::from_datafusion);
    };
    let schema = decode_schema(&target.table.arrow_schema).map_err(Error::from_datafusion)?;
    let options = TableOptions::of(&target.table.settings);
    Storing::table(&target.name, &schema, &options).plan(Arc::new(plan), "", "")
}
