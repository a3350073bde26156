//! What a pipeline did, as rows: by step, what was learned, what was mended, where rows went.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millpond_engine::error::Error;
use millpond_pipeline::picture::Line;
use millpond_pipeline::{Compiled, Fitted, Spec, Value};

use super::account::Account;
use super::passes::{Pass, seconds};
use crate::statement::result::ResultSet;

/// Categories of a column that are shown.
const SHOWN: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<Line>,
    /// Passes that it has the times of.
    passes: usize,
}

/// Columns of a report.
pub(super) fn schema() -> SchemaRef {
    let column = |name| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(
        ["step", "column", "what", "value"].map(column).to_vec(),
    ))
}

/// An answer of one text.
pub(super) fn text(column: &str, text: String) -> Result<ResultSet, Error> {
    let schema = text_schema(column);
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(StringArray::from(vec![text]))]);
    let batch = batch.map_err(|error| Error::from_datafusion(error.into()))?;
    Ok(ResultSet::batches(schema, vec![batch]))
}

/// Its schema.
pub(super) fn text_schema(column: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(column, DataType::Utf8, false)]))
}

impl Report {
    /// Of a run, as far as its steps go.
    pub(super) fn new(
        spec: &Spec,
        compiled: &Compiled,
        fitted: &Fitted,
        account: &Account,
        warnings: &[(String, String)],
        passes: &[Pass],
    ) -> Self {
        let mut report = Self::default();
        report.line("source", "", "rows in", account.rows_in);
        for (number, step) in spec.steps.iter().enumerate() {
            let name = format!("{} {}", number + 1, step.value.word());
            let of_step = fitted
                .iter()
                .filter(|(key, _)| key.step == name && !key.is_of_expression());
            for (key, value) in of_step {
                report.line(&name, &key.column, &key.what, shown(value));
            }
            for fate in account
                .fates
                .iter()
                .filter(|fate| fate.step == name && fate.rows > 0)
            {
                report.line(&name, "", &format!("{}: {}", fate.how, fate.reason), fate.rows);
            }
            for (_, warning) in warnings.iter().filter(|(step, _)| *step == name) {
                report.line(&name, "", "warning", warning);
            }
            let learned = passes.iter().enumerate();
            for (at, pass) in learned.filter(|(_, pass)| pass.steps.contains(&name)) {
                report.line(&name, "", "seconds", time_of_step(&name, at + 1, pass));
            }
        }
        report.line("output", "", "rows out", account.rows_out);
        report.line("output", "", "columns", compiled.chain.visible().len());
        report
    }

    /// Adds where rows were written: what and the place.
    pub(super) fn add_written(&mut self, written: &[(String, String)]) {
        for (what, place) in written {
            self.line("output", "", what, place);
        }
    }

    /// Adds the seconds of the whole, and those of all passes.
    pub(super) fn add_times(&mut self, passes: &[Pass], elapsed: Duration) {
        self.line("output", "", "seconds", seconds(elapsed));
        self.add_later_times(passes);
    }

    /// Adds the seconds of passes that came after the others.
    pub(super) fn add_later_times(&mut self, passes: &[Pass]) {
        for pass in passes.iter().skip(self.passes) {
            self.passes += 1;
            let what = format!("{}: {}", self.passes, pass.name());
            self.line("seconds", "", &what, seconds(pass.elapsed));
        }
    }

    /// Of a check.
    pub(super) fn of_check(spec: &Spec, compiled: &Compiled) -> Self {
        let mut report = Self::default();
        report.line("source", "", "columns", compiled.source.len());
        report.line("steps", "", "count", spec.steps.len());
        for column in compiled.chain.columns() {
            report.line("output", &column.name, "kind", column.kind);
        }
        report
    }

    /// Its lines: step, column, what, value.
    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Adds a page of HTML, as its last line.
    pub(super) fn add_page(&mut self, page: String) {
        self.line("report", "", "html", page);
    }

    fn line(&mut self, step: &str, column: &str, what: &str, value: impl ToString) {
        self.lines.push([
            step.to_string(),
            column.to_string(),
            what.to_string(),
            value.to_string(),
        ]);
    }

    /// As the answer of a statement.
    pub(super) fn result(self) -> Result<ResultSet, Error> {
        let column = |at: usize| -> ArrayRef {
            let cells = self.lines.iter().map(|line| line[at].as_str());
            Arc::new(StringArray::from_iter_values(cells))
        };
        let batch = RecordBatch::try_new(schema(), (0..4).map(column).collect());
        let batch = batch.map_err(|error| Error::from_datafusion(error.into()))?;
        Ok(ResultSet::batches(schema(), vec![batch]))
    }
}

/// `0.210 in pass 3, with 5 standardize`.
fn time_of_step(step: &str, number: usize, pass: &Pass) -> String {
    let others = pass.steps.iter().filter(|other| *other != step);
    let others: Vec<&str> = others.map(String::as_str).collect();
    let with = match others.as_slice() {
        [] => String::new(),
        others => format!(", with {}", others.join(", ")),
    };
    format!("{} in pass {number}{with}", seconds(pass.elapsed))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Categories(categories) => {
            let mut names: Vec<String> = categories
                .iter()
                .take(SHOWN)
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            if categories.len() > SHOWN {
                names.push(format!("{} more", categories.len() - SHOWN));
            }
            names.join(", ")
        }
        Value::Groups(groups) => format!("{} groups", groups.len()),
    }
}
