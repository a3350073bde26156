//! Whether the rows of a pipeline can be written where it says, looked at before any of them is.
//!
//! Places come first, which the pipeline alone says, with the folders of files ([`places`]); columns when they are known.
//! What only shows when it is written, such as a full disk, still ends a pipeline between two outputs.

use std::collections::BTreeSet;

use datafusion::common::TableReference;
use millpond_engine::error::{Code, Error};
use millpond_pipeline::{Compiled, Spec, sql};

use super::places;
use super::runner::{Runner, format_of};
use crate::catalog::ddl;
use crate::statement::run;

/// Looks at schemas, formats, and whether a place is named twice.
///
/// # Errors
/// A place that cannot be.
pub(super) async fn check_places(spec: &Spec, runner: &Runner<'_>) -> Result<(), Error> {
    let catalog = run::statement_catalog(runner.parts.services, runner.parts.statement).await;
    let state = catalog.session_state().map_err(Error::from_datafusion)?;
    let context = run::ddl_context(
        runner.parts.services,
        runner.parts.statement,
        &catalog,
        &state,
        "",
    );
    let mut places = BTreeSet::new();
    let mut take = |place: String, name: &str| match places.insert(place) {
        true => Ok(()),
        false => Err(
            Error::user(Code::PIPELINE, format!("'{name}' is an output twice"))
                .with_hint("one would take the place of the other; leave one of them out"),
        ),
    };
    let mut tables: Vec<String> = Vec::new();
    if spec.steps.iter().any(|step| step.value.sets_aside()) {
        tables.push(rejects_of(spec));
    }
    for sink in &spec.output {
        let table = sink.table.as_ref().or(sink.insert.as_ref());
        tables.extend(table.map(|table| table.to_string()));
        if let Some(file) = &sink.file {
            if format_of(file)? == "AVRO" {
                return Err(Error::user(
                    Code::PIPELINE,
                    format!("'{}' cannot be written: Avro is only read", **file),
                )
                .with_hint("let the name end with .parquet, .csv, .json or .arrow"));
            }
            take(file.to_string(), file)?;
            let in_parts = !sink.partition_by.is_empty();
            places::check(file, in_parts, &runner.parts.services.local_paths, &state).await?;
        }
    }
    for table in &tables {
        let (schema, name) = ddl::writable_name(&context, &TableReference::from(sql::table(table)))?;
        take(format!("table {schema}.{name}"), table)?;
    }
    Ok(())
}

/// Looks whether tables that get rows have the columns for them, and folders those that they are divided by. Columns that
/// have to be learned first are not looked at.
///
/// # Errors
/// A table that there is not, and a column that is lacking.
pub(super) async fn check_columns(
    spec: &Spec,
    compiled: &Compiled,
    runner: &Runner<'_>,
) -> Result<(), Error> {
    let columns = compiled.chain.columns();
    for sink in &spec.output {
        if let Some(table) = &sink.insert {
            let there = runner.columns_of(&sql::table(table)).await?;
            let lacks = columns
                .iter()
                .find(|column| !there.iter().any(|other| other.name == column.name));
            if let Some(column) = lacks.filter(|_| compiled.has_all_columns) {
                return Err(Error::user(
                    Code::PIPELINE,
                    format!("'{}' has no column '{}'", **table, column.name),
                )
                .with_hint("leave it out with select or drop, or add it to the table"));
            }
        }
        let lacks = sink
            .partition_by
            .iter()
            .find(|by| !columns.iter().any(|column| column.name == ***by));
        if let Some(by) = lacks.filter(|_| compiled.has_all_columns) {
            return Err(Error::user(
                Code::PIPELINE,
                format!("partition_by: there is no column '{}' at the end", **by),
            )
            .with_hint("CHECK PIPELINE shows those there are"));
        }
    }
    Ok(())
}

/// The table of the rows that are set aside.
pub(super) fn rejects_of(spec: &Spec) -> String {
    match &spec.rejects {
        Some(table) => table.to_string(),
        None => format!("{}_rejected", *spec.name),
    }
}
