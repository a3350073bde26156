//! `millpond jobs`, `tables`, `streams`, `models` and `executors`: look at the cluster through its system tables.

use std::io::Write;

use arrow::array::RecordBatch;
use clap::{Args as ClapArgs, ValueEnum};

use super::model;
use crate::access::{Access, AccessArgs};
use crate::connection::{Connection, run as run_statement};
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::output::rows::{Layout, open};
use crate::output::{Format, Sink};
use crate::progress::Progress;

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Statements and their jobs.
    Jobs,
    /// Tables and views.
    Tables,
    /// Tables that follow topics.
    Streams,
    /// Models.
    Models,
    /// Executors.
    Executors,
}

/// Flags of the commands that look.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Show only this one, with everything that is known about it
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How it is shown
    #[arg(short, long, value_enum, default_value_t = Shape::Table, value_name = "FORMAT")]
    output: Shape,
    #[command(flatten)]
    access: AccessArgs,
}

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// A table for people, with the columns that matter most.
    Table,
    /// A JSON array with all columns.
    Json,
    /// A YAML list with all columns.
    Yaml,
}

impl Subject {
    fn word(self) -> &'static str {
        match self {
            Self::Jobs => "job",
            Self::Tables => "table or view",
            Self::Streams => "table that follows a topic",
            Self::Models => "model",
            Self::Executors => "executor",
        }
    }

    fn brief_columns(self) -> &'static str {
        match self {
            Self::Jobs => {
                "job_id, statement_id, name, verb, state, tasks_done, tasks, elapsed_ms, \
                 regexp_replace(substr(sql, 1, 60), '\\s+', ' ', 'g') AS sql"
            }
            Self::Tables => "table_schema, table_name, kind, format, location",
            Self::Streams => {
                "table_schema, table_name, topic, kind, state, partitions, lag, rows, messages_per_s, dead, reason"
            }
            Self::Models => "name, type, label, refresh, version, rows, metrics, trained_at",
            Self::Executors => "*",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Self::Jobs => "system.jobs",
            Self::Tables => "system.tables",
            Self::Streams => "system.streams",
            Self::Models => "system.models",
            Self::Executors => "system.executors",
        }
    }

    fn order(self) -> &'static str {
        match self {
            Self::Jobs => "submitted_at, statement_id",
            Self::Tables | Self::Streams => "table_schema, table_name",
            Self::Models => "name",
            Self::Executors => "executor_id",
        }
    }

    /// The condition that a row is the one of that name. A job of several statements has its own name before the
    /// number of each.
    fn is_named(self, name: &str) -> String {
        let name = crate::shell::describe::literal(name);
        match self {
            Self::Jobs => {
                format!(
                    "job_id = {name} OR statement_id = {name} OR name = {name} OR starts_with(name, {name} || ' ')"
                )
            }
            Self::Tables | Self::Streams => {
                format!("table_name = {name} OR table_schema || '.' || table_name = {name}")
            }
            Self::Models => format!("name = {name}"),
            Self::Executors => format!("executor_id = {name} OR starts_with(executor_id, {name} || '-')"),
        }
    }

    fn query(self, name: Option<&str>, shape: Shape) -> String {
        let brief = name.is_none() && shape == Shape::Table;
        let columns = if brief { self.brief_columns() } else { "*" };
        let filter = name.map_or(String::new(), |name| format!(" WHERE {}", self.is_named(name)));
        format!(
            "SELECT {columns} FROM {}{filter} ORDER BY {}",
            self.source(),
            self.order()
        )
    }
}

/// Runs one of the commands.
///
/// # Errors
/// The connection; [`Error::Statement`] if there is none of that name.
pub async fn run(subject: Subject, args: Args, mut interrupts: Interrupts) -> Result<(), Error> {
    let (access_args, _) = args.access.resolve()?;
    let access = Access::open(&access_args, 1, &mut interrupts).await?;
    let sql = subject.query(args.name.as_deref(), args.output);
    let outcome = match (subject, &args.name, args.output) {
        (Subject::Models, Some(name), Shape::Table) => {
            Box::pin(model::show(&access.connection, name, &mut interrupts))
                .await
                .map(|()| None)
        }
        _ => look(&access.connection, &sql, &mut interrupts).await.map(Some),
    };
    access.close().await;
    let Some(batches) = outcome? else { return Ok(()) };
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if let Some(name) = args.name.filter(|_| rows == 0) {
        return Err(Error::Statement(format!(
            "there is no {} '{name}'",
            subject.word()
        )));
    }
    let expanded = rows == 1 && sql.contains(" WHERE ");
    show(&batches, args.output, expanded)
}

pub(super) async fn look(
    connection: &Connection,
    sql: &str,
    interrupts: &mut Interrupts,
) -> Result<Vec<RecordBatch>, Error> {
    let answer = run_statement(connection, sql, interrupts, &mut Progress::default()).await?;
    let mut rows = answer.rows();
    // An empty batch carries the columns when there are no rows.
    let mut batches = vec![RecordBatch::new_empty(answer.schema().clone())];
    while let Some(batch) = rows.next_unless(&answer, interrupts).await? {
        batches.push(batch);
    }
    Ok(batches)
}

fn show(batches: &[RecordBatch], shape: Shape, expanded: bool) -> Result<(), Error> {
    let failed = |source| Error::Output {
        target: "standard output".to_owned(),
        source,
    };
    if shape == Shape::Yaml {
        return std::io::stdout()
            .write_all(yaml(batches)?.as_bytes())
            .map_err(failed);
    }
    let format = if shape == Shape::Json {
        Format::Json
    } else {
        Format::Table
    };
    print(batches, format, expanded)
}

/// Prints rows.
pub(super) fn print(batches: &[RecordBatch], format: Format, expanded: bool) -> Result<(), Error> {
    let mut sink = Sink::stdout();
    let mut writer = sink.open(format, expanded, &batches[0].schema())?;
    let written = batches
        .iter()
        .try_for_each(|batch| writer.write(batch))
        .and_then(|()| writer.finish());
    drop(writer);
    written.map_err(|error| sink.failure(error))
}

fn yaml(batches: &[RecordBatch]) -> Result<String, Error> {
    let wrong = |reason: String| Error::Protocol(format!("rows of a system table: {reason}"));
    let mut json = Vec::new();
    let layout = Layout {
        format: Format::Json,
        expanded: false,
        to_file: false,
    };
    let mut writer =
        open(layout, &batches[0].schema(), &mut json).map_err(|error| wrong(error.to_string()))?;
    let written = batches
        .iter()
        .try_for_each(|batch| writer.write(batch))
        .and_then(|()| writer.finish());
    drop(writer);
    written.map_err(|error| wrong(error.to_string()))?;
    let rows: serde_norway::Value =
        serde_json::from_slice(&json).map_err(|error| wrong(error.to_string()))?;
    serde_norway::to_string(&rows).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn yaml_is_a_list_in_the_order_of_the_columns() {
        let columns: [(&str, ArrayRef); 2] = [
            ("state", Arc::new(StringArray::from(vec![Some("running"), None]))),
            ("done", Arc::new(Int64Array::from(vec![1, 2]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        assert_eq!(
            yaml(std::slice::from_ref(&batch)).unwrap(),
            "- state: running\n  done: 1\n- state: null\n  done: 2\n"
        );
        assert_eq!(yaml(&[batch.slice(0, 0)]).unwrap(), "[]\n");
    }

    #[test]
    fn name_cannot_leave_its_literal() {
        let sql = Subject::Tables.query(Some("x' OR '1'='1"), Shape::Json);
        assert!(sql.contains("'x'' OR ''1''=''1'"), "{sql}");
    }
}
