//! A message is one line of CSV with a field for each column, in the order of the table.

use super::Reader;
use super::change::{Message, Skip};
use super::image::Image;
use super::key;
use super::options::Options;
use super::rejected::{Reason, Rejected};
use super::rows::Rows;
use super::slot::{Piece, Slot};

/// Reads rows that are lines.
#[derive(Debug)]
pub(super) struct Csv {
    row: Image,
    columns: usize,
    delimiter: u8,
    null: String,
}

impl Csv {
    /// Errors: a text for null that is no field.
    pub(super) fn new(options: &Options, rows: &Rows) -> Result<Self, String> {
        let breaks = |byte: u8| byte == options.delimiter || matches!(byte, b'"' | b'\n' | b'\r');
        if options.null.bytes().any(breaks) {
            return Err(format!(
                "format.null {:?} has a delimiter, a quote or the end of a line in it",
                options.null
            ));
        }
        Ok(Self {
            row: rows.image(),
            columns: rows.width(),
            delimiter: options.delimiter,
            null: options.null.clone(),
        })
    }

    /// Takes the field at `start`; answers where it ends.
    fn field(&self, text: &str, start: usize, scratch: &mut String) -> Result<(Slot, usize), Rejected> {
        let rest = &text.as_bytes()[start..];
        if rest.first() == Some(&b'"') {
            return quoted(text, start, scratch);
        }
        let end = rest.iter().position(|byte| *byte == self.delimiter);
        let end = end.map_or(text.len(), |length| start + length);
        let field = &text[start..end];
        let slot = if field == self.null {
            Slot::Null
        } else {
            Slot::Text(Piece::of_message(start, end))
        };
        Ok((slot, end))
    }
}

impl Reader for Csv {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        self.row.clear();
        let (mut at, mut fields) = (0, 0);
        loop {
            let (slot, end) = self.field(line, at, &mut rows.scratch.text)?;
            if fields < self.columns {
                self.row.set(key::exactly(fields), slot);
            }
            fields += 1;
            match line.as_bytes().get(end) {
                None => break,
                Some(byte) if *byte == self.delimiter => at = end + 1,
                Some(_) => {
                    let detail = format!("something follows the quotes at byte {end}");
                    return Err(Rejected::new(Reason::NotCsv, detail));
                }
            }
        }
        if fields != self.columns {
            let detail = format!("expected {} fields, found {fields}", self.columns);
            return Err(Rejected::new(Reason::NotCsv, detail));
        }
        rows.put_row(&self.row, (message, text))?;
        Ok(None)
    }

    fn read_null(&mut self, _: Message<'_>, _: &mut Rows) -> Result<Option<Skip>, Rejected> {
        Err(Rejected::new(
            Reason::NullValue,
            "expected a line, but the message has no value",
        ))
    }
}

/// A field in quotes; two of them stand for one.
fn quoted(text: &str, start: usize, scratch: &mut String) -> Result<(Slot, usize), Rejected> {
    let open = start + 1;
    let mut doubled = false;
    let mut at = open;
    loop {
        let quote = text.as_bytes()[at..].iter().position(|byte| *byte == b'"');
        let Some(close) = quote.map(|length| at + length) else {
            let detail = format!("the quotes at byte {start} do not close");
            return Err(Rejected::new(Reason::NotCsv, detail));
        };
        if text.as_bytes().get(close + 1) == Some(&b'"') {
            doubled = true;
            at = close + 2;
            continue;
        }
        let piece = if doubled {
            Piece::copy(&text[open..close].replace("\"\"", "\""), scratch)
        } else {
            Piece::of_message(open, close)
        };
        return Ok((Slot::Text(piece), close + 1));
    }
}
