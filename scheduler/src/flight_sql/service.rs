//! Flight SQL's calls, each handed on to the part that does it.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, CommandGetCatalogs,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest,
    CommandStatementQuery, CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
    TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse,
    Ticket,
};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ParamValues;
use futures::{StreamExt, stream};
use millpond_engine::error::{Code, Error};
use millpond_proto::Message;
use millpond_proto::statement::TicketClaims;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::door::{Caller, Door};
use super::prepared::PreparedStatements;
use super::results::{FlightStream, batch_stream, flight_info, partition_stream};
use super::status::to_status;
use super::ticket::Signer;
use super::{actions, ingest, introspection, prepared};
use crate::session::Session;
use crate::statement::{Frontend, Phase, Progress, Request as StatementRequest, Statement};

/// The Flight SQL service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FlightSql {
    pub(super) frontend: Frontend,
    pub(super) door: Door,
    pub(super) signer: Signer,
    pub(super) prepared: Arc<PreparedStatements>,
    sql_info: Arc<SqlInfoData>,
    type_info: Arc<XdbcTypeInfoData>,
}

type GetStream = <FlightSql as FlightService>::DoGetStream;

impl FlightSql {
    /// Makes the service. Tickets are good as long as results are kept.
    pub(crate) fn new(frontend: Frontend, token: Option<String>) -> Result<Self, Error> {
        let lifetime_s = frontend.services.result_ttl.as_secs().max(1);
        Ok(Self {
            door: Door::new(token),
            signer: Signer::new(lifetime_s),
            prepared: Arc::default(),
            sql_info: Arc::new(introspection::sql_info()?),
            type_info: Arc::new(introspection::type_info()?),
            frontend,
        })
    }

    pub(super) fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        self.door.let_in(request).map_err(|error| to_status(&error))
    }

    pub(super) fn session(&self, caller: &Caller) -> Result<Arc<Session>, Status> {
        let sessions = &self.frontend.services.sessions;
        sessions
            .open(&caller.principal, &caller.session_id)
            .map_err(|error| to_status(&error))
    }

    /// Starts a statement in the caller's session.
    pub(super) fn start(
        &self,
        caller: &Caller,
        sql: String,
        parameters: Option<ParamValues>,
    ) -> Result<Arc<Statement>, Status> {
        let session = self.session(caller)?;
        Ok(self.frontend.start(
            session,
            StatementRequest {
                sql,
                parameters,
                ..Default::default()
            },
        ))
    }

    /// Starts a prepared statement with the values that are bound to it.
    pub(super) fn start_prepared(&self, caller: &Caller, handle: &[u8]) -> Result<Arc<Statement>, Status> {
        let found = self
            .prepared
            .find(handle, caller)
            .map_err(|error| to_status(&error))?;
        self.start(caller, found.sql.clone(), found.bound_values())
    }

    /// Finds the statement of checked claims.
    pub(super) fn find(&self, claims: &TicketClaims) -> Result<Arc<Statement>, Status> {
        self.frontend
            .services
            .statements
            .find(&claims.statement_id, &claims.principal)
            .ok_or_else(|| {
                to_status(
                    &Error::user(
                        Code::STATEMENT_EXPIRED,
                        "the result of this statement is no longer kept",
                    )
                    .with_hint("run the statement again; result.ttl says how long results are kept"),
                )
            })
    }

    /// Columns that a statement would answer.
    pub(super) async fn result_schema(&self, caller: &Caller, sql: &str) -> Result<Schema, Status> {
        let session = self.session(caller)?;
        let described = prepared::describe(&self.frontend, &session, sql).await;
        described
            .map(|described| described.columns)
            .map_err(|error| to_status(&error))
    }

    async fn info_of(
        &self,
        statement: Arc<Statement>,
        descriptor: FlightDescriptor,
    ) -> Result<Response<FlightInfo>, Status> {
        or_cancel(&statement, statement.announced()).await;
        flight_info(&statement, &self.signer, descriptor).map(Response::new)
    }

    async fn affected_rows(&self, statement: Arc<Statement>) -> Result<i64, Status> {
        let ended = or_cancel(&statement, statement.ended()).await;
        if let Phase::Failed(error) = ended.phase {
            return Err(to_status(&error));
        }
        let rows = ended.status.affected_rows.unwrap_or(0);
        i64::try_from(rows).map_err(|_| Status::internal("more rows than fit the answer"))
    }

    /// The usual answer to a question about the catalog: the command itself is the ticket.
    fn command_info<C: ProstMessageExt, T>(
        &self,
        command: C,
        schema: SchemaRef,
        request: Request<T>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.caller(&request)?;
        let bytes = command.as_any().encode_to_vec();
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(bytes.clone()));
        let info = FlightInfo::new()
            .try_with_schema(&schema)
            .map_err(|error| Status::internal(error.to_string()))?
            .with_endpoint(endpoint)
            .with_descriptor(FlightDescriptor::new_cmd(bytes));
        Ok(Response::new(info))
    }

    async fn catalog(&self, caller: &Caller) -> Result<Arc<crate::catalog::StatementCatalog>, Status> {
        let session = self.session(caller)?;
        Ok(self.frontend.catalog_of(&session).await)
    }
}

/// Waits for a statement; a client that goes away meanwhile cancels it.
async fn or_cancel(statement: &Statement, wait: impl Future<Output = Progress>) -> Progress {
    let guard = statement.cancel.clone().drop_guard();
    let progress = wait.await;
    guard.disarm();
    progress
}

fn answer(batch: Result<RecordBatch, Error>) -> Result<Response<GetStream>, Status> {
    let batch = batch.map_err(|error| to_status(&error))?;
    let stream: FlightStream = batch_stream(batch);
    Ok(Response::new(stream))
}

#[tonic::async_trait]
impl FlightSqlService for FlightSql {
    type FlightService = FlightSql;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<<Self as FlightService>::HandshakeStream>, Status> {
        let authorization = self
            .door
            .handshake(request.metadata())
            .map_err(|error| to_status(&error))?;
        let value: MetadataValue<_> = authorization
            .parse()
            .map_err(|_| Status::internal("the token cannot be sent in a header"))?;
        let payload = authorization.into_bytes().into();
        let answer = HandshakeResponse {
            protocol_version: 0,
            payload,
        };
        let mut response =
            Response::new(stream::iter([Ok(answer)]).boxed() as <Self as FlightService>::HandshakeStream);
        response.metadata_mut().insert("authorization", value);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let caller = self.caller(&request)?;
        let statement = self.start(&caller, query.query, None)?;
        self.info_of(statement, request.into_inner()).await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let caller = self.caller(&request)?;
        let statement = self.start_prepared(&caller, &query.prepared_statement_handle)?;
        self.info_of(statement, request.into_inner()).await
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.into_builder().schema();
        self.command_info(query, schema, request)
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder().schema();
        self.command_info(query, schema, request)
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder().schema();
        self.command_info(query, schema, request)
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.into_builder().schema();
        self.command_info(query, schema, request)
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder(&self.sql_info).schema();
        self.command_info(query, schema, request)
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.into_builder(&self.type_info).schema();
        self.command_info(query, schema, request)
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.command_info(query, introspection::primary_keys().schema(), request)
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.command_info(query, introspection::foreign_keys().schema(), request)
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.command_info(query, introspection::foreign_keys().schema(), request)
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.command_info(query, introspection::foreign_keys().schema(), request)
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<GetStream>, Status> {
        let caller = self.caller(&request)?;
        let claims = self
            .signer
            .check(&ticket.statement_handle, &caller.principal)
            .map_err(|error| to_status(&error))?;
        let statement = self.find(&claims)?;
        let services = &self.frontend.services;
        match or_cancel(&statement, statement.ended()).await.phase {
            Phase::Finished(result) => {
                let stream = partition_stream(services, &statement, &result, claims.partition).await;
                stream.map(Response::new).map_err(|error| to_status(&error))
            }
            Phase::Failed(error) => Err(to_status(&error)),
            Phase::Queued | Phase::Running => {
                Err(Status::failed_precondition("the statement has not ended yet"))
            }
        }
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<Ticket>,
    ) -> Result<Response<GetStream>, Status> {
        self.caller(&request)?;
        answer(introspection::catalogs(query))
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<Ticket>,
    ) -> Result<Response<GetStream>, Status> {
        let catalog = self.catalog(&self.caller(&request)?).await?;
        answer(introspection::schemas(&catalog, query))
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        request: Request<Ticket>,
    ) -> Result<Response<GetStream>, Status> {
        let catalog = self.catalog(&self.caller(&request)?).await?;
        answer(introspection::tables(&catalog, query).await)
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<Ticket>,
    ) -> Result<Response<GetStream>, Status> {
        self.caller(&request)?;
        answer(introspection::table_types(query))
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<Ticket>,
    ) -> Result<Response<GetStream>, Status> {
        self.caller(&request)?;
        answer(
            query
                .into_builder(&self.sql_info)
                .build()
                .map_err(introspection::failed),
        )
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<Ticket>,
    ) -> Result<Response<GetStream>, Status> {
        self.caller(&request)?;
        answer(
            query
                .into_builder(&self.type_info)
                .build()
                .map_err(introspection::failed),
        )
    }

    async fn do_get_primary_keys(
        &self,
        _query: CommandGetPrimaryKeys,
        request: Request<Ticket>,
    ) -> Result<Response<GetStream>, Status> {
        self.caller(&request)?;
        answer(Ok(introspection::primary_keys()))
    }

    async fn do_get_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        request: Request<Ticket>,
    ) -> Result<Response<GetStream>, Status> {
        self.caller(&request)?;
        answer(Ok(introspection::foreign_keys()))
    }

    async fn do_get_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        request: Request<Ticket>,
    ) -> Result<Response<GetStream>, Status> {
        self.caller(&request)?;
        answer(Ok(introspection::foreign_keys()))
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        request: Request<Ticket>,
    ) -> Result<Response<GetStream>, Status> {
        self.caller(&request)?;
        answer(Ok(introspection::foreign_keys()))
    }

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let caller = self.caller(&request)?;
        let statement = self.start(&caller, command.query, None)?;
        self.affected_rows(statement).await
    }

    async fn do_put_statement_ingest(
        &self,
        command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let caller = self.caller(&request)?;
        let statement = ingest::start(self, &caller, command, request.into_inner()).await?;
        self.affected_rows(statement).await
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let caller = self.caller(&request)?;
        let found = self
            .prepared
            .find(&query.prepared_statement_handle, &caller)
            .map_err(|error| to_status(&error))?;
        let rows = prepared::read_rows(request.into_inner()).await?;
        found.bind(rows).map_err(|error| to_status(&error))?;
        Ok(DoPutPreparedStatementResult {
            prepared_statement_handle: Some(query.prepared_statement_handle),
        })
    }

    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let caller = self.caller(&request)?;
        let found = self
            .prepared
            .find(&query.prepared_statement_handle, &caller)
            .map_err(|error| to_status(&error))?;
        let rows = prepared::read_rows(request.into_inner()).await?;
        let mut affected = 0;
        let runs = if rows.is_empty() {
            vec![found.bound_values()]
        } else {
            rows.into_iter().map(Some).collect()
        };
        for values in runs {
            let statement = self.start(&caller, found.sql.clone(), values)?;
            affected += self.affected_rows(statement).await?;
        }
        Ok(affected)
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let caller = self.caller(&request)?;
        let session = self.session(&caller)?;
        let described = prepared::describe(&self.frontend, &session, &query.query).await;
        let described = described.map_err(|error| to_status(&error))?;
        self.prepared
            .create(&caller, query.query, described)
            .map_err(|error| to_status(&error))
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let caller = self.caller(&request)?;
        self.prepared.close(&query.prepared_statement_handle, &caller);
        Ok(())
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let caller = self.caller(&request)?;
        actions::cancel_query(self, &caller, &query.info)
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        Some(actions::list())
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let caller = self.caller(&request)?;
        let body = actions::run(self, &caller, request.into_inner()).await?;
        let results = stream::iter([Ok(arrow_flight::Result { body: body.into() })]).boxed();
        Ok(Response::new(results))
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
