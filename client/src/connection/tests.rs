//! The client against a server that only pretends: what is sent, what is understood, and what an interrupt does.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::{Any, CommandStatementQuery};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, Criteria, Empty, FlightData, FlightDescriptor,
    FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo, PutResult,
    Result as ActionResult, SchemaResult, Ticket,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use millpond_proto::Message;
use parking_lot::Mutex;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::{Connection, StatementStatus, Target, Watch, run};
use crate::error::Error;
use crate::exit::Exit;
use crate::interrupt::{Interrupter, Interrupts, interrupts};

/// What the server has seen.
#[derive(Debug, Default)]
struct Seen {
    sessions: Vec<String>,
    tokens: Vec<Option<String>>,
    cancelled: Vec<String>,
    polls: usize,
}

/// Answers by what the statement says: `rows` gives rows, `slow` runs until it is cancelled, the rest fails.
#[derive(Clone, Default)]
struct Pretender(Arc<Mutex<Seen>>);

type Stream<T> = BoxStream<'static, Result<T, Status>>;

impl Pretender {
    async fn serve(self) -> String {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("grpc://{}", incoming.local_addr().unwrap());
        tokio::spawn(
            Server::builder()
                .add_service(FlightServiceServer::new(self))
                .serve_with_incoming(incoming),
        );
        url
    }

    fn note<T>(&self, request: &Request<T>) {
        let header = |name: &'static str| {
            request
                .metadata()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let mut seen = self.0.lock();
        seen.sessions.push(header("x-millpond-session").unwrap());
        seen.tokens.push(header("authorization"));
    }
}

fn batch(values: Vec<i64>) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values)) as ArrayRef)]).unwrap()
}

fn info(sql: &str, state: &str) -> FlightInfo {
    let status = StatementStatus {
        statement_id: sql.into(),
        state: state.into(),
        ..Default::default()
    };
    FlightInfo::new().with_app_metadata(status.encode_to_vec())
}

fn poll(sql: &str, poll_number: usize) -> Result<PollInfo, Status> {
    let running = || {
        PollInfo::new()
            .with_info(info(sql, "running"))
            .with_descriptor(FlightDescriptor::new_cmd(sql.to_owned()))
    };
    match sql {
        "rows" if poll_number < 2 => Ok(running()),
        "rows" => {
            let endpoint = |ticket: &str| FlightEndpoint::new().with_ticket(Ticket::new(ticket.to_owned()));
            let finished = info(sql, "finished")
                .try_with_schema(&batch(vec![]).schema())
                .unwrap();
            Ok(PollInfo::new().with_info(
                finished
                    .with_endpoint(endpoint("0"))
                    .with_endpoint(endpoint("10")),
            ))
        }
        "slow" => Ok(running()),
        "ddl" => Ok(PollInfo::new().with_info(info(sql, "finished"))),
        _ => Err(Status::invalid_argument(
            "no table named 't' [MP0002]\nhint: look",
        )),
    }
}

#[tonic::async_trait]
impl FlightService for Pretender {
    type HandshakeStream = Stream<HandshakeResponse>;
    type ListFlightsStream = Stream<FlightInfo>;
    type DoGetStream = Stream<FlightData>;
    type DoPutStream = Stream<PutResult>;
    type DoActionStream = Stream<ActionResult>;
    type ListActionsStream = Stream<ActionType>;
    type DoExchangeStream = Stream<FlightData>;

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        self.note(&request);
        let command = request.into_inner().cmd;
        let query = Any::decode(command.as_ref())
            .ok()
            .and_then(|any| any.unpack::<CommandStatementQuery>().ok()?);
        let sql = query.map_or_else(
            || String::from_utf8(command.to_vec()).unwrap(),
            |query| query.query,
        );
        let number = {
            let mut seen = self.0.lock();
            seen.polls += 1;
            seen.polls
        };
        poll(&sql, number).map(Response::new)
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        self.note(&request);
        let first: i64 = String::from_utf8(request.into_inner().ticket.to_vec())
            .unwrap()
            .parse()
            .unwrap();
        let batches = [
            Ok::<_, FlightError>(batch(vec![first, first + 1])),
            Ok(batch(vec![first + 2])),
        ];
        let data = FlightDataEncoderBuilder::new().build(stream::iter(batches));
        Ok(Response::new(
            data.map_err(|error| Status::internal(error.to_string())).boxed(),
        ))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        self.note(&request);
        let action = request.into_inner();
        assert_eq!(action.r#type, "CancelFlightInfo");
        let cancel = CancelFlightInfoRequest::decode(action.body.as_ref()).unwrap();
        let status = StatementStatus::decode(cancel.info.unwrap().app_metadata.as_ref()).unwrap();
        self.0.lock().cancelled.push(status.statement_id);
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(Status::unimplemented("handshake"))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Status::unimplemented("list_flights"))
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        Err(Status::unimplemented("get_flight_info"))
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        Err(Status::unimplemented("get_schema"))
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        Err(Status::unimplemented("do_put"))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Err(Status::unimplemented("list_actions"))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("do_exchange"))
    }
}

/// Counts the news, and interrupts when the first comes.
#[derive(Default)]
struct Counter {
    news: usize,
    ends: usize,
    interrupter: Option<Interrupter>,
}

impl Watch for Counter {
    fn on_status(&mut self, status: &StatementStatus) {
        assert_eq!(status.state, "running");
        self.news += 1;
        if let Some(interrupter) = &self.interrupter {
            interrupter.interrupt();
        }
    }

    fn on_end(&mut self) {
        self.ends += 1;
    }
}

async fn connect(server: &Pretender, token: Option<&str>) -> Connection {
    let url = server.clone().serve().await;
    Connection::open(&Target {
        token: token.map(str::to_owned),
        ..Target::open_door(url)
    })
    .await
    .unwrap()
}

fn nobody_interrupts() -> Interrupts {
    interrupts().1
}

#[tokio::test]
async fn rows_of_all_partitions_come_in_order_and_progress_is_told() {
    let server = Pretender::default();
    let connection = connect(&server, Some("secret")).await;
    let mut counter = Counter::default();
    let answer = run(&connection, "rows", &mut nobody_interrupts(), &mut counter)
        .await
        .unwrap();
    assert!(answer.has_rows());
    let mut rows = answer.rows();
    let mut values = Vec::new();
    while let Some(batch) = rows.next().await.unwrap() {
        let column = batch
            .column(0)
            .as_any()
            .downcast_ref::<Int64Array>()
            .unwrap()
            .clone();
        values.extend(column.values().iter().copied());
    }
    assert_eq!(values, [0, 1, 2, 10, 11, 12]);
    assert_eq!((counter.news, counter.ends), (1, 1));
    let seen = server.0.lock();
    assert!(
        seen.sessions.iter().all(|session| *session == seen.sessions[0]),
        "{seen:?}"
    );
    assert!(
        seen.tokens
            .iter()
            .all(|token| token.as_deref() == Some("Bearer secret")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn interrupt_cancels_on_the_server() {
    let server = Pretender::default();
    let connection = connect(&server, None).await;
    let (interrupter, mut interrupts) = interrupts();
    let mut counter = Counter {
        interrupter: Some(interrupter),
        ..Default::default()
    };
    let error = run(&connection, "slow", &mut interrupts, &mut counter)
        .await
        .unwrap_err();
    assert_eq!(error.exit(), Exit::Cancelled);
    assert_eq!(server.0.lock().cancelled, ["slow"]);
    assert_eq!(counter.ends, 1);
}

#[tokio::test]
async fn interrupt_before_the_first_answer_still_names_the_statement() {
    let server = Pretender::default();
    let connection = connect(&server, None).await;
    let (interrupter, mut interrupts) = interrupts();
    interrupter.interrupt();
    let mut counter = Counter::default();
    let error = run(&connection, "slow", &mut interrupts, &mut counter)
        .await
        .unwrap_err();
    assert_eq!(error.exit(), Exit::Cancelled);
    assert_eq!(server.0.lock().cancelled, ["slow"]);
}

#[tokio::test]
async fn failure_carries_the_servers_text() {
    let connection = connect(&Pretender::default(), None).await;
    let error = connection.start("select * from t").await.unwrap_err();
    assert_eq!(error.to_string(), "no table named 't' [MP0002]\nhint: look");
    assert_eq!(error.exit(), Exit::Failed);
}

#[tokio::test]
async fn definition_gives_no_rows() {
    let connection = connect(&Pretender::default(), None).await;
    let answer = connection.start("ddl").await.unwrap().finish().await.unwrap();
    assert!(!answer.has_rows());
    assert!(answer.rows().next().await.unwrap().is_none());
}

#[tokio::test]
async fn closed_port_cannot_be_connected_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("grpc://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Connection::open(&Target::open_door(url.clone()))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Connect { url: named, .. } if *named == url),
        "{error}"
    );
    assert_eq!(error.exit(), Exit::Connect);
}
