//! Runs the work that the scheduler gives itself ([`crate::upkeep`]), one task after the other, each as a statement.

use std::sync::Arc;

use datafusion::common::TableReference;
use millpond_engine::error::Error;
use millpond_engine::session::CATALOG;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::frontend::{Frontend, Request, Services};
use super::registry::{Phase, Statement};
use super::result::ResultSet;
use super::write::count_result;
use super::{memory, topic};
use crate::upkeep::Task;

/// Who does it, in `system.jobs`.
const PRINCIPAL: &str = "millpond";
const SESSION: &str = "upkeep";

/// Works until `stop`.
pub(super) async fn work(
    frontend: Frontend,
    mut tasks: mpsc::UnboundedReceiver<Task>,
    stop: CancellationToken,
) {
    while let Some(Some(task)) = stop.run_until_cancelled(tasks.recv()).await {
        let outcome = match frontend.services.sessions.open(PRINCIPAL, SESSION) {
            Ok(session) => frontend.start(session, request_of(&task)).ended().await.phase,
            Err(error) => Phase::Failed(Arc::new(error)),
        };
        let failed = match &outcome {
            Phase::Failed(error) => {
                tracing::warn!(%task, %error, "upkeep");
                true
            }
            _ => false,
        };
        frontend.services.upkeep.done(&task, !failed);
    }
}

fn request_of(task: &Task) -> Request {
    let (schema, name) = task.key();
    let (sql, upkeep) = match task {
        Task::Refresh(_) => {
            let name = TableReference::full(CATALOG, schema.clone(), name.clone());
            (format!("REFRESH TABLE {}", name.to_quoted_string()), None)
        }
        Task::Rebuild(_) | Task::Compact(_) | Task::Send(_) => (task.to_string(), Some(task.clone())),
    };
    Request {
        sql,
        upkeep,
        detached: true,
        ..Default::default()
    }
}

/// Carries out a task that has no SQL.
pub(super) async fn run(
    services: &Services,
    statement: &Arc<Statement>,
    task: &Task,
) -> Result<ResultSet, Error> {
    let rows = match task {
        Task::Rebuild(key) => memory::rebuild(services, statement, key).await?,
        Task::Compact(key) => memory::compact(services, statement, key).await?,
        Task::Send(key) => topic::send(services, statement, key).await?.rows,
        Task::Refresh(_) => return Err(Error::bug("a refresh is SQL")),
    };
    count_result(rows)
}
