//! Rows with one line per value, for rows that are wider than the terminal.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cell::width;
use super::rows::{Error, Writer};
use super::text_columns::{TextColumns, names};

/// One line per value.
pub(super) struct Expanded<W> {
    out: W,
    /// Names, filled up to the same width.
    names: Vec<String>,
    rows: u64,
}

impl<W: Write> Expanded<W> {
    pub(super) fn new(schema: &SchemaRef, out: W) -> Self {
        let names = names(schema);
        let widest = names.iter().map(|name| width(name)).max().unwrap_or(0);
        let filled = names
            .into_iter()
            .map(|name| format!("{name}{}", " ".repeat(widest - width(&name))))
            .collect();
        Self {
            out,
            names: filled,
            rows: 0,
        }
    }
}

impl<W: Write + Send> Writer for Expanded<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let mut columns = TextColumns::new(batch, true)?;
        let mut cell = String::new();
        for row in 0..batch.num_rows() {
            self.rows += 1;
            writeln!(self.out, "-[ row {} ]-", self.rows)?;
            for (column, name) in self.names.iter().enumerate() {
                cell.clear();
                columns.push_cell(&mut cell, row, column)?;
                let continued = format!("\n{} | ", " ".repeat(width(name)));
                writeln!(self.out, "{name} | {}", cell.replace('\n', &continued))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(self.out.flush()?)
    }
}
