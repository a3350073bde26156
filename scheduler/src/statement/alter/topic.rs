//! `ALTER TABLE` of a table that follows a topic: columns that messages have now, and wider types.
//!
//! Nothing is stored anew. Executors see the columns in the catalog, and have what they know of rows in them from then on:
//! a column that came is null in the rows that were there.

use datafusion::arrow::datatypes::Schema;
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::ast::{AlterColumnOperation, AlterTableOperation, ColumnDef};
use millpond_engine::error::Error;
use millpond_engine::schema::{decode_schema, encode_schema};
use millpond_engine::streams::{StreamOptions, data_columns, fixed_columns, with_data_columns};
use millpond_proto::catalog::{KafkaTable, Relation};

use super::super::frontend::Services;
use super::super::stream;
use super::columns::Columns;
use super::{new_column, not_supported};
use crate::catalog::{ddl, without_views};

/// Carries out the parts of the statement. The columns about messages stay the last ones.
///
/// # Errors
/// What cannot be done with such a table; types that messages of its format cannot fill; brokers that do not answer.
pub(super) async fn run(
    services: &Services,
    context: &ddl::Context<'_>,
    relation: &Relation,
    table: &KafkaTable,
    operations: &[AlterTableOperation],
) -> Result<(), Error> {
    let options = StreamOptions::parse(&table.settings)?;
    let all = decode_schema(&table.arrow_schema).map_err(Error::from_datafusion)?;
    let own = data_columns(&all, &options.metadata);
    let name = format!("{}.{}", relation.schema, relation.name);
    let mut columns = Columns::new(&name, &own, true);
    for operation in operations {
        apply(context.state, table, &options, &mut columns, operation).await?;
    }
    if !columns.have_changed() {
        return Ok(());
    }
    let own_now = without_views(&columns.schema());
    let schema = with_data_columns(&all, &options.metadata, &own_now);
    let altered = KafkaTable {
        arrow_schema: encode_schema(&schema).map_err(Error::from_datafusion)?,
        ..table.clone()
    };
    // An executor makes a decoder of them.
    services.streams.ends(&altered, &name).await?;
    stream::alter(services, relation.clone(), altered, None).await
}

/// Does one of the comma-separated parts of the statement to the columns.
async fn apply(
    state: &SessionState,
    table: &KafkaTable,
    options: &StreamOptions,
    columns: &mut Columns,
    operation: &AlterTableOperation,
) -> Result<(), Error> {
    match operation {
        AlterTableOperation::AddColumn {
            if_not_exists,
            column_def,
            column_position: None,
            ..
        } => {
            let (field, default) = new_column(state, column_def).await?;
            if default.is_some() {
                return Err(not_supported("a DEFAULT of a table that follows a topic")
                    .with_hint("leave it out and use coalesce() in a view"));
            }
            columns.add(field, None, *if_not_exists)
        }
        AlterTableOperation::AlterColumn {
            column_name,
            op:
                AlterColumnOperation::SetDataType {
                    data_type,
                    using: None,
                    ..
                },
        } => {
            let definition = ColumnDef {
                name: column_name.clone(),
                data_type: data_type.clone(),
                options: Vec::new(),
            };
            let (wanted, _) = new_column(state, &definition).await?;
            check_not_fixed(table, options, columns, wanted.name())?;
            columns.widen(without_views(&Schema::new(vec![wanted])).field(0))
        }
        other => Err(
            not_supported(&format!("ALTER TABLE ... {other} of a table that follows a topic")).with_hint(
                "there are ADD COLUMN, ALTER COLUMN ... TYPE, RENAME TO and SET OPTIONS; a view can leave columns out or give them other names",
            ),
        ),
    }
}

/// Columns that decide which row is which, and how long it stays, are as they are.
fn check_not_fixed(
    table: &KafkaTable,
    options: &StreamOptions,
    columns: &Columns,
    name: &str,
) -> Result<(), Error> {
    let key: Vec<usize> = table.key.iter().map(|place| *place as usize).collect();
    let fixed = fixed_columns(&columns.schema(), &key, options);
    match fixed.iter().any(|fixed| fixed == name) {
        true => Err(
            not_supported(&format!("another type for '{name}', which decides about rows,"))
                .with_hint("create another table over the topic"),
        ),
        false => Ok(()),
    }
}
