//! Direct plans: whole queries that the scheduler sends to this executor, outside of Ballista's tasks.
//!
//! They take their memory from the same budget as tasks. A few run side by side, the others wait for their turn.

use std::sync::Arc;
use std::time::Instant;

use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::runtime_cache::SessionRuntimeCache;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use millpond_engine::direct::{self, Query};
use millpond_engine::error::Error;
use millpond_engine::session;
use millpond_engine::shards::ShardRead;
use millpond_proto::Message;
use millpond_proto::plan::{DirectTicket, ShardTicket};
use tokio::sync::Semaphore;
use tonic::Status;

use crate::ballista::TaskRuntimes;

/// Plans that run at the same time, for each vcore.
const RUNNING_PER_VCORE: usize = 4;
/// Bytes of text in a status. It travels in a header, which clients limit to 8 KiB or 16 KiB, percent-encoded.
const TEXT_BYTES_MAX: usize = 3_000;

/// Reads and runs what the scheduler sends outside of tasks.
pub(crate) struct Plans {
    functions: Arc<BallistaFunctionRegistry>,
    codec: Arc<dyn PhysicalExtensionCodec>,
    runtimes: Arc<TaskRuntimes>,
    vcores: usize,
    turns: Arc<Semaphore>,
}

impl Plans {
    /// Plans may use all `vcores`.
    pub(crate) fn new(
        functions: Arc<BallistaFunctionRegistry>,
        codec: Arc<dyn PhysicalExtensionCodec>,
        runtimes: Arc<TaskRuntimes>,
        vcores: usize,
    ) -> Self {
        Self {
            functions,
            codec,
            runtimes,
            vcores,
            turns: Arc::new(Semaphore::new(vcores.max(1) * RUNNING_PER_VCORE)),
        }
    }

    /// Runs the plan of a ticket. It ends when the stream is dropped.
    pub(crate) async fn run(
        &self,
        ticket: &[u8],
    ) -> Result<BoxStream<'static, Result<FlightData, Status>>, Status> {
        let ticket =
            DirectTicket::decode(ticket).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let start = Instant::now();
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| Status::unavailable("this executor is about to end"))?;
        let rows = self.start(&ticket).await.map_err(|error| refused(&error))?;
        tracing::debug!(statement = ticket.statement, elapsed = ?start.elapsed(), "started a direct plan");
        let schema = rows.schema();
        let rows = rows
            .map_err(|error| FlightError::Tonic(Box::new(refused(&Error::from_datafusion(error)))))
            .inspect(move |_| {
                let _ = &turn;
            });
        Ok(FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .build(rows)
            .map_err(Status::from)
            .boxed())
    }

    /// Reads the request for a shard of these columns.
    ///
    /// # Errors
    /// A request of another version.
    pub(crate) fn shard_read(
        &self,
        ticket: &ShardTicket,
        schema: &SchemaRef,
    ) -> datafusion::error::Result<ShardRead> {
        ShardRead::of_ticket(ticket, schema, &self.context(), self.codec.as_ref())
    }

    /// What work for no statement in particular is done with.
    pub(crate) fn context(&self) -> TaskContext {
        direct::task_context(
            "",
            session::session_config(),
            &self.functions,
            self.runtimes.base(),
        )
    }

    async fn start(
        &self,
        ticket: &DirectTicket,
    ) -> Result<datafusion::execution::SendableRecordBatchStream, Error> {
        let vcores = u32::try_from(self.vcores).unwrap_or(u32::MAX);
        let config = session::session_config();
        let runtime = self
            .runtimes
            .produce_runtime(&ticket.statement, &config, vcores)
            .map_err(Error::from_datafusion)?;
        let query = Query::decode(ticket, &self.functions, self.codec.as_ref(), runtime)
            .map_err(Error::from_datafusion)?;
        if ticket.analyze {
            query.analyze().await
        } else {
            query.run()
        }
        .map_err(Error::from_datafusion)
    }
}

/// The status by which the scheduler knows an error of what it asked for from one of the connection.
pub(crate) fn refused(error: &Error) -> Status {
    Status::aborted(error.user_text_within(TEXT_BYTES_MAX))
}
