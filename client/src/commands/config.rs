//! `millpond config`: what the configuration is, and what its keys mean.

use std::fmt::Write as _;
use std::io::Write;

use clap::{Args as ClapArgs, Subcommand};
use millpond_engine::config::{Config, find_key};

use crate::error::Error;
use crate::node::ConfigArgs;

/// Flags of `millpond config`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show every key with its value and where the value comes from
    Show {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Say what a key means
    Explain {
        /// The key, such as executor.memory_limit
        #[arg(value_name = "KEY")]
        key: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Runs the command.
///
/// # Errors
/// [`Error::Usage`] for a configuration that is wrong or a key that does not exist.
pub fn run(args: &Args) -> Result<(), Error> {
    let text = match &args.action {
        Action::Show { config } => show(&config.load(Vec::new())?),
        Action::Explain { key, config } => explain(key, &config.load(Vec::new())?)?,
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|source| Error::Output {
            target: "standard output".to_owned(),
            source,
        })
}

/// One line per key: key, value, origin.
fn show(config: &Config) -> String {
    let rows: Vec<(String, String)> = config
        .shown()
        .map(|shown| {
            (
                format!("{} = {}", shown.key.name, quoted(&shown.value)),
                shown.origin.to_string(),
            )
        })
        .collect();
    let widest = rows
        .iter()
        .map(|(setting, _)| setting.chars().count())
        .max()
        .unwrap_or(0);
    rows.iter().fold(String::new(), |mut text, (setting, origin)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{setting:widest$}  # {origin}");
        text
    })
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn explain(name: &str, config: &Config) -> Result<String, Error> {
    let key = find_key(name).map_err(|error| Error::Usage(error.user_text()))?;
    let shown = config.shown().find(|shown| shown.key.name == key.name);
    let mut lines = vec![
        key.name.to_owned(),
        format!("  {}", key.description),
        format!("  value     {}", key.kind.expected()),
        format!("  default   {}", quoted(key.default)),
        format!("  read by   {}", key.scope),
        format!(
            "  variable  {}",
            key.short_variable.map_or_else(|| key.variable(), str::to_owned)
        ),
    ];
    lines.extend(shown.map(|shown| format!("  now       {} ({})", quoted(&shown.value), shown.origin)));
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_shown_with_its_origin_and_secrets_are_not() {
        let config = Config::of([("auth.token", "hunter2"), ("executor.vcores", "3")]).unwrap();
        let text = show(&config);
        assert_eq!(text.lines().count(), millpond_engine::config::KEYS.len());
        assert!(!text.contains("hunter2"));
        assert!(
            text.lines()
                .any(|line| line.starts_with("executor.vcores = \"3\"") && line.ends_with("# command line"))
        );
    }

    #[test]
    fn explanation_names_variable_and_default() {
        let config = Config::of::<&str, &str>([]).unwrap();
        let text = explain("executor.memory_limit", &config).unwrap();
        assert!(
            text.contains("MILLPOND_EXECUTOR_MEMORY_LIMIT") && text.contains("default   \"0\""),
            "{text}"
        );
        let error = explain("executor.memorylimit", &config).unwrap_err();
        assert!(
            error.to_string().contains("did you mean 'executor.memory_limit'"),
            "{error}"
        );
    }
}
