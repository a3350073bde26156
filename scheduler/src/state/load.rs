//! Reads the newest version of the catalog: the newest snapshot that can be read, and the log from there on.
//!
//! Another scheduler may write and compact meanwhile. Objects are never overwritten and old ones go only after a
//! newer snapshot is there, so a reading during which no snapshot has appeared is a reading of one true version;
//! otherwise it is repeated.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use millpond_proto::catalog::{Entry, Snapshot};

use super::sealed::unseal;
use super::store::{Kind, Store};
use super::{CatalogState, Error};

/// Entries that are read at the same time.
const PARALLEL_READS: usize = 16;
/// The catalog at its newest version, and what the store holds of it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) state: CatalogState,
    /// Version of the newest snapshot that could be read; zero if there is none.
    pub(super) snapshot_version: u64,
}

/// Reads the newest version.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Missing`] and [`Error::TooNew`] with the object that prevents it, and failures of the
/// store. A damaged snapshot is no error as long as an older one and the log make up for it.
pub(super) async fn load(store: &Store) -> Result<Loaded, Error> {
    loop {
        let snapshots = store.versions(Kind::Snapshot).await?;
        let loaded = read_from(store, &snapshots).await;
        if store.newest_snapshot().await? == snapshots.last().copied().unwrap_or_default() {
            return loaded;
        }
    }
}

async fn read_from(store: &Store, snapshots: &[u64]) -> Result<Loaded, Error> {
    let (mut state, damage) = read_snapshot(store, snapshots).await?;
    let snapshot_version = state.version;
    let log = store.versions(Kind::Log).await?;
    let newer: Vec<u64> = log
        .into_iter()
        .filter(|&version| version > snapshot_version)
        .collect();
    let mut entries = futures::stream::iter(newer)
        .map(|version| async move { Ok::<_, Error>((version, read_entry(store, version).await?)) })
        .buffered(PARALLEL_READS);
    while let Some((version, entry)) = entries.try_next().await? {
        let expected = state.version + 1;
        let entry = entry
            .filter(|_| version == expected)
            .ok_or_else(|| missing(Kind::Log, expected))?;
        state
            .apply_entry(&entry)
            .map_err(|error| not_applicable(version, error))?;
    }
    match damage {
        // The log does not reach as far as the damaged snapshot did.
        Some(error) if snapshots.last().is_some_and(|&newest| newest > state.version) => Err(error),
        _ => Ok(Loaded {
            state,
            snapshot_version,
        }),
    }
}

/// Reads the newest snapshot that is not damaged, and says what was wrong with a newer one.
async fn read_snapshot(store: &Store, snapshots: &[u64]) -> Result<(CatalogState, Option<Error>), Error> {
    let mut damage = None;
    for &version in snapshots.iter().rev() {
        let path = Kind::Snapshot.path(version);
        let content = store
            .get(&path)
            .await?
            .ok_or_else(|| missing(Kind::Snapshot, version))?;
        match decode_snapshot(path.as_ref(), version, &content) {
            Ok(state) => return Ok((state, damage)),
            Err(error @ Error::Damaged { .. }) => {
                tracing::warn!(%error, "a snapshot of the catalog cannot be read; an older one and the log are tried");
                damage.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok((CatalogState::default(), damage))
}

fn decode_snapshot(object: &str, version: u64, content: &Bytes) -> Result<CatalogState, Error> {
    let snapshot: Snapshot = unseal(object, content)?;
    if snapshot.version != version {
        let reason = format!("it is a snapshot of version {}", snapshot.version);
        return Err(Error::Damaged {
            object: object.to_string(),
            reason,
        });
    }
    CatalogState::from_snapshot(object, &snapshot)
}

/// Reads one entry of the log; none if there is no such.
///
/// # Errors
/// [`Error::Damaged`], [`Error::TooNew`], and failures of the store.
pub(super) async fn read_entry(store: &Store, version: u64) -> Result<Option<Entry>, Error> {
    let path = Kind::Log.path(version);
    let content = store.get(&path).await?;
    content.map(|content| unseal(path.as_ref(), &content)).transpose()
}

fn missing(kind: Kind, version: u64) -> Error {
    Error::Missing {
        object: kind.path(version).to_string(),
    }
}

/// A change that was valid when it was written is refused now: what it builds on was altered.
fn not_applicable(version: u64, error: Error) -> Error {
    match error {
        Error::UnknownChange { .. } => error,
        other => {
            let reason = format!("it does not follow from the version before: {other}");
            Error::Damaged {
                object: Kind::Log.path(version).to_string(),
                reason,
            }
        }
    }
}
