//! How shards are asked for on an executor's data port, beside Ballista's own calls.
//!
//! `DoGet` with a [`ShardTicket`] streams rows; the actions [`LIST`] and [`DROP`] belong to the scheduler. The port is
//! part of the private network, like Ballista's.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, Ticket};
use dashmap::DashMap;
use datafusion::arrow::array::RecordBatch;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use millpond_proto::Message;
use millpond_proto::plan::{ShardList, ShardTicket, StoredShard};
use tonic::transport::{Channel, Endpoint};

use super::store::{ShardId, Stored};
use crate::error::{Code, Error};

/// Start of a ticket for a shard. Ballista's tickets are protobuf messages, which do not start with a zero byte.
pub const TICKET_MARK: &[u8] = b"\0shard";
/// Action that answers a [`ShardList`].
pub const LIST: &str = "millpond.shards.list";
/// Action that drops the shards of the [`ShardList`] in its body and answers nothing.
pub const DROP: &str = "millpond.shards.drop";

/// Longest wait for a connection to an executor.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections to the data ports of executors. Cheap to clone.
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

    async fn client(&self, holder: &str) -> Result<FlightServiceClient<Channel>, Error> {
        let known = self.channels.get(holder).map(|channel| channel.clone());
        let channel = match known {
            Some(channel) => channel,
            None => {
                let endpoint = Endpoint::new(format!("http://{holder}"))
                    .map_err(|error| Error::bug(format!("'{holder}' is no address: {error}")))?;
                let channel = endpoint
                    .tcp_nodelay(true)
                    .connect_timeout(CONNECT_TIMEOUT)
                    .connect()
                    .await
                    .map_err(|error| lost(holder, &error.to_string()))?;
                self.channels.insert(holder.to_string(), channel.clone());
                channel
            }
        };
        Ok(FlightServiceClient::new(channel)
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(self.max_message_bytes))
    }

    /// Streams rows of a shard: the given columns, in that order.
    ///
    /// # Errors
    /// [`Code::EXECUTOR_LOST`] if the executor or the shard is gone.
    pub async fn read(
        &self,
        holder: &str,
        shard: ShardId,
        columns: &[usize],
    ) -> Result<BoxStream<'static, Result<RecordBatch, FlightError>>, Error> {
        let ticket = ShardTicket {
            shard: shard.to_string(),
            columns: columns
                .iter()
                .map(|column| u32::try_from(*column).unwrap_or(u32::MAX))
                .collect(),
        };
        let mut bytes = TICKET_MARK.to_vec();
        ticket
            .encode(&mut bytes)
            .map_err(|error| Error::bug(error.to_string()))?;
        let answer = self.client(holder).await?.do_get(Ticket::new(bytes)).await;
        let data = answer
            .map_err(|status| self.failed(holder, &status))?
            .into_inner();
        Ok(FlightRecordBatchStream::new_from_flight_data(data.map_err(FlightError::from)).boxed())
    }

    /// What an executor holds.
    ///
    /// # Errors
    /// The executor is gone.
    pub async fn list(&self, holder: &str) -> Result<Vec<Stored>, Error> {
        let answers = self.act(holder, LIST, Vec::new()).await?;
        let list = ShardList::decode(answers.as_slice()).map_err(|error| Error::bug(error.to_string()))?;
        list.shards.iter().map(read_stored).collect()
    }

    /// Makes an executor forget shards.
    ///
    /// # Errors
    /// The executor is gone.
    pub async fn drop_shards(&self, holder: &str, shards: &[ShardId]) -> Result<(), Error> {
        let list = ShardList {
            shards: shards
                .iter()
                .map(|shard| StoredShard {
                    shard: shard.to_string(),
                    ..Default::default()
                })
                .collect(),
        };
        self.act(holder, DROP, list.encode_to_vec()).await.map(drop)
    }

    async fn act(&self, holder: &str, name: &str, body: Vec<u8>) -> Result<Vec<u8>, Error> {
        let action = Action {
            r#type: name.to_string(),
            body: body.into(),
        };
        let answer = self.client(holder).await?.do_action(action).await;
        let mut answers = answer
            .map_err(|status| self.failed(holder, &status))?
            .into_inner();
        let mut bytes = Vec::new();
        while let Some(answer) = answers
            .message()
            .await
            .map_err(|status| self.failed(holder, &status))?
        {
            bytes.extend_from_slice(&answer.body);
        }
        Ok(bytes)
    }

    /// A channel to a process that was replaced on the same port must not be used again.
    fn failed(&self, holder: &str, status: &tonic::Status) -> Error {
        self.channels.remove(holder);
        lost(holder, status.message())
    }
}

fn lost(holder: &str, reason: &str) -> Error {
    Error::external(
        Code::EXECUTOR_LOST,
        format!("the executor at {holder} does not answer for a table in memory"),
    )
    .with_detail(reason)
    .with_hint("look at system.executors; a table whose executor is gone must be made again")
}

/// A list as it is sent.
pub fn list_message(stored: &[Stored]) -> ShardList {
    ShardList {
        shards: stored
            .iter()
            .map(|stored| StoredShard {
                shard: stored.id.to_string(),
                write: stored.write.clone(),
                rows: stored.rows as u64,
                bytes: stored.bytes as u64,
                hits: stored.hits,
                age_ms: stored.age_ms,
            })
            .collect(),
    }
}

fn read_stored(message: &StoredShard) -> Result<Stored, Error> {
    Ok(Stored {
        id: message.shard.parse()?,
        write: message.write.clone(),
        rows: usize::try_from(message.rows).unwrap_or(usize::MAX),
        bytes: usize::try_from(message.bytes).unwrap_or(usize::MAX),
        hits: message.hits,
        age_ms: message.age_ms,
    })
}
