//! The loop that keeps topic partitions followed.
//!
//! A round begins when the catalog has changed and every second. Executors say which process they are; topic partitions
//! whose owner is gone get another one, in the catalog; then every executor is told what it follows, and says how far
//! it is. All of it can be repeated at any time, by another scheduler too.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use millpond_proto::catalog::{
    Change, ChangeKind, KafkaTable, PartitionOwner, PlacePartitions, Relation, TopicPartition,
};
use millpond_proto::stream::{Follow, FollowPartition, FollowTable};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::placement::{Candidate, Placement};
use super::{Streams, growth, to_follow};
use crate::cluster::Member;
use crate::state::{CatalogLog, CatalogState, Error, StateFolder};

/// How often executors are told, if nothing has changed.
const INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for a connection when looking whether a process is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Shortest time between two looks for checkpoints that may go: listing an object store costs money.
const SWEEP_INTERVAL: Duration = Duration::from_secs(15);

/// See the module.
pub(crate) struct Controller {
    streams: Streams,
    log: Arc<CatalogLog>,
    /// Until then an executor that was never there may only not have come back to this scheduler yet.
    patient_until: Instant,
    seen: HashSet<String>,
    /// When and at which version of the catalog it was looked for checkpoints that may go.
    swept: Option<(Instant, u64)>,
}

impl Controller {
    /// For `patience` after its start, owners that are missing are waited for, unless they were there already.
    pub(crate) fn new(streams: Streams, log: Arc<CatalogLog>, patience: Duration) -> Self {
        Self {
            streams,
            log,
            patient_until: Instant::now() + patience,
            seen: HashSet::new(),
            swept: None,
        }
    }

    /// Works until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            self.round().await;
            let changed = tokio::time::timeout(INTERVAL, self.streams.inner.changed.notified());
            if stop.run_until_cancelled(changed).await.is_none() {
                return;
            }
        }
    }

    async fn round(&mut self) {
        let members = self.streams.inner.cluster.members().await;
        self.seen
            .extend(members.iter().map(|member| member.address.clone()));
        self.forget_the_gone(&members);
        self.streams.forget_tables(&self.log.current());
        if self.log.current().kafka_tables().next().is_some() {
            self.meet(&members).await;
            self.place(&members).await;
        }
        self.tell(&members).await;
        self.record_pauses().await;
        self.grow().await;
        self.sweep().await;
    }

    /// Has checkpoints deleted of tables that there are no more, from time to time.
    async fn sweep(&mut self) {
        let version = self.log.current().version;
        let is_due = |(at, of): (Instant, u64)| of != version && at.elapsed() >= SWEEP_INTERVAL;
        if self.swept.is_none_or(is_due) {
            self.swept = Some((Instant::now(), version));
            if let Err(error) = self.delete_needless().await {
                tracing::warn!(%error, "look for checkpoints to delete");
            }
        }
    }

    async fn delete_needless(&self) -> Result<(), Error> {
        let Some(folder) = &self.streams.inner.checkpoints else {
            return Ok(());
        };
        let mut files = folder.list().await?;
        // Newer than the list: a table whose files are in it is in the catalog.
        let version = self.log.current();
        let tables: HashSet<&str> = version
            .kafka_tables()
            .map(|(_, table)| table.table_id.as_str())
            .collect();
        let is_needless = |(table, _): (&str, &str)| !tables.contains(table);
        files.retain(|file| file.split_once('/').is_some_and(is_needless));
        if files.is_empty() {
            return Ok(());
        }
        // Another scheduler may have taken over; then what is needed is for it to say.
        self.log.check_lease().await?;
        tracing::debug!(count = files.len(), "delete checkpoints of dropped tables");
        folder.delete(files).await
    }

    fn forget_the_gone(&self, members: &[Member]) {
        let is_there = |address: &str| members.iter().any(|member| member.address == address);
        self.streams
            .inner
            .reports
            .lock()
            .retain(|address, _| is_there(address));
    }

    /// Asks executors that have not said yet which process they are.
    async fn meet(&self, members: &[Member]) {
        let unknown = {
            let reports = self.streams.inner.reports.lock();
            let addresses = members.iter().map(|member| member.address.as_str());
            addresses
                .filter(|address| !reports.contains_key(*address))
                .collect()
        };
        self.streams.ask(&unknown).await;
    }

    async fn place(&self, members: &[Member]) {
        let _placing = self.streams.inner.placing.lock().await;
        let version = self.log.current();
        let tables: Vec<(&Relation, &KafkaTable)> = version.kafka_tables().collect();
        let patient = Instant::now() < self.patient_until;
        // One that is registered and has not answered is waited for as well.
        let is_silent = |address: &str| {
            let is_member = members.iter().any(|member| member.address == address);
            is_member && !self.streams.inner.reports.lock().contains_key(address)
        };
        let ended = match patient {
            true => self.ended_owners(&version, members).await,
            false => HashSet::new(),
        };
        let may_come = |address: &str| {
            is_silent(address) || patient && !self.seen.contains(address) && !ended.contains(address)
        };
        let status = |table: &KafkaTable, partition: &TopicPartition, owner: &PartitionOwner| {
            self.streams.status_of(&table.table_id, partition.number, owner)
        };
        let of_tables: Vec<&KafkaTable> = tables.iter().map(|(_, table)| *table).collect();
        let mut placement =
            Placement::new(self.candidates(members), &of_tables).staying(self.streams.replaying());
        let mut placed: Vec<Vec<TopicPartition>> = of_tables
            .iter()
            .map(|table| placement.mend(table, &may_come, &status))
            .collect();
        // What is being mended comes first.
        if !patient && placed.iter().all(Vec::is_empty) {
            placed = placement.balance(&of_tables);
        }
        for ((relation, table), partitions) in tables.into_iter().zip(placed) {
            if !partitions.is_empty() {
                self.commit(relation, table, partitions).await;
            }
        }
    }

    /// Writes down where topic partitions of paused tables stand still, so that whoever follows them next stops there too.
    async fn record_pauses(&self) {
        let version = self.log.current();
        for (relation, table) in version.kafka_tables().filter(|(_, table)| table.paused) {
            let mut stand = Vec::new();
            for partition in table
                .partitions
                .iter()
                .filter(|partition| partition.paused_at.is_none())
            {
                let paused_at = self
                    .streams
                    .stands_at(&table.table_id, partition, version.version);
                if paused_at.is_some() {
                    stand.push(TopicPartition {
                        paused_at,
                        ..partition.clone()
                    });
                }
            }
            if !stand.is_empty() {
                self.commit(relation, table, stand).await;
                self.streams.look_now();
            }
        }
    }

    /// Gives tables the topic partitions that their topics have got, and the columns that their messages have.
    async fn grow(&self) {
        let version = self.log.current();
        for (relation, table) in version.kafka_tables() {
            let count = self.streams.topic_partitions(table);
            let partitions = growth::more_partitions(relation, table, count);
            let columns = self
                .streams
                .wanted_columns(table)
                .map(|wanted| growth::change(relation, table, &wanted));
            let changes = match columns.transpose() {
                Ok(columns) => partitions.into_iter().chain(columns.flatten()),
                Err(error) => {
                    tracing::warn!(table = relation.name, %error, "give a table the columns of its messages");
                    continue;
                }
            };
            for kind in changes {
                match self.log.commit(vec![Change { kind: Some(kind) }]).await {
                    Ok(_) => {
                        tracing::info!(
                            table = relation.name,
                            "a table has what its topic has more of now"
                        );
                        self.streams.look_now();
                    }
                    Err(error) => tracing::warn!(table = relation.name, %error, "have a table grow"),
                }
            }
        }
    }

    /// Owners that are not there and whose port nobody listens on: their processes have ended and do not come back.
    async fn ended_owners(&self, version: &CatalogState, members: &[Member]) -> HashSet<String> {
        let owners = version.kafka_tables().flat_map(|(_, table)| &table.partitions);
        let addresses: HashSet<&str> = owners
            .filter_map(|partition| Some(partition.owner.as_ref()?.address.as_str()))
            .collect();
        let absent = addresses
            .into_iter()
            .filter(|address| !members.iter().any(|member| member.address == *address));
        let asked = absent.map(async |address| {
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
            let refused = matches!(connected, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused);
            refused.then(|| address.to_string())
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    fn candidates(&self, members: &[Member]) -> Vec<Candidate> {
        let reports = self.streams.inner.reports.lock();
        let candidate = |member: &Member| {
            Some(Candidate {
                address: member.address.clone(),
                instance: reports.get(&member.address)?.instance.clone(),
                closed: member.draining || reports.get(&member.address)?.no_ingest,
            })
        };
        members.iter().filter_map(candidate).collect()
    }

    async fn commit(&self, relation: &Relation, table: &KafkaTable, partitions: Vec<TopicPartition>) {
        tracing::info!(
            table = relation.name,
            partitions = partitions.len(),
            "topic partitions are placed"
        );
        let placed = ChangeKind::PlacePartitions(PlacePartitions {
            schema: relation.schema.clone(),
            name: relation.name.clone(),
            table_id: table.table_id.clone(),
            partitions,
        });
        if let Err(error) = self.log.commit(vec![Change { kind: Some(placed) }]).await {
            tracing::warn!(table = relation.name, %error, "place topic partitions");
        }
    }

    /// Tells every executor all that it follows.
    async fn tell(&self, members: &[Member]) {
        let version = self.log.current();
        let mut wanted: HashMap<&str, Vec<FollowTable>> = HashMap::new();
        for (relation, table) in version.kafka_tables() {
            for member in members {
                let partitions = followed_by(table, &member.address);
                if !partitions.is_empty() {
                    let name = format!("{}.{}", relation.schema, relation.name);
                    let table = to_follow(&name, table, partitions);
                    wanted.entry(&member.address).or_default().push(table);
                }
            }
        }
        let inner = &self.streams.inner;
        let checkpoints = inner.checkpoints.as_ref().map_or("", StateFolder::url);
        let told = members.iter().map(|member| {
            let tables = wanted.remove(member.address.as_str()).unwrap_or_default();
            async {
                let follows = inner
                    .reports
                    .lock()
                    .get(&member.address)
                    .is_some_and(|report| !report.partitions.is_empty());
                if tables.is_empty() && !follows {
                    return;
                }
                let request = Follow {
                    version: version.version,
                    tables,
                    checkpoints: checkpoints.to_string(),
                    catalog: inner.catalog.clone(),
                };
                match inner.connections.follow(&member.address, &request).await {
                    Ok(report) => {
                        inner.reports.lock().insert(member.address.clone(), report);
                    }
                    Err(error) => {
                        // A process that was started again must say so before it is trusted.
                        inner.reports.lock().remove(&member.address);
                        tracing::debug!(%error, "tell an executor what it follows");
                    }
                }
            }
        });
        join_all(told.collect::<Vec<_>>()).await;
    }
}

/// What an executor follows of a table, as owner or as standby.
fn followed_by(table: &KafkaTable, address: &str) -> Vec<FollowPartition> {
    let mut followed = Vec::new();
    for partition in &table.partitions {
        for (owner, standby) in [(&partition.owner, false), (&partition.standby, true)] {
            if let Some(owner) = owner.as_ref().filter(|owner| owner.address == address) {
                followed.push(FollowPartition {
                    number: partition.number,
                    start: partition.start,
                    instance: owner.instance.clone(),
                    epoch: owner.epoch,
                    standby,
                    paused_at: partition.paused_at,
                    added: partition.added,
                });
            }
        }
    }
    followed
}
