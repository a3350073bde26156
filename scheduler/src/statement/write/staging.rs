//! The folder in which the files of a write wait for its commit.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::object_store::path::Path;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use futures::TryStreamExt;
use millpond_engine::error::Error;
use uuid::Uuid;

use super::target::Target;

/// How long a task that was told to stop may still write.
const LATE_WRITERS: Duration = Duration::from_secs(2);

/// A folder beside the target that no table reads. It goes when it is dropped, with what was not committed.
pub(super) struct Staging {
    store: Arc<dyn ObjectStore>,
    url: String,
    prefix: Path,
    target: Path,
    /// Folder and target on the local file system, if that is where they are.
    local: Option<(PathBuf, PathBuf)>,
}

impl Staging {
    pub(super) fn new(state: &SessionState, target: &Target) -> Result<Self, Error> {
        let bare = target.location.trim_end_matches('/');
        let target_url = ListingTableUrl::parse(bare).map_err(Error::from_datafusion)?;
        let name = format!("staging-{}/", Uuid::new_v4().simple());
        // Beside the root of a bucket is another bucket; inside, tables do not read folders of the folder.
        let url = if target_url.prefix().as_ref().is_empty() {
            format!("{bare}/.{name}")
        } else {
            format!("{bare}.{name}")
        };
        let staging_url = ListingTableUrl::parse(&url).map_err(Error::from_datafusion)?;
        let store = state
            .runtime_env()
            .object_store(staging_url.object_store())
            .map_err(Error::from_datafusion)?;
        let local = (staging_url.scheme() == "file").then(|| (PathBuf::from(&url), PathBuf::from(bare)));
        Ok(Self {
            store,
            prefix: staging_url.prefix().clone(),
            target: target_url.prefix().clone(),
            local,
            url,
        })
    }

    /// Where tasks write; ends with a slash.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Moves one file to the target, which it replaces.
    pub(super) async fn commit_file(self, file: &str) -> Result<(), Error> {
        let from = joined(&self.prefix, file);
        self.store.rename(&from, &self.target).await.map_err(store_error)
    }

    /// Moves files, and what is in folders among them, into the target folder under new names.
    ///
    /// A new local folder appears with all its files at once; in other cases they appear one after the other.
    pub(super) async fn commit_folder(self, target: &Target, files: &[String]) -> Result<(), Error> {
        let new_folder = match &self.local {
            Some((_, place)) if !target.append => is_absent_or_empty(place).await?,
            _ => false,
        };
        let into = if new_folder {
            self.prefix.clone().join("ready")
        } else {
            self.target.clone()
        };
        let id = Uuid::new_v4().simple().to_string();
        for (number, file) in files.iter().enumerate() {
            for (from, folder) in self.contents(file).await? {
                let (_, extension) = from
                    .filename()
                    .and_then(|name| name.split_once('.'))
                    .unwrap_or_default();
                let name = format!("part-{number:05}-{id}.{extension}");
                let to = joined(&into, &format!("{folder}{name}"));
                self.store.rename(&from, &to).await.map_err(store_error)?;
            }
        }
        if let (true, Some((staging, place))) = (new_folder, &self.local) {
            // Renaming a folder replaces an empty one, and nothing else.
            tokio::fs::rename(staging.join("ready"), place)
                .await
                .map_err(|error| Error::from_datafusion(error.into()))?;
        }
        Ok(())
    }

    /// The files that a task wrote as `file`, each with the folders it is in (`year=2014/`).
    async fn contents(&self, file: &str) -> Result<Vec<(Path, String)>, Error> {
        let root = joined(&self.prefix, file.trim_end_matches('/'));
        if !file.ends_with('/') {
            return Ok(vec![(root, String::new())]);
        }
        let found: Vec<_> = self
            .store
            .list(Some(&root))
            .try_collect()
            .await
            .map_err(store_error)?;
        Ok(found
            .into_iter()
            .map(|object| {
                let inside: Vec<_> = object
                    .location
                    .prefix_match(&root)
                    .into_iter()
                    .flatten()
                    .collect();
                let folders = &inside[..inside.len().saturating_sub(1)];
                let folder = folders.iter().map(|part| format!("{}/", part.as_ref())).collect();
                (object.location, folder)
            })
            .collect())
    }
}

impl Staging {
    /// Removes everything now, and once more when it is dropped, for tasks that were still writing.
    pub(super) async fn discard(self) {
        remove(&self.store, &self.prefix, self.folder()).await;
    }

    fn folder(&self) -> Option<PathBuf> {
        self.local.as_ref().map(|(folder, _)| folder.clone())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let (store, prefix, folder) = (self.store.clone(), self.prefix.clone(), self.folder());
        tokio::spawn(async move {
            remove(&store, &prefix, folder.clone()).await;
            tokio::time::sleep(LATE_WRITERS).await;
            remove(&store, &prefix, folder).await;
        });
    }
}

async fn remove(store: &Arc<dyn ObjectStore>, prefix: &Path, folder: Option<PathBuf>) {
    delete_all(store, prefix).await;
    if let Some(folder) = folder {
        // Only empty folders are left; one that was never made is fine.
        let _ = tokio::fs::remove_dir_all(folder).await;
    }
}

/// A path of which `inside` is already in the encoding of the store.
fn joined(prefix: &Path, inside: &str) -> Path {
    Path::parse(format!("{prefix}/{inside}")).unwrap_or_else(|_| prefix.clone().join(inside))
}

async fn is_absent_or_empty(folder: &std::path::Path) -> Result<bool, Error> {
    let failed = |error: std::io::Error| Error::from_datafusion(error.into());
    match tokio::fs::read_dir(folder).await {
        Ok(mut entries) => Ok(entries.next_entry().await.map_err(failed)?.is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(failed(error)),
    }
}

async fn delete_all(store: &Arc<dyn ObjectStore>, prefix: &Path) {
    let files: Result<Vec<_>, _> = store.list(Some(prefix)).try_collect().await;
    for file in files.unwrap_or_default() {
        if let Err(error) = store.delete(&file.location).await {
            tracing::warn!(path = %file.location, %error, "delete a staged file");
        }
    }
}

fn store_error(error: datafusion::object_store::Error) -> Error {
    Error::from_datafusion(DataFusionError::ObjectStore(Box::new(error)))
}
