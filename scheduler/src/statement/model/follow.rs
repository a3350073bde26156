//! Trains models again when what they have learned from changes, or when their time has come.
//!
//! A look at a model plans its query, if the catalog has changed, and compares what the query reads with what it read at the
//! training: how far tables that follow topics are, and the versions of tables in memory, views and other models. A training is
//! a `REFRESH MODEL` that people see in `system.jobs` as long as it runs, or if it fails. Models that need many passes pause after each for as long as it took, so that they leave half of
//! the time to others.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond_engine::error::Error;
use millpond_model::{Refresh, sql};
use millpond_proto::catalog::{KafkaTable, Model, Relation, RelationKind, TopicPartition};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::options_of;
use crate::catalog::{RelationKey, StatementCatalog};
use crate::session::Session;
use crate::statement::frontend::{Frontend, Request, Services};
use crate::statement::registry::Phase;
use crate::statement::run;
use crate::streams::LiveReads;

/// Between two looks.
const TICK: Duration = Duration::from_millis(250);
/// Least pause of a model that needs many passes: with the look after it, a change waits a second at most, and two trainings.
const GATHER: Duration = Duration::from_millis(700);
/// Pause after a training that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
/// Who does it, in `system.jobs`.
const PRINCIPAL: &str = "millpond";
const SESSION: &str = "models";

/// True for the session of trainings that nobody asked for.
pub(super) fn is_follower(session: &Session) -> bool {
    session.principal == PRINCIPAL && session.id == SESSION
}

/// What a model reads, by name, and how far each is: a position of each topic partition, or for other things the number of
/// their version.
type Seen = BTreeMap<(String, u32), u64>;

/// What a query reads, as a version of the catalog has it.
struct Reads {
    catalog: u64,
    /// Versions of everything but tables that follow topics.
    versions: BTreeMap<String, u64>,
    topics: Vec<(String, KafkaTable)>,
}

/// What is known of a model.
struct Watched {
    /// It was made then; another of that name is another model.
    created_at_ms: u64,
    /// As long as the catalog does not change, its query need not be planned again.
    reads: Option<Arc<Reads>>,
    /// Before the last training began.
    seen: Option<Seen>,
    /// No training before.
    not_before: Instant,
    /// When it was trained last.
    trained: Instant,
    is_training: bool,
    /// Its query could not be planned.
    is_lost: bool,
}

/// Works until `stop`.
pub(in crate::statement) async fn follow(frontend: Frontend, stop: CancellationToken) {
    let watched: Arc<Mutex<HashMap<String, Watched>>> = Arc::default();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let version = frontend.services.catalog.current();
        watched.lock().retain(|name, _| version.models.contains_key(name));
        for model in version.models.values() {
            if let Err(error) = look(&frontend, model, &watched).await {
                tracing::debug!(model = model.name, %error, "look at what a model reads");
                let errors = &frontend.services.model_errors;
                errors.note(&model.name, Some(error.to_string()));
                if let Some(known) = watched.lock().get_mut(&model.name) {
                    known.is_lost = true;
                }
            }
        }
    }
}

/// Starts a training if it is time for one.
async fn look(
    frontend: &Frontend,
    model: &Arc<Model>,
    watched: &Arc<Mutex<HashMap<String, Watched>>>,
) -> Result<(), Error> {
    let options = options_of(model)?;
    if options.refresh == Refresh::Manual {
        return Ok(());
    }
    let (now, reads, seen_before) = {
        let mut watched = watched.lock();
        let now = Instant::now();
        let new = || Watched {
            created_at_ms: model.created_at_ms,
            reads: None,
            seen: None,
            not_before: now,
            trained: now,
            is_training: false,
            is_lost: false,
        };
        let known = watched.entry(model.name.clone()).or_insert_with(new);
        if known.created_at_ms != model.created_at_ms {
            *known = new();
        }
        if known.is_training || now < known.not_before {
            return Ok(());
        }
        if let Refresh::Every(interval) = options.refresh
            && known.trained.elapsed() < interval
        {
            return Ok(());
        }
        (now, known.reads.clone(), known.seen.clone())
    };
    let services = &frontend.services;
    let is_now = |reads: &Arc<Reads>| reads.catalog == services.catalog.current().version;
    let reads = match reads.filter(is_now) {
        Some(reads) => reads,
        None => Arc::new(Reads::of(services, model).await?),
    };
    let seen = reads.seen(services).await;
    if let Some(known) = watched.lock().get_mut(&model.name) {
        known.reads = Some(reads);
        if std::mem::take(&mut known.is_lost) {
            services.model_errors.note(&model.name, None);
        }
    }
    let seen_before = seen_before.or_else(|| seen_at_training(model, &seen));
    if options.refresh == Refresh::OnChange && seen_before.as_ref() == Some(&seen) {
        if let Some(known) = watched.lock().get_mut(&model.name) {
            known.seen = Some(seen);
        }
        return Ok(());
    }
    if let Some(known) = watched.lock().get_mut(&model.name) {
        known.seen = Some(seen);
        known.is_training = true;
        known.trained = now;
    }
    let is_one_pass = options.model_type.is_one_pass();
    let (frontend, model, watched) = (frontend.clone(), model.clone(), watched.clone());
    tokio::spawn(async move {
        let start = Instant::now();
        let ended = train(&frontend, &model).await;
        let error = ended.as_ref().err().map(ToString::to_string);
        frontend.services.model_errors.note(&model.name, error);
        let pause = match &ended {
            Ok(()) if is_one_pass => TICK,
            Ok(()) => GATHER.max(start.elapsed()),
            Err(error) => {
                tracing::warn!(model = model.name, %error, "train a model again");
                RETRY_PAUSE
            }
        };
        if let Some(known) = watched.lock().get_mut(&model.name) {
            known.is_training = false;
            known.not_before = Instant::now() + pause;
            if ended.is_err() {
                // What has changed is still to be learned.
                known.seen = Some(Seen::new());
            }
        }
    });
    Ok(())
}

async fn train(frontend: &Frontend, model: &Model) -> Result<(), Arc<Error>> {
    let session = frontend
        .services
        .sessions
        .open(PRINCIPAL, SESSION)
        .map_err(Arc::new)?;
    let request = Request {
        sql: format!("REFRESH MODEL {}", sql::ident(&model.name)),
        detached: true,
        ..Request::default()
    };
    let statement = frontend.start(session, request);
    match statement.ended().await.phase {
        Phase::Failed(error) => Err(error),
        _ => {
            // Versions say that it was trained; statements of people would soon be pushed out of `system.jobs`.
            frontend.services.statements.forget(&statement);
            Ok(())
        }
    }
}

impl Reads {
    /// What the query of a model reads now.
    async fn of(services: &Services, model: &Model) -> Result<Self, Error> {
        let session = services.sessions.open(PRINCIPAL, SESSION)?;
        let catalog = planned(services, &session, &model.query).await?;
        let topics = relations_of(&catalog).into_iter();
        let topics = topics.filter_map(|(name, relation)| match &relation.kind {
            Some(RelationKind::Kafka(table)) => Some((name, table.clone())),
            _ => None,
        });
        Ok(Self {
            catalog: catalog.version().version,
            versions: versions_of(&catalog),
            topics: topics.collect(),
        })
    }

    /// How far all of it is.
    async fn seen(&self, services: &Services) -> Seen {
        let versions = self.versions.iter();
        let mut seen: Seen = versions
            .map(|(name, version)| ((name.clone(), 0), *version))
            .collect();
        for (name, table) in &self.topics {
            services.streams.refresh_table(table).await;
            seen.extend(positions(services, name, table));
        }
        seen
    }
}

/// Versions of what a query reads, but for tables that follow topics.
///
/// # Errors
/// A query that cannot be planned.
pub(super) async fn versions_read(
    services: &Services,
    session: &Session,
    query: &str,
) -> Result<BTreeMap<String, u64>, Error> {
    Ok(versions_of(&*planned(services, session, query).await?))
}

fn versions_of(catalog: &StatementCatalog) -> BTreeMap<String, u64> {
    let relations = relations_of(catalog).into_iter().filter_map(|(name, relation)| {
        let version = match &relation.kind {
            Some(RelationKind::Memory(table)) => table.version,
            Some(RelationKind::View(_)) => 0,
            _ => return None,
        };
        Some((name, numbered(relation.created_at_ms, version)))
    });
    let models = catalog.models().into_iter();
    let models =
        models.map(|(name, (made_at_ms, version))| (format!("model {name}"), numbered(made_at_ms, version)));
    relations.chain(models).collect()
}

/// One number for a version of something that was made then: another of the same name has others.
fn numbered(made_at_ms: u64, version: u64) -> u64 {
    (made_at_ms << 20) | (version & 0xf_ffff)
}

/// The tables and views that a planned query has opened.
fn relations_of(catalog: &StatementCatalog) -> Vec<(String, Arc<Relation>)> {
    let names = catalog.opened_names().into_iter();
    let relation = |key: RelationKey| {
        let relation = catalog.version().relations.get(&key)?;
        Some((format!("{}.{}", key.0, key.1), relation.clone()))
    };
    names.filter_map(relation).collect()
}

/// The catalog of a query that was planned, with all that it has opened.
async fn planned(
    services: &Services,
    session: &Session,
    query: &str,
) -> Result<Arc<StatementCatalog>, Error> {
    let catalog = run::session_catalog(services, session, LiveReads::default()).await;
    run::plan_only(&catalog, query).await?;
    Ok(catalog)
}

/// How far a table that follows a topic is, by topic partition.
fn positions(services: &Services, name: &str, table: &KafkaTable) -> Seen {
    let of_partition = |partition: &TopicPartition| {
        let owner = partition.owner.as_ref()?;
        let status = services
            .streams
            .status_of(&table.table_id, partition.number, owner)?;
        Some(((name.to_string(), partition.number), status.position))
    };
    table.partitions.iter().filter_map(of_partition).collect()
}

/// What the newest version has seen of what there is now; of what it does not know, nothing.
fn seen_at_training(model: &Model, now: &Seen) -> Option<Seen> {
    let version = model.versions.last()?;
    let seen = |(name, number): &(String, u32)| {
        let read = version.reads.iter().find(|read| read.table == *name);
        match read {
            Some(read) => read.positions.get(number).copied(),
            None => version.versions_read.get(name).copied(),
        }
    };
    Some(
        now.keys()
            .filter_map(|place| Some((place.clone(), seen(place)?)))
            .collect(),
    )
}
