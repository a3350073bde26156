//! What goes into a decoder and what comes out of it.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

/// A message as it lies in a topic partition.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// What a decoder must know of a table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its columns; those that are not nullable are NOT NULL.
    pub schema: SchemaRef,
    /// Columns of the primary key, by their place; empty for a table that only grows.
    pub key: Vec<usize>,
}

/// What a change does to a keyed table. A table that only grows gets nothing but `Put`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The row takes the place of the one with its key.
    Put,
    /// As `Put`, but columns whose flag is false keep the value they have. Flags are by column of the table.
    Merge(Box<[bool]>),
    /// The row with this key goes. Key columns are set; others are if the message had them.
    Delete,
    /// As `Delete`, but it is the old key of an update that changes the key: the next change is of the same message,
    /// and both happen or none.
    Rekey,
    /// All rows go; the row here is all null.
    Truncate,
}

/// Changes of a run of messages, in their order.
#[derive(Debug)]
pub struct Changes {
    /// The columns of the table in its types, all nullable.
    pub rows: RecordBatch,
    /// What each row does.
    pub kinds: Vec<Kind>,
    /// Which message each row came from: its count since the last take, with those that gave no row.
    pub messages: Vec<u32>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It gave so many rows.
    Rows(usize),
    /// The same, but they change rows that must be there: whether they are shows when the changes are applied.
    Doubtful(usize),
    /// It says nothing about rows of this table.
    Skipped(Skip),
}

/// Why a good message gave no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// A null value without a key that names a row.
    Tombstone,
    /// A sign of life of a connector.
    Heartbeat,
    /// Start or end of a transaction.
    Transaction,
    /// A message that an application wrote into the log of the database.
    LogicalMessage,
    /// A change of the schema, or another statement.
    Ddl,
    /// A row of another table.
    OtherTable,
    /// A note of a connector to its readers.
    Control,
    /// A change of no rows, or a list of none.
    Empty,
}

impl Skip {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Heartbeat => "heartbeat",
            Self::Transaction => "transaction",
            Self::LogicalMessage => "logical_message",
            Self::Ddl => "ddl",
            Self::OtherTable => "other_table",
            Self::Control => "control",
            Self::Empty => "empty",
        }
    }
}
