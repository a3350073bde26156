//! Where the tasks of a job run: beside the shards they read.
//!
//! Ballista asks a policy for tasks whenever an executor has a free vcore. [`Locality`] gives an executor the pending
//! partitions of which it holds most bytes, and whatever is left to anybody who is free, at once: a read over the
//! network costs less than an idle core. A stage without shards is spread in rotation, as Ballista does it.
//!
//! ```text
//! plan of a stage ─► held: bytes by holder ─► placement: who gets what ─► round: tasks for Ballista
//! ```
//!
//! A round has three passes. Each job in turn has its partitions bound to the executors that hold them, then its
//! stages without shards. Only when every job has had its turn are partitions bound whose holder is full. So a
//! remote read never takes a vcore from a local one, and no vcore stays free while a partition waits.
//!
//! The policy runs under Ballista's lock of free vcores: it does no I/O and waits for nothing but the graph of a job.

mod held;
mod placement;
mod round;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::serde::protobuf::{AvailableVcores, job_status};
use ballista_scheduler::cluster::{BoundTask, ClusterState, DistributionPolicy};
use ballista_scheduler::state::execution_graph::ExecutionGraph;
use ballista_scheduler::state::task_manager::JobInfoCache;
use futures::FutureExt;

use self::round::{Pass, Round};
use crate::cluster::{Draining, data_address};

/// From the identifier of an executor to the `HOST:PORT` of its data port, if it is known. Must not block.
pub(crate) type DataAddress = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// See the module.
pub(crate) struct Locality {
    data_address: DataAddress,
    draining: Draining,
}

impl fmt::Debug for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locality").finish_non_exhaustive()
    }
}

impl Locality {
    /// A policy that finds executors by `data_address` and gives nothing to those that are draining.
    pub(crate) fn new(data_address: DataAddress, draining: Draining) -> Self {
        Self {
            data_address,
            draining,
        }
    }

    /// A policy that finds executors among those that have registered with Ballista.
    pub(crate) fn of_registered(state: Arc<dyn ClusterState>, draining: Draining) -> Self {
        let data_address: DataAddress = Arc::new(move |executor_id| {
            // Ballista's state is a map in memory, so the answer is always there. Waiting for it would be waiting
            // under the lock of free vcores.
            let known = state.get_executor_metadata(executor_id).now_or_never()?.ok()?;
            Some(data_address(&known.host, known.port))
        });
        Self::new(data_address, draining)
    }
}

#[async_trait]
impl DistributionPolicy for Locality {
    async fn bind_tasks(
        &self,
        mut budgets: Vec<&mut AvailableVcores>,
        running_jobs: Arc<HashMap<JobId, JobInfoCache>>,
    ) -> datafusion::error::Result<Vec<BoundTask>> {
        budgets.retain(|budget| !self.draining.contains(&budget.executor_id));
        let mut round = Round::new(budgets, &self.data_address);
        let mut waiting = Vec::new();
        for (job, info) in running_jobs.iter().filter(|(_, info)| runs(info)) {
            if round.is_full() {
                return Ok(round.into_bound());
            }
            let mut graph = info.execution_graph.write().await;
            bind_job(&mut round, Pass::Held, job, graph.as_mut());
            bind_job(&mut round, Pass::Spread, job, graph.as_mut());
            if graph.available_tasks() > 0 {
                waiting.push((job, info));
            }
        }
        for (job, info) in waiting {
            if round.is_full() {
                break;
            }
            let mut graph = info.execution_graph.write().await;
            bind_job(&mut round, Pass::Rest, job, graph.as_mut());
        }
        Ok(round.into_bound())
    }

    fn name(&self) -> &str {
        "locality"
    }
}

fn runs(info: &JobInfoCache) -> bool {
    matches!(info.status, Some(job_status::Status::Running(_)))
}

/// Offers every stage of a job that can run to one pass of a round.
fn bind_job(round: &mut Round<'_>, pass: Pass, job: &JobId, graph: &mut dyn ExecutionGraph) {
    let session = graph.session_id().to_string();
    let mut seen = Vec::new();
    while !round.is_full()
        && let Some(stage) = graph.fetch_running_stage(&seen)
    {
        seen.push(stage.stage_id);
        round.bind_stage(pass, job, &session, stage);
    }
}
