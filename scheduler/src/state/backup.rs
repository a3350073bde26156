//! A state store in one file, and back again.
//!
//! The file is one sealed message with every object of the store, so a damaged copy is found out. A backup is only
//! written if the catalog can be read from it, and only restored if it still can.

use std::path::Path as FilePath;

use bytes::Bytes;
use millpond_proto::catalog::{Backup, BackupObject, FORMAT};
use object_store::path::Path;

use super::compaction::put_snapshot;
use super::durable_file::{self, CreateError};
use super::load::load;
use super::sealed::{seal, sha256, unseal};
use super::store::{Kind, PutError, Store};
use super::{CatalogState, Error};
use millpond_engine::clock::now_ms;

/// How far a restore goes beyond the versions it finds.
///
/// A scheduler that still runs on the store is below the restored snapshot then, however much it writes meanwhile,
/// and loses its lease.
const VERSIONS_AHEAD: u64 = 1_000_000;

/// What a restore does with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuses unless the store is empty.
    Keep,
    /// Replaces it. A scheduler that runs on the store loses its lease.
    Replace,
}

/// What was written to a backup or restored from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Version of the catalog in the backup.
    pub version: u64,
    /// Number of schemas.
    pub schemas: usize,
    /// Number of tables and views.
    pub relations: usize,
    /// Number of objects in the backup.
    pub objects: usize,
    /// Size of the backup in bytes.
    pub bytes: usize,
}

/// Writes a state store to a new file. A scheduler may use the store meanwhile.
///
/// # Errors
/// [`Error::Empty`] if there is nothing to write, [`Error::File`] also if the file exists, errors of the objects, and
/// failures of the store.
pub async fn backup(store: &Store, file: &FilePath) -> Result<Summary, Error> {
    let (objects, state) = read_consistent(store).await?;
    let backup = Backup {
        format: FORMAT,
        version: state.version,
        written_at_ms: now_ms(),
        objects,
        written_by: env!("CARGO_PKG_VERSION").to_string(),
    };
    let content = seal(&backup);
    let summary = summary(&backup, &state, content.len());
    durable_file::create(file.to_path_buf(), content)
        .await
        .map_err(|error| match error {
            CreateError::Exists => Error::file("write", file, std::io::ErrorKind::AlreadyExists.into()),
            CreateError::NotWritten(cause) | CreateError::NotSynced(cause) => {
                Error::file("write", file, cause)
            }
        })?;
    Ok(summary)
}

/// Reads a backup and makes its catalog the one of a state store.
///
/// # Errors
/// [`Error::Damaged`] and [`Error::TooNew`] for the backup; [`Error::NotEmpty`] if `existing` is to be kept and there
/// is anything; failures of the store, after which a restore with [`Existing::Replace`] can be tried again.
pub async fn restore(file: &FilePath, store: &Store, existing: Existing) -> Result<Summary, Error> {
    let content = tokio::fs::read(file)
        .await
        .map_err(|cause| Error::file("read", file, cause))?;
    let backup: Backup = unseal(&file.display().to_string(), &content)?;
    backup.objects.iter().try_for_each(check_object)?;
    let state = load(&copy_of(&backup.objects).await?).await?.state;

    let present = store.list().await?;
    if existing == Existing::Keep && !present.is_empty() {
        return Err(Error::NotEmpty {
            objects: present.len(),
        });
    }
    let newest = present.iter().filter_map(version_of).max().unwrap_or_default();
    let version = state.version.max(newest.saturating_add(VERSIONS_AHEAD));
    put_snapshot(
        store,
        &CatalogState {
            version,
            ..state.clone()
        },
    )
    .await?;
    store.delete(present).await?;
    for object in &backup.objects {
        let path = Path::from(object.path.as_str());
        if version_of(&path).is_none() {
            put(store, &path, object).await?;
        }
    }
    Ok(summary(&backup, &state, content.len()))
}

/// Reads all objects, again if the log was compacted meanwhile, and the catalog that they amount to.
async fn read_consistent(store: &Store) -> Result<(Vec<BackupObject>, CatalogState), Error> {
    loop {
        let paths = store.list().await?;
        if paths.is_empty() {
            return Err(Error::Empty);
        }
        let mut objects = Vec::with_capacity(paths.len());
        for path in &paths {
            objects.extend(store.get(path).await?.map(|content| object_of(path, &content)));
        }
        match load(&copy_of(&objects).await?).await {
            Ok(loaded) => return Ok((objects, loaded.state)),
            Err(error) if store.list().await? == paths => return Err(error),
            Err(_) => {}
        }
    }
}

fn object_of(path: &Path, content: &Bytes) -> BackupObject {
    BackupObject {
        path: path.to_string(),
        content: content.to_vec(),
        sha256: sha256(content),
    }
}

fn check_object(object: &BackupObject) -> Result<(), Error> {
    match sha256(&object.content) == object.sha256 {
        true => Ok(()),
        false => Err(Error::Damaged {
            object: object.path.clone(),
            reason: "its checksum in the backup does not fit its content".into(),
        }),
    }
}

/// The objects of a backup as a store in memory.
async fn copy_of(objects: &[BackupObject]) -> Result<Store, Error> {
    let store = Store::in_memory();
    for object in objects {
        put(&store, &Path::from(object.path.as_str()), object).await?;
    }
    Ok(store)
}

async fn put(store: &Store, path: &Path, object: &BackupObject) -> Result<(), Error> {
    store
        .put_new(path, object.content.clone().into())
        .await
        .map_err(|error| match error {
            PutError::Exists => Error::Damaged {
                object: path.to_string(),
                reason: "it exists twice".into(),
            },
            PutError::NotWritten(error) | PutError::Unknown(error) => error,
        })
}

/// The version of an object of the catalog; none if it is something else.
fn version_of(path: &Path) -> Option<u64> {
    Kind::Log.version(path).or_else(|| Kind::Snapshot.version(path))
}

fn summary(backup: &Backup, state: &CatalogState, bytes: usize) -> Summary {
    Summary {
        version: backup.version,
        schemas: state.schemas.len(),
        relations: state.relations.len(),
        objects: backup.objects.len(),
        bytes,
    }
}
