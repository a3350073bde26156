//! The envelope of Debezium: `{"before", "after", "op", "source", ...}`, plain or as the payload beside its schema.

use super::Reader;
use super::change::{Message, Skip};
use super::image::Image;
use super::names::Names;
use super::options::Options;
use super::rejected::{Reason, Rejected, quote};
use super::rows::{Absent, Before, Rows};
use super::scanner::Scanner;
use super::slot::{Slot, Texts};
use super::unavailable::Unavailable;

const MISSING: &str = "member \"after\" is null or missing";

/// Reads envelopes.
#[derive(Debug)]
pub(super) struct Debezium {
    pub(super) after: Image,
    pub(super) before: Image,
}

/// What an envelope says beside its rows.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) op: Slot,
    pub(super) status: Slot,
    /// The schema beside the payload.
    schema: Slot,
    pub(super) has_ddl: bool,
    /// True if there is a time.
    pub(super) has_time: bool,
    /// True if there is a member that is not of a heartbeat.
    pub(super) has_other: bool,
    /// True if the payload is null.
    is_null: bool,
}

pub(super) enum Member {
    Before,
    After,
    Op,
    Payload,
    Status,
    Ddl,
    Time,
    Schema,
    Other,
}

impl Member {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "before" => Self::Before,
            "after" => Self::After,
            "op" => Self::Op,
            "payload" => Self::Payload,
            "status" => Self::Status,
            "ddl" => Self::Ddl,
            "ts_ms" | "ts_us" | "ts_ns" => Self::Time,
            "schema" => Self::Schema,
            _ => Self::Other,
        }
    }
}

impl Debezium {
    pub(super) fn new(options: &Options, rows: &mut Rows) -> Self {
        rows.keep_unavailable(Unavailable::new(&options.unavailable));
        Self {
            after: rows.image(),
            before: rows.image(),
        }
    }

    /// Forgets the last message.
    pub(super) fn clear(&mut self) {
        self.after.clear();
        self.before.clear();
    }

    /// Puts the rows of an envelope that was read.
    pub(super) fn decide(
        &self,
        said: &Said,
        from: (Message<'_>, &str),
        rows: &mut Rows,
    ) -> Result<Option<Skip>, Rejected> {
        let texts = rows.texts(from.1);
        let images = (&self.after, &self.before);
        match said.op {
            Slot::Text(op) => match texts.get(op) {
                "c" | "r" => rows.put_change(images, MISSING, (Absent::BecomeNull, Before::Ignored), from)?,
                "u" => rows.put_change(images, MISSING, (Absent::BecomeNull, Before::Whole), from)?,
                "d" => rows.delete(&[&self.before, &self.after], from)?,
                "t" => rows.truncate(),
                "m" => return Ok(Some(Skip::LogicalMessage)),
                op => {
                    let detail = format!("member \"op\": expected c, r, u, d, t or m, found {}", quote(op));
                    return Err(Rejected::new(Reason::UnknownOperation, detail));
                }
            },
            _ if said.is_null => return rows.tombstone(from.0),
            _ if said.has_ddl => return Ok(Some(Skip::Ddl)),
            _ if is_transaction(said.status, texts) => return Ok(Some(Skip::Transaction)),
            _ if said.has_time && !said.has_other => return Ok(Some(Skip::Heartbeat)),
            _ => {
                let detail = "member \"op\" is missing; flattened records are read by format 'upsert'";
                return Err(Rejected::new(Reason::UnknownOperation, detail));
            }
        }
        Ok(None)
    }

    fn walk(
        &mut self,
        scanner: &mut Scanner<'_, '_>,
        names: &mut Names,
        said: &mut Said,
        in_payload: bool,
    ) -> Result<(), Rejected> {
        let mut member = scanner.first(Member::of)?;
        while let Some(which) = member {
            match which {
                Member::Before => self.before.read(scanner, names)?,
                Member::After => self.after.read(scanner, names)?,
                Member::Op => said.op = scanner.slot()?,
                Member::Status => said.status = scanner.slot()?,
                Member::Payload if !in_payload && scanner.at_object()? => {
                    self.walk(scanner, names, said, true)?;
                }
                Member::Payload if !in_payload => said.is_null = scanner.slot()?.is_null(),
                Member::Ddl => {
                    said.has_ddl = true;
                    scanner.skip()?;
                }
                Member::Time => {
                    said.has_time = true;
                    scanner.skip()?;
                }
                Member::Schema if !in_payload => said.schema = scanner.slot()?,
                Member::Schema => scanner.skip()?,
                Member::Payload | Member::Other => {
                    said.has_other = true;
                    scanner.skip()?;
                }
            }
            member = scanner.next(Member::of)?;
        }
        Ok(())
    }
}

impl Reader for Debezium {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        self.clear();
        let mut said = Said::default();
        let mut scanner = Scanner::new(text, &mut rows.scratch);
        self.walk(&mut scanner, &mut rows.names, &mut said, false)?;
        scanner.finish()?;
        rows.heed_schema(said.schema, text);
        self.decide(&said, (message, text), rows)
    }
}

fn is_transaction(status: Slot, texts: Texts<'_>) -> bool {
    matches!(status, Slot::Text(piece) if matches!(texts.get(piece), "BEGIN" | "END"))
}
