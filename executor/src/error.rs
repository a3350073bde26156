//! Why an executor does not start, or ended by itself.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use millpond_engine::memory;

/// Why an executor does not start, or ended by itself. The text says what to change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting has a value that cannot be used.
    #[error("{key}: {reason}")]
    Setting {
        /// The configuration key.
        key: &'static str,
        /// What is wrong with its value, and what would be right.
        reason: String,
    },
    /// The memory limit cannot be used.
    #[error("{0} (executor.memory_limit, executor.memory_fraction)")]
    Memory(#[from] memory::Error),
    /// A port cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; free the port, or set {key} to another one, or to 0 for any"
    )]
    Bind {
        /// Where the executor wanted to listen.
        address: SocketAddr,
        /// The configuration key of the port.
        key: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The name of the scheduler's host is unknown.
    #[error(
        "scheduler {scheduler} has no known address: {source}; check the host name in executor.scheduler"
    )]
    UnknownScheduler {
        /// The scheduler as it is configured.
        scheduler: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The scheduler will never accept this executor.
    #[error(
        "scheduler {scheduler} refuses this executor: {reason}; run the same version of millpond on all nodes"
    )]
    Refused {
        /// The scheduler as it is configured.
        scheduler: String,
        /// What the scheduler said.
        reason: String,
    },
    /// The work directory cannot be used.
    #[error("cannot use work directory {}: {source}; set executor.work_dir to a directory that can be written", .path.display())]
    WorkDir {
        /// The directory or the file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process works in this directory.
    #[error("work directory {} belongs to process {owner}; give every executor its own executor.work_dir", .path.display())]
    WorkDirTaken {
        /// The directory.
        path: PathBuf,
        /// The process id in its lock file, or `?`.
        owner: String,
    },
    /// Ballista keeps state per process, for one executor.
    #[error("this process runs an executor already; start another process for the next one")]
    SecondInProcess,
    /// The functions or the runtime of this node could not be set up.
    #[error("cannot set up query execution: {0}")]
    Runtime(#[from] datafusion::error::DataFusionError),
    /// A server or background task of the executor ended, which it must not do.
    #[error("the executor's {service} ended unexpectedly: {reason}")]
    ServiceEnded {
        /// Its name.
        service: &'static str,
        /// Why, as far as is known.
        reason: String,
    },
    /// One attempt to register failed, the next one may succeed.
    #[error("cannot register with scheduler {scheduler}: {reason}")]
    NotRegistered {
        /// The scheduler as it is configured.
        scheduler: String,
        /// Why this attempt failed.
        reason: String,
    },
}

impl Error {
    /// True if the same attempt may succeed later without anybody changing a setting.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::NotRegistered { .. })
    }
}
