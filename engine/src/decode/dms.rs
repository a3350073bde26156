//! The records of AWS Database Migration Service: `{"data", "metadata": {"operation", "record-type", ...}}`.
//!
//! The row as it was is in the member `before-image`, or another that the task names (`BeforeImageSettings`), or column by
//! column in `data` with `BI_` in front, as the task is set. By default it has the primary key alone.

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

/// The usual name of the member that has the row as it was.
const BEFORE: &str = "before-image";
const MISSING: &str = "member \"data\" has no column of the table";

/// Reads records of DMS.
#[derive(Debug)]
pub(super) struct Dms {
    wanted: Wanted,
    before_field: String,
    data: Image,
    before: Image,
}

/// What a record says beside its rows.
#[derive(Debug, Default)]
struct Said {
    record_type: Slot,
    operation: Slot,
    schema: Slot,
    table: Slot,
}

enum Member {
    Data,
    Before,
    Metadata,
    Other,
}

enum Value {
    Now(Found),
    Before(Found),
    Other,
}

impl Value {
    fn of(name: &str, place: usize, names: &mut Names) -> Self {
        if let Some(found) = names.find(place, name) {
            return Self::Now(found);
        }
        let before = name.strip_prefix("BI_").and_then(|name| names.lookup(name));
        before.map_or(Self::Other, Self::Before)
    }
}

impl Dms {
    pub(super) fn new(options: &Options, rows: &Rows) -> Self {
        Self {
            wanted: Wanted::new(options.table.clone()),
            before_field: options.before_field.clone().unwrap_or_else(|| BEFORE.to_owned()),
            data: rows.image(),
            before: rows.image(),
        }
    }

    fn walk(&mut self, text: &str, rows: &mut Rows) -> Result<Said, Rejected> {
        let Self {
            before_field,
            data,
            before,
            ..
        } = self;
        let before_field = before_field.as_str();
        data.clear();
        before.clear();
        let mut said = Said::default();
        let Rows { names, scratch, .. } = rows;
        let mut scanner = Scanner::new(text, scratch);
        let pick = |name: &str| match name {
            "data" => Member::Data,
            "metadata" => Member::Metadata,
            name if name == before_field => Member::Before,
            _ => Member::Other,
        };
        let mut member = scanner.first(pick)?;
        while let Some(which) = member {
            match which {
                Member::Data if scanner.at_object()? => read_data(data, before, &mut scanner, names)?,
                Member::Before if scanner.at_object()? => before.read(&mut scanner, names)?,
                Member::Metadata if scanner.at_object()? => said.read(&mut scanner)?,
                _ => scanner.skip()?,
            }
            member = scanner.next(pick)?;
        }
        scanner.finish()?;
        Ok(said)
    }
}

/// Reads the row as it is, and what is beside it of the row as it was.
fn read_data(
    data: &mut Image,
    before: &mut Image,
    scanner: &mut Scanner<'_, '_>,
    names: &mut Names,
) -> Result<(), Rejected> {
    data.clear();
    let mut place = 0;
    let mut value = scanner.first(|name| Value::of(name, place, names))?;
    while let Some(which) = value {
        match which {
            Value::Now(found) => data.set(found, scanner.slot()?),
            Value::Before(found) => before.set(found, scanner.slot()?),
            Value::Other => scanner.skip()?,
        }
        place += 1;
        value = scanner.next(|name| Value::of(name, place, names))?;
    }
    Ok(())
}

impl Said {
    fn read(&mut self, scanner: &mut Scanner<'_, '_>) -> Result<(), Rejected> {
        let mut unused = Slot::Absent;
        let mut member = scanner.first(Self::place_of)?;
        while let Some(place) = member {
            *place.map_or(&mut unused, |place| place(self)) = scanner.slot()?;
            member = scanner.next(Self::place_of)?;
        }
        Ok(())
    }

    fn place_of(name: &str) -> Option<fn(&mut Self) -> &mut Slot> {
        match name {
            "record-type" => Some(|said| &mut said.record_type),
            "operation" => Some(|said| &mut said.operation),
            "schema-name" => Some(|said| &mut said.schema),
            "table-name" => Some(|said| &mut said.table),
            _ => None,
        }
    }
}

impl Reader for Dms {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let said = self.walk(text, rows)?;
        let texts = rows.texts(text);
        if texts.show(said.record_type) == "control" {
            return Ok(Some(Skip::Control));
        }
        if !self.wanted.takes(texts.text(said.schema), texts.text(said.table)) {
            return Ok(Some(Skip::OtherTable));
        }
        let from = (message, text);
        let images = (&self.data, &self.before);
        match texts.show(said.operation) {
            "load" | "insert" => {
                rows.put_change(images, MISSING, (Absent::BecomeNull, Before::Ignored), from)?
            }
            "update" => rows.put_change(images, MISSING, (Absent::BecomeNull, Before::Changed), from)?,
            "delete" => rows.delete(&[&self.data, &self.before], from)?,
            op => {
                let detail = format!(
                    "member \"operation\" of \"metadata\": expected load, insert, update or delete, found {}",
                    quote(op)
                );
                return Err(Rejected::new(Reason::UnknownOperation, detail));
            }
        }
        Ok(None)
    }
}
