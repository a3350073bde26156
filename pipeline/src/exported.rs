//! A pipeline with what it has learned, as a document: written on one cluster, read on another.
//!
//! It is JSON, of one version of a pipeline: the definition as it was written, what was learned, and what of. Numbers are
//! read to their last digit. What is read is compiled over the columns that it was learned from, so that values which are
//! not those of the definition are told here, and not when rows are transformed.

use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use crate::compile::{Compiled, Known, Purpose, compile};
use crate::fitted::{Fitted, Value};
use crate::kind::Kind;
use crate::mistake::Mistake;
use crate::spec::Spec;

/// The form of these documents. It grows when an older reader would misunderstand one.
const FORMAT: u32 = 1;
/// What to do about a document that is none.
const HINT: &str = "import what `millpond pipeline show NAME --json` or EXPORT PIPELINE has written";
/// What to do about values of something else.
const HINT_FIT: &str = "definition and values have to be of one version of a pipeline; export it again";

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exported {
    format: u32,
    /// The pipeline as it was written: YAML.
    pub spec: String,
    /// What it was learned from: a table, a query or a file.
    pub source: String,
    /// Rows of the source.
    pub rows_in: u64,
    /// Rows that came out.
    pub rows_out: u64,
    /// Milliseconds since the Unix epoch, when it was learned.
    pub created_at_ms: u64,
    /// Milliseconds that the run took.
    pub elapsed_ms: u64,
    /// What was learned.
    pub fitted: Fitted,
}

/// A document that was read and is whole.
#[derive(Debug, Clone)]
pub struct Imported {
    /// What it says.
    pub exported: Exported,
    /// Its definition.
    pub spec: Spec,
    /// The pipeline over any rows, in a table `source`.
    pub serving: Compiled,
}

/// The number alone, which is read before anything that depends on it.
#[derive(Deserialize)]
struct Numbered {
    format: u32,
}

impl Exported {
    /// Of a version of a pipeline; the number of the format is set here.
    pub fn new(spec: String, source: String, fitted: Fitted) -> Self {
        Self {
            format: FORMAT,
            spec,
            source,
            rows_in: 0,
            rows_out: 0,
            created_at_ms: 0,
            elapsed_ms: 0,
            fitted,
        }
    }

    /// As text.
    ///
    /// # Errors
    /// A version that does not say which columns it was learned from, as none could read it.
    pub fn to_json(&self) -> Result<String, Mistake> {
        if self.fitted.columns().is_none() {
            let what = "this version does not say which columns it was learned from";
            return Err(Mistake::new(what).hint("run the pipeline again, and export the new version"));
        }
        serde_json::to_string_pretty(self).map_err(|error| Mistake::new(error.to_string()))
    }

    /// Reads and checks a document.
    ///
    /// # Errors
    /// What is no JSON or has another form, and values that are not those of the definition.
    pub fn read(json: &str) -> Result<Imported, Mistake> {
        let Numbered { format } = serde_json::from_str(json).map_err(|error| mistake_of(&error))?;
        if format != FORMAT {
            let what = format!("the document has format {format}, and this program reads {FORMAT}");
            return Err(Mistake::new(what).hint("import it with the version of Millpond that wrote it"));
        }
        let exported: Self = serde_json::from_str(json).map_err(|error| mistake_of(&error))?;
        let spec = Spec::parse(&exported.spec)
            .map_err(|mistake| Mistake::new(format!("the definition in 'spec' is wrong: {mistake}")))?;
        let serving = exported.check(&spec)?;
        Ok(Imported {
            exported,
            spec,
            serving,
        })
    }

    /// The definition with the values in it.
    fn check(&self, spec: &Spec) -> Result<Compiled, Mistake> {
        let Some(columns) = self.fitted.columns() else {
            return Err(
                Mistake::new("'fitted' does not say which columns it was learned from").hint(HINT_FIT),
            );
        };
        let mut known = Known {
            fitted: self.fitted.clone(),
            ..Known::default()
        };
        for (key, value) in self.fitted.iter().filter(|(key, _)| !key.is_of_source()) {
            let number = (1..=spec.steps.len()).find(|number| spec.step_name(*number) == key.step);
            let Some(number) = number else {
                let what = format!(
                    "there are values of step '{}', which is not in the definition",
                    key.step
                );
                return Err(Mistake::new(what).hint(HINT_FIT));
            };
            if let (true, Value::Text(kind)) = (key.is_of_expression(), value)
                && let Some(kind) = Kind::parse(kind)
            {
                known.kinds.insert((number, key.column), kind);
            }
        }
        let misfit = |mistake: Mistake| Mistake {
            place: None,
            ..mistake.hint(HINT_FIT)
        };
        let compiled = compile(spec, "source", &columns, &known, Purpose::Serve).map_err(misfit)?;
        match compiled.kinds.first() {
            None => Ok(compiled),
            Some(((step, column), _)) => {
                let step = spec.step_name(*step);
                let what = format!("the kind of '{column}' in step {step} is not among the values");
                Err(Mistake::new(what).hint(HINT_FIT))
            }
        }
    }
}

fn mistake_of(error: &serde_json::Error) -> Mistake {
    let what = match error.classify() {
        Category::Data => "this is no exported pipeline",
        Category::Syntax | Category::Eof | Category::Io => "this is no JSON",
    };
    Mistake::new(format!("{what}: {error}")).hint(HINT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::Key;
    use crate::kind::Column;

    const SPEC: &str = "name: p\nsource: {table: t}\nsteps: [{standardize: [a]}, {derive: {b: a * 2}}]";

    fn exported() -> Exported {
        let mut fitted = Fitted::default();
        fitted.set_columns(&[Column {
            name: "a".to_owned(),
            kind: Kind::Number,
        }]);
        let mut insert = |step: &str, column: &str, what: &str, value| {
            let [step, column, what] = [step, column, what].map(str::to_owned);
            fitted.insert(Key { step, column, what }, value);
        };
        insert("1 standardize", "a", "mean", Value::Number(0.1 + 0.2));
        insert("1 standardize", "a", "deviation", Value::Number(3.0));
        insert("1 standardize", "a", "values", Value::Number(9.0));
        insert("2 derive", "b", "kind", Value::Text("number".to_owned()));
        Exported::new(SPEC.to_owned(), "t".to_owned(), fitted)
    }

    fn said(json: &str) -> String {
        Exported::read(json).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let exported = exported();
        let read = Exported::read(&exported.to_json().unwrap()).unwrap();
        assert_eq!(read.exported, exported);
        assert_eq!(&*read.spec.name, "p");
        let chain = &read.serving.chain;
        let query = chain.query("1", &[chain.visible()[0].1], "");
        assert!(query.contains("0.30000000000000004"), "{query}");
    }

    #[test]
    fn what_is_none_is_told() {
        let json = exported().to_json().unwrap();
        for (text, words) in [
            ("", "this is no JSON"),
            ("name: p", "this is no JSON"),
            ("[]", "this is no exported pipeline"),
            ("{}", "missing field `format`"),
            (
                r#"{"format": 2}"#,
                "the document has format 2, and this program reads 1",
            ),
            (r#"{"format": 1}"#, "missing field `spec`"),
        ] {
            assert!(said(text).contains(words), "{text}: {}", said(text));
        }
        for (from, to, words) in [
            (
                "\"rows_in\": 0",
                "\"rows_in\": -1",
                "this is no exported pipeline",
            ),
            ("\"rows_in\"", "\"rows\"", "unknown field `rows`"),
            ("name: p", "name: p q", "the definition in 'spec' is wrong"),
            (
                "{standardize: [a]}, ",
                "",
                "values of step '1 standardize', which is not in the definition",
            ),
            ("[a]", "[b]", "there is no column 'b' here"),
            ("\"mean\"", "\"median\"", "has not learned the mean of 'a'"),
            (
                "0.30000000000000004",
                "\"x\"",
                "the mean of 'a' is not what step 1 standardize has to learn",
            ),
            ("0.30000000000000004", "1e999", "the number 1e999 is too large"),
            ("0.30000000000000004", "{}", "this is no exported pipeline"),
            (
                "\"kind\"",
                "\"sort\"",
                "the kind of 'b' in step 2 derive is not among the values",
            ),
            ("\"columns\"", "\"colums\"", "does not say which columns"), // misspelt
        ] {
            assert!(json.contains(from), "{from} in {json}");
            let told = said(&json.replacen(from, to, 1));
            assert!(told.contains(words), "{from} -> {to}: {told}");
        }
    }

    #[test]
    fn a_version_that_says_no_columns_is_not_written() {
        let exported = Exported::new(SPEC.to_owned(), "t".to_owned(), Fitted::default());
        let told = exported.to_json().unwrap_err().to_string();
        assert!(told.contains("run the pipeline again"), "{told}");
    }
}
