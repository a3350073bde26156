//! What can go wrong, and what to do about it.

use std::fmt;

/// Whose error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// An option or a column of the model is wrong.
    Option,
    /// The model cannot be learned from these rows.
    Data,
    /// Bytes of a state are damaged or of another version, or states of different shapes meet.
    State,
}

/// A model cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Whose error it is.
    pub kind: ErrorKind,
    /// What is wrong.
    pub what: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Error {
    pub(crate) fn option(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Option, what)
    }

    pub(crate) fn data(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, what)
    }

    pub(crate) fn state(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::State, what)
    }

    fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            hint: String::new(),
        }
    }

    /// With what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.hint.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", self.hint),
        }
    }
}

impl std::error::Error for Error {}
