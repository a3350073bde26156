//! What is known about a key before anybody sets it.

use std::fmt;

use super::keys::Values;

/// One configuration key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Name, such as `executor.memory_limit`.
    pub name: &'static str,
    /// Form of its value.
    pub kind: Kind,
    /// Value if nobody sets it, in the form of a configuration file.
    pub default: &'static str,
    /// Who reads it.
    pub scope: Scope,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// A second, shorter variable that sets it, such as `MILLPOND_URL`.
    pub short_variable: Option<&'static str>,
    /// What it does, with its unit and the meaning of an empty or zero value.
    pub description: &'static str,
}

impl Key {
    /// The environment variable that sets this key: `executor.vcores` is `MILLPOND_EXECUTOR_VCORES`.
    pub fn variable(&self) -> String {
        format!("MILLPOND_{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// A key together with the type of its value; the constants are in [`super::keys`].
pub struct TypedKey<T: 'static> {
    /// What is known about the key.
    pub key: Key,
    pub(super) read: fn(&Values) -> &T,
}

impl<T> Clone for TypedKey<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for TypedKey<T> {}

impl<T> fmt::Debug for TypedKey<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(formatter)
    }
}

/// Who reads a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A scheduler or an executor, when it starts.
    Node,
    /// A session; set with `SET`, not in a file.
    Session,
    /// The `millpond` commands that connect to a cluster.
    Client,
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Node => "node",
            Self::Session => "session",
            Self::Client => "client",
        })
    }
}

/// The form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Path of the local file system.
    Path,
    /// True or false.
    Flag,
    /// Whole number, not negative.
    Integer,
    /// Port number.
    Port,
    /// Number above 0 and up to 1.
    Fraction,
    /// Number of bytes.
    Bytes,
    /// Time span.
    Duration,
    /// Host and port.
    Address,
    /// Several texts.
    List,
    /// URL.
    Url,
    /// One of a few words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// One word for the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Path => "path",
            Self::Flag => "flag",
            Self::Integer => "integer",
            Self::Port => "port",
            Self::Fraction => "fraction",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::Address => "address",
            Self::List => "list",
            Self::Url => "url",
            Self::Choice(_) => "choice",
        }
    }

    /// The form that is expected, with an example, to follow "must be".
    pub fn expected(self) -> String {
        match self {
            Self::Text => "a text",
            Self::Path => "a path",
            Self::Flag => "true or false",
            Self::Integer => "a whole number of 0 or more",
            Self::Port => "a port from 0 to 65535",
            Self::Fraction => "a number above 0 and up to 1, such as 0.7",
            Self::Bytes => "a size such as 512MiB or 2GB",
            Self::Duration => "a duration with a unit, such as 500ms, 30s, 5min or 1h30min",
            Self::Address => "an address of the form host:port",
            Self::List => "an array of texts, or texts with commas between them",
            Self::Url => "a URL such as file:///var/lib/millpond or s3://bucket/path",
            Self::Choice(words) => return format!("one of {}", words.join(", ")),
        }
        .to_owned()
    }
}
