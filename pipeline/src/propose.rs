//! A pipeline for data that nobody has described: each step with the reason for it.
//!
//! ```text
//! rows as texts ─► profile ─► trim, cast ─► profile of that ─► impute, scale, encode ─► YAML with comments
//! ```

use std::fmt::Write as _;

use crate::kind::{Column, Kind};
use crate::profile::{ColumnProfile, DATE_FORMATS, Profile};

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

/// Casts that texts want: name and what of, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    /// The column.
    pub column: String,
    /// `integer`, `number` or `date`.
    pub to: &'static str,
    /// What must be known to read it.
    pub how: How,
    /// Why.
    pub reason: String,
}

/// What must be known to read a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Nothing.
    Plain,
    /// Commas stand between thousands.
    Thousands,
    /// The way dates are written, by its place in [`DATE_FORMATS`].
    Format(usize),
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
    let (to, how, count) = if enough(texts.whole) && texts.whole == texts.with_thousands {
        ("integer", How::Plain, texts.whole)
    } else if enough(texts.with_thousands) && texts.with_thousands > texts.numbers {
        ("number", How::Thousands, texts.with_thousands)
    } else if enough(texts.numbers) {
        ("number", How::Plain, texts.numbers)
    } else if enough(texts.dates) {
        ("date", How::Format(texts.date_format), texts.dates)
    } else {
        return None;
    };
    let what = match how {
        How::Format(format) => format!("dates as {}", DATE_FORMATS[format]),
        How::Thousands => "numbers, some with commas".to_owned(),
        How::Plain => format!("{to}s"),
    };
    Some(Cast {
        column: column.name.clone(),
        to,
        how,
        reason: format!("{count} of {there} values are {what}"),
    })
}

/// The query that has the different rows of a relation with these casts, to be profiled in turn.
pub fn cast_query(relation: &str, columns: &[Column], casts: &[Cast]) -> String {
    let cell = |column: &Column| {
        let name = crate::sql::ident(&column.name);
        let trimmed = format!("NULLIF(btrim({name}), '')");
        let value = match casts.iter().find(|cast| cast.column == column.name) {
            None if column.kind == Kind::Text => trimmed,
            None => return name,
            Some(cast) => match (cast.to, cast.how) {
                ("date", How::Format(format)) => {
                    format!(
                        "try_to_date(btrim({name}), {})",
                        crate::sql::text(DATE_FORMATS[format])
                    )
                }
                ("integer", _) => format!("TRY_CAST({trimmed} AS BIGINT)"),
                (_, How::Thousands) => format!("TRY_CAST(replace({trimmed}, ',', '') AS DOUBLE)"),
                _ => format!("TRY_CAST({trimmed} AS DOUBLE)"),
            },
        };
        format!("{value} AS {name}")
    };
    let head: Vec<String> = columns.iter().map(cell).collect();
    format!(
        "(SELECT {} FROM (SELECT DISTINCT * FROM {relation}) AS texts) AS typed",
        head.join(", ")
    )
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
    let plan: Vec<(&ColumnProfile, Treatment)> = typed
        .columns
        .iter()
        .map(|column| (column, Treatment::of(column, typed.rows)))
        .collect();
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

/// What is done with a column.
#[derive(Debug, Clone, PartialEq)]
enum Treatment {
    /// It goes, and why.
    Drop(String),
    /// It names the row.
    Key,
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
            Kind::Integer if column.is_key(rows) => Self::Key,
            Kind::Text if column.is_key(rows) && rows > ONE_HOT_MAX => Self::Key,
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
            .find(|(first, _)| (first.to, first.how) == (cast.to, cast.how))
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
        let how = match cast.how {
            How::Plain => String::new(),
            How::Thousands => ", thousands: \",\"".to_owned(),
            How::Format(format) => format!(", formats: [\"{}\"]", DATE_FORMATS[format]),
        };
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
        if column.nulls == 0 || matches!(treatment, Treatment::Drop(_) | Treatment::Key) {
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
        assert_eq!((casts.len(), casts[0].how), (1, How::Thousands));
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
