//! An executor against Ballista's scheduler, both in this process, over loopback.
#![expect(clippy::unwrap_used, reason = "a test may end with a panic")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::executor_grpc_client::ExecutorGrpcClient;
use ballista_core::serde::protobuf::job_status::Status;
use ballista_core::serde::protobuf::{JobStatus, StopExecutorParams};
use ballista_scheduler::cluster::{BallistaCluster, ClusterState};
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use millpond_executor::{Error, Executor, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc};

/// A process holds one executor at a time, and tests run side by side.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
const DEADLINE: Duration = Duration::from_secs(30);

/// A scheduler on threads of its own, so that dropping it cuts its connections as the end of a process does.
struct Scheduler {
    server: SchedulerServer<LogicalPlanNode, PhysicalPlanNode>,
    cluster: Arc<dyn ClusterState>,
    address: SocketAddr,
    threads: Option<Runtime>,
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl Scheduler {
    async fn start(listener: std::net::TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let threads = Runtime::new().unwrap();
        let (server, cluster) = threads.spawn(serve(listener, address)).await.unwrap();
        Self {
            server,
            cluster,
            address,
            threads: Some(threads),
        }
    }

    async fn on_any_port() -> Self {
        Self::start(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).await
    }

    async fn executors(&self) -> Vec<String> {
        self.cluster
            .registered_executor_metadata()
            .await
            .into_iter()
            .map(|executor| executor.id)
            .collect()
    }

    /// Runs one statement as a job and returns its last status.
    async fn run(&self, sql: &str) -> Status {
        let state =
            ballista_core::utils::default_session_builder(SessionConfig::new_with_ballista()).unwrap();
        let context = Arc::new(SessionContext::new_with_state(state));
        let plan = context.sql(sql).await.unwrap().into_unoptimized_plan();
        let (sender, mut statuses) = mpsc::channel::<JobStatus>(16);
        self.server
            .submit_job("test", context, &plan, Some(sender))
            .await
            .unwrap();
        loop {
            let status = tokio::time::timeout(DEADLINE, statuses.recv())
                .await
                .unwrap()
                .unwrap();
            match status.status.unwrap() {
                Status::Queued(_) | Status::Running(_) => {}
                ended => return ended,
            }
        }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    address: SocketAddr,
) -> (
    SchedulerServer<LogicalPlanNode, PhysicalPlanNode>,
    Arc<dyn ClusterState>,
) {
    let config = SchedulerConfig {
        scheduling_policy: TaskSchedulingPolicy::PushStaged,
        // Executors report to this address.
        external_host: address.ip().to_string(),
        bind_port: address.port(),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_memory(
        "test",
        Arc::new(ballista_core::utils::default_session_builder),
        Arc::new(SessionConfig::new_with_ballista),
    );
    let state = cluster.cluster_state();
    let server = create_scheduler(cluster, Arc::new(config)).await.unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let service = start_grpc_service_with_listener(listener, server.clone());
    tokio::spawn(async move { service.await.unwrap() });
    (server, state)
}

/// Asks again and again until the answer is yes.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let met = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(DEADLINE, met).await.is_ok(),
        "waited in vain until {what}"
    );
}

/// Status code and body of a page.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    connection.read_to_string(&mut response).await.unwrap();
    let code = response.split(' ').nth(1).unwrap().parse().unwrap();
    (code, response.split_once("\r\n\r\n").unwrap().1.to_string())
}

fn options(scheduler: SocketAddr, work_dir: &Path) -> Options {
    Options {
        name: String::from("node-1"),
        http_port: Some(0),
        vcores: 2,
        memory_limit_bytes: Some(256 << 20),
        work_dir: Some(work_dir.to_path_buf()),
        heartbeat_interval: Duration::from_secs(1),
        ..Options::local(scheduler.to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_runs_a_job_and_leaves() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let scheduler = Scheduler::on_any_port().await;
    let work_dir = tempfile::tempdir().unwrap();

    let executor = Executor::start(options(scheduler.address, work_dir.path()))
        .await
        .unwrap();
    let id = executor.id().unwrap();
    let boot = id.strip_prefix("node-1-").unwrap();
    assert!(
        boot.len() == 8 && boot.chars().all(|c| c.is_ascii_hexdigit()),
        "{id}"
    );
    assert_eq!(scheduler.executors().await, std::slice::from_ref(&id));
    let http = executor.addresses().http.unwrap();
    assert!(
        [executor.addresses().data, executor.addresses().grpc, http]
            .iter()
            .all(|address| address.port() > 0)
    );
    assert_eq!(get(http, "/healthz").await.0, 200);
    until("it is ready", async || get(http, "/readyz").await.0 == 200).await;

    let status = scheduler
        .run("SELECT a % 2, sum(a) FROM (VALUES (1), (2), (3)) t(a) GROUP BY 1 ORDER BY 1")
        .await;
    assert!(matches!(status, Status::Successful(_)), "{status:?}");

    let page = get(http, "/metrics").await.1;
    let value = |name: &str| {
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("{name}{{executor=\"node-1\"}}")));
        line.unwrap_or_else(|| panic!("{name} is missing in\n{page}"))
            .rsplit_once(' ')
            .unwrap()
            .1
            .parse::<f64>()
            .unwrap()
    };
    assert_eq!(value("executor_memory_limit_bytes"), f64::from(256 << 20));
    assert_eq!(value("executor_vcores"), 2.0);
    assert_eq!(value("executor_registered"), 1.0);
    assert!(value("executor_tasks_ended_total") >= 1.0, "{page}");
    assert!(value("executor_process_resident_bytes") > 0.0);

    executor.shutdown().await.unwrap();
    until("the scheduler has forgotten it", async || {
        scheduler.executors().await.is_empty()
    })
    .await;
    assert!(
        TcpStream::connect(http).await.is_err(),
        "pages are gone with the executor"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_again_under_a_new_id_when_it_is_taken_for_dead() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let scheduler = Scheduler::on_any_port().await;
    let work_dir = tempfile::tempdir().unwrap();
    let executor = Executor::start(options(scheduler.address, work_dir.path()))
        .await
        .unwrap();
    let first = executor.id().unwrap();

    let url = format!("http://{}", executor.addresses().grpc);
    let stop = StopExecutorParams {
        executor_id: first.clone(),
        reason: String::from("timed out"),
        force: true,
    };
    ExecutorGrpcClient::connect(url)
        .await
        .unwrap()
        .stop_executor(stop)
        .await
        .unwrap();

    until("it has a new id", async || {
        executor.id().is_some_and(|id| id != first)
    })
    .await;
    let second = executor.id().unwrap();
    assert!(scheduler.executors().await.contains(&second));
    // A scheduler forgets an executor before it tells it to stop; this one was told by the test.
    scheduler.cluster.remove_executor(&first).await.unwrap();
    let status = scheduler.run("SELECT count(*) FROM (VALUES (1), (2)) t(a)").await;
    assert!(matches!(&status, Status::Successful(_)), "{status:?}");
    executor.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_a_scheduler_and_survives_its_restart() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let work_dir = tempfile::tempdir().unwrap();

    let starting = tokio::spawn(Executor::start(options(address, work_dir.path())));
    until("the executor owns its directory", async || {
        work_dir.path().join("jobs").is_dir()
    })
    .await;
    assert!(!starting.is_finished());
    let scheduler = Scheduler::start(std::net::TcpListener::bind(address).unwrap()).await;
    let executor = tokio::time::timeout(DEADLINE, starting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(scheduler.executors().await, [executor.id().unwrap()]);

    drop(scheduler);
    until("the port is free", async || {
        TcpListener::bind(address).await.is_ok()
    })
    .await;
    let scheduler = Scheduler::start(std::net::TcpListener::bind(address).unwrap()).await;
    until("the new scheduler knows it", async || {
        !scheduler.executors().await.is_empty()
    })
    .await;
    executor.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_told_at_the_start() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let work_dir = tempfile::tempdir().unwrap();
    let valid = options(nobody, work_dir.path());
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();

    let unknown = Options {
        scheduler: String::from("no-such-host.invalid:50050"),
        ..valid.clone()
    };
    let port = Options {
        data_port: taken.local_addr().unwrap().port(),
        ..valid.clone()
    };
    let name = Options {
        name: String::from("a b"),
        ..valid.clone()
    };
    let memory = Options {
        memory_limit_bytes: Some(1),
        ..valid.clone()
    };
    for (options, key) in [
        (unknown, "executor.scheduler"),
        (port, "executor.data_port"),
        (name, "name of the executor"),
        (memory, "executor.memory_limit"),
    ] {
        let error = tokio::time::timeout(DEADLINE, Executor::start(options))
            .await
            .unwrap()
            .unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_holds_one_executor() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let scheduler = Scheduler::on_any_port().await;
    let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Executor::start(options(scheduler.address, first_dir.path()))
        .await
        .unwrap();
    let error = Executor::start(options(scheduler.address, second_dir.path()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::SecondInProcess), "{error}");
    first.shutdown().await.unwrap();
    let next = Executor::start(options(scheduler.address, second_dir.path()))
        .await
        .unwrap();
    next.shutdown().await.unwrap();
}
