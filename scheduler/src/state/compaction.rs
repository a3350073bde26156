//! Keeps the log short: a snapshot stands for the beginning of it.
//!
//! The two newest snapshots stay, and the log from the older of them on, so that one damaged snapshot loses nothing.
//! What goes is found by listing, not by counting, so it makes no difference who does it or where an earlier attempt
//! has stopped: only objects that two newer snapshots stand for are ever deleted.

use object_store::path::Path;

use super::sealed::seal;
use super::store::{Kind, PutError, Store};
use super::{CatalogState, Error};

/// Writes a snapshot of `state` and deletes what it makes superfluous.
///
/// # Errors
/// Failures of the store. Nothing that is needed has gone then, and the next compaction catches up.
pub(super) async fn compact(store: &Store, state: &CatalogState) -> Result<(), Error> {
    put_snapshot(store, state).await?;
    delete_superfluous(store).await
}

/// Writes a snapshot, unless there is one of this version: it would be the same.
pub(super) async fn put_snapshot(store: &Store, state: &CatalogState) -> Result<(), Error> {
    let content = seal(&state.to_snapshot());
    match store.put_new(&Kind::Snapshot.path(state.version), content).await {
        Ok(()) | Err(PutError::Exists) => Ok(()),
        Err(PutError::NotWritten(error) | PutError::Unknown(error)) => Err(error),
    }
}

async fn delete_superfluous(store: &Store) -> Result<(), Error> {
    let snapshots = store.versions(Kind::Snapshot).await?;
    let [older @ .., kept, _newest] = snapshots.as_slice() else {
        return Ok(());
    };
    let log = store.versions(Kind::Log).await?;
    let covered = log
        .into_iter()
        .filter(|version| version <= kept)
        .map(|version| Kind::Log.path(version));
    let older = older.iter().map(|&version| Kind::Snapshot.path(version));
    store.delete(covered.chain(older).collect::<Vec<Path>>()).await
}
