//! What scheduler and executors say to each other about tables that follow Kafka topics.

use prost::Message;

use crate::catalog::TableShard;

/// Everything that an executor is to follow. It stops following what is not named.
#[derive(Clone, PartialEq, Message)]
pub struct Follow {
    /// Version of the catalog that says so. One that is older than what was said before is passed over.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// The tables of which it has topic partitions.
    #[prost(message, repeated, tag = "2")]
    pub tables: Vec<FollowTable>,
    /// URL of the folder of checkpoints, with a slash at the end; empty: nothing is stored.
    #[prost(string, tag = "3")]
    pub checkpoints: String,
    /// The catalog. Versions of another one do not compare; empty: it is durable, and there is only one.
    #[prost(string, tag = "4")]
    pub catalog: String,
}

/// A table and the topic partitions of it that one executor follows.
#[derive(Clone, PartialEq, Message)]
pub struct FollowTable {
    /// The table.
    #[prost(string, tag = "1")]
    pub table_id: String,
    /// Its schema and name, for people.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Arrow schema, as an encapsulated IPC message.
    #[prost(bytes = "vec", tag = "3")]
    pub arrow_schema: Vec<u8>,
    /// `HOST:PORT` of brokers, with commas between them.
    #[prost(string, tag = "4")]
    pub brokers: String,
    /// The topic.
    #[prost(string, tag = "5")]
    pub topic: String,
    /// Columns of the primary key, by their place.
    #[prost(uint32, repeated, tag = "6")]
    pub key: Vec<u32>,
    /// Options of the table.
    #[prost(map = "string, string", tag = "7")]
    pub settings: std::collections::HashMap<String, String>,
    /// Topic partitions of the whole table.
    #[prost(uint32, tag = "8")]
    pub partition_count: u32,
    /// It is to wait.
    #[prost(bool, tag = "9")]
    pub paused: bool,
    /// The topic partitions to follow.
    #[prost(message, repeated, tag = "10")]
    pub partitions: Vec<FollowPartition>,
}

/// A topic partition to follow.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FollowPartition {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// Offset of the first message that belongs to the table.
    #[prost(uint64, tag = "2")]
    pub start: u64,
    /// The executor follows only what is meant for this process of it.
    #[prost(string, tag = "3")]
    pub instance: String,
    /// The number of this ownership.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// It only reads along: somebody else is the owner, and stores checkpoints.
    #[prost(bool, tag = "5")]
    pub standby: bool,
    /// The offset to which it is read while the table is paused. Absent: to where it ends when it is begun.
    #[prost(uint64, optional, tag = "6")]
    pub paused_at: Option<u64>,
    /// It came after the table, which begins with what there is of it.
    #[prost(bool, tag = "7")]
    pub added: bool,
}

/// What an executor follows, and how far it is.
#[derive(Clone, PartialEq, Message)]
pub struct Following {
    /// The process.
    #[prost(string, tag = "1")]
    pub instance: String,
    /// Its topic partitions.
    #[prost(message, repeated, tag = "2")]
    pub partitions: Vec<PartitionStatus>,
    /// It does not have the role for more of them.
    #[prost(bool, tag = "3")]
    pub no_ingest: bool,
    /// Version of the catalog that it was told last.
    #[prost(uint64, tag = "4")]
    pub version: u64,
}

/// How far a topic partition has been followed.
#[derive(Clone, PartialEq, Message)]
pub struct PartitionStatus {
    /// The table.
    #[prost(string, tag = "1")]
    pub table_id: String,
    /// Number of the topic partition.
    #[prost(uint32, tag = "2")]
    pub number: u32,
    /// The ownership.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Next offset to read.
    #[prost(uint64, tag = "4")]
    pub position: u64,
    /// Offset after the last message that can be read, as far as it is known.
    #[prost(uint64, optional, tag = "5")]
    pub end: Option<u64>,
    /// `starting`, `backfilling`, `live`, `standby`, `paused`, `stalled` or `failed`.
    #[prost(string, tag = "6")]
    pub state: String,
    /// Why, if it is `stalled` or `failed`.
    #[prost(string, tag = "7")]
    pub reason: String,
    /// Messages that were read.
    #[prost(uint64, tag = "8")]
    pub read: u64,
    /// Messages that became changes of rows.
    #[prost(uint64, tag = "9")]
    pub applied: u64,
    /// Messages that say nothing about rows of the table.
    #[prost(uint64, tag = "10")]
    pub filtered: u64,
    /// Messages that could not become rows and were kept.
    #[prost(uint64, tag = "11")]
    pub dead: u64,
    /// Messages that could not become rows and were dropped, as the table's options say.
    #[prost(uint64, tag = "12")]
    pub skipped: u64,
    /// Rows there are.
    #[prost(uint64, tag = "13")]
    pub rows: u64,
    /// Bytes of memory that they and their index take.
    #[prost(uint64, tag = "14")]
    pub bytes: u64,
    /// Timestamp of the last message that was read, milliseconds since the Unix epoch; 0: none yet.
    #[prost(uint64, tag = "15")]
    pub last_message_ms: u64,
    /// Messages of the last seconds, in one.
    #[prost(uint64, tag = "16")]
    pub messages_per_s: u64,
    /// Position of the last checkpoint; absent: there is none.
    #[prost(uint64, optional, tag = "17")]
    pub checkpoint: Option<u64>,
    /// When it was written, milliseconds since the Unix epoch.
    #[prost(uint64, tag = "18")]
    pub checkpoint_ms: u64,
    /// Why no later one could be written; empty: nothing is wrong.
    #[prost(string, tag = "19")]
    pub checkpoint_error: String,
    /// Epoch of another owner that has begun; 0: none that is known.
    #[prost(uint64, tag = "20")]
    pub fenced_by: u64,
    /// Of the messages that became changes: that were older than what was there.
    #[prost(uint64, tag = "21")]
    pub stale: u64,
    /// Rows whose event time was below the watermark.
    #[prost(uint64, tag = "22")]
    pub late_rows: u64,
    /// No more rows with event times before this are expected, milliseconds since the Unix epoch.
    #[prost(int64, optional, tag = "23")]
    pub watermark_ms: Option<i64>,
    /// Arrow schema in IPC form of the columns that the table should get, because its messages have them; empty: none.
    #[prost(bytes = "vec", tag = "24")]
    pub wanted_columns: Vec<u8>,
    /// The version of the catalog that was the first to say what options and columns the next message is read with.
    #[prost(uint64, tag = "25")]
    pub follows_version: u64,
    /// How many topic partitions the topic has now, as far as is known; 0: nothing is known.
    #[prost(uint32, tag = "26")]
    pub topic_partitions: u32,
}

/// What is asked about a topic before a table is made of it.
#[derive(Clone, PartialEq, Message)]
pub struct DescribeTopic {
    /// As it would be followed. Topic partitions are not named yet.
    #[prost(message, optional, tag = "1")]
    pub table: Option<FollowTable>,
    /// Only the columns that its messages have are asked for; the table has none yet.
    #[prost(bool, tag = "2")]
    pub wants_columns: bool,
    /// Only whether its brokers have transactions is asked for.
    #[prost(bool, tag = "3")]
    pub wants_transactions: bool,
}

/// What a broker says about a topic.
#[derive(Clone, PartialEq, Message)]
pub struct TopicDescription {
    /// Offset of the first message for the table, by number of the topic partition.
    #[prost(uint64, repeated, tag = "1")]
    pub starts: Vec<u64>,
    /// Columns of its messages, if they were asked for: Arrow schema, as an encapsulated IPC message.
    #[prost(bytes = "vec", tag = "2")]
    pub columns: Vec<u8>,
    /// Names of the columns of the primary key, as the schema of keys has them.
    #[prost(string, repeated, tag = "3")]
    pub key: Vec<String>,
}

/// Asks for what some topic partitions have now, to be kept for a statement.
#[derive(Clone, PartialEq, Message)]
pub struct PinPartitions {
    /// The table.
    #[prost(string, tag = "1")]
    pub table_id: String,
    /// The statement, as a write that runs.
    #[prost(string, tag = "2")]
    pub pin: String,
    /// The topic partitions.
    #[prost(message, repeated, tag = "3")]
    pub partitions: Vec<PinPartition>,
    /// Columns of the table as the statement knows them; refused as long as there are others.
    #[prost(bytes = "vec", tag = "4")]
    pub arrow_schema: Vec<u8>,
}

/// A topic partition to pin.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PinPartition {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// The ownership; refused under another one.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Refused before this position.
    #[prost(uint64, tag = "3")]
    pub at_least: u64,
}

/// What was pinned, in the order in which it was asked for.
#[derive(Clone, PartialEq, Message)]
pub struct Pinned {
    /// One for each topic partition.
    #[prost(message, repeated, tag = "1")]
    pub partitions: Vec<PinnedPartition>,
}

/// A topic partition as a statement sees it.
#[derive(Clone, PartialEq, Message)]
pub struct PinnedPartition {
    /// Its rows.
    #[prost(message, optional, tag = "1")]
    pub shard: Option<TableShard>,
    /// Next offset after those that they amount to.
    #[prost(uint64, tag = "2")]
    pub position: u64,
    /// Milliseconds by which they are behind the topic, as far as is known: none at its end, else the age of the last
    /// message.
    #[prost(uint64, optional, tag = "3")]
    pub age_ms: Option<u64>,
}

/// Dead letters of a topic partition that are to be tried again.
#[derive(Clone, PartialEq, Message)]
pub struct ReplayLetters {
    /// The table.
    #[prost(string, tag = "1")]
    pub table_id: String,
    /// Its options; refused as long as the executor follows it with others.
    #[prost(map = "string, string", tag = "2")]
    pub settings: std::collections::HashMap<String, String>,
    /// Number of the topic partition.
    #[prost(uint32, tag = "3")]
    pub number: u32,
    /// The ownership; refused under another one.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// Offsets of the letters.
    #[prost(uint64, repeated, tag = "5")]
    pub offsets: Vec<u64>,
}

/// What became of dead letters that were tried again.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LettersReplayed {
    /// So many are no dead letters any more.
    #[prost(uint64, tag = "1")]
    pub settled: u64,
}

/// Asks for dead letters.
#[derive(Clone, PartialEq, Message)]
pub struct ReadLetters {
    /// Of these topic partitions.
    #[prost(message, repeated, tag = "1")]
    pub partitions: Vec<OwnedPartition>,
}

/// A topic partition as the catalog gives it to an owner.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OwnedPartition {
    /// The table.
    #[prost(string, tag = "1")]
    pub table_id: String,
    /// Number of the topic partition.
    #[prost(uint32, tag = "2")]
    pub number: u32,
    /// Epoch of the owner.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
}

/// Messages that could not become rows.
#[derive(Clone, PartialEq, Message)]
pub struct DeadLetters {
    /// The messages.
    #[prost(message, repeated, tag = "1")]
    pub letters: Vec<DeadLetter>,
}

/// A message that could not become a row.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeadLetter {
    /// The table.
    #[prost(string, tag = "1")]
    pub table_id: String,
    /// Number of the topic partition.
    #[prost(uint32, tag = "2")]
    pub partition: u32,
    /// Offset in it.
    #[prost(uint64, tag = "3")]
    pub offset: u64,
    /// Timestamp of the message, milliseconds since the Unix epoch; 0: it has none.
    #[prost(uint64, tag = "4")]
    pub timestamp_ms: u64,
    /// Its key.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub key: Option<Vec<u8>>,
    /// Its value.
    #[prost(bytes = "vec", optional, tag = "6")]
    pub value: Option<Vec<u8>>,
    /// Why, in one word.
    #[prost(string, tag = "7")]
    pub reason: String,
    /// What exactly.
    #[prost(string, tag = "8")]
    pub detail: String,
    /// Its headers, in their order.
    #[prost(message, repeated, tag = "9")]
    pub headers: Vec<Header>,
}

/// A header of a message.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Header {
    /// Its name, which others may have too.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub value: Option<Vec<u8>>,
}
