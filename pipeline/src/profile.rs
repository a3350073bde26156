//! What is in the columns of a relation: the numbers of `SUMMARIZE`, and what a pipeline is proposed from.
//!
//! Rows are stored in memory first, so a file is read once. Then there are two passes over them, however many columns there
//! are: the first has everything that can be said of a column alone, the most frequent values too; the second what depends
//! on mean and quartiles, and rows that are equal.

use crate::aggregates::{AGGREGATES_MAX, Counted, ask, ask_values, count, finite, numbered, present};
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
/// Ways in which points in time are written, beside those of ISO 8601.
pub const MOMENT_FORMATS: [&str; 6] = [
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
];
/// Signs beside numbers.
const SIGNS: &str = "$€£¥%";
/// Numbers with commas between thousands, with a comma before fractions, and with dots between thousands.
const THOUSANDS: &str = r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$";
const DECIMAL: &str = r"^[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?$";
const DOTTED: &str = r"^[+-]?\d{1,3}(\.\d{3})+(,\d+)?$";
/// Codes: as a number, they would lose something.
const ZEROS: &str = r"^0\d+$";
/// Most frequent values of a column that are named.
const TOP: usize = 5;
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
    /// Values that are finite, of which all of this is.
    pub values: u64,
}

/// Of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Texts {
    /// Nothing but blanks.
    pub blanks: u64,
    /// Blanks at one end.
    pub untrimmed: u64,
    /// Numbers. Of these and the next, signs of currencies and of percent are passed over.
    pub numbers: u64,
    /// Numbers, if commas between thousands are left out.
    pub with_thousands: u64,
    /// Numbers, if a comma is what stands before fractions.
    pub with_decimal: u64,
    /// Those of them that have dots between thousands.
    pub dotted: u64,
    /// Whole numbers.
    pub whole: u64,
    /// Numbers in whatever form that have a sign.
    pub signed: u64,
    /// Digits that begin with a zero.
    pub zeros: u64,
    /// Points in time as ISO 8601 writes them.
    pub moments: u64,
    /// Points in time in each of [`MOMENT_FORMATS`].
    pub moments_by_format: [u64; MOMENT_FORMATS.len()],
    /// Dates in each of [`DATE_FORMATS`].
    pub dates_by_format: [u64; DATE_FORMATS.len()],
}

impl Texts {
    /// Numbers in whatever form.
    pub fn any_numbers(&self) -> u64 {
        self.with_thousands.max(self.with_decimal)
    }

    /// How many dates are in the format that has most, and this one, if there are any.
    pub fn dates(&self) -> Option<(u64, &'static str)> {
        let formats = self.dates_by_format.into_iter().zip(DATE_FORMATS);
        // The first of several, which is the more usual.
        formats
            .rev()
            .max_by_key(|(count, _)| *count)
            .filter(|(count, _)| *count > 0)
    }
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
    engine.tell("read the rows", &[]);
    engine.store(&table, &format!("SELECT * FROM {relation}")).await?;
    let table = sql::ident(&table);
    engine.tell("columns alone", &[]);
    let first: Vec<Vec<String>> = columns.iter().map(first_pass).collect();
    let mut asked: Vec<String> = vec!["count(*)".to_owned()];
    asked.extend(first.iter().flatten().cloned());
    let mut answers = ask(&asked, &table, engine).await?.into_iter();
    let rows = count(answers.next());
    let mut profiles: Vec<ColumnProfile> = columns
        .iter()
        .zip(&first)
        .map(|(column, asked)| read_first(column, rows, answers.by_ref().take(asked.len())))
        .collect();
    engine.tell("outliers, and rows that are equal", &[]);
    let second: Vec<Option<Second>> = profiles.iter().map(second_pass).collect();
    let asked: Vec<&Second> = second.iter().flatten().collect();
    let (distinct, answers) = equal_rows(&asked, columns, &table, engine).await?;
    let mut answers = answers.into_iter();
    for (profile, _) in profiles
        .iter_mut()
        .zip(&second)
        .filter(|(_, asked)| asked.is_some())
    {
        let (outliers, cubes) = (count(answers.next()), answers.next());
        if let (Some(numbers), Some(cubes)) = (&mut profile.numbers, cubes) {
            numbers.outliers = outliers;
            numbers.skew = cubes.number().unwrap_or(0.0) / numbers.values.max(1) as f64;
        }
    }
    Ok(Profile {
        rows,
        duplicates: rows.saturating_sub(distinct),
        columns: profiles,
    })
}

/// Counts how many different rows there are, and answers the second questions from the groups of these: one query does
/// for both, unless there are very many columns of numbers.
async fn equal_rows<E: Engine + Send>(
    asked: &[&Second],
    columns: &[Column],
    table: &str,
    engine: &mut E,
) -> Result<(u64, Vec<Value>), E::Error> {
    let names: Vec<String> = columns.iter().map(|column| sql::ident(&column.name)).collect();
    let names = names.join(", ");
    let mut weight = "rows".to_owned();
    while columns
        .iter()
        .any(|column| column.name.eq_ignore_ascii_case(&weight))
    {
        weight.push('_');
    }
    let weight = sql::ident(&weight);
    let of_groups = |head: &[String]| {
        let head = numbered(head);
        format!(
            "SELECT {head} FROM (SELECT {names}, count(*) AS {weight} FROM {table} GROUP BY {names}) AS groups"
        )
    };
    let mut head = vec!["count(*)".to_owned()];
    head.extend(asked.iter().flat_map(|second| second.weighted(&weight)));
    let query = of_groups(&head);
    if head.len() <= AGGREGATES_MAX && engine.fits(&query) {
        let mut answers = engine.rows(&query).await?.into_iter().flatten();
        return Ok((count(answers.next()), answers.collect()));
    }
    let head: Vec<String> = asked.iter().flat_map(|second| second.weighted("1")).collect();
    let answers = ask(&head, table, engine).await?;
    let distinct = engine.rows(&of_groups(&["count(*)".to_owned()])).await?;
    Ok((count(distinct.into_iter().flatten().next()), answers))
}

fn first_pass(column: &Column) -> Vec<String> {
    let cell = sql::ident(&column.name);
    let there = present(column);
    let mut asked = vec![format!("count({there})")];
    if column.kind == Kind::Other {
        return asked;
    }
    asked.push(ask_values(column, TOP));
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
        // As a condition, since the planner names aggregates by their text without casts.
        asked.push(format!("count(CASE WHEN {value} IS NOT NULL THEN 1 END)"));
    }
    if column.kind == Kind::Text {
        let conditions = conditions_of_texts(&cell);
        // The planner names aggregates by their text without casts; numbers make these differ.
        let counted = conditions.iter().enumerate();
        asked.extend(
            counted.map(|(number, condition)| format!("count(CASE WHEN {condition} THEN {number} END)")),
        );
    }
    asked
}

/// What may be true of a text, in the order of the fields of [`Texts`].
fn conditions_of_texts(cell: &str) -> Vec<String> {
    let trimmed = sql::trimmed(cell);
    let bare = without_signs(&trimmed);
    let like = |text: &str, pattern: &str| format!("regexp_like({text}, {})", sql::text(pattern));
    let number = format!("TRY_CAST({bare} AS DOUBLE) IS NOT NULL");
    let with_thousands = format!("({number} OR {})", like(&bare, THOUSANDS));
    let with_decimal = like(&bare, DECIMAL);
    let has_time = format!("strpos({trimmed}, ':') > 0");
    let mut conditions = vec![
        format!("{trimmed} = ''"),
        format!("{trimmed} <> {cell}"),
        number,
        with_thousands.clone(),
        with_decimal.clone(),
        like(&bare, DOTTED),
        format!("TRY_CAST({bare} AS BIGINT) IS NOT NULL"),
        format!("{bare} <> {trimmed} AND ({with_thousands} OR {with_decimal})"),
        like(&trimmed, ZEROS),
        format!("{has_time} AND TRY_CAST({trimmed} AS TIMESTAMP) IS NOT NULL"),
    ];
    let is_in = |function: &str, format: &str| {
        let format = sql::text(format);
        format!("{function}({trimmed}, {format}) IS NOT NULL")
    };
    conditions
        .extend(MOMENT_FORMATS.map(|format| format!("{has_time} AND {}", is_in("try_to_timestamp", format))));
    conditions.extend(DATE_FORMATS.map(|format| is_in("try_to_date", format)));
    conditions
}

/// A number in a text without what shows its currency.
pub(crate) fn without_signs(text: &str) -> String {
    sql::trimmed(&format!("translate({text}, {}, '')", sql::text(SIGNS)))
}

fn read_first(column: &Column, rows: u64, mut answers: impl Iterator<Item = Value>) -> ColumnProfile {
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
    let counted = answers.next().and_then(|answer| Counted::of(&answer));
    Counted {
        distinct: profile.distinct,
        top: profile.top,
    } = counted.unwrap_or_default();
    profile.range = match (answers.next(), answers.next()) {
        (Some(Value::Text(least)), Some(Value::Text(greatest))) => Some((least, greatest)),
        _ => None,
    };
    if column.kind.is_numeric() {
        let mut number = || answers.next().and_then(|value| value.number());
        let (mean, deviation, quartiles) = (number(), number(), [number(), number(), number()]);
        let (whole, values) = (count(answers.next()), count(answers.next()));
        if let (Some(mean), [Some(low), Some(middle), Some(high)]) = (mean, quartiles) {
            profile.numbers = Some(Numbers {
                mean,
                deviation: deviation.unwrap_or(0.0),
                quartiles: [low, middle, high],
                skew: 0.0,
                outliers: 0,
                whole,
                values,
            });
        }
    }
    if column.kind == Kind::Text {
        let mut next = || count(answers.next());
        profile.texts = Some(Texts {
            blanks: next(),
            untrimmed: next(),
            numbers: next(),
            with_thousands: next(),
            with_decimal: next(),
            dotted: next(),
            whole: next(),
            signed: next(),
            zeros: next(),
            moments: next(),
            moments_by_format: MOMENT_FORMATS.map(|_| next()),
            dates_by_format: DATE_FORMATS.map(|_| next()),
        });
    }
    profile
}

/// What is asked of a column of numbers when its mean and quartiles are known.
#[derive(Debug)]
struct Second {
    /// Holds for outliers.
    outside: String,
    /// The cube of the standardised value; without it all values are equal.
    cube: Option<String>,
}

impl Second {
    /// Outliers and the sum of the cubes, over rows that stand for so many.
    fn weighted(&self, weight: &str) -> [String; 2] {
        let cubes = self.cube.as_ref().map(|cube| format!("sum({cube} * {weight})"));
        [
            format!("sum(CASE WHEN {} THEN {weight} END)", self.outside),
            cubes.unwrap_or_else(|| "sum(0.0)".to_owned()),
        ]
    }
}

fn second_pass(profile: &ColumnProfile) -> Option<Second> {
    let numbers = profile.numbers?;
    let column = Column {
        name: profile.name.clone(),
        kind: profile.kind,
    };
    let value = finite(&column);
    let [low, _, high] = numbers.quartiles;
    let width = FENCE * (high - low);
    let outside = format!(
        "{value} < {} OR {value} > {}",
        sql::number(low - width),
        sql::number(high + width)
    );
    let cube = (numbers.deviation > 0.0).then(|| {
        format!(
            "power(({value} - {}) / {}, 3)",
            sql::number(numbers.mean),
            sql::number(numbers.deviation)
        )
    });
    Some(Second { outside, cube })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_by_where_their_commas_and_dots_are() {
        for (text, thousands, decimal, dotted) in [
            ("1,234", true, true, false),
            ("-1,234,567.89", true, false, false),
            ("3,14", false, true, false),
            ("1234,5", false, true, false),
            ("1.234,56", false, true, true),
            ("1.234.567", false, true, true),
            ("1,23,456", false, false, false),
            ("12.5", false, false, false),
            ("12", false, true, false),
        ] {
            let fits = |pattern: &str| regex::Regex::new(pattern).unwrap().is_match(text);
            assert_eq!(
                (fits(THOUSANDS), fits(DECIMAL), fits(DOTTED)),
                (thousands, decimal, dotted),
                "{text}"
            );
        }
    }

    /// Answers all with nothing, and remembers what was asked.
    #[derive(Default)]
    struct Silent {
        asked: Vec<String>,
    }

    impl Engine for Silent {
        type Error = crate::mistake::Mistake;

        async fn columns(&mut self, _: &str) -> Result<Vec<Column>, Self::Error> {
            Ok(Vec::new())
        }

        async fn rows(&mut self, query: &str) -> Result<Vec<Vec<Value>>, Self::Error> {
            self.asked.push(query.to_owned());
            let counted = Value::Text(r#"{"distinct":0,"top":[]}"#.to_owned());
            Ok(vec![vec![counted; query.matches(" AS a").count()]])
        }

        async fn store(&mut self, _: &str, _: &str) -> Result<(), Self::Error> {
            Ok(())
        }

        fn fits(&self, _: &str) -> bool {
            true
        }

        fn tell(&mut self, _: &str, _: &[String]) {}
    }

    #[test]
    fn frequent_values_need_no_queries_of_their_own() {
        let text = |number: usize| Column {
            name: format!("c{number}"),
            kind: Kind::Text,
        };
        let mut asked = Vec::new();
        for count in [1, 100] {
            let columns: Vec<Column> = (0..count).map(text).collect();
            let mut engine = Silent::default();
            {
                let future = std::pin::pin!(profile("t", &columns, "x", &mut engine));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(future.poll(&mut context).is_ready());
            }
            asked.push(engine.asked);
        }
        let [one, many] = asked.as_slice() else {
            panic!("two profiles")
        };
        assert_eq!(one.len(), 2, "the columns alone, and equal rows");
        let aggregates = 1 + 100 * first_pass(&text(0)).len();
        assert_eq!(many.len(), aggregates.div_ceil(AGGREGATES_MAX) + 1);
    }

    #[test]
    fn each_condition_has_a_field() {
        let text = Column {
            name: "x".to_owned(),
            kind: Kind::Text,
        };
        // Values, the most frequent ones, the least and the greatest come before.
        let asked = first_pass(&text).len();
        let top = r#"{"distinct":3,"top":[["a",2]]}"#;
        let mut answers = vec![Value::Number(9.0)];
        answers.extend([top, "a", "c"].map(|text| Value::Text(text.to_owned())));
        answers.extend((4..asked).map(|number| Value::Number(number as f64)));
        let profile = read_first(&text, 9, answers.into_iter());
        assert_eq!((profile.nulls, profile.distinct), (0, 3));
        assert_eq!(profile.top, [("a".to_owned(), 2)]);
        assert_eq!(profile.range, Some(("a".to_owned(), "c".to_owned())));
        let texts = profile.texts.unwrap();
        assert_eq!((texts.blanks, texts.untrimmed, texts.numbers), (4, 5, 6));
        assert_eq!(texts.dates(), Some((asked as u64 - 1, DATE_FORMATS[8])));
        assert_eq!(Texts::default().dates(), None);
    }
}
