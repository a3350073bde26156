//! A scheduler process: its parts put together, its ports opened, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use millpond_engine::connections::Connections;
use millpond_engine::error::{Code, Error};
use millpond_engine::object_stores::Registry as ObjectStores;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};

use crate::catalog::system::SystemTables;
use crate::catalog::{Caches, ModelErrors, SessionFactory};
use crate::cluster::{Cluster, wait_for_executors};
use crate::flight_sql::{FlightSql, PublicService};
use crate::http;
use crate::options::Options;
use crate::session::Sessions;
use crate::shards::Shards;
use crate::state::{CatalogLog, StateFolder, Store};
use crate::statement::{Admission, Frontend, Outboxes, PlanCache, Registry, Services, drop_leftovers};
use crate::streams::Streams;
use crate::tls::Certificate;
use crate::upkeep::Queue;

/// How often the scheduler checks that no other has taken over its catalog.
const LEASE_CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// Added to the time after which an executor is given up: how long a new scheduler waits for those of the last one.
const RETURN_MARGIN: Duration = Duration::from_secs(4);
/// How long running statements may take to end when the scheduler is asked to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// Folders of the state store: snapshots of shards, and checkpoints of topic partitions.
const SNAPSHOT_FOLDER: &str = "tables";
const CHECKPOINT_FOLDER: &str = "streams";
/// Memory for metadata queries and constants that run on the scheduler itself.
const LOCAL_QUERY_BYTES: usize = 256 << 20;

/// The addresses a scheduler listens on.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Public Flight SQL port.
    pub flight_sql: SocketAddr,
    /// Port for executors.
    pub internal: SocketAddr,
    /// Health and metrics.
    pub http: Option<SocketAddr>,
}

/// A running scheduler. It stops when it is dropped or told to.
pub struct Scheduler {
    addresses: Addresses,
    cluster: Cluster,
    frontend: Frontend,
    stop: CancellationToken,
    /// Set when another scheduler has taken over.
    lost: CancellationToken,
    servers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Scheduler {
    /// Opens the state, binds the ports and serves.
    ///
    /// # Errors
    /// An open door, a certificate that cannot serve, a port in use, a state that cannot be opened.
    pub async fn start(options: Options) -> Result<Self, Error> {
        millpond_engine::metrics::registry();
        options.check_doors()?;
        let certificate = options.tls.as_ref().map(Certificate::read).transpose()?;
        let public = bind("flight_sql.bind", options.flight_sql_bind).await?;
        let internal = bind("internal.bind", options.internal_bind).await?;
        let web = match options.http_bind {
            Some(address) => Some(bind("http.bind", address).await?),
            None => None,
        };
        let addresses = Addresses {
            flight_sql: local_address(&public)?,
            internal: local_address(&internal)?,
            http: web.as_ref().map(local_address).transpose()?,
        };

        let options = Options {
            internal_bind: addresses.internal,
            ..options
        };
        let store = match &options.state_url {
            Some(url) => Store::open(url, &options.buckets)?,
            None => Store::in_memory(),
        };
        let writer = uuid::Uuid::new_v4().to_string();
        let catalog = Arc::new(CatalogLog::open(store.clone(), &writer).await?);
        drop_leftovers(&catalog).await?;
        let cluster = Cluster::start(&options).await?;
        let folder = |name| {
            let state = options.state_url.as_ref()?;
            Some(StateFolder::new(state, name, store.clone()))
        };
        let (snapshots, checkpoints) = (folder(SNAPSHOT_FOLDER), folder(CHECKPOINT_FOLDER));
        let (upkeep, tasks) = Queue::new();
        let frontend = make_frontend(
            &options,
            cluster.clone(),
            catalog.clone(),
            snapshots,
            checkpoints,
            Arc::new(upkeep),
        )?;
        let flight_sql = FlightSql::new(frontend.clone(), options.token.clone())?;

        let stop = CancellationToken::new();
        let lost = CancellationToken::new();
        frontend.start_housekeeping(tasks, options.executor_timeout + RETURN_MARGIN, stop.clone());
        tokio::spawn(watch_lease(catalog, stop.clone(), lost.clone()));
        let mut servers = vec![
            serve_internal(internal, &cluster, stop.clone()),
            serve_public(
                public,
                flight_sql,
                certificate.as_ref().map(Certificate::for_grpc),
                options.grpc_max_message_bytes,
                stop.clone(),
            )?,
        ];
        if let Some(listener) = web {
            let guard = http::Guard {
                token: options.token.clone(),
                tls: certificate.as_ref().map(Certificate::for_http),
            };
            servers.push(http::serve(listener, frontend.clone(), guard, stop.clone()));
        }
        tracing::info!(flight_sql = %addresses.flight_sql, internal = %addresses.internal, "scheduler is ready");
        Ok(Self {
            addresses,
            cluster,
            frontend,
            stop,
            lost,
            servers,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Waits until `count` executors have registered.
    ///
    /// # Errors
    /// After `timeout`.
    pub async fn wait_for_executors(&self, count: usize, timeout: Duration) -> Result<(), Error> {
        wait_for_executors(&self.cluster, count, timeout).await
    }

    /// Resolves when the scheduler must not go on: another one has taken over its catalog.
    pub async fn superseded(&self) -> Error {
        self.lost.cancelled().await;
        Error::new(Code::LEASE_LOST, "another scheduler has taken over this catalog")
            .with_hint("only one scheduler may serve a state store; stop one of them")
    }

    /// Lets running statements end, up to a limit, and closes the ports.
    pub async fn shutdown(self) {
        let deadline = tokio::time::Instant::now() + DRAIN_LIMIT;
        for statement in self.frontend.services.statements.running() {
            if tokio::time::timeout_at(deadline, statement.ended())
                .await
                .is_err()
            {
                statement.cancel.cancel();
            }
        }
        self.stop.cancel();
        for mut server in self.servers {
            // A client that keeps its connection open must not keep the process alive.
            if tokio::time::timeout(Duration::from_secs(2), &mut server)
                .await
                .is_err()
            {
                server.abort();
            }
        }
    }
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::external(Code::CANNOT_CONNECT, format!("cannot listen on {address}"))
            .with_detail(error.to_string())
            .with_hint(format!(
                "stop what uses the port, or set {key} to another address"
            ))
    })
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener
        .local_addr()
        .map_err(|error| Error::bug(format!("a listener has no address: {error}")))
}

fn make_frontend(
    options: &Options,
    cluster: Cluster,
    catalog: Arc<CatalogLog>,
    snapshots: Option<StateFolder>,
    checkpoints: Option<StateFolder>,
    upkeep: Arc<Queue>,
) -> Result<Frontend, Error> {
    let runtime = ObjectStores::new(options.buckets.clone())
        .runtime_builder()
        .with_memory_limit(LOCAL_QUERY_BYTES, 1.0)
        .build_arc()
        .map_err(Error::from_datafusion)?;
    let factory = Arc::new(SessionFactory::new(runtime).map_err(Error::from_datafusion)?);
    let sessions = Arc::new(Sessions::default());
    let statements = Arc::new(Registry::default());
    let connections = Connections::new(options.grpc_max_message_bytes);
    let shards = Shards::new(connections.clone(), snapshots);
    let streams = Streams::new(
        connections.clone(),
        cluster.clone(),
        shards.clone(),
        catalog.clone(),
        checkpoints,
    );
    let caches = Arc::new(Caches::new(upkeep.clone()));
    let model_errors = Arc::new(ModelErrors::default());
    let system = Arc::new(SystemTables {
        cluster: cluster.clone(),
        shards: shards.clone(),
        streams: streams.clone(),
        caches: caches.clone(),
        model_errors: model_errors.clone(),
        upkeep: upkeep.clone(),
        sessions: sessions.clone(),
        statements: statements.clone(),
        node_settings: options.shown_settings.clone(),
    });
    let services = Services {
        cluster,
        catalog,
        shards,
        streams,
        caches,
        model_errors,
        upkeep,
        outboxes: Outboxes::default(),
        plans: PlanCache::default(),
        connections,
        factory,
        system,
        sessions,
        statements,
        admission: Admission::new(options.max_running, options.max_queued),
        local_paths: options.local_paths.clone(),
        target_partitions: options.target_partitions,
        statement_timeout: options.statement_timeout,
        slow_threshold: options.slow_threshold,
        result_ttl: options.result_ttl,
        session_idle_timeout: options.session_idle_timeout,
        recovery_timeout: options.recovery_timeout,
        executor_patience: options.executor_timeout.max(Duration::from_secs(5)),
    };
    Ok(Frontend {
        services: Arc::new(services),
    })
}

/// Ends the scheduler's service when a newer one has written to the catalog.
async fn watch_lease(catalog: Arc<CatalogLog>, stop: CancellationToken, lost: CancellationToken) {
    let mut tick = tokio::time::interval(LEASE_CHECK_INTERVAL);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        match catalog.check_lease().await {
            Ok(()) => {}
            Err(error) if error.code() == Code::LEASE_LOST => {
                tracing::error!(%error, "another scheduler has taken over");
                lost.cancel();
                return;
            }
            Err(error) => tracing::warn!(%error, "check the lease"),
        }
    }
}

fn serve_internal(listener: TcpListener, cluster: &Cluster, stop: CancellationToken) -> JoinHandle<()> {
    let service = cluster.internal_service();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::spawn(async move {
        let served = Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the internal port has failed");
        }
    })
}

fn serve_public(
    listener: TcpListener,
    flight_sql: FlightSql,
    tls: Option<ServerTlsConfig>,
    max_message_bytes: usize,
    stop: CancellationToken,
) -> Result<JoinHandle<()>, Error> {
    let service = FlightServiceServer::new(PublicService(flight_sql))
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_message_bytes);
    // Small round trips stall for 40 ms each without TCP_NODELAY.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).map_err(|error| {
            Error::user(Code::INVALID_SETTING, "tls.cert and tls.key cannot be used")
                .with_detail(error.to_string())
        })?;
    }
    let router = server.add_service(service);
    Ok(tokio::spawn(async move {
        if let Err(error) = router
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await
        {
            tracing::error!(%error, "the public port has failed");
        }
    }))
}
