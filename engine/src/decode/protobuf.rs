//! Protobuf: messages of a type that is among the options, or in a registry.
//!
//! Confluent's serializers put the number of the schema in front, and behind it the place of the message type in the
//! schema. Fields are found by the names of columns.

mod columns;
mod types;
mod value;

use std::sync::Arc;

pub(super) use columns::columns_of;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage};

use super::Reader;
use super::change::{Message, Skip};
use super::format::Name;
use super::frame;
use super::image::Image;
use super::options::Options;
use super::rejected::{Reason, Rejected};
use super::rows::{BinaryKey, Rows, Want};
use super::schemas::{SchemaText, Schemas};
use super::upsert::{self, Upsert};
use types::{Types, wrong};

/// A reader of values; the one of keys goes to `rows`.
///
/// # Errors
/// What is wrong with the descriptor among the options.
pub(super) fn reader(
    name: Name,
    options: &Options,
    rows: &mut Rows,
    schemas: Arc<dyn Schemas>,
) -> Result<Box<dyn Reader>, String> {
    let written = match (&options.descriptor, &options.message) {
        (Some(descriptor), Some(message)) => {
            let types = Types::compiled(descriptor, message);
            let types = types.map_err(|error| format!("option 'format.descriptor': {error}"))?;
            Written::given(types, options.is_framed == Some(true))
        }
        _ => {
            let keys = Messages {
                written: Written::by_registry(schemas.clone()),
                name: None,
                wants: rows.wants(),
            };
            rows.keep_binary_key(Box::new(keys));
            Written::by_registry(schemas)
        }
    };
    let is_keyed = name == Name::UpsertProtobuf;
    Ok(Box::new(Flat {
        messages: Messages {
            written,
            name: options.message.clone(),
            wants: rows.wants(),
        },
        rows: match is_keyed {
            true => Upsert::new(options, rows),
            false => Upsert::plain(rows),
        },
        is_keyed,
    }))
}

type Written = super::written::Written<Types>;

/// Reads messages into images.
#[derive(Debug)]
struct Messages {
    written: Written,
    /// The only type that is meant.
    name: Option<String>,
    wants: Vec<Want>,
}

impl Messages {
    /// Reads a row, and into `said` what is beside its columns, if that is asked for.
    fn read_row(
        &mut self,
        bytes: &[u8],
        (image, mut said): (&mut Image, Option<&mut upsert::Said>),
        rows: &mut Rows,
    ) -> Result<(), Rejected> {
        image.clear();
        let parse = |text: &SchemaText| Types::parse(text, self.name.as_deref());
        let (types, bytes) = self.written.open(bytes, parse)?;
        let (of, bytes) = types.of(bytes, self.written.is_framed())?;
        let message = decode(of, bytes)?;
        image.begin();
        for field in message.descriptor().fields() {
            let said = said.as_deref_mut().filter(|_| upsert::Said::is_of(field.name()));
            let found = rows.names.lookup(field.name());
            // Without the underscores of its name it may look like another column.
            let found = match said {
                Some(_) => found,
                None => found.or_else(|| rows.names.lookup(field.json_name())),
            };
            if found.is_none() && said.is_none() {
                continue;
            }
            let want = found.map_or(Want::Text, |found| self.wants[found.column]);
            let slot = value::slot(&message, &field, want, &mut rows.stores())?;
            if let Some(found) = found {
                image.set(found, slot);
            }
            if let Some(said) = said {
                said.take(field.name(), slot);
            }
        }
        Ok(())
    }
}

fn decode(of: MessageDescriptor, bytes: &[u8]) -> Result<DynamicMessage, Rejected> {
    let name = of.name().to_owned();
    DynamicMessage::decode(of, bytes).map_err(|error| wrong(&format!("{name}: {error}")))
}

/// Reads rows: each a row of its own, or the last of its key.
#[derive(Debug)]
struct Flat {
    messages: Messages,
    rows: Upsert,
    is_keyed: bool,
}

impl Reader for Flat {
    fn read(&mut self, _: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        let bytes = message.value.unwrap_or_default();
        let mut said = upsert::Said::default();
        let heeded = self.is_keyed.then_some(&mut said);
        self.messages
            .read_row(bytes, (&mut self.rows.row, heeded), rows)?;
        self.rows.decide(&said, (message, ""), rows)
    }

    fn read_null(&mut self, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        match self.is_keyed {
            true => self.rows.read_null(message, rows),
            false => Err(Rejected::new(
                Reason::NullValue,
                "expected a message of Protobuf, but there is no value",
            )),
        }
    }

    fn is_text(&self) -> bool {
        false
    }

    fn takes_empty_for_null(&self) -> bool {
        self.messages.written.is_framed()
    }

    fn retry(&mut self) -> Result<(), Rejected> {
        self.messages.written.retry()
    }
}

/// Keys that have a frame are Protobuf.
impl BinaryKey for Messages {
    fn read(&mut self, key: &[u8], image: &mut Image, rows: &mut Rows) -> Result<bool, Rejected> {
        if frame::split(key).is_none() {
            return Ok(false);
        }
        self.read_row(key, (image, None), rows).map(|()| true)
    }

    fn retry(&mut self) -> Result<(), Rejected> {
        self.written.retry()
    }
}
