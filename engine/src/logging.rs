//! Log lines of a process: structured events of `tracing`, to the standard error output.
//!
//! Events come from our crates and from the libraries below. [`init`] sends them to one place once per process;
//! libraries that log every task at `info` are held at `warn` unless the level names them.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::LogFormat;
use crate::error::{Code, Error};

/// Levels of libraries whose `info` is of no use to who runs a cluster.
const QUIET: &str = "ballista_core=warn,ballista_executor=warn,ballista_scheduler=warn,datafusion=warn,\
                     datafusion_datasource=warn,datafusion_optimizer=warn,h2=warn,hyper=warn,hyper_util=warn,\
                     object_store=warn,reqwest=warn,rustls=warn,sqlparser=warn,tonic=warn,tower=warn";

/// Starts logging for this process. A second call checks the level and changes nothing else.
///
/// `level` is the value of `log.level`: a level for everything, and levels for parts of the program, such as
/// `info,millpond_scheduler=debug`. Colour is used for people only: on a terminal, without `NO_COLOR`.
///
/// # Errors
/// `INVALID_SETTING` if the level cannot be read.
pub fn init(format: LogFormat, level: &str) -> Result<(), Error> {
    let filter = filter(level).map_err(|error| {
        Error::user(Code::INVALID_SETTING, format!("log.level cannot be '{level}'"))
            .with_hint(
                "use error, warn, info, debug or trace, and exceptions such as info,millpond_scheduler=debug",
            )
            .with_source(error)
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // A process has one logger. Who comes second (a test, an embedded cluster) logs to the first.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(colour()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// The level of everything first, then the quiet libraries, then what the level says about parts, which wins.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    let (parts, everything): (Vec<&str>, Vec<&str>) = level
        .split(',')
        .map(str::trim)
        .filter(|directive| !directive.is_empty())
        .partition(|directive| directive.contains(['=', '[']) || directive.contains("::"));
    let everything = if everything.is_empty() {
        vec!["info"]
    } else {
        everything
    };
    for word in &everything {
        word.parse::<tracing_subscriber::filter::LevelFilter>()
            .map_err(ParseError::from)?;
    }
    EnvFilter::builder().parse(format!("{},{QUIET},{}", everything.join(","), parts.join(",")))
}

fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quiet_unless_named() {
        let shown = filter("debug").unwrap().to_string();
        assert!(
            shown.contains("ballista_scheduler=warn") && shown.contains("debug"),
            "{shown}"
        );
        let shown = filter("info,ballista_scheduler=trace,millpond_engine=debug")
            .unwrap()
            .to_string();
        assert!(
            shown.contains("ballista_scheduler=trace") && !shown.contains("ballista_scheduler=warn"),
            "{shown}"
        );
    }

    #[test]
    fn wrong_levels_are_refused() {
        for level in ["loud", "info,millpond_engine=loud"] {
            let error = init(LogFormat::Text, level).unwrap_err();
            assert_eq!(error.code, Code::INVALID_SETTING, "{level}");
        }
    }

    #[test]
    fn second_start_is_harmless() {
        init(LogFormat::Json, "warn").unwrap();
        init(LogFormat::Text, "").unwrap();
    }
}
