//! What tools ask about the catalog, in the tables that Flight SQL prescribes.

use std::sync::{Arc, LazyLock};

use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables, Nullable, Searchable,
    SqlInfo, XdbcDataType,
};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::CatalogProvider;
use datafusion::logical_expr::TableType;
use millpond_engine::error::Error;
use millpond_engine::session::CATALOG;

use crate::catalog::StatementCatalog;

/// An error of arrow-flight while it makes one of these tables.
pub(super) fn failed(error: FlightError) -> Error {
    Error::bug(error.to_string())
}

pub(super) fn catalogs(query: CommandGetCatalogs) -> Result<RecordBatch, Error> {
    let mut builder = query.into_builder();
    builder.append(CATALOG);
    builder.build().map_err(failed)
}

pub(super) fn schemas(catalog: &StatementCatalog, query: CommandGetDbSchemas) -> Result<RecordBatch, Error> {
    let mut builder = query.into_builder();
    for schema in catalog.schema_names() {
        builder.append(CATALOG, schema);
    }
    builder.build().map_err(failed)
}

pub(super) async fn tables(
    catalog: &StatementCatalog,
    query: CommandGetTables,
) -> Result<RecordBatch, Error> {
    let mut builder = query.into_builder();
    let no_columns = Schema::empty();
    for schema_name in catalog.schema_names() {
        let Some(schema) = catalog.schema(&schema_name) else {
            continue;
        };
        for table in schema.table_names() {
            let kind = schema.table_type(&table).await.map_err(Error::from_datafusion)?;
            // A view over something that is gone is listed without columns, so that one of them hides no others.
            let columns = if builder.include_schema() {
                schema.table(&table).await.ok().flatten()
            } else {
                None
            };
            let columns = columns.map(|table| table.schema());
            builder
                .append(
                    CATALOG,
                    &schema_name,
                    &table,
                    type_name(kind),
                    columns.as_deref().unwrap_or(&no_columns),
                )
                .map_err(failed)?;
        }
    }
    builder.build().map_err(failed)
}

fn type_name(kind: Option<TableType>) -> &'static str {
    match kind {
        Some(TableType::View) => "VIEW",
        Some(TableType::Temporary) => "LOCAL TEMPORARY",
        Some(TableType::Base) | None => "BASE TABLE",
    }
}

pub(super) fn table_types(query: CommandGetTableTypes) -> Result<RecordBatch, Error> {
    let mut builder = query.into_builder();
    builder.append("BASE TABLE");
    builder.append("VIEW");
    builder.build().map_err(failed)
}

/// No table has a primary key yet.
pub(super) fn primary_keys() -> RecordBatch {
    static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("catalog_name", DataType::Utf8, true),
            Field::new("db_schema_name", DataType::Utf8, true),
            Field::new("table_name", DataType::Utf8, false),
            Field::new("column_name", DataType::Utf8, false),
            Field::new("key_sequence", DataType::Int32, false),
            Field::new("key_name", DataType::Utf8, true),
        ]))
    });
    RecordBatch::new_empty(SCHEMA.clone())
}

/// There are no foreign keys.
pub(super) fn foreign_keys() -> RecordBatch {
    static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
        let side = |prefix: &str| {
            vec![
                Field::new(format!("{prefix}_catalog_name"), DataType::Utf8, true),
                Field::new(format!("{prefix}_db_schema_name"), DataType::Utf8, true),
                Field::new(format!("{prefix}_table_name"), DataType::Utf8, false),
                Field::new(format!("{prefix}_column_name"), DataType::Utf8, false),
            ]
        };
        let rest = vec![
            Field::new("key_sequence", DataType::Int32, false),
            Field::new("fk_key_name", DataType::Utf8, true),
            Field::new("pk_key_name", DataType::Utf8, true),
            Field::new("update_rule", DataType::UInt8, false),
            Field::new("delete_rule", DataType::UInt8, false),
        ];
        Arc::new(Schema::new([side("pk"), side("fk"), rest].concat()))
    });
    RecordBatch::new_empty(SCHEMA.clone())
}

/// Facts about this server.
pub(super) fn sql_info() -> Result<SqlInfoData, Error> {
    let mut builder = SqlInfoDataBuilder::new();
    builder.append(SqlInfo::FlightSqlServerName, "Millpond");
    builder.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    builder.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    builder.append(SqlInfo::FlightSqlServerReadOnly, false);
    builder.append(SqlInfo::FlightSqlServerSql, true);
    builder.append(SqlInfo::FlightSqlServerSubstrait, false);
    builder.append(SqlInfo::FlightSqlServerTransaction, 0i32);
    builder.append(SqlInfo::FlightSqlServerCancel, true);
    builder.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    builder.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    builder.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    builder.append(SqlInfo::SqlDdlCatalog, false);
    builder.append(SqlInfo::SqlDdlSchema, true);
    builder.append(SqlInfo::SqlDdlTable, true);
    builder.build().map_err(failed)
}

/// The types that columns usually have.
pub(super) fn type_info() -> Result<XdbcTypeInfoData, Error> {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    let types = [
        ("BOOLEAN", XdbcDataType::XdbcBit, 1),
        ("TINYINT", XdbcDataType::XdbcTinyint, 3),
        ("SMALLINT", XdbcDataType::XdbcSmallint, 5),
        ("INTEGER", XdbcDataType::XdbcInteger, 10),
        ("BIGINT", XdbcDataType::XdbcBigint, 19),
        ("REAL", XdbcDataType::XdbcReal, 24),
        ("DOUBLE", XdbcDataType::XdbcDouble, 53),
        ("DECIMAL", XdbcDataType::XdbcDecimal, 38),
        ("VARCHAR", XdbcDataType::XdbcVarchar, i32::MAX),
        ("VARBINARY", XdbcDataType::XdbcVarbinary, i32::MAX),
        ("DATE", XdbcDataType::XdbcDate, 10),
        ("TIMESTAMP", XdbcDataType::XdbcTimestamp, 29),
    ];
    for (name, data_type, size) in types {
        builder.append(XdbcTypeInfo {
            type_name: name.into(),
            data_type,
            column_size: Some(size),
            nullable: Nullable::NullabilityNullable,
            case_sensitive: true,
            searchable: Searchable::Full,
            unsigned_attribute: Some(false),
            fixed_prec_scale: false,
            sql_data_type: data_type,
            ..Default::default()
        });
    }
    builder.build().map_err(failed)
}
