//! Where statements start.

use std::sync::Arc;
use std::time::Duration;

use datafusion::common::ParamValues;
use millpond_engine::connections::Connections;
use millpond_engine::error::{Code, Error};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::admission::Admission;
use super::ingest::{self, Ingest};
use super::plan_cache::PlanCache;
use super::registry::{Registry, Statement};
use super::topic::{self, Outboxes};
use super::{model, run, upkeep};
use crate::catalog::system::SystemTables;
use crate::catalog::{Caches, ModelErrors, SessionFactory, StatementCatalog};
use crate::cluster::Cluster;
use crate::options::LocalPaths;
use crate::session::{Session, Sessions};
use crate::shards::{Keeper, Shards};
use crate::state::CatalogLog;
use crate::streams::{Controller, LiveReads, Streams};
use crate::upkeep::{Queue, Task};

/// What a client asks for.
#[derive(Debug, Default, Clone)]
pub(crate) struct Request {
    /// SQL of one statement.
    pub(crate) sql: String,
    /// Name for `system.jobs`, may be empty.
    pub(crate) name: String,
    /// Values for `$1`, `$2`...
    pub(crate) parameters: Option<ParamValues>,
    /// The statement runs on when nobody watches it.
    pub(crate) detached: bool,
    /// Work of the scheduler's own, of which the SQL is only the name.
    pub(crate) upkeep: Option<Task>,
    /// The version of the catalog to read; otherwise the newest.
    pub(crate) at: Option<Arc<StatementCatalog>>,
    /// It was written here as a part of a statement, and may be longer than what people send.
    pub(crate) is_part: bool,
}

/// Everything a statement needs from the scheduler.
pub(crate) struct Services {
    pub(crate) cluster: Cluster,
    pub(crate) catalog: Arc<CatalogLog>,
    pub(crate) shards: Shards,
    pub(crate) streams: Streams,
    pub(crate) caches: Arc<Caches>,
    pub(crate) upkeep: Arc<Queue>,
    pub(crate) model_errors: Arc<ModelErrors>,
    pub(crate) outboxes: Outboxes,
    pub(crate) plans: PlanCache,
    pub(crate) connections: Connections,
    pub(crate) factory: Arc<SessionFactory>,
    pub(crate) system: Arc<SystemTables>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) statements: Arc<Registry>,
    pub(crate) admission: Admission,
    pub(crate) local_paths: LocalPaths,
    pub(crate) target_partitions: Option<usize>,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) slow_threshold: Option<Duration>,
    pub(crate) result_ttl: Duration,
    pub(crate) session_idle_timeout: Duration,
    /// How long a statement waits for lost shards to come back.
    pub(crate) recovery_timeout: Duration,
    /// How long a statement waits for a first executor before it gives up.
    pub(crate) executor_patience: Duration,
}

/// Starts statements. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Frontend {
    pub(crate) services: Arc<Services>,
}

impl Frontend {
    /// Starts a statement and returns at once; it is watched through the handle.
    pub(crate) fn start(&self, session: Arc<Session>, request: Request) -> Arc<Statement> {
        let statement = Statement::new(
            session,
            request.sql.clone(),
            request.name.clone(),
            request.detached,
        );
        self.spawn(&statement, |services, statement| async move {
            let run = || run::run(&services, &statement, &request);
            Box::pin(run::until_whole(&services, run)).await
        });
        statement
    }

    /// Starts to store the rows of a client; they are read while the statement runs.
    pub(crate) fn ingest(&self, session: Arc<Session>, ingest: Ingest) -> Arc<Statement> {
        let statement = Statement::new(session, ingest.text(), String::new(), false);
        self.spawn(&statement, |services, statement| async move {
            Box::pin(ingest::run(&services, &statement, ingest)).await
        });
        statement
    }

    fn spawn<W, F>(&self, statement: &Arc<Statement>, work: W)
    where
        W: FnOnce(Arc<Services>, Arc<Statement>) -> F,
        F: Future<Output = Result<super::ResultSet, Error>> + Send + 'static,
    {
        statement.session.count_statement();
        self.services.statements.insert(statement.clone());
        let (services, running) = (self.services.clone(), statement.clone());
        let work = work(services.clone(), running.clone());
        let span = tracing::info_span!("statement", id = %statement.id);
        tokio::spawn(
            async move {
                let outcome = supervised(&services, &running, work).await;
                finish(&services, &running, outcome);
            }
            .instrument(span),
        );
    }

    /// The catalog as a statement of this session would see it now.
    pub(crate) async fn catalog_of(&self, session: &Session) -> Arc<StatementCatalog> {
        run::session_catalog(&self.services, session, LiveReads::default()).await
    }

    /// Starts the work in the background: keeping shards, for `patience` without those of executors that have not come
    /// back yet, the `tasks` of upkeep, what statements have not sent, and expiring results, sessions and statements that nobody watches.
    pub(crate) fn start_housekeeping(
        &self,
        tasks: mpsc::UnboundedReceiver<Task>,
        patience: Duration,
        stop: tokio_util::sync::CancellationToken,
    ) {
        tokio::spawn(upkeep::work(self.clone(), tasks, stop.clone()));
        tokio::spawn(model::follow(self.clone(), stop.clone()));
        tokio::spawn(topic::follow(self.clone(), stop.clone()));
        let services = self.services.clone();
        let keeper = Keeper::new(
            services.shards.clone(),
            services.cluster.clone(),
            services.catalog.clone(),
            services.upkeep.clone(),
            patience,
        );
        tokio::spawn(keeper.run(stop.clone()));
        let controller = Controller::new(services.streams.clone(), services.catalog.clone(), patience);
        tokio::spawn(controller.run(stop.clone()));
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            while stop.run_until_cancelled(tick.tick()).await.is_some() {
                services.statements.expire(services.result_ttl);
                services.sessions.expire(services.session_idle_timeout);
            }
        });
    }
}

/// Runs a statement under its deadline and its cancellation.
async fn supervised(
    services: &Services,
    statement: &Statement,
    work: impl Future<Output = Result<super::ResultSet, Error>>,
) -> Result<super::ResultSet, Error> {
    let limit = statement
        .session
        .statement_timeout()
        .or(services.statement_timeout);
    tokio::select! {
        outcome = within(limit, work) => outcome,
        () = statement.cancel.cancelled() => Err(Error::user(Code::CANCELLED, "the statement was cancelled")),
    }
}

async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(limit) = limit else { return work.await };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::user(
            Code::DEADLINE,
            format!("the statement took longer than {limit:?}"),
        )
        .with_hint("raise millpond.statement_timeout for this session, or 0s for no limit"))
    })
}

fn finish(services: &Services, statement: &Statement, outcome: Result<super::ResultSet, Error>) {
    if let Err(error) = &outcome {
        tracing::info!(code = %error.code, error = %error, "statement failed");
    }
    let outcome_word = if outcome.is_ok() { "finished" } else { "failed" };
    statement.finish(outcome);
    let elapsed_ms = statement.elapsed_ms();
    metrics::counter!("statements_total", "outcome" => outcome_word).increment(1);
    metrics::histogram!("statement_seconds").record(elapsed_ms as f64 / 1e3);
    if services
        .slow_threshold
        .is_some_and(|threshold| u128::from(elapsed_ms) >= threshold.as_millis())
    {
        tracing::warn!(elapsed_ms, sql = %shortened(&statement.sql), "slow statement");
    }
}

/// The start of a long text, for logs.
pub(crate) fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 500;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}
