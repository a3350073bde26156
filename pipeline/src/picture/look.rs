//! The numbers of the pictures: missing values, distributions, correlations.
//!
//! One query for all columns alone, with the values of texts; one for each distribution of numbers, and one for all
//! correlations. Rows should be in memory.

use crate::aggregates::{Counted, ask, ask_values, count, finite, present};
use crate::fit::Engine;
use crate::fitted::Value;
use crate::kind::{Column, Kind};
use crate::sql;

/// Columns that are drawn.
const COLUMNS_MAX: usize = 60;
/// Columns whose correlations are drawn.
const CORRELATED_MAX: usize = 24;
/// Bars of a distribution of numbers.
const BINS: usize = 20;
/// Values of a distribution of texts.
const VALUES: usize = 10;

/// A relation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// Rows.
    pub rows: u64,
    /// The first columns, in their order.
    pub columns: Vec<ColumnLook>,
    /// Columns that are not drawn.
    pub more: usize,
    /// Of the first columns of numbers.
    pub correlations: Correlations,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnLook {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub kind: Kind,
    /// Rows without a value; NaN is none.
    pub missing: u64,
    /// How its values are spread.
    pub shape: Shape,
}

/// A distribution.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Of numbers and times: rows in each of some bins of equal width.
    Bins {
        /// The least value.
        low: String,
        /// The greatest value.
        high: String,
        /// Rows.
        counts: Vec<u64>,
    },
    /// Of texts and truth values: the most frequent ones with their rows.
    Values {
        /// The most frequent first.
        top: Vec<(String, u64)>,
        /// Rows with other values.
        others: u64,
    },
    /// There are no values, or none that could be drawn.
    Nothing,
}

/// Pearson's coefficients of pairs of columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Correlations {
    /// Columns.
    pub names: Vec<String>,
    /// A row for each column; `None` if one of the pair does not vary.
    pub values: Vec<Vec<Option<f64>>>,
}

/// Looks at a relation, of which `relation` is what stands behind FROM.
///
/// # Errors
/// Whatever the engine says.
pub async fn look<E: Engine + Send>(
    relation: &str,
    columns: &[Column],
    engine: &mut E,
) -> Result<Look, E::Error> {
    let drawn = &columns[..columns.len().min(COLUMNS_MAX)];
    let mut asked = vec!["count(*)".to_owned()];
    asked.extend(drawn.iter().flat_map(alone));
    let mut answers = ask(&asked, relation, engine).await?.into_iter();
    let rows = count(answers.next());
    let mut looks = Vec::with_capacity(drawn.len());
    for column in drawn {
        let present = count(answers.next());
        let answers: Vec<Value> = answers.by_ref().take(alone(column).len() - 1).collect();
        let shape = match has_values(column) {
            true => shape_of_values(present, answers.first().and_then(Counted::of)),
            false => shape_of_bins(column, &answers, relation, engine).await?,
        };
        looks.push(ColumnLook {
            name: column.name.clone(),
            kind: column.kind,
            missing: rows.saturating_sub(present),
            shape,
        });
    }
    Ok(Look {
        rows,
        columns: looks,
        more: columns.len() - drawn.len(),
        correlations: correlations(drawn, relation, engine).await?,
    })
}

/// A value as a finite number, if its kind has an order that can be measured.
fn number_of(column: &Column) -> Option<String> {
    match column.kind {
        Kind::Integer | Kind::Number => Some(finite(column)),
        Kind::Date | Kind::Timestamp => Some(format!(
            "CAST(date_part('epoch', {}) AS DOUBLE)",
            sql::ident(&column.name)
        )),
        Kind::Text | Kind::Boolean | Kind::Other => None,
    }
}

/// True if it is drawn as values with their rows.
fn has_values(column: &Column) -> bool {
    matches!(column.kind, Kind::Text | Kind::Boolean)
}

/// What is asked of a column alone: rows with a value, and its range or most frequent values.
fn alone(column: &Column) -> Vec<String> {
    let mut asked = vec![format!("count({})", present(column))];
    if let Some(number) = number_of(column) {
        asked.extend(["min", "max"].map(|aggregate| format!("{aggregate}({number})")));
    }
    if is_time(column) {
        let cell = sql::ident(&column.name);
        asked.extend(["min", "max"].map(|aggregate| format!("CAST({aggregate}({cell}) AS TEXT)")));
    }
    if has_values(column) {
        asked.push(ask_values(column, VALUES));
    }
    asked
}

/// True if its values are not shown as the numbers that they are measured by.
fn is_time(column: &Column) -> bool {
    matches!(column.kind, Kind::Date | Kind::Timestamp)
}

fn shape_of_values(present: u64, values: Option<Counted>) -> Shape {
    let top = values.unwrap_or_default().top;
    let counted: u64 = top.iter().map(|(_, rows)| rows).sum();
    match top.is_empty() {
        true => Shape::Nothing,
        false => Shape::Values {
            top,
            others: present.saturating_sub(counted),
        },
    }
}

async fn shape_of_bins<E: Engine + Send>(
    column: &Column,
    range: &[Value],
    relation: &str,
    engine: &mut E,
) -> Result<Shape, E::Error> {
    match (range, number_of(column)) {
        ([Value::Number(low), Value::Number(high), texts @ ..], Some(number)) => {
            let counts = bins(&number, *low, *high, relation, engine).await?;
            let text = |at: usize, number: &f64| match texts.get(at) {
                Some(Value::Text(text)) => text.clone(),
                _ => number.to_string(),
            };
            Ok(Shape::Bins {
                low: text(0, low),
                high: text(1, high),
                counts,
            })
        }
        _ => Ok(Shape::Nothing),
    }
}

async fn bins<E: Engine + Send>(
    number: &str,
    low: f64,
    high: f64,
    relation: &str,
    engine: &mut E,
) -> Result<Vec<u64>, E::Error> {
    let width = (high - low) / BINS as f64;
    let bin = match width > 0.0 && width.is_finite() {
        // The greatest value is in the last bin.
        true => format!(
            "least({}, floor(({number} - {}) / {}))",
            BINS - 1,
            sql::number(low),
            sql::number(width)
        ),
        false => "0".to_owned(),
    };
    let query = format!(
        "SELECT CAST({bin} AS BIGINT) AS bin, count(*) AS rows FROM {relation} WHERE {number} IS NOT NULL GROUP BY 1"
    );
    let mut counts = vec![0; BINS];
    for row in engine.rows(&query).await? {
        if let [Value::Number(bin), Value::Number(rows)] = row.as_slice()
            && let Some(count) = counts.get_mut(*bin as usize)
        {
            *count += *rows as u64;
        }
    }
    Ok(counts)
}

async fn correlations<E: Engine + Send>(
    columns: &[Column],
    relation: &str,
    engine: &mut E,
) -> Result<Correlations, E::Error> {
    let numbers = columns.iter().filter(|column| column.kind.is_numeric());
    let (names, cells): (Vec<String>, Vec<String>) = numbers
        .filter_map(|column| Some((column.name.clone(), number_of(column)?)))
        .take(CORRELATED_MAX)
        .unzip();
    let pairs: Vec<(usize, usize)> = (0..names.len())
        .flat_map(|left| (0..left).map(move |right| (left, right)))
        .collect();
    let asked: Vec<String> = pairs
        .iter()
        .map(|(left, right)| format!("corr({}, {})", cells[*left], cells[*right]))
        .collect();
    let answers = ask(&asked, relation, engine).await?;
    let mut values = vec![vec![Some(1.0); names.len()]; names.len()];
    for ((left, right), answer) in pairs.into_iter().zip(answers) {
        values[left][right] = answer.number();
        values[right][left] = answer.number();
    }
    Ok(Correlations { names, values })
}
