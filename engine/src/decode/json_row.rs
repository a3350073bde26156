//! A message is one object with a member for each column.

use super::Reader;
use super::change::{Message, Skip};
use super::image::Image;
use super::rejected::{Reason, Rejected};
use super::rows::Rows;
use super::scanner::Scanner;

/// Reads rows that are objects.
#[derive(Debug)]
pub(super) struct Json {
    row: Image,
}

impl Json {
    pub(super) fn new(rows: &Rows) -> Self {
        Self { row: rows.image() }
    }
}

impl Reader for Json {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let mut scanner = Scanner::new(text, &mut rows.scratch);
        self.row.read(&mut scanner, &mut rows.names)?;
        scanner.finish()?;
        if !self.row.is_present() {
            return Err(Rejected::new(Reason::NotObject, "expected an object, found null"));
        }
        rows.put_row(&self.row, (message, text))?;
        Ok(None)
    }

    fn read_null(&mut self, _: Message<'_>, _: &mut Rows) -> Result<Option<Skip>, Rejected> {
        Err(Rejected::new(
            Reason::NullValue,
            "expected an object, but the message has no value",
        ))
    }
}
