//! Cores that following topics has for itself (`executor.ingest_cores`).
//!
//! The kernel shares the cores among all threads that want to run. Beside many tasks of statements the one thread of a table
//! gets little, and a busy topic takes from statements. With cores of their own, threads that follow topics, those of their
//! Kafka clients and those that write their checkpoints run on these, and all other threads of the process on the rest.
//! A thread begins on the cores of the one that starts it
//! ([`sched_setaffinity(2)`](https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html)), so only those that are there
//! already have to be moved.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::options::setting;

const KEY: &str = "executor.ingest_cores";

/// See the module. Without a division all threads share all cores.
#[derive(Debug, Default)]
pub(crate) struct IngestCores(Option<Divided>);

#[derive(Debug)]
struct Divided {
    ingest: Vec<usize>,
    others: Vec<usize>,
    /// Its threads are on the cores for ingest. There until the end.
    runtime: Option<Runtime>,
}

impl IngestCores {
    /// Gives following topics `count` of the cores that this process may use, and moves all its threads to the others; 0
    /// divides nothing.
    ///
    /// # Errors
    /// There are not more cores than that, or the system has no such call.
    pub(crate) fn divide(count: usize) -> Result<Self, Error> {
        if count == 0 {
            return Ok(Self::default());
        }
        let failed = |error: std::io::Error| setting(KEY, &count.to_string(), &error.to_string());
        let mut others = affinity::of_process().map_err(failed)?;
        if others.len() <= count {
            let remedy = format!("this process has {}, and statements need one", others.len());
            return Err(setting(KEY, &count.to_string(), &remedy));
        }
        let ingest = others.split_off(others.len() - count);
        affinity::move_threads(&others).map_err(failed)?;
        let cores = ingest.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name("ingest")
            .on_thread_start(move || enter(&cores))
            .enable_all()
            .build()
            .map_err(failed)?;
        tracing::info!(?ingest, ?others, "cores for following topics, and for all else");
        Ok(Self(Some(Divided {
            ingest,
            others,
            runtime: Some(runtime),
        })))
    }

    /// Runs something that starts threads, so that they are on the cores for ingest.
    pub(crate) fn start<T>(&self, start: impl FnOnce() -> T) -> T {
        let Some(divided) = &self.0 else { return start() };
        enter(&divided.ingest);
        let started = start();
        enter(&divided.others);
        started
    }

    /// Spawns a task whose threads are on these cores.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self.0.as_ref().and_then(|divided| divided.runtime.as_ref()) {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        }
    }
}

impl Drop for Divided {
    fn drop(&mut self) {
        // A runtime must not wait for its threads in a task of another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Moves this thread. One that cannot be moved works where it is.
fn enter(cores: &[usize]) {
    if let Err(error) = affinity::move_thread(0, cores) {
        tracing::warn!(?cores, %error, "a thread cannot be moved to its cores");
    }
}

#[cfg(target_os = "linux")]
mod affinity {
    use std::collections::HashSet;
    use std::io;

    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    /// The threads of this process, a folder for each: `proc_pid_task(5)`.
    const THREADS: &str = "/proc/self/task";

    pub(super) fn of_process() -> io::Result<Vec<usize>> {
        let set = sched_getaffinity(Pid::from_raw(0))?;
        let has = |core: &usize| set.is_set(*core).unwrap_or(false);
        Ok((0..CpuSet::count()).filter(has).collect())
    }

    /// Moves a thread by its number; 0 is this one.
    pub(super) fn move_thread(thread: i32, cores: &[usize]) -> io::Result<()> {
        let mut set = CpuSet::new();
        for core in cores {
            set.set(*core)?;
        }
        Ok(sched_setaffinity(Pid::from_raw(thread), &set)?)
    }

    /// Moves all threads, also those that others start meanwhile.
    pub(super) fn move_threads(cores: &[usize]) -> io::Result<()> {
        let mut moved = HashSet::new();
        loop {
            let before = moved.len();
            for entry in std::fs::read_dir(THREADS)? {
                let name = entry?.file_name();
                let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                match move_thread(thread, cores) {
                    Err(error) if error.raw_os_error() != Some(nix::libc::ESRCH) => return Err(error),
                    // It is moved, or has ended.
                    _ => moved.insert(thread),
                };
            }
            if moved.len() == before {
                return Ok(());
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod affinity {
    use std::io;

    pub(super) fn of_process() -> io::Result<Vec<usize>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn move_thread(_: i32, _: &[usize]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn move_threads(_: &[usize]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cores of a thread that something starts.
    fn started_by(cores: &IngestCores) -> Vec<usize> {
        let thread = cores.start(|| std::thread::spawn(|| affinity::of_process().unwrap()));
        thread.join().unwrap()
    }

    #[test]
    fn cores_that_are_not_there_are_refused() {
        let refused = IngestCores::divide(affinity::of_process().unwrap().len()).unwrap_err();
        assert!(refused.to_string().contains("executor.ingest_cores"), "{refused}");
        assert_eq!(
            started_by(&IngestCores::divide(0).unwrap()),
            affinity::of_process().unwrap()
        );
    }

    #[test]
    fn threads_that_are_started_have_cores_of_their_own() {
        let all = affinity::of_process().unwrap();
        let last = *all.last().unwrap();
        // Not by dividing, which would move the threads of other tests.
        let cores = IngestCores(Some(Divided {
            ingest: vec![last],
            others: all.clone(),
            runtime: None,
        }));
        assert_eq!(started_by(&cores), [last]);
        assert_eq!(affinity::of_process().unwrap(), all);
    }
}
