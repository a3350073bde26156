//! Questions about columns as they are, and how many of them are asked at once.

use serde::Deserialize;

use crate::fit::Engine;
use crate::fitted::Value;
use crate::kind::{Column, Kind};
use crate::sql;

/// Aggregates that share a query. A planner's work grows faster than their number.
pub(crate) const AGGREGATES_MAX: usize = 300;
/// Columns whose frequent values are found by one query, each by groups of its own.
const GROUPED_MAX: usize = 20;

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

/// The aggregate that has the most frequent values of a column as texts, with their rows; [`frequent`] reads it.
pub(crate) fn ask_frequent(column: &Column, limit: usize) -> String {
    frequent_values(&format!("CAST({} AS TEXT)", present(column)), limit)
}

/// The same of any text; [`all_counted`] reads it.
pub(crate) fn frequent_values(text: &str, limit: usize) -> String {
    format!("frequent_values({text}, {limit})")
}

/// The most frequent values, if there were not too many to be counted.
pub(crate) fn all_counted(answer: &Value) -> Option<Frequent> {
    Counted::of(answer).top
}

/// What the aggregate says of a column.
#[derive(Debug, Default, Deserialize)]
struct Counted {
    /// The most frequent values, if there are not too many to be counted.
    top: Option<Frequent>,
    /// Else the least ones.
    #[serde(default)]
    least: Vec<String>,
}

impl Counted {
    fn of(answer: &Value) -> Self {
        match answer {
            Value::Text(json) => serde_json::from_str(json).unwrap_or_default(),
            _ => Self::default(),
        }
    }
}

/// A column whose frequent values were asked for.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) column: &'a Column,
    /// What [`ask_frequent`] got.
    pub(crate) answer: Value,
    /// Rows with a value.
    pub(crate) present: u64,
    /// Different values, if they were counted.
    pub(crate) distinct: Option<u64>,
}

/// The most frequent values of columns, the least first among equals. Those of columns with too many values for the
/// aggregate are found by groups, several columns with one query; where each value is there once, the least ones do.
///
/// # Errors
/// Whatever the engine says.
pub(crate) async fn frequent<E: Engine + Send>(
    asked: Vec<Asked<'_>>,
    limit: usize,
    relation: &str,
    engine: &mut E,
) -> Result<Vec<Frequent>, E::Error> {
    let mut found = Vec::with_capacity(asked.len());
    let mut open: Vec<(usize, &Column)> = Vec::new();
    for (place, asked) in asked.iter().enumerate() {
        let counted = Counted::of(&asked.answer);
        let is_unique = asked.distinct == Some(asked.present);
        found.push(match counted.top {
            Some(top) => top,
            None if is_unique && counted.least.len() >= limit => counted
                .least
                .into_iter()
                .take(limit)
                .map(|value| (value, 1))
                .collect(),
            None => {
                open.push((place, asked.column));
                Frequent::new()
            }
        });
    }
    for part in open.chunks(GROUPED_MAX) {
        let queries: Vec<String> = part
            .iter()
            .map(|(place, column)| grouped(*place, column, limit, relation))
            .collect();
        let query = format!("{} ORDER BY place, rows DESC, value", queries.join(" UNION ALL "));
        for row in engine.rows(&query).await? {
            if let [Value::Number(place), Value::Text(value), Value::Number(rows)] = row.as_slice()
                && let Some(found) = found.get_mut(*place as usize)
            {
                found.push((value.clone(), *rows as u64));
            }
        }
    }
    Ok(found)
}

/// The most frequent values of one column by groups.
fn grouped(place: usize, column: &Column, limit: usize, relation: &str) -> String {
    let cell = present(column);
    format!(
        "(SELECT {place} AS place, CAST({cell} AS TEXT) AS value, count(*) AS rows FROM {relation} \
         WHERE {cell} IS NOT NULL GROUP BY {cell} ORDER BY rows DESC, value LIMIT {limit})"
    )
}

/// A row of a value and how many rows have it.
pub(crate) fn value_and_rows(row: Vec<Value>) -> Option<(String, u64)> {
    match row.as_slice() {
        [Value::Text(value), Value::Number(rows)] => Some((value.clone(), *rows as u64)),
        _ => None,
    }
}
