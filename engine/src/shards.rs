//! Tables in memory: their rows lie as Arrow batches with the executors, cut into shards.
//!
//! A shard is written once and never changed. A statement that writes runs a query under a [`ShardSinkExec`]: every
//! task leaves its rows in the [`ShardStore`] of its own process and yields one row for each shard, so the rows of the
//! job are the record that the scheduler commits to its catalog. To Ballista a shard is a file: a scan is a
//! `DataSourceExec` over a [`ShardSource`], which it can slice into tasks. A task reads a shard where it is, or over
//! Arrow Flight from the executor that holds it.
//!
//! ```text
//! query ─► ShardSinkExec ─► ShardStore (executor) ◄─ ShardSource ◄─ scan
//!               └─ (shard, rows, bytes) ─► catalog: table = list of shards and their holders
//! ```
//!
//! A table that must outlive its executors has a [`Snapshots`] file for each shard as well, written before the commit.
//! In memory columns are packed; when memory is short, shards move to files on the local disk.
//!
//! Nothing here decides what is kept: the scheduler says which shards to drop, and a staged shard that no commit
//! names is one of them.

mod cache;
mod deleted;
mod file;
mod fit;
pub mod ingest;
mod level;
mod live;
mod numbered;
mod packed;
mod parts;
mod passing;
mod read;
mod reads;
mod room;
mod shard;
mod sink_exec;
mod sink_node;
mod snapshot;
mod source;
pub mod statistics;
mod store;
pub mod wire;
mod writer;

pub use deleted::Deleted;
pub use fit::{Fitting, plain_schema};
pub use level::StorageLevel;
pub use live::{
    Applied, Expiry, LiveShard, LiveTable, Origin, Refused, SavedSegment, SegmentView, Stalled,
    VersionColumn, View, is_time, is_version, stored_schema, times,
};
pub use numbered::{ROW_NUMBER, first_row, numbered, read_row_set, row_set};
pub use parts::key_of;
pub use read::ShardRead;
pub use reads::ShardsRead;
pub use shard::{Shard, ShardId, write_ipc};
pub(crate) use sink_exec::of_table;
pub use sink_exec::{ShardRow, ShardSinkExec};
pub use sink_node::ShardSinkNode;
pub use snapshot::Snapshots;
pub(crate) use snapshot::{check_local, decode_ipc, encode_ipc, sync};
pub use source::{Place, Places, Reader, ShardSource};
pub(crate) use source::{columns_alone, rows_of, shard_of};
pub use store::{ShardStore, Stored};
pub use writer::Writer;
