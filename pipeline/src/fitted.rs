//! What a pipeline has learned.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::kind::{Column, Kind};
use crate::sql;

/// The step of what is known of the source.
const SOURCE: &str = "0 source";
/// What a kind is filed under.
const KIND: &str = "kind";

/// Answers to the questions of a pipeline, by step (`3 impute`), column and what was asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fitted(BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>);

impl Fitted {
    /// An answer.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.0.get(&key.step)?.get(&key.column)?.get(&key.what)
    }

    /// Takes an answer in.
    pub fn insert(&mut self, key: Key, value: Value) {
        let step = self.0.entry(key.step).or_default();
        step.entry(key.column).or_default().insert(key.what, value);
    }

    /// Files the columns of the source, in their order.
    pub(crate) fn set_columns(&mut self, columns: &[Column]) {
        let list = columns.iter().map(|column| {
            let kind = Value::Text(column.kind.to_string());
            (vec![Some(column.name.clone())], kind)
        });
        self.insert(Key::columns_of_source(), Value::Groups(list.collect()));
    }

    /// The columns of the source, in their order; None if they were not filed, or not as they must be.
    pub fn columns(&self) -> Option<Vec<Column>> {
        let Some(Value::Groups(list)) = self.get(&Key::columns_of_source()) else {
            return None;
        };
        let column = |(name, kind): &(Vec<Option<String>>, Value)| match (name.as_slice(), kind) {
            ([Some(name)], Value::Text(kind)) => Some(Column {
                name: name.clone(),
                kind: Kind::parse(kind)?,
            }),
            _ => None,
        };
        list.iter().map(column).collect()
    }

    /// All answers.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Value)> {
        self.0.iter().flat_map(|(step, columns)| {
            columns.iter().flat_map(move |(column, answers)| {
                answers.iter().map(move |(what, value)| {
                    let key = Key {
                        step: step.clone(),
                        column: column.clone(),
                        what: what.clone(),
                    };
                    (key, value)
                })
            })
        })
    }
}

/// What an answer is to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Number and word of the step.
    pub step: String,
    /// Column.
    pub column: String,
    /// What was asked, such as `median`.
    pub what: String,
}

impl Key {
    /// How many rows the source had.
    pub fn rows_of_source() -> Self {
        Self {
            step: SOURCE.to_owned(),
            column: "*".to_owned(),
            what: "rows".to_owned(),
        }
    }

    fn columns_of_source() -> Self {
        Self {
            step: SOURCE.to_owned(),
            column: "*".to_owned(),
            what: "columns".to_owned(),
        }
    }

    /// What was in a column of the source that the rows are made of.
    pub(crate) fn kind_of_source(column: &str) -> Self {
        Self {
            step: SOURCE.to_owned(),
            column: column.to_owned(),
            what: KIND.to_owned(),
        }
    }

    /// What a column or a condition is that is an SQL expression.
    pub(crate) fn kind_of_expression(step: &str, column: &str) -> Self {
        Self {
            step: step.to_owned(),
            column: column.to_owned(),
            what: KIND.to_owned(),
        }
    }

    /// True if it is no answer of the rows, but what was found out about an expression.
    pub fn is_of_expression(&self) -> bool {
        self.what == KIND && self.step != SOURCE
    }

    /// True if it is about the source, and not about a step.
    pub(crate) fn is_of_source(&self) -> bool {
        self.step == SOURCE
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// There is none: the column has no values.
    Null,
    /// True or false.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// A text, a date or a timestamp.
    Text(String),
    /// Categories, the most frequent first, and how many rows each has.
    Categories(Vec<(String, u64)>),
    /// A value for each group, whose values are texts or null.
    Groups(Vec<(Vec<Option<String>>, Value)>),
}

/// A number is read with all its digits: `serde_json` itself may be wrong in the last one, and rows that are served would
/// not have the values that rows had in training.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let json = json.get();
        let read = match json.as_bytes().first() {
            Some(b'n') => Ok(Self::Null),
            Some(b't' | b'f') => serde_json::from_str(json).map(Self::Boolean),
            Some(b'"') => serde_json::from_str(json).map(Self::Text),
            Some(b'[') => serde_json::from_str(json)
                .map(Self::Categories)
                .or_else(|_| serde_json::from_str(json).map(Self::Groups)),
            _ => return number_of(json).map(Self::Number).map_err(D::Error::custom),
        };
        read.map_err(D::Error::custom)
    }
}

/// A number as it is written, which has a place among those there are.
fn number_of(json: &str) -> Result<f64, String> {
    let number: f64 = json.parse().map_err(|_| format!("'{json}' is no value"))?;
    match number.is_finite() {
        true => Ok(number),
        false => Err(format!("the number {json} is too large")),
    }
}

impl Value {
    /// As a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// As SQL of a type.
    pub(crate) fn sql(&self, sql_type: &str) -> String {
        match self {
            Self::Number(number) if sql_type == "BIGINT" && number.fract() == 0.0 => {
                format!("CAST({number:.0} AS BIGINT)")
            }
            Self::Number(number) => sql::number(*number),
            Self::Boolean(value) => value.to_string(),
            Self::Text(text) if sql_type == "TEXT" => sql::text(text),
            Self::Text(text) => format!("CAST({} AS {sql_type})", sql::text(text)),
            Self::Null | Self::Categories(_) | Self::Groups(_) => format!("CAST(NULL AS {sql_type})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_read_again_to_the_last_digit() {
        let mut fitted = Fitted::default();
        let mut insert = |column: String, value| {
            let (step, what) = ("1 impute".to_owned(), "mean".to_owned());
            fitted.insert(Key { step, column, what }, value);
        };
        let mut state = 1_u64;
        for number in 0..1000 {
            // Numerical Recipes' generator, for bits of all kinds.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(state);
            if value.is_finite() {
                insert(format!("n{number}"), Value::Number(value));
            }
        }
        insert("mean".to_owned(), Value::Number(111_564.935_767_413_35));
        insert("zero".to_owned(), Value::Number(-0.0));
        insert("null".to_owned(), Value::Null);
        insert("flag".to_owned(), Value::Boolean(true));
        insert("text".to_owned(), Value::Text("\"1e5\"\n\u{1f600}".to_owned()));
        insert("none".to_owned(), Value::Categories(Vec::new()));
        insert(
            "categories".to_owned(),
            Value::Categories(vec![("a".to_owned(), 3)]),
        );
        let groups = vec![(vec![None, Some("b".to_owned())], Value::Number(0.1 + 0.2))];
        insert("groups".to_owned(), Value::Groups(groups));
        let json = serde_json::to_string(&fitted).unwrap();
        assert_eq!(serde_json::from_str::<Fitted>(&json).unwrap(), fitted);
        let columns =
            [("b", Kind::Number), ("a", Kind::Text), ("*", Kind::Other)].map(|(name, kind)| Column {
                name: name.to_owned(),
                kind,
            });
        fitted.set_columns(&columns);
        let json = serde_json::to_string(&fitted).unwrap();
        let read: Fitted = serde_json::from_str(&json).unwrap();
        assert_eq!(read.columns().unwrap(), columns);
        for wrong in ["{}", "[1]", "1x", "1e999", "-"] {
            assert!(serde_json::from_str::<Value>(wrong).is_err(), "{wrong}");
        }
    }
}
