//! What is stored of a topic partition of a table, so that it need not be read again from its start.

use prost::Message;

use crate::stream::DeadLetter;

/// Number of this format; a reader refuses a newer one.
pub const FORMAT: u32 = 1;

/// A topic partition at one position. The file has a SHA-256 behind the message.
#[derive(Clone, PartialEq, Message)]
pub struct Checkpoint {
    /// See [`FORMAT`].
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// Version of Millpond that wrote it.
    #[prost(string, tag = "2")]
    pub written_by: String,
    /// Drawn for it: a writer whose answer was lost knows its own again.
    #[prost(string, tag = "3")]
    pub nonce: String,
    /// Next offset to read.
    #[prost(uint64, tag = "4")]
    pub position: u64,
    /// Messages so far, by what became of them.
    #[prost(message, optional, tag = "5")]
    pub counts: Option<Counts>,
    /// Timestamp of the last message, milliseconds since the Unix epoch; 0: none yet.
    #[prost(uint64, tag = "6")]
    pub last_message_ms: u64,
    /// The rows.
    #[prost(message, repeated, tag = "7")]
    pub segments: Vec<StoredSegment>,
    /// The dead letters, if there are any.
    #[prost(message, optional, tag = "8")]
    pub letters: Option<StoredFile>,
    /// When it was written, milliseconds since the Unix epoch.
    #[prost(uint64, tag = "9")]
    pub written_at_ms: u64,
    /// The greatest event time of all rows so far, milliseconds since the Unix epoch, if the table has event times.
    #[prost(int64, optional, tag = "10")]
    pub newest_event_ms: Option<i64>,
    /// Sums of models over the rows, if there are any. Without them they are made of all rows again.
    #[prost(message, optional, tag = "11")]
    pub sums: Option<StoredFile>,
    /// Identifier of the topic; empty: nobody knows it.
    #[prost(string, tag = "12")]
    pub topic_id: String,
}

/// Numbers of messages.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Counts {
    /// That were read.
    #[prost(uint64, tag = "1")]
    pub read: u64,
    /// That became changes of rows.
    #[prost(uint64, tag = "2")]
    pub applied: u64,
    /// That say nothing about rows of the table.
    #[prost(uint64, tag = "3")]
    pub filtered: u64,
    /// That could not become rows and are kept.
    #[prost(uint64, tag = "4")]
    pub dead: u64,
    /// That could not become rows and were dropped.
    #[prost(uint64, tag = "5")]
    pub skipped: u64,
    /// Of those that became changes: that were older than what was there.
    #[prost(uint64, tag = "6")]
    pub stale: u64,
    /// Rows, not messages, whose event time was below the watermark.
    #[prost(uint64, tag = "7")]
    pub late_rows: u64,
}

/// A segment of rows.
#[derive(Clone, PartialEq, Message)]
pub struct StoredSegment {
    /// Its number in the topic partition.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    /// Its rows, those that are dead too.
    #[prost(message, optional, tag = "2")]
    pub file: Option<StoredFile>,
    /// A bit for each row that is dead, from the lowest bit of the first word; fewer words: none of the rest.
    #[prost(fixed64, repeated, tag = "3")]
    pub dead: Vec<u64>,
    /// Its rows are keys that were deleted. Those have numbers of their own.
    #[prost(bool, tag = "4")]
    pub of_graves: bool,
}

/// A file beside the checkpoint.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StoredFile {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// SHA-256 of its bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub sha256: Vec<u8>,
}

/// What an owner writes before it does anything else: from now on checkpoints of earlier owners do not count, but for
/// the one that is named.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Fence {
    /// See [`FORMAT`].
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// The process.
    #[prost(string, tag = "2")]
    pub instance: String,
    /// The checkpoint it goes on from; empty: none.
    #[prost(string, tag = "3")]
    pub restored: String,
}

/// Dead letters as they are stored.
#[derive(Clone, PartialEq, Message)]
pub struct StoredLetters {
    /// Oldest first.
    #[prost(message, repeated, tag = "1")]
    pub letters: Vec<DeadLetter>,
}

/// Sums of models as they are stored, for the version that wrote them.
#[derive(Clone, PartialEq, Message)]
pub struct StoredSumsFile {
    /// In any order.
    #[prost(message, repeated, tag = "1")]
    pub sums: Vec<StoredSums>,
}

/// The states of an aggregate over the rows of a checkpoint.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StoredSums {
    /// Its plan without what it reads.
    #[prost(bytes = "vec", tag = "1")]
    pub aggregate: Vec<u8>,
    /// One of each of its functions.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub states: Vec<Vec<u8>>,
    /// How often they were changed since they were made of all rows.
    #[prost(uint32, tag = "3")]
    pub updates: u32,
}
