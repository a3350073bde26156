//! What a live shard must know of its table.

use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;

/// See the module.
#[derive(Debug, Clone)]
pub struct LiveTable {
    /// Names it in errors.
    pub name: String,
    /// Its columns, all nullable: rows that are deleted have nulls anywhere.
    pub schema: SchemaRef,
    /// Columns that are NOT NULL, by their place.
    pub required: Vec<usize>,
    /// Columns of the primary key, by their place; none for a table where every message is a row.
    pub key: Vec<usize>,
    /// Where changes of a key say which of them is newer, if they do. Only with a key.
    pub version: Option<VersionColumn>,
    /// When rows go by themselves, if they do. Only without a key.
    pub expiry: Option<Expiry>,
    /// Bytes of a shard beyond which its oldest rows go. Only without a key.
    pub bytes_max: Option<usize>,
}

/// A column that says which of two changes of a key is the newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionColumn {
    /// Its place in the table.
    pub place: usize,
    /// How long the version of a key that was deleted is remembered, at least.
    pub tombstones: Duration,
}

/// Rows go when the time in a column of theirs is long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// Place of the column in the table: a date or a timestamp.
    pub place: usize,
    /// How long ago, at least. Rows go in whole segments, so some stay up to an eighth longer.
    pub after: Duration,
}
