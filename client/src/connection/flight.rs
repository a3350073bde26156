//! One connection: requests with the headers that name session and principal.

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{Action, CancelFlightInfoRequest, FlightDescriptor, FlightInfo, PollInfo, Ticket};
use bytes::Bytes;
use futures::TryStreamExt;
use prost::Message;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::running::Running;
use super::target::Target;
use crate::error::Error;

/// Names the session, so that settings live from one statement to the next.
const SESSION_HEADER: &str = "x-millpond-session";
/// Largest message taken from the server. Rows come in small batches; one huge value may need more than the default.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// A connection to a cluster, with a session of its own. Cheap to clone; clones share the session.
#[derive(Debug, Clone)]
pub struct Connection {
    client: FlightServiceClient<Channel>,
    url: String,
    session: MetadataValue<Ascii>,
    bearer: Option<MetadataValue<Ascii>>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Connect`] if nothing answers, [`Error::Usage`] for a wrong address or token.
    pub async fn open(target: &Target) -> Result<Self, Error> {
        let channel = target
            .endpoint()?
            .connect()
            .await
            .map_err(|error| Error::Connect {
                url: target.url.clone(),
                reason: last_cause(&error),
            })?;
        let client = FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let session = header(&uuid::Uuid::new_v4().to_string())?;
        let bearer = target
            .token
            .as_ref()
            .map(|token| header(&format!("Bearer {token}")))
            .transpose()?;
        Ok(Self {
            client,
            url: target.url.clone(),
            session,
            bearer,
        })
    }

    /// Address of the cluster.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a statement and waits until the server has taken it, not until it ends.
    ///
    /// # Errors
    /// What the server says about the statement, or the connection.
    pub async fn start(&self, sql: &str) -> Result<Running, Error> {
        let command = CommandStatementQuery {
            query: sql.to_owned(),
            transaction_id: None,
        };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let answer = self.poll(descriptor).await?;
        Running::new(self.clone(), answer)
    }

    /// Sends an action and collects its answers.
    ///
    /// # Errors
    /// What the server says about the action, or the connection.
    pub async fn action(&self, kind: &str, body: impl Into<Bytes>) -> Result<Vec<Bytes>, Error> {
        let request = self.request(Action::new(kind, body));
        let answers = self
            .client
            .clone()
            .do_action(request)
            .await
            .map_err(|status| self.error(&status))?;
        let answers = answers.into_inner().map_ok(|answer| answer.body);
        answers.try_collect().await.map_err(|status| self.error(&status))
    }

    /// Asks the server to cancel a statement. It may have ended already; that is no error.
    ///
    /// # Errors
    /// The connection.
    pub(super) async fn cancel(&self, info: FlightInfo) -> Result<(), Error> {
        let request = CancelFlightInfoRequest::new(info);
        self.action("CancelFlightInfo", request.encode_to_vec())
            .await
            .map(drop)
    }

    pub(super) async fn poll(&self, descriptor: FlightDescriptor) -> Result<PollInfo, Error> {
        let answer = self
            .client
            .clone()
            .poll_flight_info(self.request(descriptor))
            .await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| self.error(&status))
    }

    pub(super) async fn fetch(&self, ticket: Ticket) -> Result<Streaming<arrow_flight::FlightData>, Error> {
        let answer = self.client.clone().do_get(self.request(ticket)).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| self.error(&status))
    }

    pub(super) fn error(&self, status: &Status) -> Error {
        Error::from_status(status, &self.url)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert(SESSION_HEADER, self.session.clone());
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        request
    }
}

fn header(text: &str) -> Result<MetadataValue<Ascii>, Error> {
    let mut value: MetadataValue<Ascii> = text
        .parse()
        .map_err(|_| Error::Usage("the token has characters that no header can carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn last_cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |cause| (**cause).source())
        .last()
        .map_or_else(String::new, ToString::to_string)
}
