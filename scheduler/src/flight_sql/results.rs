//! From a finished statement to `FlightInfo`, and from a ticket to a stream of batches.

use std::sync::Arc;

use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::DataFusionError;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use millpond_engine::error::Error;
use millpond_proto::Message;
use tonic::Status;

use super::status::to_status;
use super::ticket::Signer;
use crate::statement::{Phase, ResultSet, Rows, Services, Statement};

/// Batches on their way to a client.
pub(super) type FlightStream = BoxStream<'static, Result<FlightData, Status>>;

/// Describes where a statement stands. Tickets are there once it has finished, or has announced what it will answer.
pub(super) fn flight_info(
    statement: &Statement,
    signer: &Signer,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let progress = statement.progress();
    let mut info = FlightInfo::new()
        .with_descriptor(descriptor)
        .with_ordered(true)
        .with_app_metadata(progress.status.encode_to_vec());
    let (columns, partitions) = match (&progress.phase, &progress.announced) {
        (Phase::Failed(error), _) => return Err(to_status(error)),
        (Phase::Finished(result), _) => (&result.schema, result.partitions()),
        (Phase::Queued | Phase::Running, Some(columns)) => (columns, 1),
        (Phase::Queued | Phase::Running, None) => return Ok(info),
    };
    info = info
        .try_with_schema(columns)
        .map_err(|error| Status::internal(error.to_string()))?;
    for partition in 0..partitions {
        let handle = signer.sign(&statement.id, partition as u32, &statement.session.principal);
        let ticket = TicketStatementQuery {
            statement_handle: handle.into(),
        };
        info = info
            .with_endpoint(FlightEndpoint::new().with_ticket(Ticket::new(ticket.as_any().encode_to_vec())));
    }
    Ok(info)
}

/// Streams one partition of a result.
pub(super) async fn partition_stream(
    services: &Services,
    statement: &Arc<Statement>,
    result: &ResultSet,
    partition: u32,
) -> Result<FlightStream, Error> {
    let rows = result.read(services, statement, partition as usize).await?;
    Ok(encode(result.schema.clone(), rows))
}

/// Streams rows that are at hand.
pub(super) fn batch_stream(batch: RecordBatch) -> FlightStream {
    encode(batch.schema(), stream::iter([Ok(batch)]).boxed())
}

fn encode(schema: SchemaRef, batches: Rows) -> FlightStream {
    let declared = schema.clone();
    let batches = batches
        .map(move |batch| batch.and_then(|batch| with_schema(batch, &declared)))
        .map_err(|error| FlightError::Tonic(Box::new(to_status(&Error::from_datafusion(error)))));
    FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .build(batches)
        .map_err(Status::from)
        .boxed()
}

/// Gives a batch the schema that was announced. An executor's batch can differ in names, nullability and metadata,
/// and where the planner chose another physical type for the same values.
fn with_schema(batch: RecordBatch, schema: &Arc<Schema>) -> Result<RecordBatch, DataFusionError> {
    if batch.schema_ref() == schema {
        return Ok(batch);
    }
    let columns = batch.columns().iter().zip(schema.fields());
    let columns: Result<Vec<_>, _> = columns
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(column.clone())
            } else {
                cast(column, field.data_type())
            }
        })
        .collect();
    let rows = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns?,
        &rows,
    )?)
}
