//! The place where state is kept: a folder, a bucket of an object store, or memory.
//!
//! Everything above asks four things of it: create an object that is not there yet, read one, list, delete. Each has
//! a time limit, because the clients of object stores go on trying for minutes.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::{StreamExt, TryStreamExt};
use millpond_engine::config::Bucket;
use millpond_engine::error::Error as UserError;
use millpond_engine::object_stores::Registry;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use url::Url;

use super::Error;
use super::durable_file::{self, CreateError};

/// Longest time of one request.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);
/// Objects that are deleted at the same time.
const PARALLEL_DELETES: usize = 16;
/// Digits of a version in a path, so that the order of names is the order of versions.
const VERSION_DIGITS: usize = 20;

/// The kinds of objects that make up the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One version each.
    Log,
    /// All versions up to one.
    Snapshot,
}

impl Kind {
    fn folder(self) -> Path {
        Path::from(match self {
            Self::Log => "catalog/log",
            Self::Snapshot => "catalog/snapshot",
        })
    }

    /// Where the object of a version is.
    pub(super) fn path(self, version: u64) -> Path {
        self.folder().join(format!("v{version:0VERSION_DIGITS$}"))
    }

    /// The version of an object of this kind; none if the path is something else.
    pub(super) fn version(self, path: &Path) -> Option<u64> {
        let digits = path.filename()?.strip_prefix('v')?;
        let version = digits.parse().ok()?;
        (self.path(version) == *path).then_some(version)
    }
}

/// Why an object was not created, or perhaps was.
#[derive(Debug)]
pub(super) enum PutError {
    /// There is an object of that name. It may be ours, if a client tried twice.
    Exists,
    /// It is certain that the object was not created.
    NotWritten(Error),
    /// The object may be there, or may yet appear.
    Unknown(Error),
}

/// Where the state of a cluster is kept. Clones share the connection.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// The folder, if objects are local files. They are created by [`durable_file`] and not by the object store.
    folder: Option<PathBuf>,
}

impl Store {
    /// Opens the state at a URL: `file:///folder`, which is created if need be, `s3://bucket/path`, `gs://`, `az://`.
    ///
    /// Credentials are those of the bucket with the longest matching prefix. Nothing is read or written yet, except
    /// that a folder is created.
    ///
    /// # Errors
    /// [`Error::Location`] for another kind of URL, a folder that cannot be created, or a bucket without credentials.
    pub fn open(url: &Url, buckets: &[Bucket]) -> Result<Self, Error> {
        match url.scheme() {
            "file" => Self::in_folder(url),
            "s3" | "s3a" | "gs" | "gcs" | "az" | "azure" | "abfs" | "abfss" | "adl" => {
                Self::in_bucket(url, buckets)
            }
            other => Err(location(
                url,
                format!("a store of kind '{other}' cannot keep state"),
            )),
        }
    }

    /// State that is gone with the process.
    pub fn in_memory() -> Self {
        Self::over(Arc::new(InMemory::new()))
    }

    /// State in any object store that can create objects conditionally.
    pub(super) fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects,
            folder: None,
        }
    }

    fn in_folder(url: &Url) -> Result<Self, Error> {
        let folder = url
            .to_file_path()
            .map_err(|()| location(url, "it names no local folder"))?;
        durable_file::create_folders(&folder).map_err(|error| location(url, error))?;
        let files = LocalFileSystem::new_with_prefix(&folder).map_err(|error| location(url, error))?;
        Ok(Self {
            objects: Arc::new(files),
            folder: Some(folder),
        })
    }

    fn in_bucket(url: &Url, buckets: &[Bucket]) -> Result<Self, Error> {
        let bucket = Registry::new(buckets.to_vec())
            .get_store(url)
            .map_err(|error| location(url, UserError::from_datafusion(error).message))?;
        let prefix = Path::from_url_path(url.path()).map_err(|error| location(url, error))?;
        Ok(Self::over(Arc::new(PrefixStore::new(bucket, prefix))))
    }

    /// Creates an object, unless there is one of that name.
    pub(super) async fn put_new(&self, path: &Path, content: Bytes) -> Result<(), PutError> {
        let put = self.put_without_limit(path, content);
        match tokio::time::timeout(REQUEST_LIMIT, put).await {
            Ok(outcome) => outcome,
            Err(_) => Err(PutError::Unknown(no_answer("write", path))),
        }
    }

    async fn put_without_limit(&self, path: &Path, content: Bytes) -> Result<(), PutError> {
        let Some(folder) = &self.folder else {
            let put = self
                .objects
                .put_opts(path, content.into(), PutMode::Create.into())
                .await;
            return match put {
                Ok(_) => Ok(()),
                Err(object_store::Error::AlreadyExists { .. }) => Err(PutError::Exists),
                Err(error) => Err(PutError::Unknown(Error::storage("write", path, error))),
            };
        };
        let file = folder.join(path.as_ref());
        durable_file::create(file.clone(), content)
            .await
            .map_err(|error| match error {
                CreateError::Exists => PutError::Exists,
                CreateError::NotWritten(cause) => PutError::NotWritten(Error::file("write", file, cause)),
                CreateError::NotSynced(cause) => PutError::Unknown(Error::file("write", file, cause)),
            })
    }

    /// Reads an object; none if there is no such.
    pub(super) async fn get(&self, path: &Path) -> Result<Option<Bytes>, Error> {
        let read = async {
            match self.objects.get(path).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(error) => Err(error),
            }
        };
        match limited("read", path, read).await? {
            Ok(content) => Ok(content),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Error::storage("read", path, error)),
        }
    }

    /// Paths of all objects, in order.
    pub(super) async fn list(&self) -> Result<Vec<Path>, Error> {
        self.list_below(&Path::default()).await
    }

    /// Versions that have an object of a kind, in order.
    pub(super) async fn versions(&self, kind: Kind) -> Result<Vec<u64>, Error> {
        let paths = self.list_below(&kind.folder()).await?;
        Ok(paths.iter().filter_map(|path| kind.version(path)).collect())
    }

    /// The newest version that a snapshot was written for; zero if there is no snapshot.
    pub(super) async fn newest_snapshot(&self) -> Result<u64, Error> {
        Ok(self
            .versions(Kind::Snapshot)
            .await?
            .last()
            .copied()
            .unwrap_or_default())
    }

    /// Paths of the objects below a folder, in order.
    pub(crate) async fn list_below(&self, folder: &Path) -> Result<Vec<Path>, Error> {
        let listed = self
            .objects
            .list(Some(folder))
            .map_ok(|object| object.location)
            .try_collect::<Vec<_>>();
        let mut paths = limited("list", folder, listed)
            .await?
            .map_err(|error| Error::storage("list", folder, error))?;
        paths.sort_unstable();
        Ok(paths)
    }

    /// Deletes objects. One that is gone already is no error.
    pub(crate) async fn delete(&self, paths: Vec<Path>) -> Result<(), Error> {
        futures::stream::iter(paths)
            .map(|path| async move {
                match limited("delete", &path, self.objects.delete(&path)).await? {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(Error::storage("delete", &path, error)),
                }
            })
            .buffer_unordered(PARALLEL_DELETES)
            .try_collect()
            .await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Store({})", self.objects)
    }
}

async fn limited<T>(
    operation: &'static str,
    path: &Path,
    request: impl Future<Output = T>,
) -> Result<T, Error> {
    tokio::time::timeout(REQUEST_LIMIT, request)
        .await
        .map_err(|_| no_answer(operation, path))
}

fn no_answer(operation: &'static str, path: &Path) -> Error {
    Error::Timeout {
        operation,
        object: path.to_string(),
        waited_s: REQUEST_LIMIT.as_secs(),
    }
}

fn location(url: &Url, reason: impl ToString) -> Error {
    Error::Location {
        location: url.to_string(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_versions_sort_like_versions() {
        assert_eq!(Kind::Log.path(7).as_ref(), "catalog/log/v00000000000000000007");
        assert!(Kind::Log.path(9) < Kind::Log.path(10));
        assert_eq!(Kind::Log.version(&Kind::Log.path(u64::MAX)), Some(u64::MAX));
        for other in [
            "catalog/log/v7",
            "catalog/log/.keep",
            "catalog/snapshot/v00000000000000000007",
        ] {
            assert_eq!(Kind::Log.version(&Path::from(other)), None, "{other}");
        }
    }

    #[tokio::test]
    async fn an_empty_folder_is_created_and_has_no_objects() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/state");
        let store = Store::open(&Url::from_directory_path(&folder).unwrap(), &[]).unwrap();
        assert!(folder.is_dir());
        assert_eq!(store.versions(Kind::Log).await.unwrap(), Vec::<u64>::new());
        assert_eq!(store.get(&Kind::Log.path(1)).await.unwrap(), None);
        store.delete(vec![Kind::Log.path(1)]).await.unwrap();
    }

    #[test]
    fn a_location_that_cannot_keep_state_is_refused_with_its_name() {
        for url in ["http://example.com/state", "s3://no-credentials/state"] {
            let error = Store::open(&Url::parse(url).unwrap(), &[]).unwrap_err();
            assert!(
                matches!(&error, Error::Location { location, .. } if location == url),
                "{error}"
            );
        }
    }
}
