//! `millpond sql`: the shell, or statements from the command line, a file or a pipe.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::access::{Access, AccessArgs};
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::output::{Format, Sink};
use crate::session::{Flow, Session, Settings};
use crate::{shell, terminal};

/// Flags of `millpond sql`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Run these statements; may be given several times
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    commands: Vec<String>,
    /// Run the statements of a file, after those of -c; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How rows are written; without it the end of the name of -o decides, else table
    #[arg(long, value_enum, env = "MILLPOND_CLIENT_FORMAT", value_name = "FORMAT")]
    format: Option<Format>,
    /// Write rows into a file, which appears when it is complete
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Executors of the command's own cluster; the first runs in this process
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    executors: u16,
    #[command(flatten)]
    access: AccessArgs,
}

impl Args {
    fn sink(&self) -> Result<Sink, Error> {
        self.output
            .as_deref()
            .map_or_else(|| Ok(Sink::stdout()), Sink::file)
    }

    fn format(&self, configured: Option<Format>) -> Format {
        let of_file = || Format::of_file_name(&self.output.as_ref()?.to_string_lossy());
        self.format
            .or_else(of_file)
            .or(configured)
            .unwrap_or(Format::Table)
    }

    /// Whether a person types the statements.
    fn is_interactive(&self) -> bool {
        self.commands.is_empty() && self.file.is_none() && io::stdin().is_terminal()
    }

    /// What to run, with the name for error messages.
    fn scripts(&self) -> Result<Vec<(String, Option<String>)>, Error> {
        let mut scripts: Vec<_> = self.commands.iter().map(|sql| (sql.clone(), None)).collect();
        match &self.file {
            Some(file) if file.as_os_str() != "-" => {
                let path = file.display().to_string();
                let text = std::fs::read_to_string(file).map_err(|source| Error::Input {
                    path: path.clone(),
                    source,
                })?;
                scripts.push((text, Some(path)));
            }
            Some(_) => scripts.push((standard_input()?, Some("stdin".to_owned()))),
            None if scripts.is_empty() => scripts.push((standard_input()?, Some("stdin".to_owned()))),
            None => {}
        }
        Ok(scripts)
    }
}

/// Runs the command.
///
/// # Errors
/// The first error; in the shell only what ends the shell.
pub async fn run(mut args: Args, mut interrupts: Interrupts) -> Result<(), Error> {
    let interactive = args.is_interactive();
    let scripts = if interactive { Vec::new() } else { args.scripts()? };
    let (access, configured) = args.access.resolve()?;
    args.access = access;
    let settings = Settings {
        format: args.format(configured),
        expanded: false,
        timing: interactive,
        notes: interactive || (terminal::stderr_is_watched() && io::stdout().is_terminal()),
    };
    let sink = args.sink()?;
    let access = Access::open(&args.access, usize::from(args.executors), &mut interrupts).await?;
    let mut session = Session::new(access.connection.clone(), interrupts, settings, sink);
    let outcome = if interactive {
        shell::run(&mut session).await
    } else {
        run_scripts(&mut session, &scripts).await
    };
    let outcome = outcome.and_then(|()| session.close_sink());
    drop(session);
    access.close().await;
    outcome
}

async fn run_scripts(session: &mut Session, scripts: &[(String, Option<String>)]) -> Result<(), Error> {
    for (text, file) in scripts {
        if session.run_script(text, file.as_deref()).await? == Flow::Quit {
            break;
        }
    }
    Ok(())
}

fn standard_input() -> Result<String, Error> {
    let mut text = String::new();
    match io::stdin().read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(source) => Err(Error::Input {
            path: "standard input".to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    fn format_of(arguments: &[&str], configured: Option<Format>) -> Format {
        let only = Only::parse_from([&["millpond"], arguments].concat());
        only.args.format(configured)
    }

    #[test]
    fn flag_beats_file_name_beats_configuration() {
        assert_eq!(
            format_of(&["--format", "csv", "-o", "a.json"], Some(Format::Tsv)),
            Format::Csv
        );
        assert_eq!(format_of(&["-o", "a.json"], Some(Format::Tsv)), Format::Json);
        assert_eq!(format_of(&["-o", "a.txt"], Some(Format::Tsv)), Format::Tsv);
        assert_eq!(format_of(&[], None), Format::Table);
    }

    #[test]
    fn statements_of_the_command_line_come_before_those_of_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "select 2").unwrap();
        let path = file.path().display().to_string();
        let only = Only::parse_from(["millpond", "-f", &path, "-c", "select 1"]);
        assert_eq!(
            only.args.scripts().unwrap(),
            [("select 1".to_owned(), None), ("select 2".to_owned(), Some(path))]
        );
    }

    #[test]
    fn missing_file_is_a_usage_error() {
        let only = Only::parse_from(["millpond", "-f", "/nowhere.sql"]);
        assert_eq!(only.args.scripts().unwrap_err().exit(), crate::exit::Exit::Usage);
    }
}
