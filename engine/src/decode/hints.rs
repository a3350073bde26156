//! What the schema beside a payload says of values whose type in JSON does not: units of times, days, scales of decimals.
//!
//! The schema comes with every message and is nearly always that of the message before, so it is compared and not read.

use datafusion::arrow::datatypes::TimeUnit;
use serde::Deserialize;
use serde_json::Value;

use super::scaled::SCALE_MAX;

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// A time of day or a point in time, in this unit.
    Time(TimeUnit),
    /// Days since 1970.
    Days,
    /// The number of a year.
    Year,
    /// Base64 of an unscaled number, of this scale.
    Decimal(i32),
    /// The same with the scale beside it, in an object.
    ScaledDecimal,
    /// A text as it is.
    Text,
}

/// Hints by column; there are none without a schema.
#[derive(Debug, Default)]
pub(super) struct Hints {
    schema: String,
    of_columns: Vec<Option<Hint>>,
}

/// A schema of Kafka Connect, of a row or of an envelope around images of rows.
#[derive(Deserialize)]
struct Field {
    #[serde(default)]
    field: Option<String>,
    #[serde(default, rename = "type")]
    kind: Value,
    /// What the value means, beside its type.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    parameters: Value,
    #[serde(default)]
    fields: Option<Vec<Field>>,
}

impl Hints {
    /// The hint for a column, if the schema has one.
    pub(super) fn of(&self, column: usize) -> Option<Hint> {
        self.of_columns.get(column).copied().flatten()
    }

    /// Takes the schema of a message for what comes; none: the message has none. A schema that cannot be read says nothing.
    pub(super) fn heed<'n>(&mut self, schema: Option<&str>, columns: impl Iterator<Item = &'n str>) {
        let schema = schema.unwrap_or_default();
        // Lengths first: to compare two empty texts that lie nowhere takes some processors longer than to read the message.
        if schema.len() == self.schema.len() && (schema.is_empty() || schema == self.schema) {
            return;
        }
        schema.clone_into(&mut self.schema);
        let read: Option<Field> = serde_json::from_str(schema).ok();
        let fields = read.and_then(|schema| schema.fields).unwrap_or_default();
        let is_image = |field: &Field| {
            matches!(field.field.as_deref(), Some("before" | "after")) && field.fields.is_some()
        };
        let fields: Vec<Field> = match fields.iter().any(is_image) {
            true => fields
                .into_iter()
                .filter(is_image)
                .flat_map(|image| image.fields.unwrap_or_default())
                .collect(),
            false => fields,
        };
        let hint = |column: &str| {
            let exact = fields.iter().find(|field| field.field.as_deref() == Some(column));
            let is_same = |name: &String| name.eq_ignore_ascii_case(column);
            let any_case = || {
                fields
                    .iter()
                    .find(|field| field.field.as_ref().is_some_and(is_same))
            };
            exact.or_else(any_case).and_then(Field::hint)
        };
        self.of_columns = match fields.is_empty() {
            true => Vec::new(),
            false => columns.map(hint).collect(),
        };
    }
}

impl Field {
    /// Names of [Debezium] and of Kafka Connect.
    ///
    /// [Debezium]: https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-temporal-types
    fn hint(&self) -> Option<Hint> {
        Some(match self.name.as_deref().unwrap_or_default() {
            "io.debezium.time.Timestamp"
            | "io.debezium.time.Time"
            | "org.apache.kafka.connect.data.Timestamp"
            | "org.apache.kafka.connect.data.Time" => Hint::Time(TimeUnit::Millisecond),
            "io.debezium.time.MicroTimestamp" | "io.debezium.time.MicroTime" => {
                Hint::Time(TimeUnit::Microsecond)
            }
            "io.debezium.time.NanoTimestamp" | "io.debezium.time.NanoTime" => {
                Hint::Time(TimeUnit::Nanosecond)
            }
            "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => Hint::Days,
            "io.debezium.time.Year" => Hint::Year,
            "org.apache.kafka.connect.data.Decimal" => Hint::Decimal(self.scale()?),
            "io.debezium.data.VariableScaleDecimal" => Hint::ScaledDecimal,
            "" if self.kind.as_str() == Some("string") => Hint::Text,
            _ => return None,
        })
    }

    /// The scale of a decimal, as a text or a number.
    fn scale(&self) -> Option<i32> {
        let scale = self.parameters.get("scale")?;
        let number = || i32::try_from(scale.as_i64()?).ok();
        let scale = scale
            .as_str()
            .and_then(|scale| scale.parse().ok())
            .or_else(number)?;
        (-SCALE_MAX..=SCALE_MAX).contains(&scale).then_some(scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_says_what_values_mean() {
        let envelope = r#"{"type":"struct","fields":[{"type":"struct","field":"before","fields":[
            {"type":"int64","field":"a","name":"io.debezium.time.MicroTimestamp","version":1},
            {"type":"bytes","field":"d","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}},
            {"type":"int32","field":"b"}]},{"type":"string","field":"op"}]}"#;
        let mut hints = Hints::default();
        hints.heed(Some(envelope), ["b", "a", "D"].into_iter());
        let micros = Some(Hint::Time(TimeUnit::Microsecond));
        assert_eq!(
            (hints.of(0), hints.of(1), hints.of(2)),
            (None, micros, Some(Hint::Decimal(2)))
        );
        let row = r#"{"type":"struct","fields":[{"type":"int32","field":"a","name":"io.debezium.time.Date"},
            {"type":"string","field":"b"}]}"#;
        hints.heed(Some(row), ["b", "a"].into_iter());
        assert_eq!((hints.of(0), hints.of(1)), (Some(Hint::Text), Some(Hint::Days)));
        hints.heed(None, ["b", "a"].into_iter());
        assert_eq!(hints.of(1), None);
    }
}
