//! The schemas that messages were written with, by the numbers or GUIDs in front of them.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::rejected::{Reason, Rejected};

/// What a registry calls a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaId {
    /// In its context.
    Number(u32),
    /// Everywhere.
    Guid(Uuid),
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Guid(guid) => guid.hyphenated().fmt(f),
        }
    }
}

/// Finds schemas by what a schema registry calls them.
pub trait Schemas: fmt::Debug + Send + Sync {
    /// A schema.
    ///
    /// # Errors
    /// There is none, or nobody can say so now.
    fn find(&self, id: SchemaId) -> Result<Arc<SchemaText>, NoSchema>;
}

/// A schema as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    /// `AVRO`, `PROTOBUF` or `JSON`.
    pub language: String,
    /// The schema.
    pub text: String,
    /// Schemas that it names, by name; each stands behind those that it names itself.
    pub references: Vec<(String, String)>,
}

impl SchemaText {
    /// An Avro schema that names no other.
    pub fn avro(text: impl Into<String>) -> Self {
        Self {
            language: "AVRO".to_owned(),
            text: text.into(),
            references: Vec::new(),
        }
    }
}

/// Why there is no schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSchema {
    /// The registry has none that it calls so.
    Unknown(String),
    /// It is not known now, and will be later.
    Away(String),
}

impl From<NoSchema> for Rejected {
    fn from(none: NoSchema) -> Self {
        match none {
            NoSchema::Unknown(detail) => Self::new(Reason::UnknownSchema, detail),
            NoSchema::Away(detail) => Self::new(Reason::Registry, detail),
        }
    }
}

/// Knows no schema, where messages are not read but only looked at how they would be.
#[derive(Debug)]
pub(super) struct Nobody;

impl Schemas for Nobody {
    fn find(&self, id: SchemaId) -> Result<Arc<SchemaText>, NoSchema> {
        Err(NoSchema::Away(format!("nobody was asked for schema {id}")))
    }
}
