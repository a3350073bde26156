//! Prepared statements of Flight SQL: text, parameters and bound values under a handle.
//!
//! The text is planned at each execution, so that a prepared statement always sees today's catalog.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::ActionCreatePreparedStatementResult;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::{IpcMessage, SchemaAsIpc};
use dashmap::DashMap;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::ipc::writer::IpcWriteOptions;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use futures::TryStreamExt;
use millpond_engine::error::{Code, Error};
use parking_lot::Mutex;
use tonic::Status;

use super::door::Caller;
use super::status::to_status;
use crate::session::Session;
use crate::statement::{Described, Frontend, plan_only};
use millpond_engine::clock::now_ms;

/// Prepared statements that may be open at once; beyond it unused ones are closed.
const OPEN_MAX: usize = 10_000;
/// A prepared statement that was not used for this long may be closed.
const IDLE_MAX: Duration = Duration::from_secs(1800);

/// One prepared statement.
pub(super) struct Prepared {
    pub(super) sql: String,
    owner: Caller,
    bound: Mutex<Option<ParamValues>>,
    last_used_ms: std::sync::atomic::AtomicU64,
}

impl Prepared {
    /// The values bound last.
    pub(super) fn bound_values(&self) -> Option<ParamValues> {
        self.bound.lock().clone()
    }

    /// Binds one row of values.
    ///
    /// # Errors
    /// More than one row: a query answers one result.
    pub(super) fn bind(&self, mut rows: Vec<ParamValues>) -> Result<(), Error> {
        if rows.len() > 1 {
            return Err(Error::user(
                Code::INVALID_PARAMETER,
                format!("{} rows of parameters for one query", rows.len()),
            )
            .with_hint("execute the query once for each row"));
        }
        *self.bound.lock() = rows.pop();
        Ok(())
    }
}

/// All prepared statements.
#[derive(Default)]
pub(super) struct PreparedStatements {
    by_handle: DashMap<Vec<u8>, Arc<Prepared>>,
}

impl PreparedStatements {
    pub(super) fn create(
        &self,
        caller: &Caller,
        sql: String,
        described: Described,
    ) -> Result<ActionCreatePreparedStatementResult, Error> {
        self.close_idle();
        let handle = uuid::Uuid::new_v4().as_bytes().to_vec();
        let prepared = Prepared {
            sql,
            owner: caller.clone(),
            bound: Mutex::default(),
            last_used_ms: now_ms().into(),
        };
        self.by_handle.insert(handle.clone(), Arc::new(prepared));
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.into(),
            dataset_schema: schema_bytes(&described.columns)?,
            parameter_schema: schema_bytes(&described.parameters)?,
        })
    }

    pub(super) fn find(&self, handle: &[u8], caller: &Caller) -> Result<Arc<Prepared>, Error> {
        let found = self
            .by_handle
            .get(handle)
            .filter(|found| found.owner.principal == caller.principal);
        let found = found.map(|found| found.clone()).ok_or_else(|| {
            Error::user(Code::STATEMENT_UNKNOWN, "there is no such prepared statement")
                .with_hint("prepare it again")
        })?;
        found
            .last_used_ms
            .store(now_ms(), std::sync::atomic::Ordering::Relaxed);
        Ok(found)
    }

    pub(super) fn close(&self, handle: &[u8], caller: &Caller) {
        self.by_handle
            .remove_if(handle, |_, found| found.owner.principal == caller.principal);
    }

    fn close_idle(&self) {
        if self.by_handle.len() >= OPEN_MAX {
            let oldest = now_ms().saturating_sub(IDLE_MAX.as_millis() as u64);
            self.by_handle
                .retain(|_, found| found.last_used_ms.load(std::sync::atomic::Ordering::Relaxed) >= oldest);
        }
    }
}

/// Learns the columns and parameters of a statement.
///
/// # Errors
/// Whatever planning finds wrong.
pub(super) async fn describe(frontend: &Frontend, session: &Session, sql: &str) -> Result<Described, Error> {
    let catalog = frontend.catalog_of(session).await;
    let services = &frontend.services;
    let planned = async {
        let plan = plan_only(&catalog, sql).await?;
        let described = described(&plan)?;
        Ok((plan, described))
    };
    services.plans.describe(services, &catalog, sql, planned).await
}

fn described(plan: &LogicalPlan) -> Result<Described, Error> {
    let mut types: Vec<(String, Option<DataType>)> = plan
        .get_parameter_types()
        .map_err(Error::from_datafusion)?
        .into_iter()
        .collect();
    types.sort_by_key(|(name, _)| {
        name.trim_start_matches('$')
            .parse::<usize>()
            .unwrap_or(usize::MAX)
    });
    let parameters: Vec<Field> = types
        .into_iter()
        .map(|(name, data_type)| Field::new(name, data_type.unwrap_or(DataType::Null), true))
        .collect();
    let columns = match plan {
        LogicalPlan::Ddl(_) | LogicalPlan::Statement(_) => Schema::empty(),
        plan => plan.schema().as_arrow().clone(),
    };
    Ok(Described {
        columns,
        parameters: Schema::new(parameters),
    })
}

/// Reads the rows a client binds; each row is one set of values.
pub(super) async fn read_rows(stream: PeekableFlightDataStream) -> Result<Vec<ParamValues>, Status> {
    let data = stream.map_err(|status| FlightError::Tonic(Box::new(status)));
    let batches: Vec<_> = FlightRecordBatchStream::new_from_flight_data(data)
        .try_collect()
        .await
        .map_err(Status::from)?;
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let values: Result<Vec<_>, _> = batch
                .columns()
                .iter()
                .map(|column| ScalarValue::try_from_array(column, row).map(Into::into))
                .collect();
            let values = values.map_err(|error| to_status(&Error::from_datafusion(error)))?;
            rows.push(ParamValues::List(values));
        }
    }
    Ok(rows)
}

fn schema_bytes(schema: &Schema) -> Result<bytes::Bytes, Error> {
    let message: IpcMessage = SchemaAsIpc::new(schema, &IpcWriteOptions::default())
        .try_into()
        .map_err(|error: datafusion::arrow::error::ArrowError| Error::bug(error.to_string()))?;
    Ok(message.0)
}
