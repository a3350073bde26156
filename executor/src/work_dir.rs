//! The directory an executor works in: results of stages under `jobs/`, spilled operators under `spill/`, tables that
//! are not in memory under `tables/`.
//!
//! One process owns it, by a lock on the file `executor.lock`, which holds its process id. What an earlier process
//! left in these folders is useless (nobody knows of it any more) and is removed at the start; nothing else in
//! the directory is touched, so that a wrong path costs no files. Without a configured directory a fresh one is made
//! under the system's temporary directory and removed at the end; those of processes that were killed are
//! removed by the next executor that starts. The folder for results of stages in memory (`shuffle`) is such a
//! fresh one, on a memory file system.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use uuid::Uuid;

use crate::error::Error;

const LOCK_FILE: &str = "executor.lock";
const TEMPORARY_PREFIX: &str = "millpond-executor-";

/// A work directory that belongs to this process until it is dropped.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    // Fields are dropped in this order: the lock is held until a temporary directory is gone.
    _temporary: Option<TempDir>,
    _lock: File,
}

impl WorkDir {
    /// Takes `configured`, which is created if it does not exist, or makes a temporary directory.
    ///
    /// # Errors
    /// [`Error::WorkDirTaken`] if another process holds it, [`Error::WorkDir`] if it cannot be made or written.
    pub(crate) fn open(configured: Option<&Path>) -> Result<Self, Error> {
        match configured {
            Some(path) => Self::open_at(path, None),
            None => Self::fresh_in(&std::env::temp_dir()),
        }
    }

    /// Makes a temporary directory in `parent`, after those that killed executors left there are removed.
    ///
    /// # Errors
    /// [`Error::WorkDir`] if it cannot be made or written.
    pub(crate) fn fresh_in(parent: &Path) -> Result<Self, Error> {
        remove_abandoned(parent);
        let temporary = tempfile::Builder::new()
            .prefix(&format!("{TEMPORARY_PREFIX}{}", Uuid::new_v4()))
            .rand_bytes(0)
            .tempdir_in(parent)
            .map_err(|source| Error::WorkDir {
                path: parent.to_path_buf(),
                source,
            })?;
        let path = temporary.path().to_path_buf();
        Self::open_at(&path, Some(temporary))
    }

    fn open_at(path: &Path, temporary: Option<TempDir>) -> Result<Self, Error> {
        let failed = |source| Error::WorkDir {
            path: path.to_path_buf(),
            source,
        };
        fs::create_dir_all(path).map_err(failed)?;
        // Executors report file paths to each other and compare them, so the path must not depend on the current
        // directory of the process.
        let path = path.canonicalize().map_err(failed)?;
        let lock = lock(&path)?;
        let work_dir = Self {
            path,
            _temporary: temporary,
            _lock: lock,
        };
        for folder in [work_dir.jobs(), work_dir.spill(), work_dir.tables()] {
            make_empty(&folder).map_err(|source| Error::WorkDir {
                path: folder.clone(),
                source,
            })?;
        }
        Ok(work_dir)
    }

    /// Where stages leave their results, in a folder per job.
    pub(crate) fn jobs(&self) -> PathBuf {
        self.path.join("jobs")
    }

    /// Where operators put what does not fit into memory.
    pub(crate) fn spill(&self) -> PathBuf {
        self.path.join("spill")
    }

    /// Where shards of tables are that are not in memory.
    pub(crate) fn tables(&self) -> PathBuf {
        self.path.join("tables")
    }

    /// The directory itself, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Locks the directory and writes the process id into its lock file.
fn lock(path: &Path) -> Result<File, Error> {
    let lock_path = path.join(LOCK_FILE);
    let failed = |source| Error::WorkDir {
        path: lock_path.clone(),
        source,
    };
    let mut file = File::options()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner = fs::read_to_string(&lock_path).unwrap_or_default();
            let owner = if owner.trim().is_empty() {
                "?"
            } else {
                owner.trim()
            };
            return Err(Error::WorkDirTaken {
                path: path.to_path_buf(),
                owner: owner.to_string(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(file)
}

fn make_empty(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir(folder),
    }
}

/// Removes temporary directories whose process has ended without doing so.
pub(crate) fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        // A directory without a lock file is left alone: its owner may be about to write it.
        let Ok(lock) = File::open(path.join(LOCK_FILE)) else {
            continue;
        };
        let ours = entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX);
        let written = lock.metadata().is_ok_and(|metadata| metadata.len() > 0);
        if ours && written && lock.try_lock().is_ok() {
            match fs::remove_dir_all(&path) {
                Ok(()) => {
                    tracing::info!(path = %path.display(), "removed what a killed executor left behind")
                }
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "cannot remove an old work directory")
                }
            }
        }
    }
}

/// Removes the folders of jobs in which nothing was written for `age`; returns how many.
///
/// A scheduler tells executors to remove the data of its jobs; this is for those that it forgot in a restart.
///
/// # Errors
/// The folder of all jobs cannot be read.
pub(crate) fn remove_forgotten_jobs(jobs: &Path, age: Duration) -> io::Result<usize> {
    let Some(oldest) = SystemTime::now().checked_sub(age) else {
        return Ok(0);
    };
    let mut removed = 0;
    for job in fs::read_dir(jobs)?.flatten() {
        if last_written(&job.path()).is_ok_and(|written| written < oldest)
            && fs::remove_dir_all(job.path()).is_ok()
        {
            removed += 1;
        }
    }
    Ok(removed)
}

/// The last time that anything was created, written or removed under `path`.
fn last_written(path: &Path) -> io::Result<SystemTime> {
    let metadata = fs::symlink_metadata(path)?;
    let mut newest = metadata.modified()?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            newest = newest.max(last_written(&entry?.path())?);
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_leftovers_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let old_job = parent.path().join("jobs/old/1");
        fs::create_dir_all(&old_job).unwrap();
        fs::write(old_job.join("data.arrow"), "x").unwrap();
        fs::write(parent.path().join("precious.txt"), "x").unwrap();

        let work_dir = WorkDir::open(Some(parent.path())).unwrap();

        assert_eq!(fs::read_dir(work_dir.jobs()).unwrap().count(), 0);
        assert_eq!(fs::read_dir(work_dir.spill()).unwrap().count(), 0);
        assert_eq!(fs::read_dir(work_dir.tables()).unwrap().count(), 0);
        drop(work_dir);
        assert!(parent.path().join("precious.txt").exists());
    }

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let first = WorkDir::open(Some(parent.path())).unwrap();
        let error = WorkDir::open(Some(parent.path())).unwrap_err();
        assert!(matches!(error, Error::WorkDirTaken { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(first);
        WorkDir::open(Some(parent.path())).unwrap();
    }

    #[test]
    fn a_path_that_is_no_directory_is_a_clear_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = WorkDir::open(Some(file.path())).unwrap_err();
        assert!(error.to_string().contains("executor.work_dir"), "{error}");
    }

    #[test]
    fn a_temporary_directory_goes_with_its_executor() {
        let work_dir = WorkDir::open(None).unwrap();
        let path = work_dir.path().to_path_buf();
        assert!(
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(TEMPORARY_PREFIX)
        );
        assert!(path.join("jobs").is_dir());
        drop(work_dir);
        assert!(!path.exists());
    }

    #[test]
    fn abandoned_temporary_directories_are_removed_but_not_those_in_use() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(format!("{TEMPORARY_PREFIX}{name}"));
        drop(WorkDir::open(Some(&path("killed"))).unwrap());
        let in_use = WorkDir::open(Some(&path("in-use"))).unwrap();
        fs::create_dir(path("starting")).unwrap();
        fs::create_dir(parent.path().join("of-others")).unwrap();

        remove_abandoned(parent.path());

        assert!(!path("killed").exists());
        assert!(
            in_use.path().exists() && path("starting").exists() && parent.path().join("of-others").exists()
        );
    }

    #[test]
    fn jobs_are_forgotten_by_their_last_write() {
        let jobs = tempfile::tempdir().unwrap();
        fs::create_dir_all(jobs.path().join("job/1")).unwrap();
        assert_eq!(
            remove_forgotten_jobs(jobs.path(), Duration::from_secs(3600)).unwrap(),
            0
        );
        assert_eq!(remove_forgotten_jobs(jobs.path(), Duration::ZERO).unwrap(), 1);
        assert!(!jobs.path().join("job").exists());
    }
}
