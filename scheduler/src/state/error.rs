//! What can go wrong with the durable catalog.

use std::path::PathBuf;
use std::sync::Arc;

use millpond_engine::error::{Class, Code, Error as UserError, Retry};
use millpond_proto::catalog::FORMAT;

/// A failure of the state store or of a change to the catalog.
///
/// It can be cloned, because one failed write is the answer to everybody who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The place of the state cannot be used.
    #[error("cannot keep state in {location}: {reason}")]
    Location {
        /// URL or path as it was given.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The object store answered with an error.
    #[error("{operation} {object} of the state store")]
    Storage {
        /// What was tried: `read`, `write`, `list` or `delete`.
        operation: &'static str,
        /// Path within the state store.
        object: String,
        /// What the store said.
        #[source]
        cause: Arc<object_store::Error>,
    },
    /// A local file could not be read or written.
    #[error("{operation} {}", .path.display())]
    File {
        /// What was tried: `read` or `write`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: Arc<std::io::Error>,
    },
    /// The object store did not answer.
    #[error("{operation} {object} of the state store: no answer after {waited_s} s")]
    Timeout {
        /// What was tried: `read`, `write`, `list` or `delete`.
        operation: &'static str,
        /// Path within the state store.
        object: String,
        /// Seconds that were waited.
        waited_s: u64,
    },
    /// An object is not what was written.
    #[error("{object} is damaged: {reason}")]
    Damaged {
        /// Path within the state store, or of a backup.
        object: String,
        /// What does not fit.
        reason: String,
    },
    /// An object that later ones build on is not there.
    #[error("{object} is missing from the state store, although later versions exist")]
    Missing {
        /// Path within the state store.
        object: String,
    },
    /// An object was written by a newer version of Millpond.
    #[error("{object} has format {format} of millpond {written_by}, this version reads up to {supported}", supported = FORMAT)]
    TooNew {
        /// Path within the state store, or of a backup.
        object: String,
        /// Its format.
        format: u32,
        /// Version of Millpond that wrote it, and can read it.
        written_by: String,
    },
    /// A change of a kind that this version does not know.
    #[error("version {version} of the catalog holds a change that this version of millpond does not know")]
    UnknownChange {
        /// Version of the catalog that would have it.
        version: u64,
    },
    /// Another scheduler writes to this state; this one must stop.
    #[error("another scheduler has taken over the catalog{}", name_of(.by))]
    LeaseLost {
        /// Its writer id, if that is known.
        by: Option<String>,
    },
    /// It is not known whether the change was written. It may still take effect.
    #[error("version {version} of the catalog is not confirmed, it may still take effect")]
    Unconfirmed {
        /// The version that the change would have.
        version: u64,
        /// The last failure.
        #[source]
        cause: Box<Error>,
    },
    /// A schema of that name exists.
    #[error("schema '{schema}' exists already")]
    SchemaExists {
        /// The name.
        schema: String,
    },
    /// No schema of that name exists.
    #[error("there is no schema '{schema}'")]
    UnknownSchema {
        /// The name.
        schema: String,
    },
    /// A schema that must be empty is not.
    #[error("schema '{schema}' holds {relations} tables or views")]
    SchemaNotEmpty {
        /// The name.
        schema: String,
        /// How many there are.
        relations: usize,
    },
    /// A table or view of that name exists.
    #[error("table or view '{schema}.{name}' exists already")]
    RelationExists {
        /// Schema of the name.
        schema: String,
        /// The name.
        name: String,
    },
    /// No table or view of that name exists.
    #[error("there is no table or view '{schema}.{name}'")]
    UnknownRelation {
        /// Schema of the name.
        schema: String,
        /// The name.
        name: String,
    },
    /// No pipeline of that name exists.
    #[error("there is no pipeline '{name}'")]
    UnknownPipeline {
        /// The name.
        name: String,
    },
    /// No model of that name exists, or not in that version.
    #[error("there is no model '{name}', or not in that version")]
    UnknownModel {
        /// The name.
        name: String,
    },
    /// Somebody else has changed rows that this write wanted to replace.
    #[error("table '{schema}.{name}' was changed by another statement")]
    WriteConflict {
        /// Schema of the table.
        schema: String,
        /// Its name.
        name: String,
    },
    /// A restore would replace what is there.
    #[error("the state store holds {objects} objects already")]
    NotEmpty {
        /// How many objects.
        objects: usize,
    },
    /// There is nothing to back up.
    #[error("the state store is empty")]
    Empty,
    /// The task that writes the log has ended.
    #[error("the catalog log is closed")]
    Closed,
}

impl Error {
    /// The stable code that a user sees.
    pub fn code(&self) -> Code {
        match self {
            Self::Location { .. }
            | Self::Storage { .. }
            | Self::File { .. }
            | Self::Timeout { .. }
            | Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::Unconfirmed { .. } => Code::STATE_UNREADABLE,
            Self::TooNew { .. } | Self::UnknownChange { .. } => Code::STATE_TOO_NEW,
            Self::LeaseLost { .. } => Code::LEASE_LOST,
            Self::SchemaExists { .. } | Self::RelationExists { .. } => Code::RELATION_EXISTS,
            Self::UnknownSchema { .. }
            | Self::UnknownRelation { .. }
            | Self::UnknownPipeline { .. }
            | Self::UnknownModel { .. } => Code::UNKNOWN_RELATION,
            Self::SchemaNotEmpty { .. } => Code::INVALID_STATEMENT,
            Self::WriteConflict { .. } => Code::STATE_CONFLICT,
            Self::NotEmpty { .. } | Self::Empty => Code::STATE_CONFLICT,
            Self::Closed => Code::INTERNAL,
        }
    }

    /// Whose error it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Storage { .. }
            | Self::File { .. }
            | Self::Timeout { .. }
            | Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::TooNew { .. }
            | Self::UnknownChange { .. }
            | Self::Unconfirmed { .. } => Class::External,
            Self::LeaseLost { .. } => Class::Resource,
            Self::Closed => Class::Bug,
            Self::Location { .. }
            | Self::SchemaExists { .. }
            | Self::UnknownSchema { .. }
            | Self::SchemaNotEmpty { .. }
            | Self::RelationExists { .. }
            | Self::UnknownRelation { .. }
            | Self::UnknownPipeline { .. }
            | Self::UnknownModel { .. }
            | Self::WriteConflict { .. }
            | Self::NotEmpty { .. }
            | Self::Empty => Class::User,
        }
    }

    /// Whether the same can succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Storage { .. } | Self::File { .. } | Self::Timeout { .. } | Self::Unconfirmed { .. } => {
                Retry::Retry
            }
            Self::LeaseLost { .. } | Self::Closed => Retry::RetryElsewhere,
            _ => Retry::Never,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Location { .. } => {
                "set state.url to a folder, or to s3://bucket/path with its [[storage.bucket]]".into()
            }
            Self::Damaged { .. } | Self::Missing { .. } => {
                "restore a backup with millpond state restore".into()
            }
            Self::TooNew { written_by, .. } => format!("start millpond {written_by} or newer"),
            Self::UnknownChange { .. } => "start the version of millpond that wrote it".into(),
            Self::LeaseLost { .. } => "only one scheduler may serve a state store; stop one of them".into(),
            Self::Unconfirmed { .. } => {
                "look whether the change is there before you repeat the statement".into()
            }
            Self::SchemaNotEmpty { .. } => "drop them first, or use DROP SCHEMA ... CASCADE".into(),
            Self::NotEmpty { .. } => "stop its scheduler and use --replace to replace what is there".into(),
            Self::Empty => "check state.url".into(),
            _ => return None,
        })
    }

    /// A failed request to the object store.
    pub(super) fn storage(
        operation: &'static str,
        object: impl ToString,
        cause: object_store::Error,
    ) -> Self {
        Self::Storage {
            operation,
            object: object.to_string(),
            cause: Arc::new(cause),
        }
    }

    /// A failed operation on a local file.
    pub(super) fn file(operation: &'static str, path: impl Into<PathBuf>, cause: std::io::Error) -> Self {
        Self::File {
            operation,
            path: path.into(),
            cause: Arc::new(cause),
        }
    }
}

impl From<Error> for UserError {
    fn from(error: Error) -> Self {
        let mut told = Self::new(error.code(), error.to_string()).with_retry(error.retry());
        told.class = error.class();
        if let Some(causes) = causes_of(&error) {
            told = told.with_detail(causes);
        }
        if let Some(hint) = error.hint() {
            told = told.with_hint(hint);
        }
        told.with_source(error)
    }
}

fn name_of(writer: &Option<String>) -> String {
    writer.as_ref().map(|id| format!(": {id}")).unwrap_or_default()
}

/// What led to an error, from near to far, in one line.
fn causes_of(error: &Error) -> Option<String> {
    let first = std::error::Error::source(error);
    let texts: Vec<String> = std::iter::successors(first, |error| error.source())
        .map(ToString::to_string)
        .collect();
    (!texts.is_empty()).then(|| texts.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_which_version_to_start() {
        let error = Error::TooNew {
            object: "catalog/log/v7".into(),
            format: 9,
            written_by: "4.2.0".into(),
        };
        let told = UserError::from(error);
        assert_eq!(told.code, Code::STATE_TOO_NEW);
        let text = told.user_text();
        for part in ["catalog/log/v7", "format 9", "start millpond 4.2.0"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn a_lost_lease_names_the_winner_and_an_unknown_outcome_its_cause() {
        let lost = UserError::from(Error::LeaseLost {
            by: Some("other".into()),
        });
        assert_eq!((lost.code, lost.retry), (Code::LEASE_LOST, Retry::RetryElsewhere));
        assert!(lost.user_text().contains("other"));
        let cause = Error::Timeout {
            operation: "write",
            object: "x".into(),
            waited_s: 20,
        };
        let unconfirmed = UserError::from(Error::Unconfirmed {
            version: 3,
            cause: Box::new(cause),
        });
        assert!(
            unconfirmed.user_text().contains("no answer after 20 s"),
            "{}",
            unconfirmed.user_text()
        );
    }
}
