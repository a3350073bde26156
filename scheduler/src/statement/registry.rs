//! Every statement that is known: running, waiting for its reader, or history.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ballista_core::JobId;
use dashmap::DashMap;
use datafusion::arrow::datatypes::SchemaRef;
use millpond_engine::error::{Code, Error};
use millpond_proto::statement::{LiveRead, StatementStatus};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::frontend::shortened;
use super::limits::SQL_BYTES_MAX;
use super::masked::masked;
use super::result::ResultSet;
use crate::session::Session;
use crate::streams::LiveReads;
use millpond_engine::clock::now_ms;

/// Statements that are remembered after their result is gone.
const HISTORY_MAX: usize = 1_000;
/// A running statement that nobody has asked about for this long is cancelled, unless it was detached.
const UNWATCHED_LIMIT: Duration = Duration::from_secs(60);

/// A text as people see it: without secrets, and without the document that a long one brings along.
fn shown(sql: &str) -> String {
    match sql.len() < SQL_BYTES_MAX {
        true => masked(sql),
        false => masked(&shortened(sql)),
    }
}

/// Where a statement stands.
#[derive(Clone)]
pub(crate) enum Phase {
    Queued,
    Running,
    Finished(Arc<ResultSet>),
    Failed(Arc<Error>),
}

impl Phase {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Phase::Finished(_) | Phase::Failed(_))
    }

    fn word(&self) -> &'static str {
        match self {
            Phase::Queued => "queued",
            Phase::Running => "running",
            Phase::Finished(_) => "finished",
            Phase::Failed(error) if error.code == Code::CANCELLED => "cancelled",
            Phase::Failed(_) => "failed",
        }
    }
}

/// Phase and counts, published together.
#[derive(Clone)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// What it will answer, in one partition, of a statement that says so before it has ended.
    pub(crate) announced: Option<SchemaRef>,
    pub(crate) status: StatementStatus,
}

/// One statement.
pub(crate) struct Statement {
    pub(crate) id: String,
    pub(crate) session: Arc<Session>,
    /// Text as the client sent it, without the values of options that are secrets.
    pub(crate) sql: String,
    /// Name given by `submit --name`, else empty.
    pub(crate) name: String,
    pub(crate) submitted_at_ms: u64,
    finished_at_ms: AtomicU64,
    last_seen_ms: AtomicU64,
    detached: bool,
    job: Mutex<Option<JobId>>,
    /// What it has read of tables that follow topics.
    pub(crate) reads: LiveReads,
    /// Cancelled when the client asks for it or goes away.
    pub(crate) cancel: CancellationToken,
    progress: watch::Sender<Progress>,
}

impl Statement {
    pub(crate) fn new(session: Arc<Session>, sql: String, name: String, detached: bool) -> Arc<Self> {
        let id = uuid::Uuid::new_v4().to_string();
        let status = StatementStatus {
            statement_id: id.clone(),
            state: "queued".to_string(),
            ..Default::default()
        };
        Arc::new(Self {
            id,
            session,
            sql: shown(&sql),
            name,
            submitted_at_ms: now_ms(),
            finished_at_ms: AtomicU64::new(0),
            last_seen_ms: AtomicU64::new(now_ms()),
            detached,
            job: Mutex::default(),
            reads: LiveReads::default(),
            cancel: CancellationToken::new(),
            progress: watch::Sender::new(Progress {
                phase: Phase::Queued,
                announced: None,
                status,
            }),
        })
    }

    /// Phase and counts now.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Notes that the client still cares, and gives a receiver of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.last_seen_ms.store(now_ms(), Ordering::Relaxed);
        self.progress.subscribe()
    }

    /// Changes the counts.
    pub(crate) fn update(&self, change: impl FnOnce(&mut StatementStatus)) {
        self.progress.send_modify(|progress| change(&mut progress.status));
    }

    pub(crate) fn start_running(&self) {
        self.enter(Phase::Running);
    }

    /// Says which columns it will answer, in one partition: a client may then fetch its ticket while the rows are
    /// made. Whatever comes between, the statement ends with what it has said first or with an error.
    pub(super) fn announce(&self, columns: SchemaRef) {
        self.progress.send_modify(|progress| {
            progress.announced.get_or_insert(columns);
        });
    }

    /// Ends the statement. The first end counts.
    pub(crate) fn finish(&self, outcome: Result<ResultSet, Error>) {
        let Progress { phase, announced, .. } = self.progress();
        if phase.is_over() {
            return;
        }
        let outcome = match announced {
            Some(columns) => outcome.and_then(|result| result.into_announced(&columns)),
            None => outcome,
        };
        self.finished_at_ms.store(now_ms(), Ordering::Relaxed);
        let reads: Vec<LiveRead> = self.reads.lock().values().cloned().collect();
        if outcome.is_ok() && !reads.is_empty() {
            self.session.remember_reads(reads.clone());
            self.update(|status| status.live_reads = reads);
        }
        self.enter(match outcome {
            Ok(result) => Phase::Finished(Arc::new(result)),
            Err(error) => Phase::Failed(Arc::new(error)),
        });
    }

    fn enter(&self, phase: Phase) {
        self.progress.send_modify(|progress| {
            progress.status.state = phase.word().to_string();
            progress.phase = phase;
        });
    }

    pub(crate) fn job(&self) -> Option<JobId> {
        self.job.lock().clone()
    }

    /// True for its own number, its job's, and the name of the script it belongs to (`name 2/7`).
    fn is_called(&self, word: &str) -> bool {
        let in_script = self
            .name
            .strip_prefix(word)
            .is_some_and(|rest| rest.starts_with(' '));
        self.id == word || in_script || self.job().is_some_and(|id| id.as_str() == word)
    }

    pub(crate) fn set_job(&self, job: JobId) {
        self.update(|status| status.job_id = job.to_string());
        *self.job.lock() = Some(job);
    }

    /// Milliseconds from arrival to the end, or until now.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        let end = match self.finished_at_ms.load(Ordering::Relaxed) {
            0 => now_ms(),
            end => end,
        };
        end.saturating_sub(self.submitted_at_ms)
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> Progress {
        self.waited_for(|progress| progress.phase.is_over()).await
    }

    /// Waits until it has ended, or has announced what it will answer.
    pub(crate) async fn announced(&self) -> Progress {
        let is_told = |progress: &Progress| progress.phase.is_over() || progress.announced.is_some();
        self.waited_for(is_told).await
    }

    async fn waited_for(&self, is_told: impl FnMut(&Progress) -> bool) -> Progress {
        let mut changes = self.watch();
        match changes.wait_for(is_told).await {
            Ok(progress) => progress.clone(),
            Err(_) => self.progress(),
        }
    }

    fn is_abandoned(&self) -> bool {
        let unwatched = now_ms().saturating_sub(self.last_seen_ms.load(Ordering::Relaxed));
        !self.detached
            && !self.progress.borrow().phase.is_over()
            && self.progress.receiver_count() == 0
            && unwatched > UNWATCHED_LIMIT.as_millis() as u64
    }

    fn is_expired(&self, ttl: Duration) -> bool {
        let finished = self.finished_at_ms.load(Ordering::Relaxed);
        finished > 0 && now_ms().saturating_sub(finished) > ttl.as_millis() as u64
    }
}

/// A statement whose result is gone, as `system.jobs` shows it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) status: StatementStatus,
    pub(crate) sql: String,
    pub(crate) name: String,
    pub(crate) principal: String,
    pub(crate) session_id: String,
    pub(crate) submitted_at_ms: u64,
    pub(crate) elapsed_ms: u64,
    pub(crate) error: Option<String>,
}

impl Record {
    fn of(statement: &Statement) -> Self {
        let progress = statement.progress();
        Self {
            status: progress.status,
            sql: statement.sql.clone(),
            name: statement.name.clone(),
            principal: statement.session.principal.clone(),
            session_id: statement.session.id.clone(),
            submitted_at_ms: statement.submitted_at_ms,
            elapsed_ms: statement.elapsed_ms(),
            error: match &progress.phase {
                Phase::Failed(error) => Some(error.to_string()),
                _ => None,
            },
        }
    }
}

/// All statements of this scheduler.
#[derive(Default)]
pub(crate) struct Registry {
    live: DashMap<String, Arc<Statement>>,
    history: Mutex<VecDeque<Record>>,
}

impl Registry {
    pub(crate) fn insert(&self, statement: Arc<Statement>) {
        self.live.insert(statement.id.clone(), statement);
    }

    /// Finds a statement of a principal; others' statements do not exist for it.
    pub(crate) fn find(&self, id: &str, principal: &str) -> Option<Arc<Statement>> {
        self.live
            .get(id)
            .filter(|found| found.session.principal == principal)
            .map(|found| found.clone())
    }

    /// Finds a statement by its number, its job or its script; a running one before one that has ended.
    pub(crate) fn find_job(&self, job: &str, principal: &str) -> Option<Arc<Statement>> {
        self.live
            .iter()
            .map(|entry| entry.value().clone())
            .filter(|found| found.session.principal == principal)
            .filter(|found| found.is_called(job))
            .min_by_key(|found| found.progress.borrow().phase.is_over())
    }

    /// Forgets results and moves the statements to history; cancels what nobody watches.
    pub(crate) fn expire(&self, ttl: Duration) {
        let all: Vec<Arc<Statement>> = self.live.iter().map(|entry| entry.value().clone()).collect();
        for statement in all {
            if statement.is_abandoned() {
                tracing::info!(statement = %statement.id, "cancel a statement that nobody watches");
                statement.cancel.cancel();
            }
            if statement.is_expired(ttl) {
                self.retire(&statement);
            }
        }
    }

    /// Moves one statement to history.
    pub(crate) fn retire(&self, statement: &Statement) {
        if self.live.remove(&statement.id).is_some() {
            let mut history = self.history.lock();
            history.push_back(Record::of(statement));
            if history.len() > HISTORY_MAX {
                history.pop_front();
            }
        }
    }

    /// Leaves one statement out of history.
    pub(crate) fn forget(&self, statement: &Statement) {
        self.live.remove(&statement.id);
    }

    /// Every statement that is known, oldest first.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.history.lock().iter().cloned().collect();
        records.extend(self.live.iter().map(|entry| Record::of(entry.value())));
        records.sort_by_key(|record| record.submitted_at_ms);
        records
    }

    /// Statements that have not ended.
    pub(crate) fn running(&self) -> Vec<Arc<Statement>> {
        self.live
            .iter()
            .map(|entry| entry.value().clone())
            .filter(|statement| !statement.progress.borrow().phase.is_over())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::session::Sessions;

    fn columns(name: &str) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(name, DataType::Int64, true)]))
    }

    fn announced(name: &str) -> Arc<Statement> {
        let session = Sessions::default().open("me", "s1").unwrap();
        let statement = Statement::new(session, "SELECT a FROM t".into(), String::new(), false);
        statement.announce(columns(name));
        statement
    }

    #[tokio::test]
    async fn a_statement_that_announced_its_columns_ends_with_them_or_fails() {
        let same = announced("a");
        assert!(!same.announced().await.phase.is_over());
        same.finish(Ok(ResultSet::batches(columns("a"), Vec::new())));
        assert!(matches!(same.ended().await.phase, Phase::Finished(_)));
        let other = announced("a");
        other.announce(columns("b"));
        other.finish(Ok(ResultSet::batches(columns("b"), Vec::new())));
        let Phase::Failed(error) = other.ended().await.phase else {
            panic!("it has other columns");
        };
        assert_eq!(error.code, Code::STATE_CONFLICT);
    }
}
