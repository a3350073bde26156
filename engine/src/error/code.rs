//! What every error answers besides its text: which code, whose fault, and whether to try again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A stable number of a kind of error, shown as `MP0042`. A number is never given to another kind.
///
/// The constants and their pages are in one list, `pages.rs`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub(super) u16);

impl Code {
    /// The number without its prefix.
    pub fn number(self) -> u16 {
        self.0
    }

    /// Finds the last code written as `[MPnnnn]` in a text, such as the message a server sent.
    pub fn parse_in(text: &str) -> Option<Self> {
        text.rmatch_indices("[MP").find_map(|(at, _)| {
            let digits = text.get(at + 3..at + 7)?;
            let closed = text[at + 7..].starts_with(']');
            (closed && digits.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| digits.parse().ok().map(Code))
                .flatten()
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MP{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Whose error it is, and so who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The statement, the settings or the rights of the caller.
    User,
    /// Something outside the cluster: a file, an object store, a network.
    External,
    /// A mistake in Millpond.
    Bug,
    /// A limit of the cluster: memory, disk, queue, time.
    Resource,
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::User => "the caller",
            Self::External => "outside the cluster",
            Self::Bug => "Millpond",
            Self::Resource => "a limit of the cluster",
        })
    }
}

/// Whether the same request can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It fails the same way every time.
    Never,
    /// It may succeed later.
    Retry,
    /// It may succeed on another executor or scheduler.
    RetryElsewhere,
}

impl fmt::Display for Retry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Never => "no",
            Self::Retry => "yes",
            Self::RetryElsewhere => "yes, on another node",
        })
    }
}

/// The page of one code in `docs/errors.md`.
#[derive(Debug, Clone, Copy)]
pub struct CodePage {
    /// The code.
    pub code: Code,
    /// A few words that name the kind of error.
    pub title: &'static str,
    /// What happened.
    pub happened: &'static str,
    /// Why it happens.
    pub why: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// Whose error it usually is.
    pub class: Class,
    /// Whether trying again usually helps.
    pub retry: Retry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_in_a_longer_text() {
        assert_eq!(
            Code::parse_in("no table named 't' [MP0002]\nhint: look"),
            Some(Code::UNKNOWN_RELATION)
        );
        assert_eq!(Code::parse_in("outer [MP0001]: inner [MP0002]"), Some(Code(2)));
        for text in [
            "",
            "[MP12]",
            "[MP001",
            "[MPabcd]",
            "MP0001",
            "[MP00011]",
            "[MPé123]",
        ] {
            assert_eq!(Code::parse_in(text), None, "{text}");
        }
    }

    #[test]
    fn code_is_shown_with_four_digits() {
        assert_eq!(Code(42).to_string(), "MP0042");
    }
}
