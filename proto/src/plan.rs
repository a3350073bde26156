//! Plan nodes of ours as they travel from the scheduler to the executors.
//!
//! Never stored: scheduler and executors of one cluster run the same version.

use std::collections::HashMap;

use prost::{Message, Oneof};

/// One plan node. Its inputs travel beside it.
#[derive(Clone, PartialEq, Message)]
pub struct PlanNode {
    /// Which node.
    #[prost(oneof = "PlanNodeKind", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub kind: Option<PlanNodeKind>,
}

/// The nodes there are.
#[derive(Clone, PartialEq, Oneof)]
pub enum PlanNodeKind {
    /// Writes every partition of its input to a file.
    #[prost(message, tag = "1")]
    FileSink(FileSink),
    /// Makes one file of several.
    #[prost(message, tag = "2")]
    FileConcat(FileConcat),
    /// Reads CSV or JSON with settings that DataFusion's message has no place for.
    #[prost(message, tag = "3")]
    TextScan(TextScan),
    /// Leaves its input in memory.
    #[prost(message, tag = "4")]
    ShardSink(ShardSink),
    /// Reads tables in memory.
    #[prost(message, tag = "5")]
    ShardScan(ShardScan),
    /// Sends its input to a topic.
    #[prost(message, tag = "6")]
    TopicSink(TopicSink),
    /// Computes an aggregate over live shards from what has changed.
    #[prost(message, tag = "7")]
    KeptSums(KeptSums),
}

/// Everything about it is in its input.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct KeptSums {}

/// A topic to write to, and how.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TopicSink {
    /// `HOST:PORT` of brokers, with commas between them.
    #[prost(string, tag = "1")]
    pub brokers: String,
    /// The topic.
    #[prost(string, tag = "2")]
    pub topic: String,
    /// Columns of the table: an Arrow schema as an encapsulated IPC message.
    #[prost(bytes = "vec", tag = "3")]
    pub arrow_schema: Vec<u8>,
    /// Columns of the primary key, by their place.
    #[prost(uint32, repeated, tag = "4")]
    pub key: Vec<u32>,
    /// Options of the table.
    #[prost(map = "string, string", tag = "5")]
    pub settings: std::collections::HashMap<String, String>,
    /// Nothing is sent: the messages become rows, which wait in an outbox.
    #[prost(bool, tag = "6")]
    pub makes_messages: bool,
    /// The input are rows of an outbox, and go in one transaction of this name. Empty: the input are rows of the table.
    #[prost(string, tag = "7")]
    pub transaction: String,
}

/// How files are written, and where.
#[derive(Clone, PartialEq, Message)]
pub struct FileSink {
    /// URL of a folder that is there for this write alone; ends with a slash.
    #[prost(string, tag = "1")]
    pub folder: String,
    /// Format in DataFusion's words: `csv`, `json`, `parquet` or `arrow`.
    #[prost(string, tag = "2")]
    pub format: String,
    /// Options of the format, without any that concern the folder.
    #[prost(map = "string, string", tag = "3")]
    pub options: HashMap<String, String>,
    /// Columns by whose values files are put into folders `column=value`.
    #[prost(string, repeated, tag = "4")]
    pub partition_by: Vec<String>,
    /// Write those columns into the files too.
    #[prost(bool, tag = "5")]
    pub keep_partition_columns: bool,
    /// One task writes everything: the files could not be concatenated afterwards, or their order is that of the rows.
    #[prost(bool, tag = "6")]
    pub one_task: bool,
    /// End of the file names without the first dot, such as `csv.gz`.
    #[prost(string, tag = "7")]
    pub extension: String,
}

/// Files that become one.
#[derive(Clone, PartialEq, Message)]
pub struct FileConcat {
    /// URLs of the files, in order.
    #[prost(string, repeated, tag = "1")]
    pub sources: Vec<String>,
    /// URL of the new file.
    #[prost(string, tag = "2")]
    pub target: String,
    /// Format of all of them: `csv`, `json` or `parquet`.
    #[prost(string, tag = "3")]
    pub format: String,
    /// Bytes at the start of each file that the new file has only once, such as the header line of CSV.
    #[prost(uint64, tag = "4")]
    pub head_bytes: u64,
}

/// A scan of text files.
#[derive(Clone, PartialEq, Message)]
pub struct TextScan {
    /// The scan as DataFusion encodes it.
    #[prost(bytes = "vec", tag = "1")]
    pub scan: Vec<u8>,
    /// Compression of the files in DataFusion's words, such as `GZIP`.
    #[prost(string, tag = "2")]
    pub compression: String,
    /// Byte that ends a line of CSV, if it is not a line feed.
    #[prost(uint32, optional, tag = "3")]
    pub terminator: Option<u32>,
}

/// A write of rows into memory.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ShardSink {
    /// Table, for messages.
    #[prost(string, tag = "1")]
    pub table: String,
    /// Identifier of the write; the scheduler keeps its shards while it runs.
    #[prost(string, tag = "2")]
    pub write: String,
    /// Columns of the table: an Arrow schema as an encapsulated IPC message.
    #[prost(bytes = "vec", tag = "3")]
    pub arrow_schema: Vec<u8>,
    /// URL of the folder for snapshots of the shards; empty if there are to be none.
    #[prost(string, tag = "4")]
    pub snapshots: String,
    /// Where the rows are kept: `memory`, `memory_and_disk` or `disk`. Empty is the second.
    #[prost(string, tag = "5")]
    pub storage_level: String,
    /// Columns by whose hash the rows are distributed, by their place in the table.
    #[prost(uint32, repeated, tag = "6")]
    pub partition_by: Vec<u32>,
    /// Columns by which the rows of each task are sorted, by their place in the table.
    #[prost(uint32, repeated, tag = "7")]
    pub sort_by: Vec<u32>,
    /// Hash classes, if the rows are distributed.
    #[prost(uint32, tag = "8")]
    pub buckets: u32,
}

/// A scan of shards.
#[derive(Clone, PartialEq, Message)]
pub struct ShardScan {
    /// The scan as DataFusion encodes a scan of files.
    #[prost(bytes = "vec", tag = "1")]
    pub scan: Vec<u8>,
    /// Where the shards of the scan are.
    #[prost(message, repeated, tag = "2")]
    pub shards: Vec<ShardPlace>,
    /// Predicate that the scan evaluates, as DataFusion encodes an expression over the table's columns.
    #[prost(bytes = "vec", tag = "3")]
    pub predicate: Vec<u8>,
}

/// Where a shard is.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ShardPlace {
    /// Its name.
    #[prost(string, tag = "1")]
    pub shard: String,
    /// `HOST:PORT` of the data port of the executor that holds it.
    #[prost(string, tag = "2")]
    pub holder: String,
    /// The same of further executors that hold it.
    #[prost(string, repeated, tag = "3")]
    pub replicas: Vec<String>,
    /// Rows of it that are passed over, as the catalog has them.
    #[prost(bytes = "vec", tag = "4")]
    pub deleted: Vec<u8>,
    /// Number of its first row, if rows are numbered.
    #[prost(uint64, tag = "5")]
    pub first_row: u64,
}

/// Asks an executor for the rows of a shard.
#[derive(Clone, PartialEq, Message)]
pub struct ShardTicket {
    /// Its name.
    #[prost(string, tag = "1")]
    pub shard: String,
    /// Columns wanted, by their place in the shard.
    #[prost(uint32, repeated, tag = "2")]
    pub columns: Vec<u32>,
    /// Predicate over the table's columns as DataFusion encodes an expression; empty if every row is wanted.
    #[prost(bytes = "vec", tag = "3")]
    pub predicate: Vec<u8>,
    /// Most rows wanted.
    #[prost(uint64, optional, tag = "4")]
    pub limit: Option<u64>,
    /// First row wanted.
    #[prost(uint64, tag = "5")]
    pub start: u64,
    /// Row after the last one wanted.
    #[prost(uint64, optional, tag = "6")]
    pub end: Option<u64>,
    /// Rows that are passed over, as the catalog has them.
    #[prost(bytes = "vec", tag = "7")]
    pub deleted: Vec<u8>,
}

/// What an executor holds.
#[derive(Clone, PartialEq, Message)]
pub struct ShardList {
    /// Its shards.
    #[prost(message, repeated, tag = "1")]
    pub shards: Vec<StoredShard>,
}

/// A shard that is held.
#[derive(Clone, PartialEq, Message)]
pub struct StoredShard {
    /// Its name.
    #[prost(string, tag = "1")]
    pub shard: String,
    /// Write that made it.
    #[prost(string, tag = "2")]
    pub write: String,
    /// Number of rows.
    #[prost(uint64, tag = "3")]
    pub rows: u64,
    /// Bytes of its buffers.
    #[prost(uint64, tag = "4")]
    pub bytes: u64,
    /// Times it was read.
    #[prost(uint64, tag = "5")]
    pub hits: u64,
    /// Milliseconds since it was stored.
    #[prost(uint64, tag = "6")]
    pub age_ms: u64,
    /// Bytes of its file on the executor's disk; 0 if it is in memory.
    #[prost(uint64, tag = "7")]
    pub disk_bytes: u64,
}

/// Asks an executor to hold shards that are elsewhere.
#[derive(Clone, PartialEq, Message)]
pub struct CopyShards {
    /// Table, for messages.
    #[prost(string, tag = "1")]
    pub table: String,
    /// Identifier of the write that they belong to until a commit names their place.
    #[prost(string, tag = "2")]
    pub write: String,
    /// Columns of the table: an Arrow schema as an encapsulated IPC message.
    #[prost(bytes = "vec", tag = "3")]
    pub arrow_schema: Vec<u8>,
    /// URL of the folder of snapshots.
    #[prost(string, tag = "4")]
    pub snapshots: String,
    /// The shards.
    #[prost(message, repeated, tag = "5")]
    pub shards: Vec<ShardCopy>,
    /// As in [`ShardSink`].
    #[prost(string, tag = "6")]
    pub storage_level: String,
}

/// A shard and where it can be read.
#[derive(Clone, PartialEq, Message)]
pub struct ShardCopy {
    /// Its name.
    #[prost(string, tag = "1")]
    pub shard: String,
    /// `HOST:PORT` of executors that hold it, best first.
    #[prost(string, repeated, tag = "2")]
    pub holders: Vec<String>,
    /// Path of its snapshot below the folder of snapshots; empty if it has none.
    #[prost(string, tag = "3")]
    pub snapshot: String,
}

/// Asks an executor to write snapshots of shards that it holds.
#[derive(Clone, PartialEq, Message)]
pub struct SaveShards {
    /// URL of the folder of snapshots.
    #[prost(string, tag = "1")]
    pub snapshots: String,
    /// The shards, each with the path that its snapshot is to have.
    #[prost(message, repeated, tag = "2")]
    pub shards: Vec<ShardCopy>,
}

/// A whole plan that one executor runs at once, without a job.
#[derive(Clone, PartialEq, Message)]
pub struct DirectTicket {
    /// The physical plan as DataFusion encodes it.
    #[prost(bytes = "vec", tag = "1")]
    pub plan: Vec<u8>,
    /// Settings that differ from those of a new session.
    #[prost(map = "string, string", tag = "2")]
    pub settings: std::collections::HashMap<String, String>,
    /// Statement it belongs to, for logs.
    #[prost(string, tag = "3")]
    pub statement: String,
    /// Answer the plan with its metrics instead of its rows.
    #[prost(bool, tag = "4")]
    pub analyze: bool,
}
