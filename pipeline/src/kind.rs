//! What a column can be used for.

use std::fmt;

/// A kind of values. Steps care for no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers.
    Integer,
    /// Floating point, and decimals.
    Number,
    /// Texts.
    Text,
    /// True or false.
    Boolean,
    /// Days.
    Date,
    /// Points in time.
    Timestamp,
    /// Anything else: lists, structures, bytes.
    Other,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Integer,
        Self::Number,
        Self::Text,
        Self::Boolean,
        Self::Date,
        Self::Timestamp,
        Self::Other,
    ];

    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_string() == name)
    }

    /// Of a type as Arrow writes it, such as `Int64` or `Timestamp(Microsecond, None)`.
    pub fn of_arrow(data_type: &str) -> Self {
        let name = data_type.split('(').next().unwrap_or_default();
        match name {
            "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" | "UInt64" => Self::Integer,
            "Float16" | "Float32" | "Float64" | "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => {
                Self::Number
            }
            "Utf8" | "LargeUtf8" | "Utf8View" => Self::Text,
            "Dictionary" if data_type.contains("Utf8") => Self::Text,
            "Boolean" => Self::Boolean,
            "Date32" | "Date64" => Self::Date,
            "Timestamp" => Self::Timestamp,
            _ => Self::Other,
        }
    }

    /// True if it can be calculated with.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Number)
    }

    /// The SQL type that its values have a place in.
    pub fn sql_type(self) -> &'static str {
        match self {
            Self::Integer => "BIGINT",
            Self::Number => "DOUBLE",
            Self::Text | Self::Other => "TEXT",
            Self::Boolean => "BOOLEAN",
            Self::Date => "DATE",
            Self::Timestamp => "TIMESTAMP",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Other => "other",
        })
    }
}

/// A column of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub kind: Kind,
}
