//! How the messages of a topic are written, from the options of a table.

use std::collections::HashMap;

use super::options::Options;

/// How messages are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    pub(super) name: Name,
    pub(super) options: Options,
}

/// The formats there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Json,
    Csv,
    Raw,
    Debezium,
    Maxwell,
    Canal,
    Ogg,
    Dms,
    Upsert,
    Op,
}

const NAMES: [(&str, Name); 11] = [
    ("json", Name::Json),
    ("csv", Name::Csv),
    ("raw", Name::Raw),
    ("debezium-json", Name::Debezium),
    ("maxwell-json", Name::Maxwell),
    ("canal-json", Name::Canal),
    ("ogg-json", Name::Ogg),
    ("dms-json", Name::Dms),
    ("upsert-json", Name::Upsert),
    ("upsert", Name::Upsert),
    ("op-json", Name::Op),
];

const CHANGES: &[Name] = &[
    Name::Debezium,
    Name::Maxwell,
    Name::Canal,
    Name::Ogg,
    Name::Dms,
    Name::Upsert,
    Name::Op,
];
const TIMES: &[Name] = &[
    Name::Json,
    Name::Csv,
    Name::Debezium,
    Name::Maxwell,
    Name::Canal,
    Name::Ogg,
    Name::Dms,
    Name::Upsert,
    Name::Op,
];
const MANY_TABLES: &[Name] = &[Name::Maxwell, Name::Canal, Name::Ogg, Name::Dms, Name::Op];

/// The options and the formats that have them, in the order of [`OPTION_NAMES`].
const OWNERS: [&[Name]; 13] = [
    TIMES,
    &[Name::Csv],
    &[Name::Csv],
    CHANGES,
    CHANGES,
    &[Name::Debezium, Name::Upsert],
    TIMES,
    &[Name::Op],
    &[Name::Op],
    &[Name::Op],
    &[Name::Op],
    &[Name::Op],
    MANY_TABLES,
];
const OPTION_NAMES: [&str; 13] = [
    "format.timestamp_unit",
    "format.delimiter",
    "format.null",
    "format.unavailable_value",
    "format.key_only",
    "format.decimals",
    "format.binary",
    "format.op_field",
    "format.data_field",
    "format.before_field",
    "format.key_field",
    "format.table_field",
    "format.table",
];

impl Format {
    /// Reads `format` and the options that start with `format.`; others are not looked at.
    ///
    /// # Errors
    /// For users: what is not known, and the nearest that is.
    pub fn parse(options: &HashMap<String, String>) -> Result<Self, String> {
        let word = options.get("format").ok_or_else(|| {
            let all = NAMES.map(|(name, _)| name).join(", ");
            format!("option 'format' is missing: say how messages are written, one of {all}")
        })?;
        let name = one_of("format", word, &NAMES)?;
        let mut format = Self {
            name,
            options: Options::of(name),
        };
        let mut given: Vec<_> = options
            .iter()
            .filter(|(option, _)| option.starts_with("format."))
            .collect();
        given.sort();
        for (option, value) in given {
            format.check(option, word)?;
            format.options.set(option, value)?;
        }
        if format.options.table_field.is_some() && format.options.table.is_none() {
            return Err(
                "option 'format.table_field' needs 'format.table': the table whose rows are taken".into(),
            );
        }
        Ok(format)
    }

    /// True if messages are changes of rows, so that the table needs a primary key.
    pub fn is_change_log(&self) -> bool {
        CHANGES.contains(&self.name)
    }

    /// All options there are, but `format` itself.
    pub fn option_names() -> &'static [&'static str] {
        &OPTION_NAMES
    }

    /// The format in its usual word.
    pub fn name(&self) -> &'static str {
        let word = NAMES.iter().find(|(_, name)| *name == self.name);
        word.map_or("", |(word, _)| word)
    }

    fn check(&self, option: &str, format: &str) -> Result<(), String> {
        let Some(place) = OPTION_NAMES.iter().position(|name| *name == option) else {
            return Err(format!(
                "there is no option '{option}'{}",
                nearest(option, OPTION_NAMES.iter().copied())
            ));
        };
        if OWNERS[place].contains(&self.name) {
            return Ok(());
        }
        let mut owners: Vec<_> = NAMES
            .iter()
            .filter(|(_, name)| OWNERS[place].contains(name))
            .map(|(word, _)| *word)
            .collect();
        owners.dedup();
        Err(format!(
            "option '{option}' is not for format '{format}', only for {}",
            owners.join(", ")
        ))
    }
}

pub(super) fn one_of<T: Copy>(option: &str, value: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let near = nearest(value, all.iter().copied());
        format!(
            "option '{option}' cannot be '{value}'{near}; it is one of {}",
            all.join(", ")
        )
    })
}

fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> String {
    let by_distance = words.map(|known| (strsim::damerau_levenshtein(word, known), known));
    match by_distance.min() {
        Some((distance, known)) if distance * 2 <= known.len() => format!(": did you mean '{known}'?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Format, String> {
        let options = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Format::parse(&options.collect())
    }

    #[test]
    fn every_format_has_its_word() {
        for (word, name) in NAMES {
            assert_eq!(
                parse(&[("format", word), ("topic", "t")]).map(|format| format.name),
                Ok(name)
            );
        }
        assert!(parse(&[("format", "upsert")]).unwrap().is_change_log());
        assert!(!parse(&[("format", "json")]).unwrap().is_change_log());
    }

    #[test]
    fn errors_name_the_nearest_word() {
        let fails = |options: &[(&str, &str)], part: &str| {
            let error = parse(options).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        fails(&[], "one of json, csv");
        fails(&[("format", "debezium")], "did you mean 'debezium-json'?");
        fails(
            &[("format", "json"), ("format.timestamp_unit", "mss")],
            "did you mean 'ms'?",
        );
        fails(
            &[("format", "json"), ("format.timestamp_units", "ms")],
            "did you mean 'format.timestamp_unit'?",
        );
        fails(&[("format", "json"), ("format.delimiter", ";")], "only for csv");
        fails(
            &[("format", "csv"), ("format.delimiter", "ab")],
            "give one character",
        );
        fails(
            &[("format", "op-json"), ("format.table_field", "t")],
            "needs 'format.table'",
        );
    }
}
