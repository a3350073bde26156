//! Rows of clients that the scheduler passes on to be stored here.

use std::sync::Arc;

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, PutResult};
use datafusion::arrow::datatypes::Schema;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};
use millpond_engine::error::Error;
use millpond_engine::schema::decode_schema;
use millpond_engine::shards::ingest::{PUT_MARK, encode_rows, store_rows};
use millpond_engine::shards::{Fitting, ShardStore};
use millpond_proto::Message;
use millpond_proto::plan::ShardSink;
use tonic::{Status, Streaming};

use crate::direct::refused;

/// Stores a stream to its end and answers what is in store now. Dropping the future leaves nothing.
pub(crate) async fn store(
    mut data: Streaming<FlightData>,
    store: Arc<ShardStore>,
    context: TaskContext,
) -> Result<PutResult, Status> {
    let first = data.message().await?;
    let first = first.ok_or_else(|| Status::invalid_argument("the stream is empty"))?;
    let command = first
        .flight_descriptor
        .as_ref()
        .map(|descriptor| descriptor.cmd.as_ref());
    let Some(sink) = command.and_then(|command| command.strip_prefix(PUT_MARK)) else {
        return Err(Status::unimplemented("DoPut is for shards only"));
    };
    let sink = ShardSink::decode(sink).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let source = Schema::try_from(&first).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let data = stream::iter([Ok(first)]).chain(data).map_err(FlightError::from);
    let rows = FlightRecordBatchStream::new_from_flight_data(data);
    write(sink, &source, rows, store, context)
        .await
        .map_err(|error| refused(&error))
}

async fn write(
    sink: ShardSink,
    source: &Schema,
    rows: FlightRecordBatchStream,
    store: Arc<ShardStore>,
    context: TaskContext,
) -> Result<PutResult, Error> {
    let table_schema = decode_schema(&sink.arrow_schema).map_err(Error::from_datafusion)?;
    let fitting = Fitting::new(&sink.table, source, &table_schema)?;
    let schema = fitting.schema().clone();
    let rows = rows.map(move |batch| {
        let batch = batch.map_err(|error| Error::bug(format!("rows to store cannot be read: {error}")))?;
        Ok(fitting.apply(&batch)?)
    });
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
    let answer = store_rows(sink, rows, store, Arc::new(context)).await;
    let bytes = answer
        .and_then(|shards| encode_rows(&shards))
        .map_err(Error::from_datafusion)?;
    Ok(PutResult {
        app_metadata: bytes.into(),
    })
}
