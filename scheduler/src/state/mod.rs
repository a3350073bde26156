//! The durable catalog: what tables, views and schemas the cluster has, kept in an object store.
//!
//! A [`Store`] is a folder, a bucket or memory. In it is a log with one object per version of the catalog, and now
//! and then a snapshot that stands for the beginning of the log:
//!
//! ```text
//! catalog/log/v00000000000000000257        Entry: changes, or none of them for a lease
//! catalog/snapshot/v00000000000000000256   Snapshot: the whole catalog at this version
//! ```
//!
//! [`CatalogLog::open`] reads the newest version (`load`), appends a lease and starts the one task that writes
//! (`writer`). A change goes [`CatalogLog::commit`] → queue → writer → one new object → the [`CatalogState`] that
//! [`CatalogLog::current`] hands out. The only thing asked of the store is that an object is created by one writer
//! alone; nothing is ever overwritten.
//!
//! Invariants:
//! - The history is linear: a version is written once, by one writer, and follows the version before it.
//! - A writer that is not the newest finds out at its next write at the latest, and writes no more.
//! - A commit that was acknowledged is on disk and is read by every later [`CatalogLog::open`]. One that failed with
//!   [`Error::Unconfirmed`] may still take effect; every other failure means that nothing was changed.
//! - Damaged objects and objects of newer formats are errors that name the object; they are never skipped silently.

mod attempt;
mod backup;
mod catalog_state;
mod compaction;
mod durable_file;
mod error;
mod folder;
mod load;
mod log;
mod model_state;
mod pipeline_state;
mod sealed;
mod store;
#[cfg(test)]
mod tests;
mod topic_state;
mod writer;

pub use backup::{Existing, Summary, backup, restore};
pub use catalog_state::CatalogState;
pub use error::Error;
pub(crate) use folder::StateFolder;
pub use log::CatalogLog;
pub use store::Store;
