//! Statements that write tables in memory: `CREATE TABLE`, `INSERT`, `DELETE`, `UPDATE`, `TRUNCATE`.
//!
//! The rows to write are the result of a query, which leaves them as shards with the executors; the rows of the job
//! name these shards, and one change of the catalog makes them visible, all of them or none. `DELETE` and `UPDATE`
//! write the table anew: every row is read from the version the statement has pinned, and the commit takes that
//! version's shards away, which is refused if one of them is gone already. Then the statement runs again.
//!
//! ```text
//! query ─► ShardSinkExec ─► (shard, rows, bytes) ─► CommitShards ─► visible
//!                └── failed, cancelled, run twice: no commit names the shard, and it is dropped
//! ```

mod rewrite;
mod store;
mod upkeep;

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
use millpond_proto::catalog::{Change, ChangeKind, CommitShards, MemoryTable, RelationKind};

pub(super) use self::store::{Storing, settle, store, table_shard};
pub(super) use self::upkeep::{compact, rebuild};
use super::frontend::Services;
use super::job::{self, Watched};
use super::registry::Statement;
use crate::catalog::{Owner, SessionFactory, StatementCatalog, TableOptions, checked, ddl};

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
    state: &SessionState,
    dml: &DmlStatement,
    target: &Target,
) -> Result<Written, Error> {
    let schema = decode_schema(&target.table.arrow_schema).map_err(Error::from_datafusion)?;
    let before = || target.table.shards.iter().map(|shard| shard.rows).sum::<u64>();
    let everything = || -> Vec<String> {
        let names = target.table.shards.iter().map(|shard| shard.shard.clone());
        names.collect()
    };
    let plan = rows_to_write(dml)?;
    let remove = match &dml.op {
        WriteOp::Insert(InsertOp::Append) => Vec::new(),
        _ => everything(),
    };
    let changed = match &dml.op {
        WriteOp::Update => Some(rewrite::count_of_updated(&dml.input)?),
        _ => None,
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
    let added: u64 = add.iter().map(|shard| shard.rows).sum();
    let rows = match (&dml.op, changed) {
        (WriteOp::Delete | WriteOp::Truncate, _) => before().saturating_sub(added),
        (_, Some(count)) => counted(services, statement, state, count).await?,
        _ => added,
    };
    let nothing_changes = rows == 0 && matches!(dml.op, WriteOp::Delete | WriteOp::Update);
    if !nothing_changes {
        let commit = ChangeKind::CommitShards(CommitShards {
            schema: target.schema.clone(),
            name: target.name.clone(),
            table_id: target.table.table_id.clone(),
            add,
            remove,
            same_rows: false,
        });
        let change = Change { kind: Some(commit) };
        services.catalog.commit(vec![change]).await?;
    }
    statement.update(|status| status.affected_rows = Some(rows));
    Ok(Written { rows, job })
}

/// The query whose rows a statement writes; `None` if it writes none.
fn rows_to_write(dml: &DmlStatement) -> Result<Option<LogicalPlan>, Error> {
    match &dml.op {
        WriteOp::Insert(InsertOp::Append | InsertOp::Overwrite) => Ok(Some(dml.input.as_ref().clone())),
        WriteOp::Truncate => Ok(None),
        WriteOp::Delete => rewrite::without_deleted(&dml.input).map(Some),
        WriteOp::Update => rewrite::with_updates(&dml.input).map(Some),
        other => Err(Error::user(
            Code::NOT_SUPPORTED,
            format!("{other} is not supported on a table in memory"),
        )),
    }
}

/// The plan of such a statement as `EXPLAIN` shows it.
pub(super) fn explained(dml: &DmlStatement, target: &Target) -> Result<LogicalPlan, Error> {
    let Some(plan) = rows_to_write(dml)? else {
        return LogicalPlanBuilder::empty(false)
            .build()
            .map_err(Error::from_datafusion);
    };
    let schema = decode_schema(&target.table.arrow_schema).map_err(Error::from_datafusion)?;
    let options = TableOptions::of(&target.table.settings);
    Storing::table(&target.name, &schema, &options).plan(Arc::new(plan), "", "")
}

/// The one number that a plan answers.
async fn counted(
    services: &Services,
    statement: &Arc<Statement>,
    state: &SessionState,
    plan: LogicalPlan,
) -> Result<u64, Error> {
    let context = SessionFactory::of_job(state);
    let run = || job::run(services, statement, context.clone(), &plan, Watched::No);
    let finished = job::rerun_after_loss(services, run).await?;
    let mut count = 0;
    for partition in finished.partitions {
        let batches = services.cluster.fetch_all(partition).await?;
        count += batches.iter().map(rewrite::first_number).sum::<u64>();
    }
    Ok(count)
}
