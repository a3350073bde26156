//! One entry on its way into the log.
//!
//! An object store may answer a write with an error and have written all the same, or write later. So an entry that
//! was sent once is never given up for another one: it is read back, sent again unchanged, and either it is in the
//! log or somebody else's entry is. The nonce tells which.
//!
//! An entry in the log is not yet in force. A writer that was stopped for long may find its next version free,
//! because a newer writer has compacted the log beyond it. The newer writer's snapshot was there before the name
//! became free, so a look at the snapshots *after* the write tells; a look before it would leave a gap in between.
//! An entry written in this way lies below a snapshot, where nobody reads it.

use std::time::Duration;

use bytes::Bytes;
use millpond_proto::catalog::{Change, Entry, FORMAT};
use prost::Message;
use uuid::Uuid;

use super::sealed::seal;
use super::store::{Kind, PutError, Store};
use super::{CatalogState, Error};
use millpond_engine::clock::now_ms;

/// How often an entry is sent before its fate is left open.
const MAX_TRIES: u32 = 4;

/// An entry that is to be the next version.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The catalog with the entry.
    pub(super) state: CatalogState,
    nonce: String,
    content: Bytes,
    /// Whether an earlier try may have written it.
    maybe_written: bool,
}

impl Attempt {
    /// An entry that leads from `before` to the next version. Without changes it is a lease.
    ///
    /// # Errors
    /// The first change that is refused.
    pub(super) fn new(before: &CatalogState, writer_id: &str, changes: Vec<Change>) -> Result<Self, Error> {
        let entry = Entry {
            format: FORMAT,
            writer_id: writer_id.to_string(),
            nonce: Uuid::new_v4().to_string(),
            written_at_ms: now_ms(),
            changes,
            written_by: env!("CARGO_PKG_VERSION").to_string(),
        };
        let mut state = before.clone();
        state.apply_entry(&entry)?;
        Ok(Self {
            state,
            content: seal(&entry),
            nonce: entry.nonce,
            maybe_written: false,
        })
    }

    /// Brings the entry into the log. May be called again after [`Error::Unconfirmed`], and must be before any other
    /// entry is tried.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if another writer was faster; [`Error::Unconfirmed`] if that is open; any other error
    /// means that the entry is not in the log and never will be.
    pub(super) async fn settle(&mut self, store: &Store, first_delay: Duration) -> Result<(), Error> {
        let mut delay = first_delay;
        let mut tries = 1;
        loop {
            match self.settle_once(store).await {
                Err(cause @ (Error::Storage { .. } | Error::Timeout { .. } | Error::File { .. })) => {
                    if !self.maybe_written {
                        return Err(cause);
                    }
                    if tries == MAX_TRIES {
                        return Err(Error::Unconfirmed {
                            version: self.state.version,
                            cause: Box::new(cause),
                        });
                    }
                }
                settled => return settled,
            }
            tokio::time::sleep(delay).await;
            delay *= 4;
            tries += 1;
        }
    }

    async fn settle_once(&mut self, store: &Store) -> Result<(), Error> {
        let path = Kind::Log.path(self.state.version);
        let sent = store.put_new(&path, self.content.clone()).await;
        if let Err(PutError::NotWritten(error)) = sent {
            return Err(error);
        }
        // From here on it may be there, by this try or by one that the store's client made unseen.
        self.maybe_written = true;
        if let Err(failure) = sent {
            match (store.get(&path).await?, failure) {
                (Some(content), _) => self.check_ours(content)?,
                (None, PutError::Unknown(error) | PutError::NotWritten(error)) => return Err(error),
                (None, PutError::Exists) => return Err(gone(path)),
            }
        }
        self.check_in_force(store).await
    }

    fn check_ours(&self, content: Bytes) -> Result<(), Error> {
        let found = Entry::decode(content).unwrap_or_default();
        match found.nonce == self.nonce {
            true => Ok(()),
            false => Err(lost_to(found)),
        }
    }

    async fn check_in_force(&self, store: &Store) -> Result<(), Error> {
        match store.newest_snapshot().await? >= self.state.version {
            true => Err(Error::LeaseLost { by: None }),
            false => Ok(()),
        }
    }
}

/// Checks that nobody has written after `version`.
///
/// # Errors
/// [`Error::LeaseLost`] if somebody has; failures of the store.
pub(super) async fn check_newest(store: &Store, version: u64) -> Result<(), Error> {
    if let Some(content) = store.get(&Kind::Log.path(version + 1)).await? {
        return Err(lost_to(Entry::decode(content).unwrap_or_default()));
    }
    // The next entry may have come and gone.
    match store.newest_snapshot().await? > version {
        true => Err(Error::LeaseLost { by: None }),
        false => Ok(()),
    }
}

/// The writer of an entry in our place. Its entry may be of any format, or damaged; we have lost all the same.
fn lost_to(entry: Entry) -> Error {
    Error::LeaseLost {
        by: Some(entry.writer_id).filter(|id| !id.is_empty()),
    }
}

/// An object that was there a moment ago: the log was compacted. The next try will tell.
fn gone(path: object_store::path::Path) -> Error {
    let cause = object_store::Error::NotFound {
        path: path.to_string(),
        source: "it was there a moment ago".into(),
    };
    Error::storage("read", path, cause)
}
