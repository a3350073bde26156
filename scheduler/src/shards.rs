//! The shards of all executors: which must stay, and where they have to be.
//!
//! Those of the newest catalog must stay, of every version that a statement still reads, and of writes that run.
//! Executors are told to drop all others, and the state store loses snapshots of all others.
//!
//! That one rule frees what a failed or cancelled write has left, what a task that ran twice has left, old versions and
//! dropped tables, also when the scheduler that made them is gone. It is safe because of its order: first an executor
//! is asked what it has, then the running writes are read, then the versions. A write ends only after its commit,
//! so a shard is never seen as neither.
//!
//! ```text
//! keeper: what do executors hold? ─┬─► more than is needed: drop
//!                                  └─► less: copy from a replica or a snapshot ─► PlaceShards in the catalog
//! ```

mod copies;
mod keeper;
mod placement;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use millpond_engine::connections::Connections;
use millpond_engine::error::Error;
use millpond_engine::shards::{ShardId, Stored};
use millpond_proto::catalog::{MemoryTable, Relation, RelationKind, TableShard};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::copies::TableCopies;
pub(crate) use self::keeper::Keeper;
pub(crate) use self::keeper::is_small;
pub(crate) use self::placement::{Copies, Has, Member, Members, Need, holders};
use crate::state::{CatalogLog, CatalogState, StateFolder};

/// Keeps and drops shards. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shards {
    inner: Arc<Inner>,
}

struct Inner {
    connections: Connections,
    /// None: the state is gone with the scheduler, and so would be snapshots.
    snapshots: Option<StateFolder>,
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
    /// Nothing is left of it to look for.
    is_clean: bool,
}

impl RunningWrite {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Ends it when its shards have been dropped already.
    pub(crate) fn end_clean(mut self) {
        self.is_clean = true;
    }
}

impl Drop for RunningWrite {
    fn drop(&mut self) {
        self.shards.inner.writes.lock().remove(&self.id);
        if !self.is_clean {
            self.shards.inner.ended.notify_one();
        }
    }
}

impl Shards {
    pub(crate) fn new(connections: Connections, snapshots: Option<StateFolder>) -> Self {
        Self {
            inner: Arc::new(Inner {
                connections,
                snapshots,
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

    /// URL of the folder where executors put snapshots; empty if there is none.
    pub(crate) fn snapshot_url(&self) -> &str {
        self.inner.snapshots.as_ref().map_or("", StateFolder::url)
    }

    /// True if an executor holds nothing that has to stay there.
    pub(crate) fn is_free(&self, log: &CatalogLog, address: &str) -> bool {
        let needed = self.needed(log);
        !needed.holders.values().any(|holders| holders.contains(address))
    }

    /// Has executors asked at once what they hold.
    pub(crate) fn look_now(&self) {
        self.inner.ended.notify_one();
    }

    /// Starts a write under a new name.
    pub(crate) fn start_write(&self) -> RunningWrite {
        let id = uuid::Uuid::new_v4().simple().to_string();
        self.inner.writes.lock().insert(id.clone());
        RunningWrite {
            shards: self.clone(),
            id,
            is_clean: false,
        }
    }

    /// Has an executor drop shards.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) async fn drop_at(&self, holder: &str, shards: &[ShardId]) -> Result<(), Error> {
        self.inner.connections.drop_shards(holder, shards).await
    }

    /// What an executor holds.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) async fn held_by(&self, holder: &str) -> Result<Vec<Stored>, Error> {
        self.inner.connections.list(holder).await
    }

    /// Where each shard must stay: of the newest version and of all that are read.
    fn needed(&self, log: &CatalogLog) -> Needed {
        let mut versions = self.inner.versions.lock();
        versions.retain(|version| version.strong_count() > 0);
        let mut read: Vec<Arc<CatalogState>> = versions.iter().filter_map(Weak::upgrade).collect();
        read.push(log.current());
        let mut needed = Needed::default();
        for version in &read {
            for shard in shards_of(version) {
                needed.add(shard);
            }
        }
        needed
    }
}

/// Shards that must stay.
#[derive(Default)]
struct Needed {
    holders: HashMap<ShardId, HashSet<String>>,
    snapshots: HashSet<String>,
}

impl Needed {
    fn add(&mut self, shard: &TableShard) {
        if let Ok(id) = shard.shard.parse() {
            let holders = self.holders.entry(id).or_default();
            holders.extend(placement::holders(shard).cloned());
        }
        if !shard.snapshot.is_empty() {
            self.snapshots.insert(shard.snapshot.clone());
        }
    }

    fn is_at(&self, shard: ShardId, holder: &str) -> bool {
        self.holders
            .get(&shard)
            .is_some_and(|holders| holders.contains(holder))
    }
}

/// Rows of a relation that are in memory: its own, or those of its cache.
pub(crate) fn rows_of(relation: &Relation) -> Option<&MemoryTable> {
    match &relation.kind {
        Some(RelationKind::Memory(table)) => Some(table),
        _ => relation.cache.as_ref()?.rows.as_ref(),
    }
}

fn shards_of(version: &CatalogState) -> impl Iterator<Item = &TableShard> {
    let tables = version
        .relations
        .values()
        .filter_map(|relation| rows_of(relation));
    tables.flat_map(|table| &table.shards)
}
