//! One cluster job: submit, follow, end.
//!
//! A job is followed by its status stream; a tick reads its task counts. When the statement is dropped (cancel,
//! deadline, client gone) a guard cancels the job, so that no task runs on for nobody.
//!
//! Ballista's adaptive plans do not come through the loss of an executor reliably: a status that arrives after a
//! stage was rolled back is refused, and the job then waits for ever. So when an executor that was there at the start
//! is gone, the job is given up ([`Code::EXECUTOR_LOST`]) and [`rerun_after_loss`] runs it again as a new job. That
//! is safe because no row of it has left the cluster, and a write has its own staging folder for each run.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::JobId;
use ballista_core::serde::protobuf::{JobStatus, PartitionLocation, job_status};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use millpond_engine::error::{Code, Error};
use tokio::sync::mpsc;

use super::frontend::{Services, shortened};
use super::registry::Statement;
use super::{adaptive, constants};
use crate::catalog::check_whole;
use crate::cluster::{Cluster, ordered_partitions, wait_for_executors};

/// How often task counts are read while a job runs.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Pauses before a job runs again, for the scheduler to notice which executors are gone: at once if their processes
/// have ended, after some seconds if they are silent. After the last its statement fails.
const RERUN_PAUSES: [Duration; 5] = [
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(4),
];

/// Repeats `run` while it ends with [`Code::EXECUTOR_LOST`], a few times.
///
/// # Errors
/// Any other error at once, and the loss of an executor in the last run.
pub(super) async fn rerun_after_loss<T, F, R>(services: &Services, mut run: F) -> Result<T, Error>
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, Error>>,
{
    for pause in RERUN_PAUSES {
        match run().await {
            Err(error) if error.code == Code::EXECUTOR_LOST => {
                tracing::warn!(%error, "run the job again");
                services.shards.look_now();
                tokio::time::sleep(pause).await;
                services.cluster.restore_vcores().await;
            }
            ended => return ended,
        }
    }
    run().await
}

/// A job that ended well.
#[derive(Debug)]
pub(super) struct FinishedJob {
    pub(super) id: JobId,
    /// The output partitions of the last stage, in order.
    pub(super) partitions: Vec<PartitionLocation>,
}

/// Whether a job's identifier and counts are those that its statement shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    Yes,
    /// A job that follows the one people look at: it puts files together, or makes lost rows again.
    No,
}

/// Waits for a place and an executor, runs the plan as a job and waits for its end.
///
/// # Errors
/// Full queue, no executor, or whatever made the job fail.
pub(super) async fn run(
    services: &Services,
    statement: &Arc<Statement>,
    context: Arc<SessionContext>,
    plan: &LogicalPlan,
    watched: Watched,
) -> Result<FinishedJob, Error> {
    let _permit = services.admission.admit().await?;
    wait_for_executors(&services.cluster, 1, services.executor_patience).await?;
    if watched == Watched::Yes {
        statement.start_running();
    }
    let present = services.cluster.executor_ids().await;
    check_whole(plan).await?;
    let plan = constants::for_cluster(plan.clone())?;
    let planned = adaptive::state_for(&context.state(), &plan).await;
    let context = match planned.map_err(Error::from_datafusion)? {
        Some(state) => Arc::new(SessionContext::new_with_state(state)),
        None => context,
    };
    let name = if statement.name.is_empty() {
        shortened(&statement.sql)
    } else {
        statement.name.clone()
    };
    let (id, changes) = services.cluster.submit(&name, context, &plan).await?;
    let statement = match watched {
        Watched::Yes => Some(statement.as_ref()),
        Watched::No => None,
    };
    if let Some(statement) = statement {
        statement.set_job(id.clone());
    }
    let mut guard = CancelOnDrop {
        cluster: services.cluster.clone(),
        job: Some(id.clone()),
    };
    let partitions = tokio::select! {
        ended = follow(services, statement, &id, changes) => ended?,
        lost = executor_lost(&services.cluster, &present) => return Err(lost),
    };
    if let Some(lost) = services.cluster.first_missing(&present).await {
        return Err(loss_of(&lost));
    }
    guard.job = None;
    Ok(FinishedJob { id, partitions })
}

async fn follow(
    services: &Services,
    statement: Option<&Statement>,
    id: &JobId,
    mut changes: mpsc::Receiver<JobStatus>,
) -> Result<Vec<PartitionLocation>, Error> {
    let mut tick = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            change = changes.recv() => {
                let Some(status) = change else {
                    return Err(Error::bug(format!("job {id} ended without a status")));
                };
                if let Some(job_status::Status::Failed(failed)) = &status.status {
                    return Err(Error::from_text(&failed.error));
                }
                if let Some(partitions) = ordered_partitions(&status) {
                    report(services, statement, id).await;
                    return partitions;
                }
            }
            _ = tick.tick() => report(services, statement, id).await,
        }
    }
}

/// Resolves when one of the executors is gone.
async fn executor_lost(cluster: &Cluster, present: &[String]) -> Error {
    let mut tick = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        tick.tick().await;
        if let Some(lost) = cluster.first_missing(present).await {
            return loss_of(&lost);
        }
    }
}

pub(super) fn loss_of(executor: &str) -> Error {
    Error::new(
        Code::EXECUTOR_LOST,
        format!("executor {executor} was lost while the job ran"),
    )
    .with_hint("run the statement again")
}

async fn report(services: &Services, statement: Option<&Statement>, id: &JobId) {
    let Some(statement) = statement else {
        return;
    };
    let mut status = statement.progress().status;
    services.cluster.report_progress(id, &mut status).await;
    statement.update(|shown| {
        shown.stages_total = status.stages_total;
        shown.stages_done = status.stages_done;
        shown.tasks_total = status.tasks_total;
        shown.tasks_done = status.tasks_done;
        shown.shuffle_bytes = status.shuffle_bytes;
        shown.input_rows = status.input_rows;
    });
}

/// Cancels the job unless it was disarmed.
struct CancelOnDrop {
    cluster: Cluster,
    job: Option<JobId>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            let cluster = self.cluster.clone();
            tokio::spawn(async move { cluster.cancel(&job).await });
        }
    }
}
