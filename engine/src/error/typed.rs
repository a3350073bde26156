//! The error itself.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use serde::{Deserialize, Serialize};

use super::code::{Class, Code, Retry};
use super::pages::page_of;
use super::position::Position;

/// A failure with everything a person or a program needs to act on it.
///
/// `Display` gives the primary line with the code; [`Error::user_text`] adds detail and hint. `Debug` gives the
/// whole error in one line of JSON, because Ballista reports a failed task in that form and
/// [`Error::from_text`] must be able to read it back. The source is for logs and does not travel.
#[derive(Clone)]
pub struct Error {
    /// The kind of error.
    pub code: Code,
    /// The primary line: what went wrong, in lower case, without a full stop.
    pub message: String,
    /// More about this one case, one or more lines.
    pub detail: Option<String>,
    /// What the reader can do next.
    pub hint: Option<String>,
    /// Where in the SQL text it went wrong, if that is known.
    pub position: Option<Position>,
    /// Whose error it is.
    pub class: Class,
    /// Whether trying again can help.
    pub retry: Retry,
    pub(super) source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error of a code, with the class and the retry advice of the code's page.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let (class, retry) =
            page_of(code).map_or((Class::Bug, Retry::Never), |page| (page.class, page.retry));
        Self {
            code,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            class,
            retry,
            source: None,
        }
    }

    /// Makes an error that the caller can put right.
    pub fn user(code: Code, message: impl Into<String>) -> Self {
        Self {
            class: Class::User,
            ..Self::new(code, message)
        }
    }

    /// Makes an error of something outside the cluster.
    pub fn external(code: Code, message: impl Into<String>) -> Self {
        Self {
            class: Class::External,
            ..Self::new(code, message)
        }
    }

    /// Makes an error about a limit of the cluster.
    pub fn resource(code: Code, message: impl Into<String>) -> Self {
        Self {
            class: Class::Resource,
            ..Self::new(code, message)
        }
    }

    /// Makes an error about a state that should be impossible.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Code::INTERNAL, message)
    }

    /// Adds lines about this one case.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what the reader can do next.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets whether trying again can help.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Keeps the cause for the log.
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Sets where in the SQL text it went wrong.
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// Puts the line of the statement and a caret under the wrong place before the detail, if the place is known.
    pub fn with_sql(mut self, sql: &str) -> Self {
        if let Some(shown) = self.position.and_then(|position| position.point_into(sql)) {
            self.detail = Some(match self.detail.take() {
                Some(detail) => format!("{shown}\n{detail}"),
                None => shown,
            });
            self.position = None;
        }
        self
    }

    /// Everything a user should read: the primary line, then detail and hint where there are any.
    pub fn user_text(&self) -> String {
        let mut text = self.to_string();
        if let Some(detail) = &self.detail {
            text.push('\n');
            text.push_str(detail);
        }
        if let Some(hint) = &self.hint {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }

    /// [`Self::user_text`] in at most `bytes_max` bytes, if need be with the middle of message and detail left out.
    /// A gRPC status travels in a header, which has a limit.
    pub fn user_text_within(&self, bytes_max: usize) -> String {
        let text = self.user_text();
        if text.len() <= bytes_max {
            return text;
        }
        let mut short = self.clone();
        short.message = cut(&self.message, bytes_max / 4);
        short.detail = self.detail.as_deref().map(|detail| cut(detail, bytes_max / 2));
        short.user_text()
    }
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_string();
    }
    let start = text.floor_char_boundary(bytes_max * 3 / 4);
    let end = text.ceil_char_boundary(text.len() - bytes_max / 4);
    format!("{} ... {}", &text[..start], &text[end..])
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} [{}]", self.message, self.code)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::to_string(&OnTheWire::from(self)) {
            Ok(json) => formatter.write_str(&json),
            Err(_) => fmt::Display::fmt(self, formatter),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

/// How an error is written into `Debug`. The code comes first; [`OnTheWire::START`] finds it in a longer text.
#[derive(Serialize, Deserialize)]
pub(super) struct OnTheWire {
    millpond_error: u16,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<Position>,
    class: Class,
    retry: Retry,
}

impl OnTheWire {
    /// How the text of every error starts.
    pub(super) const START: &str = "{\"millpond_error\":";
}

impl From<&Error> for OnTheWire {
    fn from(error: &Error) -> Self {
        Self {
            millpond_error: error.code.number(),
            message: error.message.clone(),
            detail: error.detail.clone(),
            hint: error.hint.clone(),
            position: error.position,
            class: error.class,
            retry: error.retry,
        }
    }
}

impl From<OnTheWire> for Error {
    fn from(wire: OnTheWire) -> Self {
        Self {
            code: Code(wire.millpond_error),
            message: wire.message,
            detail: wire.detail,
            hint: wire.hint,
            position: wire.position,
            class: wire.class,
            retry: wire.retry,
            source: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_text_has_primary_detail_and_hint_in_this_order() {
        let error = Error::new(Code::MEMORY_LIMIT, "out of memory")
            .with_detail("the sort")
            .with_hint("raise it");
        assert_eq!(
            error.user_text(),
            "out of memory [MP0020]\nthe sort\nhint: raise it"
        );
        assert_eq!(
            Error::new(Code::CANCELLED, "cancelled").user_text(),
            "cancelled [MP0040]"
        );
    }

    #[test]
    fn class_and_retry_come_from_the_page_of_the_code() {
        let error = Error::new(Code::EXECUTOR_LOST, "gone");
        assert_eq!(
            (error.class, error.retry),
            (Class::Resource, Retry::RetryElsewhere)
        );
        assert_eq!(
            Error::external(Code::EXECUTOR_LOST, "gone").class,
            Class::External
        );
    }

    #[test]
    fn caret_stands_under_the_wrong_place() {
        let error = Error::user(Code::SYNTAX, "expected an expression")
            .at(Position { line: 2, column: 5 })
            .with_detail("found: EOF");
        assert_eq!(
            error.with_sql("select a,\nfromm t").user_text(),
            "expected an expression [MP0001]\nline 2: fromm t\n            ^\nfound: EOF"
        );
    }

    #[test]
    fn source_is_kept_for_the_log() {
        let error = Error::external(Code::FILE_UNREADABLE, "cannot read it")
            .with_source(std::io::Error::other("eof"));
        assert_eq!(error.source().map(ToString::to_string), Some("eof".to_owned()));
    }
}
