//! Rows as a Markdown table. The columns are not padded, so that everything streams.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::rows::{Error, Writer};
use super::text_columns::{TextColumns, is_right_aligned, names};

/// A Markdown table.
pub(super) struct Markdown<W> {
    out: W,
    /// Header and rule, until they are written.
    header: Option<String>,
}

impl<W: Write> Markdown<W> {
    pub(super) fn new(schema: &SchemaRef, out: W) -> Self {
        let mut header = String::from("|");
        for name in names(schema) {
            header.extend([" ", &escaped(&name), " |"]);
        }
        header.push_str("\n|");
        for field in schema.fields() {
            header.push_str(if is_right_aligned(field.data_type()) {
                " ---: |"
            } else {
                " --- |"
            });
        }
        Self {
            out,
            header: Some(header),
        }
    }

    fn write_header(&mut self) -> Result<(), Error> {
        match self.header.take() {
            Some(header) => Ok(writeln!(self.out, "{header}")?),
            None => Ok(()),
        }
    }
}

impl<W: Write + Send> Writer for Markdown<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.write_header()?;
        let mut columns = TextColumns::new(batch, false)?;
        let (mut line, mut cell) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            line.clear();
            line.push('|');
            for column in 0..columns.len() {
                cell.clear();
                columns.push_cell(&mut cell, row, column)?;
                line.extend([" ", &escaped(&cell), " |"]);
            }
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.write_header()?;
        Ok(self.out.flush()?)
    }
}

fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_in_a_value_does_not_end_the_cell() {
        assert_eq!(escaped("a|b"), "a\\|b");
    }
}
