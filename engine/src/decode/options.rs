//! The options of formats and their values.

use datafusion::arrow::datatypes::TimeUnit;
use url::Url;

use super::cell::Coding;
use super::format::{Name, one_of};

const CODINGS: [(&str, Coding); 3] = [
    ("base64", Coding::Base64),
    ("hex", Coding::Hex),
    ("latin1", Coding::Latin1),
];

/// What the options of a format say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// Unit of whole numbers in columns of times.
    pub(super) unit: Option<TimeUnit>,
    pub(super) delimiter: u8,
    /// A field of CSV that is null, unless it is in quotes.
    pub(super) null: String,
    /// Stands in Debezium for a value that did not change and is not known.
    pub(super) unavailable: String,
    /// Rows are named by the key of the message alone.
    pub(super) key_only: bool,
    /// Texts in decimal columns are base64 of bytes, as Debezium's `precise` has them.
    pub(super) decimals_in_base64: bool,
    /// Those in columns of whole numbers are too: the option says so itself.
    pub(super) wholes_in_base64: bool,
    /// A date of zeros, which MySQL has, is null.
    pub(super) zero_is_no_date: bool,
    pub(super) bytes: Coding,
    /// Names of members; none stands for the usual ones.
    pub(super) op_field: Option<String>,
    pub(super) data_field: Option<String>,
    pub(super) before_field: Option<String>,
    pub(super) key_field: Option<String>,
    pub(super) table_field: Option<String>,
    /// Rows of other tables are passed over.
    pub(super) table: Option<String>,
    /// Where the schemas of messages are.
    pub(super) registry: Option<String>,
    /// The schema of all values.
    pub(super) schema: Option<String>,
    /// The schema of all keys.
    pub(super) key_schema: Option<String>,
    /// A descriptor of Protobuf, in base64.
    pub(super) descriptor: Option<String>,
    /// Full name of a message type of Protobuf.
    pub(super) message: Option<String>,
    /// What a schema is called is in front of messages; none: if there is a registry.
    pub(super) is_framed: Option<bool>,
}

impl Options {
    pub(super) fn of(name: Name) -> Self {
        // Debezium writes times in the unit of their column, and so do its flattened records.
        let unit = match name {
            Name::Debezium | Name::Upsert | Name::DebeziumAvro | Name::UpsertAvro | Name::UpsertProtobuf => {
                None
            }
            _ => Some(TimeUnit::Millisecond),
        };
        Self {
            unit,
            delimiter: b',',
            null: String::new(),
            unavailable: "__debezium_unavailable_value".to_owned(),
            key_only: false,
            decimals_in_base64: name == Name::Debezium,
            wholes_in_base64: false,
            zero_is_no_date: matches!(name, Name::Maxwell | Name::Canal),
            bytes: match name {
                Name::Canal => Coding::Latin1,
                Name::Dms => Coding::Hex,
                _ => Coding::Base64,
            },
            op_field: None,
            data_field: None,
            before_field: None,
            key_field: None,
            table_field: None,
            table: None,
            registry: None,
            schema: None,
            key_schema: None,
            descriptor: None,
            message: None,
            is_framed: None,
        }
    }

    pub(super) fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        let units = [
            ("s", TimeUnit::Second),
            ("ms", TimeUnit::Millisecond),
            ("us", TimeUnit::Microsecond),
            ("ns", TimeUnit::Nanosecond),
        ];
        match option {
            "format.timestamp_unit" => self.unit = Some(one_of(option, value, &units)?),
            "format.delimiter" => self.delimiter = delimiter(value)?,
            "format.null" => value.clone_into(&mut self.null),
            "format.unavailable_value" => value.clone_into(&mut self.unavailable),
            "format.key_only" => self.key_only = one_of(option, value, &[("true", true), ("false", false)])?,
            "format.decimals" => {
                self.decimals_in_base64 = one_of(
                    option,
                    value,
                    &[("precise", true), ("string", false), ("double", false)],
                )?;
                self.wholes_in_base64 = self.decimals_in_base64;
            }
            "format.binary" => self.bytes = one_of(option, value, &CODINGS)?,
            "format.op_field" => self.op_field = Some(field(option, value)?),
            "format.data_field" => self.data_field = Some(field(option, value)?),
            "format.before_field" => self.before_field = Some(field(option, value)?),
            "format.key_field" => self.key_field = Some(field(option, value)?),
            "format.table_field" => self.table_field = Some(field(option, value)?),
            "format.registry" => self.registry = Some(registry(value)?),
            "format.schema" => self.schema = Some(field(option, value)?),
            "format.key_schema" => self.key_schema = Some(field(option, value)?),
            "format.descriptor" => self.descriptor = Some(field(option, value)?),
            "format.message" => self.message = Some(field(option, value)?),
            "format.frame" => {
                self.is_framed = Some(one_of(option, value, &[("confluent", true), ("none", false)])?);
            }
            _ => self.table = Some(field(option, value)?),
        }
        Ok(())
    }

    /// Checks the options about schemas together.
    pub(super) fn check_schemas(&self, name: Name) -> Result<(), String> {
        let is_protobuf = matches!(name, Name::Protobuf | Name::UpsertProtobuf);
        let is_avro = matches!(name, Name::Avro | Name::UpsertAvro | Name::DebeziumAvro);
        let is_given = self.schema.is_some() || self.descriptor.is_some();
        let refused = match self.registry {
            None if is_avro && !is_given => {
                "messages have a schema: give 'format.registry' (http://HOST:PORT), or the schema itself as \
                 'format.schema'"
            }
            None if is_protobuf && !is_given => {
                "messages have a type: give 'format.registry' (http://HOST:PORT), or 'format.descriptor' (a \
                 FileDescriptorSet in base64, or the path of its file) and 'format.message'"
            }
            None if is_protobuf && self.message.is_none() => {
                "'format.descriptor' needs 'format.message': the full name of the message type"
            }
            Some(_) if is_given || self.key_schema.is_some() => {
                "a registry has all schemas: leave 'format.registry' out, or the schemas in the options"
            }
            Some(_) if self.is_framed == Some(false) => {
                "messages without frame do not say which schema of the registry they have: give it in the options"
            }
            _ => return Ok(()),
        };
        Err(refused.to_owned())
    }
}

/// The address of a registry, without a slash at its end.
fn registry(value: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("option 'format.registry' is '{value}': {why}"));
    let Ok(url) = Url::parse(value) else {
        return refuse("write http://HOST:PORT, or https://");
    };
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return refuse("write http://HOST:PORT, or https://, and a path if there is one");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "option 'format.registry' would store a secret in the catalog: user and password are \
             'kafka.registry.user' and 'kafka.registry.password' in the configuration of executors"
                .to_owned(),
        );
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn field(option: &str, value: &str) -> Result<String, String> {
    if value.is_empty() {
        return Err(format!("option '{option}' is empty: give a name"));
    }
    Ok(value.to_owned())
}

fn delimiter(value: &str) -> Result<u8, String> {
    match value.as_bytes() {
        _ if value == "\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(*byte),
        _ => Err(format!(
            "option 'format.delimiter' is '{value}': give one character, or \\t for a tab"
        )),
    }
}
