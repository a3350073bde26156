//! Changes as people write them by hand: `{"op": "update", "data": {...}}`, in many spellings.
//!
//! The row is in `data`, or else it is the object itself. Its key may be in the row, in `before`, in `key`, beside `op`,
//! or in the key of the message. An update keeps the columns that it does not name.

use super::Reader;
use super::change::{Message, Skip};
use super::image::Image;
use super::key;
use super::names::{Found, Names};
use super::options::Options;
use super::rejected::{Reason, Rejected, quote};
use super::rows::{Absent, Before, Images, Rows};
use super::scanner::Scanner;
use super::slot::Slot;
use super::unavailable::Unavailable;
use super::wanted::Wanted;

/// Reads changes with an operation.
#[derive(Debug)]
pub(super) struct Op {
    fields: Fields,
    wanted: Wanted,
    data: Image,
    before: Image,
    key: Image,
    whole: Image,
}

/// The names of the members.
#[derive(Debug)]
struct Fields {
    op: String,
    data: Vec<String>,
    before: Vec<String>,
    key: String,
    /// None if rows of all tables are taken.
    table: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Op,
    Data,
    Before,
    Key,
    Table,
    None,
}

enum Action {
    Put,
    Update,
    Delete,
    Truncate,
}

impl Fields {
    fn new(options: &Options) -> Self {
        let one = |given: &Option<String>, usual: &str| given.clone().unwrap_or_else(|| usual.to_owned());
        let many = |given: &Option<String>, usual: &[&str]| match given {
            Some(given) => vec![given.clone()],
            None => usual.iter().map(|name| (*name).to_owned()).collect(),
        };
        Self {
            op: one(&options.op_field, "op"),
            data: many(&options.data_field, &["data", "after", "new"]),
            before: many(&options.before_field, &["before", "old"]),
            key: one(&options.key_field, "key"),
            table: options.table.as_ref().map(|_| one(&options.table_field, "table")),
        }
    }

    fn part(&self, name: &str) -> Part {
        let is = |known: &String| known == name;
        if is(&self.op) {
            Part::Op
        } else if self.data.iter().any(is) {
            Part::Data
        } else if self.before.iter().any(is) {
            Part::Before
        } else if is(&self.key) {
            Part::Key
        } else if self.table.as_ref().is_some_and(is) {
            Part::Table
        } else {
            Part::None
        }
    }
}

impl Action {
    fn of(op: &str) -> Option<Self> {
        let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(op));
        if is(&["u", "update"]) {
            Some(Self::Update)
        } else if is(&["i", "c", "r", "insert", "create", "read", "snapshot", "upsert"]) {
            Some(Self::Put)
        } else if is(&["d", "delete", "remove"]) {
            Some(Self::Delete)
        } else if is(&["t", "truncate"]) {
            Some(Self::Truncate)
        } else {
            None
        }
    }
}

impl Op {
    pub(super) fn new(options: &Options, rows: &mut Rows) -> Self {
        rows.keep_unavailable(Unavailable::new(&options.unavailable));
        Self {
            fields: Fields::new(options),
            wanted: Wanted::new(options.table.clone()),
            data: rows.image(),
            before: rows.image(),
            key: rows.image(),
            whole: rows.image(),
        }
    }

    /// Reads the object; answers its operation and its table.
    fn walk(&mut self, text: &str, rows: &mut Rows) -> Result<(Slot, Slot), Rejected> {
        for image in [&mut self.data, &mut self.before, &mut self.key, &mut self.whole] {
            image.clear();
        }
        let (mut op, mut table) = (Slot::Absent, Slot::Absent);
        let Rows {
            names, scratch, key, ..
        } = rows;
        let mut scanner = Scanner::new(text, scratch);
        let mut member = scanner.first(|name| member_of(&self.fields, names, name))?;
        while let Some((part, found)) = member {
            let rows = match part {
                Part::Data => Some(&mut self.data),
                Part::Before => Some(&mut self.before),
                Part::Key => Some(&mut self.key),
                _ => None,
            };
            match (part, rows) {
                (_, Some(image)) if scanner.at_object()? => image.read(&mut scanner, names)?,
                (Part::Op, _) => op = scanner.slot()?,
                (Part::Table, _) => {
                    table = scanner.slot()?;
                    set(&mut self.whole, found, table);
                }
                (Part::None, _) if found.is_none() => scanner.skip()?,
                _ => {
                    let slot = scanner.slot()?;
                    set(&mut self.whole, found, slot);
                    if let (Part::Key, [column]) = (part, key.as_slice()) {
                        self.key.set(key::exactly(*column), slot);
                    }
                }
            }
            member = scanner.next(|name| member_of(&self.fields, names, name))?;
        }
        scanner.finish()?;
        Ok((op, table))
    }

    fn put(&self, is_update: bool, from: (Message<'_>, &str), rows: &mut Rows) -> Result<(), Rejected> {
        let others = [&self.key, &self.whole];
        let images = Images {
            row: if self.data.is_present() {
                &self.data
            } else {
                &self.whole
            },
            before: self.before.is_present().then_some(&self.before),
            others: &others,
        };
        let (absent, before) = if is_update {
            (Absent::Stay, Before::Changed)
        } else {
            (Absent::BecomeNull, Before::Ignored)
        };
        rows.put(images, absent, before, from)
    }
}

impl Reader for Op {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let (op, table) = self.walk(text, rows)?;
        let texts = rows.texts(text);
        if !self.wanted.takes(None, texts.text(table)) {
            return Ok(Some(Skip::OtherTable));
        }
        let action = texts.text(op).and_then(Action::of).ok_or_else(|| {
            let (field, found) = (&self.fields.op, quote(texts.show(op)));
            let detail = format!(
                "member {field:?}: expected insert, update, upsert, delete or truncate, found {found}"
            );
            Rejected::new(Reason::UnknownOperation, detail)
        })?;
        let from = (message, text);
        match action {
            Action::Put => self.put(false, from, rows)?,
            Action::Update => self.put(true, from, rows)?,
            Action::Delete => rows.delete(&[&self.data, &self.before, &self.key, &self.whole], from)?,
            Action::Truncate => rows.truncate(),
        }
        Ok(None)
    }
}

fn member_of(fields: &Fields, names: &Names, name: &str) -> (Part, Option<Found>) {
    (fields.part(name), names.lookup(name))
}

fn set(image: &mut Image, found: Option<Found>, slot: Slot) {
    if let Some(found) = found {
        image.set(found, slot);
    }
}
