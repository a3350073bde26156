//! `ALTER TABLE`: another name for a table or view, other columns for a table in memory or one that follows a topic.
//!
//! DataFusion's planner refuses the statement, so it is carried out from its syntax tree. Columns change by a query: the
//! rows of the version that the statement has pinned are stored anew with the columns they are to have, and one change
//! of the catalog puts columns and shards in the place of those that were read, unless somebody was faster.
//!
//! ```text
//! SELECT a AS b, 0 AS c FROM t ─► ShardSinkExec ─► (shard, rows, bytes) ─► AlterColumns ─► visible
//! ```

mod columns;
mod topic;

use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{CreateMemoryTable, DdlStatement, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement as ParsedStatement;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    self, AlterTable, AlterTableOperation, ColumnDef, ColumnOption, DropBehavior, Ident, ObjectName,
    RenameTableNameKind,
};
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::{decode_schema, encode_schema};
use millpond_proto::catalog::{
    AlterColumns, Change, ChangeKind, MemoryTable, Relation, RelationKind, RenameRelation,
};

use self::columns::Columns;
use super::frontend::Services;
use super::memory::{self, Storing};
use super::registry::Statement;
use super::result::ResultSet;
use super::{cache, run};
use crate::catalog::{TableOptions, ddl};

/// The `ALTER TABLE` that a statement is.
pub(super) fn command(parsed: &ParsedStatement) -> Option<&AlterTable> {
    let ParsedStatement::Statement(parsed) = parsed else {
        return None;
    };
    match parsed.as_ref() {
        ast::Statement::AlterTable(command) => Some(command),
        _ => None,
    }
}

/// Carries out an `ALTER TABLE`.
///
/// # Errors
/// What it cannot do, a name that is missing or taken, and [`Code::STATE_CONFLICT`] if the table has changed meanwhile.
pub(super) async fn run(
    services: &Services,
    statement: &Arc<Statement>,
    context: &ddl::Context<'_>,
    command: &AlterTable,
) -> Result<ResultSet, Error> {
    if command.table_type.is_some() || command.location.is_some() || command.on_cluster.is_some() {
        return Err(not_supported("this form of ALTER TABLE"));
    }
    let (schema, name) = ddl::writable_name(context, &reference(&command.name)?)?;
    let key = (schema, name);
    let Some(relation) = context.catalog.version().relations.get(&key) else {
        return match command.if_exists {
            true => Ok(ResultSet::nothing()),
            false => Err(ddl::unknown("table or view", &format!("{}.{}", key.0, key.1))),
        };
    };
    if let [AlterTableOperation::RenameTable { table_name }] = command.operations.as_slice() {
        statement.start_running();
        rename(services, context, relation, table_name).await?;
    } else {
        change_columns(services, statement, context, relation, &command.operations).await?;
    }
    Ok(ResultSet::nothing())
}

async fn rename(
    services: &Services,
    context: &ddl::Context<'_>,
    relation: &Relation,
    new_name: &RenameTableNameKind,
) -> Result<(), Error> {
    let (RenameTableNameKind::To(new_name) | RenameTableNameKind::As(new_name)) = new_name;
    let mut new_name = reference(new_name)?;
    if new_name.schema().is_none() {
        new_name = TableReference::partial(relation.schema.clone(), new_name.table().to_string());
    }
    let (new_schema, new_name) = ddl::writable_name(context, &new_name)?;
    if new_schema != relation.schema {
        return Err(not_supported("moving a table to another schema")
            .with_hint("write the new name without a schema, or CREATE TABLE ... AS SELECT there"));
    }
    let renamed = ChangeKind::RenameRelation(RenameRelation {
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        created_at_ms: relation.created_at_ms,
        new_name,
    });
    let change = Change { kind: Some(renamed) };
    services.catalog.commit(vec![change]).await?;
    Ok(())
}

async fn change_columns(
    services: &Services,
    statement: &Arc<Statement>,
    context: &ddl::Context<'_>,
    relation: &Relation,
    operations: &[AlterTableOperation],
) -> Result<(), Error> {
    if let Some(RelationKind::Kafka(table)) = &relation.kind {
        statement.start_running();
        return topic::run(services, context, relation, table, operations).await;
    }
    let table = table_in_memory(relation)?;
    let old = decode_schema(&table.arrow_schema).map_err(Error::from_datafusion)?;
    let name = format!("{}.{}", relation.schema, relation.name);
    let mut columns = Columns::new(&name, &old, !table.shards.is_empty());
    for operation in operations {
        apply(context.state, table, &mut columns, operation).await?;
    }
    if !columns.have_changed() {
        return Ok(());
    }
    let schema = Arc::new(columns.schema());
    let stored = if table.shards.is_empty() {
        statement.start_running();
        None
    } else {
        let source = cache::source_plan(context.state, relation).await?;
        let values = columns.values(source.schema());
        let plan = LogicalPlanBuilder::from(source)
            .project(values)
            .and_then(LogicalPlanBuilder::build)
            .map_err(Error::from_datafusion)?;
        let options = TableOptions::of(&table.settings);
        let storing = Storing::table(&relation.name, &schema, &options);
        Some(memory::store(services, statement, context.state, plan, &storing).await?)
    };
    let (shards, _write) = match stored {
        Some(stored) => (stored.shards, Some(stored.write)),
        None => (Vec::new(), None),
    };
    let altered = ChangeKind::AlterColumns(AlterColumns {
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        table_id: table.table_id.clone(),
        version: table.version,
        new_table_id: uuid::Uuid::new_v4().simple().to_string(),
        arrow_schema: encode_schema(&schema).map_err(Error::from_datafusion)?,
        shards,
    });
    let change = Change { kind: Some(altered) };
    services.catalog.commit(vec![change]).await?;
    Ok(())
}

fn table_in_memory(relation: &Relation) -> Result<&MemoryTable, Error> {
    let name = format!("'{}.{}'", relation.schema, relation.name);
    match &relation.kind {
        Some(RelationKind::Memory(table)) => Ok(table),
        Some(RelationKind::View(_)) => Err(not_supported(&format!("changing the columns of {name}, a view,"))
            .with_hint("use CREATE OR REPLACE VIEW")),
        _ => Err(
            not_supported(&format!("changing the columns of {name}, a table over files,")).with_hint(
                "the files have the columns; use CREATE OR REPLACE EXTERNAL TABLE, or a view with other columns",
            ),
        ),
    }
}

/// Does one of the comma-separated parts of the statement to the columns.
async fn apply(
    state: &SessionState,
    table: &MemoryTable,
    columns: &mut Columns,
    operation: &AlterTableOperation,
) -> Result<(), Error> {
    match operation {
        AlterTableOperation::RenameColumn {
            old_column_name,
            new_column_name,
        } => {
            let old = name_of(old_column_name);
            check_no_layout(table, &old)?;
            columns.rename(&old, &name_of(new_column_name))
        }
        AlterTableOperation::AddColumn {
            if_not_exists,
            column_def,
            column_position: None,
            ..
        } => {
            let (field, value) = new_column(state, column_def).await?;
            columns.add(field, value, *if_not_exists)
        }
        AlterTableOperation::DropColumn {
            column_names,
            if_exists,
            drop_behavior: None | Some(DropBehavior::Restrict),
            ..
        } => {
            for name in column_names.iter().map(name_of) {
                check_no_layout(table, &name)?;
                columns.drop(&name, *if_exists)?;
            }
            Ok(())
        }
        AlterTableOperation::RenameTable { .. } => {
            Err(not_supported("RENAME TO together with other changes").with_hint("use two statements"))
        }
        other => Err(not_supported(&format!("ALTER TABLE ... {other}"))
            .with_hint("there are RENAME TO, RENAME COLUMN ... TO, ADD COLUMN and DROP COLUMN")),
    }
}

/// Where the rows of a table lie may depend on a column; then it stays as it is.
fn check_no_layout(table: &MemoryTable, column: &str) -> Result<(), Error> {
    for (setting, word) in [("partition_by", "partitioned"), ("sort_by", "sorted")] {
        let names = table
            .settings
            .get(setting)
            .map(String::as_str)
            .unwrap_or_default();
        if names.split(',').any(|name| name.trim() == column) {
            return Err(not_supported(&format!(
                "changing column '{column}', by which the table is {word},"
            ))
            .with_hint("use CREATE TABLE ... AS SELECT for a table with another layout"));
        }
    }
    Ok(())
}

/// The column of a definition and its value in the rows there are, planned as `CREATE TABLE` plans it.
async fn new_column(
    state: &SessionState,
    definition: &ColumnDef,
) -> Result<(Field, Option<ScalarValue>), Error> {
    let known = |option: &ColumnOption| {
        matches!(
            option,
            ColumnOption::Null | ColumnOption::NotNull | ColumnOption::Default(_)
        )
    };
    if let Some(other) = definition.options.iter().find(|other| !known(&other.option)) {
        return Err(
            not_supported(&format!("a column with {other}")).with_hint("there are NOT NULL and DEFAULT")
        );
    }
    let sql = format!("CREATE TABLE added ({definition})");
    let plan = state
        .create_logical_plan(&sql)
        .await
        .map_err(Error::from_datafusion)?;
    let LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(CreateMemoryTable {
        input,
        column_defaults,
        ..
    })) = plan
    else {
        return Err(Error::bug("a CREATE TABLE that is none"));
    };
    let [field] = input.schema().as_arrow().fields().as_ref() else {
        return Err(Error::bug("a definition of a column that is not one"));
    };
    let default = column_defaults.into_iter().next();
    let value = default.map(|(_, value)| run::literal(value)).transpose()?;
    Ok((field.as_ref().clone(), value))
}

fn reference(name: &ObjectName) -> Result<TableReference, Error> {
    object_name_to_table_reference(name.clone(), true).map_err(Error::from_datafusion)
}

/// As in queries: lower case without double quotes.
fn name_of(identifier: &Ident) -> String {
    match identifier.quote_style {
        Some(_) => identifier.value.clone(),
        None => identifier.value.to_lowercase(),
    }
}

fn not_supported(what: &str) -> Error {
    Error::user(Code::NOT_SUPPORTED, format!("{what} is not supported"))
}
