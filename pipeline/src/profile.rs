//! What is in the columns of a relation: the numbers of `SUMMARIZE`, and what a pipeline is proposed from.
//!
//! Two passes: the first has everything that can be said of a column alone, the second what depends on its mean and
//! quartiles, and its most frequent values. Rows are stored in memory first, so a file is read once.

use crate::fit::Engine;
use crate::fitted::Value;
use crate::kind::{Column, Kind};
use crate::sql;

/// Ways in which dates are written, the more usual first.
pub const DATE_FORMATS: [&str; 9] = [
    "%Y-%m-%d",
    "%d-%m-%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%Y/%m/%d",
    "%m-%d-%Y",
    "%d %b %Y",
    "%b %d, %Y",
];
/// Most frequent values of a column that are named.
const TOP: usize = 5;
/// Aggregates that share a query.
const AGGREGATES_MAX: usize = 300;
/// A value this many times the distance of the quartiles beyond them is an outlier (Tukey, Exploratory Data Analysis, 1977).
const FENCE: f64 = 1.5;

/// A relation.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Rows.
    pub rows: u64,
    /// Rows that are equal to one before in all columns.
    pub duplicates: u64,
    /// Columns, in their order.
    pub columns: Vec<ColumnProfile>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub kind: Kind,
    /// Rows without a value; NaN is none.
    pub nulls: u64,
    /// Different values.
    pub distinct: u64,
    /// Least and greatest value, as texts.
    pub range: Option<(String, String)>,
    /// If it is of numbers.
    pub numbers: Option<Numbers>,
    /// If it is of texts.
    pub texts: Option<Texts>,
    /// The most frequent values, with their rows.
    pub top: Vec<(String, u64)>,
}

/// Of numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Numbers {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the sample.
    pub deviation: f64,
    /// 25, 50 and 75 %.
    pub quartiles: [f64; 3],
    /// The third standardised moment; 0 if all values are equal.
    pub skew: f64,
    /// Values more than 1.5 times the distance of the quartiles beyond them.
    pub outliers: u64,
    /// Values that are whole.
    pub whole: u64,
}

/// Of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Texts {
    /// Nothing but blanks.
    pub blanks: u64,
    /// Blanks at one end.
    pub untrimmed: u64,
    /// Numbers.
    pub numbers: u64,
    /// Numbers, if commas between thousands are left out.
    pub with_thousands: u64,
    /// Whole numbers.
    pub whole: u64,
    /// Dates, and the way in which most of them are written.
    pub dates: u64,
    /// Its place in [`DATE_FORMATS`].
    pub date_format: usize,
}

impl ColumnProfile {
    /// True if it could be the key of the table: every row has a value, and another one.
    pub fn is_key(&self, rows: u64) -> bool {
        rows > 0 && self.nulls == 0 && self.distinct == rows
    }
}

/// Looks at a relation. `prefix` begins the name of the table that its rows are stored in meanwhile.
///
/// # Errors
/// Whatever the engine says.
pub async fn profile<E: Engine + Send>(
    relation: &str,
    columns: &[Column],
    prefix: &str,
    engine: &mut E,
) -> Result<Profile, E::Error> {
    let table = format!("{prefix}_profile");
    engine.tell("read the rows");
    engine.store(&table, &format!("SELECT * FROM {relation}")).await?;
    let table = sql::ident(&table);
    engine.tell("columns alone");
    let first: Vec<Vec<String>> = columns.iter().map(first_pass).collect();
    let mut asked: Vec<String> = vec!["count(*)".to_owned()];
    asked.extend(first.iter().flatten().cloned());
    let mut answers = ask(&asked, &table, engine).await?.into_iter();
    let rows = count(answers.next());
    let mut profiles: Vec<ColumnProfile> = Vec::with_capacity(columns.len());
    for (column, asked) in columns.iter().zip(&first) {
        let answers: Vec<Value> = answers.by_ref().take(asked.len()).collect();
        profiles.push(read_first(column, rows, answers));
    }
    engine.tell("outliers and frequent values");
    let second: Vec<Option<[String; 2]>> = profiles.iter().map(second_pass).collect();
    let asked: Vec<String> = second.iter().flatten().flatten().cloned().collect();
    let mut answers = ask(&asked, &table, engine).await?.into_iter();
    for (profile, asked) in profiles.iter_mut().zip(&second) {
        if let (Some(numbers), Some(_)) = (&mut profile.numbers, asked) {
            numbers.outliers = count(answers.next());
            numbers.skew = answers.next().and_then(|value| value.number()).unwrap_or(0.0);
        }
        let cell = sql::ident(&profile.name);
        let top = format!(
            "SELECT CAST({cell} AS TEXT) AS value, count(*) AS rows FROM {table} WHERE {cell} IS NOT NULL \
             GROUP BY {cell} ORDER BY rows DESC, value LIMIT {TOP}"
        );
        if profile.kind != Kind::Other {
            let found = engine.rows(&top).await?;
            profile.top = found.into_iter().filter_map(value_and_rows).collect();
        }
    }
    let list: Vec<String> = columns.iter().map(|column| sql::ident(&column.name)).collect();
    let distinct = format!(
        "SELECT count(*) FROM (SELECT DISTINCT {} FROM {table}) AS rows",
        list.join(", ")
    );
    let distinct = engine.rows(&distinct).await?;
    let distinct = count(distinct.into_iter().flatten().next());
    Ok(Profile {
        rows,
        duplicates: rows.saturating_sub(distinct),
        columns: profiles,
    })
}

async fn ask<E: Engine + Send>(
    asked: &[String],
    table: &str,
    engine: &mut E,
) -> Result<Vec<Value>, E::Error> {
    let mut answers = Vec::with_capacity(asked.len());
    for part in asked.chunks(AGGREGATES_MAX) {
        let head: Vec<String> = part
            .iter()
            .enumerate()
            .map(|(number, sql)| format!("{sql} AS a{number}"))
            .collect();
        let rows = engine
            .rows(&format!("SELECT {} FROM {table}", head.join(", ")))
            .await?;
        answers.extend(rows.into_iter().next().unwrap_or_default());
    }
    Ok(answers)
}

fn count(value: Option<Value>) -> u64 {
    value.and_then(|value| value.number()).unwrap_or(0.0) as u64
}

fn value_and_rows(row: Vec<Value>) -> Option<(String, u64)> {
    match row.as_slice() {
        [Value::Text(value), Value::Number(rows)] => Some((value.clone(), *rows as u64)),
        _ => None,
    }
}

/// A number that is finite, or null.
fn finite(column: &Column) -> String {
    let cell = sql::ident(&column.name);
    match column.kind {
        Kind::Integer => format!("CAST({cell} AS DOUBLE)"),
        _ => format!("CASE WHEN {cell} - {cell} = 0 THEN CAST({cell} AS DOUBLE) END"),
    }
}

fn first_pass(column: &Column) -> Vec<String> {
    let cell = sql::ident(&column.name);
    let there = match column.kind {
        Kind::Number => format!("CASE WHEN NOT isnan(CAST({cell} AS DOUBLE)) THEN {cell} END"),
        _ => cell.clone(),
    };
    let mut asked = vec![format!("count({there})")];
    if column.kind == Kind::Other {
        return asked;
    }
    asked.push(format!("count(DISTINCT {there})"));
    asked.extend(["min", "max"].map(|aggregate| match column.kind {
        Kind::Boolean => format!("CAST({aggregate}(CAST({cell} AS INT)) AS TEXT)"),
        _ => format!("CAST({aggregate}({there}) AS TEXT)"),
    }));
    if column.kind.is_numeric() {
        let value = finite(column);
        asked.push(format!("avg({value})"));
        asked.push(format!("stddev({value})"));
        for share in ["0.25", "0.5", "0.75"] {
            asked.push(format!(
                "percentile_cont({share}) WITHIN GROUP (ORDER BY {value})"
            ));
        }
        asked.push(format!("count(CASE WHEN {value} = trunc({value}) THEN 1 END)"));
    }
    if column.kind == Kind::Text {
        let trimmed = format!("btrim({cell})");
        let plain = format!("replace({trimmed}, ',', '')");
        let mut conditions = vec![
            format!("{trimmed} = ''"),
            format!("{trimmed} <> {cell}"),
            format!("TRY_CAST({trimmed} AS DOUBLE) IS NOT NULL"),
            format!("TRY_CAST({plain} AS DOUBLE) IS NOT NULL"),
            format!("TRY_CAST({trimmed} AS BIGINT) IS NOT NULL"),
        ];
        let is_date = |format| format!("try_to_date({trimmed}, {}) IS NOT NULL", sql::text(format));
        conditions.extend(DATE_FORMATS.map(is_date));
        // The planner names aggregates by their text without casts; numbers make these differ.
        let counted = conditions.iter().enumerate();
        asked.extend(
            counted.map(|(number, condition)| format!("count(CASE WHEN {condition} THEN {number} END)")),
        );
    }
    asked
}

fn read_first(column: &Column, rows: u64, answers: Vec<Value>) -> ColumnProfile {
    let mut answers = answers.into_iter();
    let mut profile = ColumnProfile {
        name: column.name.clone(),
        kind: column.kind,
        nulls: rows.saturating_sub(count(answers.next())),
        distinct: 0,
        range: None,
        numbers: None,
        texts: None,
        top: Vec::new(),
    };
    if column.kind == Kind::Other {
        return profile;
    }
    profile.distinct = count(answers.next());
    profile.range = match (answers.next(), answers.next()) {
        (Some(Value::Text(least)), Some(Value::Text(greatest))) => Some((least, greatest)),
        _ => None,
    };
    if column.kind.is_numeric() {
        let mut number = || answers.next().and_then(|value| value.number());
        let (mean, deviation, quartiles) = (number(), number(), [number(), number(), number()]);
        let whole = number().unwrap_or(0.0) as u64;
        if let (Some(mean), [Some(low), Some(middle), Some(high)]) = (mean, quartiles) {
            profile.numbers = Some(Numbers {
                mean,
                deviation: deviation.unwrap_or(0.0),
                quartiles: [low, middle, high],
                skew: 0.0,
                outliers: 0,
                whole,
            });
        }
    }
    if column.kind == Kind::Text {
        let mut next = || count(answers.next());
        let mut texts = Texts {
            blanks: next(),
            untrimmed: next(),
            numbers: next(),
            with_thousands: next(),
            whole: next(),
            ..Texts::default()
        };
        for format in 0..DATE_FORMATS.len() {
            let dates = next();
            if dates > texts.dates {
                (texts.dates, texts.date_format) = (dates, format);
            }
        }
        profile.texts = Some(texts);
    }
    profile
}

/// Outliers and skew.
fn second_pass(profile: &ColumnProfile) -> Option<[String; 2]> {
    let numbers = profile.numbers?;
    let column = Column {
        name: profile.name.clone(),
        kind: profile.kind,
    };
    let value = finite(&column);
    let [low, _, high] = numbers.quartiles;
    let width = FENCE * (high - low);
    let outside = format!(
        "count(CASE WHEN {value} < {} OR {value} > {} THEN 1 END)",
        sql::number(low - width),
        sql::number(high + width)
    );
    let skew = match numbers.deviation > 0.0 {
        true => format!(
            "avg(power(({value} - {}) / {}, 3))",
            sql::number(numbers.mean),
            sql::number(numbers.deviation)
        ),
        false => "0.0".to_owned(),
    };
    Some([outside, skew])
}
