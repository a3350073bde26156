//! Concatenates Parquet files: row groups are copied as they are, under one new footer.
//!
//! Column and offset indexes are moved with their chunks; the layout is that of
//! <https://parquet.apache.org/docs/file-format/>. At most one column chunk is held in memory. Bloom filters are not
//! copied: they are an aid to readers that Millpond writes only when asked, and then a file is still correct.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::error::{DataFusionError, Result};
use datafusion::object_store::buffered::BufWriter;
use datafusion::object_store::path::Path;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use parquet::arrow::async_reader::MetadataFetch;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedFileWriter;

/// Bytes that the Parquet writer has made and the object store has not taken yet.
#[derive(Debug, Default, Clone)]
struct Pending(Arc<Mutex<Vec<u8>>>);

impl Pending {
    async fn drain_to(&self, writer: &mut BufWriter) -> Result<()> {
        let bytes = std::mem::take(&mut *self.0.lock());
        Ok(writer.put(bytes.into()).await?)
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The bytes of one column chunk, addressed as in the file they came from.
struct Chunk {
    start: u64,
    bytes: Bytes,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Chunk {
    type T = <Bytes as ChunkReader>::T;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.bytes.get_read(self.inside(start)?)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.bytes.get_bytes(self.inside(start)?, length)
    }
}

impl Chunk {
    fn inside(&self, start: u64) -> parquet::errors::Result<u64> {
        start
            .checked_sub(self.start)
            .ok_or_else(|| ParquetError::General("a page lies outside its column chunk".to_string()))
    }
}

/// A file to read from.
struct Source<'a> {
    store: &'a dyn ObjectStore,
    path: &'a Path,
}

impl MetadataFetch for &Source<'_> {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let read = self.store.get_range(self.path, range);
        read.map(|read| read.map_err(|error| ParquetError::External(Box::new(error))))
            .boxed()
    }
}

impl Source<'_> {
    async fn metadata(&self) -> Result<ParquetMetaData> {
        let size = self.store.head(self.path).await?.size;
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        Ok(reader.load_and_finish(self, size).await?)
    }
}

/// Writes the row groups of all `sources`, which have one schema, to `writer`.
pub(super) async fn concatenate(
    store: &Arc<dyn ObjectStore>,
    sources: &[Path],
    writer: &mut BufWriter,
) -> Result<()> {
    let pending = Pending::default();
    let mut file: Option<SerializedFileWriter<Pending>> = None;
    for path in sources {
        let source = Source {
            store: store.as_ref(),
            path,
        };
        let metadata = source.metadata().await?;
        let file = match &mut file {
            Some(file) => file,
            none => none.insert(new_file(&pending, &metadata)?),
        };
        append(file, &source, &metadata, &pending, writer).await?;
    }
    if let Some(file) = file {
        file.close()?;
        pending.drain_to(writer).await?;
    }
    Ok(())
}

/// A file with the schema and the key-value pairs of the first source.
fn new_file(pending: &Pending, metadata: &ParquetMetaData) -> Result<SerializedFileWriter<Pending>> {
    let description = metadata.file_metadata();
    let properties = WriterProperties::builder()
        .set_key_value_metadata(description.key_value_metadata().cloned())
        .build();
    let schema = description.schema_descr().root_schema_ptr();
    Ok(SerializedFileWriter::new(
        pending.clone(),
        schema,
        Arc::new(properties),
    )?)
}

async fn append(
    file: &mut SerializedFileWriter<Pending>,
    source: &Source<'_>,
    metadata: &ParquetMetaData,
    pending: &Pending,
    writer: &mut BufWriter,
) -> Result<()> {
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let mut out = file.next_row_group()?;
        for (index, column) in group.columns().iter().enumerate() {
            let (start, length) = column.byte_range();
            let bytes = source.store.get_range(source.path, start..start + length).await?;
            let column_index = metadata
                .column_index()
                .and_then(|groups| groups.get(number)?.get(index).cloned());
            let offset_index = metadata
                .offset_index()
                .and_then(|groups| groups.get(number)?.get(index).cloned());
            let close = ColumnCloseResult {
                bytes_written: length,
                rows_written: u64::try_from(group.num_rows()).unwrap_or_default(),
                metadata: column.clone(),
                bloom_filter: None,
                column_index,
                offset_index,
            };
            out.append_column(&Chunk { start, bytes }, close)
                .map_err(DataFusionError::from)?;
            pending.drain_to(writer).await?;
        }
        out.close()?;
    }
    Ok(())
}
