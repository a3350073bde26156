//! Checkpoints of topic partitions in the state store.
//!
//! ```text
//! <table>/<partition>/ <epoch>-claim            an owner is about to begin
//!                      <epoch>-fence            it has begun: which checkpoint it goes on from
//!                      <epoch>-<seq>.checkpoint  position, counts, names of the files below; put if absent
//!                      <epoch>-<uuid>.segment    rows (Arrow IPC, LZ4), dead ones too; which are dead is in the checkpoint
//!                      <epoch>-<uuid>.letters    dead letters
//!                      <epoch>-<uuid>.sums       sums of models over the rows
//! ```
//!
//! A checkpoint is written after its files, in one step, and never changed; a segment that was stored for an earlier one is
//! not stored again. What is read is checked against SHA-256; a checkpoint of which anything is missing or damaged is
//! passed over for the one before, but for sums, which can be made again. An owner writes a claim before it looks what there is, and its fence before it reads a
//! message: what owners of lower epochs write afterwards does not count, for no later owner looks at it, so one that was
//! cut off and comes back can do no harm. An owner that finds a claim or a fence of a higher epoch after it has stored a
//! checkpoint takes it for not stored, deletes nothing, and stops.

mod folder;
mod restore;
mod save;

use datafusion::error::DataFusionError;

use crate::error::Error;
use crate::shards::SavedSegment;

pub use folder::CheckpointFolder;
pub use save::{Saver, ToSave};

use millpond_proto::checkpoint::{Counts, StoredSums};
use millpond_proto::stream::DeadLetter;

/// Why a checkpoint was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Another owner has begun. It is final.
    #[error("another executor follows the topic partition under epoch {0}")]
    Fenced(u64),
    /// The state store does not do what it should now; it may do so later.
    #[error("{0}")]
    Store(Error),
}

impl From<object_store::Error> for Failed {
    fn from(error: object_store::Error) -> Self {
        DataFusionError::from(error).into()
    }
}

impl From<DataFusionError> for Failed {
    fn from(error: DataFusionError) -> Self {
        Self::Store(Error::from_datafusion(error))
    }
}

/// A topic partition as it was stored.
#[derive(Debug, Default)]
pub struct Restored {
    /// Next offset to read; `None`: nothing was stored that can be read.
    pub position: Option<u64>,
    /// When it was stored, milliseconds since the Unix epoch.
    pub written_at_ms: u64,
    /// Messages up to there.
    pub counts: Counts,
    /// Timestamp of the last of them.
    pub last_message_ms: u64,
    /// The greatest event time of all rows so far, milliseconds since the Unix epoch.
    pub newest_event_ms: Option<i64>,
    /// The rows.
    pub segments: Vec<SavedSegment>,
    /// The dead letters.
    pub letters: Vec<DeadLetter>,
    /// Sums of models over the rows.
    pub sums: Vec<StoredSums>,
    /// Identifier of the topic; empty: nobody knew it.
    pub topic_id: String,
    /// Checkpoints that were passed over because something of them is missing or damaged.
    pub damaged: Vec<String>,
}

#[cfg(test)]
mod tests;
