//! Rows in a frame. The first rows set the widths of the columns; everything after them streams.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cell::{widest_line, width};
use super::rows::{Error, Writer};
use super::text_columns::{TextColumns, is_right_aligned, names};

/// Rows that are looked at before the first line is written.
const SAMPLED_ROWS: usize = 1_000;

/// A framed table.
pub(super) struct Table<W> {
    out: W,
    names: Vec<String>,
    right: Vec<bool>,
    widths: Vec<usize>,
    /// Rows that wait for the widths, in cells.
    sample: Vec<Vec<String>>,
    header_is_out: bool,
}

impl<W: Write> Table<W> {
    pub(super) fn new(schema: &SchemaRef, out: W) -> Self {
        let names = names(schema);
        let widths = names.iter().map(|name| width(name)).collect();
        let right = schema
            .fields()
            .iter()
            .map(|field| is_right_aligned(field.data_type()))
            .collect();
        Self {
            out,
            names,
            right,
            widths,
            sample: Vec::new(),
            header_is_out: false,
        }
    }

    fn add(&mut self, row: Vec<String>) -> Result<(), Error> {
        if self.header_is_out {
            return self.write_row(&row, true);
        }
        for (width, cell) in self.widths.iter_mut().zip(&row) {
            *width = (*width).max(widest_line(cell));
        }
        self.sample.push(row);
        if self.sample.len() >= SAMPLED_ROWS {
            self.release()
        } else {
            Ok(())
        }
    }

    /// Writes the header and the rows that waited.
    fn release(&mut self) -> Result<(), Error> {
        self.header_is_out = true;
        self.write_rule()?;
        let names = std::mem::take(&mut self.names);
        self.write_row(&names, false)?;
        self.write_rule()?;
        for row in std::mem::take(&mut self.sample) {
            self.write_row(&row, true)?;
        }
        Ok(())
    }

    fn write_rule(&mut self) -> Result<(), Error> {
        let mut rule = String::from("+");
        for width in &self.widths {
            rule.push_str(&"-".repeat(width + 2));
            rule.push('+');
        }
        Ok(writeln!(self.out, "{rule}")?)
    }

    /// Writes the lines of a row; a cell with several lines makes the row higher.
    fn write_row(&mut self, cells: &[String], align: bool) -> Result<(), Error> {
        let height = cells
            .iter()
            .map(|cell| cell.split('\n').count())
            .max()
            .unwrap_or(1);
        let mut line = String::new();
        for at in 0..height {
            line.clear();
            line.push('|');
            for (column, cell) in cells.iter().enumerate() {
                let part = cell.split('\n').nth(at).unwrap_or_default();
                let gap = " ".repeat(self.widths[column].saturating_sub(width(part)));
                let (before, after) = if align && self.right[column] {
                    (gap.as_str(), "")
                } else {
                    ("", gap.as_str())
                };
                line.extend([" ", before, part, after, " |"]);
            }
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }
}

impl<W: Write + Send> Writer for Table<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let mut columns = TextColumns::new(batch, true)?;
        for row in 0..batch.num_rows() {
            let mut cells = vec![String::new(); columns.len()];
            for (column, cell) in cells.iter_mut().enumerate() {
                columns.push_cell(cell, row, column)?;
            }
            self.add(cells)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        if !self.header_is_out {
            self.release()?;
        }
        self.write_rule()?;
        Ok(self.out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn table_of(values: Vec<&str>) -> String {
        let batch =
            RecordBatch::try_from_iter([("v", Arc::new(StringArray::from(values)) as ArrayRef)]).unwrap();
        let mut bytes = Vec::new();
        let mut table = Table::new(&batch.schema(), &mut bytes);
        table.write(&batch).unwrap();
        table.finish().unwrap();
        drop(table);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn value_with_several_lines_makes_the_row_higher() {
        assert_eq!(
            table_of(vec!["a\nbc"]),
            "+----+\n| v  |\n+----+\n| a  |\n| bc |\n+----+\n"
        );
    }

    #[test]
    fn wide_characters_keep_the_frame_straight() {
        assert_eq!(
            table_of(vec!["日本", "x"]),
            "+------+\n| v    |\n+------+\n| 日本 |\n| x    |\n+------+\n"
        );
    }

    #[test]
    fn rows_after_the_sample_are_all_there() {
        let wide = "w".repeat(30);
        let mut values = vec!["x"; SAMPLED_ROWS];
        values.push(&wide);
        let text = table_of(values);
        assert_eq!(text.lines().count(), SAMPLED_ROWS + 1 + 4);
        assert!(text.contains(&wide));
    }
}
