//! Keeps shards where they have to be: frees what need not stay, and mends what the loss of executors has left.
//!
//! It works in rounds. One begins when something has ended that may have held shards, when an executor has come or
//! gone, and every few seconds. All executors are asked what they hold; what they hold needlessly they drop, and what
//! is missing is copied from a replica or read from a snapshot, table by table. What can be found nowhere is computed
//! again, if that is possible, by the front end.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use millpond_engine::error::Error;
use millpond_engine::shards::{ShardId, Snapshots, Stored};
use millpond_proto::catalog::{
    Change, ChangeKind, MemoryTable, PlaceShards, Relation, RelationKind, ShardPlaces, TableShard,
};
use millpond_proto::plan::{SaveShards, ShardCopy};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::copies::TableCopies;
use super::placement::{Copies, Has, Member, Members, Need, holders};
use super::{Shards, rows_of};
use crate::catalog::{Durable, RelationKey, TableOptions};
use crate::cluster::{self, Cluster};
use crate::state::CatalogLog;
use crate::upkeep::{Queue, Task};

/// How often executors are asked what they hold, if nothing has happened before.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often to look whether an executor has come or gone.
const MEMBERS_INTERVAL: Duration = Duration::from_millis(200);
/// Longest wait for a connection when looking whether a process is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Shortest time between two looks for snapshots that may go: listing an object store costs money.
const SNAPSHOTS_INTERVAL: Duration = Duration::from_secs(15);
/// Rows below which a shard is called small, and how many of them a table may have.
const SMALL_ROWS: u64 = 65_536;
const SMALL_SHARDS_MAX: usize = 16;

/// True if a shard is better joined with others.
pub(crate) fn is_small(shard: &TableShard) -> bool {
    shard.rows < SMALL_ROWS
}

/// See the module.
pub(crate) struct Keeper {
    shards: Shards,
    cluster: Cluster,
    log: Arc<CatalogLog>,
    upkeep: Arc<Queue>,
    /// Until then an executor that was never there may only not have come back to this scheduler yet.
    patient_until: Instant,
    /// Addresses of all executors that ever were there.
    seen: Mutex<HashSet<String>>,
}

/// What the executors hold that are there.
struct Held {
    /// By the address of the executor; `None` if it did not answer.
    shards: HashMap<String, Option<Vec<Stored>>>,
    members: Members,
}

impl Held {
    /// `may_come`: whether an executor that is not there may yet come back.
    fn has(&self, address: &str, shard: ShardId, may_come: impl Fn(&str) -> bool) -> Has {
        match self.shards.get(address) {
            Some(Some(held)) if held.iter().any(|stored| stored.id == shard) => Has::Yes,
            Some(Some(_)) => Has::No,
            Some(None) => Has::Unknown,
            None if may_come(address) => Has::Unknown,
            None => Has::No,
        }
    }
}

impl Keeper {
    /// For `patience` after its start, executors that are missing are waited for, unless they were there already.
    pub(crate) fn new(
        shards: Shards,
        cluster: Cluster,
        log: Arc<CatalogLog>,
        upkeep: Arc<Queue>,
        patience: Duration,
    ) -> Self {
        Self {
            shards,
            cluster,
            log,
            upkeep,
            patient_until: Instant::now() + patience,
            seen: Mutex::default(),
        }
    }

    /// Works until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut swept: Option<(Instant, u64)> = None;
        let mut known = Vec::new();
        while stop.run_until_cancelled(self.wait(&mut known)).await.is_some() {
            if let Err(error) = self.round().await {
                tracing::debug!(%error, "keep shards");
            }
            let version = self.log.current().version;
            let due = swept.is_none_or(|(at, of)| of != version && at.elapsed() >= SNAPSHOTS_INTERVAL);
            if due {
                swept = Some((Instant::now(), version));
                if let Err(error) = self.sweep_snapshots().await {
                    tracing::warn!(%error, "look for snapshots to delete");
                }
            }
        }
    }

    /// Returns when a round is due. `known` are the executors of the last one.
    async fn wait(&self, known: &mut Vec<(String, bool)>) {
        let deadline = tokio::time::Instant::now() + INTERVAL;
        loop {
            let members = self.members().await;
            if members != *known {
                *known = members;
                return;
            }
            tokio::select! {
                () = self.shards.inner.ended.notified() => return,
                () = tokio::time::sleep_until(deadline) => return,
                () = tokio::time::sleep(MEMBERS_INTERVAL) => {}
            }
        }
    }

    /// Address of each executor, and whether it drains.
    async fn members(&self) -> Vec<(String, bool)> {
        let members = self.cluster.members().await;
        members
            .into_iter()
            .map(|member| (member.address, member.draining))
            .collect()
    }

    async fn round(&self) -> Result<(), Error> {
        // Older than the answers: whatever it names must be with an executor by then.
        let version = self.log.current();
        let held = self.ask().await;
        self.drop_needless(&held).await;
        for (key, relation) in &version.relations {
            if let Some(table) = rows_of(relation) {
                let mut members = held.members.clone();
                let mended = self.mend(key, relation, table, &held, &mut members).await;
                if let Err(error) = mended {
                    tracing::warn!(schema = key.0, table = key.1, %error, "mend a table");
                }
            }
        }
        Ok(())
    }

    async fn ask(&self) -> Held {
        let asked = self.cluster.members().await.into_iter().map(async |member| {
            let held = match self.shards.held_by(&member.address).await {
                Ok(held) => Some(held),
                Err(error) => {
                    tracing::debug!(%error, "ask for shards");
                    self.give_up_if_gone(&member).await;
                    None
                }
            };
            let bytes = held.iter().flatten().map(|stored| stored.bytes as u64).sum();
            let (address, draining) = (member.address, member.draining);
            (
                Member {
                    address,
                    draining,
                    bytes,
                },
                held,
            )
        });
        let answers = join_all(asked).await;
        self.seen
            .lock()
            .extend(answers.iter().map(|(member, _)| member.address.clone()));
        // One that does not answer cannot take anything.
        let answering = answers.iter().filter(|(_, held)| held.is_some());
        Held {
            members: Members::new(answering.map(|(member, _)| member.clone()).collect()),
            shards: answers
                .into_iter()
                .map(|(member, held)| (member.address, held))
                .collect(),
        }
    }

    /// A port that nobody listens on belongs to a process that has ended; silence may have other reasons.
    async fn give_up_if_gone(&self, member: &cluster::Member) {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&member.address)).await;
        if let Ok(Err(error)) = connected
            && error.kind() == ErrorKind::ConnectionRefused
        {
            self.cluster.give_up(&member.id).await;
        }
    }

    async fn drop_needless(&self, held: &Held) {
        let writes = self.shards.inner.writes.lock().clone();
        let needed = self.shards.needed(&self.log);
        for (holder, stored) in &held.shards {
            let needless: Vec<ShardId> = stored
                .iter()
                .flatten()
                .filter(|shard| !writes.contains(&shard.write) && !needed.is_at(shard.id, holder))
                .map(|shard| shard.id)
                .collect();
            if let Err(error) = self.drop_at(holder, &needless).await {
                tracing::debug!(holder, %error, "drop shards");
            }
        }
    }

    async fn drop_at(&self, holder: &str, needless: &[ShardId]) -> Result<(), Error> {
        if needless.is_empty() {
            return Ok(());
        }
        // Another scheduler may have taken over; then what is needed is for it to say.
        self.log.check_lease().await?;
        tracing::debug!(holder, count = needless.len(), "drop shards");
        self.shards.drop_at(holder, needless).await
    }

    /// Deletes snapshots of shards that need not stay.
    async fn sweep_snapshots(&self) -> Result<(), Error> {
        let Some(folder) = &self.shards.inner.snapshots else {
            return Ok(());
        };
        let mut snapshots = folder.list().await?;
        let writes: HashSet<String> = self.shards.inner.writes.lock().clone();
        let needed = self.shards.needed(&self.log);
        snapshots.retain(|snapshot| match snapshot.split_once('/') {
            Some((write, _)) => !writes.contains(write) && !needed.snapshots.contains(snapshot),
            None => false,
        });
        if snapshots.is_empty() {
            return Ok(());
        }
        self.log.check_lease().await?;
        tracing::debug!(count = snapshots.len(), "delete snapshots");
        folder.delete(snapshots).await?;
        Ok(())
    }

    /// Brings the shards of one table to where they have to be.
    async fn mend(
        &self,
        key: &RelationKey,
        relation: &Relation,
        table: &MemoryTable,
        held: &Held,
        members: &mut Members,
    ) -> Result<(), Error> {
        let options = TableOptions::of(settings_of(relation));
        let patient = Instant::now() < self.patient_until;
        let seen = self.seen.lock().clone();
        let may_come = |address: &str| patient && !seen.contains(address);
        let (mut places, mut copies, mut lost) = (Vec::new(), Vec::new(), 0);
        for shard in &table.shards {
            let id: ShardId = shard.shard.parse()?;
            let has = |address: &str| held.has(address, id, may_come);
            match members.need(shard, has, options.replicas) {
                Need::Nothing => {}
                Need::Places(holders) => places.push(placed(shard, holders)),
                Need::Copies(needed) => copies.push((shard, needed)),
                Need::Lost => lost += 1,
            }
        }
        if lost > 0 {
            self.ask_for_rows(key, relation, table);
        }
        // Protects the copies until the catalog names them. Its end calls for a round, so it is for copies only.
        let write = (!copies.is_empty()).then(|| self.shards.start_write());
        if let Some(write) = &write {
            places.extend(self.copy(key, table, &options, write.id(), &copies).await);
        }
        self.commit(key, table, places).await?;
        if relation.cache.is_none() {
            self.save_missing(key, table, &options, held).await?;
            self.compact_later(key, table);
        }
        Ok(())
    }

    async fn copy(
        &self,
        key: &RelationKey,
        table: &MemoryTable,
        options: &TableOptions,
        write: &str,
        copies: &[(&TableShard, Copies)],
    ) -> Vec<ShardPlaces> {
        let start = Instant::now();
        let about = TableCopies {
            table: &key.1,
            write,
            arrow_schema: &table.arrow_schema,
            storage_level: &options.storage_level,
        };
        let (places, failed) = self.shards.copy(&about, copies).await;
        let (schema, name, elapsed) = (&key.0, &key.1, start.elapsed());
        tracing::info!(
            schema,
            table = name,
            shards = places.len(),
            ?elapsed,
            "copied shards"
        );
        if let Some(error) = failed {
            tracing::warn!(schema, table = name, %error, "copy shards");
        }
        places
    }

    async fn commit(
        &self,
        key: &RelationKey,
        table: &MemoryTable,
        places: Vec<ShardPlaces>,
    ) -> Result<(), Error> {
        if places.is_empty() {
            return Ok(());
        }
        let placed = ChangeKind::PlaceShards(PlaceShards {
            schema: key.0.clone(),
            name: key.1.clone(),
            table_id: table.table_id.clone(),
            places,
        });
        self.log.commit(vec![Change { kind: Some(placed) }]).await?;
        Ok(())
    }

    /// Has rows made again that are nowhere any more.
    fn ask_for_rows(&self, key: &RelationKey, relation: &Relation, table: &MemoryTable) {
        if relation.cache.is_some() {
            self.upkeep.ask(Task::Refresh(key.clone()));
        } else if table.lineage.is_some() {
            self.upkeep.ask(Task::Rebuild(key.clone()));
        }
    }

    fn compact_later(&self, key: &RelationKey, table: &MemoryTable) {
        if table.outbox.is_some() {
            return;
        }
        let executors: HashSet<&String> = table.shards.iter().flat_map(holders).collect();
        let buckets: HashSet<u32> = table.shards.iter().filter_map(|shard| shard.bucket).collect();
        // After it there may be one for each executor or hash class still.
        let most = SMALL_SHARDS_MAX.max(2 * executors.len()).max(2 * buckets.len());
        if table.shards.iter().filter(|shard| is_small(shard)).count() > most {
            self.upkeep.ask(Task::Compact(key.clone()));
        }
    }

    /// Has snapshots written of shards that have none and should.
    async fn save_missing(
        &self,
        key: &RelationKey,
        table: &MemoryTable,
        options: &TableOptions,
        held: &Held,
    ) -> Result<(), Error> {
        let folder = self.shards.snapshot_url();
        if options.durable == Durable::Off || folder.is_empty() {
            return Ok(());
        }
        let mut by_holder: HashMap<&String, Vec<&TableShard>> = HashMap::new();
        for shard in table.shards.iter().filter(|shard| shard.snapshot.is_empty()) {
            let id: ShardId = shard.shard.parse()?;
            let holder = holders(shard).find(|holder| held.has(holder, id, |_| false) == Has::Yes);
            if let Some(holder) = holder {
                by_holder.entry(holder).or_default().push(shard);
            }
        }
        for (holder, shards) in by_holder {
            let path = |shard: &TableShard| -> Result<String, Error> {
                Ok(Snapshots::path_of(&table.table_id, shard.shard.parse()?))
            };
            let wanted = shards.iter().map(|shard| {
                Ok(ShardCopy {
                    shard: shard.shard.clone(),
                    snapshot: path(shard)?,
                    ..Default::default()
                })
            });
            let request = SaveShards {
                snapshots: folder.to_string(),
                shards: wanted.collect::<Result<_, Error>>()?,
            };
            self.shards
                .inner
                .connections
                .save_shards(holder, &request)
                .await?;
            let places = shards.iter().map(|shard| {
                Ok(ShardPlaces {
                    snapshot: path(shard)?,
                    ..placed(shard, holders(shard).cloned().collect())
                })
            });
            self.commit(key, table, places.collect::<Result<_, Error>>()?)
                .await?;
        }
        Ok(())
    }
}

fn placed(shard: &TableShard, holders: Vec<String>) -> ShardPlaces {
    ShardPlaces {
        shard: shard.shard.clone(),
        holders,
        snapshot: shard.snapshot.clone(),
    }
}

/// Options of a table, or of the cache of something else.
fn settings_of(relation: &Relation) -> &HashMap<String, String> {
    static NONE: std::sync::LazyLock<HashMap<String, String>> = std::sync::LazyLock::new(HashMap::new);
    match (&relation.kind, &relation.cache) {
        (Some(RelationKind::Memory(table)), _) => &table.settings,
        (_, Some(cache)) => &cache.settings,
        _ => &NONE,
    }
}
