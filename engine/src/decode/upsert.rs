//! A message is a row, and one without a value is the end of a row: compacted topics, and what Debezium writes when it
//! flattens its records.

use super::Reader;
use super::change::{Message, Skip};
use super::image::Image;
use super::names::{Found, Names};
use super::options::Options;
use super::rejected::{Reason, Rejected};
use super::rows::Rows;
use super::scanner::Scanner;
use super::slot::Slot;
use super::unavailable::Unavailable;

/// Reads rows whose key is mostly beside them.
#[derive(Debug)]
pub(super) struct Upsert {
    pub(super) row: Image,
}

/// What a row says beside its columns.
#[derive(Debug, Default)]
pub(super) struct Said {
    deleted: Slot,
    op: Slot,
    is_null: bool,
}

impl Said {
    /// True if a field of this name says something beside the columns.
    pub(super) fn is_of(name: &str) -> bool {
        matches!(name, "__deleted" | "__op")
    }

    /// Takes what such a field says.
    pub(super) fn take(&mut self, name: &str, slot: Slot) {
        match name {
            "__op" => self.op = slot,
            _ => self.deleted = slot,
        }
    }
}

/// What a value has besides columns.
#[derive(Debug, Default)]
struct Outside {
    schema: Slot,
    payload: Slot,
    members: usize,
}

impl Outside {
    /// Whether it is what Kafka Connect writes: a schema and a payload, and nothing else.
    fn is_envelope(&self) -> bool {
        let is_part = |slot| matches!(slot, Slot::Nested(_) | Slot::Null);
        self.members == 2 && is_part(self.schema) && is_part(self.payload)
    }
}

#[derive(Clone, Copy)]
enum Member {
    Column(Found),
    Deleted(Option<Found>),
    Op(Option<Found>),
    Schema(Option<Found>),
    Payload,
    Other,
}

impl Member {
    fn of(name: &str, found: Option<Found>) -> Self {
        match (name, found) {
            ("__deleted", found) => Self::Deleted(found),
            ("__op", found) => Self::Op(found),
            ("schema", found) => Self::Schema(found),
            (_, Some(found)) => Self::Column(found),
            ("payload", None) => Self::Payload,
            _ => Self::Other,
        }
    }
}

impl Upsert {
    pub(super) fn new(options: &Options, rows: &mut Rows) -> Self {
        rows.keep_unavailable(Unavailable::new(&options.unavailable));
        Self::plain(rows)
    }

    /// Without a value that stands for one that did not change.
    pub(super) fn plain(rows: &Rows) -> Self {
        Self { row: rows.image() }
    }

    /// Puts the row that was read, or lets it go.
    pub(super) fn decide(
        &mut self,
        said: &Said,
        from: (Message<'_>, &str),
        rows: &mut Rows,
    ) -> Result<Option<Skip>, Rejected> {
        let texts = rows.texts(from.1);
        if said.is_null {
            return self.read_null(from.0, rows);
        }
        let op = texts.show(said.op);
        if texts.show(said.deleted).eq_ignore_ascii_case("true") || op == "d" {
            rows.delete(&[&self.row], from)?;
        } else if op == "t" {
            rows.truncate();
        } else {
            rows.put_row(&self.row, from)?;
        }
        Ok(None)
    }

    fn walk(
        &mut self,
        scanner: &mut Scanner<'_, '_>,
        names: &mut Names,
        said: &mut Said,
    ) -> Result<Outside, Rejected> {
        let mut outside = Outside::default();
        let mut place = 0;
        let mut member = scanner.first(|name| Member::of(name, names.find(place, name)))?;
        while let Some(which) = member {
            match which {
                Member::Column(found) => self.row.set(found, scanner.slot()?),
                Member::Deleted(found) => {
                    said.deleted = scanner.slot()?;
                    self.set(found, said.deleted);
                }
                Member::Op(found) => {
                    said.op = scanner.slot()?;
                    self.set(found, said.op);
                }
                Member::Schema(found) => {
                    outside.schema = scanner.slot()?;
                    self.set(found, outside.schema);
                }
                Member::Payload => outside.payload = scanner.slot()?,
                Member::Other => scanner.skip()?,
            }
            place += 1;
            member = scanner.next(|name| Member::of(name, names.find(place, name)))?;
        }
        outside.members = place;
        Ok(outside)
    }

    fn set(&mut self, found: Option<Found>, slot: Slot) {
        if let Some(found) = found {
            self.row.set(found, slot);
        }
    }
}

impl Reader for Upsert {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        self.row.clear();
        let mut said = Said::default();
        let mut scanner = Scanner::new(text, &mut rows.scratch);
        let outside = self.walk(&mut scanner, &mut rows.names, &mut said)?;
        scanner.finish()?;
        let mut schema = Slot::Absent;
        if outside.is_envelope() {
            schema = outside.schema;
            self.row.clear();
            match outside.payload {
                Slot::Nested(piece) => {
                    let mut scanner = Scanner::part(text, piece, &mut rows.scratch);
                    self.walk(&mut scanner, &mut rows.names, &mut said)?;
                    scanner.finish()?;
                }
                payload => said.is_null = payload.is_null(),
            }
        }
        rows.heed_schema(schema, text);
        self.decide(&said, (message, text), rows)
    }

    fn read_null(&mut self, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        match rows.tombstone(message)? {
            Some(_) => {
                let detail = "the message has no value, and its key names no row";
                Err(Rejected::new(Reason::MissingKey, detail))
            }
            None => Ok(None),
        }
    }
}
