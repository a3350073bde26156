//! Why a message cannot become a row.

use std::fmt;

/// Longest detail, in bytes.
const DETAIL_MAX: usize = 240;
/// Longest piece of a message that a detail quotes, in bytes.
const QUOTE_MAX: usize = 48;

/// A message that cannot become a row. As large as a pointer, for whatever reads a value may answer it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .0.reason, .0.detail)]
pub struct Rejected(Box<Fault>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    reason: Reason,
    detail: String,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The bytes are no JSON.
    NotJson,
    /// The bytes are no UTF-8.
    NotUtf8,
    /// The bytes are no line of CSV with a field for each column.
    NotCsv,
    /// It is JSON, but no object where one must be.
    NotObject,
    /// A value does not fit the type of its column.
    WrongType,
    /// A number or time is beyond what its column can hold.
    OutOfRange,
    /// No row can be named: a column of the primary key has no value.
    MissingKey,
    /// A column that is NOT NULL has no value.
    MissingColumn,
    /// A change that must have a row has none.
    MissingRow,
    /// It is not known what the change does.
    UnknownOperation,
    /// The message has no value.
    NullValue,
    /// It is larger than a message can be, or has more rows.
    TooLarge,
    /// It empties the table, of which only a part is here.
    TruncateOfPart,
    /// The bytes are not what their Avro schema says.
    NotAvro,
    /// The bytes are not what their Protobuf message type says.
    NotProtobuf,
    /// Neither the number of a schema nor its GUID is in front of the bytes.
    NotFramed,
    /// There is no such schema, or it cannot be used.
    UnknownSchema,
    /// The registry of schemas does not answer. It is not the message's fault: it can be pushed again later.
    Registry,
}

impl Reason {
    /// Its name in metrics and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotUtf8 => "not_utf8",
            Self::NotCsv => "not_csv",
            Self::NotObject => "not_object",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::MissingKey => "missing_key",
            Self::MissingColumn => "missing_column",
            Self::MissingRow => "missing_row",
            Self::UnknownOperation => "unknown_operation",
            Self::NullValue => "null_value",
            Self::TooLarge => "too_large",
            Self::TruncateOfPart => "truncate_of_part",
            Self::NotAvro => "not_avro",
            Self::NotProtobuf => "not_protobuf",
            Self::NotFramed => "not_framed",
            Self::UnknownSchema => "unknown_schema",
            Self::Registry => "registry",
        }
    }

    /// True if it is the schema that is wrong, and not the message.
    pub(super) fn is_about_schemas(self) -> bool {
        matches!(self, Self::Registry | Self::UnknownSchema)
    }

    /// True if the message may be good later.
    pub fn passes(self) -> bool {
        self == Self::Registry
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Rejected {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > DETAIL_MAX {
            detail.truncate(boundary(&detail, DETAIL_MAX));
            detail.push('…');
        }
        Self(Box::new(Fault { reason, detail }))
    }

    /// What kind of fault it is.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// Where it is, what was expected and what was found.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }
}

/// A piece of a message, short enough for a detail.
pub(super) fn quote(text: &str) -> String {
    let short = text.get(..boundary(text, QUOTE_MAX)).unwrap_or_default();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

/// The last place up to `at` where a text may be cut.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|place| text.is_char_boundary(*place))
        .unwrap_or(0)
}
