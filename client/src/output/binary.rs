//! Rows in Arrow's and Parquet's own form, types and all.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::rows::{Error, Writer};

/// Arrow IPC for a pipe: readable from its start.
pub(super) struct ArrowStream<W: Write>(StreamWriter<W>);

/// Arrow IPC for a file: has an index at its end.
pub(super) struct ArrowFile<W: Write>(FileWriter<W>);

/// A Parquet file. A row group is held in memory until it is full.
pub(super) struct Parquet<W: Write + Send>(ArrowWriter<W>);

impl<W: Write> ArrowStream<W> {
    pub(super) fn new(schema: &SchemaRef, out: W) -> Result<Self, Error> {
        Ok(Self(StreamWriter::try_new(out, schema)?))
    }
}

impl<W: Write> ArrowFile<W> {
    pub(super) fn new(schema: &SchemaRef, out: W) -> Result<Self, Error> {
        Ok(Self(FileWriter::try_new(out, schema)?))
    }
}

impl<W: Write + Send> Parquet<W> {
    pub(super) fn new(schema: &SchemaRef, out: W) -> Result<Self, Error> {
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(compression).build();
        Ok(Self(ArrowWriter::try_new(out, schema.clone(), Some(properties))?))
    }
}

impl<W: Write + Send> Writer for ArrowStream<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        Ok(self.0.write(batch)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.0.finish()?;
        Ok(self.0.get_mut().flush()?)
    }
}

impl<W: Write + Send> Writer for ArrowFile<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        Ok(self.0.write(batch)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.0.finish()?;
        Ok(self.0.get_mut().flush()?)
    }
}

impl<W: Write + Send> Writer for Parquet<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        Ok(self.0.write(batch)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.0.finish()?;
        Ok(())
    }
}
