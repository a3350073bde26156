//! Creates a file that is there as a whole or not at all, also after a power failure.
//!
//! The local object store neither syncs files nor folders; what it has acknowledged can be an empty file after a
//! crash of the machine. A log of commits needs more, so local objects are created here and only read through it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use uuid::Uuid;

/// Why a file was not created.
#[derive(Debug)]
pub(super) enum CreateError {
    /// There is a file of that name.
    Exists,
    /// The file does not exist.
    NotWritten(io::Error),
    /// The file exists, but may be gone after a power failure.
    NotSynced(io::Error),
}

/// Writes a new file with its folders. When it returns, the file survives a crash of the machine.
pub(super) async fn create(path: PathBuf, content: Bytes) -> Result<(), CreateError> {
    tokio::task::spawn_blocking(move || create_blocking(&path, &content))
        .await
        .unwrap_or_else(|error| Err(CreateError::NotSynced(io::Error::other(error))))
}

fn create_blocking(path: &Path, content: &[u8]) -> Result<(), CreateError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(CreateError::NotWritten(io::ErrorKind::InvalidFilename.into()));
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    // The local object store takes names that end like this for unfinished files and does not list them.
    let staged = folder.join(format!("{}#{}", name.to_string_lossy(), Uuid::new_v4().as_u128()));
    let linked = write_synced(folder, &staged, content)
        .map_err(CreateError::NotWritten)
        .and_then(|()| link(&staged, path));
    // A file that stays behind is in nobody's way.
    let _ = fs::remove_file(&staged);
    match linked {
        // Also if the name exists: it may be ours, from a try whose sync has failed.
        Ok(()) | Err(CreateError::Exists) => sync_folder(folder).map_err(CreateError::NotSynced).and(linked),
        Err(_) => linked,
    }
}

fn write_synced(folder: &Path, staged: &Path, content: &[u8]) -> io::Result<()> {
    create_folders(folder)?;
    let mut file = File::create_new(staged)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Gives the staged file its name, unless the name is taken. This is the step that only one writer can win.
fn link(staged: &Path, path: &Path) -> Result<(), CreateError> {
    fs::hard_link(staged, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CreateError::Exists,
        _ => CreateError::NotWritten(error),
    })
}

/// Creates a folder and its parents; each new name is synced in the folder that holds it.
pub(super) fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_folders(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(parent.unwrap_or(Path::new("."))),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_taken_once_and_nothing_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        create(path.clone(), Bytes::from_static(b"first")).await.unwrap();
        let again = create(path.clone(), Bytes::from_static(b"second")).await;
        assert!(matches!(again, Err(CreateError::Exists)), "{again:?}");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_folder_that_is_a_file_is_said_to_be_not_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let outcome = create(folder.path().join("file/below"), Bytes::new()).await;
        assert!(matches!(outcome, Err(CreateError::NotWritten(_))), "{outcome:?}");
    }
}
