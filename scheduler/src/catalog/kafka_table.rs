//! From a `CREATE EXTERNAL TABLE ... STORED AS KAFKA` to a stored table, without a look at the topic.

use std::collections::HashMap;

use datafusion::arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::{Constraint, Constraints, DFSchema};
use datafusion::logical_expr::CreateExternalTable;
use millpond_engine::decode::{Format, Table};
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::encode_schema;
use millpond_engine::streams::{StreamOptions, live_table};
use millpond_proto::catalog::{KafkaTable, TopicPartition};

use super::relation::without_views;
use crate::statement::without_password;

/// The word behind `STORED AS`.
const KIND: &str = "KAFKA";
/// Option by which a table gets the columns of newer schemas.
const EVOLVE: &str = "schema.evolve";
const SCHEME: &str = "kafka://";
/// Port of a broker that is named without.
const PORT: &str = "9092";

/// True for a table that follows a topic.
pub(super) fn is_kafka(command: &CreateExternalTable) -> bool {
    command.file_type.eq_ignore_ascii_case(KIND)
}

/// The table as far as it is known, if the statement has no columns and its topic is to be asked for them.
///
/// # Errors
/// A location or option that such a table cannot have, or nothing that would say which columns there are.
pub(super) fn without_columns(command: &CreateExternalTable) -> Result<Option<KafkaTable>, Error> {
    if !command.schema.as_arrow().fields().is_empty() {
        return Ok(None);
    }
    let (brokers, topic) = address(command)?;
    let settings = settings(&command.options);
    let (options, format) = parse(&settings)?;
    let is_json = format.name() == "json";
    if options.infers_columns && !is_json || !options.infers_columns && !format.has_columns() {
        let hint = match is_json {
            true => {
                "declare them as in CREATE TABLE: the names are those of the fields of messages; or have them taken \
                     from the first messages with 'schema.infer' 'true', or from a registry with 'format.registry'"
            }
            false => "declare them as in CREATE TABLE: the names are those of the fields of messages",
        };
        let error = Error::user(Code::INVALID_STATEMENT, "the columns of the table are missing");
        return Err(error.with_hint(hint));
    }
    Ok(Some(KafkaTable {
        arrow_schema: encode_schema(&Schema::empty()).map_err(Error::from_datafusion)?,
        brokers,
        topic,
        settings,
        ..KafkaTable::default()
    }))
}

/// The statement with columns, and a key if it has none, as the topic has them.
///
/// # Errors
/// A key that is none of the columns, or one of the same name twice.
pub(super) fn with_columns(
    command: &CreateExternalTable,
    columns: &Schema,
    key: &[String],
) -> Result<CreateExternalTable, Error> {
    let wrong = |detail: String| {
        Error::user(
            Code::INVALID_STATEMENT,
            "the schema of the messages gives no table",
        )
        .with_detail(detail)
        .with_hint("declare the columns as in CREATE TABLE")
    };
    let place = |name: &String| {
        let place = columns.index_of(name);
        place.map_err(|_| wrong(format!("'{name}' of the key is no column")))
    };
    let key: Vec<usize> = key.iter().map(place).collect::<Result<_, _>>()?;
    let mut command = command.clone();
    let (options, format) = parse(&settings(&command.options))?;
    if format.registry().is_some() && !options.infers_columns {
        // Nobody has said which columns there are to be, so there are all that messages have.
        command
            .options
            .entry(EVOLVE.to_string())
            .or_insert_with(|| "true".to_string());
    }
    let schema = DFSchema::try_from(columns.clone()).map_err(|error| wrong(error.to_string()))?;
    command.schema = std::sync::Arc::new(schema);
    if !key.is_empty() {
        command.constraints = Constraints::new_unverified(vec![Constraint::PrimaryKey(key)]);
    }
    Ok(command)
}

fn parse(settings: &HashMap<String, String>) -> Result<(StreamOptions, Format), Error> {
    let options = StreamOptions::parse(settings)?;
    let format = Format::parse(settings).map_err(|reason| Error::user(Code::INVALID_SETTING, reason))?;
    Ok((options, format))
}

/// Reads the statement. The topic partitions are not known yet.
///
/// # Errors
/// A location, option, key or column that such a table cannot have.
pub(super) fn describe(command: &CreateExternalTable, sql: &str) -> Result<KafkaTable, Error> {
    let (brokers, topic) = address(command)?;
    if !command.table_partition_cols.is_empty() || !command.order_exprs.is_empty() {
        return Err(not_supported(
            "PARTITIONED BY and WITH ORDER are for tables over files",
            "leave them out: rows lie by topic partition",
        ));
    }
    if !command.column_defaults.is_empty() {
        return Err(not_supported(
            "DEFAULT is not supported here",
            "use coalesce() in a view",
        ));
    }
    let settings = settings(&command.options);
    let (options, format) = parse(&settings)?;
    let own = without_views(command.schema.as_arrow());
    let key = key(command)?;
    let table = Table {
        schema: std::sync::Arc::new(not_null(&own, &key)),
        key: key.clone(),
    };
    millpond_engine::decode::Decoder::new(&format, &table)
        .map_err(|reason| Error::user(Code::INVALID_STATEMENT, reason))?;
    if !key.is_empty() && !format.is_change_log() {
        return Err(Error::user(
            Code::INVALID_STATEMENT,
            format!(
                "every message of format '{}' is a row of its own, so there is no PRIMARY KEY",
                format.name()
            ),
        )
        .with_hint(
            "for a table of the last message of each key use 'format' 'upsert'; else leave the key out",
        ));
    }
    let mut fields: Vec<FieldRef> = table.schema.fields().iter().cloned().collect();
    for column in &options.metadata {
        if own.field_with_name(column.name()).is_ok() {
            return Err(Error::user(
                Code::INVALID_STATEMENT,
                format!(
                    "column '{}' is declared and asked for with 'metadata'",
                    column.name()
                ),
            ));
        }
        fields.push(column.field());
    }
    let schema = std::sync::Arc::new(Schema::new(fields));
    live_table(&topic, &schema, &key, &options)?;
    Ok(KafkaTable {
        table_id: uuid::Uuid::new_v4().simple().to_string(),
        arrow_schema: encode_schema(&schema).map_err(Error::from_datafusion)?,
        brokers,
        topic,
        key: key.iter().map(|column| *column as u32).collect(),
        settings,
        definition: sql.trim().trim_end_matches(';').to_string(),
        partitions: Vec::new(),
        paused: false,
    })
}

/// Topic partitions that begin at these offsets and are followed by nobody.
pub(crate) fn partitions(starts: Vec<u64>) -> Vec<TopicPartition> {
    let partition = |(number, start): (usize, u64)| TopicPartition {
        number: number as u32,
        start,
        owner: None,
        standby: None,
        paused_at: None,
        added: false,
    };
    starts.into_iter().enumerate().map(partition).collect()
}

/// Brokers and topic of `kafka://host:port[,host:port]/topic`.
fn address(command: &CreateExternalTable) -> Result<(String, String), Error> {
    let location = command.locations.first().map_or("", String::as_str);
    let wrong = || {
        Error::user(
            Code::INVALID_STATEMENT,
            format!("'{}' is no location of a topic", without_password(location)),
        )
        .with_hint("write kafka://HOST:PORT/TOPIC, with commas between several brokers")
    };
    let rest = location
        .strip_prefix(SCHEME)
        .filter(|_| command.locations.len() == 1);
    let (brokers, topic) = rest.and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    // The rule of the brokers themselves.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if topic.is_empty() || topic.len() > 249 || !topic.chars().all(is_plain) || brokers.contains('@') {
        return Err(wrong());
    }
    let brokers = brokers.split(',').map(|broker| match broker.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(broker.to_string()),
        None if !broker.is_empty() => Ok(format!("{broker}:{PORT}")),
        _ => Err(wrong()),
    });
    Ok((
        brokers.collect::<Result<Vec<_>, _>>()?.join(","),
        topic.to_string(),
    ))
}

/// Options as they were written: the planner puts `format.` before each that has no dot.
fn settings(options: &HashMap<String, String>) -> HashMap<String, String> {
    let written = |(key, value): (&String, &String)| {
        let bare = key
            .strip_prefix("format.")
            .filter(|bare| StreamOptions::knows(bare));
        (bare.unwrap_or(key).to_string(), value.clone())
    };
    options.iter().map(written).collect()
}

/// Columns of the primary key.
fn key(command: &CreateExternalTable) -> Result<Vec<usize>, Error> {
    let mut key = Vec::new();
    for constraint in command.constraints.iter() {
        match constraint {
            Constraint::PrimaryKey(columns) => key.clone_from(columns),
            Constraint::Unique(_) => {
                return Err(not_supported(
                    "UNIQUE is not supported",
                    "nothing enforces it; declare the PRIMARY KEY of the source",
                ));
            }
        }
    }
    Ok(key)
}

/// The columns, those of the key being NOT NULL.
fn not_null(schema: &Schema, key: &[usize]) -> Schema {
    let field = |(column, field): (usize, &FieldRef)| -> Field {
        let field = field.as_ref().clone();
        match key.contains(&column) {
            true => field.with_nullable(false),
            false => field,
        }
    };
    Schema::new(schema.fields().iter().enumerate().map(field).collect::<Vec<_>>())
}

fn not_supported(what: &str, hint: &str) -> Error {
    Error::user(Code::NOT_SUPPORTED, what).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{DdlStatement, LogicalPlan};
    use datafusion::prelude::SessionContext;
    use millpond_engine::schema::decode_schema;

    async fn described(sql: &str) -> Result<KafkaTable, Error> {
        let plan = SessionContext::new()
            .state()
            .create_logical_plan(sql)
            .await
            .unwrap();
        match plan {
            LogicalPlan::Ddl(DdlStatement::CreateExternalTable(command)) => {
                without_columns(&command)?;
                describe(&command, sql)
            }
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn a_keyed_table_is_read_from_its_statement() {
        let table = described(
            "CREATE EXTERNAL TABLE c (id BIGINT, income DOUBLE, name TEXT NOT NULL, PRIMARY KEY (id)) STORED AS KAFKA \
             LOCATION 'kafka://a:9092,b/customer_updates' \
             OPTIONS ('format' 'debezium-json', 'metadata' 'offset', 'format.decimals' 'string', 'kafka.client.id' 'x')",
        );
        let table = table.await.unwrap();
        assert_eq!(
            (table.brokers.as_str(), table.topic.as_str()),
            ("a:9092,b:9092", "customer_updates")
        );
        assert_eq!(table.key, [0]);
        let mut settings: Vec<_> = table
            .settings
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        settings.sort();
        assert_eq!(
            settings,
            [
                "format.decimals=string",
                "format=debezium-json",
                "kafka.client.id=x",
                "metadata=offset"
            ]
        );
        let schema = decode_schema(&table.arrow_schema).unwrap();
        let columns: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| format!("{} {} {}", field.name(), field.data_type(), field.is_nullable()))
            .collect();
        assert_eq!(
            columns,
            [
                "id Int64 false",
                "income Float64 true",
                "name Utf8 false",
                "kafka_offset Int64 true"
            ]
        );
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused() {
        let fails = async |columns: &str, location: &str, options: &str, part: &str| {
            let sql = format!(
                "CREATE EXTERNAL TABLE t {columns} STORED AS KAFKA LOCATION '{location}' OPTIONS ({options})"
            );
            let text = described(&sql).await.unwrap_err().user_text();
            assert!(text.contains(part), "{sql}: {text}");
        };
        let (one, json) = ("(a INT)", "'format' 'json'");
        fails(one, "kafka://h:9092", json, "kafka://HOST:PORT/TOPIC").await;
        fails(one, "kafka://h:x/t", json, "kafka://HOST:PORT/TOPIC").await;
        fails(one, "kafka://user:secret@h:1/t", json, "kafka://HOST:PORT/TOPIC").await;
        fails(one, "http://h:9092/t", json, "no location of a topic").await;
        fails(one, "kafka://h:1/t", "'format' 'jsn'", "did you mean 'json'").await;
        fails(one, "kafka://h:1/t", "'x' 'y'", "x").await;
        fails(one, "kafka://h:1/t", "'format' 'debezium-json'", "PRIMARY KEY").await;
        fails(
            "(a INT, PRIMARY KEY (a))",
            "kafka://h:1/t",
            json,
            "a row of its own",
        )
        .await;
        fails("(a INT, UNIQUE (a))", "kafka://h:1/t", json, "UNIQUE").await;
        fails("", "kafka://h:1/t", json, "schema.infer").await;
        fails("", "kafka://h:1/t", "'format' 'csv'", "columns").await;
        fails(
            "",
            "kafka://h:1/t",
            "'format' 'upsert', 'schema.infer' 'true'",
            "columns",
        )
        .await;
        fails(one, "kafka://h:1/t", "'format' 'avro'", "format.registry").await;
        fails(
            one,
            "kafka://h:1/t",
            "'format' 'avro', 'format.registry' 'http://u:p@h'",
            "secret",
        )
        .await;
        fails(
            "(kafka_key INT)",
            "kafka://h:1/t",
            "'format' 'json', 'metadata' 'key'",
            "kafka_key",
        )
        .await;
    }
}
