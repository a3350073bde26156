//! From a stored relation to a table that can be scanned, and from a `CREATE` to a stored relation.
//!
//! A file table is stored with the schema it had when it was created; opening it needs no look at the files. Which
//! files there are is found out at each scan.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{TableProvider, TableProviderFactory};
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::listing_table_factory::ListingTableFactory;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::CreateExternalTable;
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::{decode_schema, encode_schema};
use millpond_proto::catalog::FileTable;

/// Opens a file table with its stored schema.
pub(crate) async fn open_files(
    state: &SessionState,
    name: TableReference,
    table: &FileTable,
) -> Result<Arc<dyn TableProvider>> {
    let schema = DFSchema::try_from(decode_schema(&table.arrow_schema)?.as_ref().clone())?;
    let command = CreateExternalTable::builder(
        name,
        table.location.clone(),
        table.format.clone(),
        Arc::new(schema),
    )
    .with_partition_cols(table.partition_columns.clone())
    .with_options(table.options.clone())
    .build();
    ListingTableFactory::new().create(state, &command).await
}

/// Looks at the files of a `CREATE EXTERNAL TABLE` and makes the relation that is stored.
///
/// # Errors
/// No file at the location, a schema that cannot be inferred, an unknown format or option.
pub(crate) async fn describe_files(state: &SessionState, command: &CreateExternalTable) -> Result<FileTable> {
    let [location] = command.locations.as_slice() else {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            "a table over several locations is not supported",
        )
        .with_hint("use one folder, or a pattern such as data/*.csv")
        .into());
    };
    let lines = command.options.get("format.newline_delimited");
    if lines.is_some_and(|value| value.trim().eq_ignore_ascii_case("false")) {
        // An executor would read the array as lines: DataFusion's message has no place for the difference.
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            "files that are one JSON array cannot be read",
        )
        .with_hint("write one object per line, as `jq -c '.[]'` does")
        .into());
    }
    let provider = ListingTableFactory::new().create(state, command).await?;
    let partition_columns = provider
        .downcast_ref::<ListingTable>()
        .map(|table| {
            table
                .options()
                .table_partition_cols
                .iter()
                .map(|(name, _)| name.clone())
                .collect()
        })
        .unwrap_or_default();
    Ok(FileTable {
        format: command.file_type.to_ascii_uppercase(),
        location: location.clone(),
        options: command.options.clone(),
        arrow_schema: encode_schema(&without_views(&provider.schema()))?,
        partition_columns,
        definition: String::new(),
    })
}

/// The same columns with plain texts instead of views: a few rows of views bring whole buffers along wherever they go.
pub(crate) fn without_views(schema: &Schema) -> Schema {
    let plain = |field: &Arc<Field>| {
        let plain = match field.data_type() {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            _ => return field.clone(),
        };
        Arc::new(field.as_ref().clone().with_data_type(plain))
    };
    let fields: Vec<_> = schema.fields().iter().map(plain).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}
