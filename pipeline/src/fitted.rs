//! What a pipeline has learned.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sql;

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
            step: "0 source".to_owned(),
            column: "*".to_owned(),
            what: "rows".to_owned(),
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
