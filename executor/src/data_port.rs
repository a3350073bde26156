//! The data port: Ballista's results of stages, our shards and direct plans behind one Arrow Flight service.
//!
//! A ticket or action with a mark of ours is answered from the [`ShardStore`] or by [`Plans`]; every other call
//! is Ballista's, but for `DoPut`, which Ballista has no use for.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use ballista_executor::flight_service::BallistaFlightService;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::metrics::Count;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use millpond_engine::direct;
use millpond_engine::shards::wire::{self, COPY, DROP, LIST, SAVE};
use millpond_engine::shards::{ShardId, ShardStore};
use millpond_engine::streams::{DEAD_LETTERS, DESCRIBE, FOLLOW, PIN, REPLAY, STATUS};
use millpond_proto::Message;
use millpond_proto::plan::{ShardList, ShardTicket};
use tonic::{Request, Response, Status, Streaming};

use crate::direct::{Plans, refused};
use crate::ingest;
use crate::shard_copies::ShardCopies;
use crate::streams::Streams;

type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// The service of the data port.
pub(crate) struct DataPort {
    ballista: BallistaFlightService,
    store: Arc<ShardStore>,
    copies: ShardCopies,
    plans: Plans,
    streams: Arc<Streams>,
}

impl DataPort {
    /// Puts all behind one door.
    pub(crate) fn new(
        ballista: BallistaFlightService,
        store: Arc<ShardStore>,
        copies: ShardCopies,
        plans: Plans,
        streams: Arc<Streams>,
    ) -> Self {
        Self {
            ballista,
            store,
            copies,
            plans,
            streams,
        }
    }

    fn rows(&self, ticket: &[u8]) -> Result<Answers<FlightData>, Status> {
        let ticket =
            ShardTicket::decode(ticket).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let id: ShardId = ticket
            .shard
            .parse()
            .map_err(|_| Status::invalid_argument("this is no shard"))?;
        let shard = self
            .store
            .read(id)
            .ok_or_else(|| Status::not_found(format!("shard {id} is not here")))?;
        let wrong = |error: DataFusionError| Status::invalid_argument(error.to_string());
        let read = self.plans.shard_read(&ticket, shard.schema()).map_err(wrong)?;
        let rows = read.packed_rows(shard, &Count::new());
        Ok(wire::answer(rows).map_err(Status::from).boxed())
    }

    fn forget(&self, body: &[u8]) -> Result<(), Status> {
        let wrong = |reason: String| Status::invalid_argument(reason);
        let list = ShardList::decode(body).map_err(|error| wrong(error.to_string()))?;
        let shards: Vec<ShardId> = list
            .shards
            .iter()
            .map(|shard| shard.shard.parse().map_err(|_| wrong(shard.shard.clone())))
            .collect::<Result<_, _>>()?;
        let dropped = self.store.drop_shards(shards);
        tracing::debug!(dropped, "dropped shards");
        Ok(())
    }
}

fn decoded<M: Message + Default>(request: &Request<Action>) -> Result<M, Status> {
    M::decode(request.get_ref().body.clone()).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn answer(message: &impl Message) -> Response<Answers<arrow_flight::Result>> {
    answers([message.encode_to_vec()])
}

/// An answer in pieces, which are read as one.
fn answers<P>(pieces: P) -> Response<Answers<arrow_flight::Result>>
where
    P: IntoIterator<Item = Vec<u8>>,
    P::IntoIter: Send + 'static,
{
    let pieces = pieces
        .into_iter()
        .map(|piece| Ok(arrow_flight::Result { body: piece.into() }));
    Response::new(stream::iter(pieces).boxed())
}

#[tonic::async_trait]
impl FlightService for DataPort {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let ticket = &request.get_ref().ticket;
        if let Some(shard) = ticket.strip_prefix(wire::TICKET_MARK) {
            Ok(Response::new(self.rows(shard)?))
        } else if let Some(plan) = ticket.strip_prefix(direct::TICKET_MARK) {
            Ok(Response::new(self.plans.run(plan).await?))
        } else {
            Ok(self.ballista.do_get(request).await?.map(StreamExt::boxed))
        }
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        match request.get_ref().r#type.as_str() {
            LIST => Ok(answer(&wire::list_message(&self.store.list()))),
            DROP => {
                self.forget(&request.get_ref().body)?;
                Ok(Response::new(stream::empty().boxed()))
            }
            COPY => {
                let copied = self.copies.copy(&decoded(&request)?).await;
                copied.map_err(|error| refused(&error))?;
                Ok(Response::new(stream::empty().boxed()))
            }
            SAVE => {
                let saved = self.copies.save(&decoded(&request)?).await;
                saved.map_err(|error| refused(&error))?;
                Ok(Response::new(stream::empty().boxed()))
            }
            DESCRIBE => {
                let described = self.streams.describe(decoded(&request)?).await;
                Ok(answer(&described.map_err(|error| refused(&error))?))
            }
            FOLLOW => Ok(answer(&self.streams.follow(&decoded(&request)?))),
            PIN => {
                let pinned = self.streams.pin(&decoded(&request)?);
                Ok(answer(&pinned.map_err(|error| refused(&error))?))
            }
            STATUS => Ok(answer(&self.streams.status())),
            DEAD_LETTERS => Ok(answers(self.streams.dead_letters(&decoded(&request)?))),
            REPLAY => {
                let replayed = self.streams.replay(decoded(&request)?).await;
                Ok(answer(&replayed.map_err(|error| refused(&error))?))
            }
            _ => Ok(self.ballista.do_action(request).await?.map(StreamExt::boxed)),
        }
    }

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Ok(self.ballista.handshake(request).await?.map(StreamExt::boxed))
    }

    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Ok(self.ballista.list_flights(request).await?.map(StreamExt::boxed))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.ballista.get_flight_info(request).await
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        self.ballista.poll_flight_info(request).await
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        self.ballista.get_schema(request).await
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let stored = ingest::store(request.into_inner(), self.store.clone(), self.plans.context()).await?;
        Ok(Response::new(stream::iter([Ok(stored)]).boxed()))
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        Ok(self.ballista.list_actions(request).await?.map(StreamExt::boxed))
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Ok(self.ballista.do_exchange(request).await?.map(StreamExt::boxed))
    }
}
