//! Messages as a table would read them: rows of Avro, Protobuf and whatever else has a schema.

use std::collections::{BTreeMap, HashMap};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::json::writer::{JsonArray, WriterBuilder};
use millpond_engine::decode::{Changes, Kind};
use millpond_engine::error::Error as EngineError;
use millpond_executor::{Preview, Previewed, RegistrySettings};
use rdkafka::message::{BorrowedMessage, Message};
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

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
    pub(super) fn of(&mut self, message: &BorrowedMessage<'_>) -> Result<Box<RawValue>, Error> {
        match self.preview.look(message).map_err(refused)? {
            Previewed::Changes(changes) => self.shown(&changes),
            Previewed::Skipped(skip) => raw(&json!({"skipped": skip.name()})),
            Previewed::Rejected(rejected) => raw(&Refusal {
                message: shown(message.payload()),
                rejected: rejected.to_string(),
            }),
        }
    }

    fn shown(&self, changes: &Changes) -> Result<Box<RawValue>, Error> {
        let rows = objects(&changes.rows)?;
        if self.preview.is_change_log() {
            let schema = changes.rows.schema();
            let shown = rows.into_iter().zip(&changes.kinds);
            let shown: Vec<Change> = shown.map(|(row, kind)| Change::of(row, kind, &schema)).collect();
            return raw(&shown);
        }
        match rows.as_slice() {
            [row] => raw(row),
            rows => raw(&rows),
        }
    }
}

/// Columns by name, with their values as they were written: a number of any length stays what it is.
type Row = BTreeMap<String, Box<RawValue>>;

/// A message that gives no row, and why.
#[derive(Serialize)]
struct Refusal {
    message: Box<RawValue>,
    rejected: String,
}

/// A change with what it brings: all columns, or those that it knows.
#[derive(Serialize)]
struct Change {
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<Row>,
}

impl Change {
    fn of(mut row: Row, kind: &Kind, schema: &Schema) -> Self {
        let change = match kind {
            Kind::Put => "put",
            Kind::Merge(given) => {
                let is_given = |column: &str| schema.index_of(column).is_ok_and(|place| given[place]);
                row.retain(|column, _| is_given(column));
                "merge"
            }
            Kind::Delete | Kind::Rekey => {
                row.retain(|_, value| value.get() != "null");
                "delete"
            }
            Kind::Truncate => {
                let change = "truncate";
                return Self { change, row: None };
            }
        };
        let row = Some(row);
        Self { change, row }
    }
}

fn objects(rows: &RecordBatch) -> Result<Vec<Row>, Error> {
    let writer = WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = writer.build::<_, JsonArray>(Vec::new());
    writer.write(rows).map_err(|error| unshown(&error))?;
    writer.finish().map_err(|error| unshown(&error))?;
    serde_json::from_slice(&writer.into_inner()).map_err(|error| unshown(&error))
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>, Error> {
    to_raw_value(value).map_err(|error| unshown(&error))
}

fn unshown(error: &dyn std::fmt::Display) -> Error {
    Error::Node(format!("rows cannot be shown: {error}"))
}

fn refused(error: EngineError) -> Error {
    Error::Usage(error.user_text())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, StringArray};

    use super::*;

    #[test]
    fn values_are_shown_as_they_are() {
        let decimals = Decimal128Array::from(vec![1_234_567_890_123_456_789_010]);
        let columns: [(&str, ArrayRef); 3] = [
            (
                "amount",
                Arc::new(decimals.with_precision_and_scale(38, 2).unwrap()),
            ),
            ("share", Arc::new(Float64Array::from(vec![0.1 + 0.2]))),
            ("name", Arc::new(StringArray::from(vec![None::<&str>]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let row = objects(&rows).unwrap().remove(0);
        let put = Change::of(row, &Kind::Put, &rows.schema());
        assert_eq!(
            raw(&put).unwrap().get(),
            r#"{"change":"put","row":{"amount":12345678901234567890.10,"name":null,"share":0.30000000000000004}}"#
        );
        let row = objects(&rows).unwrap().remove(0);
        let delete = Change::of(row, &Kind::Delete, &rows.schema());
        assert!(!raw(&delete).unwrap().get().contains("name"));
    }
}
