//! Runs the SQL of a pipeline, each query as a statement of its own would run.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion::common::TableReference;
use millpond_engine::error::{Code, Error};
use millpond_pipeline::fit::Engine;
use millpond_pipeline::spec::{Source, place_of};
use millpond_pipeline::{Column, Compiled, Kind, Mistake, Spec, Value, sql};

use super::account::Account;
use super::outputs::rejects_of;
use super::passes::Passes;
use super::{refused, transform};
use crate::statement::frontend::Services;
use crate::statement::parts::Parts;
use crate::statement::registry::Statement;
use crate::statement::{limits, run};

/// The name in `types` that stands for all columns.
const EVERY: &str = "*";

/// See the module.
pub(super) struct Runner<'a> {
    pub(super) parts: Parts<'a>,
    /// Where the time goes.
    pub(super) passes: Passes,
}

/// Where rows come from.
pub(super) struct Opened {
    /// What stands behind FROM.
    pub(super) relation: String,
    pub(super) columns: Vec<Column>,
    /// For people.
    pub(super) name: String,
}

/// An error of either side.
pub(super) struct Failure(Error);

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Self {
        Self(refused(mistake))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

impl<'a> Runner<'a> {
    pub(super) fn new(services: &'a Services, statement: &'a Arc<Statement>, pipeline: &str) -> Self {
        Self {
            parts: Parts::new(services, statement, pipeline),
            passes: Passes::default(),
        }
    }

    /// Begins something that is no pass of learning.
    pub(super) fn begin(&mut self, what: &str) {
        self.tell(what, &[]);
    }

    /// Runs a statement of the pass.
    async fn execute(&mut self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        self.passes.count_query();
        self.parts.execute(sql).await
    }

    pub(super) fn prefix(&self) -> &str {
        self.parts.prefix()
    }

    /// Opens the source of a pipeline.
    pub(super) async fn open(&mut self, source: &Source) -> Result<Opened, Error> {
        let (relation, name) = match (&source.table, &source.query, &source.file) {
            (Some(table), ..) => (sql::table(table), table.to_string()),
            (_, Some(query), _) => (format!("({}) AS source", **query), query.to_string()),
            (_, _, Some(file)) => (self.open_file(source, file).await?, file.to_string()),
            _ => return Err(Error::bug("a source without a place")),
        };
        let columns = self.columns_of(&relation).await?;
        Ok(Opened {
            relation,
            columns,
            name,
        })
    }

    async fn open_file(&mut self, source: &Source, file: &str) -> Result<String, Error> {
        let format = format_of_source(source, file)?;
        let mut options: Vec<(String, String)> = source
            .options
            .iter()
            .map(|(name, value)| (format!("format.{}", **name), value.to_string()))
            .collect();
        let header = "format.has_header";
        if format == "CSV" && !options.iter().any(|(name, _)| name == header) {
            options.push((header.to_string(), "true".to_string()));
        }
        let options: Vec<String> = options
            .iter()
            .map(|(name, value)| format!("{} {}", sql::text(name), sql::text(value)))
            .collect();
        let options = match options.is_empty() {
            true => String::new(),
            false => format!(" OPTIONS ({})", options.join(", ")),
        };
        let table = format!("{}_source", self.prefix());
        let relation = sql::ident(&table);
        let rest = format!("STORED AS {format} LOCATION {}{options}", sql::text(file));
        self.parts
            .execute(&format!("CREATE EXTERNAL TABLE {relation} {rest}"))
            .await?;
        let query = format!("SELECT * FROM {relation}");
        look_at_file(source, file, &self.parts.fields_of(&query).await?)?;
        if !source.types.is_empty() {
            let columns = self.columns_of(&relation).await?;
            let mut types: Vec<&str> = columns.iter().map(|column| column.kind.sql_type()).collect();
            for (name, kind) in source.types.iter() {
                match name.as_str() {
                    EVERY => types.fill(kind.kind().sql_type()),
                    _ => types[place_of(name, &columns).map_err(refused)?] = kind.kind().sql_type(),
                }
            }
            let columns: Vec<String> = columns
                .iter()
                .zip(types)
                .map(|(column, kind)| format!("{} {kind}", sql::ident(&column.name)))
                .collect();
            let columns = columns.join(", ");
            self.parts
                .execute(&format!(
                    "CREATE OR REPLACE EXTERNAL TABLE {relation} ({columns}) {rest}"
                ))
                .await?;
        }
        Ok(relation)
    }

    /// True if a source has texts whose types are only guessed.
    pub(super) fn is_of_texts(&self, source: &Source) -> Result<bool, Error> {
        match &source.file {
            Some(file) => Ok(format_of_source(source, file)? == "CSV"),
            None => Ok(false),
        }
    }

    /// The columns of what can stand behind FROM.
    pub(super) async fn columns_of(&self, relation: &str) -> Result<Vec<Column>, Error> {
        self.plan_columns(&format!("SELECT * FROM {relation}")).await
    }

    async fn plan_columns(&self, query: &str) -> Result<Vec<Column>, Error> {
        let column = |field: &Arc<Field>| Column {
            name: field.name().clone(),
            kind: Kind::of_arrow(&field.data_type().to_string()),
        };
        Ok(self.parts.fields_of(query).await?.iter().map(column).collect())
    }

    /// Whether two names are of the same table.
    pub(super) async fn is_same(&self, one: &TableReference, other: &TableReference) -> Result<bool, Error> {
        let catalog = run::statement_catalog(self.parts.services, self.parts.statement).await;
        let state = catalog.session_state().map_err(Error::from_datafusion)?;
        let names = &state.config().options().catalog;
        let full = |name: &TableReference| {
            name.clone()
                .resolve(&names.default_catalog, &names.default_schema)
        };
        Ok(full(one) == full(other))
    }

    /// Writes the rows of a pipeline where it says, and says what was written.
    pub(super) async fn write(
        &mut self,
        spec: &Spec,
        compiled: &Compiled,
        account: &Account,
    ) -> Result<Vec<(String, String)>, Error> {
        let query = transform(compiled);
        check_length(&query, compiled)?;
        let mut written = Vec::new();
        if account.set_aside > 0 {
            let table = rejects_of(spec);
            self.begin(&format!("all steps, and write {table}"));
            let rejected = account.set_aside_query(compiled);
            self.execute(&format!(
                "CREATE OR REPLACE TABLE {} AS {rejected}",
                sql::table(&table)
            ))
            .await?;
            written.push(("rejected rows".to_string(), table));
        }
        for sink in &spec.output {
            let (what, place, sql) = match (&sink.table, &sink.file, &sink.insert) {
                (Some(table), ..) => (
                    "table",
                    table.to_string(),
                    format!("CREATE OR REPLACE TABLE {} AS {query}", sql::table(table)),
                ),
                (_, Some(file), _) => ("file", file.to_string(), copy(file, &sink.partition_by, &query)?),
                (_, _, Some(table)) => {
                    let columns = compiled.chain.columns();
                    let names: Vec<String> = columns.iter().map(|column| sql::ident(&column.name)).collect();
                    let names = names.join(", ");
                    let sql = format!("INSERT INTO {} ({names}) {query}", sql::table(table));
                    ("rows into", table.to_string(), sql)
                }
                _ => continue,
            };
            self.begin(&format!("all steps, and write {place}"));
            self.execute(&sql).await?;
            written.push((what.to_string(), place));
        }
        Ok(written)
    }
}

impl Engine for Runner<'_> {
    type Error = Failure;

    async fn columns(&mut self, query: &str) -> Result<Vec<Column>, Failure> {
        self.plan_columns(query).await.map_err(Failure)
    }

    async fn rows(&mut self, query: &str) -> Result<Vec<Vec<Value>>, Failure> {
        let batches = self.execute(query).await.map_err(Failure)?;
        values_of(&batches).map_err(Failure)
    }

    async fn store(&mut self, table: &str, query: &str) -> Result<(), Failure> {
        self.passes.count_query();
        self.parts.store(&sql::ident(table), query).await.map_err(Failure)
    }

    fn fits(&self, query: &str) -> bool {
        limits::check_part(query).is_ok()
    }

    fn tell(&mut self, what: &str, steps: &[String]) {
        self.passes.begin(what, steps);
        self.parts.say(format!("{what} {}", steps.join(", ")).trim_end());
    }
}

/// Refuses a transform that is no statement.
pub(super) fn check_length(query: &str, compiled: &Compiled) -> Result<(), Error> {
    limits::check_part(query).map_err(|error| {
        let columns = compiled.chain.visible().len();
        Error::user(
            error.code,
            format!("these steps over {columns} columns make a statement that is too large"),
        )
        .with_detail(error.message)
        .with_hint("drop columns that are not needed, or make several pipelines of some columns each")
    })
}

/// Refuses a file of which nothing can be said.
fn look_at_file(source: &Source, file: &str, fields: &Fields) -> Result<(), Error> {
    if fields.is_empty() {
        return Err(
            Error::user(Code::PIPELINE, format!("'{file}' is empty: it has no columns"))
                .with_hint("name a file with rows, or at least with the names of columns"),
        );
    }
    let is_unknown = |field: &Arc<Field>| *field.data_type() == DataType::Null;
    if source.types.is_empty() && fields.iter().all(is_unknown) {
        return Err(Error::user(
            Code::PIPELINE,
            format!("'{file}' has no rows that say what is in its columns"),
        )
        .with_hint("write it in types, such as types: {a: text}"));
    }
    Ok(())
}

fn copy(file: &str, partition_by: &[millpond_pipeline::spec::Name], query: &str) -> Result<String, Error> {
    let format = format_of(file)?;
    let by: Vec<String> = partition_by.iter().map(|name| sql::ident(name)).collect();
    let by = match by.is_empty() {
        true => String::new(),
        false => format!(" PARTITIONED BY ({})", by.join(", ")),
    };
    Ok(format!(
        "COPY ({query}) TO {} STORED AS {format}{by}",
        sql::text(file)
    ))
}

fn format_of_source(source: &Source, file: &str) -> Result<String, Error> {
    match &source.format {
        Some(format) => Ok(format.to_uppercase()),
        None => format_of(file),
    }
}

/// The format of a file, by the end of its name.
pub(super) fn format_of(file: &str) -> Result<String, Error> {
    let ending = file.trim_end_matches('/').rsplit('.').next().unwrap_or_default();
    let format = match ending.to_ascii_lowercase().as_str() {
        "csv" | "tsv" => "CSV",
        "parquet" => "PARQUET",
        "json" | "ndjson" | "jsonl" => "JSON",
        "avro" => "AVRO",
        "arrow" => "ARROW",
        _ => {
            return Err(Error::user(
                Code::PIPELINE,
                format!("the name of '{file}' does not say its format"),
            )
            .with_hint("add format: csv, parquet, json, avro or arrow; or let the name end with it"));
        }
    };
    Ok(format.to_string())
}

/// Cells as numbers, texts and truth values.
fn values_of(batches: &[RecordBatch]) -> Result<Vec<Vec<Value>>, Error> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<Vec<Value>> = batch
            .columns()
            .iter()
            .map(|column| cells(column))
            .collect::<Result<_, _>>()?;
        rows.extend(
            (0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()),
        );
    }
    Ok(rows)
}

fn cells(column: &dyn Array) -> Result<Vec<Value>, Error> {
    let broken = |error: datafusion::arrow::error::ArrowError| Error::from_datafusion(error.into());
    let value = |row: usize, value: Value| if column.is_null(row) { Value::Null } else { value };
    let rows = 0..column.len();
    Ok(match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean();
            rows.map(|row| value(row, Value::Boolean(values.value(row))))
                .collect()
        }
        kind if kind.is_numeric() => {
            let numbers = cast(column, &DataType::Float64).map_err(broken)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            rows.map(|row| {
                let number = numbers.value(row);
                // Of an aggregate over nothing.
                let number = if number.is_nan() {
                    Value::Null
                } else {
                    Value::Number(number)
                };
                value(row, number)
            })
            .collect()
        }
        _ => {
            let texts = cast(column, &DataType::Utf8).map_err(broken)?;
            let texts = texts.as_string::<i32>();
            rows.map(|row| value(row, Value::Text(texts.value(row).to_string())))
                .collect()
        }
    })
}
