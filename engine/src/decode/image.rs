//! One row as a message shows it: a slot for each column.

use super::names::{Found, Names};
use super::rejected::Rejected;
use super::rows::Rows;
use super::scanner::Scanner;
use super::slot::Slot;

/// A row of slots.
#[derive(Debug, Default)]
pub(super) struct Image {
    slots: Vec<Slot>,
    /// Whether the slot was named letter by letter; then a name in another case does not replace it.
    exact: Vec<bool>,
    /// True if the message has this row at all.
    is_present: bool,
}

impl Image {
    pub(super) fn new(columns: usize) -> Self {
        Self {
            slots: vec![Slot::Absent; columns],
            exact: vec![false; columns],
            is_present: false,
        }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        if self.is_present {
            self.slots.fill(Slot::Absent);
            self.exact.fill(false);
            self.is_present = false;
        }
    }

    pub(super) fn is_present(&self) -> bool {
        self.is_present
    }

    /// From now on the message has this row, if only with nothing in it.
    pub(super) fn begin(&mut self) {
        self.is_present = true;
    }

    #[inline]
    pub(super) fn get(&self, column: usize) -> Slot {
        self.slots.get(column).copied().unwrap_or_default()
    }

    /// Sets a column; of several values the last stands.
    #[inline]
    pub(super) fn set(&mut self, found: Found, slot: Slot) {
        self.is_present = true;
        if found.exact || !self.exact[found.column] {
            self.slots[found.column] = slot;
            self.exact[found.column] = found.exact;
        }
    }

    /// From now on nothing is said of a column.
    pub(super) fn forget(&mut self, column: usize) {
        self.slots[column] = Slot::Absent;
        self.exact[column] = false;
    }

    /// Reads an object in place of what was here. A null is no row.
    #[inline]
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_, '_>, names: &mut Names) -> Result<(), Rejected> {
        self.clear();
        if scanner.take_null()? {
            return Ok(());
        }
        let mut place = 0;
        let mut found = scanner.first(|name| names.find(place, name))?;
        self.is_present = true;
        while let Some(column) = found {
            match column {
                Some(column) => self.set(column, scanner.slot()?),
                None => scanner.skip()?,
            }
            place += 1;
            found = scanner.next(|name| names.find(place, name))?;
        }
        Ok(())
    }

    /// The same with a value that was passed over before. One that is no object is no row.
    pub(super) fn read_passed(&mut self, slot: Slot, text: &str, rows: &mut Rows) -> Result<(), Rejected> {
        self.clear();
        let Slot::Nested(piece) = slot else { return Ok(()) };
        let mut scanner = Scanner::part(text, piece, &mut rows.scratch);
        self.read(&mut scanner, &mut rows.names)?;
        scanner.finish()
    }

    /// True if all these columns have values.
    #[inline]
    pub(super) fn has(&self, columns: &[usize]) -> bool {
        self.is_present && columns.iter().all(|column| self.get(*column).is_set())
    }

    /// True if one of these columns has a value.
    pub(super) fn has_any(&self, columns: &[usize]) -> bool {
        self.is_present && columns.iter().any(|column| self.get(*column).is_set())
    }
}
