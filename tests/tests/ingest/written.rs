//! Changes as each format writes them.

use cluster_tests::Registry;
use cluster_tests::binary::{framed, int, text, varint};
use serde_json::{Value, json};

const ROW: &str = r#"{"type":"record","name":"Row","fields":[
    {"name":"id","type":"long"},{"name":"name","type":"string"},{"name":"n","type":"long"}]}"#;
const KEY: &str = r#"{"type":"record","name":"Key","fields":[{"name":"id","type":"long"}]}"#;
const ENVELOPE: &str = r#"{"type":"record","name":"Envelope","fields":[
    {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
        {"name":"id","type":"long"},{"name":"name","type":"string"},{"name":"n","type":"long"}]}]},
    {"name":"after","type":["null","Value"]},
    {"name":"op","type":"string"}]}"#;
const PROTO: &str = r#"syntax = "proto3"; message Row { int64 id = 1; string name = 2; int64 n = 3; }"#;
/// What is no message in any of the formats.
const BAD: &[u8] = b"{ no json";

/// What a row has beside its key.
pub(crate) type Columns = (String, i64);

/// How a topic is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
    Avro,
    Protobuf,
    Debezium,
    DebeziumAvro,
    Maxwell,
    Canal,
    Ogg,
    Dms,
    Op,
    Upsert,
    UpsertAvro,
    UpsertProtobuf,
}

impl Format {
    pub(crate) const ALL: [Self; 14] = [
        Self::Json,
        Self::Csv,
        Self::Avro,
        Self::Protobuf,
        Self::Debezium,
        Self::DebeziumAvro,
        Self::Maxwell,
        Self::Canal,
        Self::Ogg,
        Self::Dms,
        Self::Op,
        Self::Upsert,
        Self::UpsertAvro,
        Self::UpsertProtobuf,
    ];

    /// The option of a table.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
            Self::Debezium => "debezium-json",
            Self::DebeziumAvro => "debezium-avro",
            Self::Maxwell => "maxwell-json",
            Self::Canal => "canal-json",
            Self::Ogg => "ogg-json",
            Self::Dms => "dms-json",
            Self::Op => "op-json",
            Self::Upsert => "upsert",
            Self::UpsertAvro => "upsert-avro",
            Self::UpsertProtobuf => "upsert-protobuf",
        }
    }

    /// False if each message is a row that stays.
    pub(crate) fn is_change_log(self) -> bool {
        !matches!(self, Self::Json | Self::Csv | Self::Avro | Self::Protobuf)
    }

    /// True if an update says what the key was.
    pub(crate) fn changes_keys(self) -> bool {
        use Format::{Canal, Debezium, DebeziumAvro, Dms, Maxwell, Ogg};
        matches!(self, Debezium | DebeziumAvro | Maxwell | Canal | Ogg | Dms)
    }

    fn schema(self) -> Option<Value> {
        let avro = |schema: &str| json!({"schema": schema});
        match self {
            Self::Avro | Self::UpsertAvro => Some(avro(ROW)),
            Self::DebeziumAvro => Some(avro(ENVELOPE)),
            Self::Protobuf | Self::UpsertProtobuf => Some(json!({"schemaType": "PROTOBUF", "schema": PROTO})),
            _ => None,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

/// Writes the messages of a topic.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) format: Format,
    /// Numbers of the schemas of values and keys.
    value: u32,
    key: u32,
}

impl Writer {
    /// Of a topic, whose schemas are in the registry from now on.
    pub(crate) fn new(format: Format, topic: &str, registry: &Registry) -> Self {
        let value = format.schema();
        let value = value.map_or(0, |schema| {
            registry.register_as(&format!("{topic}-value"), schema)
        });
        Self {
            format,
            value,
            key: registry.register(&format!("{topic}-key"), KEY),
        }
    }

    /// What a table needs as options.
    pub(crate) fn options(&self, registry: &Registry) -> String {
        let by_registry = self.format.schema().map(|_| registry.url());
        let by_registry = by_registry.map(|url| format!(", 'format.registry' '{url}'"));
        let word = self.format.word();
        format!("'format' '{word}'{}", by_registry.unwrap_or_default())
    }

    /// A message that nobody can read.
    pub(crate) fn bad(&self) -> Message {
        Message {
            key: None,
            value: Some(BAD.to_vec()),
        }
    }

    /// A row, which may have had another key.
    pub(crate) fn put(&self, old: Option<i64>, id: i64, columns: &Columns) -> Message {
        let was = old.map(|old| row(old, columns));
        let row = row(id, columns);
        let is_new = old.is_none();
        let value = match self.format {
            Format::Json | Format::Upsert => json_of(&row),
            Format::Csv => format!("{id},{},{}", columns.0, columns.1).into_bytes(),
            Format::Avro | Format::UpsertAvro => framed(self.value, &[avro(id, columns)]),
            Format::Protobuf | Format::UpsertProtobuf => framed(self.value, &[vec![0], proto(id, columns)]),
            Format::Debezium => json_of(&json!({"op": "u", "before": was, "after": row})),
            Format::DebeziumAvro => self.envelope(old.map(|old| avro(old, columns)), Some(avro(id, columns))),
            Format::Maxwell => {
                let kind = if is_new { "insert" } else { "update" };
                let old = old.map(|old| json!({"id": old}));
                json_of(&json!({"database": "d", "table": "t", "type": kind, "data": row, "old": old}))
            }
            Format::Canal => {
                let kind = if is_new { "INSERT" } else { "UPDATE" };
                let old = old.map(|old| json!([{"id": old.to_string()}]));
                json_of(&canal(kind, &in_texts(id, columns), &old.into()))
            }
            Format::Ogg => {
                let kind = if is_new { "I" } else { "U" };
                json_of(&json!({"table": "d.t", "op_type": kind, "before": was, "after": row}))
            }
            Format::Dms => {
                let kind = if is_new { "insert" } else { "update" };
                let mut message = dms(kind, &row);
                if let Some(was) = was {
                    message["before-image"] = was;
                }
                json_of(&message)
            }
            Format::Op => {
                let data = json!({"name": columns.0, "n": columns.1});
                json_of(&json!({"op": "update", "id": id, "data": data}))
            }
        };
        Message {
            key: Some(self.key(id)),
            value: Some(value),
        }
    }

    /// The end of a row.
    pub(crate) fn delete(&self, id: i64) -> Message {
        let columns = (String::new(), 0);
        let key = json!({"id": id});
        let value = match self.format {
            Format::Debezium => Some(json_of(&json!({"op": "d", "before": key, "after": null}))),
            Format::DebeziumAvro => Some(self.envelope(Some(avro(id, &columns)), None)),
            Format::Maxwell => {
                let row = row(id, &columns);
                Some(json_of(
                    &json!({"database": "d", "table": "t", "type": "delete", "data": row}),
                ))
            }
            Format::Canal => Some(json_of(&canal("DELETE", &in_texts(id, &columns), &Value::Null))),
            Format::Ogg => Some(json_of(&json!({"table": "d.t", "op_type": "D", "before": key}))),
            Format::Dms => Some(json_of(&dms("delete", &row(id, &columns)))),
            Format::Op => Some(json_of(&json!({"op": "delete", "id": id}))),
            Format::Upsert | Format::UpsertAvro | Format::UpsertProtobuf => None,
            Format::Json | Format::Csv | Format::Avro | Format::Protobuf => {
                unreachable!("rows of {:?} stay", self.format)
            }
        };
        Message {
            key: Some(self.key(id)),
            value,
        }
    }

    fn key(&self, id: i64) -> Vec<u8> {
        match self.format {
            Format::DebeziumAvro | Format::UpsertAvro => framed(self.key, &[int(id)]),
            _ => json_of(&json!({"id": id})),
        }
    }

    fn envelope(&self, before: Option<Vec<u8>>, after: Option<Vec<u8>>) -> Vec<u8> {
        let kind = if after.is_some() { "u" } else { "d" };
        let image = |image: Option<Vec<u8>>| image.map_or(int(0), |row| [int(1), row].concat());
        framed(self.value, &[image(before), image(after), text(kind)])
    }
}

fn json_of(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn row(id: i64, columns: &Columns) -> Value {
    json!({"id": id, "name": columns.0, "n": columns.1})
}

/// As Canal writes values.
fn in_texts(id: i64, columns: &Columns) -> Value {
    json!({"id": id.to_string(), "name": columns.0, "n": columns.1.to_string()})
}

fn canal(kind: &str, row: &Value, old: &Value) -> Value {
    json!({"database": "d", "table": "t", "type": kind, "isDdl": false, "pkNames": ["id"], "data": [row], "old": old})
}

fn dms(kind: &str, row: &Value) -> Value {
    json!({"data": row, "metadata": {"record-type": "data", "operation": kind, "schema-name": "d", "table-name": "t"}})
}

fn avro(id: i64, columns: &Columns) -> Vec<u8> {
    [int(id), text(&columns.0), int(columns.1)].concat()
}

fn proto(id: i64, columns: &Columns) -> Vec<u8> {
    let number = |field: u8, value: i64| [vec![field << 3], varint(value.cast_unsigned())].concat();
    let name = columns.0.as_bytes();
    let name = [vec![2 << 3 | 2], varint(name.len() as u64), name.to_vec()].concat();
    [number(1, id), name, number(3, columns.1)].concat()
}
