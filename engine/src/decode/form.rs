//! How a format writes a row, if rows are written in it.

use super::cell::Coding;
use super::format::{Format, Name};

/// How a message is made of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// An object of the columns between two texts.
    Json {
        /// What is before the object.
        before: String,
        /// What is after it.
        after: String,
        /// How bytes are written.
        bytes: Coding,
    },
    /// The values with a delimiter between them.
    Csv {
        /// The delimiter.
        delimiter: u8,
        /// Stands for null.
        null: String,
        /// How bytes are written.
        bytes: Coding,
    },
    /// The value of the only column.
    Raw,
}

impl Format {
    /// How rows are written; `None`: messages of the format are only read, for connectors make them or a registry has their schemas.
    pub fn form(&self) -> Option<Form> {
        let object = |before: String, after: &str| Form::Json {
            before,
            after: after.to_string(),
            bytes: self.options.bytes,
        };
        if self.registry().is_some() {
            return None;
        }
        match self.name {
            Name::Json | Name::Upsert => Some(object(String::new(), "")),
            Name::Debezium => Some(object(r#"{"before":null,"after":"#.to_string(), r#","op":"c"}"#)),
            Name::Op => Some(object(self.insert(), "}")),
            Name::Csv => Some(Form::Csv {
                delimiter: self.options.delimiter,
                null: self.options.null.clone(),
                bytes: self.options.bytes,
            }),
            Name::Raw => Some(Form::Raw),
            Name::Maxwell | Name::Canal | Name::Ogg | Name::Dms => None,
            Name::Avro | Name::UpsertAvro | Name::DebeziumAvro | Name::Protobuf | Name::UpsertProtobuf => {
                None
            }
        }
    }

    /// The start of an insert with the names that the options give its members.
    fn insert(&self) -> String {
        let options = &self.options;
        let quoted = |name: &Option<String>, usual: &str| {
            serde_json::Value::from(name.as_deref().unwrap_or(usual)).to_string()
        };
        let op = quoted(&options.op_field, "op");
        let data = quoted(&options.data_field, "data");
        let table = options.table.as_ref().map_or_else(String::new, |table| {
            let field = quoted(&options.table_field, "table");
            format!("{field}:{},", serde_json::Value::from(table.as_str()))
        });
        format!(r#"{{{op}:"insert",{table}{data}:"#)
    }
}
