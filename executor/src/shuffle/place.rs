//! The folder of all jobs on a memory file system, with links to the disk for what does not fit.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ballista_core::JobId;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use millpond_engine::memory::Bytes;
use parking_lot::Mutex;
use uuid::Uuid;

use super::ledger::{Attempt, Ledger};
use super::memory_fs;
use super::output::{Output, stage_path};
use crate::budget::Budget;
use crate::work_dir::WorkDir;

/// Part of the executor's memory that is used if no number is configured: one of so many.
const SHARE_OF_MEMORY: u64 = 8;
/// A limit below this is not worth the trouble.
const LIMIT_BYTES_MIN: u64 = 4 << 20;
/// How often running tasks are measured.
const MEASURE_INTERVAL: Duration = Duration::from_millis(50);
/// How long memory is left alone after it was full in spite of the limit, because others use it too.
const PAUSE: Duration = Duration::from_secs(10);
/// A file in the folder of a stage, which goes when Ballista removes the stage. The folder alone proves nothing: a
/// task that was cancelled may make it anew.
const MARKER: &str = ".held";
/// Start of the name of a folder that is about to be removed.
const REMOVED_PREFIX: &str = "removed-";

/// Where tasks write what the next stages read.
#[derive(Debug)]
pub(crate) struct ShuffleDir {
    memory: PathBuf,
    disk: PathBuf,
    limit_bytes: u64,
    ledger: Mutex<Ledger>,
    paused_until: Mutex<Option<Instant>>,
    tasks_in_memory: AtomicU64,
    tasks_on_disk: AtomicU64,
}

/// What is in use at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ShuffleUse {
    pub(crate) limit_bytes: u64,
    pub(crate) memory_bytes: u64,
    /// Tasks since the start that wrote to memory.
    pub(crate) tasks_in_memory: u64,
    /// Tasks since the start that wrote to disk.
    pub(crate) tasks_on_disk: u64,
}

impl ShuffleDir {
    /// Takes a folder on the memory file system at `parent`, with links to `disk`. The folder is removed when the
    /// [`WorkDir`] is dropped. What killed executors left there is removed first.
    ///
    /// The limit is `configured_bytes`, or else an eighth of `budget`, and no more than half of what is free.
    ///
    /// # Errors
    /// Why there is no memory to use, for the log.
    pub(crate) fn open(
        parent: &Path,
        configured_bytes: Option<u64>,
        disk: PathBuf,
        budget: &Arc<Budget>,
    ) -> Result<(Arc<Self>, WorkDir), String> {
        if !memory_fs::is_in_memory(parent).map_err(|error| error.to_string())? {
            return Err(String::from("it is not a memory file system"));
        }
        let folder = WorkDir::fresh_in(parent).map_err(|error| error.to_string())?;
        let free = memory_fs::free_bytes(parent).map_err(|error| error.to_string())?;
        let wanted = configured_bytes.unwrap_or(budget.limit_bytes() as u64 / SHARE_OF_MEMORY);
        let limit_bytes = wanted.min(free / 2);
        if limit_bytes < LIMIT_BYTES_MIN {
            return Err(format!("too little is free there, {}", Bytes(free)));
        }
        Ok((
            Arc::new(Self::new(folder.jobs(), disk, limit_bytes, budget)),
            folder,
        ))
    }

    fn new(memory: PathBuf, disk: PathBuf, limit_bytes: u64, budget: &Arc<Budget>) -> Self {
        // A task without vcores has no floor: all comes from the part that is promised to nobody.
        let pool: Arc<dyn MemoryPool> = budget.start_task(0);
        let reservation = MemoryConsumer::new("results of stages in memory").register(&pool);
        Self {
            memory,
            disk,
            limit_bytes,
            ledger: Mutex::new(Ledger::new(limit_bytes, reservation)),
            paused_until: Mutex::default(),
            tasks_in_memory: AtomicU64::new(0),
            tasks_on_disk: AtomicU64::new(0),
        }
    }

    /// The folder that Ballista is told.
    pub(crate) fn jobs(&self) -> &Path {
        &self.memory
    }

    /// Bytes that may be in memory.
    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// What is in use now.
    pub(crate) fn in_use(&self) -> ShuffleUse {
        ShuffleUse {
            limit_bytes: self.limit_bytes,
            memory_bytes: self.ledger.lock().bytes(),
            tasks_in_memory: self.tasks_in_memory.load(Ordering::Relaxed),
            tasks_on_disk: self.tasks_on_disk.load(Ordering::Relaxed),
        }
    }

    /// Decides where a task writes and prepares the place.
    ///
    /// # Errors
    /// Neither memory nor disk can be written.
    pub(super) fn place(
        self: &Arc<Self>,
        job: &JobId,
        stage: usize,
        task: usize,
        output: Output,
    ) -> io::Result<Place> {
        let key = (job.clone(), stage);
        let free = self.free_bytes();
        let started = self.ledger.lock().start_in_memory(&key, task, free);
        let started = started.or_else(|| {
            // A job may have been removed since the last time that somebody looked.
            self.forget_removed();
            self.ledger.lock().start_in_memory(&key, task, free)
        });
        let in_memory = started.is_some();
        let attempt = started.unwrap_or_else(|| self.ledger.lock().start_on_disk(key, task));
        let place = Place {
            dir: self.clone(),
            attempt,
            output,
            in_memory,
            over: AtomicBool::new(false),
        };
        self.prepare(&place)?;
        let counter = if in_memory {
            &self.tasks_in_memory
        } else {
            &self.tasks_on_disk
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(place)
    }

    fn prepare(&self, place: &Place) -> io::Result<()> {
        let (job, stage) = &place.attempt.stage;
        let stage = self.memory.join(stage_path(job, *stage));
        fs::create_dir_all(&stage)?;
        File::create(stage.join(MARKER))?;
        if place.in_memory {
            place.output.prepare_in_memory(&self.memory, &self.disk)
        } else {
            place.output.prepare_on_disk(&self.memory, &self.disk)
        }
    }

    /// Bytes that tasks may write to the file system; none for a while after it was full.
    fn free_bytes(&self) -> u64 {
        let paused = self
            .paused_until
            .lock()
            .is_some_and(|until| Instant::now() < until);
        if paused {
            return 0;
        }
        memory_fs::free_bytes(&self.memory).unwrap_or(0)
    }

    fn forget_removed(&self) {
        let is_there =
            |(job, stage): &(JobId, usize)| self.memory.join(stage_path(job, *stage)).join(MARKER).exists();
        self.ledger.lock().forget(is_there);
    }

    /// Removes from both file systems what belongs to no stage that is known: disk data whose links Ballista has
    /// removed, and what cancelled tasks wrote after that. To be called about once a second.
    pub(crate) fn sweep(&self) {
        self.forget_removed();
        for root in [&self.memory, &self.disk] {
            for unknown in self.take_unknown(root) {
                if let Err(error) = fs::remove_dir_all(&unknown) {
                    tracing::debug!(path = %unknown.display(), %error, "cannot remove data of a removed job");
                }
            }
        }
    }

    /// Renames folders of unknown jobs and stages, so that nobody writes to them while they are removed.
    fn take_unknown(&self, root: &Path) -> Vec<PathBuf> {
        // One lock over looking and renaming, or a stage that starts in between would lose its folder.
        let ledger = self.ledger.lock();
        let mut taken = Vec::new();
        for (job, path) in folders(root) {
            if job.starts_with(REMOVED_PREFIX) {
                taken.push(path);
            } else if !ledger.knows_job(&job) {
                taken.extend(take(root, &path));
            } else {
                let stages = folders(&path).filter(|(stage, _)| !ledger.knows_stage(&job, stage));
                taken.extend(stages.filter_map(|(_, path)| take(root, &path)));
            }
        }
        taken
    }
}

/// Name and path of every folder in a folder.
fn folders(parent: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
}

fn take(root: &Path, path: &Path) -> Option<PathBuf> {
    let taken = root.join(format!("{REMOVED_PREFIX}{}", Uuid::new_v4().simple()));
    fs::rename(path, &taken).is_ok().then_some(taken)
}

/// Where one run of a task writes. Unless it is told to keep it, what was written goes with it.
#[derive(Debug)]
pub(super) struct Place {
    dir: Arc<ShuffleDir>,
    attempt: Attempt,
    output: Output,
    in_memory: bool,
    over: AtomicBool,
}

impl Place {
    /// False if the task writes to disk.
    pub(super) fn is_in_memory(&self) -> bool {
        self.in_memory
    }

    /// Resolves when the task has written more to memory than there is room for; never for one that writes to disk.
    pub(super) async fn outgrown(&self) -> io::Error {
        if !self.in_memory {
            return std::future::pending().await;
        }
        let mut ticks = tokio::time::interval(MEASURE_INTERVAL);
        loop {
            ticks.tick().await;
            let bytes = self.output.bytes(&self.dir.memory);
            if !self.dir.ledger.lock().grow(&self.attempt, bytes) {
                return io::Error::new(
                    io::ErrorKind::StorageFull,
                    format!(
                        "{} are more than executor.shuffle_memory has room for",
                        Bytes(bytes)
                    ),
                );
            }
        }
    }

    /// The task has ended well: what it wrote stays until the job is removed.
    pub(super) fn keep(&self) {
        self.over.store(true, Ordering::Release);
        let bytes = if self.in_memory {
            self.output.bytes(&self.dir.memory)
        } else {
            0
        };
        self.dir.ledger.lock().keep(&self.attempt, bytes);
        self.remove_spills();
    }

    /// The task has filled the memory: what it wrote goes at once, and its stage writes to disk from now on.
    pub(super) fn avoid_memory(&self) {
        let (job, stage) = &self.attempt.stage;
        tracing::info!(%job, stage, task = self.attempt.task, "no room for the stage in memory, it goes to disk");
        self.dir.ledger.lock().avoid_memory(&self.attempt.stage);
        let free = memory_fs::free_bytes(&self.dir.memory).unwrap_or(0);
        if free < self.dir.limit_bytes {
            *self.dir.paused_until.lock() = Some(Instant::now() + PAUSE);
        }
        self.discard();
    }

    fn discard(&self) {
        if self.over.swap(true, Ordering::AcqRel) {
            return;
        }
        // With a later attempt of the same task the paths are that one's. No such one starts while this is locked.
        let mut ledger = self.dir.ledger.lock();
        if ledger.discard(&self.attempt) {
            for root in [&self.dir.memory, &self.dir.disk] {
                if let Err(error) = self.output.remove(root) {
                    tracing::debug!(%error, "cannot remove what a failed task wrote");
                }
            }
        }
    }

    /// Of a task that writes to memory only spills are on disk, and Ballista removes no more than links to them.
    fn remove_spills(&self) {
        if self.in_memory
            && let Err(error) = self.output.remove(&self.dir.disk)
        {
            tracing::debug!(%error, "cannot remove what a task spilled");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.discard();
    }
}

#[cfg(test)]
mod tests;
