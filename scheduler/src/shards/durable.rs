//! The folder of snapshots in the state store, as the scheduler sees it: what is there, and what may go.

use object_store::path::Path;
use url::Url;

use crate::state::{Error, Store};

/// Folder below the state store.
const FOLDER: &str = "tables";

/// Where executors put snapshots of shards.
pub(crate) struct SnapshotFolder {
    url: String,
    store: Store,
}

impl SnapshotFolder {
    /// The folder of a state store that is at `state`.
    pub(crate) fn of(state: &Url, store: Store) -> Self {
        let slash = if state.path().ends_with('/') { "" } else { "/" };
        Self {
            url: format!("{state}{slash}{FOLDER}/"),
            store,
        }
    }

    /// What executors are told: a URL with a slash at the end.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Every snapshot there is.
    ///
    /// # Errors
    /// A store that cannot be listed.
    pub(super) async fn list(&self) -> Result<Vec<Snapshot>, Error> {
        let all = self.store.list_below(&Path::from(FOLDER)).await?;
        Ok(all.iter().filter_map(Snapshot::at).collect())
    }

    /// Deletes snapshots.
    ///
    /// # Errors
    /// A store that refuses.
    pub(super) async fn delete(&self, snapshots: Vec<Snapshot>) -> Result<(), Error> {
        let folder = Path::from(FOLDER);
        let paths = snapshots
            .iter()
            .map(|snapshot| Path::from(format!("{folder}/{}", snapshot.path)));
        self.store.delete(paths.collect()).await
    }
}

/// A snapshot of a shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Path below the folder.
    pub(super) path: String,
    /// Write that made it, or table.
    pub(super) write: String,
}

impl Snapshot {
    fn at(place: &Path) -> Option<Self> {
        let path = place.as_ref().strip_prefix(FOLDER)?.strip_prefix('/')?;
        let (write, _) = path.split_once('/')?;
        Some(Self {
            path: path.to_string(),
            write: write.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_below_the_state() {
        for state in ["file:///var/state", "file:///var/state/"] {
            let folder = SnapshotFolder::of(&Url::parse(state).unwrap(), Store::in_memory());
            assert_eq!(folder.url(), "file:///var/state/tables/");
        }
    }

    #[test]
    fn only_snapshots_are_listed() {
        let of = |path: &str| Snapshot::at(&Path::from(path)).map(|snapshot| (snapshot.write, snapshot.path));
        assert_eq!(
            of("tables/w/s.arrow"),
            Some(("w".to_string(), "w/s.arrow".to_string()))
        );
        assert_eq!(of("tables/w"), None);
        assert_eq!(of("catalog/w/s.arrow"), None);
    }
}
