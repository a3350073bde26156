//! Which shards must stay: those of the newest catalog, of every version that a statement still reads, and of writes
//! that run. Executors are told to drop all others.
//!
//! That one rule frees what a failed or cancelled write has left, what a task that ran twice has left, old versions and
//! dropped tables, also when the scheduler that made them is gone. It is safe because of its order: first an executor
//! is asked what it has, then the running writes are read, then the versions. A write ends only after its commit,
//! so a shard is never seen as neither.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use millpond_engine::connections::Connections;
use millpond_engine::error::Error;
use millpond_engine::shards::{ShardId, Stored};
use millpond_proto::catalog::{MemoryTable, Relation, RelationKind};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::state::{CatalogLog, CatalogState};

/// How often executors are asked what they hold, if nothing has ended before.
const INTERVAL: Duration = Duration::from_secs(5);

/// Keeps and drops shards. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shards {
    inner: Arc<Inner>,
}

struct Inner {
    connections: Connections,
    writes: Mutex<HashSet<String>>,
    /// Versions that were handed out. A version lives as long as somebody reads it.
    versions: Mutex<Vec<Weak<CatalogState>>>,
    /// Something has ended that may have held shards.
    ended: Notify,
}

/// A write that runs; its shards stay until this is dropped.
pub(crate) struct RunningWrite {
    shards: Shards,
    id: String,
}

impl RunningWrite {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for RunningWrite {
    fn drop(&mut self) {
        self.shards.inner.writes.lock().remove(&self.id);
        self.shards.inner.ended.notify_one();
    }
}

impl Shards {
    pub(crate) fn new(connections: Connections) -> Self {
        Self {
            inner: Arc::new(Inner {
                connections,
                writes: Mutex::default(),
                versions: Mutex::default(),
                ended: Notify::new(),
            }),
        }
    }

    /// The newest version of the catalog, of which every shard stays while it is held.
    pub(crate) fn pin(&self, log: &CatalogLog) -> Arc<CatalogState> {
        let mut versions = self.inner.versions.lock();
        let current = log.current();
        let known = versions
            .last()
            .is_some_and(|last| last.as_ptr() == Arc::as_ptr(&current));
        if !known {
            versions.push(Arc::downgrade(&current));
        }
        current
    }

    /// Starts a write under a new name.
    pub(crate) fn start_write(&self) -> RunningWrite {
        let id = uuid::Uuid::new_v4().simple().to_string();
        self.inner.writes.lock().insert(id.clone());
        RunningWrite {
            shards: self.clone(),
            id,
        }
    }

    /// What an executor holds.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) async fn held_by(&self, holder: &str) -> Result<Vec<Stored>, Error> {
        self.inner.connections.list(holder).await
    }

    /// Drops what need not stay, again and again until `stop`.
    pub(crate) async fn sweep(self, cluster: Cluster, log: Arc<CatalogLog>, stop: CancellationToken) {
        loop {
            let waited = tokio::time::timeout(INTERVAL, self.inner.ended.notified());
            if stop.run_until_cancelled(waited).await.is_none() {
                return;
            }
            for holder in cluster.data_addresses().await {
                if let Err(error) = self.sweep_one(&holder, &log).await {
                    tracing::debug!(holder, %error, "look for shards to drop");
                }
            }
        }
    }

    async fn sweep_one(&self, holder: &str, log: &CatalogLog) -> Result<(), Error> {
        let held = self.inner.connections.list(holder).await?;
        let writes = self.inner.writes.lock().clone();
        let needed = self.needed(log);
        let dropped: Vec<ShardId> = held
            .iter()
            .filter(|shard| !writes.contains(&shard.write) && !needed.contains(&shard.id))
            .map(|shard| shard.id)
            .collect();
        if dropped.is_empty() {
            return Ok(());
        }
        // Another scheduler may have taken over; then what is needed is for it to say.
        log.check_lease().await?;
        tracing::debug!(holder, count = dropped.len(), "drop shards");
        self.inner.connections.drop_shards(holder, &dropped).await
    }

    /// Shards of the newest version and of all that are read.
    fn needed(&self, log: &CatalogLog) -> HashSet<ShardId> {
        let mut versions = self.inner.versions.lock();
        versions.retain(|version| version.strong_count() > 0);
        let mut read: Vec<Arc<CatalogState>> = versions.iter().filter_map(Weak::upgrade).collect();
        read.push(log.current());
        read.iter().flat_map(|version| shards_of(version)).collect()
    }
}

/// Rows of a relation that are in memory: its own, or those of its cache.
pub(crate) fn rows_of(relation: &Relation) -> Option<&MemoryTable> {
    match &relation.kind {
        Some(RelationKind::Memory(table)) => Some(table),
        _ => relation.cache.as_ref()?.rows.as_ref(),
    }
}

fn shards_of(version: &CatalogState) -> Vec<ShardId> {
    version
        .relations
        .values()
        .flat_map(|relation| rows_of(relation))
        .flat_map(|table| table.shards.iter().filter_map(|shard| shard.shard.parse().ok()))
        .collect()
}
