//! Columns that options of a table name, and what follows from them for its rows.

use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, SchemaRef};

use super::options::{StreamOptions, invalid};
use crate::config::nearest;
use crate::error::Error;
use crate::schema::nullable;
use crate::shards::{Expiry, LiveTable, VersionColumn, is_time, is_version};

/// The time at which something happened, as rows say, and how much later than others they may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTime {
    /// Place of the column in the table: a date or a timestamp.
    pub place: usize,
    /// The watermark is so long before the greatest time that was seen.
    pub delay: Duration,
}

impl EventTime {
    /// The event time of a table, if its options name one.
    ///
    /// # Errors
    /// A column that is not there, or is no time.
    pub fn of(options: &StreamOptions, schema: &SchemaRef) -> Result<Option<Self>, Error> {
        let Some(name) = &options.event_time else {
            return Ok(None);
        };
        let place = place("event_time", name, schema, is_time, "a TIMESTAMP or a DATE")?;
        let delay = options.watermark_delay;
        Ok(Some(Self { place, delay }))
    }
}

/// What its live shards must know of a table. `schema` has the columns about the message too.
///
/// # Errors
/// Columns that are not there or have other types than they must, and options that the table has no use for.
pub fn live_table(
    name: &str,
    schema: &SchemaRef,
    key: &[usize],
    options: &StreamOptions,
) -> Result<LiveTable, Error> {
    let version = match &options.version_column {
        None => None,
        Some(column) if key.is_empty() => {
            return Err(invalid(
                "version_column",
                column,
                "it is for tables with a PRIMARY KEY: leave it out",
            ));
        }
        Some(column) => Some(VersionColumn {
            place: place(
                "version_column",
                column,
                schema,
                is_version,
                "an integer, a TIMESTAMP or a DATE",
            )?,
            tombstones: options.tombstones,
        }),
    };
    if !key.is_empty() && (options.retention_time.is_some() || options.retention_bytes.is_some()) {
        let option = if options.retention_time.is_some() {
            "retention.time"
        } else {
            "retention.size"
        };
        let remedy = "rows of a table with a PRIMARY KEY go when the log deletes them: leave it out";
        return Err(invalid(option, "any value", remedy));
    }
    let time = EventTime::of(options, schema)?;
    let expiry = match (options.retention_time, time) {
        (None, _) => None,
        (Some(after), Some(time)) => Some(Expiry {
            place: time.place,
            after,
        }),
        (Some(_), None) => {
            return Err(invalid(
                "retention.time",
                "a time",
                "say with 'event_time' which column it counts from; 'event_time' 'kafka_timestamp' with 'metadata' 'timestamp' is the time of the message",
            ));
        }
    };
    let fields = schema.fields().iter().enumerate();
    Ok(LiveTable {
        name: name.to_string(),
        schema: nullable(schema),
        required: fields
            .filter(|(_, field)| !field.is_nullable())
            .map(|(place, _)| place)
            .collect(),
        key: key.to_vec(),
        version,
        expiry,
        bytes_max: None,
    })
}

fn place(
    option: &str,
    name: &str,
    schema: &SchemaRef,
    fits: fn(&DataType) -> bool,
    wanted: &str,
) -> Result<usize, Error> {
    let found = schema.column_with_name(name);
    let found = found.or_else(|| schema.column_with_name(&name.to_lowercase()));
    match found {
        Some((place, field)) if fits(field.data_type()) => Ok(place),
        Some((_, field)) => Err(invalid(
            option,
            name,
            &format!("the column must be {wanted}, and is {}", field.data_type()),
        )),
        None => {
            let names = schema.fields().iter().map(|field| field.name().as_str());
            let near =
                nearest(name, names).map_or_else(String::new, |near| format!(", did you mean '{near}'?"));
            Err(invalid(
                option,
                name,
                &format!("the table has no such column{near}"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{Field, Schema, TimeUnit};

    use super::*;

    fn made(key: &[usize], options: &[(&str, &str)]) -> Result<LiveTable, Error> {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("text", DataType::Utf8, false),
        ]);
        let settings: HashMap<String, String> = options
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        live_table("t", &Arc::new(schema), key, &StreamOptions::parse(&settings)?)
    }

    #[test]
    fn columns_are_found() {
        let table = made(&[0], &[("version_column", "AT"), ("version.tombstones", "2h")]).unwrap();
        let tombstones = Duration::from_secs(7200);
        assert_eq!(table.version, Some(VersionColumn { place: 1, tombstones }));
        assert_eq!(table.required, [2]);
        assert!(table.schema.fields().iter().all(|field| field.is_nullable()));
        let table = made(&[], &[("event_time", "at"), ("retention.time", "1h")]).unwrap();
        let after = Duration::from_secs(3600);
        assert_eq!(table.expiry, Some(Expiry { place: 1, after }));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (key, options, word) in [
            (&[][..], &[("version_column", "at")][..], "PRIMARY KEY"),
            (&[0], &[("version_column", "text")], "Utf8"),
            (&[0], &[("version_column", "att")], "did you mean 'at'"),
            (&[0], &[("retention.size", "1GiB")], "leave it out"),
            (&[], &[("retention.time", "1h")], "event_time"),
            (&[], &[("event_time", "id")], "TIMESTAMP"),
        ] {
            let error = made(key, options).unwrap_err();
            let text = format!("{error} {:?}", error.hint);
            assert!(text.contains(word), "{options:?}: {text}");
        }
    }
}
