//! Questions about columns as they are, and how many of them are asked at once.

use serde::Deserialize;

use crate::fit::Engine;
use crate::fitted::Value;
use crate::kind::{Column, Kind};
use crate::sql;

/// Aggregates that share a query. A planner's work grows faster than their number.
pub(crate) const AGGREGATES_MAX: usize = 300;

/// Asks for aggregates over a relation, and answers in their order.
///
/// # Errors
/// Whatever the engine says.
pub(crate) async fn ask<E: Engine + Send>(
    asked: &[String],
    relation: &str,
    engine: &mut E,
) -> Result<Vec<Value>, E::Error> {
    let query = |part: &[String]| format!("SELECT {} FROM {relation}", numbered(part));
    ask_in_parts(asked, query, engine).await
}

/// Asks for aggregates by as few queries as are good for the engine; `query` has one with those that it is given.
///
/// # Errors
/// Whatever the engine says.
pub(crate) async fn ask_in_parts<T: Sync, E: Engine + Send>(
    asked: &[T],
    query: impl Fn(&[T]) -> String + Send,
    engine: &mut E,
) -> Result<Vec<Value>, E::Error> {
    let mut answers = Vec::with_capacity(asked.len());
    let mut parts: Vec<&[T]> = asked.chunks(AGGREGATES_MAX).rev().collect();
    while let Some(part) = parts.pop() {
        let query = query(part);
        if part.len() > 1 && !engine.fits(&query) {
            let (first, second) = part.split_at(part.len() / 2);
            parts.extend([second, first]);
            continue;
        }
        let row = engine.rows(&query).await?.into_iter().next();
        let mut row = row.unwrap_or_default();
        // Without a row nothing is known.
        row.resize(part.len(), Value::Null);
        answers.extend(row);
    }
    Ok(answers)
}

/// Aggregates under names of their own, as they stand behind SELECT.
pub(crate) fn numbered<S: AsRef<str>>(aggregates: &[S]) -> String {
    let numbered = aggregates.iter().enumerate();
    let head: Vec<String> = numbered
        .map(|(number, sql)| format!("{} AS a{number}", sql.as_ref()))
        .collect();
    head.join(", ")
}

/// An answer that is a number of rows.
pub(crate) fn count(value: Option<Value>) -> u64 {
    value.and_then(|value| value.number()).unwrap_or(0.0) as u64
}

/// The value of a column, or null if it is NaN.
pub(crate) fn present(column: &Column) -> String {
    let cell = sql::ident(&column.name);
    match column.kind {
        Kind::Number => format!("CASE WHEN NOT isnan(CAST({cell} AS DOUBLE)) THEN {cell} END"),
        _ => cell,
    }
}

/// A number that is finite, or null.
pub(crate) fn finite(column: &Column) -> String {
    let cell = sql::ident(&column.name);
    match column.kind {
        Kind::Integer => format!("CAST({cell} AS DOUBLE)"),
        _ => format!("CASE WHEN {cell} - {cell} = 0 THEN CAST({cell} AS DOUBLE) END"),
    }
}

/// Values with the rows that have them.
pub(crate) type Frequent = Vec<(String, u64)>;

/// The aggregate that counts the values of a column, and has the most frequent ones as texts with their rows.
pub(crate) fn ask_values(column: &Column, limit: usize) -> String {
    format!("value_counts({}, {limit})", present(column))
}

/// The same of any value, unless there are more different ones.
pub(crate) fn ask_few_values(value: &str, limit: usize, at_most: usize) -> String {
    format!("value_counts({value}, {limit}, {at_most})")
}

/// What these aggregates answer.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Counted {
    /// Different values.
    pub(crate) distinct: u64,
    /// The most frequent ones, the least text first among equals.
    pub(crate) top: Frequent,
}

impl Counted {
    /// None if nothing was counted.
    pub(crate) fn of(answer: &Value) -> Option<Self> {
        match answer {
            Value::Text(json) => serde_json::from_str(json).ok(),
            _ => None,
        }
    }
}

/// A row of a value and how many rows have it.
pub(crate) fn value_and_rows(row: Vec<Value>) -> Option<(String, u64)> {
    match row.as_slice() {
        [Value::Text(value), Value::Number(rows)] => Some((value.clone(), *rows as u64)),
        _ => None,
    }
}
