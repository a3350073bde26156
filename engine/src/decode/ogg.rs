//! The operations of Oracle GoldenGate: `{"table", "op_type", "before", "after"}`. An update may leave out columns that
//! it did not touch; they keep what they have.

use super::Reader;
use super::change::{Message, Skip};
use super::image::Image;
use super::options::Options;
use super::rejected::{Reason, Rejected, quote};
use super::rows::{Absent, Before, Rows};
use super::scanner::Scanner;
use super::slot::Slot;
use super::wanted::Wanted;

const MISSING: &str = "member \"after\" is null or missing";

/// Reads operations of GoldenGate.
#[derive(Debug)]
pub(super) struct Ogg {
    wanted: Wanted,
    before: Image,
    after: Image,
}

enum Member {
    Table,
    Type,
    Before,
    After,
    Other,
}

impl Member {
    fn of(name: &str) -> Self {
        match name {
            "table" => Self::Table,
            "op_type" => Self::Type,
            "before" => Self::Before,
            "after" => Self::After,
            _ => Self::Other,
        }
    }
}

impl Ogg {
    pub(super) fn new(options: &Options, rows: &Rows) -> Self {
        Self {
            wanted: Wanted::new(options.table.clone()),
            before: rows.image(),
            after: rows.image(),
        }
    }

    /// Reads the images; answers the operation and the table.
    fn walk(&mut self, text: &str, rows: &mut Rows) -> Result<(Slot, Slot), Rejected> {
        self.before.clear();
        self.after.clear();
        let (mut op, mut table) = (Slot::Absent, Slot::Absent);
        let mut scanner = Scanner::new(text, &mut rows.scratch);
        let mut member = scanner.first(Member::of)?;
        while let Some(which) = member {
            match which {
                Member::Table => table = scanner.slot()?,
                Member::Type => op = scanner.slot()?,
                Member::Before => self.before.read(&mut scanner, &mut rows.names)?,
                Member::After => self.after.read(&mut scanner, &mut rows.names)?,
                Member::Other => scanner.skip()?,
            }
            member = scanner.next(Member::of)?;
        }
        scanner.finish()?;
        Ok((op, table))
    }
}

impl Reader for Ogg {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let (op, table) = self.walk(text, rows)?;
        let texts = rows.texts(text);
        if !self.wanted.takes(None, texts.text(table)) {
            return Ok(Some(Skip::OtherTable));
        }
        let from = (message, text);
        let images = (&self.after, &self.before);
        match texts.show(op) {
            "I" => rows.put_change(images, MISSING, (Absent::BecomeNull, Before::Ignored), from)?,
            "U" => rows.put_change(images, MISSING, (Absent::Stay, Before::Whole), from)?,
            "D" => rows.delete(&[&self.before, &self.after], from)?,
            "T" => rows.truncate(),
            op => {
                let detail = format!("member \"op_type\": expected I, U, D or T, found {}", quote(op));
                return Err(Rejected::new(Reason::UnknownOperation, detail));
            }
        }
        Ok(None)
    }
}
