//! A pipeline as it is written: YAML, read and checked as far as it can be without looking at the source.

mod shapes;
mod step;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

pub(crate) use self::shapes::find;
pub use self::shapes::place_of;
pub use self::shapes::{Name, Pairs, Scalar, Selection};
pub use self::step::{
    Bin, Cast, Clip, DatePart, DateParts, DropDuplicates, Expect, Impute, Keep, Norm, NormalizeRows, OnError,
    OneHot, Ordinal, Otherwise, Range, Replace, Split, Step, Strategy, TargetEncode, Type,
};
use crate::mistake::{Mistake, suggestion};

/// A whole pipeline.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What it is known by: letters, digits and underscores.
    pub name: Name,
    /// Where rows come from.
    pub source: Source,
    /// What is done with them, in this order.
    #[serde(default)]
    #[schemars(with = "Vec<Step>")]
    pub steps: Vec<Spanned<Step>>,
    /// Where they go.
    #[serde(default)]
    pub output: Vec<Sink>,
    /// The table that rejected and quarantined rows go to; NAME_rejected if it is not given and there are any.
    pub rejects: Option<Name>,
}

/// Where rows come from: one of `table`, `query` and `file`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A table or view.
    pub table: Option<Name>,
    /// A query.
    pub query: Option<Name>,
    /// A file or folder, by path or URL.
    pub file: Option<Name>,
    /// Its format: csv, parquet, json, avro or arrow; by its name if it is not given.
    pub format: Option<Name>,
    /// Options of the format, such as `delimiter` and `has_header`.
    #[serde(default)]
    pub options: Pairs<Scalar>,
    /// Of a file of texts: types of columns that are not those that its first rows seem to have. `text` takes anything.
    #[serde(default)]
    pub types: Pairs<Type>,
}

/// Where rows go: one of `table`, `file` and `insert`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// A table in memory, which is replaced.
    pub table: Option<Name>,
    /// A file; its ending says whether csv, parquet, json or arrow.
    pub file: Option<Name>,
    /// Columns by whose values the file becomes a folder of files.
    #[serde(default)]
    pub partition_by: Vec<Name>,
    /// A table that has the columns and gets the rows too, such as one over a topic.
    pub insert: Option<Name>,
}

impl Spec {
    /// Reads a pipeline.
    ///
    /// # Errors
    /// No YAML, a word that there is not, a value of another form, with the place and the nearest word.
    pub fn parse(yaml: &str) -> Result<Self, Mistake> {
        let spec: Self = serde_saphyr::from_str(yaml).map_err(|error| mistake_of(&error))?;
        spec.check()?;
        Ok(spec)
    }

    /// Number and word of a step, from 1, by which it is told apart; what is none is a number alone.
    pub fn step_name(&self, number: usize) -> String {
        let step = number.checked_sub(1).and_then(|at| self.steps.get(at));
        step.map_or(number.to_string(), |step| {
            format!("{number} {}", step.value.word())
        })
    }

    /// The JSON Schema of pipelines, for editors.
    pub fn json_schema() -> String {
        let mut schema = schemars::schema_for!(Self);
        schema.insert("title".to_owned(), "Millpond pipeline".into());
        format!("{:#}\n", schema.to_value())
    }

    fn check(&self) -> Result<(), Mistake> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self.name.is_empty() || !self.name.chars().all(is_word) {
            return Err(self
                .name
                .mistake(format!("'{}' is no name for a pipeline", *self.name))
                .hint("use letters, digits and underscores"));
        }
        let source = &self.source;
        one_of(
            &self.name,
            "source",
            &[
                ("table", &source.table),
                ("query", &source.query),
                ("file", &source.file),
            ],
        )?;
        for sink in &self.output {
            one_of(
                &self.name,
                "each output",
                &[
                    ("table", &sink.table),
                    ("file", &sink.file),
                    ("insert", &sink.insert),
                ],
            )?;
        }
        Ok(())
    }
}

fn one_of(place: &Name, what: &str, choices: &[(&str, &Option<Name>)]) -> Result<(), Mistake> {
    let given: Vec<&Name> = choices.iter().filter_map(|(_, choice)| choice.as_ref()).collect();
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    match given.as_slice() {
        [_] => Ok(()),
        [] => Err(place.mistake(format!("{what} needs one of {}", names.join(", ")))),
        [_, second, ..] => Err(second.mistake(format!("{what} has only one of {}", names.join(", ")))),
    }
}

/// What the reader of YAML says, with the nearest word instead of a list of all.
fn mistake_of(error: &serde_saphyr::Error) -> Mistake {
    let error = error.without_snippet();
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    // It repeats the place.
    let text = match text.find(" at line ") {
        Some(end) => &text[..end],
        None => text,
    };
    let mistake = match error.location() {
        Some(location) => Mistake::at(location, text),
        None => Mistake::new(text),
    };
    match unknown_word(text) {
        Some((what, word, known)) => Mistake {
            hint: suggestion(word, known.iter().copied()),
            what: format!("there is no {what} '{word}'"),
            ..mistake
        },
        None => mistake,
    }
}

/// The parts of messages about words that are not known: unknown field `x`, expected one of `a`, `b`.
fn unknown_word(text: &str) -> Option<(&'static str, &str, Vec<&str>)> {
    let mut parts = text.splitn(3, '`');
    let what = match parts.next()?.trim() {
        before if before.ends_with("unknown field") => "field",
        before if before.ends_with("unknown variant") => "word",
        _ => return None,
    };
    let word = parts.next()?;
    let (_, known) = parts.next()?.split_once("expected ")?;
    let known = known.strip_prefix("one of ").unwrap_or(known);
    let is_mark = |c: char| c == '`' || c == ' ';
    let known: Vec<&str> = known
        .split(&[',', ' '][..])
        .map(|word| word.trim_matches(is_mark))
        .collect();
    let known: Vec<&str> = known
        .into_iter()
        .filter(|word| !word.is_empty() && *word != "or")
        .collect();
    (!known.is_empty()).then_some((what, word, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_read() {
        let spec = Spec::parse(
            r#"
name: marketing
source: {file: a.csv, options: {delimiter: ";", has_header: true}}
steps:
  - trim: [Education]
  - cast: {columns: [Income], to: number, thousands: ",", on_error: null}
  - rename: {ID: id}
  - drop_duplicates: {}
  - impute: {columns: numeric, strategy: median, indicator: true}
  - derive: {age: "2014 - year", spend: "a + b"}
  - standardize: [age, "Mnt*"]
output:
  - table: features
  - file: out.parquet
"#,
        )
        .unwrap();
        assert_eq!(spec.steps.len(), 7);
        let Step::Derive(derived) = &spec.steps[5].value else {
            panic!("{:?}", spec.steps[5])
        };
        let names: Vec<&str> = derived.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["age", "spend"], "in their order");
        assert_eq!(spec.steps[1].referenced.line(), 6);
    }

    #[test]
    fn mistakes_have_a_place_and_a_word() {
        let with = |steps: &str| {
            let yaml = format!("name: p\nsource: {{table: t}}\nsteps:\n{steps}");
            Spec::parse(&yaml).unwrap_err().to_string()
        };
        for (steps, said) in [
            (
                "  - standardise: [a]\n",
                "line 4, column 5: there is no word 'standardise' (did you mean 'standardize'?)",
            ),
            (
                "  - impute: {colums: [a]}\n", // misspelt
                "line 4, column 14: there is no field 'colums' (did you mean 'columns'?)", // misspelt
            ),
            (
                "  - impute: {columns: [a], strategy: medain}\n",
                "did you mean 'median'?",
            ),
        ] {
            let found = with(steps);
            assert!(found.contains(said), "{found}");
        }
        let none = Spec::parse("name: p\nsource: {}\n").unwrap_err().to_string();
        assert!(none.contains("needs one of table, query, file"), "{none}");
        let two = Spec::parse("name: p\nsource: {table: a, file: b}\n").unwrap_err();
        assert_eq!(two.place, Some((2, 26)), "{two}");
        assert!(Spec::parse("name: [").is_err());
    }

    #[test]
    fn editors_get_a_schema() {
        let schema = Spec::json_schema();
        for word in ["one_hot", "drop_duplicates", "strategy", "median"] {
            assert!(schema.contains(word), "{word}");
        }
    }
}
