//! `millpond executor`: one executor of a cluster, in the foreground.

use std::time::Duration;

use clap::Args as ClapArgs;
use millpond_engine::config::keys;
use millpond_executor::{Executor, Options};
use tokio::sync::oneshot;

use super::scheduler::start_logging;
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::node::{ConfigArgs, announce, parent};
use crate::terminal::note;

/// Time to tidy up when nobody waits for it.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(2);

/// Flags of `millpond executor`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Internal port of the scheduler [key: executor.scheduler]
    #[arg(long, value_name = "HOST:PORT")]
    scheduler: Option<String>,
    /// Name of this executor, stable over restarts; without it the name of the machine
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Host name or address to listen on [key: executor.bind_host]
    #[arg(long, value_name = "HOST")]
    bind_host: Option<String>,
    /// Host name or address under which the others reach this executor [key: executor.advertise_host]
    #[arg(long, value_name = "HOST")]
    advertise_host: Option<String>,
    /// Port for results [key: executor.data_port]
    #[arg(long, value_name = "PORT")]
    data_port: Option<String>,
    /// Port for tasks [key: executor.grpc_port]
    #[arg(long, value_name = "PORT")]
    grpc_port: Option<String>,
    /// Port for health and metrics [key: executor.http_port]
    #[arg(long, value_name = "PORT")]
    http_port: Option<String>,
    /// Tasks at a time [key: executor.vcores]
    #[arg(long, value_name = "N")]
    vcores: Option<String>,
    /// What it does: query, ingest or both, with a comma [key: executor.roles]
    #[arg(long, value_name = "ROLES")]
    roles: Option<String>,
    /// Memory for running statements, such as 2GiB [key: executor.memory_limit]
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,
    /// Folder for intermediate results and spilled data [key: executor.work_dir]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<String>,
    /// End when standard input ends; for processes that start executors
    #[arg(long, hide = true)]
    exit_with_parent: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Args {
    fn settings(&self) -> Vec<(&'static str, String)> {
        let settings = [
            (keys::EXECUTOR_SCHEDULER.key.name, &self.scheduler),
            (keys::EXECUTOR_BIND_HOST.key.name, &self.bind_host),
            (keys::EXECUTOR_ADVERTISE_HOST.key.name, &self.advertise_host),
            (keys::EXECUTOR_DATA_PORT.key.name, &self.data_port),
            (keys::EXECUTOR_GRPC_PORT.key.name, &self.grpc_port),
            (keys::EXECUTOR_HTTP_PORT.key.name, &self.http_port),
            (keys::EXECUTOR_VCORES.key.name, &self.vcores),
            (keys::EXECUTOR_ROLES.key.name, &self.roles),
            (keys::EXECUTOR_MEMORY_LIMIT.key.name, &self.memory_limit),
            (keys::EXECUTOR_WORK_DIR.key.name, &self.work_dir),
        ];
        settings
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.clone()?)))
            .collect()
    }
}

/// Why the executor stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Somebody asked for it: running tasks may end.
    Asked,
    /// The parent is gone: nobody wants the tasks.
    Orphaned,
}

/// Runs an executor until it is asked to stop.
///
/// # Errors
/// Its configuration, its start, or why it ended by itself.
pub async fn run(args: Args, mut interrupts: Interrupts) -> Result<(), Error> {
    let config = args.config.load(args.settings())?;
    start_logging(&config)?;
    let mut options = Options::from_config(&config).map_err(|error| Error::Usage(error.to_string()))?;
    if let Some(name) = args.name {
        options.name = name;
    }
    let mut parent = args.exit_with_parent.then(parent::listen);
    let mut executor = tokio::select! {
        started = Box::pin(Executor::start(options)) => started.map_err(node)?,
        _ = stop(&mut interrupts, &mut parent) => return Ok(()),
    };
    announce(&addresses(&executor));
    let stop = tokio::select! {
        ended = executor.wait() => return ended.map_err(node),
        stop = stop(&mut interrupts, &mut parent) => stop,
    };
    match stop {
        Stop::Orphaned => {
            // Whether it tidied up or not, there is nobody left to tell.
            let _ = tokio::time::timeout(ORPHAN_TIMEOUT, Box::pin(executor.shutdown())).await;
            Ok(())
        }
        Stop::Asked => {
            if parent.is_none() {
                note("draining; Ctrl-C stops at once");
            }
            drain(executor, &mut interrupts).await
        }
    }
}

async fn drain(executor: Executor, interrupts: &mut Interrupts) -> Result<(), Error> {
    tokio::select! {
        ended = Box::pin(executor.shutdown()) => ended.map_err(node),
        () = interrupts.next_interrupt() => Ok(()),
    }
}

async fn stop(interrupts: &mut Interrupts, parent: &mut Option<oneshot::Receiver<parent::Message>>) -> Stop {
    tokio::select! {
        () = interrupts.next() => Stop::Asked,
        message = word_of(parent) => match message {
            parent::Message::Drain => Stop::Asked,
            parent::Message::Gone => Stop::Orphaned,
        },
    }
}

async fn word_of(parent: &mut Option<oneshot::Receiver<parent::Message>>) -> parent::Message {
    match parent {
        Some(receiver) => receiver.await.unwrap_or(parent::Message::Gone),
        None => std::future::pending().await,
    }
}

fn addresses(executor: &Executor) -> Vec<(&'static str, String)> {
    let addresses = executor.addresses();
    let mut lines = vec![
        ("data", addresses.data.to_string()),
        ("grpc", addresses.grpc.to_string()),
    ];
    lines.extend(
        addresses
            .http
            .map(|address| ("http", format!("http://{address}"))),
    );
    lines.extend(executor.id().map(|id| ("executor", id)));
    lines
}

fn node(error: millpond_executor::Error) -> Error {
    Error::Node(error.to_string())
}
