//! Shards of tables in memory, and what happens to them: rows come and go, and shards move.

use prost::Message;

/// A shard of a table.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TableShard {
    /// Its name.
    #[prost(string, tag = "1")]
    pub shard: String,
    /// `HOST:PORT` of the data port of the executor that holds it.
    #[prost(string, tag = "2")]
    pub holder: String,
    /// Rows in it, with those that are no longer the table's.
    #[prost(uint64, tag = "3")]
    pub rows: u64,
    /// Bytes of its buffers.
    #[prost(uint64, tag = "4")]
    pub bytes: u64,
    /// What is known of its columns: a `Statistics` message of DataFusion.
    #[prost(bytes = "vec", tag = "5")]
    pub statistics: Vec<u8>,
    /// `HOST:PORT` of further executors that hold it.
    #[prost(string, repeated, tag = "6")]
    pub replicas: Vec<String>,
    /// Path of its snapshot in the state store, below `tables/`; empty if it has none.
    #[prost(string, tag = "7")]
    pub snapshot: String,
    /// Hash class of its rows, from 0, if the table is partitioned by columns.
    #[prost(uint32, optional, tag = "8")]
    pub bucket: Option<u32>,
    /// Rows of it that were deleted, by their place from 0: a roaring bitmap in its portable format; empty if there are none.
    #[prost(bytes = "vec", tag = "9")]
    pub deleted: Vec<u8>,
    /// Their number.
    #[prost(uint64, tag = "10")]
    pub deleted_rows: u64,
}

impl TableShard {
    /// Rows of it that are the table's.
    pub fn live_rows(&self) -> u64 {
        self.rows.saturating_sub(self.deleted_rows)
    }
}

/// New places of shards of one table.
#[derive(Clone, PartialEq, Message)]
pub struct PlaceShards {
    /// Schema of the table, or of the relation whose cache it is.
    #[prost(string, tag = "1")]
    pub schema: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The table; refused if another one has the name now.
    #[prost(string, tag = "3")]
    pub table_id: String,
    /// The shards. One that the table does not have any more is passed over.
    #[prost(message, repeated, tag = "4")]
    pub places: Vec<ShardPlaces>,
}

/// Where a shard is now.
#[derive(Clone, PartialEq, Message)]
pub struct ShardPlaces {
    /// Its name.
    #[prost(string, tag = "1")]
    pub shard: String,
    /// `HOST:PORT` of the executors that hold it, at least one.
    #[prost(string, repeated, tag = "2")]
    pub holders: Vec<String>,
    /// Path of its snapshot, as in [`TableShard`].
    #[prost(string, tag = "3")]
    pub snapshot: String,
}

/// A commit of rows.
#[derive(Clone, PartialEq, Message)]
pub struct CommitShards {
    /// Schema of the table.
    #[prost(string, tag = "1")]
    pub schema: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The table that was written; refused if another one has the name now.
    #[prost(string, tag = "3")]
    pub table_id: String,
    /// Shards that are new.
    #[prost(message, repeated, tag = "4")]
    pub add: Vec<TableShard>,
    /// Names of shards that go; refused if one of them is gone already.
    #[prost(string, repeated, tag = "5")]
    pub remove: Vec<String>,
    /// The rows are the same as before, so the lineage of the table holds for them too.
    #[prost(bool, tag = "6")]
    pub same_rows: bool,
    /// Of shards that go: how many of their rows were deleted when they were read, if there were any; refused if there are
    /// others by now.
    #[prost(map = "string, uint64", tag = "7")]
    pub deleted_when_read: std::collections::HashMap<String, u64>,
}

/// Rows of a table in memory are deleted where they are.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteRows {
    /// Schema of the table.
    #[prost(string, tag = "1")]
    pub schema: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The table; refused if another one has the name now.
    #[prost(string, tag = "3")]
    pub table_id: String,
    /// The shards that they are in; refused if one is gone.
    #[prost(message, repeated, tag = "4")]
    pub shards: Vec<DeletedRows>,
}

/// Deleted rows of a shard.
#[derive(Clone, PartialEq, Message)]
pub struct DeletedRows {
    /// Its name.
    #[prost(string, tag = "1")]
    pub shard: String,
    /// All of them, as in [`TableShard`].
    #[prost(bytes = "vec", tag = "2")]
    pub deleted: Vec<u8>,
    /// Their number.
    #[prost(uint64, tag = "3")]
    pub deleted_rows: u64,
    /// How many there were when the shard was read; refused if there are others by now.
    #[prost(uint64, tag = "4")]
    pub deleted_when_read: u64,
}
