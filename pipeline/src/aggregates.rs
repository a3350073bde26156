//! Questions about columns as they are, and how many of them are asked at once.

use crate::fit::Engine;
use crate::fitted::Value;
use crate::kind::{Column, Kind};
use crate::sql;

/// Aggregates that share a query. A planner's work grows faster than their number.
const AGGREGATES_MAX: usize = 300;

/// Asks for aggregates over a relation, and answers in their order.
///
/// # Errors
/// Whatever the engine says.
pub(crate) async fn ask<E: Engine + Send>(
    asked: &[String],
    relation: &str,
    engine: &mut E,
) -> Result<Vec<Value>, E::Error> {
    let mut answers = Vec::with_capacity(asked.len());
    let mut parts: Vec<&[String]> = asked.chunks(AGGREGATES_MAX).rev().collect();
    while let Some(part) = parts.pop() {
        let numbered = part.iter().enumerate();
        let head: Vec<String> = numbered
            .map(|(number, sql)| format!("{sql} AS a{number}"))
            .collect();
        let query = format!("SELECT {} FROM {relation}", head.join(", "));
        if part.len() > 1 && !engine.fits(&query) {
            let (first, second) = part.split_at(part.len() / 2);
            parts.extend([second, first]);
            continue;
        }
        let rows = engine.rows(&query).await?;
        answers.extend(rows.into_iter().next().unwrap_or_default());
    }
    Ok(answers)
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

/// The most frequent values of a column as texts, with their rows.
///
/// # Errors
/// Whatever the engine says.
pub(crate) async fn frequent<E: Engine + Send>(
    column: &Column,
    limit: usize,
    relation: &str,
    engine: &mut E,
) -> Result<Vec<(String, u64)>, E::Error> {
    let cell = present(column);
    let query = format!(
        "SELECT CAST({cell} AS TEXT) AS value, count(*) AS rows FROM {relation} WHERE {cell} IS NOT NULL \
         GROUP BY {cell} ORDER BY rows DESC, value LIMIT {limit}"
    );
    let found = engine.rows(&query).await?;
    let pair = |row: Vec<Value>| match row.as_slice() {
        [Value::Text(value), Value::Number(rows)] => Some((value.clone(), *rows as u64)),
        _ => None,
    };
    Ok(found.into_iter().filter_map(pair).collect())
}
