//! Shards on the local disk: a file in Arrow's IPC format each, mapped into memory when it is read.
//!
//! A file is there for this process alone and goes with its last reader; one that cannot be finished, for example
//! because the disk is full, goes at once. Its pages are the system's to keep or drop, so they count nowhere as
//! memory of a table.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::{FileDecoder, read_footer_length};
use datafusion::arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use datafusion::arrow::ipc::{Block, CompressionType, MetadataVersion, root_as_footer};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use memmap2::Mmap;
use tempfile::{NamedTempFile, TempPath};

use super::packed::Column;
use super::shard::{ShardId, batch_of};
use crate::error::{Code, Error};

/// Bytes at the end of a file: length of the footer and a mark.
const TRAILER_BYTES: usize = 10;

/// Rows in Arrow's IPC format on their way to `W`.
pub(super) struct IpcWriter<W: Write> {
    ipc: FileWriter<BufWriter<W>>,
    schema: SchemaRef,
}

impl<W: Write> IpcWriter<W> {
    pub(super) fn new(writer: W, table: &SchemaRef, compression: Option<CompressionType>) -> Result<Self> {
        let schema = without_dictionaries(table);
        let options = IpcWriteOptions::default().try_with_compression(compression)?;
        let ipc = FileWriter::try_new_with_options(BufWriter::new(writer), &schema, options)?;
        Ok(Self { ipc, schema })
    }

    /// Adds rows of the table.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| in_type(column.clone(), field.data_type()));
        let columns = columns.collect::<Result<_>>()?;
        Ok(self
            .ipc
            .write(&batch_of(self.schema.clone(), columns, batch.num_rows())?)?)
    }

    pub(super) fn finish(self) -> Result<W> {
        let writer = self.ipc.into_inner()?;
        Ok(writer.into_inner().map_err(std::io::IntoInnerError::into_error)?)
    }
}

/// Whether rows of these columns can be in a file: the format has one dictionary for a whole file, so those inside of
/// lists and structs have no place in it.
pub(super) fn has_place_for(table: &Schema) -> bool {
    let schema = without_dictionaries(table);
    let mut fields = schema.flattened_fields().into_iter();
    fields.all(|field| !matches!(field.data_type(), DataType::Dictionary(..)))
}

fn without_dictionaries(schema: &Schema) -> SchemaRef {
    let plain = |field: &Arc<Field>| match field.data_type() {
        DataType::Dictionary(_, words) => Arc::new(field.as_ref().clone().with_data_type(*words.clone())),
        _ => field.clone(),
    };
    let fields: Vec<Arc<Field>> = schema.fields().iter().map(plain).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn in_type(column: ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    if column.data_type() == wanted {
        Ok(column)
    } else {
        Ok(cast(&column, wanted)?)
    }
}

/// A file that gets rows. Dropped before [`FileBeingWritten::finish`], it leaves nothing.
pub(super) struct FileBeingWritten {
    ipc: IpcWriter<File>,
    path: TempPath,
    table: SchemaRef,
}

impl FileBeingWritten {
    /// A new file for a shard of these columns.
    pub(super) fn create(folder: &Path, shard: ShardId, table: &SchemaRef) -> Result<Self> {
        if !has_place_for(table) {
            let message = "a dictionary inside of a list or struct cannot be kept on disk";
            return Err(Error::user(Code::NOT_SUPPORTED, message).into());
        }
        let (file, path) = tempfile::Builder::new()
            .prefix(&format!("{shard}-"))
            .suffix(".arrow")
            .tempfile_in(folder)
            .map(NamedTempFile::into_parts)?;
        Ok(Self {
            ipc: IpcWriter::new(file, table, None)?,
            path,
            table: table.clone(),
        })
    }

    /// Adds rows of the table.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.ipc.write(batch)
    }

    /// Closes the file, to be read from now on.
    pub(super) fn finish(self) -> Result<ShardFile> {
        let file = self.ipc.finish()?;
        ShardFile::map(&file, self.path, self.table)
    }
}

/// The rows of a shard in a file.
pub(super) struct ShardFile {
    contents: Buffer,
    blocks: Vec<Block>,
    version: MetadataVersion,
    table: SchemaRef,
    /// Removes the file when it is dropped.
    _path: TempPath,
}

impl ShardFile {
    fn map(file: &File, path: TempPath, table: SchemaRef) -> Result<Self> {
        #[expect(unsafe_code, reason = "mapping a file has no safe form")]
        // SAFETY: the file lies in a folder that this process has locked, nobody writes it again, and its name was
        // drawn just now, so what is mapped does not change.
        let mapped = unsafe { Mmap::map(file)? };
        let contents = Buffer::from(Bytes::from_owner(mapped));
        let damaged = || internal_datafusion_err!("{} has no footer", path.display());
        let trailer = contents.len().checked_sub(TRAILER_BYTES).ok_or_else(damaged)?;
        let length = contents[trailer..].try_into().map_err(|_| damaged())?;
        let start = trailer
            .checked_sub(read_footer_length(length)?)
            .ok_or_else(damaged)?;
        let footer = root_as_footer(&contents[start..trailer]).map_err(|_| damaged())?;
        Ok(Self {
            blocks: footer.recordBatches().iter().flatten().copied().collect(),
            version: footer.version(),
            contents,
            table,
            _path: path,
        })
    }

    /// Its length.
    pub(super) fn bytes(&self) -> usize {
        self.contents.len()
    }

    /// Some columns of a batch, in the order of `wanted`, where they lie in the file.
    pub(super) fn columns(&self, batch: usize, wanted: &[usize]) -> Result<Vec<Column>> {
        let mut read = wanted.to_vec();
        read.sort_unstable();
        read.dedup();
        let found = self.batch(batch, read.clone())?;
        let column = |wanted: &usize| {
            let place = read.partition_point(|column| column < wanted);
            let stored = found.column(place).clone();
            let data_type = self.table.field(*wanted).data_type();
            Ok(Column::mapped(in_type(stored, data_type)?))
        };
        wanted.iter().map(column).collect()
    }

    fn batch(&self, batch: usize, columns: Vec<usize>) -> Result<RecordBatch> {
        let decoder =
            FileDecoder::new(without_dictionaries(&self.table), self.version).with_projection(columns);
        #[expect(unsafe_code, reason = "checking every text again in every read is slow")]
        // SAFETY: this process wrote the file with Arrow's writer, and nobody has changed it since.
        let decoder = unsafe { decoder.with_skip_validation(true) };
        let block = &self.blocks[batch];
        let outside = |_| ArrowError::IpcError(format!("batch {batch} lies outside of its file"));
        let start = usize::try_from(block.offset()).map_err(outside)?;
        let head = usize::try_from(block.metaDataLength()).map_err(outside)?;
        let body = usize::try_from(block.bodyLength()).map_err(outside)?;
        let found = decoder.read_record_batch(block, &self.contents.slice_with_length(start, head + body))?;
        found.ok_or_else(|| internal_datafusion_err!("batch {batch} is not in its file"))
    }
}
