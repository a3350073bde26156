//! Everything that can end a command early, what the user reads about it, and which exit code it gives.

use std::error::Error as StdError;
use std::io;

use tonic::{Code, Status};

use crate::exit::Exit;
use crate::place::Place;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused the statement or the statement failed. The text is the server's: primary line, detail, hint.
    #[error("{0}")]
    Statement(String),
    /// Nothing answers at the address, or the connection broke.
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// Where the cluster was expected.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The server wants a token, or another one.
    #[error("{0}")]
    NotLetIn(String),
    /// The statement was cancelled, here or by somebody else.
    #[error("{0}")]
    Cancelled(String),
    /// The statement took longer than its limit.
    #[error("{0}")]
    TimedOut(String),
    /// The command line, a file of statements, or a setting is wrong.
    #[error("{0}")]
    Usage(String),
    /// A result could not be written.
    #[error("cannot write {target}: {source}")]
    Output {
        /// File, or `standard output`.
        target: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Input {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server answered something that this client does not understand.
    #[error("unexpected answer of the server: {0}")]
    Protocol(String),
    /// A scheduler or executor of this process could not start or ended. The text has primary line, detail and hint.
    #[error("{0}")]
    Node(String),
    /// A failure with the place in a script where it happened.
    #[error("{place}: {cause}")]
    At {
        /// File and line.
        place: Place,
        /// What happened there.
        #[source]
        cause: Box<Error>,
    },
}

impl Error {
    /// The exit code of a command that ends with this error.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Statement(_) | Self::Output { .. } | Self::Protocol(_) | Self::Node(_) => Exit::Failed,
            Self::Connect { .. } | Self::NotLetIn(_) => Exit::Connect,
            Self::Cancelled(_) => Exit::Cancelled,
            Self::TimedOut(_) => Exit::TimedOut,
            Self::Usage(_) | Self::Input { .. } => Exit::Usage,
            Self::At { cause, .. } => cause.exit(),
        }
    }

    /// Says where in a script it happened. Line numbers in the server's text, which count from the start of the
    /// statement, become line numbers of the script.
    pub fn at(self, place: &Place) -> Self {
        let cause = match self {
            Self::Statement(text) => Self::Statement(place.move_lines(&text)),
            other => other,
        };
        Self::At {
            place: place.clone(),
            cause: Box::new(cause),
        }
    }

    /// Whether the reader of our output went away, as `head` does. Nobody needs to be told.
    pub fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Output { source, .. } => source.kind() == io::ErrorKind::BrokenPipe,
            Self::At { cause, .. } => cause.is_broken_pipe(),
            _ => false,
        }
    }

    /// Reads what a server, or the connection to it, said.
    pub fn from_status(status: &Status, url: &str) -> Self {
        let text = status.message().to_owned();
        match status.code() {
            // A broken connection comes with many codes, but only it has a cause on this side of the wire.
            _ if status.source().is_some() => Self::lost(status, url),
            Code::Unavailable if !names_a_code(&text) => Self::lost(status, url),
            Code::Unauthenticated | Code::PermissionDenied => Self::NotLetIn(text),
            Code::Cancelled => Self::Cancelled(text),
            Code::DeadlineExceeded => Self::TimedOut(text),
            Code::Unimplemented => Self::Protocol(format!("{url} does not know this request: {text}")),
            _ => Self::Statement(text),
        }
    }

    fn lost(status: &Status, url: &str) -> Self {
        let causes = std::iter::successors(status.source(), |cause| (**cause).source());
        let reason = causes
            .last()
            .map_or_else(|| status.message().to_owned(), ToString::to_string);
        Self::Connect {
            url: url.to_owned(),
            reason: match tls_hint(&reason) {
                Some(hint) => format!("{reason}\nhint: {hint}"),
                None => reason,
            },
        }
    }
}

/// What to do about a failure that comes from one side speaking TLS and the other not, or from a strange certificate.
fn tls_hint(reason: &str) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&["UnknownIssuer", "BadSignature", "self-signed"]) {
        Some("name the certificate of the authority with --tls-ca")
    } else if says(&["InvalidContentType", "broken pipe", "frame with invalid size"]) {
        Some("does the cluster use TLS? grpc:// is without it, grpc+tls:// with it")
    } else {
        None
    }
}

/// Whether a text carries a code of Millpond, `[MP0042]`: then a server wrote it, not a library on the way.
fn names_a_code(text: &str) -> bool {
    text.match_indices("[MP").any(|(at, _)| {
        let rest = text.as_bytes().get(at + 3..at + 8);
        rest.is_some_and(|rest| rest[..4].iter().all(u8::is_ascii_digit) && rest[4] == b']')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(status: &Status) -> Exit {
        Error::from_status(status, "grpc://x:1").exit()
    }

    #[test]
    fn status_of_the_server_decides_the_exit_code() {
        assert_eq!(
            exit_of(&Status::invalid_argument("no table named t [MP0002]")),
            Exit::Failed
        );
        assert_eq!(exit_of(&Status::internal("x")), Exit::Failed);
        assert_eq!(
            exit_of(&Status::unauthenticated("token is missing [MP0050]")),
            Exit::Connect
        );
        assert_eq!(exit_of(&Status::permission_denied("no")), Exit::Connect);
        assert_eq!(exit_of(&Status::cancelled("cancelled [MP0040]")), Exit::Cancelled);
        assert_eq!(
            exit_of(&Status::deadline_exceeded("too long [MP0041]")),
            Exit::TimedOut
        );
    }

    #[test]
    fn unavailable_is_the_network_unless_a_server_wrote_it() {
        assert_eq!(exit_of(&Status::unavailable("tcp connect error")), Exit::Connect);
        assert_eq!(
            exit_of(&Status::unavailable("the queue is full [MP0042]\nhint: wait")),
            Exit::Failed
        );
    }

    #[test]
    fn broken_connection_names_the_address_and_the_last_cause() {
        let cause = io::Error::other("connection reset by peer");
        let error = Error::from_status(&Status::from_error(Box::new(cause)), "grpc://x:1");
        assert_eq!(
            error.to_string(),
            "cannot connect to grpc://x:1: connection reset by peer"
        );
        assert_eq!(error.exit(), Exit::Connect);
    }

    #[test]
    fn place_keeps_the_exit_code() {
        let error = Error::Cancelled("cancelled".into()).at(&Place::new("a.sql", 3));
        assert_eq!(error.exit(), Exit::Cancelled);
        assert_eq!(error.to_string(), "a.sql:3: cancelled");
    }

    #[test]
    fn reader_that_went_away_is_recognised_behind_a_place() {
        let error = Error::Output {
            target: "standard output".into(),
            source: io::Error::from(io::ErrorKind::BrokenPipe),
        };
        assert!(error.at(&Place::new("a.sql", 1)).is_broken_pipe());
        assert!(!Error::Usage("x".into()).is_broken_pipe());
    }
}
