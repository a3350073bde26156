//! How the scheduler passes rows of a client on to an executor's data port, which stores them.
//!
//! `DoPut` with [`PUT_MARK`] and a [`ShardSink`] in the descriptor of its first message: the executor stores what follows
//! as a task under a [`ShardSinkExec`] would, and answers the same rows about its shards.

use std::sync::Arc;

use arrow_flight::FlightDescriptor;
use arrow_flight::encode::FlightDataEncoderBuilder;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::common::collect;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{Stream, StreamExt};
use millpond_proto::Message;
use millpond_proto::plan::ShardSink;
use parking_lot::Mutex;

use super::sink_exec::{ShardRow, ShardSinkExec};
use super::store::ShardStore;
use crate::connections::Connections;
use crate::error::Error;
use crate::schema::decode_schema;

/// Start of the descriptor's command.
pub const PUT_MARK: &[u8] = b"\0shards";

impl Connections {
    /// Has an executor store rows, and waits for the end of the stream. Dropping the future drops what was stored.
    ///
    /// # Errors
    /// [`crate::error::Code::EXECUTOR_LOST`], or what the executor refuses.
    pub async fn put_shards(
        &self,
        executor: &str,
        sink: &ShardSink,
        schema: SchemaRef,
        rows: impl Stream<Item = RecordBatch> + Send + 'static,
    ) -> std::result::Result<Vec<ShardRow>, Error> {
        let mut command = PUT_MARK.to_vec();
        sink.encode(&mut command)
            .map_err(|error| Error::bug(error.to_string()))?;
        let data = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command)))
            .build(rows.map(Ok));
        let answer = self.put(executor, data).await?;
        decode_rows(&answer).map_err(Error::from_datafusion)
    }
}

/// Stores a stream, which has the columns of the table, as one task; answers the rows about its shards.
///
/// # Errors
/// A full store, a null where there must be none, and whatever the stream ends with.
pub async fn store_rows(
    sink: ShardSink,
    rows: SendableRecordBatchStream,
    store: Arc<ShardStore>,
    context: Arc<TaskContext>,
) -> Result<Vec<RecordBatch>> {
    let table_schema = decode_schema(&sink.arrow_schema)?;
    let input = StreamingTableExec::try_new(
        rows.schema(),
        vec![Arc::new(Once::new(rows))],
        None,
        [],
        false,
        None,
    )?;
    let sink = ShardSinkExec::new(Arc::new(input), Arc::new(sink), table_schema, Some(store));
    collect(sink.execute(0, context)?).await
}

/// Rows about shards, as they are answered.
///
/// # Errors
/// None in practice: it writes to memory.
pub fn encode_rows(batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &ShardRow::schema())?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

fn decode_rows(bytes: &[u8]) -> Result<Vec<ShardRow>> {
    let mut rows = Vec::new();
    for batch in StreamReader::try_new(bytes, None)? {
        rows.extend(ShardRow::read(&batch?)?);
    }
    Ok(rows)
}

/// A stream as the input of a plan, which runs once.
struct Once {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl Once {
    fn new(rows: SendableRecordBatchStream) -> Self {
        Self {
            schema: rows.schema(),
            rows: Mutex::new(Some(rows)),
        }
    }
}

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Once")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().take();
        rows.unwrap_or_else(|| {
            Box::pin(datafusion::physical_plan::EmptyRecordBatchStream::new(
                self.schema.clone(),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::schema::encode_schema;
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::execution::memory_pool::UnboundedMemoryPool;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    fn schema(nullable: bool) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, nullable)]))
    }

    async fn stored(batches: Vec<Vec<Option<i64>>>) -> (Arc<ShardStore>, Result<Vec<ShardRow>>) {
        let store = Arc::new(ShardStore::new(
            Arc::new(UnboundedMemoryPool::default()),
            usize::MAX,
        ));
        let sink = ShardSink {
            table: "t".to_string(),
            write: "w".to_string(),
            arrow_schema: encode_schema(&schema(false)).unwrap(),
            ..Default::default()
        };
        let batches = batches.into_iter().map(|numbers| {
            Ok(RecordBatch::try_new(
                schema(true),
                vec![Arc::new(Int64Array::from(numbers))],
            )?)
        });
        let rows =
            RecordBatchStreamAdapter::new(schema(true), futures::stream::iter(batches.collect::<Vec<_>>()));
        let answer = store_rows(sink, Box::pin(rows), store.clone(), Arc::default()).await;
        let rows = answer.and_then(|batches| decode_rows(&encode_rows(&batches)?));
        (store, rows)
    }

    #[tokio::test]
    async fn a_stream_becomes_shards_that_are_answered() {
        let (store, rows) = stored(vec![vec![Some(1), Some(2)], vec![Some(3)]]).await;
        let rows = rows.unwrap();
        assert_eq!(rows.iter().map(|row| row.rows).collect::<Vec<_>>(), [3]);
        let listed = store.list();
        assert_eq!((listed[0].id, listed[0].write.as_str()), (rows[0].shard, "w"));
        assert!(stored(Vec::new()).await.1.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_null_where_there_must_be_none_leaves_nothing() {
        let (store, rows) = stored(vec![vec![Some(1)], vec![None]]).await;
        let error = Error::from_datafusion(rows.unwrap_err());
        assert_eq!(error.code, Code::TYPE_MISMATCH);
        assert!(store.list().is_empty());
    }
}
