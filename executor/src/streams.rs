//! Tables that follow Kafka topics: the executor's part.
//!
//! The scheduler says which topic partitions this process follows ([`Streams::follow`]), all of them each time, so that
//! nothing has to be taken back. Each table has a thread of its own ([`follower`]), which has all of its topic
//! partitions ([`partition`]) and one client. Statements ask for what is there ([`Streams::pin`]); from then on it is a
//! shard like any other.
//!
//! ```text
//! scheduler ── follow ─► Streams ── commands ─► Follower (thread) ─► Partition ─► LiveShard
//!     └─────── pin ─────────┘ ◄── Shared (view, status, dead letters) ──┘
//! ```
//!
//! A process is known by an identifier of its own, for one that was started again has no rows.

mod access;
mod columns;
mod complaints;
mod describe;
mod follower;
mod framed;
mod growth;
mod identity;
mod lateness;
mod letterbox;
mod metrics;
mod partition;
mod preview;
mod pushed;
mod registry;
mod replay;
mod shared;
mod sink;
mod source;
mod stored;
mod tokens;
mod transaction;
mod watch;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use datafusion::execution::runtime_env::RuntimeEnv;
use millpond_engine::clock::now_ms;
use millpond_engine::error::{Code, Error};
use millpond_engine::models::Kept;
use millpond_engine::schema::{decode_schema, nullable};
use millpond_engine::shards::ShardStore;
use millpond_proto::Message as _;
use millpond_proto::stream::{
    DeadLetters, DescribeTopic, Follow, FollowPartition, FollowTable, Following, LettersReplayed,
    PartitionStatus, PinPartition, PinPartitions, Pinned, ReadLetters, ReplayLetters, TopicDescription,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub(crate) use self::access::Access;
pub(crate) use self::sink::Producers;

use self::follower::{Command, Follower};
pub use self::preview::{Preview, Previewed};
pub use self::registry::RegistrySettings;
use self::replay::Replay;
use self::shared::Shared;
use self::source::Source;
use self::stored::Stored;
use crate::ingest_cores::IngestCores;

/// Longest wait for the last checkpoints of a table when the process ends.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait until a table is followed as the catalog says, and how often to look.
const OPTIONS_TIMEOUT: Duration = Duration::from_secs(5);
const OPTIONS_PAUSE: Duration = Duration::from_millis(20);

/// See the module.
pub(crate) struct Streams {
    ingests: bool,
    /// Where threads of followed topics run.
    cores: IngestCores,
    /// How brokers are reached.
    access: Access,
    instance: String,
    store: Arc<ShardStore>,
    /// Reaches the state store.
    runtime: Arc<RuntimeEnv>,
    /// Sums of models over rows that are here.
    kept: Arc<Kept>,
    followed: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    /// The catalog that was followed last, and its version.
    catalog: String,
    version: u64,
    /// By identifier.
    tables: HashMap<String, Table>,
}

/// Where letters of a topic partition can be tried again.
type Place = (Arc<Source>, Arc<Shared>, Sender<Command>);

/// A table that is followed here.
struct Table {
    source: Arc<Source>,
    settings: HashMap<String, String>,
    /// As they were asked for.
    columns: Vec<u8>,
    paused: bool,
    /// Ends the thread when it is dropped.
    commands: Sender<Command>,
    thread: JoinHandle<()>,
    partitions: HashMap<u32, Followed>,
}

/// A topic partition that is followed here.
struct Followed {
    shared: Arc<Shared>,
    /// Begins it and stores its checkpoints.
    task: tokio::task::JoinHandle<()>,
}

impl Streams {
    /// Follows nothing yet. Rows go to `store`, checkpoints where `runtime` reaches, with what is `kept` of the rows. Threads are on `cores`. Without the role for it (`ingests`)
    /// the scheduler asks for nothing.
    pub(crate) fn new(
        store: Arc<ShardStore>,
        runtime: Arc<RuntimeEnv>,
        access: Access,
        kept: Arc<Kept>,
        ingests: bool,
        cores: IngestCores,
    ) -> Self {
        Self {
            ingests,
            cores,
            access,
            instance: uuid::Uuid::new_v4().simple().to_string(),
            store,
            runtime,
            kept,
            followed: Mutex::default(),
        }
    }

    /// Follows what it is told to, and nothing else any more. What an older version of the catalog says, or what was
    /// said to a process before this one, does not count.
    pub(crate) fn follow(&self, asked: &Follow) -> Following {
        let mut followed = self.followed.lock();
        if asked.catalog != followed.catalog || asked.version >= followed.version {
            followed.catalog.clone_from(&asked.catalog);
            followed.version = asked.version;
            let wanted = |id: &String| asked.tables.iter().any(|table| table.table_id == *id);
            followed.tables.retain(|id, table| wanted(id) || table.revoke());
            for table in &asked.tables {
                if let Err(error) = self.follow_table(&mut followed.tables, table, asked) {
                    tracing::error!(table = table.name, %error, "follow a topic");
                }
            }
        }
        self.following(&followed)
    }

    /// What is followed.
    pub(crate) fn status(&self) -> Following {
        self.following(&self.followed.lock())
    }

    /// Writes what is followed into the registry of metrics.
    pub(crate) fn publish_metrics(&self) {
        for table in self.followed.lock().tables.values() {
            for status in table.status() {
                metrics::publish(&table.source.name, &status, now_ms());
            }
        }
    }

    fn following(&self, followed: &Tables) -> Following {
        Following {
            instance: self.instance.clone(),
            partitions: followed.tables.values().flat_map(Table::status).collect(),
            no_ingest: !self.ingests,
            version: followed.version,
        }
    }

    fn follow_table(
        &self,
        tables: &mut HashMap<String, Table>,
        asked: &FollowTable,
        follow: &Follow,
    ) -> Result<(), Error> {
        let mine = |partition: &&FollowPartition| partition.instance == self.instance;
        let wanted: HashMap<u32, &FollowPartition> = asked
            .partitions
            .iter()
            .filter(mine)
            .map(|partition| (partition.number, partition))
            .collect();
        if wanted.is_empty() {
            if let Some(table) = tables.remove(&asked.table_id) {
                table.revoke();
            }
            return Ok(());
        }
        let table = match tables.entry(asked.table_id.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                let started = self
                    .cores
                    .start(|| Table::start(asked, follow.version, &self.access));
                free.insert(started?)
            }
        };
        let has_grown = table.source.partition_count != asked.partition_count as usize;
        if table.settings != asked.settings || table.columns != asked.arrow_schema || has_grown {
            table.set_source(asked, follow.version, &self.access)?;
        }
        table.heed(&wanted, asked.paused);
        for (number, partition) in wanted {
            if !table.partitions.contains_key(&number) {
                let followed = self.begin(table, partition.clone(), &follow.checkpoints);
                table.partitions.insert(number, followed);
            }
        }
        Ok(())
    }

    fn begin(&self, table: &Table, asked: FollowPartition, checkpoints: &str) -> Followed {
        let shared = Arc::new(Shared::new(&table.source, &asked));
        let stored = Stored {
            source: table.source.clone(),
            store: self.store.clone(),
            runtime: self.runtime.clone(),
            checkpoints: checkpoints.to_string(),
            instance: self.instance.clone(),
            asked,
            shared: shared.clone(),
            kept: self.kept.clone(),
        };
        let task = self.cores.spawn(stored.run(table.commands.clone()));
        Followed { shared, task }
    }

    /// Keeps what topic partitions have now for a statement, until the scheduler drops it.
    ///
    /// # Errors
    /// [`Code::SHARD_MOVED`] if one of them is followed elsewhere, or is not far enough.
    pub(crate) fn pin(&self, asked: &PinPartitions) -> Result<Pinned, Error> {
        let wanted: Vec<(Arc<Shared>, &PinPartition)> = {
            let followed = self.followed.lock();
            let table = followed.tables.get(&asked.table_id);
            let partitions = asked.partitions.iter().map(|wanted| {
                let followed = table.and_then(|table| table.partitions.get(&wanted.number));
                let shared = followed.map(|followed| &followed.shared);
                let shared = shared.filter(|shared| shared.epoch == wanted.epoch);
                shared
                    .map(|shared| (shared.clone(), wanted))
                    .ok_or_else(|| not_here(wanted.number))
            });
            partitions.collect::<Result<_, Error>>()?
        };
        let schema = decode_schema(&asked.arrow_schema).map_err(Error::from_datafusion)?;
        let schema = nullable(&schema);
        let pinned = wanted
            .iter()
            .map(|(shared, wanted)| shared.pin(&self.store, wanted, &schema, &asked.pin));
        Ok(Pinned {
            partitions: pinned.collect::<Result<_, Error>>()?,
        })
    }

    /// Looks at a topic before a table is made of it.
    ///
    /// # Errors
    /// Brokers that do not answer, a topic that is not there, messages that do not fit.
    pub(crate) async fn describe(&self, asked: DescribeTopic) -> Result<TopicDescription, Error> {
        let table = asked
            .table
            .ok_or_else(|| Error::bug("a topic to describe is missing"))?;
        let access = self.access.clone();
        let described = tokio::task::spawn_blocking(move || {
            if asked.wants_transactions {
                transaction::check(&access, &table)?;
                return Ok(TopicDescription::default());
            }
            let source = Source::new(&table, &access)?;
            match asked.wants_columns {
                true => columns::of(&source),
                false => describe::describe(&source),
            }
        });
        let described = described.await;
        described.map_err(|error| Error::bug(format!("describe a topic: {error}")))?
    }

    /// Tries dead letters again. What became of them is stored when this returns.
    ///
    /// # Errors
    /// [`Code::SHARD_MOVED`] if somebody else follows the topic partition, or this one follows it with other options;
    /// messages behind the letters that cannot be read; no memory.
    pub(crate) async fn replay(&self, asked: ReplayLetters) -> Result<LettersReplayed, Error> {
        let (source, shared, commands) = self.when_followed(&asked).await?;
        let read = tokio::task::spawn_blocking(move || {
            let mut replay = Replay::new(source, shared.clone(), &asked.offsets)?;
            replay.read_to(shared.position())?;
            Ok::<_, Error>(replay)
        });
        let replay = read
            .await
            .map_err(|error| Error::bug(format!("replay letters: {error}")))??;
        let (answer, answered) = oneshot::channel();
        let command = Command {
            replay: Some((replay, answer)),
            ..Command::default()
        };
        // A thread that has ended drops the answer.
        let _ = commands.send(command);
        drop(commands);
        answered.await.map_err(|_gone| not_stored())?
    }

    /// Other options take a moment to come here.
    async fn when_followed(&self, asked: &ReplayLetters) -> Result<Place, Error> {
        let deadline = Instant::now() + OPTIONS_TIMEOUT;
        loop {
            match self.to_replay(asked) {
                Err(_) if Instant::now() < deadline => tokio::time::sleep(OPTIONS_PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    fn to_replay(&self, asked: &ReplayLetters) -> Result<Place, Error> {
        let followed = self.followed.lock();
        let table = followed.tables.get(&asked.table_id);
        let table = table.filter(|table| table.settings == asked.settings);
        let found = table.and_then(|table| Some((table, table.partitions.get(&asked.number)?)));
        let found = found.filter(|(_, followed)| followed.shared.epoch == asked.epoch);
        let (table, followed) = found.ok_or_else(|| not_here(asked.number))?;
        Ok((
            table.source.clone(),
            followed.shared.clone(),
            table.commands.clone(),
        ))
    }

    /// Dead letters of topic partitions that are owned here: messages of [`DeadLetters`], one letter in each, for all of
    /// them may be more than fit into one.
    pub(crate) fn dead_letters(&self, asked: &ReadLetters) -> impl Iterator<Item = Vec<u8>> + Send + use<> {
        let owned: Vec<Arc<Shared>> = {
            let followed = self.followed.lock();
            let wanted = asked.partitions.iter();
            let owned = wanted.filter_map(|wanted| {
                let table = followed.tables.get(&wanted.table_id)?;
                let shared = &table.partitions.get(&wanted.number)?.shared;
                (shared.epoch == wanted.epoch).then(|| shared.clone())
            });
            owned.collect()
        };
        let letters = owned.into_iter().flat_map(|shared| shared.letters());
        letters.map(|letter| {
            let letters = vec![letter];
            DeadLetters { letters }.encode_to_vec()
        })
    }

    /// Stops following, and waits until everything is stored, for a while. It blocks.
    pub(crate) fn stop(&self, runtime: &tokio::runtime::Handle) {
        let tables = std::mem::take(&mut self.followed.lock().tables);
        let mut tasks = Vec::new();
        for Table {
            commands,
            thread,
            partitions,
            ..
        } in tables.into_values()
        {
            // One that has not begun yet has nothing to store, and would keep the thread.
            partitions.values().for_each(|followed| followed.shared.revoke());
            drop(commands);
            tasks.push((thread, partitions));
        }
        for (thread, partitions) in tasks {
            if thread.join().is_err() {
                tracing::error!("a thread that followed a topic has panicked");
            }
            let stored = partitions.into_values().map(|followed| followed.task);
            let all = tokio::time::timeout(STORE_TIMEOUT, futures::future::join_all(stored));
            if runtime.block_on(all).is_err() {
                tracing::warn!("the last checkpoints of a table were not stored in time");
            }
        }
    }
}

impl Table {
    fn start(asked: &FollowTable, version: u64, access: &Access) -> Result<Self, Error> {
        let source = Arc::new(Source::new(asked, access)?.followed_since(version));
        let (commands, received) = channel();
        let follower = Follower::new(source.clone(), received)?;
        let thread = std::thread::Builder::new()
            .name(format!("ingest {}", source.name))
            .spawn(move || follower.run());
        Ok(Self {
            source,
            settings: asked.settings.clone(),
            columns: asked.arrow_schema.clone(),
            paused: false,
            commands,
            thread: thread.map_err(|error| Error::bug(format!("start a thread: {error}")))?,
            partitions: HashMap::new(),
        })
    }

    /// Follows with other options from now on; what is read stays.
    fn set_source(&mut self, asked: &FollowTable, version: u64, access: &Access) -> Result<(), Error> {
        self.source = Arc::new(Source::new(asked, access)?.followed_since(version));
        self.settings.clone_from(&asked.settings);
        self.columns.clone_from(&asked.arrow_schema);
        let command = Command {
            source: Some(self.source.clone()),
            ..Command::default()
        };
        // A thread that has ended shows in the status.
        let _ = self.commands.send(command);
        Ok(())
    }

    /// Lets go of topic partitions that are not wanted any more, and tells the thread what else is new.
    fn heed(&mut self, wanted: &HashMap<u32, &FollowPartition>, paused: bool) {
        let wanted_as = |shared: &Shared| {
            let wanted = wanted.get(&shared.number);
            wanted.filter(|wanted| wanted.epoch == shared.epoch)
        };
        let mut command = Command::default();
        for followed in self.partitions.values() {
            let shared = &followed.shared;
            match wanted_as(shared) {
                None => {
                    shared.revoke();
                    command.remove.push(shared.number);
                }
                Some(wanted) if shared.is_standby() && !wanted.standby => {
                    shared.promote();
                    command.promote.push(shared.number);
                }
                Some(_) => {}
            }
        }
        for number in &command.remove {
            self.partitions.remove(number);
        }
        command.paused = (self.paused != paused).then_some(paused);
        self.paused = paused;
        if !command.is_empty() {
            // A thread that has ended shows in the status.
            let _ = self.commands.send(command);
        }
    }

    /// Somebody else follows it from now on, or nobody. Always false.
    fn revoke(&self) -> bool {
        self.partitions
            .values()
            .for_each(|followed| followed.shared.revoke());
        false
    }

    fn status(&self) -> impl Iterator<Item = PartitionStatus> {
        let has_ended = self.thread.is_finished();
        self.partitions.values().map(move |followed| {
            let mut status = followed.shared.status();
            if has_ended {
                status.state = "failed".to_string();
                status.reason =
                    "broken: the thread that follows the topic has ended, see the log".to_string();
            }
            status
        })
    }
}

fn not_here(number: u32) -> Error {
    Error::new(
        Code::SHARD_MOVED,
        format!("topic partition {number} is followed by another executor now"),
    )
    .with_hint("run the statement again")
}

fn not_stored() -> Error {
    Error::new(
        Code::STATE_UNREADABLE,
        "letters were tried again, and no checkpoint says so yet",
    )
    .with_hint("look at checkpoint_error in system.stream_partitions, and at system.dead_letters")
}
