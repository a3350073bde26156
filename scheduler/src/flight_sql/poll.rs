//! The gRPC service itself: Flight SQL plus the two calls that arrow-flight's trait does not pass on.
//!
//! `PollFlightInfo` starts a statement and reports where it stands, so that a client can show progress; `GetSchema`
//! tells the columns of a query without running it.

use std::time::Duration;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Any, Command, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{
    Action, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo,
    SchemaAsIpc, SchemaResult, Ticket,
};
use datafusion::arrow::ipc::writer::IpcWriteOptions;
use millpond_proto::Message;
use tonic::{Request, Response, Status, Streaming};

use super::results::flight_info;
use super::service::FlightSql;
use super::status::to_status;
use crate::statement::Statement;

/// How long a poll waits for the end before it reports progress.
const POLL_WAIT: Duration = Duration::from_millis(200);
/// Partition number in the ticket that a poll descriptor carries: the statement itself.
const WHOLE_STATEMENT: u32 = u32::MAX;

/// The service on the public port.
#[derive(Clone)]
pub(crate) struct PublicService(pub(crate) FlightSql);

impl PublicService {
    async fn poll(&self, request: Request<FlightDescriptor>) -> Result<PollInfo, Status> {
        let caller = self.0.door.let_in(&request).map_err(|error| to_status(&error))?;
        let descriptor = request.into_inner();
        let statement = match decode_command(&descriptor)? {
            Command::CommandStatementQuery(query) => self.0.start(&caller, query.query, None)?,
            Command::CommandPreparedStatementQuery(query) => {
                self.0.start_prepared(&caller, &query.prepared_statement_handle)?
            }
            Command::TicketStatementQuery(ticket) => {
                let claims = self.0.signer.check(&ticket.statement_handle, &caller.principal);
                self.0.find(&claims.map_err(|error| to_status(&error))?)?
            }
            _ => return Err(Status::unimplemented("PollFlightInfo takes statements only")),
        };
        // The deadline passing is the ordinary way to report progress.
        let _ = tokio::time::timeout(POLL_WAIT, statement.ended()).await;
        self.poll_info(&statement, descriptor)
    }

    fn poll_info(&self, statement: &Statement, descriptor: FlightDescriptor) -> Result<PollInfo, Status> {
        let progress = statement.progress();
        let info = flight_info(statement, &self.0.signer, descriptor)?;
        let mut poll = PollInfo::new().with_info(info);
        if !progress.phase.is_over() {
            let handle = self
                .0
                .signer
                .sign(&statement.id, WHOLE_STATEMENT, &statement.session.principal);
            let next = TicketStatementQuery {
                statement_handle: handle.into(),
            };
            poll = poll.with_descriptor(FlightDescriptor::new_cmd(next.as_any().encode_to_vec()));
            let status = &progress.status;
            if status.tasks_total > 0 {
                let done = f64::from(status.tasks_done) / f64::from(status.tasks_total);
                poll = poll
                    .try_with_progress(done.clamp(0.0, 1.0))
                    .map_err(|error| Status::internal(error.to_string()))?;
            }
        }
        Ok(poll)
    }

    async fn schema(&self, request: Request<FlightDescriptor>) -> Result<SchemaResult, Status> {
        let caller = self.0.door.let_in(&request).map_err(|error| to_status(&error))?;
        let Command::CommandStatementQuery(query) = decode_command(request.get_ref())? else {
            return Err(Status::unimplemented("GetSchema takes statements only"));
        };
        let schema = self.0.result_schema(&caller, &query.query).await?;
        SchemaAsIpc::new(&schema, &IpcWriteOptions::default())
            .try_into()
            .map_err(|error: datafusion::arrow::error::ArrowError| Status::internal(error.to_string()))
    }
}

fn decode_command(descriptor: &FlightDescriptor) -> Result<Command, Status> {
    let message = Any::decode(&*descriptor.cmd).map_err(|error| {
        Status::invalid_argument(format!("the descriptor holds no Flight SQL command: {error}"))
    })?;
    Command::try_from(message).map_err(|error| Status::invalid_argument(error.to_string()))
}

#[tonic::async_trait]
impl FlightService for PublicService {
    type HandshakeStream = <FlightSql as FlightService>::HandshakeStream;
    type ListFlightsStream = <FlightSql as FlightService>::ListFlightsStream;
    type DoGetStream = <FlightSql as FlightService>::DoGetStream;
    type DoPutStream = <FlightSql as FlightService>::DoPutStream;
    type DoActionStream = <FlightSql as FlightService>::DoActionStream;
    type ListActionsStream = <FlightSql as FlightService>::ListActionsStream;
    type DoExchangeStream = <FlightSql as FlightService>::DoExchangeStream;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        FlightService::handshake(&self.0, request).await
    }

    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        FlightService::list_flights(&self.0, request).await
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        FlightService::get_flight_info(&self.0, request).await
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        self.poll(request).await.map(Response::new)
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        self.schema(request).await.map(Response::new)
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        FlightService::do_get(&self.0, request).await
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        FlightService::do_put(&self.0, request).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        FlightService::do_action(&self.0, request).await
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        FlightService::list_actions(&self.0, request).await
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        FlightService::do_exchange(&self.0, request).await
    }
}
