//! Trains models again when what they have learned from changes, or when their time has come.
//!
//! A look at a model plans its query, which costs little, and compares what the query reads with what it read at the
//! training: how far tables that follow topics are, and the versions of tables in memory. A training is a `REFRESH MODEL` that
//! people see in `system.jobs`. Models that need many passes pause for a while after each, so that they leave most of the
//! cores to others.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond_engine::error::Error;
use millpond_model::{ModelType, Refresh, sql};
use millpond_proto::catalog::{KafkaTable, Model, RelationKind};
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
/// Least pause of a model that needs many passes.
const GATHER: Duration = Duration::from_secs(1);
/// Pause after a training that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
/// Who does it, in `system.jobs`.
const PRINCIPAL: &str = "millpond";
const SESSION: &str = "models";

/// True for the session of trainings that nobody asked for.
pub(super) fn is_follower(session: &Session) -> bool {
    session.principal == PRINCIPAL && session.id == SESSION
}

/// What a model reads, and how far each is: a version of a table, or a position of each topic partition.
type Seen = BTreeMap<(RelationKey, u32), u64>;

/// What is known of a model.
struct Watched {
    /// It was made then; another of that name is another model.
    created_at_ms: u64,
    /// Before the last training began.
    seen: Option<Seen>,
    /// No training before.
    not_before: Instant,
    /// When it was trained last.
    trained: Instant,
    is_training: bool,
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
    let (now, seen_before) = {
        let mut watched = watched.lock();
        let now = Instant::now();
        let new = || Watched {
            created_at_ms: model.created_at_ms,
            seen: None,
            not_before: now,
            trained: now,
            is_training: false,
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
        (now, known.seen.clone())
    };
    let seen = what_is_read(&frontend.services, model).await?;
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
    let is_one_pass = matches!(
        options.model_type,
        ModelType::LinearRegression | ModelType::GaussianNb
    );
    let (frontend, model, watched) = (frontend.clone(), model.clone(), watched.clone());
    tokio::spawn(async move {
        let start = Instant::now();
        let ended = train(&frontend, &model).await;
        let pause = match &ended {
            Ok(()) if is_one_pass => TICK,
            Ok(()) => GATHER.max(2 * start.elapsed()),
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
    match frontend.start(session, request).ended().await.phase {
        Phase::Failed(error) => Err(error),
        _ => Ok(()),
    }
}

/// How far the tables are that the query of a model reads.
async fn what_is_read(services: &Services, model: &Model) -> Result<Seen, Error> {
    let session = services.sessions.open(PRINCIPAL, SESSION)?;
    let catalog = planned(services, &session, &model.query).await?;
    let version = catalog.version();
    let mut seen = Seen::new();
    for key in catalog.opened_names() {
        match version
            .relations
            .get(&key)
            .and_then(|relation| relation.kind.as_ref())
        {
            Some(RelationKind::Memory(table)) => {
                seen.insert((key, 0), table.version);
            }
            Some(RelationKind::Kafka(table)) => {
                services.streams.refresh_table(table).await;
                seen.extend(positions(services, &key, table));
            }
            _ => {}
        }
    }
    Ok(seen)
}

/// Versions of the tables in memory that a query reads, by `schema.name`.
///
/// # Errors
/// A query that cannot be planned.
pub(super) async fn tables_read(
    services: &Services,
    session: &Session,
    query: &str,
) -> Result<BTreeMap<String, u64>, Error> {
    let catalog = planned(services, session, query).await?;
    let version = catalog.version();
    let table = |key: RelationKey| match version.relations.get(&key)?.kind.as_ref()? {
        RelationKind::Memory(table) => Some((format!("{}.{}", key.0, key.1), table.version)),
        _ => None,
    };
    Ok(catalog.opened_names().into_iter().filter_map(table).collect())
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
fn positions(services: &Services, key: &RelationKey, table: &KafkaTable) -> Seen {
    let of_partition = |partition: &millpond_proto::catalog::TopicPartition| {
        let owner = partition.owner.as_ref()?;
        let status = services
            .streams
            .status_of(&table.table_id, partition.number, owner)?;
        Some(((key.clone(), partition.number), status.position))
    };
    table.partitions.iter().filter_map(of_partition).collect()
}

/// What the newest version has seen of what there is now; of what it does not know, nothing.
fn seen_at_training(model: &Model, now: &Seen) -> Option<Seen> {
    let version = model.versions.last()?;
    let seen = |((schema, name), number): &(RelationKey, u32)| {
        let table = format!("{schema}.{name}");
        let read = version.reads.iter().find(|read| read.table == table);
        match read {
            Some(read) => read.positions.get(number).copied(),
            None => version.tables.get(&table).copied(),
        }
    };
    Some(
        now.keys()
            .filter_map(|place| Some((place.clone(), seen(place)?)))
            .collect(),
    )
}
