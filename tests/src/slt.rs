//! Runs sqllogictest files through Flight SQL. The same files run on every kind of cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::client::{Client, text_rows};

/// An error of the cluster, as sqllogictest wants it.
#[derive(Debug)]
pub struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

struct Database(Client);

impl Database {
    /// Runs a statement, and a query once more if its result was lost with an executor before it was read, which the
    /// cluster tells its clients with `MP0024`.
    async fn answer(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let is_query = sql.trim_start().starts_with("SELECT");
        match self.0.query(sql).await {
            Err(error) if is_query && format!("{error:#}").contains("MP0024") => self.0.query(sql).await,
            answered => answered,
        }
    }
}

#[async_trait]
impl AsyncDB for Database {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        let batches = self
            .answer(sql)
            .await
            .map_err(|error| Failed(format!("{error:#}")))?;
        let Some(first) = batches.first().filter(|batch| batch.num_columns() > 0) else {
            return Ok(DBOutput::StatementComplete(0));
        };
        let types = vec![DefaultColumnType::Any; first.num_columns()];
        let rows = text_rows(&batches).map_err(|error| Failed(error.to_string()))?;
        let shown = |cell: String| {
            if cell.is_empty() {
                "(empty)".to_string()
            } else {
                cell
            }
        };
        Ok(DBOutput::Rows {
            types,
            rows: rows
                .into_iter()
                .map(|row| row.into_iter().map(shown).collect())
                .collect(),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "millpond"
    }
}

/// Runs every file of `tests/slt` against a cluster. `folder` is where the files' `$FOLDER` may be written; `$DATA` is
/// `tests/data`, whose files are only read.
///
/// # Errors
/// All failures of all files, each with file and line.
pub async fn run_all(url: &str, folder: &Path) -> Result<usize> {
    run_all_but(url, folder, &[]).await
}

/// The same without the files of the given names.
///
/// # Errors
/// All failures of all files, each with file and line.
pub async fn run_all_but(url: &str, folder: &Path, left_out: &[&str]) -> Result<usize> {
    let mut failures = Vec::new();
    let mut files = files()?;
    files.retain(|file| !left_out.iter().any(|name| file.ends_with(name)));
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    for file in &files {
        let own = folder.join(file.file_stem().context("file name")?);
        std::fs::create_dir_all(&own)?;
        let url = url.to_string();
        let mut runner = Runner::new(move || {
            let url = url.clone();
            async move {
                Client::open(&url)
                    .await
                    .map(Database)
                    .map_err(|error| Failed(error.to_string()))
            }
        });
        runner.set_var("FOLDER".to_string(), own.display().to_string());
        runner.set_var("DATA".to_string(), data.display().to_string());
        runner.with_hash_threshold(0);
        if let Err(error) = runner.run_file_async(file).await {
            failures.push(error.display(false).to_string());
        }
    }
    if failures.is_empty() {
        Ok(files.len())
    } else {
        bail!("{}", failures.join("\n\n"))
    }
}

fn files() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    if files.is_empty() {
        bail!("no .slt files in {}", folder.display());
    }
    Ok(files)
}
