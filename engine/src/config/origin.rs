//! Where a value came from, and how it is shown.

use std::fmt;
use std::path::PathBuf;

use super::key::Key;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A profile of the configuration file.
    Profile {
        /// Name of the profile.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// An environment variable.
    Variable(String),
    /// The command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(file) => write!(formatter, "{}", file.display()),
            Self::Profile { name, file } => write!(formatter, "profile {name} of {}", file.display()),
            Self::Variable(name) => formatter.write_str(name),
            Self::CommandLine => formatter.write_str("command line"),
        }
    }
}

/// A key with its value in force, for people.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What is known about the key.
    pub key: &'static Key,
    /// The value as it was written; `***` for a secret that is set.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// What stands for a secret wherever a value is shown.
pub(super) const REDACTED: &str = "***";
