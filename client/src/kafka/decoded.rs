//! Messages as a table would read them: rows of Avro, Protobuf and whatever else has a schema.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::json::writer::{JsonArray, WriterBuilder};
use millpond_engine::decode::{Changes, Kind};
use millpond_engine::error::Error as EngineError;
use millpond_executor::{Preview, Previewed, RegistrySettings};
use rdkafka::message::{BorrowedMessage, Message};
use serde_json::{Map, Value, json};

use super::consume::shown;
use crate::error::Error;
use crate::node::{ConfigArgs, key_and_value};

/// Flags that say how messages are written.
#[derive(Debug, clap::Args)]
pub(super) struct FormatArgs {
    /// Format of the messages, as the option of a table: avro, protobuf, debezium-avro, ...; without it they are shown as
    /// they are
    #[arg(long, value_name = "NAME", help_heading = "Format")]
    format: Option<String>,
    /// Option of the format, such as format.registry=http://127.0.0.1:8081
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE", value_parser = key_and_value, requires = "format", help_heading = "Format")]
    options: Vec<(String, String)>,
    /// Columns of the primary key, if the schema of the keys does not say
    #[arg(
        long,
        value_name = "COLUMN",
        value_delimiter = ',',
        requires = "format",
        help_heading = "Format"
    )]
    key: Vec<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Rows of messages.
pub(super) struct Rows {
    preview: Preview,
}

impl FormatArgs {
    /// A decoder of the messages of a topic, if there is a format. It blocks.
    ///
    /// # Errors
    /// Options that make no sense, a registry that does not answer.
    pub(super) fn open(&self, topic: &str) -> Result<Option<Rows>, Error> {
        let Some(format) = &self.format else {
            return Ok(None);
        };
        let config = self.config.load(Vec::new())?;
        let settings =
            RegistrySettings::from_config(&config).map_err(|error| Error::Usage(error.to_string()))?;
        let format = [("format".to_string(), format.clone())];
        let options: HashMap<String, String> = self.options.iter().cloned().chain(format).collect();
        let preview = Preview::new(topic, &options, &self.key, &settings).map_err(refused)?;
        Ok(Some(Rows { preview }))
    }
}

impl Rows {
    /// What a message says: a row, or a list of rows or of changes; else why there is none, with the message.
    pub(super) fn of(&mut self, message: &BorrowedMessage<'_>) -> Result<Value, Error> {
        match self.preview.look(message).map_err(refused)? {
            Previewed::Changes(changes) => self.shown(&changes),
            Previewed::Skipped(skip) => Ok(json!({"skipped": skip.name()})),
            Previewed::Rejected(rejected) => {
                Ok(json!({"rejected": rejected.to_string(), "message": shown(message.payload())}))
            }
        }
    }

    fn shown(&self, changes: &Changes) -> Result<Value, Error> {
        let rows = objects(&changes.rows)?;
        if self.preview.is_change_log() {
            let shown = rows.into_iter().zip(&changes.kinds);
            let schema = changes.rows.schema();
            return Ok(shown.map(|(row, kind)| change(row, kind, &schema)).collect());
        }
        let mut rows: Vec<Value> = rows.into_iter().map(Value::Object).collect();
        Ok(match rows.len() {
            1 => rows.remove(0),
            _ => Value::Array(rows),
        })
    }
}

/// A change with what it brings: all columns, or those that it knows.
fn change(mut row: Map<String, Value>, kind: &Kind, schema: &Schema) -> Value {
    let change = match kind {
        Kind::Put => "put",
        Kind::Merge(given) => {
            let is_given = |column: &str| schema.index_of(column).is_ok_and(|place| given[place]);
            row.retain(|column, _| is_given(column));
            "merge"
        }
        Kind::Delete | Kind::Rekey => {
            row.retain(|_, value| !value.is_null());
            "delete"
        }
        Kind::Truncate => return json!({"change": "truncate"}),
    };
    json!({"change": change, "row": row})
}

fn objects(rows: &RecordBatch) -> Result<Vec<Map<String, Value>>, Error> {
    let writer = WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = writer.build::<_, JsonArray>(Vec::new());
    let failed = |error: &dyn std::fmt::Display| Error::Node(format!("rows cannot be shown: {error}"));
    writer.write(rows).map_err(|error| failed(&error))?;
    writer.finish().map_err(|error| failed(&error))?;
    serde_json::from_slice(&writer.into_inner()).map_err(|error| failed(&error))
}

fn refused(error: EngineError) -> Error {
    Error::Usage(error.user_text())
}
