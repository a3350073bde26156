//! The rows of a result, as they come from one output partition after the other.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow_flight::Ticket;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use futures::{StreamExt, TryStreamExt};

use super::flight::Connection;
use crate::error::Error;

/// Rows of a result, batch by batch. Only one batch is held at a time.
#[derive(Debug)]
pub struct Rows {
    connection: Connection,
    tickets: VecDeque<Ticket>,
    current: Option<FlightRecordBatchStream>,
}

impl Rows {
    pub(super) fn new(connection: Connection, tickets: VecDeque<Ticket>) -> Self {
        Self {
            connection,
            tickets,
            current: None,
        }
    }

    /// The next batch, or none at the end.
    ///
    /// # Errors
    /// The statement fails while its rows are made, or the connection breaks.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            if let Some(stream) = &mut self.current {
                match stream.next().await {
                    Some(Ok(batch)) => return Ok(Some(batch)),
                    Some(Err(error)) => return Err(self.error(error)),
                    None => self.current = None,
                }
            }
            let Some(ticket) = self.tickets.pop_front() else {
                return Ok(None);
            };
            let data = self.connection.fetch(ticket).await?;
            let data = data.map_err(FlightError::from);
            self.current = Some(FlightRecordBatchStream::new_from_flight_data(data));
        }
    }

    fn error(&self, error: FlightError) -> Error {
        match error {
            FlightError::Tonic(status) => self.connection.error(&status),
            other => Error::Protocol(format!("rows of the result: {other}")),
        }
    }
}
