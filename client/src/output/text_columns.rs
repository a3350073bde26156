//! The columns of a batch as text, cell by cell.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::cell::push_visible;
use super::rows::Error;

/// What stands for a missing value.
const NULL: &str = "NULL";

/// Reads the cells of one batch.
pub(super) struct TextColumns<'a> {
    columns: Vec<ArrayFormatter<'a>>,
    /// Line ends stay in the text, for layouts that can show several lines.
    keep_lines: bool,
    buffer: String,
}

impl<'a> TextColumns<'a> {
    pub(super) fn new(batch: &'a RecordBatch, keep_lines: bool) -> Result<Self, Error> {
        let options = FormatOptions::default().with_null(NULL).with_display_error(true);
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
            keep_lines,
            buffer: String::new(),
        })
    }

    /// Number of columns.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Adds one cell to a text.
    pub(super) fn push_cell(&mut self, text: &mut String, row: usize, column: usize) -> Result<(), Error> {
        use std::fmt::Write;
        self.buffer.clear();
        write!(self.buffer, "{}", self.columns[column].value(row))
            .map_err(|_| Error::Format(format!("row {row}, column {column} has no text form")))?;
        push_visible(text, &self.buffer, self.keep_lines);
        Ok(())
    }
}

/// Names of the columns, made safe to show.
pub(super) fn names(schema: &SchemaRef) -> Vec<String> {
    let visible = |name: &String| {
        let mut text = String::new();
        push_visible(&mut text, name, false);
        text
    };
    schema
        .fields()
        .iter()
        .map(|field| visible(field.name()))
        .collect()
}

/// Whether values of a type stand at the right, so that their digits are below each other.
pub(super) fn is_right_aligned(data_type: &DataType) -> bool {
    data_type.is_numeric()
}
