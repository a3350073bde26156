//! An executor from start to end.
//!
//! [`Executor::start`] checks the options, takes ports, memory and work directory, starts the servers and joins the
//! cluster; one background task then owns everything until the end. It watches the servers: one that ends by itself
//! ends the executor with an error, because a half of an executor would look alive and serve nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use millpond_engine::connections::Connections;
use millpond_engine::memory::{Available, Bytes, Limit};
use millpond_engine::models::Kept;
use millpond_engine::object_stores::Registry;
use millpond_engine::session;
use millpond_engine::shards::{Reader, ShardStore};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::ballista::{self, Parts, TaskRuntimes};
use crate::budget::Budget;
use crate::error::Error;
use crate::http::{self, Shown};
use crate::ingest_cores::IngestCores;
use crate::membership::{self, Membership};
use crate::options::Options;
use crate::ports::{self, HeldPort};
use crate::shuffle::ShuffleDir;
use crate::streams::{Access, Streams};
use crate::work_dir::{self, WorkDir};
use crate::{metrics, options};

/// Longest wait for transfers under way when everything else has ended.
const LAST_TRANSFERS_TIMEOUT: Duration = Duration::from_secs(5);
/// Columns of other executors that nobody has read for this long are forgotten.
const COLUMNS_UNUSED_AFTER: Duration = Duration::from_secs(60);
/// How often to look for data of forgotten jobs.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);
/// How often to look for data of jobs that were removed.
const REMOVED_INTERVAL: Duration = Duration::from_secs(1);
/// Nobody fetches the result of a job after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Where an executor can be reached. The ports are real ones, also where 0 was configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Arrow Flight: results of stages.
    pub data: SocketAddr,
    /// Ballista's gRPC: tasks. If any port would do, it can change when the executor joins again.
    pub grpc: SocketAddr,
    /// Health and metrics, if they are served.
    pub http: Option<SocketAddr>,
}

/// A running executor.
///
/// Dropping it lets the background task leave the cluster in good order, if the runtime lives long enough;
/// [`Executor::shutdown`] waits for that.
#[derive(Debug)]
pub struct Executor {
    addresses: Addresses,
    membership: watch::Receiver<Membership>,
    running: Option<JoinHandle<Result<(), Error>>>,
    stop: DropGuard,
}

impl Executor {
    /// Starts an executor and returns when it is a member of the cluster.
    ///
    /// A scheduler that is not there yet is waited for, without a limit: give up by dropping the future.
    ///
    /// # Errors
    /// Settings, ports or a directory that cannot be used, an unknown scheduler host, a scheduler of another
    /// version, or a second executor in this process.
    pub async fn start(options: Options) -> Result<Self, Error> {
        options.check()?;
        resolve(&options.scheduler).await?;
        let service = Service::prepare(options)?;
        let stop = CancellationToken::new();
        let (state, mut membership) = watch::channel(Membership::Outside);
        let (data, http) = (service.data_address, service.http_address);
        let mut running = tokio::spawn(service.run(state, stop.clone()));
        let stop = stop.drop_guard();

        tokio::select! {
            ended = &mut running => Err(match outcome(ended) {
                Err(error) => error,
                Ok(()) => Error::ServiceEnded { service: "registration", reason: String::from("asked to stop") },
            }),
            grpc = first_registration(&mut membership) => {
                Ok(Self { addresses: Addresses { data, grpc, http }, membership, running: Some(running), stop })
            }
        }
    }

    /// Where the executor can be reached now.
    pub fn addresses(&self) -> Addresses {
        match &*self.membership.borrow() {
            Membership::Member { grpc_address, .. } => Addresses {
                grpc: *grpc_address,
                ..self.addresses
            },
            _ => self.addresses,
        }
    }

    /// The id that the scheduler knows this executor by; `None` while it is no member.
    pub fn id(&self) -> Option<String> {
        match &*self.membership.borrow() {
            Membership::Member { id, .. } => Some(id.clone()),
            _ => None,
        }
    }

    /// Waits until the executor has ended. A second call returns at once.
    ///
    /// # Errors
    /// Why it ended, if nobody asked for it.
    pub async fn wait(&mut self) -> Result<(), Error> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let ended = running.await;
        self.running = None;
        outcome(ended)
    }

    /// Leaves the cluster: takes no new tasks, waits for the running ones up to the drain timeout, and ends.
    ///
    /// # Errors
    /// Why it had ended before, if it had.
    pub async fn shutdown(self) -> Result<(), Error> {
        let Self { running, stop, .. } = self;
        drop(stop);
        match running {
            Some(running) => outcome(running.await),
            None => Ok(()),
        }
    }
}

fn outcome(ended: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    ended.unwrap_or_else(|error| {
        Err(Error::ServiceEnded {
            service: "main task",
            reason: error.to_string(),
        })
    })
}

async fn resolve(scheduler: &str) -> Result<(), Error> {
    let unknown = |source| Error::UnknownScheduler {
        scheduler: scheduler.to_string(),
        source,
    };
    let mut found = tokio::net::lookup_host(scheduler).await.map_err(unknown)?;
    found
        .next()
        .map(|_| ())
        .ok_or_else(|| unknown(std::io::Error::other("the name has no address")))
}

async fn first_registration(membership: &mut watch::Receiver<Membership>) -> SocketAddr {
    loop {
        if let Membership::Member { grpc_address, .. } = &*membership.borrow_and_update() {
            return *grpc_address;
        }
        if membership.changed().await.is_err() {
            // The sender is gone with the main task, whose result says why.
            std::future::pending::<()>().await;
        }
    }
}

/// The right to be the executor of this process.
#[derive(Debug)]
struct OnlyOne;

static TAKEN: AtomicBool = AtomicBool::new(false);

impl OnlyOne {
    fn take() -> Result<Self, Error> {
        if TAKEN.swap(true, Ordering::AcqRel) {
            Err(Error::SecondInProcess)
        } else {
            Ok(Self)
        }
    }
}

impl Drop for OnlyOne {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}

/// Everything an executor owns, taken before it joins.
struct Service {
    options: Options,
    vcores: usize,
    parts: Parts,
    budget: Arc<Budget>,
    base: Arc<RuntimeEnv>,
    data: tokio::net::TcpListener,
    data_address: SocketAddr,
    http: Option<tokio::net::TcpListener>,
    http_address: Option<SocketAddr>,
    grpc: HeldPort,
    work_dir: WorkDir,
    memory_dir: Option<WorkDir>,
    only_one: OnlyOne,
}

impl Service {
    fn prepare(options: Options) -> Result<Self, Error> {
        let only_one = OnlyOne::take()?;
        let ip = options.bind_host;
        let data = ports::listen(ip, options.data_port, options::DATA_PORT)?;
        let data_address = bound(&data, options::DATA_PORT)?;
        let grpc = HeldPort::take(ip, options.grpc_port, options::GRPC_PORT)?;
        let http = options
            .http_port
            .map(|port| ports::listen(ip, port, options::HTTP_PORT))
            .transpose()?;
        let http_address = http
            .as_ref()
            .map(|listener| bound(listener, options::HTTP_PORT))
            .transpose()?;
        let work_dir = WorkDir::open(options.work_dir.as_deref())?;
        let limit = Limit::resolve(
            options.memory_limit_bytes,
            options.memory_fraction,
            Available::detect(),
        )?;
        let vcores = options.vcores();
        let ingest_cores = IngestCores::divide(options.own_cores())?;
        let others = options.without_ingest(limit.bytes)?;
        let storage_limit = options.storage_limit(others)?;
        let budget = Budget::new(others, storage_limit, vcores);
        let (shuffle, memory_dir) = open_shuffle(&options, &work_dir, &budget).unzip();
        let jobs = shuffle
            .as_ref()
            .map_or(work_dir.jobs(), |shuffle| shuffle.jobs().to_path_buf());
        let base = Registry::new(options.buckets.clone())
            .runtime_builder()
            .with_temp_file_path(work_dir.spill())
            .with_memory_pool(budget.start_task(0))
            .build_arc()?;
        tracing::info!(
            executor = options.name, vcores, memory_limit = %limit, storage_limit = %Bytes(storage_limit), work_dir = %work_dir.path().display(),
            data = %data_address, "starting executor"
        );
        let to_usize = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        let store = ShardStore::new(budget.start_task(0), to_usize(storage_limit))
            .with_folder(work_dir.tables())
            .with_column_cache(to_usize(options.column_cache_bytes));
        let store = Arc::new(match options.ingest_limit_bytes {
            0 => store,
            bytes => store.with_live_room(to_usize(bytes)),
        });
        let brokers = Access::new(&options.cluster_name, &options.kafka, options.registry.clone());
        let kept = Arc::new(Kept::default());
        let parts = Parts {
            name: options.name.clone(),
            scheduler: options.scheduler.clone(),
            advertised_host: options.advertised_host(),
            data_address,
            jobs: jobs.to_string_lossy().into_owned(),
            shuffle,
            vcores,
            runs_tasks: options.roles.query,
            heartbeat_interval: options.heartbeat_interval,
            grpc_max_message_bytes: options.grpc_max_message_bytes,
            functions: Arc::new(session::function_registry()?),
            runtimes: Arc::new(TaskRuntimes::new(base.clone(), budget.clone())),
            streams: Arc::new(Streams::new(
                store.clone(),
                base.clone(),
                brokers.clone(),
                kept.clone(),
                options.roles.ingest,
                ingest_cores,
            )),
            brokers,
            kept,
            shards: Reader {
                store,
                connections: Connections::new(options.grpc_max_message_bytes),
            },
        };
        metrics::install();
        Ok(Self {
            options,
            vcores,
            parts,
            budget,
            base,
            data,
            data_address,
            http,
            http_address,
            grpc,
            work_dir,
            memory_dir,
            only_one,
        })
    }

    /// Runs until `stop`, or until one of its servers ends.
    async fn run(self, state: watch::Sender<Membership>, stop: CancellationToken) -> Result<(), Error> {
        let Self {
            options,
            vcores,
            parts,
            budget,
            base,
            data,
            http,
            grpc,
            work_dir,
            memory_dir,
            only_one,
            ..
        } = self;
        // Servers outlive the membership, so that running transfers end and probes get an answer while it leaves.
        let stop_servers = CancellationToken::new();
        let mut servers: JoinSet<(&'static str, Result<(), String>)> = JoinSet::new();
        let flight = ballista::serve_flight(data, &parts, stop_servers.clone());
        servers.spawn(async { ("data server", flight.await.map_err(|error| error.to_string())) });
        if let Some(listener) = http {
            let shown = Shown {
                executor: options.name.clone(),
                vcores,
                membership: state.subscribe(),
                budget,
                disk: base.disk_manager.clone(),
                shards: parts.shards.store.clone(),
                shuffle: parts.shuffle.clone(),
                streams: parts.streams.clone(),
            };
            let pages = http::serve(listener, shown, stop_servers.clone());
            servers.spawn(async { ("health server", pages.await.map_err(|error| error.to_string())) });
        }
        let forgotten = sweep_forgotten(parts.jobs.clone().into(), stop_servers.clone());
        let removed = sweep_removed(&options, &parts, stop_servers.clone());
        let unused = forget_unused(parts.shards.store.clone(), stop_servers.clone());
        servers.spawn(async {
            ("clean-up", {
                tokio::join!(forgotten, removed, unused);
                Ok(())
            })
        });

        let result = tokio::select! {
            result = membership::keep(&parts, grpc, &state, &stop, options.drain_timeout) => result,
            Some(ended) = servers.join_next() => Err(service_ended(ended)),
        };
        stop_servers.cancel();
        let transfers = async { while servers.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_TRANSFERS_TIMEOUT, transfers)
            .await
            .is_err()
        {
            tracing::warn!(
                executor = options.name,
                "cut off transfers that were still under way"
            );
        }
        servers.shutdown().await;
        // Removing a large directory takes its time, and must be over before the process ends.
        let (streams, runtime) = (parts.streams.clone(), tokio::runtime::Handle::current());
        let removed = tokio::task::spawn_blocking(move || {
            streams.stop(&runtime);
            drop((memory_dir, work_dir));
        })
        .await;
        drop(only_one);
        match &result {
            Ok(()) => tracing::info!(executor = options.name, "executor ended"),
            Err(error) => tracing::error!(executor = options.name, %error, "executor ended"),
        }
        result.and(removed.map_err(|error| Error::ServiceEnded {
            service: "clean-up",
            reason: error.to_string(),
        }))
    }
}

fn bound(listener: &tokio::net::TcpListener, key: &'static str) -> Result<SocketAddr, Error> {
    listener.local_addr().map_err(|source| Error::Setting {
        key,
        reason: format!("the bound address is unknown: {source}"),
    })
}

fn service_ended(ended: Result<(&'static str, Result<(), String>), tokio::task::JoinError>) -> Error {
    match ended {
        Ok((service, Err(reason))) => Error::ServiceEnded { service, reason },
        Ok((service, Ok(()))) => Error::ServiceEnded {
            service,
            reason: String::from("nobody asked it to"),
        },
        Err(error) => Error::ServiceEnded {
            service: "server",
            reason: error.to_string(),
        },
    }
}

/// A place in memory for results of stages, if there is one; the log says why not.
fn open_shuffle(
    options: &Options,
    work_dir: &WorkDir,
    budget: &Arc<Budget>,
) -> Option<(Arc<ShuffleDir>, WorkDir)> {
    let parent = options.shuffle_dir.as_deref()?;
    match ShuffleDir::open(parent, options.shuffle_memory_bytes, work_dir.jobs(), budget) {
        Ok((shuffle, folder)) => {
            tracing::info!(
                path = %folder.path().display(), limit = %Bytes(shuffle.limit_bytes()),
                "results of stages are kept in memory up to a limit"
            );
            Some((shuffle, folder))
        }
        Err(reason) => {
            tracing::info!(path = %parent.display(), reason, "results of stages are kept on disk");
            None
        }
    }
}

/// Removes data of removed jobs as long as some may be in memory, and what killed executors left in memory.
fn sweep_removed(
    options: &Options,
    parts: &Parts,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let place = options.shuffle_dir.clone().zip(parts.shuffle.clone());
    async move {
        let Some((parent, shuffle)) = place else { return };
        let mut ticks = tokio::time::interval(REMOVED_INTERVAL);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let (parent, shuffle) = (parent.clone(), shuffle.clone());
            let swept = tokio::task::spawn_blocking(move || {
                shuffle.sweep();
                work_dir::remove_abandoned(&parent);
            });
            if let Err(error) = swept.await {
                tracing::warn!(%error, "removing data of removed jobs was cut short");
            }
        }
    }
}

/// Forgets columns of other executors' tables that nobody reads any more.
async fn forget_unused(shards: Arc<ShardStore>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(COLUMNS_UNUSED_AFTER / 4);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        shards.forget_unused(COLUMNS_UNUSED_AFTER);
    }
}

/// Removes data of forgotten jobs from time to time.
async fn sweep_forgotten(jobs: std::path::PathBuf, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let jobs = jobs.clone();
        match tokio::task::spawn_blocking(move || work_dir::remove_forgotten_jobs(&jobs, FORGOTTEN_AFTER))
            .await
        {
            Ok(Ok(0)) => {}
            Ok(Ok(removed)) => tracing::info!(removed, "removed data of forgotten jobs"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot look for data of forgotten jobs"),
            Err(error) => tracing::warn!(%error, "looking for data of forgotten jobs was cut short"),
        }
    }
}
