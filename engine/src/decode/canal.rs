//! The changes of Canal: `{"database", "table", "type", "isDdl", "data": [...], "old": [...]}`. One message has many
//! rows, all of whose values are texts.
//!
//! The lists come before the type of the change, so their items are passed over first and read when it is known what
//! they are for.
//!
//! An update may leave out columns that it did not touch, if the log of the database has them not: they keep what they
//! have.

use super::Reader;
use super::change::{Message, Skip};
use super::image::Image;
use super::options::Options;
use super::rejected::{Reason, Rejected, quote};
use super::rows::{Absent, Before, Images, Rows};
use super::scanner::Scanner;
use super::slot::Slot;
use super::wanted::Wanted;

const MISSING: &str = "member \"data\" is null or missing";
const MISSING_BOTH: &str = "members \"data\" and \"old\" are null or missing";

/// Reads changes of Canal.
#[derive(Debug)]
pub(super) struct Canal {
    wanted: Wanted,
    data: Vec<Slot>,
    old: Vec<Slot>,
    row: Image,
    before: Image,
}

enum Member {
    Database,
    Table,
    Type,
    IsDdl,
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
    is_ddl: bool,
    /// True if there is a list of rows, if only an empty one.
    has_data: bool,
    has_old: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Insert,
    Update,
    Delete,
}

impl Member {
    fn of(name: &str) -> Self {
        match name {
            "database" => Self::Database,
            "table" => Self::Table,
            "type" => Self::Type,
            "isDdl" => Self::IsDdl,
            "data" => Self::Data,
            "old" => Self::Old,
            _ => Self::Other,
        }
    }
}

impl Canal {
    pub(super) fn new(options: &Options, rows: &Rows) -> Self {
        Self {
            wanted: Wanted::new(options.table.clone()),
            data: Vec::new(),
            old: Vec::new(),
            row: rows.image(),
            before: rows.image(),
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
                Member::IsDdl => said.is_ddl = matches!(scanner.slot()?, Slot::Bool(true)),
                Member::Data => said.has_data = items(&mut scanner, &mut self.data)?,
                Member::Old => said.has_old = items(&mut scanner, &mut self.old)?,
                Member::Other => scanner.skip()?,
            }
            member = scanner.next(Member::of)?;
        }
        scanner.finish()?;
        Ok(said)
    }

    /// Takes the list that has the rows of a change for `data`.
    fn find_rows(&mut self, action: Action, said: &Said) -> Result<(), Rejected> {
        match action {
            _ if said.has_data => Ok(()),
            // So deletes are written by Huawei's DRS, and by Flink CDC before FLINK-36877.
            Action::Delete if said.has_old => {
                std::mem::swap(&mut self.data, &mut self.old);
                Ok(())
            }
            Action::Delete => Err(Rejected::new(Reason::MissingRow, MISSING_BOTH)),
            Action::Insert | Action::Update => Err(Rejected::new(Reason::MissingRow, MISSING)),
        }
    }

    fn change(
        &mut self,
        (action, said): (Action, &Said),
        from: (Message<'_>, &str),
        rows: &mut Rows,
    ) -> Result<Option<Skip>, Rejected> {
        self.find_rows(action, said)?;
        let absent = match action {
            Action::Update => Absent::StayUnlessOld,
            Action::Insert | Action::Delete => Absent::BecomeNull,
        };
        // A key of the message names one row, not all of many.
        let key = from.0.key.filter(|_| self.data.len() == 1);
        let from = (Message { key, ..from.0 }, from.1);
        for index in 0..self.data.len() {
            self.row.read_passed(self.data[index], from.1, rows)?;
            if !self.row.is_present() {
                let detail = format!("row {index} of the change is no object");
                return Err(Rejected::new(Reason::MissingRow, detail));
            }
            let old = self.old.get(index).copied().unwrap_or_default();
            self.before.read_passed(old, from.1, rows)?;
            if action == Action::Delete {
                rows.delete(&[&self.row], from)?;
                continue;
            }
            let is_moved = action == Action::Update && self.before.is_present();
            let images = Images {
                row: &self.row,
                before: is_moved.then_some(&self.before),
                others: &[],
            };
            let before = if is_moved {
                Before::Changed
            } else {
                Before::Ignored
            };
            rows.put(images, absent, before, from)?;
        }
        Ok(self.data.is_empty().then_some(Skip::Empty))
    }
}

impl Reader for Canal {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let said = self.walk(text, rows)?;
        let texts = rows.texts(text);
        let kind = texts.show(said.kind);
        let is = |word: &str| kind.eq_ignore_ascii_case(word);
        let is_wanted = self
            .wanted
            .takes(texts.text(said.database), texts.text(said.table));
        let from = (message, text);
        if is("TRUNCATE") && is_wanted {
            rows.truncate();
            Ok(None)
        } else if said.is_ddl || DDL.iter().any(|word| is(word)) {
            Ok(Some(Skip::Ddl))
        } else if is("TIDB_WATERMARK") {
            Ok(Some(Skip::Control))
        } else if !is_wanted {
            Ok(Some(Skip::OtherTable))
        } else if is("INSERT") || is("INIT") {
            self.change((Action::Insert, &said), from, rows)
        } else if is("UPDATE") {
            self.change((Action::Update, &said), from, rows)
        } else if is("DELETE") {
            self.change((Action::Delete, &said), from, rows)
        } else {
            let detail = format!(
                "member \"type\": expected INSERT, UPDATE or DELETE, found {}",
                quote(kind)
            );
            Err(Rejected::new(Reason::UnknownOperation, detail))
        }
    }
}

const DDL: [&str; 9] = [
    "QUERY", "CREATE", "ALTER", "ERASE", "RENAME", "CINDEX", "DINDEX", "TRUNCATE", "DROP",
];

/// Remembers where the items of a list are; false if there is null in its place. One object is a list of one.
fn items(scanner: &mut Scanner<'_, '_>, slots: &mut Vec<Slot>) -> Result<bool, Rejected> {
    slots.clear();
    if scanner.at_list()? {
        scanner.slots(slots)?;
        return Ok(true);
    }
    let slot = scanner.slot()?;
    slots.extend(slot.is_set().then_some(slot));
    Ok(slot.is_set())
}
