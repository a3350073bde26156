//! Work that the scheduler gives itself: caches to refresh, lost tables to compute again, small shards to join, outboxes to
//! send.
//!
//! Whoever notices that something has to be done asks the [`Queue`]; one task of the front end runs what was asked for,
//! as statements that people can see ([`crate::statement`]).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::catalog::RelationKey;

/// Pause after work that failed, before it is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    /// Read the source of a cache again.
    Refresh(RelationKey),
    /// Compute a table again whose rows are lost.
    Rebuild(RelationKey),
    /// Make few shards of many small ones.
    Compact(RelationKey),
    /// Send the messages that wait in an outbox. It does not go through the queue.
    Send(RelationKey),
}

impl Task {
    /// The relation it is about.
    pub(crate) fn key(&self) -> &RelationKey {
        match self {
            Self::Refresh(key) | Self::Rebuild(key) | Self::Compact(key) | Self::Send(key) => key,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (schema, name) = self.key();
        let verb = match self {
            Self::Refresh(_) => "REFRESH",
            Self::Rebuild(_) => "REBUILD",
            Self::Compact(_) => "COMPACT",
            Self::Send(_) => "SEND",
        };
        write!(f, "{verb} TABLE {schema}.{name}")
    }
}

/// Work that waits. The same work waits or runs once at a time.
#[derive(Debug)]
pub(crate) struct Queue {
    asked: mpsc::UnboundedSender<Task>,
    open: Mutex<HashSet<Task>>,
    failed: Mutex<HashMap<Task, Instant>>,
}

impl Queue {
    /// An empty queue, and where its tasks come out.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Task>) {
        let (asked, tasks) = mpsc::unbounded_channel();
        let queue = Self {
            asked,
            open: Mutex::default(),
            failed: Mutex::default(),
        };
        (queue, tasks)
    }

    /// Asks for work, unless it waits already or has failed a moment ago.
    pub(crate) fn ask(&self, task: Task) {
        let failed = self.failed.lock().get(&task).copied();
        if failed.is_some_and(|failed| failed.elapsed() < RETRY_PAUSE) {
            return;
        }
        if self.open.lock().insert(task.clone()) {
            // The receiver is gone when the scheduler ends, and then nothing needs to be done any more.
            let _ = self.asked.send(task);
        }
    }

    /// Notes the end of work.
    pub(crate) fn done(&self, task: &Task, well: bool) {
        self.open.lock().remove(task);
        let mut failed = self.failed.lock();
        if well {
            failed.remove(task);
        } else {
            failed.insert(task.clone(), Instant::now());
        }
    }

    /// True if the last try has failed.
    pub(crate) fn has_failed(&self, task: &Task) -> bool {
        self.failed.lock().contains_key(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_work_once_at_a_time_and_not_soon_after_a_failure() {
        let (queue, mut tasks) = Queue::new();
        let task = Task::Refresh(("s".to_string(), "t".to_string()));
        queue.ask(task.clone());
        queue.ask(task.clone());
        assert_eq!(tasks.try_recv().unwrap(), task);
        assert!(tasks.try_recv().is_err());
        queue.done(&task, true);
        queue.ask(task.clone());
        assert!(tasks.try_recv().is_ok());
        queue.done(&task, false);
        assert!(queue.has_failed(&task));
        queue.ask(task);
        assert!(tasks.try_recv().is_err());
    }
}
