//! Rows as JSON. Missing values are written as `null`, so that every object has every key.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited};

use super::rows::{Error, Writer};

/// One array of objects, an object per line.
pub(super) struct Array<W: Write>(arrow::json::Writer<W, SpacedArray>);

/// One object per line.
pub(super) struct Lines<W: Write>(arrow::json::Writer<W, LineDelimited>);

/// An array with a line end after each comma.
#[derive(Debug, Default)]
struct SpacedArray(JsonArray);

impl JsonFormat for SpacedArray {
    fn start_stream<W: Write>(&self, writer: &mut W) -> Result<(), arrow::error::ArrowError> {
        self.0.start_stream(writer)
    }

    fn start_row<W: Write>(
        &self,
        writer: &mut W,
        is_first_row: bool,
    ) -> Result<(), arrow::error::ArrowError> {
        if !is_first_row {
            writer.write_all(b",\n")?;
        }
        Ok(())
    }

    fn end_stream<W: Write>(&self, writer: &mut W) -> Result<(), arrow::error::ArrowError> {
        Ok(writer.write_all(b"]\n")?)
    }
}

impl<W: Write> Array<W> {
    pub(super) fn new(out: W) -> Self {
        Self(WriterBuilder::new().with_explicit_nulls(true).build(out))
    }
}

impl<W: Write> Lines<W> {
    pub(super) fn new(out: W) -> Self {
        Self(WriterBuilder::new().with_explicit_nulls(true).build(out))
    }
}

impl<W: Write + Send> Writer for Array<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        Ok(self.0.write(batch)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.0.finish()?;
        Ok(self.0.get_mut().flush()?)
    }
}

impl<W: Write + Send> Writer for Lines<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        Ok(self.0.write(batch)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.0.finish()?;
        Ok(self.0.get_mut().flush()?)
    }
}
