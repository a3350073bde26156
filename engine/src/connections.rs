//! Connections to the data ports of executors.
//!
//! The scheduler asks there for shards and for the rows of direct plans, executors ask each other for shards. What is
//! asked is with the modules that answer it: [`crate::shards::wire`] and [`crate::direct`].

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, FlightClient, FlightData, Ticket};
use dashmap::DashMap;
use futures::{Stream, TryStreamExt};
use tonic::transport::{Channel, Endpoint};

use crate::error::{Code, Error};

/// Longest wait for a connection to an executor.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A peer that is silent is asked for a sign of life this often, and given up after the other time. A machine that
/// vanished sends no end of a connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(6);

/// Bytes of an answer that may be on their way before any is read, and of all answers of a connection. With the 64 KiB of
/// HTTP/2 whoever sends rows waits for the reader most of the time.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Connections by `HOST:PORT`, made when they are first needed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connections {
    channels: Arc<DashMap<String, Channel>>,
    max_message_bytes: usize,
}

impl Connections {
    /// No connection yet. Messages are at most `max_message_bytes` large.
    pub fn new(max_message_bytes: usize) -> Self {
        Self {
            channels: Arc::default(),
            max_message_bytes,
        }
    }

    async fn client(&self, executor: &str) -> Result<FlightServiceClient<Channel>, Error> {
        let known = self.channels.get(executor).map(|channel| channel.clone());
        let channel = match known {
            Some(channel) => channel,
            None => {
                let endpoint = Endpoint::new(format!("http://{executor}"))
                    .map_err(|error| Error::bug(format!("'{executor}' is no address: {error}")))?;
                let channel = endpoint
                    .tcp_nodelay(true)
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .connect_timeout(CONNECT_TIMEOUT)
                    .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
                    .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                    .keep_alive_while_idle(true)
                    .connect()
                    .await
                    .map_err(|error| silent(executor, &error.to_string()))?;
                self.channels.insert(executor.to_string(), channel.clone());
                channel
            }
        };
        Ok(FlightServiceClient::new(channel)
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(self.max_message_bytes))
    }

    /// Streams the rows that a ticket stands for.
    ///
    /// # Errors
    /// What the executor refuses with [`tonic::Code::Aborted`] is an error of its own, in words of ours; anything
    /// else is [`Code::EXECUTOR_LOST`].
    pub(crate) async fn get(
        &self,
        executor: &str,
        ticket: Vec<u8>,
    ) -> Result<FlightRecordBatchStream, Error> {
        let answer = self.client(executor).await?.do_get(Ticket::new(ticket)).await;
        let data = answer
            .map_err(|status| self.failed(executor, &status))?
            .into_inner();
        Ok(FlightRecordBatchStream::new_from_flight_data(
            data.map_err(FlightError::from),
        ))
    }

    /// Runs an action and answers its bytes.
    ///
    /// # Errors
    /// [`Code::EXECUTOR_LOST`].
    pub(crate) async fn act(&self, executor: &str, name: &str, body: Vec<u8>) -> Result<Vec<u8>, Error> {
        let action = Action {
            r#type: name.to_string(),
            body: body.into(),
        };
        let failed = |status: tonic::Status| self.failed(executor, &status);
        let answer = self.client(executor).await?.do_action(action).await;
        let mut answers = answer.map_err(failed)?.into_inner();
        let mut bytes = Vec::new();
        while let Some(answer) = answers.message().await.map_err(failed)? {
            bytes.extend_from_slice(&answer.body);
        }
        Ok(bytes)
    }

    /// Sends a stream and answers the bytes of what is said about it.
    ///
    /// # Errors
    /// As [`Connections::get`].
    pub(crate) async fn put(
        &self,
        executor: &str,
        data: impl Stream<Item = Result<FlightData, FlightError>> + Send + 'static,
    ) -> Result<Vec<u8>, Error> {
        let mut client = FlightClient::new_from_inner(self.client(executor).await?);
        let broken = |error: FlightError| self.broken(executor, error);
        let mut answers = client.do_put(data).await.map_err(broken)?;
        let mut bytes = Vec::new();
        while let Some(answer) = answers.try_next().await.map_err(broken)? {
            bytes.extend_from_slice(&answer.app_metadata);
        }
        Ok(bytes)
    }

    /// What went wrong in the middle of a stream.
    pub(crate) fn broken(&self, executor: &str, error: FlightError) -> Error {
        match error {
            FlightError::Tonic(status) => self.failed(executor, &status),
            other => Error::bug(format!("rows of executor {executor} cannot be read: {other}")),
        }
    }

    fn failed(&self, executor: &str, status: &tonic::Status) -> Error {
        if status.code() == tonic::Code::Aborted {
            return Error::from_text(status.message());
        }
        // A channel to a process that was replaced on the same port must not be used again.
        self.channels.remove(executor);
        silent(executor, status.message())
    }
}

fn silent(executor: &str, reason: &str) -> Error {
    Error::external(
        Code::EXECUTOR_LOST,
        format!("the executor at {executor} does not answer"),
    )
    .with_detail(reason)
    .with_hint("look at system.executors")
}
