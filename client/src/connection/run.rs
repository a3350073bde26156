//! Runs a statement to its end, unless the user interrupts it.

use std::time::Duration;

use super::StatementStatus;
use super::flight::Connection;
use super::rows::Rows;
use super::running::{Answer, Running};
use crate::error::Error;
use crate::interrupt::Interrupts;

/// Longest wait for the server to confirm that a statement is cancelled.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Is told where a statement stands, whenever that changes.
pub trait Watch {
    /// News of the running statement.
    fn on_status(&mut self, status: &StatementStatus);
    /// There will be no more news of this statement.
    fn on_end(&mut self);
}

/// Runs a statement to its end and gives what it answers. On an interrupt it is cancelled on the server.
///
/// # Errors
/// Why the statement failed; [`Error::Cancelled`] after an interrupt.
pub async fn run(
    connection: &Connection,
    sql: &str,
    interrupts: &mut Interrupts,
    watch: &mut dyn Watch,
) -> Result<Answer, Error> {
    let outcome = run_watched(connection, sql, interrupts, watch).await;
    watch.on_end();
    outcome
}

async fn run_watched(
    connection: &Connection,
    sql: &str,
    interrupts: &mut Interrupts,
    watch: &mut dyn Watch,
) -> Result<Answer, Error> {
    let mut running = start(connection, sql, interrupts).await?;
    while !running.is_over() {
        watch.on_status(running.status());
        let interrupted = tokio::select! {
            news = running.advance() => { news?; false }
            () = interrupts.next() => true,
        };
        if interrupted {
            return Err(cancel(&running).await);
        }
    }
    running.finish().await
}

/// Sends a statement. An interrupt that comes before the server has named the statement waits for that name, because
/// nothing else can be cancelled; the server names it in about a second at most.
async fn start(connection: &Connection, sql: &str, interrupts: &mut Interrupts) -> Result<Running, Error> {
    let starting = connection.start(sql);
    tokio::pin!(starting);
    tokio::select! {
        running = &mut starting => running,
        () = interrupts.next() => Err(cancel(&starting.await?).await),
    }
}

async fn cancel(running: &Running) -> Error {
    match tokio::time::timeout(CANCEL_TIMEOUT, running.cancel()).await {
        Ok(Err(error)) => error,
        Ok(Ok(())) => Error::Cancelled("cancelled".to_owned()),
        Err(_) => Error::Cancelled("cancelled here; the server does not answer".to_owned()),
    }
}

impl Rows {
    /// The next batch, unless the user interrupts; then the rest is cancelled on the server.
    ///
    /// # Errors
    /// Those of [`Rows::next`]; [`Error::Cancelled`] after an interrupt.
    pub async fn next_unless(
        &mut self,
        answer: &Answer,
        interrupts: &mut Interrupts,
    ) -> Result<Option<arrow::array::RecordBatch>, Error> {
        tokio::select! {
            batch = self.next() => return batch,
            () = interrupts.next() => {}
        }
        // Whether the server still hears it or not: the user wants to be rid of the rows.
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, answer.cancel()).await;
        Err(Error::Cancelled("cancelled".to_owned()))
    }
}
