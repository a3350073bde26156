//! The changes of Maxwell: `{"database", "table", "type", "data", "old"}`, where `old` has the columns that changed.

use super::Reader;
use super::change::{Message, Skip};
use super::image::Image;
use super::options::Options;
use super::rejected::{Reason, Rejected, quote};
use super::rows::{Absent, Before, Images, Rows};
use super::scanner::Scanner;
use super::slot::{Slot, Texts};
use super::wanted::Wanted;

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

    fn put(&self, before: Before, from: (Message<'_>, &str), rows: &mut Rows) -> Result<(), Rejected> {
        if !self.data.is_present() {
            return Err(Rejected::new(
                Reason::MissingRow,
                "member \"data\" is null or missing",
            ));
        }
        let images = Images {
            row: &self.data,
            before: self.old.is_present().then_some(&self.old),
            others: &[],
        };
        rows.put(images, Absent::BecomeNull, before, from)
    }
}

impl Reader for Maxwell {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let said = self.walk(text, rows)?;
        let texts = Texts {
            message: text,
            scratch: &rows.scratch.text,
        };
        let kind = texts.show(said.kind);
        let name = |slot: Slot| slot.text().map(|piece| texts.get(piece));
        let is_wanted = self.wanted.takes(name(said.database), name(said.table));
        let from = (message, text);
        match kind {
            "bootstrap-start" | "bootstrap-complete" | "heartbeat" => return Ok(Some(Skip::Control)),
            _ if kind.starts_with("table-") || kind.starts_with("database-") => return Ok(Some(Skip::Ddl)),
            _ if !is_wanted => return Ok(Some(Skip::OtherTable)),
            "insert" | "bootstrap-insert" => self.put(Before::Ignored, from, rows)?,
            "update" => self.put(Before::Changed, from, rows)?,
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
