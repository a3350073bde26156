//! A message is one object with a member for each column, or a list of such objects.

use super::Reader;
use super::change::{Message, Skip};
use super::image::Image;
use super::rejected::{Reason, Rejected};
use super::rows::Rows;
use super::scanner::Scanner;
use super::slot::Slot;

/// Reads rows that are objects.
#[derive(Debug)]
pub(super) struct Json {
    row: Image,
    /// The items of a list.
    items: Vec<Slot>,
}

impl Json {
    pub(super) fn new(rows: &Rows) -> Self {
        Self {
            row: rows.image(),
            items: Vec::new(),
        }
    }

    /// A row for each object of a list, which the scanner has passed over; all of them or none.
    fn put_items(
        &mut self,
        (message, text): (Message<'_>, &str),
        rows: &mut Rows,
    ) -> Result<Option<Skip>, Rejected> {
        // A key of the message names one row, not all of many.
        let key = message.key.filter(|_| self.items.len() == 1);
        let message = Message { key, ..message };
        for (place, item) in self.items.iter().enumerate() {
            self.row.read_passed(*item, text, rows)?;
            if !self.row.is_present() {
                let detail = format!("expected a list of objects, but item {place} is none");
                return Err(Rejected::new(Reason::NotObject, detail));
            }
            rows.put_row(&self.row, (message, text))?;
        }
        Ok(self.items.is_empty().then_some(Skip::Empty))
    }
}

impl Reader for Json {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let mut scanner = Scanner::new(text, &mut rows.scratch);
        if scanner.at_list()? {
            self.items.clear();
            scanner.slots(&mut self.items)?;
            scanner.finish()?;
            return self.put_items((message, text), rows);
        }
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
