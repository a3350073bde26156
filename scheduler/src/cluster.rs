//! The one place where the scheduler touches Ballista.
//!
//! [`Cluster`] owns Ballista's scheduler as a library. A statement gives it a logical plan ([`Cluster::submit`]) and
//! gets the job's status stream; progress and metrics are read from the job's execution graph; results are read
//! from the executors that hold them ([`Cluster::fetch`]) over pooled connections, block by block, and are never
//! kept here. An upgrade of Ballista changes this file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::client::BallistaClient;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_core::serde::protobuf::{
    AvailableVcores, JobStatus, PartitionLocation, job_status, task_status,
};
use ballista_core::serde::scheduler::ExecutorMetadata;
use ballista_scheduler::cluster::{BallistaCluster, BoundTask, DistributionPolicy};
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::display::format_stage_metrics;
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::SchedulerServer;
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use ballista_scheduler::state::execution_stage::{ExecutionStage, TaskInfo};
use ballista_scheduler::state::task_manager::JobInfoCache;
use dashmap::{DashMap, DashSet};
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::metrics::{MetricValue, MetricsSet};
use datafusion::prelude::SessionContext;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use millpond_engine::codec;
use millpond_engine::error::{Code, Error};
use millpond_engine::shards::ShardsRead;
use millpond_proto::statement::StatementStatus;
use tokio::sync::mpsc;

use crate::locality::Locality;
use crate::options::Options;

/// Ballista's scheduler with the plan encodings it uses.
type Server = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// Retries of one result fetch before the statement fails, and the pause between them.
const FETCH_RETRIES: u8 = 3;
const FETCH_RETRY_PAUSE_MS: u64 = 100;
/// Notifications of a job that may wait unread; Ballista drops what does not fit.
const STATUS_QUEUE: usize = 64;

/// Ballista's scheduler, ready to run jobs.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// A handle of Ballista's scheduler, behind a function: its type names every message that a plan is made of, and the
    /// compiler would look through all of them wherever something with a cluster in it goes to another thread.
    server: Arc<dyn Fn() -> Server + Send + Sync>,
    state: BallistaCluster,
    clients: Arc<DashMap<(String, u16), BallistaClient>>,
    draining: Draining,
    max_message_bytes: usize,
}

/// Identifiers of executors that get no new work.
pub(crate) type Draining = Arc<DashSet<String>>;

/// An executor that is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// `HOST:PORT` of its data port.
    pub(crate) address: String,
    pub(crate) draining: bool,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// One stage of a job, as `system.stages` and `EXPLAIN ANALYZE` show it.
#[derive(Debug)]
pub(crate) struct StageReport {
    pub(crate) stage_id: usize,
    pub(crate) state: String,
    pub(crate) tasks_total: usize,
    pub(crate) tasks_done: usize,
    /// Executors that ran tasks of the stage, in order of name.
    pub(crate) executors: Vec<String>,
    /// Milliseconds from the first launch to the last end, if any task ended.
    pub(crate) elapsed_ms: Option<u64>,
    /// Rows that left the stage.
    pub(crate) output_rows: Option<u64>,
    /// Bytes spilled to disk by the operators of the stage.
    pub(crate) spilled_bytes: u64,
    /// Shards that tasks of the stage have opened.
    pub(crate) shards: ShardsRead,
    /// The plan, an operator a line, with metrics once tasks have ended.
    pub(crate) plan: String,
    /// Stages that read this one; empty for the last.
    pub(crate) output_links: Vec<usize>,
}

impl Cluster {
    /// Starts Ballista's scheduler without a server.
    ///
    /// # Errors
    /// Whatever Ballista refuses in its configuration.
    pub(crate) async fn start(options: &Options) -> Result<Self, Error> {
        let max_message_bytes = options.grpc_max_message_bytes;
        let mut config = SchedulerConfig {
            scheduling_policy: TaskSchedulingPolicy::PushStaged,
            finished_job_data_clean_up_interval_seconds: options.result_ttl.as_secs().max(1),
            finished_job_state_clean_up_interval_seconds: options.result_ttl.as_secs().max(1),
            executor_termination_grace_period: options.executor_timeout.as_secs().max(1),
            executor_timeout_seconds: options.executor_timeout.as_secs().max(1),
            expire_dead_executor_interval_seconds: options.reaper_interval.as_secs().max(1),
            no_executors_grace_period_seconds: options.executor_timeout.as_secs().max(1) * 3,
            grpc_server_max_decoding_message_size: clamp_u32(max_message_bytes),
            grpc_server_max_encoding_message_size: clamp_u32(max_message_bytes),
            grpc_client_max_message_size: clamp_u32(max_message_bytes),
            external_host: options.advertise_host(),
            bind_port: options.internal_bind.port(),
            override_logical_codec: Some(codec::logical_codec()),
            override_physical_codec: Some(codec::physical_codec(None)),
            override_config_producer: Some(millpond_engine::session::executor_config_producer()),
            ..Default::default()
        };
        let state = BallistaCluster::new_from_config(&config)
            .await
            .map_err(internal)?;
        let draining = Draining::default();
        let locality = Locality::of_registered(state.cluster_state(), draining.clone());
        config.task_distribution = TaskDistributionPolicy::Custom(Arc::new(locality));
        let server = create_scheduler(state.clone(), Arc::new(config))
            .await
            .map_err(internal)?;
        Ok(Self {
            server: Arc::new(move || server.clone()),
            state,
            clients: Arc::default(),
            draining,
            max_message_bytes,
        })
    }

    /// The gRPC service that executors register with and report to. It has no authentication.
    pub(crate) fn internal_service(&self) -> SchedulerGrpcServer<Server> {
        SchedulerGrpcServer::new(self.server())
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(self.max_message_bytes)
    }

    fn server(&self) -> Server {
        (self.server)()
    }

    /// Hands a plan to the cluster. The receiver yields every change of the job's status and must be drained.
    pub(crate) fn submit<'a>(
        &'a self,
        name: &'a str,
        context: Arc<SessionContext>,
        plan: &'a LogicalPlan,
    ) -> BoxFuture<'a, Result<(JobId, mpsc::Receiver<JobStatus>), Error>> {
        let server = self.server();
        async move {
            let (sender, receiver) = mpsc::channel(STATUS_QUEUE);
            let job = server
                .submit_job(name, context, plan, Some(sender))
                .await
                .map_err(internal)?;
            Ok((job, receiver))
        }
        .boxed()
    }

    /// Asks for the end of a job. Tasks are interrupted; the job ends as failed with the reason `Cancelled`.
    pub(crate) fn cancel<'a>(&self, job: &'a JobId) -> BoxFuture<'a, ()> {
        let server = self.server();
        async move {
            if let Err(error) = server.cancel_job(job.clone()).await {
                tracing::warn!(%job, %error, "cancel job");
            }
        }
        .boxed()
    }

    /// Executors that are registered now.
    pub(crate) async fn executors(&self) -> Vec<ExecutorMetadata> {
        let mut executors = self.state.cluster_state().registered_executor_metadata().await;
        executors.sort_by(|a, b| a.id.cmp(&b.id));
        executors
    }

    /// Identifiers of the executors that are registered now.
    pub(crate) async fn executor_ids(&self) -> Vec<String> {
        self.executors()
            .await
            .into_iter()
            .map(|executor| executor.id)
            .collect()
    }

    /// Executors that are registered now, and where and how they are.
    pub(crate) async fn members(&self) -> Vec<Member> {
        self.executors()
            .await
            .into_iter()
            .map(|executor| Member {
                address: data_address(&executor.host, executor.port),
                draining: self.draining.contains(&executor.id),
                id: executor.id,
            })
            .collect()
    }

    /// Gives an executor no new work from now on, or again.
    pub(crate) fn set_draining(&self, executor_id: &str, draining: bool) {
        if draining {
            self.draining.insert(executor_id.to_string());
        } else {
            self.draining.remove(executor_id);
        }
    }

    /// True if an executor gets no new work.
    pub(crate) fn is_draining(&self, executor_id: &str) -> bool {
        self.draining.contains(executor_id)
    }

    /// Gives an executor up at once, whose process is gone.
    pub(crate) async fn give_up(&self, executor_id: &str) {
        tracing::warn!(executor_id, "the process of an executor is gone");
        if let Err(error) = self.state.cluster_state().remove_executor(executor_id).await {
            tracing::warn!(executor_id, %error, "give up an executor");
        }
    }

    /// Gives every executor all its vcores again, if no job runs.
    ///
    /// When an executor is lost, Ballista takes back stages that were running and cancels their tasks on the others,
    /// but their vcores are counted by the stage, which is not running any more, and stay taken for ever. Without
    /// this the next job could wait for a free vcore that never comes.
    pub(crate) async fn restore_vcores(&self) {
        if self.server().running_job_number() > 0 {
            return;
        }
        let totals: HashMap<String, u32> = self
            .executors()
            .await
            .into_iter()
            .map(|executor| (executor.id, executor.specification.vcores))
            .collect();
        // Executors without a free vcore are not offered to a policy, so each gets one first.
        let state = self.state.cluster_state();
        let one_each = totals.keys().map(|id| (id.clone(), 1)).collect();
        let policy = TaskDistributionPolicy::Custom(Arc::new(AllVcoresFree(totals)));
        let restored = match state.unbind_tasks(one_each).await {
            Ok(()) => state.bind_schedulable_tasks(policy, Arc::default(), None).await,
            Err(error) => Err(error),
        };
        if let Err(error) = restored {
            tracing::warn!(%error, "restore the vcores of executors");
        }
    }

    /// The first of `expected` that is not registered any more.
    pub(crate) async fn first_missing(&self, expected: &[String]) -> Option<String> {
        let present = self.executor_ids().await;
        expected.iter().find(|id| !present.contains(id)).cloned()
    }

    /// Seconds since the Unix epoch of an executor's last heartbeat.
    pub(crate) fn last_heartbeat_s(&self, executor_id: &str) -> Option<u64> {
        self.state
            .cluster_state()
            .get_executor_heartbeat(executor_id)
            .map(|beat| beat.timestamp)
    }

    /// Cores of all registered executors, at least one.
    pub(crate) async fn vcores(&self) -> usize {
        self.executors()
            .await
            .iter()
            .map(|executor| executor.specification.vcores as usize)
            .sum::<usize>()
            .max(1)
    }

    async fn with_graph<R>(&self, job: &JobId, read: impl FnOnce(&ExecutionGraphBox) -> R) -> Option<R> {
        let running = self.server().state.task_manager.get_running_job_cache();
        if let Some(info) = running.get(job) {
            let graph = info.execution_graph.read().await;
            return Some(read(&graph));
        }
        self.state
            .job_state()
            .get_execution_graph(job)
            .await
            .ok()
            .flatten()
            .map(|graph| read(&graph))
    }

    /// Writes stage and task counts of a job into `status`.
    pub(crate) async fn report_progress(&self, job: &JobId, status: &mut StatementStatus) {
        let counted = self
            .with_graph(job, |graph| {
                let stages: Vec<StageCounts> = graph.stages().values().map(count_stage).collect();
                (graph.stage_count(), stages)
            })
            .await;
        let Some((stage_count, stages)) = counted else {
            return;
        };
        status.stages_total = stage_count as u32;
        status.stages_done = stages.iter().filter(|stage| stage.finished).count() as u32;
        status.tasks_total = stages.iter().map(|stage| stage.tasks_total as u32).sum();
        status.tasks_done = stages.iter().map(|stage| stage.tasks_done as u32).sum();
        status.shuffle_bytes = stages.iter().map(|stage| stage.shuffle_bytes).sum();
        status.input_rows = stages.iter().map(|stage| stage.input_rows).sum();
    }

    /// Every stage of a job in order of its number; empty when the job is no longer known.
    pub(crate) async fn stages(&self, job: &JobId) -> Vec<StageReport> {
        self.with_graph(job, |graph| {
            let mut stages: Vec<StageReport> = graph
                .stages()
                .iter()
                .map(|(id, stage)| report_stage(*id, stage))
                .collect();
            stages.sort_by_key(|stage| stage.stage_id);
            stages
        })
        .await
        .unwrap_or_default()
    }

    /// Reads a result partition that is known to be small.
    ///
    /// # Errors
    /// As [`Self::fetch`], and whatever breaks the transfer.
    pub(crate) async fn fetch_all(&self, location: PartitionLocation) -> Result<Vec<RecordBatch>, Error> {
        let rows = self.fetch(location).await?;
        rows.try_collect().await.map_err(Error::from_datafusion)
    }

    /// Reads one result partition from the executor that holds it.
    ///
    /// # Errors
    /// [`Code::EXECUTOR_LOST`] when the executor is gone.
    pub(crate) async fn fetch(
        &self,
        location: PartitionLocation,
    ) -> Result<SendableRecordBatchStream, Error> {
        let layout = location.layout();
        let (Some(executor), Some(partition)) = (location.executor_meta, location.partition_id) else {
            return Err(Error::bug("a result partition without a place"));
        };
        let address = (executor.host.clone(), executor.port as u16);
        let lost = |error: ballista_core::error::BallistaError| {
            Error::external(
                Code::EXECUTOR_LOST,
                format!("executor {} no longer has the result", executor.id),
            )
            .with_detail(error.to_string())
            .with_hint("run the statement again")
        };
        let known = self.clients.get(&address).map(|client| client.clone());
        let mut client = match known {
            Some(client) => client,
            None => {
                let client = BallistaClient::try_new(
                    &address.0,
                    address.1,
                    self.max_message_bytes,
                    false,
                    None,
                    FETCH_RETRIES,
                    FETCH_RETRY_PAUSE_MS,
                    0,
                    0,
                )
                .await
                .map_err(lost)?;
                self.clients.insert(address.clone(), client.clone());
                client
            }
        };
        client
            .fetch_partition(&executor.id, &partition.into(), location.file_id, layout, true)
            .await
            .map_err(|error| {
                // A channel to a process that was replaced on the same port must not be used again.
                self.clients.remove(&address);
                lost(error)
            })
    }
}

/// What the shards of an executor are found by: `HOST:PORT` of its data port.
pub(crate) fn data_address(host: &str, port: impl std::fmt::Display) -> String {
    format!("{host}:{port}")
}

/// The partitions of a finished job in order, or why they are not a complete result.
///
/// Ballista's static planner can list a partition twice after an executor was lost; that must not double rows.
pub(crate) fn ordered_partitions(status: &JobStatus) -> Option<Result<Vec<PartitionLocation>, Error>> {
    match status.status.as_ref()? {
        job_status::Status::Successful(job) => {
            let mut locations = job.partition_location.clone();
            locations.sort_by_key(|location| location.partition_id.as_ref().map_or(0, |id| id.partition_id));
            let doubled = locations.windows(2).any(|pair| {
                pair[0].partition_id == pair[1].partition_id
                    && pair[0].map_partition_id == pair[1].map_partition_id
            });
            Some(if doubled {
                Err(Error::external(
                    Code::EXECUTOR_LOST,
                    "a result partition was computed twice".to_string(),
                )
                .with_hint("run the statement again"))
            } else {
                Ok(locations)
            })
        }
        _ => None,
    }
}

/// Waits until `count` executors are registered.
///
/// # Errors
/// [`Code::NO_EXECUTORS`] after `timeout`.
pub(crate) async fn wait_for_executors(
    cluster: &Cluster,
    count: usize,
    timeout: Duration,
) -> Result<(), Error> {
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        let runs_tasks = |executor: &&ExecutorMetadata| executor.specification.vcores > 0;
        let executors = cluster.executors().await;
        let registered = executors.iter().filter(runs_tasks).count();
        if registered >= count {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Error::external(
                Code::NO_EXECUTORS,
                format!(
                    "{registered} of {count} executors registered within {} s",
                    timeout.as_secs()
                ),
            )
            .with_hint("start executors with `millpond executor --scheduler HOST:PORT`"));
        }
        // Only now: a timer rounds up to the next millisecond, which is as long as a small query takes.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A policy that binds nothing and sets the free vcores of executors to these numbers.
#[derive(Debug)]
struct AllVcoresFree(HashMap<String, u32>);

#[async_trait]
impl DistributionPolicy for AllVcoresFree {
    async fn bind_tasks(
        &self,
        budgets: Vec<&mut AvailableVcores>,
        _: Arc<HashMap<JobId, JobInfoCache>>,
    ) -> datafusion::error::Result<Vec<BoundTask>> {
        for budget in budgets {
            if let Some(total) = self.0.get(&budget.executor_id) {
                budget.vcores = *total;
            }
        }
        Ok(Vec::new())
    }

    fn name(&self) -> &str {
        "all-vcores-free"
    }
}

struct StageCounts {
    finished: bool,
    tasks_total: usize,
    tasks_done: usize,
    shuffle_bytes: u64,
    input_rows: u64,
}

fn count_stage(stage: &ExecutionStage) -> StageCounts {
    let (tasks_total, tasks_done) = partition_counts(stage);
    let metrics = metrics_of(stage);
    StageCounts {
        finished: matches!(stage, ExecutionStage::Successful(_)),
        tasks_total,
        tasks_done,
        shuffle_bytes: sum_metric(metrics, "bytes_written").unwrap_or(0),
        input_rows: metrics.last().and_then(MetricsSet::output_rows).unwrap_or(0) as u64,
    }
}

/// Partitions of a stage and how many of them are computed: the unit that people call a task.
fn partition_counts(stage: &ExecutionStage) -> (usize, usize) {
    let done = |tasks: &[TaskInfo]| {
        tasks
            .iter()
            .filter(|task| matches!(task.task_status, task_status::Status::Successful(_)))
            .map(|task| task.global_input_partition_ids.len())
            .sum::<usize>()
    };
    match stage {
        ExecutionStage::UnResolved(_) => (0, 0),
        ExecutionStage::Resolved(stage) => (stage.partitions, 0),
        ExecutionStage::Running(stage) => (stage.partitions, done(&stage.task_infos).min(stage.partitions)),
        ExecutionStage::Successful(stage) => (stage.partitions, stage.partitions),
        ExecutionStage::Failed(stage) => (stage.partitions, done(&stage.task_infos).min(stage.partitions)),
    }
}

fn metrics_of(stage: &ExecutionStage) -> &[MetricsSet] {
    match stage {
        ExecutionStage::Running(stage) => stage.stage_metrics.as_deref().unwrap_or_default(),
        ExecutionStage::Successful(stage) => &stage.stage_metrics,
        ExecutionStage::Failed(stage) => stage.stage_metrics.as_deref().unwrap_or_default(),
        ExecutionStage::UnResolved(_) | ExecutionStage::Resolved(_) => &[],
    }
}

fn report_stage(stage_id: usize, stage: &ExecutionStage) -> StageReport {
    let (tasks_total, tasks_done) = partition_counts(stage);
    let tasks = stage.task_infos().unwrap_or_default();
    let mut executors: Vec<String> = tasks.iter().filter_map(executor_of).collect();
    executors.sort();
    executors.dedup();
    let started = tasks
        .iter()
        .map(|task| task.launch_time)
        .filter(|time| *time > 0)
        .min();
    let ended = tasks.iter().map(|task| task.end_exec_time).max();
    let metrics = metrics_of(stage);
    StageReport {
        stage_id,
        state: stage.variant_name().to_ascii_lowercase(),
        tasks_total,
        tasks_done,
        executors,
        elapsed_ms: started
            .zip(ended)
            .map(|(start, end)| end.saturating_sub(start) as u64),
        output_rows: metrics
            .first()
            .and_then(MetricsSet::output_rows)
            .map(|rows| rows as u64),
        spilled_bytes: metrics
            .iter()
            .filter_map(MetricsSet::spilled_bytes)
            .sum::<usize>() as u64,
        shards: ShardsRead::of(metrics),
        plan: format_stage_metrics(stage.plan(), metrics),
        output_links: stage.output_links().to_vec(),
    }
}

fn executor_of(task: &TaskInfo) -> Option<String> {
    match &task.task_status {
        task_status::Status::Successful(task) => Some(task.executor_id.clone()),
        task_status::Status::Running(task) => Some(task.executor_id.clone()),
        task_status::Status::Failed(_) => None,
    }
}

fn sum_metric(metrics: &[MetricsSet], name: &str) -> Option<u64> {
    metrics
        .iter()
        .filter_map(|set| set.sum_by_name(name))
        .map(|value: MetricValue| value.as_usize() as u64)
        .reduce(|a, b| a + b)
}

fn clamp_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn internal(error: ballista_core::error::BallistaError) -> Error {
    Error::bug(error.to_string())
}
