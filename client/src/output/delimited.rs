//! Rows as separated values, with a header.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::rows::{Error, Writer};

/// Separated values.
pub(super) struct Delimited<W: Write> {
    /// None after the end.
    csv: Option<csv::Writer<W>>,
    /// Columns as they are written: nested ones are text.
    schema: SchemaRef,
}

impl<W: Write> Delimited<W> {
    pub(super) fn new(delimiter: u8, schema: &SchemaRef, out: W) -> Result<Self, Error> {
        let fields: Vec<Field> = schema.fields().iter().map(|field| flat(field)).collect();
        let schema: SchemaRef = Schema::new(fields).into();
        let mut csv = csv::WriterBuilder::new()
            .with_header(true)
            .with_delimiter(delimiter)
            .build(out);
        // The header belongs to a result without rows as well.
        csv.write(&RecordBatch::new_empty(schema.clone()))?;
        Ok(Self {
            csv: Some(csv),
            schema,
        })
    }
}

impl<W: Write + Send> Writer for Delimited<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns: Vec<ArrayRef> = batch.columns().iter().map(flattened).collect::<Result<_, _>>()?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        match &mut self.csv {
            Some(csv) => Ok(csv.write(&batch)?),
            None => Err(Error::Format("rows after the end".to_owned())),
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        match self.csv.take() {
            Some(csv) => Ok(csv.into_inner().flush()?),
            None => Ok(()),
        }
    }
}

fn flat(field: &Field) -> Field {
    let data_type = if field.data_type().is_nested() {
        DataType::Utf8
    } else {
        field.data_type().clone()
    };
    Field::new(field.name(), data_type, true)
}

/// Turns nested values into text; the library writes only flat ones.
fn flattened(column: &ArrayRef) -> Result<ArrayRef, Error> {
    if !column.data_type().is_nested() {
        return Ok(column.clone());
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let texts = (0..column.len()).map(|row| match column.is_null(row) {
        true => Ok(None),
        false => formatter.value(row).try_to_string().map(Some),
    });
    Ok(Arc::new(texts.collect::<Result<StringArray, _>>()?))
}
