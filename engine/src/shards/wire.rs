//! How shards are asked for on an executor's data port, beside Ballista's own calls.
//!
//! `DoGet` with a [`ShardTicket`] streams rows; the actions [`LIST`], [`DROP`], [`COPY`] and [`SAVE`] belong to the
//! scheduler. The port is part of the private network, like Ballista's.

use arrow_flight::FlightData;
use arrow_flight::decode::DecodedPayload;
use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use arrow_flight::error::FlightError;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, future, stream};
use millpond_proto::Message;
use millpond_proto::plan::{CopyShards, SaveShards, ShardList, ShardTicket, StoredShard};

use super::read::unpacked;
use super::shard::ShardId;
use super::store::Stored;
use crate::connections::Connections;
use crate::error::{Code, Error};

/// Start of a ticket for a shard. Ballista's tickets are protobuf messages, which do not start with a zero byte.
pub const TICKET_MARK: &[u8] = b"\0shard";
/// Action that answers a [`ShardList`].
pub const LIST: &str = "millpond.shards.list";
/// Action that drops the shards of the [`ShardList`] in its body and answers nothing.
pub const DROP: &str = "millpond.shards.drop";
/// Action that makes an executor hold the shards of the [`CopyShards`] in its body; it answers when it has them all.
pub const COPY: &str = "millpond.shards.copy";
/// Action that makes an executor write snapshots of the shards of the [`SaveShards`] in its body.
pub const SAVE: &str = "millpond.shards.save";

impl Connections {
    /// Streams rows of a shard from the first of its holders that has it; `schema` are the columns of the ticket.
    ///
    /// # Errors
    /// As [`Connections::sent_by_any`].
    pub async fn read_any(
        &self,
        holders: &[String],
        ticket: &ShardTicket,
        schema: &SchemaRef,
    ) -> Result<BoxStream<'static, Result<RecordBatch, Error>>, Error> {
        let sent = self.sent_by_any(holders, ticket).await?;
        Ok(rows_in(sent, schema.clone(), Vec::new()))
    }

    /// Streams rows of a shard, as they are sent, from the first of its holders that has it.
    ///
    /// # Errors
    /// [`Code::SHARD_MOVED`] if none has it, or the one that is read is lost on the way: the statement must be planned
    /// again, for the shard may be elsewhere by then.
    pub(super) async fn sent_by_any(
        &self,
        holders: &[String],
        ticket: &ShardTicket,
    ) -> Result<BoxStream<'static, Result<RecordBatch, Error>>, Error> {
        let moved = |error: &Error| error.code == Code::EXECUTOR_LOST;
        let mut reasons = Vec::new();
        for holder in holders {
            match self.sent_by(holder, ticket).await {
                Ok(sent) => {
                    let shard = ticket.shard.clone();
                    let broken = move |error: Error| match moved(&error) {
                        true => shard_moved(&shard, &error.message),
                        false => error,
                    };
                    return Ok(sent.map_err(broken).boxed());
                }
                Err(error) if moved(&error) => reasons.push(error.message),
                Err(error) => return Err(error),
            }
        }
        Err(shard_moved(&ticket.shard, &reasons.join("; ")))
    }

    async fn sent_by(
        &self,
        holder: &str,
        ticket: &ShardTicket,
    ) -> Result<BoxStream<'static, Result<RecordBatch, Error>>, Error> {
        let mut bytes = TICKET_MARK.to_vec();
        ticket
            .encode(&mut bytes)
            .map_err(|error| Error::bug(error.to_string()))?;
        let sent = self.get(holder, bytes).await?.into_inner();
        let (connections, holder) = (self.clone(), holder.to_string());
        let sent = sent
            .map_err(move |error| connections.broken(&holder, error))
            .try_filter_map(|sent| future::ok(batch_in(sent.payload)));
        Ok(sent.boxed())
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

    /// Makes an executor hold shards that are elsewhere.
    ///
    /// # Errors
    /// The executor is gone, has no room, or cannot read one of the shards.
    pub async fn copy_shards(&self, executor: &str, copies: &CopyShards) -> Result<(), Error> {
        self.act(executor, COPY, copies.encode_to_vec()).await.map(drop)
    }

    /// Makes an executor write snapshots of shards that it holds.
    ///
    /// # Errors
    /// The executor is gone, or cannot write them.
    pub async fn save_shards(&self, executor: &str, shards: &SaveShards) -> Result<(), Error> {
        self.act(executor, SAVE, shards.encode_to_vec()).await.map(drop)
    }
}

/// Packed rows as the answer to a [`ShardTicket`]. Stored batches are packed each in its way, so every batch is sent with a
/// schema of its own.
pub fn answer(
    packed: impl Iterator<Item = datafusion::error::Result<RecordBatch>> + Send + 'static,
) -> BoxStream<'static, Result<FlightData, FlightError>> {
    let rows = stream::iter(packed).map_err(|error| FlightError::ExternalError(Box::new(error)));
    rows.map_ok(|batch| {
        FlightDataEncoderBuilder::new()
            .with_dictionary_handling(DictionaryHandling::Resend)
            .build(stream::iter([Ok(batch)]))
    })
    .try_flatten()
    .boxed()
}

/// Rows as batches of these columns, of which some come as dictionaries.
pub(super) fn rows_in(
    sent: BoxStream<'static, Result<RecordBatch, Error>>,
    schema: SchemaRef,
    dictionaries: Vec<bool>,
) -> BoxStream<'static, Result<RecordBatch, Error>> {
    sent.and_then(move |sent| {
        let rows = unpacked(&sent, &schema, &dictionaries).map_err(Error::from_datafusion);
        future::ready(rows.map(|rows| stream::iter(rows).map_err(Error::from_datafusion)))
    })
    .try_flatten()
    .boxed()
}

fn batch_in(payload: DecodedPayload) -> Option<RecordBatch> {
    match payload {
        DecodedPayload::RecordBatch(batch) => Some(batch),
        DecodedPayload::None | DecodedPayload::Schema(_) => None,
    }
}

fn shard_moved(shard: &str, reason: &str) -> Error {
    Error::new(
        Code::SHARD_MOVED,
        format!("shard {shard} cannot be read from its holders"),
    )
    .with_detail(reason)
    .with_hint("run the statement again")
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
                disk_bytes: stored.disk_bytes as u64,
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
        disk_bytes: usize::try_from(message.disk_bytes).unwrap_or(usize::MAX),
    })
}
