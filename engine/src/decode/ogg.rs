//! The operations of Oracle GoldenGate: `{"table", "op_type", "before", "after"}`. An update may leave out columns that
//! it did not touch; they keep what they have. It may also write them as null and beside them a mark that they are missing,
//! `{"NAME": null, "NAME_isMissing": true}` (`includeIsMissingFields`).

use super::Reader;
use super::change::{Message, Skip};
use super::image::Image;
use super::names::{Found, Names};
use super::options::Options;
use super::rejected::{Reason, Rejected, quote};
use super::rows::{Absent, Before, Rows};
use super::scanner::Scanner;
use super::slot::Slot;
use super::wanted::Wanted;

const MISSING: &str = "member \"after\" is null or missing";
/// Ends the name of a mark that a column is missing.
const IS_MISSING: &str = "_isMissing";

/// Reads operations of GoldenGate.
#[derive(Debug)]
pub(super) struct Ogg {
    wanted: Wanted,
    before: Image,
    after: Image,
    /// Columns of an image that are missing.
    missing: Vec<usize>,
}

enum Value {
    Column(Found),
    /// The mark of a column.
    Mark(usize),
    Other,
}

impl Value {
    /// What a table has a column for is that column.
    fn of(name: &str, place: usize, names: &mut Names) -> Self {
        if let Some(found) = names.find(place, name) {
            return Self::Column(found);
        }
        let marked = name.strip_suffix(IS_MISSING).and_then(|name| names.lookup(name));
        marked.map_or(Self::Other, |found| Self::Mark(found.column))
    }
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
            missing: Vec::new(),
        }
    }

    /// Reads the images; answers the operation and the table.
    fn walk(&mut self, text: &str, rows: &mut Rows) -> Result<(Slot, Slot), Rejected> {
        let Self {
            before,
            after,
            missing,
            ..
        } = self;
        before.clear();
        after.clear();
        let (mut op, mut table) = (Slot::Absent, Slot::Absent);
        let mut scanner = Scanner::new(text, &mut rows.scratch);
        let mut member = scanner.first(Member::of)?;
        while let Some(which) = member {
            match which {
                Member::Table => table = scanner.slot()?,
                Member::Type => op = scanner.slot()?,
                Member::Before => read_row(before, missing, &mut scanner, &mut rows.names)?,
                Member::After => read_row(after, missing, &mut scanner, &mut rows.names)?,
                Member::Other => scanner.skip()?,
            }
            member = scanner.next(Member::of)?;
        }
        scanner.finish()?;
        Ok((op, table))
    }
}

/// Reads an image in place of what was in it, without the columns that are missing. Their marks may come before them.
fn read_row(
    image: &mut Image,
    missing: &mut Vec<usize>,
    scanner: &mut Scanner<'_, '_>,
    names: &mut Names,
) -> Result<(), Rejected> {
    image.clear();
    missing.clear();
    if scanner.take_null()? {
        return Ok(());
    }
    let mut place = 0;
    let mut value = scanner.first(|name| Value::of(name, place, names))?;
    image.begin();
    while let Some(which) = value {
        match which {
            Value::Column(found) => image.set(found, scanner.slot()?),
            Value::Mark(column) => {
                let is_missing = matches!(scanner.slot()?, Slot::Bool(true));
                missing.extend(is_missing.then_some(column));
            }
            Value::Other => scanner.skip()?,
        }
        place += 1;
        value = scanner.next(|name| Value::of(name, place, names))?;
    }
    missing.iter().for_each(|column| image.forget(*column));
    Ok(())
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
