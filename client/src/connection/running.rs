//! A statement while it runs, and what it answers.

use arrow::datatypes::SchemaRef;
use arrow_flight::{FlightDescriptor, FlightInfo, PollInfo};
use millpond_proto::Message;
use millpond_proto::statement::StatementStatus;

use super::flight::Connection;
use super::rows::Rows;
use crate::error::Error;

/// A statement that the server has taken.
#[derive(Debug)]
pub struct Running {
    connection: Connection,
    info: FlightInfo,
    /// What to ask with next; none when the statement has ended.
    next: Option<FlightDescriptor>,
    status: StatementStatus,
}

impl Running {
    pub(super) fn new(connection: Connection, answer: PollInfo) -> Result<Self, Error> {
        let mut running = Self {
            connection,
            info: FlightInfo::default(),
            next: None,
            status: StatementStatus::default(),
        };
        running.take(answer)?;
        Ok(running)
    }

    /// Where the statement stands, as of the last news.
    pub fn status(&self) -> &StatementStatus {
        &self.status
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.next.is_none()
    }

    /// Waits for news: at most about a second, and not at all once the statement has ended.
    ///
    /// Dropping the future loses nothing; the next call asks again.
    ///
    /// # Errors
    /// Why the statement failed, or the connection.
    pub async fn advance(&mut self) -> Result<&StatementStatus, Error> {
        if let Some(descriptor) = self.next.clone() {
            let answer = self.connection.poll(descriptor).await?;
            self.take(answer)?;
        }
        Ok(&self.status)
    }

    /// Asks the server to cancel it.
    ///
    /// # Errors
    /// The connection.
    pub async fn cancel(&self) -> Result<(), Error> {
        self.connection.cancel(self.info.clone()).await
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why the statement failed, or the connection.
    pub async fn finish(mut self) -> Result<Answer, Error> {
        while !self.is_over() {
            self.advance().await?;
        }
        Answer::new(self.connection, self.info, self.status)
    }

    fn take(&mut self, answer: PollInfo) -> Result<(), Error> {
        let info = answer
            .info
            .ok_or_else(|| Error::Protocol("it does not say where the statement stands".into()))?;
        self.status = StatementStatus::decode(info.app_metadata.as_ref())
            .map_err(|error| Error::Protocol(format!("status of the statement: {error}")))?;
        self.info = info;
        self.next = answer.flight_descriptor;
        Ok(())
    }
}

/// What an ended statement answers. The rows are still with the cluster.
#[derive(Debug)]
pub struct Answer {
    connection: Connection,
    info: FlightInfo,
    schema: SchemaRef,
    /// Final counts.
    pub status: StatementStatus,
}

impl Answer {
    fn new(connection: Connection, info: FlightInfo, status: StatementStatus) -> Result<Self, Error> {
        let schema = if info.schema.is_empty() {
            arrow::datatypes::Schema::empty()
        } else {
            let decoded = info.clone().try_decode_schema();
            decoded.map_err(|error| Error::Protocol(format!("schema of the result: {error}")))?
        };
        Ok(Self {
            connection,
            info,
            schema: schema.into(),
            status,
        })
    }

    /// Columns of the result; none if the statement gives no rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether the statement gives rows, perhaps zero of them.
    pub fn has_rows(&self) -> bool {
        !self.schema.fields().is_empty() || !self.info.endpoint.is_empty()
    }

    /// Streams the rows, one output partition after the other.
    pub fn rows(&self) -> Rows {
        let tickets = self
            .info
            .endpoint
            .iter()
            .filter_map(|endpoint| endpoint.ticket.clone());
        Rows::new(self.connection.clone(), tickets.collect())
    }

    /// Tells the server that the rest of the rows is not wanted.
    ///
    /// # Errors
    /// The connection.
    pub async fn cancel(&self) -> Result<(), Error> {
        self.connection.cancel(self.info.clone()).await
    }
}
