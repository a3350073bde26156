//! `millpond submit`: a file of statements as one job, with progress and a summary.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};

use crate::access::{Access, AccessArgs};
use crate::connection::Connection;
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::output::{Format, Sink};
use crate::place::Place;
use crate::script::{Item, split};
use crate::session::{Done, Session, Settings};
use crate::terminal::note;

/// Flags of `millpond submit`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// File of statements
    #[arg(value_name = "FILE.sql")]
    file: PathBuf,
    /// Name of the job in system.jobs, with --detach; without it the name of the file
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Hand the job to the cluster, print its name and leave
    #[arg(long)]
    detach: bool,
    /// Executors of the command's own cluster; the first runs in this process
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    executors: u16,
    #[command(flatten)]
    access: AccessArgs,
}

/// Runs the command.
///
/// # Errors
/// The first statement that fails, with its place in the file.
pub async fn run(mut args: Args, mut interrupts: Interrupts) -> Result<(), Error> {
    let path = args.file.display().to_string();
    let text = std::fs::read_to_string(&args.file).map_err(|source| Error::Input {
        path: path.clone(),
        source,
    })?;
    let script = Script::read(&text, &path)?;
    let (access, configured) = args.access.resolve()?;
    args.access = access;
    if args.detach {
        let connection = Access::open_remote(&args.access).await?;
        return detach(&connection, &args.job_name(), &text).await;
    }
    let settings = Settings {
        format: configured.unwrap_or(Format::Table),
        expanded: false,
        timing: false,
        notes: false,
    };
    let started = Instant::now();
    let access = Access::open(&args.access, usize::from(args.executors), &mut interrupts).await?;
    let mut session = Session::new(access.connection.clone(), interrupts, settings, Sink::stdout());
    let outcome = script.run(&mut session).await;
    drop(session);
    access.close().await;
    let done = outcome?;
    note(&summary(&done, started.elapsed()));
    Ok(())
}

impl Args {
    fn job_name(&self) -> String {
        let of_file = || {
            self.file
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
        };
        self.name.clone().or_else(of_file).unwrap_or_default()
    }
}

/// The statements of a file.
#[derive(Debug)]
struct Script<'a> {
    statements: Vec<(&'a str, Place)>,
}

impl<'a> Script<'a> {
    fn read(text: &'a str, path: &str) -> Result<Self, Error> {
        let place = |line| Place::new(path, line);
        let statements: Vec<_> = split(text)
            .into_items()
            .into_iter()
            .map(|item| match item {
                Item::Statement { sql, line } => Ok((sql, place(line))),
                Item::Command { text, line } => {
                    let reason = format!("{text} is a command of the shell\nhint: a job holds SQL only");
                    Err(Error::Usage(reason).at(&place(line)))
                }
            })
            .collect::<Result<_, _>>()?;
        if statements.is_empty() {
            return Err(Error::Usage(format!("{path} holds no statement")));
        }
        Ok(Self { statements })
    }

    async fn run(&self, session: &mut Session) -> Result<Vec<Done>, Error> {
        let count = self.statements.len();
        let mut all = Vec::with_capacity(count);
        for (number, (sql, place)) in self.statements.iter().enumerate() {
            session.set_statement(number + 1, count);
            all.push(
                session
                    .run_statement(sql)
                    .await
                    .map_err(|error| error.at(place))?,
            );
        }
        Ok(all)
    }
}

#[derive(Serialize)]
struct SubmitScript<'a> {
    name: &'a str,
    sql: &'a str,
}

#[derive(Deserialize)]
struct Submitted {
    job: String,
}

/// Hands the script to the cluster and prints the name under which `system.jobs` shows it.
async fn detach(connection: &Connection, name: &str, sql: &str) -> Result<(), Error> {
    let wrong = |reason: String| Error::Protocol(format!("name of the job: {reason}"));
    let body = serde_json::to_vec(&SubmitScript { name, sql }).map_err(|error| wrong(error.to_string()))?;
    let answers = connection.action("millpond.SubmitScript", body).await?;
    let answer = answers.first().ok_or_else(|| wrong("there is none".to_owned()))?;
    let submitted: Submitted = serde_json::from_slice(answer).map_err(|error| wrong(error.to_string()))?;
    writeln!(std::io::stdout(), "{}", submitted.job).map_err(|source| Error::Output {
        target: "standard output".to_owned(),
        source,
    })
}

/// What the job did, in a few lines.
fn summary(done: &[Done], elapsed: Duration) -> String {
    let read: u64 = done.iter().map(|done| done.status.input_rows).sum();
    let mut lines = vec![
        format!("statements   {}", done.len()),
        format!("rows read    {read}"),
    ];
    for done in done {
        if let Some(rows) = done.status.affected_rows {
            lines.push(format!("rows written {rows} ({})", done.status.verb));
        }
    }
    if let Some(rows) = done.iter().rev().find_map(|done| done.result_rows) {
        lines.push(format!("last result  {rows} rows"));
    }
    lines.push(format!("seconds      {:.3}", elapsed.as_secs_f64()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::StatementStatus;

    #[test]
    fn summary_counts_what_was_read_and_written() {
        let status = |verb: &str, input_rows, affected_rows| StatementStatus {
            verb: verb.into(),
            input_rows,
            affected_rows,
            ..Default::default()
        };
        let done = [
            Done {
                status: status("CREATE EXTERNAL TABLE", 0, None),
                result_rows: None,
            },
            Done {
                status: status("COPY", 2240, Some(2216)),
                result_rows: None,
            },
            Done {
                status: status("SELECT", 2216, None),
                result_rows: Some(5),
            },
        ];
        assert_eq!(
            summary(&done, Duration::from_millis(1500)),
            "statements   3\nrows read    4456\nrows written 2216 (COPY)\nlast result  5 rows\nseconds      1.500"
        );
    }

    #[test]
    fn commands_of_the_shell_are_refused_with_their_place() {
        let error = Script::read("select 1;\n\\dt\n", "job.sql").unwrap_err();
        assert!(error.to_string().starts_with("job.sql:2: \\dt"), "{error}");
        assert!(Script::read("-- nothing\n", "job.sql").is_err());
    }
}
