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

mod describe;
mod follower;
mod partition;
mod shared;
mod source;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use millpond_engine::error::{Code, Error};
use millpond_engine::shards::ShardStore;
use millpond_proto::stream::{
    DeadLetters, DescribeTopic, Follow, FollowPartition, FollowTable, Following, PartitionStatus,
    PinPartition, PinPartitions, Pinned, TopicDescription,
};
use parking_lot::Mutex;

use self::follower::{Command, Follower};
use self::partition::Partition;
use self::shared::Shared;
use self::source::Source;

/// See the module.
pub(crate) struct Streams {
    instance: String,
    store: Arc<ShardStore>,
    followed: Mutex<Followed>,
}

#[derive(Default)]
struct Followed {
    /// Version of the catalog that was followed last.
    version: u64,
    /// By identifier.
    tables: HashMap<String, Table>,
}

/// A table that is followed here.
struct Table {
    source: Arc<Source>,
    settings: HashMap<String, String>,
    paused: bool,
    /// Ends the thread when it is dropped.
    commands: Sender<Command>,
    thread: JoinHandle<()>,
    partitions: HashMap<u32, Arc<Shared>>,
}

impl Streams {
    /// Follows nothing yet. Rows go to `store`.
    pub(crate) fn new(store: Arc<ShardStore>) -> Self {
        Self {
            instance: uuid::Uuid::new_v4().simple().to_string(),
            store,
            followed: Mutex::default(),
        }
    }

    /// Follows what it is told to, and nothing else any more. What an older version of the catalog says, or what was
    /// said to a process before this one, does not count.
    pub(crate) fn follow(&self, asked: &Follow) -> Following {
        let mut followed = self.followed.lock();
        if asked.version >= followed.version {
            followed.version = asked.version;
            let wanted = |id: &String| asked.tables.iter().any(|table| table.table_id == *id);
            followed.tables.retain(|id, _| wanted(id));
            for table in &asked.tables {
                if let Err(error) = self.follow_table(&mut followed.tables, table) {
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

    fn following(&self, followed: &Followed) -> Following {
        Following {
            instance: self.instance.clone(),
            partitions: followed.tables.values().flat_map(Table::status).collect(),
        }
    }

    fn follow_table(&self, tables: &mut HashMap<String, Table>, asked: &FollowTable) -> Result<(), Error> {
        let mine = |partition: &&FollowPartition| partition.instance == self.instance;
        let wanted: HashMap<u32, &FollowPartition> = asked
            .partitions
            .iter()
            .filter(mine)
            .map(|partition| (partition.number, partition))
            .collect();
        let known = tables
            .remove(&asked.table_id)
            .filter(|table| table.settings == asked.settings);
        if wanted.is_empty() {
            return Ok(());
        }
        let mut table = match known {
            Some(table) => table,
            None => Table::start(asked)?,
        };
        let is_wanted =
            |number: &u32, epoch: u64| wanted.get(number).is_some_and(|wanted| wanted.epoch == epoch);
        let remove = table
            .partitions
            .values()
            .filter(|shared| !is_wanted(&shared.number, shared.epoch));
        let remove: Vec<u32> = remove.map(|shared| shared.number).collect();
        table.partitions.retain(|number, _| !remove.contains(number));
        let mut add = Vec::new();
        for partition in wanted
            .values()
            .filter(|wanted| !table.partitions.contains_key(&wanted.number))
        {
            add.push(Partition::new(
                table.source.clone(),
                self.store.clone(),
                partition,
            )?);
        }
        let shared = add
            .iter()
            .map(|partition| (partition.number(), partition.shared().clone()));
        table.partitions.extend(shared);
        if !add.is_empty() || !remove.is_empty() || table.paused != asked.paused {
            table.paused = asked.paused;
            let command = Command {
                add,
                remove,
                paused: asked.paused,
            };
            if table.commands.send(command).is_err() {
                tracing::error!(table = asked.name, "the thread that follows the topic has ended");
            }
        }
        tables.insert(asked.table_id.clone(), table);
        Ok(())
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
                let shared = table.and_then(|table| table.partitions.get(&wanted.number));
                let shared = shared.filter(|shared| shared.epoch == wanted.epoch);
                shared
                    .map(|shared| (shared.clone(), wanted))
                    .ok_or_else(|| not_here(wanted))
            });
            partitions.collect::<Result<_, Error>>()?
        };
        let pinned = wanted
            .iter()
            .map(|(shared, wanted)| shared.pin(&self.store, wanted, &asked.pin));
        Ok(Pinned {
            partitions: pinned.collect::<Result<_, Error>>()?,
        })
    }

    /// Looks at a topic before a table is made of it.
    ///
    /// # Errors
    /// Brokers that do not answer, a topic that is not there, messages that do not fit.
    pub(crate) async fn describe(asked: DescribeTopic) -> Result<TopicDescription, Error> {
        let table = asked
            .table
            .ok_or_else(|| Error::bug("a topic to describe is missing"))?;
        let described = tokio::task::spawn_blocking(move || describe::describe(&table)).await;
        described.map_err(|error| Error::bug(format!("describe a topic: {error}")))?
    }

    /// Dead letters of everything that is followed.
    pub(crate) fn dead_letters(&self) -> DeadLetters {
        let followed = self.followed.lock();
        let partitions = followed
            .tables
            .values()
            .flat_map(|table| table.partitions.values());
        DeadLetters {
            letters: partitions.flat_map(|shared| shared.letters()).collect(),
        }
    }

    /// Stops following and waits for the threads. It blocks.
    pub(crate) fn stop(&self) {
        let tables = std::mem::take(&mut self.followed.lock().tables);
        for Table { commands, thread, .. } in tables.into_values() {
            drop(commands);
            if thread.join().is_err() {
                tracing::error!("a thread that followed a topic has panicked");
            }
        }
    }
}

impl Table {
    fn start(asked: &FollowTable) -> Result<Self, Error> {
        let source = Arc::new(Source::new(asked)?);
        let (commands, received) = channel();
        let follower = Follower::new(source.clone(), received)?;
        let thread = std::thread::Builder::new()
            .name(format!("ingest {}", source.name))
            .spawn(move || follower.run());
        Ok(Self {
            source,
            settings: asked.settings.clone(),
            paused: false,
            commands,
            thread: thread.map_err(|error| Error::bug(format!("start a thread: {error}")))?,
            partitions: HashMap::new(),
        })
    }

    fn status(&self) -> impl Iterator<Item = PartitionStatus> {
        let has_ended = self.thread.is_finished();
        self.partitions.values().map(move |shared| {
            let mut status = shared.status();
            if has_ended {
                status.state = "failed".to_string();
                status.reason =
                    "broken: the thread that follows the topic has ended, see the log".to_string();
            }
            status
        })
    }
}

fn not_here(wanted: &PinPartition) -> Error {
    Error::new(
        Code::SHARD_MOVED,
        format!(
            "topic partition {} is followed by another executor now",
            wanted.number
        ),
    )
    .with_hint("run the statement again")
}
