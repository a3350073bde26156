//! Tables that follow Kafka topics: the scheduler's part.
//!
//! The catalog says which executor follows which topic partition, and under which epoch; an owner is written there
//! before it starts. The [`Controller`] gives owners to topic partitions that have none and tells every executor, again
//! and again, all that it is to follow. A statement asks the owners to keep what they have ([`Streams::pin`]), once for
//! each table, and reads that as it reads any shard.
//!
//! ```text
//! catalog ─► Controller ── owners ─► catalog        statement ── pin ─► owners ─► shards at one position
//!                 └────── follow ──► executors ── how far they are ─► system.stream_partitions
//! ```

mod controller;
mod growth;
mod pins;
mod placement;
mod replay;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use futures::future::join_all;
use millpond_engine::connections::Connections;
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::decode_schema;
use millpond_proto::catalog::{KafkaTable, PartitionOwner, TopicPartition};
use millpond_proto::stream::{
    DeadLetter, DeadLetters, DescribeTopic, FollowPartition, FollowTable, Following, OwnedPartition,
    PartitionStatus, ReadLetters, TopicDescription,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::controller::Controller;
pub(crate) use self::pins::{LiveReads, Pin};
use crate::cluster::Cluster;
use crate::shards::Shards;
use crate::state::{CatalogLog, CatalogState, StateFolder};

/// The option that says where to begin, and its word for the end of the topic.
const STARTUP: &str = "scan.startup";
const LATEST: &str = "latest";

/// State of a topic partition that stands still because its table is paused.
const PAUSED: &str = "paused";
/// State of one that is not read again before a person has done something.
const FAILED: &str = "failed";

/// Knows who follows what. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Streams {
    inner: Arc<Inner>,
}

struct Inner {
    connections: Connections,
    cluster: Cluster,
    shards: Shards,
    log: Arc<CatalogLog>,
    /// Identifies a catalog that is gone with the scheduler; empty for one that is not.
    catalog: String,
    /// None: the state is gone with the scheduler, and so would be checkpoints.
    checkpoints: Option<StateFolder>,
    /// What each executor said last, by address.
    reports: Mutex<HashMap<String, Following>>,
    /// The highest position that a statement has seen, by table and topic partition.
    pinned: Mutex<HashMap<(String, u32), u64>>,
    /// The catalog has changed.
    changed: Notify,
    /// Held while topic partitions get owners.
    placing: tokio::sync::Mutex<()>,
    /// Tables whose topic partitions stay where they are.
    replaying: Mutex<HashSet<String>>,
}

impl Streams {
    pub(crate) fn new(
        connections: Connections,
        cluster: Cluster,
        shards: Shards,
        log: Arc<CatalogLog>,
        checkpoints: Option<StateFolder>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                connections,
                cluster,
                shards,
                log,
                catalog: match &checkpoints {
                    Some(_) => String::new(),
                    None => uuid::Uuid::new_v4().simple().to_string(),
                },
                checkpoints,
                reports: Mutex::default(),
                pinned: Mutex::default(),
                changed: Notify::new(),
                placing: tokio::sync::Mutex::default(),
                replaying: Mutex::default(),
            }),
        }
    }

    /// Has executors told at once what has changed.
    pub(crate) fn look_now(&self) {
        self.inner.changed.notify_one();
    }

    /// Asks an executor to look at the topic of a table that is to be made.
    ///
    /// # Errors
    /// No executor, or what it says is wrong with brokers, topic, options or messages.
    pub(crate) async fn describe(&self, table: &KafkaTable, name: &str) -> Result<TopicDescription, Error> {
        self.ask_about(&describing(table, name)).await
    }

    /// Has an executor look whether the brokers of a table have transactions.
    ///
    /// # Errors
    /// They have none, or as for [`Streams::describe`].
    pub(crate) async fn check_transactions(&self, table: &KafkaTable, name: &str) -> Result<(), Error> {
        let request = DescribeTopic {
            wants_transactions: true,
            ..describing(table, name)
        };
        self.ask_about(&request).await.map(drop)
    }

    /// Asks an executor for the columns that the messages of a topic have, and for the names of those of the key.
    ///
    /// # Errors
    /// As for [`Streams::describe`], and a registry of schemas that does not answer.
    pub(crate) async fn columns(
        &self,
        table: &KafkaTable,
        name: &str,
    ) -> Result<(SchemaRef, Vec<String>), Error> {
        let request = DescribeTopic {
            wants_columns: true,
            ..describing(table, name)
        };
        let described = self.ask_about(&request).await?;
        let columns = decode_schema(&described.columns).map_err(Error::from_datafusion)?;
        Ok((columns, described.key))
    }

    async fn ask_about(&self, request: &DescribeTopic) -> Result<TopicDescription, Error> {
        let mut lost = None;
        for member in self.inner.cluster.members().await {
            if member.draining {
                continue;
            }
            let answer = self.inner.connections.describe_topic(&member.address, request);
            match answer.await {
                // It may be gone, which shows only after a while.
                Err(error) if error.code == Code::EXECUTOR_LOST => lost = Some(error),
                answer => return answer,
            }
        }
        Err(lost.unwrap_or_else(|| {
            Error::new(Code::NO_EXECUTORS, "there is no executor to look at the topic")
                .with_hint("start an executor: it must reach the brokers")
        }))
    }

    /// Where the topic of a table ends now, by topic partition.
    ///
    /// # Errors
    /// As for [`Streams::describe`].
    pub(crate) async fn ends(&self, table: &KafkaTable, name: &str) -> Result<HashMap<u32, u64>, Error> {
        let mut latest = table.clone();
        latest.settings.insert(STARTUP.to_string(), LATEST.to_string());
        let described = self.describe(&latest, name).await?;
        Ok((0..).zip(described.starts).collect())
    }

    /// How far a topic partition is, as its owner said last.
    pub(crate) fn status_of(
        &self,
        table_id: &str,
        number: u32,
        owner: &PartitionOwner,
    ) -> Option<PartitionStatus> {
        let reports = self.inner.reports.lock();
        let mine = |status: &&PartitionStatus| {
            status.table_id == table_id && status.number == number && status.epoch == owner.epoch
        };
        reports.get(&owner.address)?.partitions.iter().find(mine).cloned()
    }

    /// The offset at which a topic partition of a paused table stands still, as its owner has said since it was told this
    /// version of the catalog.
    fn stands_at(&self, table_id: &str, partition: &TopicPartition, version: u64) -> Option<u64> {
        let status = self.status_since(table_id, partition, version)?;
        (status.state == PAUSED).then_some(status.position)
    }

    /// True if somebody may still read the topic of a paused table, as its owners have said since they were told this version
    /// of the catalog.
    pub(crate) fn reads_on(&self, table: &KafkaTable, version: u64) -> bool {
        table.partitions.iter().any(|partition| {
            let status = self.status_since(&table.table_id, partition, version);
            let stands = |status: &PartitionStatus| matches!(status.state.as_str(), PAUSED | FAILED);
            partition.owner.is_some() && !status.as_ref().is_some_and(stands)
        })
    }

    /// True if the owners of a table have said that they read with the options and columns of this version of the catalog,
    /// which are others than those before.
    pub(crate) fn follows_as(&self, table: &KafkaTable, version: u64) -> bool {
        table.partitions.iter().all(|partition| {
            let owner = partition.owner.as_ref();
            let status = owner.and_then(|owner| self.status_of(&table.table_id, partition.number, owner));
            let heeds = |status: PartitionStatus| status.follows_version >= version || status.state == FAILED;
            owner.is_none() || status.is_some_and(heeds)
        })
    }

    fn status_since(
        &self,
        table_id: &str,
        partition: &TopicPartition,
        version: u64,
    ) -> Option<PartitionStatus> {
        let owner = partition.owner.as_ref()?;
        let knows = |report: &Following| report.version >= version;
        if !self.inner.reports.lock().get(&owner.address).is_some_and(knows) {
            return None;
        }
        self.status_of(table_id, partition.number, owner)
    }

    /// The columns that a table should get, as one of its owners says, in IPC form.
    fn wanted_columns(&self, table: &KafkaTable) -> Option<Vec<u8>> {
        let mut wanted = self.statuses(table).map(|status| status.wanted_columns);
        wanted.find(|columns| !columns.is_empty())
    }

    /// How many partitions the topic of a table has now, as far as its owners know; 0 if the topic may be another one.
    fn topic_partitions(&self, table: &KafkaTable) -> u32 {
        let statuses: Vec<PartitionStatus> = self.statuses(table).collect();
        match statuses.iter().any(|status| status.state == FAILED) {
            true => 0,
            false => {
                let counts = statuses.iter().map(|status| status.topic_partitions);
                counts.max().unwrap_or(0)
            }
        }
    }

    /// What the owners of a table have said last.
    fn statuses(&self, table: &KafkaTable) -> impl Iterator<Item = PartitionStatus> {
        table.partitions.iter().filter_map(|partition| {
            let owner = partition.owner.as_ref()?;
            self.status_of(&table.table_id, partition.number, owner)
        })
    }

    /// True if an executor neither follows a topic partition nor is about to.
    pub(crate) fn is_free(version: &CatalogState, address: &str) -> bool {
        let mut partitions = version.kafka_tables().flat_map(|(_, table)| &table.partitions);
        partitions.all(|partition| {
            let mut owners = partition.owner.iter().chain(&partition.standby);
            owners.all(|owner| owner.address != address)
        })
    }

    /// Asks all executors how far they are, so that [`Streams::status_of`] is of now.
    pub(crate) async fn refresh(&self) {
        let members = self.inner.cluster.members().await;
        let addresses = members.iter().map(|member| member.address.as_str());
        self.ask(&addresses.collect()).await;
    }

    /// Asks the owners of a table's topic partitions how far they are.
    pub(crate) async fn refresh_table(&self, table: &KafkaTable) {
        let owners = table
            .partitions
            .iter()
            .filter_map(|partition| partition.owner.as_ref());
        self.ask(&owners.map(|owner| owner.address.as_str()).collect())
            .await;
    }

    async fn ask(&self, executors: &BTreeSet<&str>) {
        let asked =
            executors.iter().map(
                async |address| match self.inner.connections.following(address).await {
                    Ok(report) => {
                        self.inner.reports.lock().insert((*address).to_string(), report);
                    }
                    Err(error) => tracing::debug!(%error, "ask an executor what it follows"),
                },
            );
        join_all(asked).await;
    }

    /// Dead letters of all tables, as the owners of their topic partitions have them; one that does not answer has none.
    pub(crate) async fn dead_letters(&self, version: &CatalogState) -> Vec<DeadLetter> {
        let mut asked: HashMap<&str, ReadLetters> = HashMap::new();
        for (_, table) in version.kafka_tables() {
            for partition in &table.partitions {
                if let Some(owner) = &partition.owner {
                    let request = asked.entry(&owner.address).or_default();
                    request.partitions.push(OwnedPartition {
                        table_id: table.table_id.clone(),
                        number: partition.number,
                        epoch: owner.epoch,
                    });
                }
            }
        }
        let asked = asked.iter().map(async |(address, request)| {
            let answer = self.inner.connections.dead_letters(address, request).await;
            answer.unwrap_or_else(|error| {
                tracing::warn!(executor = address, %error, "ask for dead letters");
                DeadLetters::default()
            })
        });
        let answers = join_all(asked).await;
        answers.into_iter().flat_map(|answer| answer.letters).collect()
    }
}

/// What an executor is asked about the topic of a table.
fn describing(table: &KafkaTable, name: &str) -> DescribeTopic {
    DescribeTopic {
        table: Some(to_follow(name, table, Vec::new())),
        ..DescribeTopic::default()
    }
}

/// What an executor is told of a table.
fn to_follow(name: &str, table: &KafkaTable, partitions: Vec<FollowPartition>) -> FollowTable {
    FollowTable {
        table_id: table.table_id.clone(),
        name: name.to_string(),
        arrow_schema: table.arrow_schema.clone(),
        brokers: table.brokers.clone(),
        topic: table.topic.clone(),
        key: table.key.clone(),
        settings: table.settings.clone(),
        partition_count: table.partitions.len() as u32,
        paused: table.paused,
        partitions,
    }
}
