//! The units of times that are numbers, as the schema beside a payload of Debezium names them.
//!
//! The schema comes with every message and is nearly always that of the message before, so it is compared and not read.

use datafusion::arrow::datatypes::TimeUnit;
use serde::Deserialize;

/// Units by column; none is known without a schema.
#[derive(Debug, Default)]
pub(super) struct Units {
    schema: String,
    of_columns: Vec<Option<TimeUnit>>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    fields: Vec<Image<'a>>,
}

/// An image of a row, or something else of the envelope.
#[derive(Deserialize)]
struct Image<'a> {
    #[serde(default)]
    field: &'a str,
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    #[serde(default)]
    field: String,
    /// What the value means, beside its type.
    #[serde(default)]
    name: String,
}

impl Units {
    /// The unit of a column, if the schema says it.
    pub(super) fn of(&self, column: usize) -> Option<TimeUnit> {
        self.of_columns.get(column).copied().flatten()
    }

    /// Takes the schema of a message for what comes; none: the message has none. A schema that cannot be read says nothing.
    pub(super) fn heed<'n>(&mut self, schema: Option<&str>, columns: impl Iterator<Item = &'n str>) {
        let schema = schema.unwrap_or_default();
        if schema == self.schema {
            return;
        }
        schema.clone_into(&mut self.schema);
        let envelope: Option<Envelope<'_>> = serde_json::from_str(schema).ok();
        let images = envelope.into_iter().flat_map(|envelope| envelope.fields);
        let fields: Vec<Field> = images
            .filter(|image| matches!(image.field, "before" | "after"))
            .flat_map(|image| image.fields)
            .collect();
        let unit = |column: &str| {
            fields
                .iter()
                .find(|field| field.field == column)
                .and_then(|field| unit_of(&field.name))
        };
        self.of_columns = match fields.is_empty() {
            true => Vec::new(),
            false => columns.map(unit).collect(),
        };
    }
}

/// Names of [Debezium] and of Kafka Connect.
///
/// [Debezium]: https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-temporal-types
fn unit_of(name: &str) -> Option<TimeUnit> {
    Some(match name {
        "io.debezium.time.Timestamp"
        | "io.debezium.time.Time"
        | "org.apache.kafka.connect.data.Timestamp"
        | "org.apache.kafka.connect.data.Time" => TimeUnit::Millisecond,
        "io.debezium.time.MicroTimestamp" | "io.debezium.time.MicroTime" => TimeUnit::Microsecond,
        "io.debezium.time.NanoTimestamp" | "io.debezium.time.NanoTime" => TimeUnit::Nanosecond,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_names_units() {
        let schema = r#"{"type":"struct","fields":[{"type":"struct","field":"before","fields":[
            {"type":"int64","field":"a","name":"io.debezium.time.MicroTimestamp","version":1},
            {"type":"int32","field":"b"}]},{"type":"string","field":"op"}]}"#;
        let mut units = Units::default();
        units.heed(Some(schema), ["b", "a"].into_iter());
        assert_eq!((units.of(0), units.of(1)), (None, Some(TimeUnit::Microsecond)));
        units.heed(None, ["b", "a"].into_iter());
        assert_eq!(units.of(1), None);
    }
}
