//! The one task that writes the log of this process.
//!
//! It takes what waits in the queue, checks each request against the catalog, writes the changes of all that fit as
//! one entry, and answers. A request that does not fit fails alone. After a lost lease it refuses everything.

use std::sync::Arc;
use std::time::Duration;

use millpond_proto::catalog::Change;
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use super::attempt::{Attempt, check_newest};
use super::compaction::compact;
use super::load::load;
use super::log::Current;
use super::{CatalogState, Error, Store};

/// Most requests that share one entry.
const MAX_GROUP: usize = 256;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// Make these changes, all or none.
    Commit {
        /// In order.
        changes: Vec<Change>,
        /// Gets the version that has them.
        reply: oneshot::Sender<Result<u64, Error>>,
    },
    /// Find out whether this process may still write.
    CheckLease {
        /// Gets the answer.
        reply: oneshot::Sender<Result<(), Error>>,
    },
}

/// How often the writer does what does not have to be done at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Entries between two snapshots.
    pub(super) snapshot_interval: u64,
    /// Time until an entry whose fate is open is sent again; each further time takes longer.
    pub(super) retry_delay: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            snapshot_interval: 256,
            retry_delay: Duration::from_millis(100),
        }
    }
}

/// State of the writing task.
#[derive(Debug)]
pub(super) struct Writer {
    store: Store,
    id: String,
    pace: Pace,
    current: Current,
    snapshot_version: u64,
    /// An entry whose fate is open. It comes before any other.
    open: Option<Attempt>,
    /// Why this process must not write any more.
    lost: Option<Error>,
}

impl Writer {
    /// Loads the newest version and writes a lease after it.
    ///
    /// # Errors
    /// See [`super::CatalogLog::open`].
    pub(super) async fn take_over(store: Store, id: &str, pace: Pace) -> Result<(Self, Current), Error> {
        loop {
            let loaded = load(&store).await?;
            let mut lease = Attempt::new(&loaded.state, id, Vec::new())?;
            match lease.settle(&store, pace.retry_delay).await {
                Ok(()) => {
                    let current = Arc::new(RwLock::new(Arc::new(lease.state)));
                    let (id, snapshot_version) = (id.to_string(), loaded.snapshot_version);
                    let shared = current.clone();
                    return Ok((
                        Self {
                            store,
                            id,
                            pace,
                            current,
                            snapshot_version,
                            open: None,
                            lost: None,
                        },
                        shared,
                    ));
                }
                // Somebody else was faster. Whoever comes last shall serve, so look again.
                Err(Error::LeaseLost { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Serves requests until nobody can send any more.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut requests = Vec::new();
        while queue.recv_many(&mut requests, MAX_GROUP).await > 0 {
            self.serve(requests.drain(..)).await;
            self.compact_if_due().await;
        }
    }

    async fn serve(&mut self, requests: impl Iterator<Item = Request>) {
        let settled = self.settle_open().await;
        let mut group = Group::after(self.state());
        let mut checks = Vec::new();
        for request in requests {
            match request {
                Request::Commit { changes, reply } => group.add(changes, reply),
                Request::CheckLease { reply } => checks.push(reply),
            }
        }
        let written = match settled {
            Ok(()) => self.write(&mut group).await,
            Err(error) => Err(error),
        };
        group.answer(&written);
        if !checks.is_empty() {
            let checked = self.check_lease(written).await;
            // A caller that has gone needs no answer.
            checks
                .into_iter()
                .for_each(|reply| drop(reply.send(checked.clone())));
        }
    }

    /// Writes the changes of a group, if it has any, and gives the version that has them.
    async fn write(&mut self, group: &mut Group) -> Result<u64, Error> {
        let changes = std::mem::take(&mut group.changes);
        let before = self.state();
        if changes.is_empty() {
            return Ok(before.version);
        }
        let attempt = Attempt::new(&before, &self.id, changes)?;
        self.settle(attempt).await
    }

    /// Finds out what became of an entry whose fate was open.
    async fn settle_open(&mut self) -> Result<(), Error> {
        if let Some(error) = &self.lost {
            return Err(error.clone());
        }
        match self.open.take() {
            Some(attempt) => self.settle(attempt).await.map(drop),
            None => Ok(()),
        }
    }

    async fn settle(&mut self, mut attempt: Attempt) -> Result<u64, Error> {
        let settled = attempt.settle(&self.store, self.pace.retry_delay).await;
        match settled {
            Ok(()) => {
                let version = attempt.state.version;
                *self.current.write() = Arc::new(attempt.state);
                Ok(version)
            }
            Err(error) => {
                match &error {
                    Error::LeaseLost { .. } => self.lost = Some(error.clone()),
                    Error::Unconfirmed { .. } => self.open = Some(attempt),
                    _ => {}
                }
                Err(error)
            }
        }
    }

    async fn check_lease(&mut self, written: Result<u64, Error>) -> Result<(), Error> {
        let version = written?;
        let checked = check_newest(&self.store, version).await;
        if let Err(error @ Error::LeaseLost { .. }) = &checked {
            self.lost = Some(error.clone());
        }
        checked
    }

    async fn compact_if_due(&mut self) {
        let state = self.state();
        if self.lost.is_some() || state.version - self.snapshot_version < self.pace.snapshot_interval {
            return;
        }
        match compact(&self.store, &state).await {
            Ok(()) => self.snapshot_version = state.version,
            Err(error) => {
                tracing::warn!(%error, version = state.version, "the catalog log cannot be compacted now")
            }
        }
    }

    fn state(&self) -> Arc<CatalogState> {
        self.current.read().clone()
    }
}

/// A caller and what its own changes came to.
type Waiting = (oneshot::Sender<Result<u64, Error>>, Result<(), Error>);

/// Commits that share one entry.
struct Group {
    /// The catalog with the changes of all that fit so far.
    state: CatalogState,
    changes: Vec<Change>,
    /// Who waits, and what is wrong with the changes, if anything is.
    waiting: Vec<Waiting>,
}

impl Group {
    fn after(state: Arc<CatalogState>) -> Self {
        Self {
            state: state.as_ref().clone(),
            changes: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Takes the changes of one commit, or none of them if one does not fit.
    fn add(&mut self, changes: Vec<Change>, reply: oneshot::Sender<Result<u64, Error>>) {
        let mut state = self.state.clone();
        let fits = changes.iter().try_for_each(|change| state.apply(change));
        if fits.is_ok() {
            self.state = state;
            self.changes.extend(changes);
        }
        self.waiting.push((reply, fits));
    }

    /// Tells everybody. A refusal counts only if the entry was written, because it may rest on changes in it.
    fn answer(self, written: &Result<u64, Error>) {
        for (reply, fits) in self.waiting {
            // A caller that has gone needs no answer.
            drop(reply.send(written.clone().and_then(|version| fits.map(|()| version))));
        }
    }
}
