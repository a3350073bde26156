//! The scheduler's door to the catalog: what there is, and how to change it.

use std::fmt;
use std::sync::Arc;

use millpond_proto::catalog::Change;
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use super::writer::{Pace, Request, Writer};
use super::{CatalogState, Error, Store};

/// Requests that wait for the writer before callers are made to wait.
const QUEUE_LENGTH: usize = 1024;

/// The version that readers see. It is replaced as a whole.
pub(super) type Current = Arc<RwLock<Arc<CatalogState>>>;

/// The catalog of the cluster, held under a lease.
///
/// Writes go through one task that ends when this is dropped; a commit whose caller goes away is still carried out.
pub struct CatalogLog {
    current: Current,
    requests: mpsc::Sender<Request>,
}

impl CatalogLog {
    /// Loads the newest version and takes over the lease: whoever held it can write no more.
    ///
    /// `writer_id` is unique to this process. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::TooNew`], [`Error::UnknownChange`], [`Error::Damaged`], [`Error::Missing`], and failures of the store.
    pub async fn open(store: Store, writer_id: &str) -> Result<Self, Error> {
        Self::open_at_pace(store, writer_id, Pace::default()).await
    }

    pub(super) async fn open_at_pace(store: Store, writer_id: &str, pace: Pace) -> Result<Self, Error> {
        let (writer, current) = Writer::take_over(store, writer_id, pace).await?;
        let (requests, queue) = mpsc::channel(QUEUE_LENGTH);
        tokio::spawn(writer.run(queue));
        Ok(Self { current, requests })
    }

    /// The newest version that this process knows of. It holds no lock and never changes.
    pub fn current(&self) -> Arc<CatalogState> {
        self.current.read().clone()
    }

    /// Makes changes, all or none of them, and gives the version that has them. They are durable then and
    /// [`Self::current`] shows them. Commits that wait at the same time share one write and one version.
    ///
    /// # Errors
    /// The refusals of [`CatalogState::apply`]; [`Error::LeaseLost`] after which this process must stop;
    /// [`Error::Unconfirmed`] if the store has failed in a way that leaves open whether the changes were made.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<u64, Error> {
        if changes.is_empty() {
            return Ok(self.current().version);
        }
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Commit { changes, reply }, answer).await
    }

    /// Checks that no other process has taken over. To be called every few seconds, because a scheduler that writes
    /// nothing would not find out otherwise.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if one has; any other error means that it could not be found out.
    pub async fn check_lease(&self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::CheckLease { reply }, answer).await
    }

    async fn ask<T>(
        &self,
        request: Request,
        answer: oneshot::Receiver<Result<T, Error>>,
    ) -> Result<T, Error> {
        self.requests.send(request).await.map_err(|_| Error::Closed)?;
        answer.await.unwrap_or(Err(Error::Closed))
    }
}

impl fmt::Debug for CatalogLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CatalogLog")
            .field("version", &self.current().version)
            .finish_non_exhaustive()
    }
}
