//! Where the configuration of a process is read from.

use std::path::PathBuf;

use clap::Args;
use millpond_engine::config::{Config, Sources, process_environment};

use crate::error::Error;

/// Flags that every command with a configuration has.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Configuration file; without it MILLPOND_CONFIG, else millpond.toml of the working directory, if it is there
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
    /// Profile of the configuration file; without it MILLPOND_PROFILE
    #[arg(long, value_name = "NAME", help_heading = "Configuration")]
    pub profile: Option<String>,
    /// Set a configuration key; `millpond config show` lists them
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value, help_heading = "Configuration")]
    pub set: Vec<(String, String)>,
}

impl ConfigArgs {
    /// Reads the configuration. `flags` are keys that flags of their own set; they are as strong as `--set`.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the key, or the nearest one if there is no such key.
    pub fn load(&self, flags: Vec<(&str, String)>) -> Result<Config, Error> {
        let flags = flags.into_iter().map(|(key, value)| (key.to_owned(), value));
        let sources = Sources {
            file: self.config.clone(),
            profile: self.profile.clone(),
            environment: process_environment(),
            overrides: self.set.iter().cloned().chain(flags).collect(),
        };
        Config::load(sources).map_err(|error| Error::Usage(error.user_text()))
    }

    /// The flags again, for a child process.
    pub fn to_flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        if let Some(file) = &self.config {
            flags.extend(["--config".to_owned(), file.display().to_string()]);
        }
        if let Some(profile) = &self.profile {
            flags.extend(["--profile".to_owned(), profile.clone()]);
        }
        flags.extend(
            self.set
                .iter()
                .flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]),
        );
        flags
    }
}

/// A pair with `=` between its parts.
///
/// # Errors
/// It is none, in words for the command line.
pub(crate) fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_may_hold_an_equals_sign() {
        assert_eq!(
            key_and_value("log.level=info,a=debug"),
            Ok(("log.level".into(), "info,a=debug".into()))
        );
        assert!(key_and_value("log.level").is_err());
        assert!(key_and_value("=x").is_err());
    }

    #[test]
    fn unknown_key_is_a_usage_error_that_names_the_nearest() {
        let args = ConfigArgs {
            set: vec![("executor.memorylimit".into(), "1GiB".into())],
            ..Default::default()
        };
        let error = args.load(Vec::new()).unwrap_err();
        assert_eq!(error.exit(), crate::exit::Exit::Usage);
        assert!(error.to_string().contains("executor.memory_limit"), "{error}");
    }

    #[test]
    fn child_gets_the_same_flags() {
        let args = ConfigArgs {
            config: Some("a.toml".into()),
            profile: Some("p".into()),
            set: vec![("log.level".into(), "warn".into())],
        };
        assert_eq!(
            args.to_flags(),
            ["--config", "a.toml", "--profile", "p", "--set", "log.level=warn"]
        );
    }
}
