//! A pipeline for data that nobody has described: each step with the reason for it.
//!
//! ```text
//! rows as texts ─► profile ─► trim, cast ─► profile of that ─► impute, scale, encode ─► YAML with comments
//! ```

use std::fmt::Write as _;

use crate::kind::{Column, Kind};
use crate::profile::{ColumnProfile, DATE_FORMATS, MOMENT_FORMATS, Profile, without_signs};
use crate::sql;

/// Share of the values of a text column that must be numbers or dates for it to be one of these.
const EVIDENCE: f64 = 0.95;
/// A column of which more is missing says too little.
const MISSING_MAX: f64 = 0.6;
/// Categories that get a column each, and that still are categories.
const ONE_HOT_MAX: u64 = 20;
const CATEGORIES_MAX: u64 = 1000;
/// Beyond this skew the mean says little, and the logarithm more.
const SKEW: f64 = 1.0;
const SKEW_LOG: f64 = 2.0;

/// Share of digits with a zero in front by which these are codes, and no numbers.
const CODES: f64 = 0.01;
/// Last words of the names of columns that name the row.
const KEYS: [&str; 8] = ["id", "key", "uuid", "guid", "nr", "no", "number", "index"];

/// Casts that texts want: name and what of, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    /// The column.
    pub column: String,
    /// `integer`, `number`, `date` or `timestamp`.
    pub to: &'static str,
    /// What must be known to read it.
    pub how: How,
    /// There are signs of currencies or of percent.
    pub currency: bool,
    /// Why.
    pub reason: String,
}

/// What must be known to read a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Nothing.
    Plain,
    /// Commas stand between thousands.
    Thousands,
    /// A comma stands before fractions.
    Decimal {
        /// Dots stand between thousands.
        dotted: bool,
    },
    /// The ways dates are written.
    Formats(Vec<&'static str>),
}

/// The casts that a profile of texts suggests.
pub fn casts(profile: &Profile) -> Vec<Cast> {
    profile
        .columns
        .iter()
        .filter_map(|column| cast_of(column, profile.rows))
        .collect()
}

fn cast_of(column: &ColumnProfile, rows: u64) -> Option<Cast> {
    let texts = column.texts?;
    let there = rows.saturating_sub(column.nulls + texts.blanks);
    let enough = |count: u64| there > 0 && count as f64 >= EVIDENCE * there as f64;
    let is_code = texts.zeros as f64 > CODES * there as f64;
    let (dates, date_formats) = formats_of(&texts.dates_by_format, &DATE_FORMATS, there);
    let (moments, moment_formats) = formats_of(&texts.moments_by_format, &MOMENT_FORMATS, there);
    let (to, how, count) = if enough(texts.any_numbers()) && is_code {
        return None;
    } else if enough(texts.whole) && texts.whole == texts.any_numbers() {
        ("integer", How::Plain, texts.whole)
    } else if enough(texts.with_decimal) && texts.with_decimal > texts.with_thousands {
        let dotted = texts.dotted > 0;
        ("number", How::Decimal { dotted }, texts.with_decimal)
    } else if enough(texts.with_thousands) && texts.with_thousands > texts.numbers {
        ("number", How::Thousands, texts.with_thousands)
    } else if enough(texts.numbers) {
        ("number", How::Plain, texts.numbers)
    } else if enough(dates) {
        ("date", How::Formats(date_formats), dates)
    } else if enough(texts.moments) {
        ("timestamp", How::Plain, texts.moments)
    } else if enough(moments) {
        ("timestamp", How::Formats(moment_formats), moments)
    } else {
        return None;
    };
    let what = match &how {
        How::Formats(formats) => format!("{to}s as {}", formats.join(" or ")),
        How::Thousands => "numbers, some with commas".to_owned(),
        How::Decimal { .. } => "numbers with a comma before fractions".to_owned(),
        How::Plain => format!("{to}s"),
    };
    Some(Cast {
        column: column.name.clone(),
        to,
        how,
        currency: to != "date" && to != "timestamp" && texts.signed > 0,
        reason: format!("{count} of {there} values are {what}"),
    })
}

/// One or two formats that fit most values, with how many they fit.
fn formats_of(counts: &[u64], formats: &[&'static str], there: u64) -> (u64, Vec<&'static str>) {
    let mut found: Vec<(u64, &'static str)> = counts.iter().copied().zip(formats.iter().copied()).collect();
    found.retain(|(count, _)| *count > 0);
    // The more usual first, of several that fit as many.
    found.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let Some((count, first)) = found.first().copied() else {
        return (0, Vec::new());
    };
    // What fits both ways is in doubt, and no second format.
    let other = found
        .iter()
        .skip(1)
        .find(|(more, format)| count + more <= there && !is_swapped(first, format));
    match other {
        Some((more, other)) => (count + more, vec![first, *other]),
        None => (count, vec![first]),
    }
}

/// Whether two formats differ in the order of day and month alone.
fn is_swapped(one: &str, other: &str) -> bool {
    let without = |format: &str| format.replace("%d", "%").replace("%m", "%");
    without(one) == without(other)
}

/// The query that has the different rows of a relation with these casts, to be profiled in turn.
pub fn cast_query(relation: &str, columns: &[Column], casts: &[Cast]) -> String {
    let cell = |column: &Column| {
        let name = sql::ident(&column.name);
        let trimmed = format!("NULLIF({}, '')", sql::trimmed(&name));
        let value = match casts.iter().find(|cast| cast.column == column.name) {
            None if column.kind == Kind::Text => trimmed,
            None => return name,
            Some(cast) => cast_sql(cast, &trimmed),
        };
        format!("{value} AS {name}")
    };
    let head: Vec<String> = columns.iter().map(cell).collect();
    format!(
        "(SELECT {} FROM (SELECT DISTINCT * FROM {relation}) AS texts) AS typed",
        head.join(", ")
    )
}

fn cast_sql(cast: &Cast, text: &str) -> String {
    let bare = match cast.currency {
        true => without_signs(text),
        false => text.to_owned(),
    };
    let sql_type = match cast.to {
        "integer" => "BIGINT",
        "timestamp" => "TIMESTAMP",
        _ => "DOUBLE",
    };
    match &cast.how {
        How::Formats(formats) => {
            let formats: Vec<String> = formats.iter().map(|format| sql::text(format)).collect();
            format!("try_to_{}({text}, {})", cast.to, formats.join(", "))
        }
        How::Plain => format!("TRY_CAST({bare} AS {sql_type})"),
        How::Thousands => format!("TRY_CAST(replace({bare}, ',', '') AS {sql_type})"),
        How::Decimal { dotted } => {
            let bare = match dotted {
                true => format!("replace({bare}, '.', '')"),
                false => bare,
            };
            format!("TRY_CAST(replace({bare}, ',', '.') AS {sql_type})")
        }
    }
}

/// Writes a pipeline. `source` are the lines of its source; `texts` is the profile of the rows as they came, and `typed`
/// that of the rows with `casts`.
pub fn pipeline(name: &str, source: &str, texts: &Profile, casts: &[Cast], typed: &Profile) -> String {
    let mut yaml = Yaml::default();
    yaml.line(&format!(
        "# Proposed from {} rows. Read the reasons, and change what you know better.",
        typed.rows
    ));
    yaml.line(&format!("name: {name}"));
    yaml.line("source:");
    source.lines().for_each(|line| yaml.line(&format!("  {line}")));
    yaml.line("");
    yaml.line("steps:");
    if texts.duplicates > 0 {
        yaml.step(
            &format!("{} rows are equal to others in all columns", texts.duplicates),
            "drop_duplicates: {}",
        );
    }
    let untrimmed = names(texts, |column| {
        column.texts.is_some_and(|texts| texts.untrimmed > 0)
    });
    if !untrimmed.is_empty() {
        yaml.step("blanks at the ends", &format!("trim: [{}]", list(&untrimmed)));
    }
    let blank = names(texts, |column| {
        column.texts.is_some_and(|texts| texts.blanks > 0)
            && !casts.iter().any(|cast| cast.column == column.name)
    });
    if !blank.is_empty() {
        yaml.step(
            "a blank text is a missing one",
            &format!("replace: {{columns: [{}], values: {{\"\": null}}}}", list(&blank)),
        );
    }
    write_casts(&mut yaml, casts);
    let plan = plan_of(typed);
    write_drops(&mut yaml, &plan);
    write_imputations(&mut yaml, &plan, typed.rows);
    write_scales(&mut yaml, &plan);
    write_encodings(&mut yaml, &plan);
    for (column, treatment) in &plan {
        if *treatment == Treatment::Key {
            let name = quoted(&column.name);
            yaml.step(
                "it names the row",
                &format!("expect: {{columns: [{name}], not_null: true, unique: true}}"),
            );
            break;
        }
    }
    if yaml.steps == 0 {
        yaml.step("nothing is wrong with the data", "expect: {rows: [1, null]}");
    }
    yaml.line("");
    yaml.line("output:");
    yaml.line(&format!("  - table: {name}_features"));
    yaml.text
}

fn plan_of(profile: &Profile) -> Vec<(&ColumnProfile, Treatment)> {
    let key = key_of(profile);
    let columns = profile.columns.iter().enumerate();
    let plan: Vec<(&ColumnProfile, Treatment)> = columns
        .map(|(place, column)| match key == Some(place) {
            true => (column, Treatment::Key),
            false => (column, Treatment::of(column, profile.rows)),
        })
        .collect();
    match plan
        .iter()
        .all(|(_, treatment)| matches!(treatment, Treatment::Drop(_)))
    {
        // Something must be left.
        true => plan
            .into_iter()
            .map(|(column, _)| (column, Treatment::Keep))
            .collect(),
        false => plan,
    }
}

/// The place of the column that names the row: one that is called so, or else the first. Others are different by chance.
fn key_of(profile: &Profile) -> Option<usize> {
    let may_be = |column: &ColumnProfile| {
        let is_name = match column.kind {
            Kind::Integer => profile.rows > 1,
            Kind::Text => profile.rows > ONE_HOT_MAX,
            _ => false,
        };
        is_name && column.is_key(profile.rows)
    };
    let is_called_so = |column: &ColumnProfile| {
        let name = column.name.to_lowercase();
        let last = name
            .rsplit(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or_default();
        KEYS.contains(&last) || column.name.ends_with("Id") || column.name.ends_with("ID")
    };
    let columns = &profile.columns;
    let named = columns
        .iter()
        .position(|column| may_be(column) && is_called_so(column));
    named.or_else(|| columns.first().filter(|first| may_be(first)).map(|_| 0))
}

/// What is done with a column.
#[derive(Debug, Clone, PartialEq)]
enum Treatment {
    /// It goes, and why.
    Drop(String),
    /// It names the row.
    Key,
    /// Nothing.
    Keep,
    /// Two values, which are numbers already.
    Flag,
    Scale,
    Log,
    OneHot,
    Frequency,
    Date,
}

impl Treatment {
    fn of(column: &ColumnProfile, rows: u64) -> Self {
        let there = rows.saturating_sub(column.nulls);
        if there == 0 {
            return Self::Drop("it has no values".to_owned());
        }
        if column.distinct == 1 && column.nulls == 0 {
            return Self::Drop("it has one value only".to_owned());
        }
        let missing = column.nulls as f64 / rows as f64;
        if missing > MISSING_MAX {
            return Self::Drop(format!("{:.0} % of it is missing", 100.0 * missing));
        }
        match column.kind {
            Kind::Other => Self::Drop("no step knows its type".to_owned()),
            Kind::Boolean => Self::OneHot,
            Kind::Date | Kind::Timestamp => Self::Date,
            Kind::Text if column.distinct <= ONE_HOT_MAX => Self::OneHot,
            Kind::Text if column.distinct <= CATEGORIES_MAX && column.distinct * 2 <= there => {
                Self::Frequency
            }
            Kind::Text => Self::Drop(format!("{} different texts in {there} rows", column.distinct)),
            Kind::Integer | Kind::Number if column.distinct <= 2 => Self::Flag,
            Kind::Integer | Kind::Number => match column.numbers {
                Some(numbers) if numbers.skew > SKEW_LOG && is_positive(column) => Self::Log,
                _ => Self::Scale,
            },
        }
    }
}

fn is_positive(column: &ColumnProfile) -> bool {
    let least = column
        .range
        .as_ref()
        .and_then(|(least, _)| least.parse::<f64>().ok());
    least.is_some_and(|least| least >= 0.0)
}

fn write_casts(yaml: &mut Yaml, casts: &[Cast]) {
    let mut groups: Vec<(&Cast, Vec<&str>)> = Vec::new();
    for cast in casts {
        match groups
            .iter_mut()
            .find(|(first, _)| (first.to, &first.how, first.currency) == (cast.to, &cast.how, cast.currency))
        {
            Some((_, columns)) => columns.push(&cast.column),
            None => groups.push((cast, vec![&cast.column])),
        }
    }
    for (cast, columns) in groups {
        let reason = match columns.len() {
            1 => cast.reason.clone(),
            _ => format!("{}; so it is with the others", cast.reason),
        };
        let mut how = match &cast.how {
            How::Plain => String::new(),
            How::Thousands => ", thousands: \",\"".to_owned(),
            How::Decimal { dotted: true } => ", thousands: \".\", decimal: \",\"".to_owned(),
            How::Decimal { dotted: false } => ", decimal: \",\"".to_owned(),
            How::Formats(formats) => format!(", formats: [\"{}\"]", formats.join("\", \"")),
        };
        if cast.currency {
            how.push_str(", currency: true");
        }
        let columns = list(&columns);
        yaml.step(
            &reason,
            &format!("cast: {{columns: [{columns}], to: {}{how}}}", cast.to),
        );
    }
}

fn write_drops(yaml: &mut Yaml, plan: &[(&ColumnProfile, Treatment)]) {
    for (column, treatment) in plan {
        if let Treatment::Drop(reason) = treatment {
            yaml.step(reason, &format!("drop: [{}]", quoted(&column.name)));
        }
    }
}

fn write_imputations(yaml: &mut Yaml, plan: &[(&ColumnProfile, Treatment)], rows: u64) {
    for (column, treatment) in plan {
        if column.nulls == 0 || matches!(treatment, Treatment::Drop(_) | Treatment::Key | Treatment::Keep) {
            continue;
        }
        let name = quoted(&column.name);
        let share = 100.0 * column.nulls as f64 / rows as f64;
        let missing = format!("{} values are missing, {share:.1} %", column.nulls);
        // That a value is missing may say something itself.
        let indicator = if share > 5.0 { ", indicator: true" } else { "" };
        let (reason, how) = match (column.kind, column.numbers) {
            (Kind::Integer | Kind::Number, Some(numbers)) if *treatment != Treatment::Flag => {
                match numbers.skew.abs() > SKEW || numbers.outliers > 0 {
                    true => (
                        format!("{missing}; a few values are far off, which the median does not heed"),
                        "median",
                    ),
                    false => (missing, "mean"),
                }
            }
            (Kind::Date | Kind::Timestamp | Kind::Text | Kind::Boolean, _)
                if share > 5.0 && column.kind == Kind::Text =>
            {
                let step = format!("impute: {{columns: [{name}], strategy: constant, value: missing}}");
                yaml.step(&format!("{missing}: a category of its own"), &step);
                continue;
            }
            _ => (missing, "mode"),
        };
        yaml.step(
            &reason,
            &format!("impute: {{columns: [{name}], strategy: {how}{indicator}}}"),
        );
    }
}

fn write_scales(yaml: &mut Yaml, plan: &[(&ColumnProfile, Treatment)]) {
    let of = |wanted: &[Treatment]| -> Vec<&str> {
        let columns = plan.iter().filter(|(_, treatment)| wanted.contains(treatment));
        columns.map(|(column, _)| column.name.as_str()).collect()
    };
    let logs = of(&[Treatment::Log]);
    if !logs.is_empty() {
        yaml.step(
            "most values are small and a few are very large",
            &format!("log: [{}]", list(&logs)),
        );
    }
    let scaled = of(&[Treatment::Log, Treatment::Scale]);
    if !scaled.is_empty() {
        yaml.step(
            "one scale for all numbers",
            &format!("standardize: [{}]", list(&scaled)),
        );
    }
    let dates = of(&[Treatment::Date]);
    if !dates.is_empty() {
        let columns = list(&dates);
        yaml.step(
            "a date says something by its parts",
            &format!("date_parts: {{columns: [{columns}], parts: [year, month, weekday, days]}}"),
        );
        yaml.step("and nothing more", &format!("drop: [{columns}]"));
    }
}

fn write_encodings(yaml: &mut Yaml, plan: &[(&ColumnProfile, Treatment)]) {
    let of = |wanted: Treatment| -> Vec<&ColumnProfile> {
        let columns = plan.iter().filter(|(_, treatment)| *treatment == wanted);
        columns.map(|(column, _)| *column).collect()
    };
    let frequent: Vec<&str> = of(Treatment::Frequency)
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    if !frequent.is_empty() {
        yaml.step(
            "too many categories for a column each",
            &format!("frequency: [{}]", list(&frequent)),
        );
    }
    let columns = of(Treatment::OneHot);
    let most = columns.iter().map(|column| column.distinct).max().unwrap_or(0);
    if most > 0 {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let reason = format!("up to {most} categories; those of less than 1 % of the rows are grouped");
        yaml.step(
            &reason,
            &format!("one_hot: {{columns: [{}], min_share: 0.01}}", list(&names)),
        );
    }
}

fn names(profile: &Profile, wanted: impl Fn(&ColumnProfile) -> bool) -> Vec<&str> {
    let columns = profile.columns.iter().filter(|column| wanted(column));
    columns.map(|column| column.name.as_str()).collect()
}

fn list(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| quoted(name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A name, between quotes if YAML would take it for something else.
fn quoted(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !matches!(
            name.to_ascii_lowercase().as_str(),
            "y" | "n" | "yes" | "no" | "true" | "false" | "on" | "off" | "null"
        );
    match is_plain {
        true => name.to_owned(),
        // A text of JSON is one of YAML.
        false => serde_json::Value::from(name).to_string(),
    }
}

#[derive(Default)]
struct Yaml {
    text: String,
    steps: usize,
}

impl Yaml {
    fn line(&mut self, line: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn step(&mut self, reason: &str, step: &str) {
        self.steps += 1;
        self.line(&format!("  # {reason}"));
        self.line(&format!("  - {step}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Numbers, Texts};
    use crate::spec::Spec;

    fn column(name: &str, kind: Kind) -> ColumnProfile {
        ColumnProfile {
            name: name.to_owned(),
            kind,
            nulls: 0,
            distinct: 10,
            range: Some(("1".to_owned(), "9".to_owned())),
            numbers: None,
            texts: None,
            top: Vec::new(),
        }
    }

    /// What is proposed for a column of 100 texts.
    fn cast_of_texts(texts: Texts) -> Option<(&'static str, How, bool)> {
        let column = ColumnProfile {
            texts: Some(texts),
            ..column("x", Kind::Text)
        };
        cast_of(&column, 100).map(|cast| (cast.to, cast.how, cast.currency))
    }

    #[test]
    fn texts_become_what_most_of_them_are() {
        let numbers = |whole, numbers, with_thousands, with_decimal| Texts {
            whole,
            numbers,
            with_thousands,
            with_decimal,
            ..Texts::default()
        };
        let dates = |counts: &[(usize, u64)]| {
            let mut texts = Texts::default();
            for (format, count) in counts {
                texts.dates_by_format[*format] = *count;
            }
            texts
        };
        let formats = |formats: &[usize]| How::Formats(formats.iter().map(|at| DATE_FORMATS[*at]).collect());
        let comma = Texts {
            dotted: 3,
            ..numbers(5, 5, 20, 100)
        };
        for (texts, expected) in [
            (numbers(100, 100, 100, 100), Some(("integer", How::Plain, false))),
            (numbers(10, 98, 98, 98), Some(("number", How::Plain, false))),
            (numbers(10, 40, 100, 70), Some(("number", How::Thousands, false))),
            // In doubt, a comma is one between thousands.
            (numbers(0, 0, 100, 100), Some(("number", How::Thousands, false))),
            (
                numbers(5, 5, 20, 100),
                Some(("number", How::Decimal { dotted: false }, false)),
            ),
            (comma, Some(("number", How::Decimal { dotted: true }, false))),
            (
                Texts {
                    signed: 9,
                    ..numbers(1, 99, 99, 1)
                },
                Some(("number", How::Plain, true)),
            ),
            (
                Texts {
                    zeros: 9,
                    ..numbers(100, 100, 100, 100)
                },
                None,
            ),
            (
                Texts {
                    zeros: 1,
                    ..numbers(100, 100, 100, 100)
                },
                Some(("integer", How::Plain, false)),
            ),
            (
                Texts {
                    moments: 99,
                    ..Texts::default()
                },
                Some(("timestamp", How::Plain, false)),
            ),
            (dates(&[(0, 99)]), Some(("date", formats(&[0]), false))),
            (
                dates(&[(0, 40), (4, 60)]),
                Some(("date", formats(&[4, 0]), false)),
            ),
            // Day and month may be the one or the other.
            (dates(&[(2, 100), (3, 40)]), Some(("date", formats(&[2]), false))),
            (dates(&[(2, 50), (3, 50)]), None),
            (dates(&[(0, 50)]), None),
        ] {
            assert_eq!(cast_of_texts(texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn one_column_names_the_row() {
        let unique = |name: &str, kind| ColumnProfile {
            distinct: 100,
            ..column(name, kind)
        };
        let key = |names: &[(&str, Kind)]| {
            let columns = names.iter().map(|(name, kind)| unique(name, *kind)).collect();
            let profile = Profile {
                rows: 100,
                duplicates: 0,
                columns,
            };
            key_of(&profile).map(|place| names[place].0.to_owned())
        };
        let (integer, text, number) = (Kind::Integer, Kind::Text, Kind::Number);
        assert_eq!(
            key(&[("salary", integer), ("customer_id", text)]).unwrap(),
            "customer_id"
        );
        assert_eq!(
            key(&[("Kunden-Nr", integer), ("salary", integer)]).unwrap(),
            "Kunden-Nr"
        );
        assert_eq!(key(&[("first", integer), ("salary", integer)]).unwrap(), "first");
        assert_eq!(
            key(&[("size", number), ("salary", integer), ("notes", text)]),
            None
        );
    }

    #[test]
    fn something_is_left_of_a_single_row() {
        let single = |name: &str| ColumnProfile {
            distinct: 1,
            ..column(name, Kind::Integer)
        };
        let profile = Profile {
            rows: 1,
            duplicates: 0,
            columns: vec![single("a"), single("b")],
        };
        let yaml = pipeline("p", "table: t", &profile, &[], &profile);
        assert!(!yaml.contains("drop") && Spec::parse(&yaml).is_ok(), "{yaml}");
    }

    #[test]
    fn what_is_proposed_can_be_read() {
        let income = ColumnProfile {
            texts: Some(Texts {
                untrimmed: 2,
                blanks: 1,
                numbers: 90,
                with_thousands: 99,
                ..Texts::default()
            }),
            ..column("my income", Kind::Text)
        };
        let city = ColumnProfile {
            texts: Some(Texts::default()),
            nulls: 20,
            ..column("no", Kind::Text)
        };
        let id = ColumnProfile {
            distinct: 100,
            ..column("id", Kind::Integer)
        };
        let texts = Profile {
            rows: 100,
            duplicates: 3,
            columns: vec![id.clone(), income, city.clone()],
        };
        let casts = casts(&texts);
        assert_eq!(casts.len(), 1);
        assert_eq!(casts[0].how, How::Thousands);
        let income = ColumnProfile {
            nulls: 9,
            numbers: Some(Numbers {
                skew: 3.0,
                ..Numbers::default()
            }),
            ..column("my income", Kind::Number)
        };
        let typed = Profile {
            columns: vec![id, income, city, column("nested", Kind::Other)],
            ..texts.clone()
        };
        let yaml = pipeline("p", "table: t", &texts, &casts, &typed);
        let spec = Spec::parse(&yaml).unwrap();
        let words: Vec<&str> = spec.steps.iter().map(|step| step.value.word()).collect();
        assert_eq!(
            words,
            [
                "drop_duplicates",
                "trim",
                "cast",
                "drop",
                "impute",
                "impute",
                "log",
                "standardize",
                "one_hot",
                "expect"
            ],
            "{yaml}"
        );
        assert!(
            yaml.contains("[\"my income\"]") && yaml.contains("[\"no\"]"),
            "{yaml}"
        );
    }
}
