//! `millpond pipeline`: preprocessing pipelines, from a file to the cluster and back.

use std::io::Write;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use clap::{Args as ClapArgs, Subcommand};
use millpond_pipeline::Spec;

use super::look::{look, print};
use crate::access::{Access, AccessArgs};
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::output::{Format, Sink};
use crate::session::{Session, Settings};
use crate::shell::describe::literal;

/// The file that is no file.
const STANDARD_INPUT: &str = "-";

/// Flags of `millpond pipeline`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a pipeline for a table or file, from what is in it
    Init {
        /// A table, or a file
        #[arg(value_name = "TABLE|FILE")]
        source: String,
        /// Its name; that of the table or file if it is not given
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        access: AccessArgs,
    },
    /// Learn from the source, transform its rows, and write them
    Run {
        /// File of a pipeline, or the name of one that was run before
        #[arg(value_name = "FILE|NAME")]
        what: String,
        /// Write a page with what the rows looked like before and after
        #[arg(long, value_name = "FILE.html")]
        report: Option<PathBuf>,
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
        /// Definition and what was learned instead, as JSON that `import` reads
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
    /// Make a new version of a pipeline from what `show --json` has printed, on this cluster or another
    Import {
        /// The file; - is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
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
        Command::Run { what, report, access } => {
            let sql = match Path::new(&what).is_file() {
                true => format!("RUN PIPELINE {}", literal(&read(Path::new(&what))?)),
                false if what.contains(['.', '/']) => return Err(no_file(Path::new(&what))),
                false => format!("RUN PIPELINE {}", identifier(&what)),
            };
            match report {
                Some(file) => run_with_page(&sql, &file, access, interrupts).await,
                None => statement(&sql, access, interrupts).await,
            }
        }
        Command::Init { source, name, access } => {
            let name = name.unwrap_or_else(|| name_of(&source));
            let lines = source_of(&source)?;
            let sql = format!("PROPOSE PIPELINE {} FROM {}", identifier(&name), literal(&lines));
            show(&sql, true, access, interrupts).await
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
            let query = match (&name, json) {
                (Some(name), true) => format!("EXPORT PIPELINE {}{}", identifier(name), of_version(version)),
                _ => shown(name.as_deref(), version, sql),
            };
            show(&query, sql || json, access, interrupts).await
        }
        Command::Import { file, access } => {
            let sql = format!("IMPORT PIPELINE {}", literal(&read_text(&file)?));
            statement(&sql, access, interrupts).await
        }
        Command::Apply {
            name,
            version,
            to,
            view,
            access,
        } => {
            let version = of_version(version);
            let sql = format!("APPLY PIPELINE {}{version} TO {to} AS {view}", identifier(&name));
            statement(&sql, access, interrupts).await
        }
        Command::Schema => {
            write!(std::io::stdout(), "{}", Spec::json_schema()).map_err(|source| Error::Output {
                target: "standard output".to_owned(),
                source,
            })
        }
    }
}

/// Reads a pipeline, and looks at it before anything is started.
fn read(file: &Path) -> Result<String, Error> {
    let text = read_text(file)?;
    match Spec::parse(&text) {
        Ok(_) => Ok(text),
        Err(mistake) => Err(Error::Statement(format!("{}: {mistake}", file.display()))),
    }
}

/// The text of a file, or of standard input if it is called `-`.
fn read_text(file: &Path) -> Result<String, Error> {
    let text = match file.as_os_str() == STANDARD_INPUT {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    text.map_err(|source| Error::Input {
        path: file.display().to_string(),
        source,
    })
}

fn no_file(file: &Path) -> Error {
    Error::Usage(format!("there is no file {}", file.display()))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// As it stands behind the name of a pipeline.
fn of_version(version: Option<u64>) -> String {
    version.map_or(String::new(), |version| format!(" VERSION {version}"))
}

fn shown(name: Option<&str>, version: Option<u64>, sql: bool) -> String {
    let Some(name) = name else {
        return "SELECT name, version, created_at, source, rows_in, rows_out, elapsed_ms \
                FROM system.pipelines ORDER BY name, version"
            .to_owned();
    };
    let columns = if sql { "transform" } else { "*" };
    let version = version.map_or(String::new(), |version| format!(" AND version = {version}"));
    let name = literal(name);
    format!(
        "SELECT {columns} FROM system.pipelines WHERE name = {name}{version} ORDER BY version DESC LIMIT 1"
    )
}

async fn statement(sql: &str, access: AccessArgs, interrupts: Interrupts) -> Result<(), Error> {
    show(sql, false, access, interrupts).await
}

/// Runs a statement and prints its rows; a `bare` one has a single text, which is printed as it is.
async fn show(sql: &str, bare: bool, access: AccessArgs, mut interrupts: Interrupts) -> Result<(), Error> {
    let (access_args, configured) = access.resolve()?;
    let access = Access::open(&access_args, 1, &mut interrupts).await?;
    let outcome = if bare {
        print_text(&access, sql, &mut interrupts).await
    } else {
        let settings = Settings {
            format: configured.unwrap_or(Format::Table),
            expanded: false,
            timing: false,
            notes: true,
        };
        let mut session = Session::new(access.connection.clone(), interrupts, settings, Sink::stdout());
        session.run_statement(sql).await.map(drop)
    };
    access.close().await;
    outcome
}

/// Runs a pipeline, prints what it did, and writes the page, which is the last row of the answer, into a file.
async fn run_with_page(
    sql: &str,
    file: &Path,
    access: AccessArgs,
    mut interrupts: Interrupts,
) -> Result<(), Error> {
    // A place that cannot be written is told before anything is done.
    let mut sink = Sink::file(file)?;
    let (access_args, configured) = access.resolve()?;
    let access = Access::open(&access_args, 1, &mut interrupts).await?;
    let answer = look(&access.connection, &format!("{sql} WITH REPORT"), &mut interrupts).await;
    access.close().await;
    let (lines, page) = take_page(answer?)?;
    print(&lines, configured.unwrap_or(Format::Table), false)?;
    sink.write_text(&page)?;
    sink.close()
}

fn take_page(mut batches: Vec<RecordBatch>) -> Result<(Vec<RecordBatch>, String), Error> {
    let missing = || Error::Protocol("the answer has no page".to_owned());
    let at = batches.iter().rposition(|batch| batch.num_rows() > 0);
    let last = at.and_then(|at| batches.get_mut(at)).ok_or_else(missing)?;
    let row = last.num_rows() - 1;
    let cell = |name: &str| {
        let texts = last.column_by_name(name)?.as_string_opt::<i32>()?;
        Some(texts.value(row).to_owned())
    };
    match (cell("what").as_deref(), cell("value")) {
        (Some("html"), Some(page)) => {
            *last = last.slice(0, row);
            Ok((batches, page))
        }
        _ => Err(missing()),
    }
}

async fn print_text(access: &Access, sql: &str, interrupts: &mut Interrupts) -> Result<(), Error> {
    let batches = look(&access.connection, sql, interrupts).await?;
    let texts = batches.iter().flat_map(|batch| batch.columns());
    let mut found = false;
    for texts in texts.filter_map(|column| column.as_string_opt::<i32>()) {
        for text in texts.iter().flatten() {
            found = true;
            writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(|source| Error::Output {
                target: "standard output".to_owned(),
                source,
            })?;
        }
    }
    match found {
        true => Ok(()),
        false => Err(Error::Statement("there is no such pipeline".to_owned())),
    }
}

/// A name for a pipeline: that of a table or file, in letters, digits and underscores.
fn name_of(source: &str) -> String {
    let last = source.rsplit(['/', '\\']).next().unwrap_or(source);
    let stem = match last.rsplit_once('.') {
        Some((stem, ending)) if is_file_like(source) && !ending.is_empty() => stem,
        _ => last,
    };
    let word = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    stem.chars().map(word).collect()
}

fn is_file_like(source: &str) -> bool {
    Path::new(source).exists() || source.contains("://") || source.contains('/')
}

/// The part of a pipeline about its source. What stands between the values of a file on this machine is found out.
fn source_of(source: &str) -> Result<String, Error> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    if !is_file_like(source) {
        return Ok(format!("table: {}", quoted(source)));
    }
    let lines = format!("file: {}", quoted(source));
    let ending = source.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    if !Path::new(source).is_file() || !matches!(ending.as_str(), "csv" | "tsv" | "txt") {
        return Ok(lines);
    }
    let delimiter = delimiter_of(Path::new(source))?;
    let format = if ending == "txt" { "\nformat: csv" } else { "" };
    Ok(match delimiter {
        ',' => format!("{lines}{format}"),
        other => format!(
            "{lines}{format}\noptions: {{delimiter: {}}}",
            quoted(&other.to_string())
        ),
    })
}

/// Of the usual ones, that which the first line has most often.
fn delimiter_of(file: &Path) -> Result<char, Error> {
    let wrong = |source| Error::Input {
        path: file.display().to_string(),
        source,
    };
    let mut first = Vec::new();
    let mut reader = std::io::BufReader::new(std::fs::File::open(file).map_err(wrong)?);
    std::io::BufRead::read_until(&mut reader, b'\n', &mut first).map_err(wrong)?;
    let first = String::from_utf8_lossy(&first);
    let count = |delimiter: &char| first.matches(*delimiter).count();
    // Of several, the first that is named here.
    let best = [',', '\t', ';', '|'].into_iter().rev().max_by_key(count);
    Ok(best.filter(|best| count(best) > 0).unwrap_or(','))
}
