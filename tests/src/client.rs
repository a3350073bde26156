//! The product's client, in the form tests like.

use anyhow::{Context, Result, anyhow, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use millpond_client::connection::{Connection, Running, Target};

/// A connection with a session of its own.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn open(url: &str) -> Result<Self> {
        Ok(Self {
            connection: Connection::open(&Target::open_door(url)).await?,
        })
    }

    /// The connection itself.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Starts a statement and returns while it runs.
    ///
    /// # Errors
    /// It fails at once.
    pub async fn start(&self, sql: &str) -> Result<Running> {
        Ok(self.connection.start(sql).await?)
    }

    /// Runs a statement and reads its whole result.
    ///
    /// # Errors
    /// The statement's error, as the user would read it.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        finish(self.connection.start(sql).await?).await
    }

    /// Runs a statement for its effect.
    ///
    /// # Errors
    /// The statement's error.
    pub async fn run(&self, sql: &str) -> Result<()> {
        self.query(sql)
            .await
            .map(drop)
            .with_context(|| sql.chars().take(200).collect::<String>())
    }

    /// Runs a statement that must fail and answers its error text.
    ///
    /// # Errors
    /// It did not fail.
    pub async fn failure(&self, sql: &str) -> Result<String> {
        match self.query(sql).await {
            Err(error) => Ok(format!("{error:#}")),
            Ok(_) => bail!(
                "this statement should fail: {}",
                sql.chars().take(200).collect::<String>()
            ),
        }
    }

    /// The one number that a query answers.
    ///
    /// # Errors
    /// The statement's error, or another answer than one number.
    pub async fn number(&self, sql: &str) -> Result<i64> {
        let batches = self.query(sql).await?;
        let batch = batches
            .iter()
            .find(|batch| batch.num_rows() == 1)
            .ok_or_else(|| anyhow!("{sql}: not one row"))?;
        match batch.column(0).data_type() {
            DataType::Int64 => Ok(batch.column(0).as_primitive::<Int64Type>().value(0)),
            DataType::UInt64 => Ok(i64::try_from(
                batch.column(0).as_primitive::<UInt64Type>().value(0),
            )?),
            other => bail!("{sql}: {other} is no number"),
        }
    }

    /// All rows as text, in the order they came.
    ///
    /// # Errors
    /// The statement's error.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        text_rows(&self.query(sql).await?)
    }
}

/// Waits for the end of a started statement and reads its whole result.
///
/// # Errors
/// The statement's error.
pub async fn finish(mut running: Running) -> Result<Vec<RecordBatch>> {
    while !running.is_over() {
        running.advance().await?;
    }
    let answer = running.finish().await?;
    let mut rows = answer.rows();
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await? {
        batches.push(batch);
    }
    Ok(batches)
}

/// Cells as text; a null is `NULL`.
///
/// # Errors
/// A type that cannot be shown.
pub fn text_rows(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>> {
    let options = FormatOptions::new().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(
                columns
                    .iter()
                    .map(|column| column.value(row).to_string())
                    .collect(),
            );
        }
    }
    Ok(rows)
}
