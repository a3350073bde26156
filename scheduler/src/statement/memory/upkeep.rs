//! What happens to tables in memory without anyone asking: lost ones are computed again, small shards are joined.
//!
//! A table that is not durable remembers its lineage if its rows can be had again: the query that made it answers the
//! same whenever it runs, it ran with the settings of a new session, and no other statement has changed the table.
//! Before it runs again, files and tables it reads are compared with what they were.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{CreateMemoryTable, DdlStatement, LogicalPlan, LogicalPlanBuilder};
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::decode_schema;
use millpond_engine::session;
use millpond_proto::catalog::{
    Change, ChangeKind, CommitShards, Lineage, MemoryTable, RelationKind, TableShard,
};

use super::super::frontend::Services;
use super::super::registry::Statement;
use super::super::run;
use super::deleted_rows;
use super::store::{Storing, store};
use crate::catalog::cached::{SourceState, check_lasting};
use crate::catalog::{Durable, RelationKey, StatementCatalog, TableOptions, ddl};
use crate::shards::{holders, is_small};

/// How the rows of a new table can be computed again; `None` if they cannot, or need not.
pub(super) async fn lineage(
    statement: &Statement,
    context: &ddl::Context<'_>,
    key: &RelationKey,
    command: &CreateMemoryTable,
    options: &TableOptions,
) -> Result<Option<Lineage>, Error> {
    let lasting = options.durable == Durable::Off
        && check_lasting(&command.input).is_ok()
        && has_default_settings(statement)
        && !reads(&command.input, key).map_err(Error::from_datafusion)?;
    if !lasting {
        return Ok(None);
    }
    let default_schema = context.catalog.default_schema();
    let source = Source::read(context.catalog, context.sql, &default_schema, key).await?;
    Ok(Some(Lineage {
        source: source.digest,
        default_schema,
    }))
}

/// True if a query reads a table.
fn reads(query: &LogicalPlan, (schema, name): &RelationKey) -> datafusion::error::Result<bool> {
    let mut found = false;
    query.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let scanned = scan
                .table_name
                .clone()
                .resolve(session::CATALOG, session::DEFAULT_SCHEMA);
            found |= scanned.schema.as_ref() == schema && scanned.table.as_ref() == name;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// True if the session has no setting of its own that could change what a query answers.
fn has_default_settings(statement: &Statement) -> bool {
    let of_new = session::session_config();
    let of_new = of_new.options().entries();
    let config = statement.session.config();
    let changed = config.options().entries().into_iter().filter(|entry| {
        let same = of_new
            .iter()
            .any(|new| new.key == entry.key && new.value == entry.value);
        !same && !entry.key.starts_with("millpond.") && !entry.key.starts_with("datafusion.catalog.")
    });
    changed.count() == 0
}

/// The query of a definition, over sources and not caches, and what these are now.
struct Source {
    catalog: Arc<StatementCatalog>,
    query: LogicalPlan,
    digest: Vec<u8>,
}

impl Source {
    /// `key` is the table that is defined. Planning opens it too, if it is there.
    async fn read(
        catalog: &StatementCatalog,
        definition: &str,
        default_schema: &str,
        key: &RelationKey,
    ) -> Result<Self, Error> {
        let catalog = catalog.reading_all_sources(default_schema);
        let state = catalog.session_state().map_err(Error::from_datafusion)?;
        let (parsed, _) = run::parse_with_options(&catalog, &state, definition)?;
        let plan = state
            .statement_to_plan(parsed)
            .await
            .map_err(Error::from_datafusion)?;
        let LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(command)) = plan else {
            return Err(Error::bug("the stored definition of a table is no CREATE TABLE"));
        };
        let state = SourceState::of_opened(&catalog, Some(key))
            .await
            .map_err(Error::from_datafusion)?;
        Ok(Self {
            catalog,
            query: command.input.as_ref().clone(),
            digest: state.digest,
        })
    }
}

/// Computes the rows of a table again that were lost with executors. Gives their number.
///
/// # Errors
/// [`Code::TABLE_LOST`] if its sources are not what they were.
pub(in super::super) async fn rebuild(
    services: &Services,
    statement: &Arc<Statement>,
    key: &RelationKey,
) -> Result<u64, Error> {
    let catalog = run::statement_catalog(services, statement).await;
    let Some(table) = table_of(&catalog, key) else {
        return Ok(0);
    };
    let Some(lineage) = &table.lineage else {
        return Ok(0);
    };
    let source = Source::read(&catalog, &table.definition, &lineage.default_schema, key).await?;
    if source.digest != lineage.source {
        return Err(Error::new(
            Code::TABLE_LOST,
            format!(
                "table {}.{} cannot be computed again: what it was made of has changed",
                key.0, key.1
            ),
        )
        .with_hint("make the table again: CREATE OR REPLACE TABLE ... AS SELECT ..., or DROP it"));
    }
    let state = source.catalog.session_state().map_err(Error::from_datafusion)?;
    let (schema, options) = described(table)?;
    let storing = Storing::table(&key.1, &schema, &options);
    let stored = store(services, statement, &state, source.query, &storing).await?;
    let rows = stored.shards.iter().map(|shard| shard.rows).sum();
    let remove = table.shards.iter().map(|shard| shard.shard.clone()).collect();
    commit(services, key, table, stored.shards, remove).await?;
    Ok(rows)
}

/// Joins the small shards of a table. Gives the number of their rows.
pub(in super::super) async fn compact(
    services: &Services,
    statement: &Arc<Statement>,
    key: &RelationKey,
) -> Result<u64, Error> {
    let catalog = run::statement_catalog(services, statement).await;
    let Some(table) = table_of(&catalog, key) else {
        return Ok(0);
    };
    let small: Vec<TableShard> = table
        .shards
        .iter()
        .filter(|shard| is_small(shard))
        .cloned()
        .collect();
    let executors: HashSet<&String> = small.iter().flat_map(holders).collect();
    let (schema, options) = described(table)?;
    let options = TableOptions {
        partitions: Some(executors.len().max(1)),
        ..options
    };
    let remove: Vec<String> = small.iter().map(|shard| shard.shard.clone()).collect();
    let part = MemoryTable {
        shards: small,
        ..table.clone()
    };
    let provider = catalog
        .open_rows(key, &part)
        .await
        .map_err(Error::from_datafusion)?;
    let scan = LogicalPlanBuilder::scan(key.1.as_str(), provider_as_source(Arc::new(provider)), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(Error::from_datafusion)?;
    let state = catalog.session_state().map_err(Error::from_datafusion)?;
    let storing = Storing::table(&key.1, &schema, &options);
    let stored = store(services, statement, &state, scan, &storing).await?;
    let rows = stored.shards.iter().map(|shard| shard.rows).sum();
    match commit(services, key, table, stored.shards, remove).await {
        // Another statement has changed the table meanwhile; there will be another time.
        Err(error) if error.code == Code::STATE_CONFLICT => Ok(0),
        committed => committed.map(|()| rows),
    }
}

fn table_of<'a>(catalog: &'a StatementCatalog, key: &RelationKey) -> Option<&'a MemoryTable> {
    match &catalog.version().relations.get(key)?.kind {
        Some(RelationKind::Memory(table)) => Some(table),
        _ => None,
    }
}

fn described(table: &MemoryTable) -> Result<(datafusion::arrow::datatypes::SchemaRef, TableOptions), Error> {
    let schema = decode_schema(&table.arrow_schema).map_err(Error::from_datafusion)?;
    Ok((schema, TableOptions::of(&table.settings)))
}

/// Replaces shards by others with the same rows.
async fn commit(
    services: &Services,
    key: &RelationKey,
    table: &MemoryTable,
    add: Vec<TableShard>,
    remove: Vec<String>,
) -> Result<(), Error> {
    let change = ChangeKind::CommitShards(CommitShards {
        schema: key.0.clone(),
        name: key.1.clone(),
        table_id: table.table_id.clone(),
        add,
        deleted_when_read: deleted_rows(table.shards.iter().filter(|shard| remove.contains(&shard.shard))),
        remove,
        same_rows: true,
    });
    services
        .catalog
        .commit(vec![Change { kind: Some(change) }])
        .await?;
    Ok(())
}
