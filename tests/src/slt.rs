//! Runs sqllogictest files through Flight SQL. The same files run on every kind of cluster and in every [`Suite`].

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::client::{Client, text_rows};

/// Longest time for which a statement is run again; a silent executor is given up after six seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// An error of the cluster, as sqllogictest wants it.
#[derive(Debug)]
pub struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

/// Where the tables of the files are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// As the files say.
    AsWritten,
    /// Every table over files is cached as soon as it is made.
    Cached,
    /// Every table over files is replaced by one in memory with the same rows.
    Created,
}

/// How the files are run. The answers are the same.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Value of `millpond.execution_mode`.
    pub mode: &'static str,
    /// Where rows come from.
    pub tables: Tables,
    /// Names of files to leave out.
    pub left_out: Vec<&'static str>,
}

impl Suite {
    /// All files as they are written.
    pub fn new(mode: &'static str) -> Self {
        Self {
            mode,
            tables: Tables::AsWritten,
            left_out: Vec::new(),
        }
    }

    /// With other tables. Files about tables over files themselves are left out.
    #[must_use]
    pub fn with_tables(mut self, tables: Tables) -> Self {
        self.tables = tables;
        if tables != Tables::AsWritten {
            self.left_out
                .extend(["alter.slt", "catalog.slt", "files.slt", "cache.slt"]);
        }
        self
    }

    /// The statement that follows one that was carried out, if any.
    fn after(&self, sql: &str) -> Option<String> {
        let mut words = sql.split_whitespace().skip_while(|word| *word != "EXTERNAL");
        let name = words
            .nth(2)
            .filter(|_| sql.trim_start().starts_with("CREATE EXTERNAL"))?;
        match self.tables {
            Tables::AsWritten => None,
            Tables::Cached => Some(format!("CACHE TABLE {name}")),
            Tables::Created => Some(format!("CREATE OR REPLACE TABLE {name} AS SELECT * FROM {name}")),
        }
    }
}

struct Database {
    client: Client,
    suite: Suite,
}

impl Database {
    async fn open(url: &str, suite: Suite) -> Result<Self> {
        let client = Client::open(url).await?;
        let mode = suite.mode;
        client
            .run(&format!("SET millpond.execution_mode = '{mode}'"))
            .await?;
        Ok(Self { client, suite })
    }

    async fn answer(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let answered = self.run_again(sql).await?;
        if let Some(next) = self.suite.after(sql) {
            self.run_again(&next).await?;
        }
        Ok(answered)
    }

    /// Runs a statement, and a query again while the cluster says that it should be: its result, or a part of a table
    /// in memory, was lost with an executor when some of the rows had been read (`MP0024`, `MP0026`).
    async fn run_again(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let is_query = sql.trim_start().starts_with("SELECT");
        let start = Instant::now();
        loop {
            let error = match self.client.query(sql).await {
                Err(error) if start.elapsed() < PATIENCE => error,
                ended => return ended,
            };
            let told = format!("{error:#}");
            let again = is_query && (told.contains("MP0024") || told.contains("MP0026"));
            if !again {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
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

/// Runs the files of `tests/slt` against a cluster. `folder` is where the files' `$FOLDER` may be written; `$DATA` is
/// `tests/data`, whose files are only read.
///
/// # Errors
/// All failures of all files, each with file and line.
pub async fn run(url: &str, folder: &Path, suite: &Suite) -> Result<usize> {
    let mut failures = Vec::new();
    let mut files = files()?;
    files.retain(|file| !suite.left_out.iter().any(|name| file.ends_with(name)));
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    for file in &files {
        let own = folder.join(file.file_stem().context("file name")?);
        std::fs::create_dir_all(&own)?;
        let (url, of_runner) = (url.to_string(), suite.clone());
        let mut runner = Runner::new(move || {
            let (url, suite) = (url.clone(), of_runner.clone());
            async move {
                Database::open(&url, suite)
                    .await
                    .map_err(|error| Failed(error.to_string()))
            }
        });
        runner.set_var("FOLDER".to_string(), own.display().to_string());
        runner.set_var("DATA".to_string(), data.display().to_string());
        runner.with_hash_threshold(0);
        if let Err(error) = runner.run_file_async(file).await {
            failures.push(format!("{suite:?}: {}", error.display(false)));
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
