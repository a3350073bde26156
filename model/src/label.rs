//! The labels that rows are classified by.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::block::LARGEST;
use crate::sql;

/// A value of a label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum Label {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
}

impl Label {
    /// The label as an SQL literal.
    pub fn sql(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) if *value < 0 => format!("({value})"),
            Self::Integer(value) => value.to_string(),
            Self::Text(value) => sql::text(value),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// The number of a row's class as `DOUBLE`, from 0, of SQL with its label; null if that is null or none of these.
pub fn class_sql(label: &str, labels: &[Label]) -> String {
    let branch = |(class, label): (usize, &Label)| (label.sql(), sql::number(class as f64));
    match labels.is_empty() {
        true => "CAST(NULL AS DOUBLE)".to_owned(),
        false => sql::case(
            label,
            &labels.iter().enumerate().map(branch).collect::<Vec<_>>(),
            None,
        ),
    }
}

/// A condition that holds for numbers that can all be used: none is null, NaN, infinite or beyond [`LARGEST`].
pub(crate) fn usable_sql(numbers: &[String]) -> Option<String> {
    match numbers {
        [] => None,
        [number] => Some(format!(
            "abs(CAST({number} AS DOUBLE)) <= {}",
            sql::number(LARGEST)
        )),
        _ => {
            let numbers: Vec<String> = numbers
                .iter()
                .map(|number| format!("CAST({number} AS DOUBLE)"))
                .collect();
            Some(format!("model_usable({})", numbers.join(", ")))
        }
    }
}
