//! `EXPORT PIPELINE` and `IMPORT PIPELINE`: what was learned, carried from one cluster to another.
//!
//! The document is that of [`Exported`], one version with its definition. What is imported becomes a new version here, and
//! is the same to the last digit; when it was learned and what from stays as it was.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millpond_engine::error::Error;
use millpond_pipeline::{Exported, Imported};
use millpond_proto::catalog::PipelineVersion;

use super::{add_version, find, fitted_of, refused, report, transform, version_of};
use crate::statement::frontend::Services;
use crate::statement::result::ResultSet;

/// Columns of the answer to an import.
pub(super) fn schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::UInt64, false);
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        number("version"),
        number("rows_in"),
        number("rows_out"),
    ]))
}

/// The document of a version.
///
/// # Errors
/// A pipeline or a version that there is not, and one that does not say which columns it was learned from.
pub(super) fn export(services: &Services, name: &str, version: Option<u64>) -> Result<ResultSet, Error> {
    let pipeline = find(services, name)?;
    let version = version_of(&pipeline, version)?;
    let mut exported = Exported::new(version.spec.clone(), version.source.clone(), fitted_of(version)?);
    exported.rows_in = version.rows_in;
    exported.rows_out = version.rows_out;
    exported.created_at_ms = version.created_at_ms;
    exported.elapsed_ms = version.elapsed_ms;
    report::text("pipeline", exported.to_json().map_err(refused)?)
}

/// Adds the version that a document says.
///
/// # Errors
/// What is no such document, and the state store.
pub(super) async fn import(services: &Services, json: &str) -> Result<ResultSet, Error> {
    let Imported {
        exported,
        spec,
        serving,
    } = Exported::read(json).map_err(refused)?;
    let (rows_in, rows_out) = (exported.rows_in, exported.rows_out);
    let version = PipelineVersion {
        version: 0,
        fitted: serde_json::to_string(&exported.fitted).map_err(|error| Error::bug(error.to_string()))?,
        spec: exported.spec,
        source: exported.source,
        rows_in,
        rows_out,
        created_at_ms: exported.created_at_ms,
        elapsed_ms: exported.elapsed_ms,
        transform: transform(&serving),
    };
    add_version(services, &spec.name, version).await?;
    let newest = find(services, &spec.name)?
        .versions
        .last()
        .map_or(0, |last| last.version);
    let number = |number: u64| -> ArrayRef { Arc::new(UInt64Array::from(vec![number])) };
    let columns = vec![
        Arc::new(StringArray::from(vec![spec.name.as_str()])) as ArrayRef,
        number(newest),
        number(rows_in),
        number(rows_out),
    ];
    let batch = RecordBatch::try_new(schema(), columns);
    let batch = batch.map_err(|error| Error::from_datafusion(error.into()))?;
    Ok(ResultSet::batches(schema(), vec![batch]))
}
