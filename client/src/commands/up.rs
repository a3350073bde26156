//! `millpond up`: a whole cluster on this machine, in the foreground: the scheduler in this process, executors in
//! processes of their own. An executor that dies is started again.

use std::time::{Duration, Instant};

use clap::{Args as ClapArgs, ValueEnum};
use millpond_engine::config::{Config, Origin, keys};
use millpond_scheduler::{LocalPaths, Options, Scheduler};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::scheduler::{PortArgs, addresses, start, start_logging};
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::kafka::embedded::EmbeddedBroker;
use crate::node::{Child, ConfigArgs, Launch, announce, share_of_machine};
use crate::terminal::note;

/// Longest wait for the executors to join at the start.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// An executor that lived longer than this died of something new, so the pause starts small again.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// Pauses before an executor is started again, from the first to the longest.
const RESTART_PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// Added to the time that executors have for draining, before they are killed.
const STOP_MARGIN: Duration = Duration::from_secs(5);
/// Topics that an embedded broker has from the start: those of the jobs that Millpond is made for.
const TOPICS: &[&str] = &["sensor_data", "customer_updates"];

/// Flags of `millpond up`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Executor processes; cores and memory of the machine are shared between them
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    executors: u16,
    /// Memory of each executor for running statements, such as 2GiB [key: executor.memory_limit]
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,
    /// Tasks at a time of each executor [key: executor.vcores]
    #[arg(long, value_name = "N")]
    vcores: Option<String>,
    /// Run a Kafka broker as well: embedded. It is for trying things, and forgets its messages at the end
    #[arg(long, value_name = "BROKER", value_enum)]
    kafka: Option<Kafka>,
    #[command(flatten)]
    ports: PortArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Brokers beside the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kafka {
    /// One in this process
    Embedded,
}

/// Runs a cluster until it is asked to stop.
///
/// # Errors
/// Its configuration or its start, or that another scheduler has taken over.
pub async fn run(args: Args, mut interrupts: Interrupts) -> Result<(), Error> {
    let config = args.load()?;
    start_logging(&config)?;
    let scheduler = start(scheduler_options(&config)?, &mut interrupts).await?;
    let launches = args.launches(&config, &scheduler.addresses().internal.to_string());
    let count = launches.len();
    let executors = Executors::start(launches, config.get(keys::EXECUTOR_DRAIN_TIMEOUT) + STOP_MARGIN)?;
    tokio::select! {
        joined = scheduler.wait_for_executors(count, JOIN_TIMEOUT) => {
            joined.map_err(|error| Error::Node(error.user_text()))?;
        }
        () = interrupts.next() => return Ok(()),
    }
    let broker = match args.kafka {
        Some(Kafka::Embedded) => Some(EmbeddedBroker::start(TOPICS)?),
        None => None,
    };
    let mut lines = addresses(&scheduler, &config, false);
    lines.extend(broker.as_ref().map(|broker| ("kafka", broker.address())));
    lines.push(("executors", count.to_string()));
    announce(&lines);
    let outcome = tokio::select! {
        () = interrupts.next() => Ok(()),
        error = scheduler.superseded() => Err(Error::Node(error.user_text())),
    };
    note("stopping; Ctrl-C stops at once");
    tokio::select! {
        () = Box::pin(stop(scheduler, executors)) => {}
        () = interrupts.next_interrupt() => {}
    }
    outcome
}

/// Lets running statements end first, for which they need the executors.
async fn stop(scheduler: Scheduler, executors: Executors) {
    Box::pin(scheduler.shutdown()).await;
    executors.stop().await;
}

impl Args {
    fn load(&self) -> Result<Config, Error> {
        let mut settings = self.ports.settings()?;
        settings.extend(
            self.memory_limit
                .clone()
                .map(|limit| (keys::EXECUTOR_MEMORY_LIMIT.key.name, limit)),
        );
        settings.extend(
            self.vcores
                .clone()
                .map(|vcores| (keys::EXECUTOR_VCORES.key.name, vcores)),
        );
        self.config.load(settings)
    }

    fn launches(&self, config: &Config, scheduler: &str) -> Vec<Launch> {
        let count = usize::from(self.executors);
        let launch = |number| {
            let mut settings = share_of_machine(config, number, count);
            settings.push((
                keys::EXECUTOR_BIND_HOST.key.name.to_owned(),
                "127.0.0.1".to_owned(),
            ));
            let memory = self.memory_limit.clone();
            settings.extend(memory.map(|limit| (keys::EXECUTOR_MEMORY_LIMIT.key.name.to_owned(), limit)));
            settings.extend(
                self.vcores
                    .clone()
                    .map(|vcores| (keys::EXECUTOR_VCORES.key.name.to_owned(), vcores)),
            );
            Launch {
                name: format!("executor-{number}"),
                scheduler: scheduler.to_owned(),
                config: self.config.clone(),
                settings,
            }
        };
        (1..=count).map(launch).collect()
    }
}

/// A cluster of one person on one machine: unless told otherwise, any free internal port, and, as long as nobody else
/// can reach it, all files that this person may read.
fn scheduler_options(config: &Config) -> Result<Options, Error> {
    let mut options = Options::from_config(config).map_err(|error| Error::Usage(error.user_text()))?;
    let embedded = Options::embedded();
    if config.origin(keys::INTERNAL_BIND) == Origin::Default {
        options.internal_bind = embedded.internal_bind;
    }
    let is_private = config.get(keys::FLIGHT_SQL_BIND).is_loopback();
    if is_private && config.origin(keys::STORAGE_LOCAL_ROOTS) == Origin::Default {
        let base =
            std::env::current_dir().map_err(|error| Error::Node(format!("no working directory: {error}")))?;
        options.local_paths = LocalPaths::Any { base };
    }
    Ok(options)
}

/// The executor processes, each watched by a task of its own.
#[derive(Debug)]
struct Executors {
    watchers: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Executors {
    fn start(launches: Vec<Launch>, stop_timeout: Duration) -> Result<Self, Error> {
        let stop = watch::Sender::new(false);
        let mut watchers = JoinSet::new();
        for launch in launches {
            let child = Child::start(&launch)?;
            watchers.spawn(keep_running(launch, child, stop.subscribe(), stop_timeout));
        }
        Ok(Self { watchers, stop })
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.watchers.join_all().await;
    }
}

/// Keeps one executor running until it is told to stop.
async fn keep_running(launch: Launch, first: Child, mut stop: watch::Receiver<bool>, stop_timeout: Duration) {
    let mut child = Some(first);
    let mut pause = RESTART_PAUSE.0;
    loop {
        if let Some(mut running) = child.take() {
            let (started, process) = (Instant::now(), running.id().unwrap_or_default());
            tokio::select! {
                ended = running.wait() => {
                    let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                    note(&format!("{} (process {process}) has ended: {how}; it is started again", launch.name));
                }
                () = stopped(&mut stop) => return running.stop(stop_timeout).await,
            }
            pause = if started.elapsed() > STABLE_AFTER {
                RESTART_PAUSE.0
            } else {
                pause
            };
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut stop) => return,
        }
        pause = (pause * 2).min(RESTART_PAUSE.1);
        match Child::start(&launch) {
            Ok(started) => child = Some(started),
            Err(error) => note(&format!("error: {error}")),
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is an end as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_cluster_reads_any_file_and_an_open_one_only_what_is_allowed() {
        let options =
            |settings: &[(&str, &str)]| scheduler_options(&Config::of(settings.iter().copied()).unwrap());
        assert!(matches!(
            options(&[]).unwrap().local_paths,
            LocalPaths::Any { .. }
        ));
        let open = options(&[("flight_sql.bind", "0.0.0.0:0"), ("server.insecure", "true")]).unwrap();
        assert!(matches!(open.local_paths, LocalPaths::Roots(roots) if roots.is_empty()));
        let rooted = options(&[("storage.local_roots", "/data")]).unwrap();
        assert!(matches!(rooted.local_paths, LocalPaths::Roots(roots) if roots.len() == 1));
    }

    #[test]
    fn internal_port_is_free_unless_it_is_set() {
        let port = |settings: &[(&str, &str)]| {
            scheduler_options(&Config::of(settings.iter().copied()).unwrap())
                .unwrap()
                .internal_bind
                .port()
        };
        assert_eq!(port(&[]), 0);
        assert_eq!(port(&[("internal.bind", "127.0.0.1:7")]), 7);
    }
}
