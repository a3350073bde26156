//! The readers of Avro: rows, changes of Debezium, rows by key, and keys.

use super::super::Reader;
use super::super::change::{Message, Skip};
use super::super::debezium::{Debezium, Member, Said};
use super::super::image::Image;
use super::super::key::exactly;
use super::super::options::Options;
use super::super::rejected::{Reason, Rejected};
use super::super::rows::{BinaryKey, Rows, Want};
use super::super::upsert::Upsert;
use super::super::{frame, upsert};
use super::schema::Schema;
use super::value::Walker;
use super::{Written, read_row, walk};

/// Reads rows: each a row of its own, or the last of its key.
#[derive(Debug)]
pub(super) struct Flat {
    written: Written,
    wants: Vec<Want>,
    rows: Upsert,
    is_keyed: bool,
}

impl Flat {
    pub(super) fn new(written: Written, options: &Options, rows: &mut Rows, is_keyed: bool) -> Self {
        let reader = match is_keyed {
            true => Upsert::new(options, rows),
            false => Upsert::plain(rows),
        };
        Self {
            written,
            wants: rows.wants(),
            rows: reader,
            is_keyed,
        }
    }
}

impl Reader for Flat {
    fn read(&mut self, _: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let bytes = message.value.unwrap_or_default();
        let mut said = upsert::Said::default();
        let row = &mut self.rows.row;
        row.clear();
        row.begin();
        walk(&mut self.written, bytes, rows, |walker, field| {
            let want = field.column.map_or(Want::Text, |found| self.wants[found.column]);
            let is_said = self.is_keyed && upsert::Said::is_of(&field.name);
            if field.column.is_none() && !is_said {
                return walker.skip(field.of);
            }
            let slot = walker.slot(field.of, want)?;
            if is_said {
                said.take(&field.name, slot);
            }
            if let Some(found) = field.column {
                row.set(found, slot);
            }
            Ok(())
        })?;
        match self.is_keyed {
            true => self.rows.decide(&said, (message, ""), rows),
            false => rows.put_row(&self.rows.row, (message, "")).map(|()| None),
        }
    }

    fn read_null(&mut self, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        match self.is_keyed {
            true => self.rows.read_null(message, rows),
            false => Err(Rejected::new(
                Reason::NullValue,
                "expected a record, but the message has no value",
            )),
        }
    }

    fn is_text(&self) -> bool {
        false
    }

    fn takes_empty_for_null(&self) -> bool {
        self.written.is_framed()
    }

    fn retry(&mut self) -> Result<(), Rejected> {
        self.written.retry()
    }
}

/// Reads envelopes of Debezium.
#[derive(Debug)]
pub(super) struct Envelopes {
    written: Written,
    wants: Vec<Want>,
    envelope: Debezium,
}

impl Envelopes {
    pub(super) fn new(written: Written, options: &Options, rows: &mut Rows) -> Self {
        Self {
            written,
            wants: rows.wants(),
            envelope: Debezium::new(options, rows),
        }
    }
}

impl Reader for Envelopes {
    fn read(&mut self, _: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let bytes = message.value.unwrap_or_default();
        let mut said = Said::default();
        let Self {
            written,
            wants,
            envelope,
        } = self;
        envelope.clear();
        walk(written, bytes, rows, |walker, field| {
            match Member::of(&field.name) {
                Member::Before => return read_row(walker, field.of, wants, &mut envelope.before),
                Member::After => return read_row(walker, field.of, wants, &mut envelope.after),
                Member::Op => said.op = walker.slot(field.of, Want::Text)?,
                Member::Status => said.status = walker.slot(field.of, Want::Text)?,
                Member::Ddl => said.has_ddl = true,
                Member::Time => said.has_time = true,
                Member::Payload | Member::Schema | Member::Other => said.has_other = true,
            }
            match Member::of(&field.name) {
                Member::Op | Member::Status => Ok(()),
                _ => walker.skip(field.of),
            }
        })?;
        envelope.decide(&said, (message, ""), rows)
    }

    fn is_text(&self) -> bool {
        false
    }

    fn takes_empty_for_null(&self) -> bool {
        self.written.is_framed()
    }

    fn retry(&mut self) -> Result<(), Rejected> {
        self.written.retry()
    }
}

/// Reads keys. With a registry only those that have a frame are Avro.
#[derive(Debug)]
pub(super) struct Keys {
    written: Written,
    wants: Vec<Want>,
}

impl Keys {
    pub(super) fn new(written: Written, rows: &Rows) -> Self {
        Self {
            written,
            wants: rows.wants(),
        }
    }

    /// A record, or the value of a key of one column.
    fn read_key(
        walker: &mut Walker<'_, '_>,
        root: usize,
        wants: &[Want],
        (image, key): (&mut Image, &[usize]),
        is_record: bool,
    ) -> Result<(), Rejected> {
        if is_record {
            return read_row(walker, root, wants, image);
        }
        match key {
            [column] => image.set(exactly(*column), walker.slot(root, wants[*column])?),
            _ => walker.skip(root)?,
        }
        Ok(())
    }
}

impl BinaryKey for Keys {
    fn read(&mut self, key: &[u8], image: &mut Image, rows: &mut Rows) -> Result<bool, Rejected> {
        let needs_frame = matches!(self.written, Written::Registry { .. });
        if needs_frame && frame::split(key).is_none() {
            return Ok(false);
        }
        let (schema, value) = self.written.open(key, |text| Schema::parse(text, &rows.names))?;
        let columns = rows.key.clone();
        let mut walker = Walker::new(value, &schema, rows.stores());
        let is_record = schema.record(schema.root).is_some();
        let target = (image, columns.as_slice());
        Self::read_key(&mut walker, schema.root, &self.wants, target, is_record)?;
        walker.finish()?;
        Ok(true)
    }

    fn retry(&mut self) -> Result<(), Rejected> {
        self.written.retry()
    }
}
