//! Messages of a topic as the changes that a table would get of them, for who wants to see them without one.

use std::collections::HashMap;
use std::sync::Arc;

use millpond_engine::decode::{Changes, Decoder, Format, Outcome, Rejected, Skip, Table};
use millpond_engine::error::Error;
use millpond_engine::schema::nullable;
use rdkafka::message::BorrowedMessage;

use super::columns;
use super::describe::{no_schemas, push_patiently};
use super::framed::Framed;
use super::registry::{Registry, RegistrySettings};
use super::source::unfit;

/// See the module. Columns are those of the schema of the messages.
#[derive(Debug)]
pub struct Preview {
    topic: String,
    decoder: Decoder,
    is_change_log: bool,
}

/// What a message is to a table.
#[derive(Debug)]
pub enum Previewed {
    /// Changes of rows.
    Changes(Changes),
    /// Nothing.
    Skipped(Skip),
    /// A dead letter.
    Rejected(Rejected),
}

impl Preview {
    /// Of messages of a topic, with `format` and what belongs to it as in the options of a table. A change log has a key:
    /// these columns, or else those of the schema of the keys. It blocks, and is called in a runtime.
    ///
    /// # Errors
    /// Options that make no sense, a format without schemas, a registry that does not answer, a key that is not there.
    pub fn new(
        topic: &str,
        options: &HashMap<String, String>,
        key: &[String],
        settings: &RegistrySettings,
    ) -> Result<Self, Error> {
        let format = Format::parse(options).map_err(unfit)?;
        if !format.has_columns() {
            let refused = format!("messages of format '{}' come without a schema", format.name());
            return Err(unfit(refused).with_hint(
                "leave the format out, and they are shown as they are; or name a registry: format.registry",
            ));
        }
        let registry = format
            .registry()
            .map(|url| Arc::new(Registry::new(url, settings)));
        let (schema, schema_key) = columns::of_schemas(topic, &format, registry.as_deref())?;
        let key = match key {
            [] => &schema_key,
            given => given,
        };
        let place = |column: &String| {
            let found = schema.index_of(column);
            found.map_err(|_| unfit(format!("the messages have no column '{column}' for the key")))
        };
        let table = Table {
            key: key.iter().map(place).collect::<Result<_, _>>()?,
            schema: nullable(&schema),
        };
        let decoder = match registry {
            Some(registry) if format.reads_by_schema() => Decoder::with_schemas(&format, &table, registry),
            _ => Decoder::new(&format, &table),
        };
        Ok(Self {
            topic: topic.to_string(),
            decoder: decoder.map_err(unfit)?,
            is_change_log: format.is_change_log(),
        })
    }

    /// True if messages are changes of rows.
    pub fn is_change_log(&self) -> bool {
        self.is_change_log
    }

    /// What a message says. It blocks while a schema is fetched.
    ///
    /// # Errors
    /// A registry that does not answer.
    pub fn look(&mut self, message: &BorrowedMessage<'_>) -> Result<Previewed, Error> {
        let framed = Framed::of(message, self.decoder.heeds_frames());
        let pushed = push_patiently(&mut self.decoder, || framed.message());
        let taken = self
            .decoder
            .take()
            .map_err(|error| Error::from_datafusion(error.into()))?;
        Ok(match pushed {
            Ok(Outcome::Rows(_) | Outcome::Doubtful(_)) => Previewed::Changes(taken),
            Ok(Outcome::Skipped(skip)) => Previewed::Skipped(skip),
            Err(rejected) if rejected.reason().passes() => {
                return Err(no_schemas(&self.topic, &rejected)
                    .with_hint("the registry in 'format.registry' must be reached from here"));
            }
            Err(rejected) => Previewed::Rejected(rejected),
        })
    }
}
