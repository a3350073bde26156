//! The folder of checkpoints in the state store, as the scheduler sees it: of which tables there are any, and which may go.

use object_store::path::Path;
use url::Url;

use crate::state::{Error, Store};

/// Folder below the state store.
const FOLDER: &str = "streams";

/// Where executors put checkpoints of topic partitions.
pub(crate) struct CheckpointFolder {
    url: String,
    store: Store,
}

impl CheckpointFolder {
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

    /// Every file there is.
    ///
    /// # Errors
    /// A store that cannot be listed.
    pub(super) async fn list(&self) -> Result<Vec<Path>, Error> {
        self.store.list_below(&Path::from(FOLDER)).await
    }

    /// Deletes files.
    ///
    /// # Errors
    /// A store that refuses.
    pub(super) async fn delete(&self, files: Vec<Path>) -> Result<(), Error> {
        self.store.delete(files).await
    }
}

/// The table whose file this is.
pub(super) fn table_of(path: &Path) -> Option<&str> {
    let below = path.as_ref().strip_prefix(FOLDER)?.strip_prefix('/')?;
    below.split_once('/').map(|(table, _)| table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_belong_to_the_table_that_their_folder_names() {
        let file = Path::from("streams/abc/0/0000000000000001-fence");
        assert_eq!(table_of(&file), Some("abc"));
        assert_eq!(table_of(&Path::from("tables/abc/x.arrow")), None);
    }
}
