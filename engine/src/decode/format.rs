//! How the messages of a topic are written, from the options of a table.

use std::collections::HashMap;

use datafusion::arrow::datatypes::{FieldRef, Schema};

use super::avro;
use super::json_schema;
use super::options::Options;
use super::protobuf;
use super::schemas::SchemaText;
use crate::config::nearest;

/// How messages are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    pub(super) name: Name,
    pub(super) options: Options,
}

/// The formats there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Json,
    Csv,
    Raw,
    Debezium,
    Maxwell,
    Canal,
    Ogg,
    Dms,
    Upsert,
    Op,
    Avro,
    UpsertAvro,
    DebeziumAvro,
    Protobuf,
    UpsertProtobuf,
}

const NAMES: [(&str, Name); 18] = [
    ("json", Name::Json),
    ("csv", Name::Csv),
    ("raw", Name::Raw),
    ("debezium-json", Name::Debezium),
    ("maxwell-json", Name::Maxwell),
    ("canal-json", Name::Canal),
    ("ogg-json", Name::Ogg),
    ("dms-json", Name::Dms),
    ("upsert-json", Name::Upsert),
    ("upsert", Name::Upsert),
    ("op-json", Name::Op),
    ("avro", Name::Avro),
    ("avro-confluent", Name::Avro),
    ("upsert-avro", Name::UpsertAvro),
    ("debezium-avro", Name::DebeziumAvro),
    ("debezium-avro-confluent", Name::DebeziumAvro),
    ("protobuf", Name::Protobuf),
    ("upsert-protobuf", Name::UpsertProtobuf),
];

const CHANGES: &[Name] = &[
    Name::Debezium,
    Name::Maxwell,
    Name::Canal,
    Name::Ogg,
    Name::Dms,
    Name::Upsert,
    Name::Op,
    Name::UpsertAvro,
    Name::DebeziumAvro,
    Name::UpsertProtobuf,
];
const ALL_BUT_RAW: &[Name] = &[
    Name::Json,
    Name::Csv,
    Name::Debezium,
    Name::Maxwell,
    Name::Canal,
    Name::Ogg,
    Name::Dms,
    Name::Upsert,
    Name::Op,
    Name::Avro,
    Name::UpsertAvro,
    Name::DebeziumAvro,
    Name::Protobuf,
    Name::UpsertProtobuf,
];
const AVRO: &[Name] = &[Name::Avro, Name::UpsertAvro, Name::DebeziumAvro];
const PROTOBUF: &[Name] = &[Name::Protobuf, Name::UpsertProtobuf];
const WITH_SCHEMA: &[Name] = &[
    Name::Avro,
    Name::UpsertAvro,
    Name::DebeziumAvro,
    Name::Protobuf,
    Name::UpsertProtobuf,
];
const WITH_REGISTRY: &[Name] = &[
    Name::Json,
    Name::Debezium,
    Name::Upsert,
    Name::Avro,
    Name::UpsertAvro,
    Name::DebeziumAvro,
    Name::Protobuf,
    Name::UpsertProtobuf,
];
const MANY_TABLES: &[Name] = &[Name::Maxwell, Name::Canal, Name::Ogg, Name::Dms, Name::Op];

/// The options there are, and the formats that have them.
const OPTIONS: [(&str, &[Name]); 19] = [
    ("format.timestamp_unit", ALL_BUT_RAW),
    ("format.delimiter", &[Name::Csv]),
    ("format.null", &[Name::Csv]),
    ("format.unavailable_value", CHANGES),
    ("format.key_only", CHANGES),
    ("format.decimals", &[Name::Debezium, Name::Upsert]),
    ("format.binary", ALL_BUT_RAW),
    ("format.op_field", &[Name::Op]),
    ("format.data_field", &[Name::Op]),
    ("format.before_field", &[Name::Op, Name::Dms]),
    ("format.key_field", &[Name::Op]),
    ("format.table_field", &[Name::Op]),
    ("format.table", MANY_TABLES),
    ("format.registry", WITH_REGISTRY),
    ("format.schema", AVRO),
    ("format.key_schema", &[Name::UpsertAvro, Name::DebeziumAvro]),
    ("format.frame", WITH_SCHEMA),
    ("format.descriptor", PROTOBUF),
    ("format.message", PROTOBUF),
];

impl Format {
    /// Reads `format` and the options that start with `format.`; others are not looked at.
    ///
    /// # Errors
    /// For users: what is not known, and the nearest that is.
    pub fn parse(options: &HashMap<String, String>) -> Result<Self, String> {
        let word = options.get("format").ok_or_else(|| {
            let all = NAMES.map(|(name, _)| name).join(", ");
            format!("option 'format' is missing: say how messages are written, one of {all}")
        })?;
        let name = one_of("format", word, &NAMES)?;
        let mut format = Self {
            name,
            options: Options::of(name),
        };
        let mut given: Vec<_> = options
            .iter()
            .filter(|(option, _)| option.starts_with("format."))
            .collect();
        given.sort();
        for (option, value) in given {
            format.check(option, word)?;
            format.options.set(option, value)?;
        }
        if format.options.table_field.is_some() && format.options.table.is_none() {
            return Err(
                "option 'format.table_field' needs 'format.table': the table whose rows are taken".into(),
            );
        }
        format.options.check_schemas(name)?;
        Ok(format)
    }

    /// URL of the registry that has the schemas of messages.
    pub fn registry(&self) -> Option<&str> {
        self.options.registry.as_deref()
    }

    /// True if messages have a schema that says which columns there are.
    pub fn has_columns(&self) -> bool {
        self.reads_by_schema() || self.registry().is_some()
    }

    /// True if messages are read with their schema. JSON is read without, also if there is one.
    pub fn reads_by_schema(&self) -> bool {
        WITH_SCHEMA.contains(&self.name)
    }

    /// The columns of a table, and the names of those of its primary key, as schemas of values and keys have them.
    /// Without a registry they are among the options.
    ///
    /// # Errors
    /// For users: what is wrong with the schemas.
    pub fn columns(
        &self,
        value: Option<&SchemaText>,
        key: Option<&SchemaText>,
    ) -> Result<(Schema, Vec<String>), String> {
        let schema = |text: &Option<String>| text.as_ref().map(SchemaText::avro);
        let (own, own_key) = (schema(&self.options.schema), schema(&self.options.key_schema));
        let row = match (self.name, value.or(own.as_ref())) {
            (Name::Protobuf | Name::UpsertProtobuf, _) => protobuf::columns_of(&self.options, value),
            (Name::DebeziumAvro, Some(value)) => avro::columns_of(value, Some("after")),
            (Name::Debezium, Some(value)) => json_schema::columns_of(value, Some("after"), &self.options),
            (Name::Json | Name::Upsert, Some(value)) => json_schema::columns_of(value, None, &self.options),
            (_, Some(value)) => avro::columns_of(value, None),
            (_, None) => Err("there is none".to_owned()),
        };
        let row = row.map_err(|error| format!("schema of values: {error}"))?;
        let Some(key) = key.or(own_key.as_ref()).filter(|_| self.is_change_log()) else {
            return Ok((row, Vec::new()));
        };
        let key = match self.name {
            Name::UpsertProtobuf => protobuf::columns_of(&Options::of(self.name), Some(key)),
            Name::Debezium | Name::Upsert => json_schema::columns_of(key, None, &self.options),
            _ => avro::columns_of(key, None),
        };
        let key = key.map_err(|error| format!("schema of keys: {error}"))?;
        let names = key.fields().iter().map(|field| field.name().clone()).collect();
        let is_new = |field: &&FieldRef| row.field_with_name(field.name()).is_err();
        let only_in_key = key.fields().iter().filter(is_new);
        let fields: Vec<FieldRef> = only_in_key.chain(row.fields()).cloned().collect();
        Ok((Schema::new(fields), names))
    }

    /// True if messages are changes of rows, so that the table needs a primary key.
    pub fn is_change_log(&self) -> bool {
        CHANGES.contains(&self.name)
    }

    /// All options there are, but `format` itself.
    pub fn option_names() -> impl Iterator<Item = &'static str> {
        OPTIONS.iter().map(|(name, _)| *name)
    }

    /// The format in its usual word.
    pub fn name(&self) -> &'static str {
        let word = NAMES.iter().find(|(_, name)| *name == self.name);
        word.map_or("", |(word, _)| word)
    }

    fn check(&self, option: &str, format: &str) -> Result<(), String> {
        let known = OPTIONS.iter().find(|(name, _)| *name == option);
        let Some((_, owners)) = known else {
            let near = did_you_mean(option, Self::option_names());
            return Err(format!("there is no option '{option}'{near}"));
        };
        if owners.contains(&self.name) {
            return Ok(());
        }
        let mut words: Vec<_> = NAMES
            .iter()
            .filter(|(_, name)| owners.contains(name))
            .map(|(word, _)| *word)
            .collect();
        words.dedup();
        Err(format!(
            "option '{option}' is not for format '{format}', only for {}",
            words.join(", ")
        ))
    }
}

pub(super) fn one_of<T: Copy>(option: &str, value: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let near = did_you_mean(value, all.iter().copied());
        format!(
            "option '{option}' cannot be '{value}'{near}; it is one of {}",
            all.join(", ")
        )
    })
}

fn did_you_mean<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> String {
    nearest(word, words).map_or_else(String::new, |known| format!(": did you mean '{known}'?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Format, String> {
        let options = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Format::parse(&options.collect())
    }

    #[test]
    fn every_format_has_its_word() {
        for (word, name) in NAMES {
            let more = match WITH_SCHEMA.contains(&name) {
                true => ("format.registry", "http://r"),
                false => ("topic", "t"),
            };
            assert_eq!(
                parse(&[("format", word), more]).map(|format| format.name),
                Ok(name)
            );
        }
        assert!(parse(&[("format", "upsert")]).unwrap().is_change_log());
        assert!(!parse(&[("format", "json")]).unwrap().is_change_log());
    }

    #[test]
    fn a_registry_may_have_the_columns_of_json() {
        for word in ["json", "upsert", "debezium-json"] {
            let format = parse(&[("format", word), ("format.registry", "http://r")]).unwrap();
            assert!(format.has_columns() && !format.reads_by_schema(), "{word}");
            // What its serializers put in front is not written.
            assert_eq!(format.form(), None, "{word}");
            assert!(!parse(&[("format", word)]).unwrap().has_columns(), "{word}");
        }
        let refused = parse(&[("format", "csv"), ("format.registry", "http://r")]).unwrap_err();
        assert!(
            refused.contains("only for json, debezium-json, upsert-json"),
            "{refused}"
        );
    }

    #[test]
    fn errors_name_the_nearest_word() {
        let fails = |options: &[(&str, &str)], part: &str| {
            let error = parse(options).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        fails(&[], "one of json, csv");
        fails(&[("format", "debezium")], "did you mean 'debezium-");
        fails(
            &[("format", "json"), ("format.timestamp_unit", "mss")],
            "did you mean 'ms'?",
        );
        fails(
            &[("format", "json"), ("format.timestamp_units", "ms")],
            "did you mean 'format.timestamp_unit'?",
        );
        fails(&[("format", "json"), ("format.delimiter", ";")], "only for csv");
        fails(
            &[("format", "csv"), ("format.delimiter", "ab")],
            "give one character",
        );
        fails(
            &[("format", "op-json"), ("format.table_field", "t")],
            "needs 'format.table'",
        );
    }
}
