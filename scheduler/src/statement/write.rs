//! Statements that write files: `COPY ... TO` and `INSERT INTO` a file table.
//!
//! The job writes into a staging folder beside the target, which no table reads. When it has ended well the files
//! are renamed to their place, which is the commit; if it fails, is cancelled or loses its scheduler, the target is
//! as it was. A task that ran twice may have left a file twice, so a job with retries is not committed but run again
//! into a fresh staging folder.
//!
//! ```text
//! job ──writes──► target.staging-<id>/ ──ended well──► rename into target
//!                        └── failed, cancelled, retried ──► deleted
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::file_options::file_type::FileType;
use datafusion::datasource::file_format::format_as_file_type;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::source_as_provider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::dml::{CopyTo, InsertOp};
use datafusion::logical_expr::{DmlStatement, LogicalPlan, WriteOp};
use datafusion::object_store::path::Path;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use millpond_engine::error::{Code, Error};
use millpond_engine::session::{CATALOG, DEFAULT_SCHEMA};
use millpond_proto::catalog::{FileTable, RelationKind};

use super::frontend::Services;
use super::job;
use super::registry::{Part, ResultSet, Statement};
use super::run::Planned;
use crate::catalog::resolve_location;

/// Times a job with retries is run again before the statement fails.
const RUNS_MAX: usize = 3;

/// A write, independent of how it was said.
struct Write {
    input: Arc<LogicalPlan>,
    file_type: Arc<dyn FileType>,
    options: HashMap<String, String>,
    partition_by: Vec<String>,
    target: Target,
}

/// Where the files go.
struct Target {
    /// A folder ends with a slash; anything else is one file.
    location: String,
    /// Add to a folder, or make a new file or folder.
    append: bool,
    extension: String,
}

impl Target {
    fn is_folder(&self) -> bool {
        self.location.ends_with('/')
    }
}

/// Runs `COPY` or `INSERT` and answers the number of rows written.
pub(super) async fn run(
    services: &Services,
    statement: &Arc<Statement>,
    planned: Planned,
) -> Result<ResultSet, Error> {
    let Planned { catalog, state, plan } = planned;
    let write = match plan {
        LogicalPlan::Copy(copy) => copy_write(services, copy)?,
        LogicalPlan::Dml(dml) => {
            let table = written_table(&catalog, &dml)?;
            insert_write(&state, dml, table)?
        }
        other => return Err(Error::bug(format!("{} does not write", other.display()))),
    };
    for _ in 0..RUNS_MAX {
        let attempted = job::rerun_after_loss(|| attempt(services, statement, &state, &write)).await?;
        if let Some(rows) = attempted {
            statement.update(|status| status.affected_rows = Some(rows));
            return count_result(rows);
        }
    }
    Err(Error::external(
        Code::EXECUTOR_LOST,
        format!("tasks were lost in each of {RUNS_MAX} runs; nothing was written"),
    )
    .with_hint("look at system.executors and run the statement again"))
}

/// Writes into a staging folder and commits it. `None` if tasks ran more than once.
async fn attempt(
    services: &Services,
    statement: &Arc<Statement>,
    state: &SessionState,
    write: &Write,
) -> Result<Option<u64>, Error> {
    let staging = Staging::new(state, &write.target)?;
    let single_file = !write.target.is_folder() || write.partition_by.is_empty();
    let output_url = if single_file {
        format!("{}part-0.{}", staging.url, write.target.extension)
    } else {
        staging.url.clone()
    };
    let plan = LogicalPlan::Copy(CopyTo::new(
        write.input.clone(),
        output_url,
        write.partition_by.clone(),
        write.file_type.clone(),
        write.options.clone(),
    ));
    let context = Arc::new(SessionContext::new_with_state(state.clone()));
    let finished = job::run(services, statement, context, &plan).await?;
    if services.cluster.had_retries(&finished.id).await {
        staging.discard().await;
        return Ok(None);
    }
    let mut rows = 0;
    for partition in finished.partitions {
        let batches: Vec<RecordBatch> = services
            .cluster
            .fetch(partition)
            .await?
            .try_collect()
            .await
            .map_err(Error::from_datafusion)?;
        rows += batches.iter().map(counted_rows).sum::<u64>();
    }
    staging.commit(&write.target).await?;
    Ok(Some(rows))
}

fn counted_rows(batch: &RecordBatch) -> u64 {
    let counts = batch
        .columns()
        .first()
        .and_then(|column| column.as_any().downcast_ref::<UInt64Array>());
    counts.map_or(0, |counts| counts.iter().flatten().sum())
}

fn copy_write(services: &Services, copy: CopyTo) -> Result<Write, Error> {
    let location = resolve_location(&copy.output_url, &services.local_paths)?;
    let extension = copy.file_type.get_ext();
    check_format(&extension)?;
    Ok(Write {
        input: copy.input,
        file_type: copy.file_type,
        options: copy.options,
        partition_by: copy.partition_by,
        target: Target {
            location,
            append: false,
            extension,
        },
    })
}

/// Refuses formats whose writer cannot be sent to an executor.
fn check_format(extension: &str) -> Result<(), Error> {
    if matches!(extension, "csv" | "json" | "parquet") {
        return Ok(());
    }
    Err(Error::user(
        Code::NOT_SUPPORTED,
        format!("files of format '{extension}' cannot be written by the cluster"),
    )
    .with_hint("write PARQUET, CSV or JSON"))
}

fn written_table<'a>(
    catalog: &'a crate::catalog::StatementCatalog,
    dml: &DmlStatement,
) -> Result<&'a FileTable, Error> {
    let name = dml.table_name.clone().resolve(CATALOG, DEFAULT_SCHEMA);
    let relation = catalog
        .version()
        .relations
        .get(&(name.schema.to_string(), name.table.to_string()));
    match relation.and_then(|relation| relation.kind.as_ref()) {
        Some(RelationKind::Files(table)) => Ok(table),
        Some(RelationKind::View(_)) => Err(Error::user(Code::NOT_SUPPORTED, format!("{name} is a view"))
            .with_hint("write to the table that the view reads")),
        None => Err(
            Error::user(Code::NOT_SUPPORTED, format!("{name} cannot be written"))
                .with_hint("write to a table made by CREATE EXTERNAL TABLE over a folder"),
        ),
    }
}

fn insert_write(state: &SessionState, dml: DmlStatement, table: &FileTable) -> Result<Write, Error> {
    match dml.op {
        WriteOp::Insert(InsertOp::Append) => {}
        ref other => {
            return Err(Error::user(
                Code::NOT_SUPPORTED,
                format!("{other} is not supported on a file table"),
            )
            .with_hint("write the rows you want to keep with COPY into a new folder"));
        }
    }
    if !table.location.ends_with('/') {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            format!(
                "{} is over one file, to which rows cannot be added",
                dml.table_name
            ),
        )
        .with_hint("create the table over a folder: a LOCATION with a slash at the end"));
    }
    let factory = state
        .get_file_format_factory(&table.format.to_ascii_lowercase())
        .ok_or_else(|| {
            Error::user(
                Code::NOT_SUPPORTED,
                format!("cannot write files of format {}", table.format),
            )
        })?;
    let file_type = format_as_file_type(factory);
    let extension = file_type.get_ext();
    check_format(&extension)?;
    let provider = source_as_provider(&dml.target).map_err(Error::from_datafusion)?;
    debug_assert_eq!(
        provider.schema().fields().len(),
        dml.target.schema().fields().len()
    );
    Ok(Write {
        input: dml.input,
        file_type,
        options: table.options.clone(),
        partition_by: table.partition_columns.clone(),
        target: Target {
            location: table.location.clone(),
            append: true,
            extension,
        },
    })
}

/// A folder beside the target that no table reads.
struct Staging {
    store: Arc<dyn ObjectStore>,
    url: String,
    prefix: Path,
    target: Path,
    local_folder: Option<std::path::PathBuf>,
    committed: bool,
}

impl Staging {
    fn new(state: &SessionState, target: &Target) -> Result<Self, Error> {
        let bare = target.location.trim_end_matches('/');
        let url = format!("{bare}.staging-{}/", uuid::Uuid::new_v4().simple());
        let staging_url = ListingTableUrl::parse(&url).map_err(Error::from_datafusion)?;
        let target_url = ListingTableUrl::parse(bare).map_err(Error::from_datafusion)?;
        let store = state
            .runtime_env()
            .object_store(staging_url.object_store())
            .map_err(Error::from_datafusion)?;
        Ok(Self {
            store,
            prefix: staging_url.prefix().clone(),
            target: target_url.prefix().clone(),
            local_folder: (staging_url.scheme() == "file").then(|| std::path::PathBuf::from(&url)),
            url,
            committed: false,
        })
    }

    /// Moves the staged files to the target. For a new local folder this is one rename, else one per file.
    async fn commit(mut self, target: &Target) -> Result<(), Error> {
        let files: Vec<_> = self
            .store
            .list(Some(&self.prefix))
            .try_collect()
            .await
            .map_err(store_error)?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        for file in &files {
            let place = if target.is_folder() {
                let inside = file
                    .location
                    .prefix_match(&self.prefix)
                    .map(|parts| parts.collect::<Vec<_>>());
                let mut place = self.target.clone();
                let parts = inside.unwrap_or_default();
                for (index, part) in parts.iter().enumerate() {
                    place = if index + 1 == parts.len() {
                        place.join(format!("{id}-{}", part.as_ref()).as_str())
                    } else {
                        place.join(part.clone())
                    };
                }
                place
            } else {
                self.target.clone()
            };
            self.store
                .rename(&file.location, &place)
                .await
                .map_err(store_error)?;
        }
        if !target.append && target.is_folder() {
            tracing::debug!(files = files.len(), folder = %self.target, "files committed");
        }
        self.committed = true;
        self.remove_folder();
        Ok(())
    }

    async fn discard(self) {
        delete_all(&self.store, &self.prefix).await;
    }

    fn remove_folder(&self) {
        if let Some(folder) = &self.local_folder {
            // Only empty folders are left after a commit; a folder that is gone already is fine.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let (store, prefix, folder) = (self.store.clone(), self.prefix.clone(), self.local_folder.clone());
        tokio::spawn(async move {
            delete_all(&store, &prefix).await;
            if let Some(folder) = folder {
                let _ = tokio::fs::remove_dir_all(folder).await;
            }
        });
    }
}

async fn delete_all(store: &Arc<dyn ObjectStore>, prefix: &Path) {
    let files: Result<Vec<_>, _> = store.list(Some(prefix)).try_collect().await;
    for file in files.unwrap_or_default() {
        if let Err(error) = store.delete(&file.location).await {
            tracing::warn!(path = %file.location, %error, "delete a staged file");
        }
    }
}

fn store_error(error: datafusion::object_store::Error) -> Error {
    Error::from_datafusion(datafusion::error::DataFusionError::ObjectStore(Box::new(error)))
}

fn count_result(rows: u64) -> Result<ResultSet, Error> {
    let schema = Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(UInt64Array::from(vec![rows]))])
        .map_err(|error| Error::from_datafusion(error.into()))?;
    Ok(ResultSet {
        schema,
        parts: vec![Part::Batches(vec![batch])],
    })
}
