//! Runs scripts over a connection: statements go to the server, commands of the shell are done here.
//!
//! The shell, `millpond sql` with a script and `millpond submit` all work through one [`Session`]. Rows go to its
//! [`Sink`]; what people may like to know goes to standard error.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::connection::{Answer, Connection, StatementStatus, run};
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::output::{Format, Sink};
use crate::place::Place;
use crate::progress::Progress;
use crate::script::{Item, split};
use crate::shell::command::{self, Command};
use crate::shell::describe;
use crate::terminal::note;

/// How deep files may include each other with `\i`.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Pause between the runs of `\watch` without a number.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// What the user chose about the output.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Format of results.
    pub format: Format,
    /// One line per value in tables.
    pub expanded: bool,
    /// Say how long each statement took.
    pub timing: bool,
    /// Say what each statement did.
    pub notes: bool,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Take the next statement.
    Continue,
    /// The user wants to leave.
    Quit,
}

/// What one statement did.
#[derive(Debug, Clone)]
pub struct Done {
    /// Final counts of the server.
    pub status: StatementStatus,
    /// Rows that were written to the output; none if the statement gives no rows.
    pub result_rows: Option<u64>,
}

/// A connection with everything that statements need around them.
#[derive(Debug)]
pub struct Session {
    /// The connection.
    pub connection: Connection,
    /// Receives the user's wish to stop.
    pub interrupts: Interrupts,
    /// What the user chose.
    pub settings: Settings,
    sink: Sink,
    progress: Progress,
    /// The last query, for `\watch`.
    last: Option<String>,
    include_depth: usize,
}

impl Session {
    /// Makes a session that writes to `sink`.
    pub fn new(connection: Connection, interrupts: Interrupts, settings: Settings, sink: Sink) -> Self {
        let progress = Progress::default();
        Self {
            connection,
            interrupts,
            settings,
            sink,
            progress,
            last: None,
            include_depth: 0,
        }
    }

    /// Runs everything in a text, up to the first error. With `file` errors name the file and the line.
    ///
    /// # Errors
    /// The first one.
    pub async fn run_script(&mut self, text: &str, file: Option<&str>) -> Result<Flow, Error> {
        for item in split(text).into_items() {
            let (line, outcome) = match item {
                Item::Statement { sql, line } => {
                    (line, self.run_statement(sql).await.map(|_| Flow::Continue))
                }
                Item::Command { text, line } => (line, Box::pin(self.run_command(text)).await),
            };
            let outcome = match file {
                Some(file) => outcome.map_err(|error| error.at(&Place::new(file, line))),
                None => outcome,
            };
            if outcome? == Flow::Quit {
                return Ok(Flow::Quit);
            }
        }
        Ok(Flow::Continue)
    }

    /// Runs one statement and writes its rows.
    ///
    /// # Errors
    /// Why it failed, that it was cancelled, or that its rows could not be written.
    pub async fn run_statement(&mut self, sql: &str) -> Result<Done, Error> {
        let started = Instant::now();
        let answer = run(&self.connection, sql, &mut self.interrupts, &mut self.progress).await?;
        // The one row with the count of a write says nothing that the status does not say.
        let gives_rows = answer.has_rows() && answer.status.affected_rows.is_none();
        let result_rows = if gives_rows {
            Some(self.write_rows(&answer).await?)
        } else {
            None
        };
        if gives_rows {
            self.last = Some(sql.to_owned());
        }
        let done = Done {
            status: answer.status,
            result_rows,
        };
        self.tell(&done, started.elapsed());
        Ok(done)
    }

    /// Says which of how many statements comes next, for the progress line.
    pub fn set_statement(&mut self, number: usize, count: usize) {
        self.progress.set_statement(number, count);
    }

    /// Lets the output file appear.
    ///
    /// # Errors
    /// The disk is full, or the file cannot be renamed.
    pub fn close_sink(&mut self) -> Result<(), Error> {
        std::mem::replace(&mut self.sink, Sink::stdout()).close()
    }

    async fn write_rows(&mut self, answer: &Answer) -> Result<u64, Error> {
        let mut rows = answer.rows();
        let Settings { format, expanded, .. } = self.settings;
        let mut count = 0;
        let mut writer = self.sink.open(format, expanded, answer.schema())?;
        let outcome = loop {
            let Some(batch) = rows.next_unless(answer, &mut self.interrupts).await? else {
                break writer.finish();
            };
            count += batch.num_rows() as u64;
            if let Err(error) = writer.write(&batch) {
                break Err(error);
            }
        };
        drop(writer);
        match outcome {
            Ok(()) => Ok(count),
            Err(error) => {
                // Nobody can take the rest, so the server need not make it.
                let _ = answer.cancel().await;
                Err(self.sink.failure(error))
            }
        }
    }

    fn tell(&self, done: &Done, elapsed: Duration) {
        if self.settings.notes {
            note(&summary(done));
        }
        if self.settings.timing {
            note(&format!("time: {:.3} s", elapsed.as_secs_f64()));
        }
    }

    /// Does a command of the shell.
    ///
    /// # Errors
    /// [`Error::Usage`] for one that does not exist, or what went wrong in doing it.
    pub async fn run_command(&mut self, text: &str) -> Result<Flow, Error> {
        match command::parse(text)? {
            Command::Quit => return Ok(Flow::Quit),
            Command::Help => note(command::HELP.trim_end()),
            Command::Relations => self.show(describe::RELATIONS).await?,
            Command::Tables => self.show(describe::TABLES).await?,
            Command::Describe(name) => self.describe(&name).await?,
            Command::Schemas => self.show(describe::SCHEMAS).await?,
            Command::Functions(part) => self.show(&describe::functions(part.as_deref())).await?,
            Command::Definition(name) => self.show(&describe::definition(name.as_deref())).await?,
            Command::Jobs => self.show(describe::JOBS).await?,
            Command::Lag => self.show(describe::LAG).await?,
            Command::Expanded(choice) => {
                self.settings.expanded = choice.unwrap_or(!self.settings.expanded);
                note(&switched("Expanded display", self.settings.expanded));
            }
            Command::Timing(choice) => {
                self.settings.timing = choice.unwrap_or(!self.settings.timing);
                note(&switched("Timing", self.settings.timing));
            }
            Command::Mode(Some(format)) => self.settings.format = format,
            Command::Mode(None) => note(self.settings.format.name()),
            Command::Output(file) => self.redirect(file.as_deref())?,
            Command::Include(file) => return self.include(&file).await,
            Command::Watch(interval) => self.watch(interval.unwrap_or(WATCH_INTERVAL)).await?,
        }
        Ok(Flow::Continue)
    }

    /// Shows a query that the user did not type; `\watch` does not repeat it.
    async fn show(&mut self, sql: &str) -> Result<(), Error> {
        let last = self.last.clone();
        let outcome = self.run_statement(sql).await;
        self.last = last;
        outcome.map(drop)
    }

    async fn describe(&mut self, name: &str) -> Result<(), Error> {
        let last = self.last.clone();
        let outcome = self.run_statement(&describe::columns(name)).await;
        self.last = last;
        match outcome?.result_rows {
            Some(0) => Err(Error::Statement(format!(
                "there is no table or view '{name}'\nhint: \\d lists them"
            ))),
            _ => Ok(()),
        }
    }

    fn redirect(&mut self, file: Option<&str>) -> Result<(), Error> {
        let next = match file {
            Some(file) => Sink::file(Path::new(file))?,
            None => Sink::stdout(),
        };
        std::mem::replace(&mut self.sink, next).close()
    }

    async fn include(&mut self, file: &str) -> Result<Flow, Error> {
        if self.include_depth >= INCLUDE_DEPTH_MAX {
            return Err(Error::Usage(format!(
                "'{file}' is included {INCLUDE_DEPTH_MAX} levels deep; does it include itself?"
            )));
        }
        let text = std::fs::read_to_string(file).map_err(|source| Error::Input {
            path: file.to_owned(),
            source,
        })?;
        self.include_depth += 1;
        let outcome = Box::pin(self.run_script(&text, Some(file))).await;
        self.include_depth -= 1;
        outcome
    }

    /// Runs the last query again and again until the user interrupts.
    async fn watch(&mut self, interval: Duration) -> Result<(), Error> {
        let Some(sql) = self.last.clone() else {
            return Err(Error::Usage("there is no query to watch yet".to_owned()));
        };
        loop {
            match self.run_statement(&sql).await {
                Ok(_) => {}
                Err(Error::Cancelled(_)) if !self.interrupts.is_terminated() => return Ok(()),
                Err(error) => return Err(error),
            }
            let interrupted = tokio::time::timeout(interval, self.interrupts.next())
                .await
                .is_ok();
            if interrupted {
                return Ok(());
            }
        }
    }
}

/// The new state of a switch, as psql says it.
fn switched(name: &str, on: bool) -> String {
    format!("{name} is {}.", if on { "on" } else { "off" })
}

/// What a statement did, as psql says it: `INSERT 5`, `CREATE VIEW`, `(3 rows)`.
fn summary(done: &Done) -> String {
    match (done.result_rows, done.status.affected_rows) {
        (Some(1), _) => "(1 row)".to_owned(),
        (Some(rows), _) => format!("({rows} rows)"),
        (None, Some(rows)) => format!("{} {rows}", done.status.verb),
        (None, None) => done.status.verb.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_speaks_as_psql_does() {
        let done = |result_rows, affected_rows| Done {
            status: StatementStatus {
                verb: "INSERT".into(),
                affected_rows,
                ..Default::default()
            },
            result_rows,
        };
        assert_eq!(summary(&done(Some(1), None)), "(1 row)");
        assert_eq!(summary(&done(Some(0), None)), "(0 rows)");
        assert_eq!(summary(&done(None, Some(5))), "INSERT 5");
        assert_eq!(summary(&done(None, None)), "INSERT");
    }
}
