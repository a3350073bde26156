//! The only place where the executor touches Ballista.
//!
//! Ballista's own `start_executor_process` installs signal handlers, opens ports that it tells nobody, and ends
//! the process' executor for good when a few heartbeats are missed. So its parts are put together here: [`Parts`]
//! lasts as long as our process; an [`Incarnation`] is one registration with the scheduler under an id of its own,
//! from joining to leaving. The scheduler pushes tasks to the incarnation's gRPC server, which
//! runs them in memory from the [`Budget`] and leaves their results under `jobs/`, where [`serve_flight`] fetches
//! them for everybody who has a ticket.

mod connections;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::JobId;
use ballista_core::error::BallistaError;
use ballista_core::extension::EndpointOverrideFn;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::executor_status::Status;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{ExecutorStatus, ExecutorStoppedParams, HeartBeatParams};
use ballista_core::utils::{GrpcServerConfig, create_grpc_server};
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use ballista_executor::executor::{Executor, TasksDrainedFuture};
use ballista_executor::executor_process::{ExecutorProcessConfig, structure_executor_metadata};
use ballista_executor::executor_server::{self, TERMINATING};
use ballista_executor::flight_service::BallistaFlightService;
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::ExecutorMetricsCollector;
use ballista_executor::runtime_cache::SessionRuntimeCache;
use ballista_executor::shutdown::{Shutdown, ShutdownNotifier};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use millpond_engine::models::Kept;
use millpond_engine::shards::Reader;
use millpond_engine::{codec, session};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};

use self::connections::Connections;
use crate::budget::Budget;
use crate::data_port::DataPort;
use crate::direct::Plans;
use crate::error::Error;
use crate::grouping::GroupingEngine;
use crate::metrics;
use crate::ports::HeldPort;
use crate::shard_copies::ShardCopies;
use crate::shuffle::{PlacingEngine, ShuffleDir};
use crate::stoppable::StoppableEngine;
use crate::streams::{Access, Producers, Streams};

/// Longest wait for a TCP connection to the scheduler.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer of the scheduler; longer than it takes to notice a dead executor.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for Ballista's loops to end: the one call they may be waiting for, and a little more.
const LOOPS_END_TIMEOUT: Duration = Duration::from_secs(12);
/// Longest wait for the scheduler to hang up.
const SERVER_END_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to stay after the last task: for its report to be sent, and for its result to be asked for. Ballista
/// gives no sign of either.
const LINGER: Duration = Duration::from_secs(1);
/// Tries to find a port for the gRPC server, if any port will do.
const PORT_ATTEMPTS: usize = 5;

/// What every incarnation of this process is made of.
pub(crate) struct Parts {
    /// Stable name of this node.
    pub(crate) name: String,
    /// `HOST:PORT` of the scheduler's internal port.
    pub(crate) scheduler: String,
    /// The host that others reach this executor by; `None` lets the scheduler take the address it sees.
    pub(crate) advertised_host: Option<String>,
    /// Where [`serve_flight`] listens.
    pub(crate) data_address: SocketAddr,
    /// Folder for results of stages.
    pub(crate) jobs: String,
    /// Decides which of them are in memory, if some may be.
    pub(crate) shuffle: Option<Arc<ShuffleDir>>,
    /// Tasks that may run at the same time, counted in output partitions.
    pub(crate) vcores: usize,
    /// False: it only keeps tables, and the scheduler sees no vcores.
    pub(crate) runs_tasks: bool,
    /// Time between heartbeats; Ballista counts whole seconds.
    pub(crate) heartbeat_interval: Duration,
    /// Largest gRPC message, in bytes, in both directions.
    pub(crate) grpc_max_message_bytes: usize,
    /// Functions that plans may name.
    pub(crate) functions: Arc<BallistaFunctionRegistry>,
    /// Makes the runtime of every task.
    pub(crate) runtimes: Arc<TaskRuntimes>,
    /// What tasks read and write tables in memory with. It lasts as long as the process.
    pub(crate) shards: Reader,
    /// How brokers of topics are reached.
    pub(crate) brokers: Access,
    /// Topics that tables follow. They last as long as the process, too.
    pub(crate) streams: Arc<Streams>,
    /// Aggregates over their tables, as long as the process too.
    pub(crate) kept: Arc<Kept>,
}

/// Makes runtimes that share files, caches and spill directory, and have a part of the memory each.
pub(crate) struct TaskRuntimes {
    base: Arc<RuntimeEnv>,
    budget: Arc<Budget>,
}

impl TaskRuntimes {
    /// Tasks get all of `base` except for its memory, which is `budget`'s.
    pub(crate) fn new(base: Arc<RuntimeEnv>, budget: Arc<Budget>) -> Self {
        Self { base, budget }
    }

    /// For work that takes no memory, such as decoding.
    pub(crate) fn base(&self) -> Arc<RuntimeEnv> {
        self.base.clone()
    }
}

impl SessionRuntimeCache for TaskRuntimes {
    fn produce_runtime(
        &self,
        _session: &str,
        _config: &SessionConfig,
        vcores: u32,
    ) -> datafusion::error::Result<Arc<RuntimeEnv>> {
        RuntimeEnvBuilder::from_runtime_env(&self.base)
            .with_memory_pool(self.budget.start_task(vcores.max(1) as usize))
            .build_arc()
    }
}

/// Counts tasks as they end.
struct TaskCounter {
    executor: String,
}

impl ExecutorMetricsCollector for TaskCounter {
    fn record_stage(&self, job: &JobId, stage: usize, task: usize, plan: Arc<dyn QueryStageExecutor>) {
        let spilled: usize = plan
            .collect_plan_metrics()
            .iter()
            .filter_map(|metrics| metrics.spilled_bytes())
            .sum();
        tracing::debug!(%job, stage, task, spilled_bytes = spilled, "task ended");
        metrics::count_task(&self.executor, spilled as u64);
    }
}

/// One registration with the scheduler, from joining to leaving.
pub(crate) struct Incarnation {
    id: String,
    executor: Arc<Executor>,
    scheduler: SchedulerGrpcClient<Channel>,
    server: JoinHandle<Result<(), BallistaError>>,
    stop_requests: mpsc::Receiver<bool>,
    shutdown: ShutdownNotifier,
    /// Fires when Ballista's heartbeat loop gives up, or when we end the incarnation ourselves.
    given_up: Shutdown,
    health: ExecutorHealth,
}

/// What is going on in an incarnation, for health checks and metrics.
#[derive(Clone)]
pub(crate) struct Probe {
    executor: Arc<Executor>,
    health: ExecutorHealth,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe")
            .field("heartbeating", &self.heartbeating())
            .field("tasks_running", &self.tasks_running())
            .finish()
    }
}

impl Probe {
    /// True if the scheduler answered the last heartbeat.
    pub(crate) fn heartbeating(&self) -> bool {
        self.health.is_ready()
    }

    /// Tasks that run now.
    pub(crate) fn tasks_running(&self) -> usize {
        self.executor.active_task_count()
    }
}

impl Incarnation {
    /// Joins the cluster under `<name>-<boot>`; serves tasks on the held port from then on.
    ///
    /// # Errors
    /// [`Error::NotRegistered`] if a later attempt may succeed; [`Error::Refused`] and [`Error::Bind`] otherwise.
    pub(crate) async fn join(parts: &Parts, boot: &str, port: &mut HeldPort) -> Result<Self, Error> {
        let mut attempts = PORT_ATTEMPTS;
        loop {
            port.retake()?;
            let scheduler = connect(parts).await?;
            match Self::register(parts, boot, port, scheduler).await {
                Ok(incarnation) => return Ok(incarnation),
                Err(BallistaError::IoError(error)) if error.kind() == io::ErrorKind::AddrInUse => {
                    // Somebody took the port between our letting go of it and the server's binding it.
                    attempts -= 1;
                    if attempts == 0 {
                        return Err(port.lost(error));
                    }
                }
                Err(error) => return Err(registration_error(&parts.scheduler, &error)),
            }
        }
    }

    async fn register(
        parts: &Parts,
        boot: &str,
        port: &mut HeldPort,
        scheduler: SchedulerGrpcClient<Channel>,
    ) -> Result<Self, BallistaError> {
        let address = port.release();
        let config = Arc::new(parts.process_config(boot, address));
        let executor = Arc::new(parts.executor(&config));
        let shutdown = ShutdownNotifier::new();
        let given_up = shutdown.subscribe_for_shutdown();
        let health = ExecutorHealth::new();
        let (stop_sender, stop_requests) = mpsc::channel(1);
        let codec: BallistaCodec<LogicalPlanNode, PhysicalPlanNode> =
            BallistaCodec::new(codec::logical_codec(), codec::physical_codec(Some(parts.local())));
        // Left over from an incarnation of this process that was asked to leave.
        TERMINATING.store(false, Ordering::Release);
        let server = executor_server::startup(
            scheduler.clone(),
            config.clone(),
            executor.clone(),
            codec,
            stop_sender,
            &shutdown,
            health.clone(),
        )
        .await?;
        let id = config.executor_id.clone();
        Ok(Self {
            id,
            executor,
            scheduler,
            server,
            stop_requests,
            shutdown,
            given_up,
            health,
        })
    }

    /// The id that the scheduler knows it by.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// For health checks and metrics.
    pub(crate) fn probe(&self) -> Probe {
        Probe {
            executor: self.executor.clone(),
            health: self.health.clone(),
        }
    }

    /// Waits until the incarnation cannot go on, and tells why.
    pub(crate) async fn ended(&mut self) -> &'static str {
        tokio::select! {
            _ = self.stop_requests.recv() => "the scheduler took this executor for dead",
            () = self.given_up.recv() => "the scheduler did not answer heartbeats",
            _ = &mut self.server => "its task server failed",
        }
    }

    /// Leaves in good order: takes no new tasks, waits for the running ones up to `timeout`, and signs off.
    ///
    /// Ballista's own way signs off first, and the scheduler then starts the tasks again elsewhere.
    pub(crate) async fn leave(mut self, timeout: Duration) {
        TERMINATING.store(true, Ordering::Release);
        // The heartbeat loop repeats this, so an error here is not the last word.
        if let Err(error) = self.scheduler.heart_beat_from_executor(self.terminating()).await {
            tracing::warn!(
                executor = self.id,
                error = error.message(),
                "cannot tell the scheduler that we leave"
            );
        }
        let running = self.executor.active_task_count();
        tracing::info!(
            executor = self.id,
            tasks_running = running,
            ?timeout,
            "leaving, waiting for running tasks"
        );
        if running > 0 {
            self.drain(timeout).await;
        }
        let stopped = ExecutorStoppedParams {
            executor_id: self.id.clone(),
            reason: String::from("asked to stop"),
        };
        let (id, mut scheduler) = (self.id.clone(), self.scheduler.clone());
        // Heartbeats must have ended before, since one that comes later would register the executor again.
        self.abandon().await;
        if let Err(error) = scheduler.executor_stopped(stopped).await {
            tracing::warn!(
                executor = id,
                error = error.message(),
                "cannot sign off, the scheduler will notice"
            );
        }
    }

    async fn drain(&mut self, timeout: Duration) {
        let drained = async {
            tokio::select! {
                () = TasksDrainedFuture(self.executor.clone()) => tokio::time::sleep(LINGER).await,
                // Without a scheduler there is nobody to finish the tasks for.
                () = self.given_up.recv() => {}
            }
        };
        if tokio::time::timeout(timeout, drained).await.is_err() {
            let running = self.executor.active_task_count();
            tracing::warn!(
                executor = self.id,
                tasks_running = running,
                "out of time, tasks will be run elsewhere"
            );
        }
    }

    /// Ends everything at once; running tasks are given up.
    pub(crate) async fn abandon(self) {
        let Self {
            id,
            mut server,
            shutdown,
            ..
        } = self;
        let ShutdownNotifier {
            notify_shutdown,
            mut shutdown_complete_rx,
            shutdown_complete_tx,
        } = shutdown;
        // Nobody may be listening any more, which is as good.
        let _ = notify_shutdown.send(());
        drop((notify_shutdown, shutdown_complete_tx));
        if tokio::time::timeout(LOOPS_END_TIMEOUT, shutdown_complete_rx.recv())
            .await
            .is_err()
        {
            tracing::warn!(
                executor = id,
                "background work of an executor that left has not ended yet"
            );
        }
        // The server ends when its last answer is sent and the scheduler has hung up, which it need not do.
        if !server.is_finished()
            && tokio::time::timeout(SERVER_END_TIMEOUT, &mut server)
                .await
                .is_err()
        {
            server.abort();
        }
    }

    fn terminating(&self) -> HeartBeatParams {
        HeartBeatParams {
            executor_id: self.id.clone(),
            metrics: vec![],
            status: Some(ExecutorStatus {
                status: Some(Status::Terminating(String::new())),
            }),
            metadata: Some(self.executor.metadata.clone()),
        }
    }
}

impl Parts {
    /// What tasks read and write with.
    fn local(&self) -> codec::Local {
        codec::Local {
            shards: self.shards.clone(),
            topics: Arc::new(Producers {
                access: self.brokers.clone(),
            }),
            kept: self.kept.clone(),
        }
    }

    fn process_config(&self, boot: &str, grpc: SocketAddr) -> ExecutorProcessConfig {
        let max_message = u32::try_from(self.grpc_max_message_bytes).unwrap_or(u32::MAX);
        ExecutorProcessConfig {
            executor_id: format!("{}-{boot}", self.name),
            // Ballista writes `host:port`, which needs brackets around an IPv6 address.
            bind_host: bracketed(&grpc.ip().to_string()),
            external_host: self.advertised_host.as_deref().map(bracketed),
            port: self.data_address.port(),
            grpc_port: grpc.port(),
            vcores: self.vcores,
            executor_heartbeat_interval_seconds: self.heartbeat_interval.as_secs().max(1),
            grpc_max_decoding_message_size: max_message,
            grpc_max_encoding_message_size: max_message,
            // Without it a report about a task waits for ever for a scheduler that hangs.
            override_create_grpc_client_endpoint: Some(with_timeouts()),
            ..ExecutorProcessConfig::default()
        }
    }

    fn offered_vcores(&self) -> u32 {
        match self.runs_tasks {
            true => u32::try_from(self.vcores).unwrap_or(u32::MAX),
            false => 0,
        }
    }

    fn executor(&self, config: &Arc<ExecutorProcessConfig>) -> Executor {
        let base = self.runtimes.base.clone();
        Executor::new(
            structure_executor_metadata(config, self.offered_vcores()),
            &self.jobs,
            // For decoding plans, which takes no memory; tasks get theirs from the cache below.
            Arc::new(move |_| Ok(base.clone())),
            session::executor_config_producer(),
            self.functions.clone(),
            Arc::new(TaskCounter {
                executor: self.name.clone(),
            }),
            self.vcores,
            self.engine(),
        )
        .with_session_runtime_cache(Some(self.runtimes.clone()))
    }

    fn engine(&self) -> Arc<dyn ExecutionEngine> {
        let engine = DefaultExecutionEngine::with_client_pool(Arc::new(Connections::default()));
        let engine = GroupingEngine::new(StoppableEngine::new(engine));
        match &self.shuffle {
            Some(shuffle) => Arc::new(PlacingEngine::new(engine, shuffle.clone())),
            None => Arc::new(engine),
        }
    }
}

/// Writes a host so that `:port` can follow: IPv6 addresses get brackets.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_string()
    }
}

fn with_timeouts() -> EndpointOverrideFn {
    Arc::new(|endpoint: Endpoint| {
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .tcp_nodelay(true))
    })
}

async fn connect(parts: &Parts) -> Result<SchedulerGrpcClient<Channel>, Error> {
    let failed = |error: tonic::transport::Error| Error::NotRegistered {
        scheduler: parts.scheduler.clone(),
        reason: chain(&error),
    };
    let endpoint = Endpoint::from_shared(format!("http://{}", parts.scheduler))
        .map_err(failed)?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(CALL_TIMEOUT)
        .keep_alive_while_idle(true);
    let channel = endpoint.connect().await.map_err(failed)?;
    Ok(SchedulerGrpcClient::new(channel)
        .max_encoding_message_size(parts.grpc_max_message_bytes)
        .max_decoding_message_size(parts.grpc_max_message_bytes))
}

fn registration_error(scheduler: &str, error: &BallistaError) -> Error {
    let scheduler = scheduler.to_string();
    match error {
        BallistaError::GrpcError(status) if status.code() == Code::FailedPrecondition => Error::Refused {
            scheduler,
            reason: status.message().to_string(),
        },
        BallistaError::GrpcError(status) => Error::NotRegistered {
            scheduler,
            reason: status.message().to_string(),
        },
        other => Error::NotRegistered {
            scheduler,
            reason: other.to_string(),
        },
    }
}

/// An error and its causes; tonic's own text is only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

/// Serves results of stages, shards and direct plans to other executors and to the scheduler, until `stop`.
///
/// It belongs to the process and not to an incarnation: what was computed can be fetched while the executor
/// registers anew.
pub(crate) fn serve_flight(
    listener: tokio::net::TcpListener,
    parts: &Parts,
    stop: CancellationToken,
) -> impl Future<Output = Result<(), tonic::transport::Error>> + use<> {
    let max_message_bytes = parts.grpc_max_message_bytes;
    let direct = Plans::new(
        parts.functions.clone(),
        codec::physical_codec(Some(parts.local())),
        parts.runtimes.clone(),
        parts.vcores,
    );
    let stages = BallistaFlightService::new(parts.jobs.clone());
    let copies = ShardCopies::new(parts.shards.clone(), parts.runtimes.base());
    let port = DataPort::new(
        stages,
        parts.shards.store.clone(),
        copies,
        direct,
        parts.streams.clone(),
    );
    let service = FlightServiceServer::new(port)
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_message_bytes);
    create_grpc_server(&GrpcServerConfig::default())
        .add_service(service)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop.cancelled_owned(),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_can_be_followed_by_a_port() {
        for (host, expect) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
            ("node", "node"),
        ] {
            assert_eq!(bracketed(host), expect);
        }
    }

    #[test]
    fn another_version_is_final_and_a_busy_scheduler_is_not() {
        let error =
            |status: tonic::Status| registration_error("s:1", &BallistaError::GrpcError(Box::new(status)));
        let refused = error(tonic::Status::failed_precondition("protocol 2, not 3"));
        assert!(!refused.may_pass());
        assert!(refused.to_string().contains("protocol 2, not 3"), "{refused}");
        assert!(error(tonic::Status::unavailable("starting")).may_pass());
    }
}
