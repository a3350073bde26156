//! Tables that follow Kafka topics: what scheduler and executors agree on.
//!
//! The scheduler says which executor follows which topic partition ([`FOLLOW`]); executors read, decode
//! ([`crate::decode`]) and apply messages ([`crate::shards::LiveShard`]) on their own. A statement asks the owners for
//! what they have at one position ([`PIN`]), and reads that like any other shard.

pub mod checkpoints;
mod columns;
mod options;
mod wire;

pub use columns::{EventTime, live_table};
pub use options::{
    Delivery, MetadataColumn, OnError, Startup, StreamOptions, WhenFull, data_columns, fixed_columns,
    offsets_of, with_data_columns,
};
pub use wire::{DEAD_LETTERS, DESCRIBE, FOLLOW, PIN, REPLAY, STATUS};
