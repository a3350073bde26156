//! Messages of a topic become rows and changes of a table.
//!
//! A message is read twice. First its reader, one for each format, walks through the text and remembers where the
//! values of columns are; nothing is built for what no column has. Then the values are made into the types of their
//! columns. Only a message that passed both adds rows to the columns, so one that is bad leaves nothing behind.
//!
//! ```text
//! Message -> Scanner -> Image (slots) -> Rows (cells, kinds) -> Column (builders) -> Changes
//! ```
//!
//! Functions on this way are inlined over the units that the compiler divides a crate into: `inline(always)` where they pass an
//! enum on that is larger than two registers, for it would be written to memory and read again in other pieces, which
//! processors do slowly. `just bench-decode` shows it.
//!
//! Nothing here knows Kafka, offsets or tables in memory. Any bytes give rows, a skip or a [`Rejected`].

mod announced;
mod avro;
mod canal;
mod cell;
mod change;
mod column;
mod csv;
mod debezium;
mod decimal;
mod dms;
mod form;
mod format;
mod frame;
mod hints;
mod image;
mod infer;
mod json_row;
mod json_schema;
mod key;
mod maxwell;
mod names;
mod ogg;
mod op;
mod options;
mod protobuf;
mod raw;
mod rejected;
mod rows;
mod scaled;
mod scanner;
mod schemas;
mod slot;
mod spell;
mod target;
mod time;
mod typed;
mod unavailable;
mod upsert;
mod wanted;
mod written;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::arrow::error::ArrowError;

pub use cell::Coding;
pub use change::{Changes, Kind, Message, Outcome, Skip, Table};
pub use form::Form;
pub use format::Format;
pub use infer::Inferred;
pub use rejected::{Reason, Rejected};
pub use schemas::{NoSchema, SchemaId, SchemaText, Schemas};

use announced::Announced;
use cell::{Shape, Writing};
use column::Column;
use format::Name;
use rows::Rows;
use schemas::Nobody;
use target::Target;

use crate::schema::nullable;

/// Most bytes of messages between two takes; columns of text cannot hold more than twice as much.
const BYTES_MAX: usize = 1 << 29;
/// Most bytes that one message of a binary format may amount to beyond that.
const HELD_MAX: usize = 1 << 27;

/// Reads the messages of one format.
trait Reader: fmt::Debug + Send {
    /// Reads a value that is there.
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected>;

    /// Reads a value that is null.
    fn read_null(&mut self, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        rows.tombstone(message)
    }

    /// False if values are bytes and need not be UTF-8; then they are only in the message.
    fn is_text(&self) -> bool {
        true
    }

    /// True if a value without any bytes stands for null in a change log. False if it is a message of its own: one of
    /// Protobuf in which all fields have their defaults.
    fn takes_empty_for_null(&self) -> bool {
        true
    }

    /// An error if a schema that was missing is still not there.
    fn retry(&mut self) -> Result<(), Rejected> {
        Ok(())
    }
}

/// Decodes messages of a topic partition, one by one, into rows of a table.
#[derive(Debug)]
pub struct Decoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    reader: Box<dyn Reader>,
    rows: Rows,
    is_change_log: bool,
    /// Messages may have the frame of a schema in front of their JSON.
    is_json: bool,
    announced: Announced,
    can_truncate: bool,
    heeds_frames: bool,
    kinds: Vec<Kind>,
    messages: Vec<u32>,
    /// Messages since the last take.
    pushed: u32,
    /// Their bytes.
    bytes: usize,
}

impl Decoder {
    /// A decoder of messages for a table.
    ///
    /// # Errors
    /// For users: what the table lacks, or a column that messages of this format cannot fill.
    pub fn new(format: &Format, table: &Table) -> Result<Self, String> {
        Self::build(format, table, None)
    }

    /// The same for messages whose schemas are in a registry. JSON is read without, but each schema is asked for before its
    /// first message is read.
    ///
    /// # Errors
    /// As for [`Decoder::new`], and a schema among the options that is none.
    pub fn with_schemas(format: &Format, table: &Table, schemas: Arc<dyn Schemas>) -> Result<Self, String> {
        Self::build(format, table, Some(schemas))
    }

    fn build(format: &Format, table: &Table, schemas: Option<Arc<dyn Schemas>>) -> Result<Self, String> {
        let columns = columns_of(table)?;
        let targets = targets_of(table)?;
        let name = format.name();
        if format.is_change_log() && table.key.is_empty() {
            return Err(format!(
                "format '{name}' changes and deletes rows, so the table needs a PRIMARY KEY: declare the one of the source"
            ));
        }
        let options = &format.options;
        let writing = Writing {
            decimals_in_base64: options.decimals_in_base64,
            wholes_in_base64: options.wholes_in_base64,
            zero_is_no_date: options.zero_is_no_date,
            bytes: options.bytes,
            unit: options.unit,
            hint: None,
        };
        let mut rows = Rows::new(targets, table, writing, options);
        let is_json = !format.reads_by_schema() && !matches!(format.name, Name::Csv | Name::Raw);
        let announced = Announced::to(schemas.clone().filter(|_| is_json));
        let schemas = schemas.unwrap_or_else(|| Arc::new(Nobody));
        let reader: Box<dyn Reader> = match format.name {
            Name::Json => Box::new(json_row::Json::new(&rows)),
            Name::Csv => Box::new(csv::Csv::new(options, &rows)?),
            Name::Raw => Box::new(raw::Raw::new(table)?),
            Name::Debezium => Box::new(debezium::Debezium::new(options, &mut rows)),
            Name::Maxwell => Box::new(maxwell::Maxwell::new(options, &rows)),
            Name::Canal => Box::new(canal::Canal::new(options, &rows)),
            Name::Ogg => Box::new(ogg::Ogg::new(options, &rows)),
            Name::Dms => Box::new(dms::Dms::new(options, &rows)),
            Name::Upsert => Box::new(upsert::Upsert::new(options, &mut rows)),
            Name::Op => Box::new(op::Op::new(options, &mut rows)),
            Name::Avro | Name::UpsertAvro | Name::DebeziumAvro => {
                avro::reader(format.name, options, &mut rows, schemas)?
            }
            Name::Protobuf | Name::UpsertProtobuf => {
                protobuf::reader(format.name, options, &mut rows, schemas)?
            }
        };
        Ok(Self {
            schema: nullable(&table.schema),
            columns,
            reader,
            rows,
            is_change_log: format.is_change_log(),
            is_json,
            can_truncate: true,
            heeds_frames: announced.heeds_frames() || format.registry().is_some() && format.reads_by_schema(),
            announced,
            kinds: Vec::new(),
            messages: Vec::new(),
            pushed: 0,
            bytes: 0,
        })
    }

    /// Rejects messages that empty the table: what is decoded here is only a part of it.
    #[must_use]
    pub fn without_truncate(self) -> Self {
        Self {
            can_truncate: false,
            ..self
        }
    }

    /// True if messages should have the frame of a schema in front, which their writers may have put into a header.
    pub fn heeds_frames(&self) -> bool {
        self.heeds_frames
    }

    /// Decodes a message. After an error nothing of it is left.
    ///
    /// # Errors
    /// What is wrong with the message.
    pub fn push(&mut self, message: Message<'_>) -> Result<Outcome, Rejected> {
        let index = self.pushed;
        self.pushed = self.pushed.saturating_add(1);
        self.rows.clear();
        let bytes = message.value.map_or(0, <[u8]>::len) + message.key.map_or(0, <[u8]>::len);
        if self.bytes + bytes > BYTES_MAX {
            let detail = format!(
                "{bytes} bytes do not fit behind the {} that wait to be taken",
                self.bytes
            );
            return Err(Rejected::new(Reason::TooLarge, detail));
        }
        let value = message.value.filter(|value| !self.is_null(value));
        let text = match value {
            Some(value) if self.is_json => scanner::text_of(self.announced.without_frame(value)?)?,
            Some(value) if self.reader.is_text() => scanner::text_of(value)?,
            _ => "",
        };
        let (skip, escaped) = match value {
            Some(_) => self.read(text, message)?,
            None => (self.reader.read_null(message, &mut self.rows)?, None),
        };
        let text = escaped.as_deref().unwrap_or(text);
        if let Some(skip) = skip {
            return Ok(Outcome::Skipped(skip));
        }
        if !self.can_truncate && self.rows.truncates() {
            let detail = "it empties the table, but is in one of several topic partitions, so its place among the \
                          changes in the others is not known";
            return Err(Rejected::new(Reason::TruncateOfPart, detail));
        }
        let bytes = self.bytes + bytes.max(self.rows.held()).max(text.len());
        if bytes > BYTES_MAX + HELD_MAX {
            return Err(Rejected::new(
                Reason::TooLarge,
                "its values do not fit behind those before it",
            ));
        }
        self.bytes = bytes;
        let is_doubtful = self.rows.need_others();
        let added = self.append(text, index);
        Ok(match is_doubtful {
            true => Outcome::Doubtful(added),
            false => Outcome::Rows(added),
        })
    }

    /// Reads a value. If control characters in its texts are not escaped, as JSON wants them and some writers do not,
    /// it is read once more with escapes; then its rows point to the text with escapes, which is answered too.
    fn read(&mut self, text: &str, message: Message<'_>) -> Result<(Option<Skip>, Option<String>), Rejected> {
        let rejected = match self.reader.read(text, message, &mut self.rows) {
            Ok(skip) => return Ok((skip, None)),
            Err(rejected) => rejected,
        };
        let is_about_json = self.is_json && rejected.reason() == Reason::NotJson;
        let Some(escaped) = is_about_json.then(|| scanner::escaped(text)).flatten() else {
            return Err(rejected);
        };
        self.rows.clear();
        let skip = self.reader.read(&escaped, message, &mut self.rows)?;
        Ok((skip, Some(escaped)))
    }

    /// Asks again for the schema that the last message needed, if it could not be had.
    ///
    /// # Errors
    /// It still cannot; [`Reason::passes`] is true.
    pub fn retry(&mut self) -> Result<(), Rejected> {
        self.announced.retry()?;
        self.reader.retry()?;
        self.rows.retry_key()
    }

    /// True for what some writers put for a null in a change log.
    fn is_null(&self, value: &[u8]) -> bool {
        let is_word = || self.reader.is_text() && value.trim_ascii() == b"null";
        let is_nothing = value.is_empty() && self.reader.takes_empty_for_null();
        self.is_change_log && (is_nothing || is_word())
    }

    /// Rows since the last take.
    pub fn rows(&self) -> usize {
        self.kinds.len()
    }

    /// Takes all rows.
    ///
    /// # Errors
    /// None that is known; columns are checked when they become arrays.
    pub fn take(&mut self) -> Result<Changes, ArrowError> {
        let arrays = self
            .columns
            .iter_mut()
            .map(Column::take)
            .collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.kinds.len()));
        self.pushed = 0;
        self.bytes = 0;
        Ok(Changes {
            rows: RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?,
            kinds: std::mem::take(&mut self.kinds),
            messages: std::mem::take(&mut self.messages),
        })
    }

    /// Adds the rows of a message that is good.
    fn append(&mut self, text: &str, index: u32) -> usize {
        let added = self.rows.len();
        let stock = self.rows.stock(text);
        for row in self.rows.cells().chunks_exact(self.columns.len()) {
            for (column, cell) in self.columns.iter_mut().zip(row) {
                column.append(*cell, stock);
            }
        }
        self.rows.move_kinds(&mut self.kinds);
        self.messages.extend(std::iter::repeat_n(index, added));
        added
    }
}

fn columns_of(table: &Table) -> Result<Vec<Column>, String> {
    if table.schema.fields().is_empty() {
        return Err("the table has no columns that messages could fill: declare some".into());
    }
    if let Some(column) = table
        .key
        .iter()
        .find(|column| **column >= table.schema.fields().len())
    {
        return Err(format!(
            "the primary key has column {column}, which the table has not"
        ));
    }
    let columns = table.schema.fields().iter().map(|field| {
        Column::new(field.data_type()).ok_or_else(|| cannot_fill(field, &field.data_type().to_string()))
    });
    columns.collect()
}

fn targets_of(table: &Table) -> Result<Vec<Target>, String> {
    let fields = table.schema.fields().iter().enumerate();
    let targets = fields.map(|(column, field)| {
        let is_key = table.key.contains(&column);
        Ok(Target {
            name: field.name().clone(),
            type_name: field.data_type().to_string(),
            shape: Shape::of(field.data_type()).map_err(|what| cannot_fill(field, &what))?,
            is_required: is_key || !field.is_nullable(),
            is_key,
        })
    });
    targets.collect()
}

fn cannot_fill(field: &Field, what: &str) -> String {
    let name = field.name();
    format!(
        "column '{name}' cannot be filled from messages: {what} is not known here; use a number, text, bytes, date, \
         time or timestamp (nested values can be kept as text)"
    )
}

#[cfg(test)]
mod tests;
