//! `millpond pipeline`: preprocessing pipelines, from a file to the cluster and back.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use millpond_pipeline::Spec;

use crate::access::{Access, AccessArgs};
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::output::{Format, Sink};
use crate::session::{Session, Settings};
use crate::shell::describe::literal;

/// Flags of `millpond pipeline`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Learn from the source, transform its rows, and write them
    Run {
        /// File of a pipeline, or the name of one that was run before
        #[arg(value_name = "FILE|NAME")]
        what: String,
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Look whether a pipeline can be run
    Check {
        /// File of a pipeline
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Show pipelines, or what one of them has learned
    Show {
        /// Name of a pipeline; all of them if it is not given
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// A version of it; the newest if it is not given
        #[arg(long, value_name = "N", requires = "name")]
        version: Option<u64>,
        /// The SQL of the transform instead
        #[arg(long, requires = "name", conflicts_with = "json")]
        sql: bool,
        /// What was learned, as JSON, instead
        #[arg(long, requires = "name")]
        json: bool,
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Make a view of another table, with what a pipeline has learned
    Apply {
        /// Name of a pipeline
        #[arg(value_name = "NAME")]
        name: String,
        /// A version of it; the newest if it is not given
        #[arg(long, value_name = "N")]
        version: Option<u64>,
        /// The table
        #[arg(long, value_name = "TABLE")]
        to: String,
        /// Name of the view
        #[arg(long = "as", value_name = "VIEW")]
        view: String,
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Print the JSON Schema of pipeline files, for editors
    Schema,
}

/// Runs the command.
///
/// # Errors
/// A file that cannot be read, a pipeline that cannot be run, the connection.
pub async fn run(args: Args, interrupts: Interrupts) -> Result<(), Error> {
    match args.command {
        Command::Run { what, access } => {
            let sql = match Path::new(&what).is_file() {
                true => format!("RUN PIPELINE {}", literal(&read(Path::new(&what))?)),
                false if what.contains(['.', '/']) => return Err(no_file(Path::new(&what))),
                false => format!("RUN PIPELINE {}", identifier(&what)),
            };
            statement(&sql, access, interrupts).await
        }
        Command::Check { file, access } => {
            let sql = format!("CHECK PIPELINE {}", literal(&read(&file)?));
            statement(&sql, access, interrupts).await
        }
        Command::Show {
            name,
            version,
            sql,
            json,
            access,
        } => {
            let query = shown(name.as_deref(), version, sql, json);
            let format = if sql || json { Some(Format::Csv) } else { None };
            show(&query, format, access, interrupts).await
        }
        Command::Apply {
            name,
            version,
            to,
            view,
            access,
        } => {
            let version = version.map_or(String::new(), |version| format!(" VERSION {version}"));
            let sql = format!("APPLY PIPELINE {}{version} TO {to} AS {view}", identifier(&name));
            statement(&sql, access, interrupts).await
        }
        Command::Schema => {
            let text = serde_json::to_string_pretty(&Spec::json_schema())
                .map_err(|error| Error::Node(error.to_string()))?;
            writeln!(std::io::stdout(), "{text}").map_err(|source| Error::Output {
                target: "standard output".to_owned(),
                source,
            })
        }
    }
}

/// Reads a pipeline, and looks at it before anything is started.
fn read(file: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(file).map_err(|source| Error::Input {
        path: file.display().to_string(),
        source,
    })?;
    match Spec::parse(&text) {
        Ok(_) => Ok(text),
        Err(mistake) => Err(Error::Statement(format!("{}: {mistake}", file.display()))),
    }
}

fn no_file(file: &Path) -> Error {
    Error::Usage(format!("there is no file {}", file.display()))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn shown(name: Option<&str>, version: Option<u64>, sql: bool, json: bool) -> String {
    let Some(name) = name else {
        return "SELECT name, version, created_at, source, rows_in, rows_out, elapsed_ms \
                FROM system.pipelines ORDER BY name, version"
            .to_owned();
    };
    let columns = match (sql, json) {
        (true, _) => "transform",
        (_, true) => "fitted",
        _ => "*",
    };
    let version = version.map_or(String::new(), |version| format!(" AND version = {version}"));
    let name = literal(name);
    format!("SELECT {columns} FROM system.pipelines WHERE name = {name}{version} ORDER BY version DESC LIMIT 1")
}

async fn statement(sql: &str, access: AccessArgs, interrupts: Interrupts) -> Result<(), Error> {
    show(sql, None, access, interrupts).await
}

/// Runs a statement and prints its rows; those of one column and no other form as they are.
async fn show(sql: &str, bare: Option<Format>, access: AccessArgs, mut interrupts: Interrupts) -> Result<(), Error> {
    let (access_args, configured) = access.resolve()?;
    let access = Access::open(&access_args, 1, &mut interrupts).await?;
    let settings = Settings {
        format: bare.or(configured).unwrap_or(Format::Table),
        expanded: false,
        timing: false,
        notes: bare.is_none(),
    };
    let mut session = Session::new(access.connection.clone(), interrupts, settings, Sink::stdout());
    let outcome = session.run_statement(sql).await;
    drop(session);
    access.close().await;
    outcome.map(drop)
}
