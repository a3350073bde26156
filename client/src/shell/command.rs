//! Commands of the shell: how they are written and what they mean.

use std::time::Duration;

use clap::ValueEnum;

use crate::error::Error;
use crate::output::Format;

/// What `\?` shows.
pub const HELP: &str = r"\d             tables and views             .tables
\d NAME        columns of a table
\dt            tables
\l             catalogs and schemas
\df [PART]     functions whose name holds PART
.schema [NAME] how tables and views were defined
\x [on|off]    one line per value
\timing [on|off]                            .timer
\watch [SEC]   run the last query again every SEC seconds, until Ctrl-C
\i FILE        run a file
\o [FILE]      write results into a file, or to the screen again
.mode FORMAT   table csv tsv json ndjson arrow parquet markdown
\jobs          statements of the cluster
\lag           topic partitions that tables follow, and how far behind they are
\q             leave                        Ctrl-D
Statements end with a semicolon. Ctrl-C cancels the running one.
";

/// Names of all commands, for completion.
pub(crate) const NAMES: [&str; 18] = [
    "\\d", "\\dt", "\\l", "\\df", "\\x", "\\timing", "\\watch", "\\i", "\\o", "\\jobs", "\\lag", "\\q",
    "\\?", ".tables", ".schema", ".mode", ".timer", "\\dv",
];

/// A command of the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Leave.
    Quit,
    /// List the commands.
    Help,
    /// List tables and views.
    Relations,
    /// List tables.
    Tables,
    /// Show the columns of a table.
    Describe(String),
    /// List schemas.
    Schemas,
    /// List functions whose name holds a text.
    Functions(Option<String>),
    /// Show how a table or view was defined, or all of them.
    Definition(Option<String>),
    /// List statements of the cluster.
    Jobs,
    /// List topic partitions.
    Lag,
    /// One line per value: on, off, or the other way round.
    Expanded(Option<bool>),
    /// Tell times: on, off, or the other way round.
    Timing(Option<bool>),
    /// Choose the format of results, or show it.
    Mode(Option<Format>),
    /// Write results into a file, or to the screen.
    Output(Option<String>),
    /// Run a file.
    Include(String),
    /// Run the last query again and again.
    Watch(Option<Duration>),
}

/// Reads a command, from its backslash or dot on.
///
/// # Errors
/// [`Error::Usage`] for one that does not exist or has the wrong arguments.
pub fn parse(text: &str) -> Result<Command, Error> {
    // psql's users end commands with a semicolon out of habit.
    let text = text.trim().trim_end_matches(';').trim_end();
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let argument = Some(unquoted(rest.trim())).filter(|argument| !argument.is_empty());
    let wrong = |reason: &str| Error::Usage(format!("{name}: {reason}\nhint: \\? lists the commands"));
    let nothing_follows = |command| match &argument {
        Some(_) => Err(wrong("takes no argument")),
        None => Ok(command),
    };
    match name {
        "\\q" | "\\quit" | ".quit" | ".exit" => nothing_follows(Command::Quit),
        "\\?" | "\\h" | ".help" => nothing_follows(Command::Help),
        "\\d" => Ok(argument.map_or(Command::Relations, Command::Describe)),
        "\\dt" | "\\dv" if argument.is_some() => Ok(argument.map_or(Command::Relations, Command::Describe)),
        "\\dt" => Ok(Command::Tables),
        "\\dv" | ".tables" => nothing_follows(Command::Relations),
        "\\l" => nothing_follows(Command::Schemas),
        "\\df" => Ok(Command::Functions(argument)),
        ".schema" => Ok(Command::Definition(argument)),
        "\\jobs" => nothing_follows(Command::Jobs),
        "\\lag" => nothing_follows(Command::Lag),
        "\\x" => Ok(Command::Expanded(
            switch(argument.as_deref()).map_err(|reason| wrong(&reason))?,
        )),
        "\\timing" | ".timer" => Ok(Command::Timing(
            switch(argument.as_deref()).map_err(|reason| wrong(&reason))?,
        )),
        ".mode" => Ok(Command::Mode(
            argument
                .map(|name| format(&name))
                .transpose()
                .map_err(|reason| wrong(&reason))?,
        )),
        "\\o" => Ok(Command::Output(argument)),
        "\\i" => argument
            .map(Command::Include)
            .ok_or_else(|| wrong("the file is missing")),
        "\\watch" => Ok(Command::Watch(
            seconds(argument.as_deref()).map_err(|reason| wrong(&reason))?,
        )),
        _ => Err(Error::Usage(format!(
            "there is no command {name}\nhint: \\? lists the commands"
        ))),
    }
}

/// Takes the quotes from a file name with spaces.
fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    inner.unwrap_or(text).to_owned()
}

fn switch(argument: Option<&str>) -> Result<Option<bool>, String> {
    match argument {
        None => Ok(None),
        Some("on") => Ok(Some(true)),
        Some("off") => Ok(Some(false)),
        Some(other) => Err(format!("'{other}' is neither on nor off")),
    }
}

fn format(name: &str) -> Result<Format, String> {
    Format::from_str(name, true).map_err(|_| {
        let names: Vec<&str> = Format::value_variants()
            .iter()
            .map(|format| format.name())
            .collect();
        format!("'{name}' is none of {}", names.join(", "))
    })
}

fn seconds(argument: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(text) = argument else { return Ok(None) };
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>();
    match number
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    {
        Some(interval) => Ok(Some(interval)),
        None => Err(format!("'{text}' is no number of seconds")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Command) {
        assert_eq!(parse(text).unwrap(), expected, "{text}");
    }

    #[test]
    fn commands_and_their_aliases() {
        check("\\d", Command::Relations);
        check("\\d campaign;", Command::Describe("campaign".into()));
        check("\\dt", Command::Tables);
        check(".tables", Command::Relations);
        check("\\l ", Command::Schemas);
        check("\\df  abs", Command::Functions(Some("abs".into())));
        check(".schema", Command::Definition(None));
        check("\\x", Command::Expanded(None));
        check("\\timing on", Command::Timing(Some(true)));
        check(".timer off", Command::Timing(Some(false)));
        check(".mode CSV", Command::Mode(Some(Format::Csv)));
        check("\\o", Command::Output(None));
        check("\\o 'a b.csv'", Command::Output(Some("a b.csv".into())));
        check("\\i a.sql", Command::Include("a.sql".into()));
        check("\\watch", Command::Watch(None));
        check("\\watch 0.5", Command::Watch(Some(Duration::from_millis(500))));
        check("\\watch 3s", Command::Watch(Some(Duration::from_secs(3))));
        check("\\jobs", Command::Jobs);
        check("\\lag", Command::Lag);
        check("\\?", Command::Help);
        check("\\q", Command::Quit);
    }

    #[test]
    fn wrong_commands_point_to_the_list() {
        for text in [
            "\\nope",
            ".mode xml",
            "\\i",
            "\\x maybe",
            "\\watch soon",
            "\\watch -1",
            "\\q now",
            "\\",
            ".lag",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains("\\?"), "{text}: {error}");
            assert_eq!(error.exit(), crate::exit::Exit::Usage);
        }
    }

    #[test]
    fn every_name_that_is_completed_exists() {
        for name in NAMES {
            let known = parse(name).is_ok() || parse(&format!("{name} x")).is_ok();
            assert!(known, "{name}");
        }
    }
}
