//! The changes of Maxwell: `{"database", "table", "type", "data", "old"}`, where `old` has the columns that changed.
//!
//! An update may leave out columns that it did not touch, if the log of the database has them not: they keep what they
//! have. One that has become null may be in `old` alone (`output_nulls=false`).

use super::Reader;
use super::change::{Message, Skip};
use super::image::Image;
use super::options::Options;
use super::rejected::{Reason, Rejected, quote};
use super::rows::{Absent, Before, Rows};
use super::scanner::Scanner;
use super::slot::Slot;
use super::wanted::Wanted;

const MISSING: &str = "member \"data\" is null or missing";

/// Reads changes of Maxwell.
#[derive(Debug)]
pub(super) struct Maxwell {
    wanted: Wanted,
    data: Image,
    old: Image,
}

enum Member {
    Database,
    Table,
    Type,
    Data,
    Old,
    Other,
}

/// What a change says beside its rows.
#[derive(Debug, Default)]
struct Said {
    database: Slot,
    table: Slot,
    kind: Slot,
}

impl Member {
    fn of(name: &str) -> Self {
        match name {
            "database" => Self::Database,
            "table" => Self::Table,
            "type" => Self::Type,
            "data" => Self::Data,
            "old" => Self::Old,
            _ => Self::Other,
        }
    }
}

impl Maxwell {
    pub(super) fn new(options: &Options, rows: &Rows) -> Self {
        Self {
            wanted: Wanted::new(options.table.clone()),
            data: rows.image(),
            old: rows.image(),
        }
    }

    fn walk(&mut self, text: &str, rows: &mut Rows) -> Result<Said, Rejected> {
        self.data.clear();
        self.old.clear();
        let mut said = Said::default();
        let mut scanner = Scanner::new(text, &mut rows.scratch);
        let mut member = scanner.first(Member::of)?;
        while let Some(which) = member {
            match which {
                Member::Database => said.database = scanner.slot()?,
                Member::Table => said.table = scanner.slot()?,
                Member::Type => said.kind = scanner.slot()?,
                // Changes of tables have other things under these names.
                Member::Data if scanner.at_object()? => self.data.read(&mut scanner, &mut rows.names)?,
                Member::Old if scanner.at_object()? => self.old.read(&mut scanner, &mut rows.names)?,
                Member::Data | Member::Old | Member::Other => scanner.skip()?,
            }
            member = scanner.next(Member::of)?;
        }
        scanner.finish()?;
        Ok(said)
    }
}

impl Reader for Maxwell {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let said = self.walk(text, rows)?;
        let texts = rows.texts(text);
        let kind = texts.show(said.kind);
        let is_wanted = self
            .wanted
            .takes(texts.text(said.database), texts.text(said.table));
        let from = (message, text);
        let images = (&self.data, &self.old);
        match kind {
            "bootstrap-start" | "bootstrap-complete" | "heartbeat" => return Ok(Some(Skip::Control)),
            _ if kind.starts_with("table-") || kind.starts_with("database-") => return Ok(Some(Skip::Ddl)),
            _ if !is_wanted => return Ok(Some(Skip::OtherTable)),
            "insert" | "bootstrap-insert" => {
                rows.put_change(images, MISSING, (Absent::BecomeNull, Before::Ignored), from)?
            }
            "update" => rows.put_change(images, MISSING, (Absent::StayUnlessOld, Before::Changed), from)?,
            "delete" => rows.delete(&[&self.data, &self.old], from)?,
            _ => {
                let detail = format!(
                    "member \"type\": expected insert, update or delete, found {}",
                    quote(kind)
                );
                return Err(Rejected::new(Reason::UnknownOperation, detail));
            }
        }
        Ok(None)
    }
}
