//! Statements that write files, `COPY ... TO` and `INSERT INTO` a file table; those that write topics go on to [`topic`].
//!
//! Every task writes its own files into a staging folder beside the target, which no table reads, and the rows of the
//! job say which files they are. So a task that ran twice does no harm: what no row names is deleted. When the job
//! has ended well the files are moved to their place, which is the commit; if it fails, is cancelled or loses its
//! scheduler, the target is as it was. Where one file is wanted, a second job puts the parts together.
//!
//! ```text
//! job ─► target.staging-<id>/<uuid>.parquet ... ─► (one file: concat) ─► rename to the target
//!              └── failed, cancelled ──► deleted
//! ```

mod staging;
mod target;

use std::sync::Arc;

use ballista_core::JobId;
use datafusion::arrow::array::{RecordBatch, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Extension, LogicalPlan};
use millpond_engine::error::Error;
use millpond_engine::files::{FileConcatNode, FileSinkNode, SinkRow};
use millpond_proto::plan::{FileConcat, FileSink};

use super::frontend::Services;
use super::job::{self, Watched};
use super::memory;
use super::registry::Statement;
use super::result::ResultSet;
use super::run::Planned;
use super::topic;
use crate::catalog::{SessionFactory, StatementCatalog};
use staging::Staging;
use target::Write;

/// A write that was committed.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) rows: u64,
    pub(super) job: JobId,
}

/// Runs `COPY` or `INSERT` and answers the number of rows written.
pub(super) async fn run(
    services: &Services,
    statement: &Arc<Statement>,
    planned: Planned,
) -> Result<ResultSet, Error> {
    let written = execute(services, statement, planned).await?;
    count_result(written.rows)
}

/// Runs `COPY` or `INSERT`.
pub(super) async fn execute(
    services: &Services,
    statement: &Arc<Statement>,
    planned: Planned,
) -> Result<Written, Error> {
    let Planned { catalog, state, plan } = planned;
    if let LogicalPlan::Dml(dml) = &plan
        && let Some(table) = topic::target(&catalog, dml)
    {
        return topic::insert(services, statement, &state, dml, &table).await;
    }
    let write = Write::of(services, &catalog, &state, plan)?;
    let written = job::rerun_after_loss(services, || attempt(services, statement, &state, &write)).await?;
    statement.update(|status| status.affected_rows = Some(written.rows));
    Ok(written)
}

/// The plan of a write as `EXPLAIN` shows it; a plan that writes nothing is returned as it is.
pub(super) async fn explained(
    services: &Services,
    catalog: &Arc<StatementCatalog>,
    state: &SessionState,
    plan: LogicalPlan,
) -> Result<LogicalPlan, Error> {
    if !writes(&plan) {
        return Ok(plan);
    }
    if let LogicalPlan::Dml(dml) = &plan
        && let Some(target) = memory::target(catalog, dml)
    {
        return memory::explained(catalog, dml, &target).await;
    }
    if let LogicalPlan::Dml(dml) = &plan
        && let Some(table) = topic::target(catalog, dml)
    {
        return topic::explained(dml, &table);
    }
    let write = Write::of(services, catalog, state, plan)?;
    let folder = write.target.location.clone();
    sink_plan(&write, folder)
}

/// True for the plans that this module runs.
pub(super) fn writes(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Dml(_) | LogicalPlan::Copy(_))
}

/// Writes into a staging folder and commits it.
async fn attempt(
    services: &Services,
    statement: &Arc<Statement>,
    state: &SessionState,
    write: &Write,
) -> Result<Written, Error> {
    let staging = Staging::new(state, &write.target)?;
    let context = SessionFactory::of_job(state);
    let plan = sink_plan(write, staging.url().to_string())?;
    let finished = match job::run(services, statement, context.clone(), &plan, Watched::Yes).await {
        Ok(finished) => finished,
        Err(error) => {
            staging.discard().await;
            return Err(error);
        }
    };
    let mut parts = Vec::new();
    for partition in finished.partitions {
        for batch in &services.cluster.fetch_all(partition).await? {
            parts.extend(SinkRow::read(batch).map_err(Error::from_datafusion)?);
        }
    }
    let rows = parts.iter().map(|part| part.rows).sum();
    let files = files_to_keep(parts, write.target.append);
    if write.target.is_folder() {
        staging.commit_folder(&write.target, &files).await?;
    } else {
        let file = match files.as_slice() {
            [only] => only.clone(),
            several => {
                let file = format!("whole.{}", write.layout.extension);
                let plan = concat_plan(write, &staging, several, &file);
                job::run(services, statement, context, &plan, Watched::No).await?;
                file
            }
        };
        staging.commit_file(&file).await?;
    }
    Ok(Written {
        rows,
        job: finished.id,
    })
}

/// Files with rows. If there is no row at all, a new target still gets one file, for the columns in it.
fn files_to_keep(parts: Vec<SinkRow>, append: bool) -> Vec<String> {
    let empty = parts.iter().all(|part| part.rows == 0);
    let mut files: Vec<String> = parts
        .into_iter()
        .filter(|part| part.rows > 0 || (empty && !append))
        .map(|part| part.file)
        .collect();
    if empty {
        files.truncate(1);
    }
    files
}

fn sink_plan(write: &Write, folder: String) -> Result<LogicalPlan, Error> {
    let sink = FileSink {
        folder,
        ..write.sink.clone()
    };
    let node = FileSinkNode::try_new(write.input.clone(), Arc::new(sink)).map_err(Error::from_datafusion)?;
    Ok(extension(node))
}

fn concat_plan(write: &Write, staging: &Staging, files: &[String], target: &str) -> LogicalPlan {
    let url = |file: &str| format!("{}{file}", staging.url());
    extension(FileConcatNode::new(Arc::new(FileConcat {
        sources: files.iter().map(|file| url(file)).collect(),
        target: url(target),
        format: write.sink.format.clone(),
        head_bytes: write.layout.head_bytes,
    })))
}

fn extension(node: impl datafusion::logical_expr::UserDefinedLogicalNode + 'static) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(node) })
}

/// Columns of the answer to a statement that says how many rows it wrote.
pub(super) fn count_schema() -> Schema {
    Schema::new(vec![Field::new("count", DataType::UInt64, false)])
}

/// The answer of a statement that writes.
pub(super) fn count_result(rows: u64) -> Result<ResultSet, Error> {
    let schema = Arc::new(count_schema());
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(UInt64Array::from(vec![rows]))])
        .map_err(|error| Error::from_datafusion(error.into()))?;
    Ok(ResultSet::batches(schema, vec![batch]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(file: &str, rows: u64) -> SinkRow {
        SinkRow {
            file: file.to_string(),
            rows,
        }
    }

    #[test]
    fn files_without_rows_are_left_out() {
        let parts = vec![part("a", 0), part("b", 2), part("c", 1)];
        assert_eq!(files_to_keep(parts, false), ["b", "c"]);
    }

    #[test]
    fn a_new_target_without_rows_has_one_file_and_an_old_one_gets_none() {
        let parts = || vec![part("a", 0), part("b", 0)];
        assert_eq!(files_to_keep(parts(), false), ["a"]);
        assert!(files_to_keep(parts(), true).is_empty());
    }
}
