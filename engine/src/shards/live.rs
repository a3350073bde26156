//! Rows that follow a stream: those of one topic partition, which change while they are read.
//!
//! One writer has a [`LiveShard`] and applies batches of changes to it; each becomes a [`Segment`], in which rows that
//! another change replaces or deletes are marked as dead. Nothing is changed in place that a reader may have: after
//! every batch a new [`View`] is published, with the position in the topic partition that its rows amount to. A statement
//! pins a view under a name of its own, and from then on it is a shard like any other to the rest of the engine.
//! Segments are joined and written anew all the time; their rows keep their numbers, so the index is not touched then.
//!
//! ```text
//! changes ─► LiveShard ─► View (rows, position) ─pin─► Shard in the ShardStore ◄─ scan
//!               ├─ index: number of the row of each key; segments: which row has a number
//!               └─ graves: keys that were deleted, with their versions, if changes have versions
//! ```

mod graves;
mod index;
mod keys;
mod moment;
mod row_ids;
mod saved;
mod segment;
mod segments;
mod shard;
mod table;
mod view;

pub use moment::{is_time, is_version, times};
pub use saved::{SavedSegment, SegmentView, stored_schema};
pub use shard::{Applied, LiveShard, Refused, Stalled};
pub use table::{Expiry, LiveTable, VersionColumn};
pub use view::{Origin, View};
