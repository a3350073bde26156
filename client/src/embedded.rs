//! A cluster inside the command: scheduler and first executor in this process, further executors as child processes,
//! all on loopback and on free ports, gone when the command ends.

use std::time::Duration;

use millpond_engine::config::{Config, Origin, keys};
use millpond_executor::Executor;
use millpond_scheduler::Scheduler;

use crate::error::Error;
use crate::node::{Child, ConfigArgs, Launch, share_of_machine};

/// Longest wait for the executors to join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for one of our executors to end; nobody's work is lost with it.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// What is logged unless the user wants more: problems reach the user through the statement's own error.
const LOG_LEVEL: &str = "error";

/// A running embedded cluster. Dropping it kills the child processes.
#[derive(Debug)]
pub struct Embedded {
    scheduler: Scheduler,
    executor: Executor,
    children: Vec<Child>,
    url: String,
}

impl Embedded {
    /// Starts a cluster with `executors` executors, at least one, and waits until all have joined.
    ///
    /// # Errors
    /// [`Error::Usage`] for a wrong configuration, [`Error::Node`] if a part does not start.
    pub async fn start(args: &ConfigArgs, executors: usize) -> Result<Self, Error> {
        let config = args.load(Vec::new())?;
        let config = quieter(&config)?;
        start_logging(&config)?;
        let executors = executors.max(1);
        let scheduler = Box::pin(Scheduler::start(scheduler_options(&config)?))
            .await
            .map_err(refused)?;
        let addresses = scheduler.addresses();
        let children = start_children(args, &config, &addresses.internal.to_string(), executors)?;
        let options = executor_options(&config, &addresses.internal.to_string(), executors)?;
        let executor = Box::pin(Executor::start(options))
            .await
            .map_err(|error| Error::Node(error.to_string()))?;
        scheduler
            .wait_for_executors(executors, JOIN_TIMEOUT)
            .await
            .map_err(refused)?;
        Ok(Self {
            scheduler,
            executor,
            children,
            url: format!("grpc://{}", addresses.flight_sql),
        })
    }

    /// Address for clients in this process and beside it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends everything.
    pub async fn stop(self) {
        let children = self.children.into_iter().map(|child| child.stop(STOP_TIMEOUT));
        let executor = async {
            // What it says about its end is of no use to anybody now.
            let _ = tokio::time::timeout(STOP_TIMEOUT, Box::pin(self.executor.shutdown())).await;
        };
        futures::join!(futures::future::join_all(children), executor);
        Box::pin(self.scheduler.shutdown()).await;
    }
}

/// Logs less, unless the user has said how much.
fn quieter(config: &Config) -> Result<Config, Error> {
    if config.origin(keys::LOG_LEVEL) != Origin::Default {
        return Ok(config.clone());
    }
    config
        .with([(keys::LOG_LEVEL.key.name, LOG_LEVEL)])
        .map_err(|error| Error::Usage(error.user_text()))
}

fn start_logging(config: &Config) -> Result<(), Error> {
    millpond_engine::logging::init(config.get(keys::LOG_FORMAT), &config.get(keys::LOG_LEVEL))
        .map_err(|error| Error::Usage(error.user_text()))
}

/// The limits of the configuration, but nobody else's ports, state and doors.
fn scheduler_options(config: &Config) -> Result<millpond_scheduler::Options, Error> {
    let embedded = millpond_scheduler::Options::embedded();
    let configured =
        millpond_scheduler::Options::from_config(config).map_err(|error| Error::Usage(error.user_text()))?;
    Ok(millpond_scheduler::Options {
        flight_sql_bind: embedded.flight_sql_bind,
        http_bind: None,
        internal_bind: embedded.internal_bind,
        internal_advertise_host: None,
        state_url: None,
        token: None,
        tls: None,
        insecure: false,
        local_paths: embedded.local_paths,
        ..configured
    })
}

fn executor_options(
    config: &Config,
    scheduler: &str,
    count: usize,
) -> Result<millpond_executor::Options, Error> {
    let share = share_of_machine(config, 1, count);
    let config = config
        .with(share)
        .map_err(|error| Error::Usage(error.user_text()))?;
    let local = millpond_executor::Options::local(scheduler);
    let configured =
        millpond_executor::Options::from_config(&config).map_err(|error| Error::Usage(error.to_string()))?;
    Ok(millpond_executor::Options {
        name: name(1),
        scheduler: local.scheduler,
        bind_host: local.bind_host,
        advertise_host: None,
        data_port: 0,
        grpc_port: 0,
        http_port: None,
        ..configured
    })
}

fn start_children(
    args: &ConfigArgs,
    config: &Config,
    scheduler: &str,
    count: usize,
) -> Result<Vec<Child>, Error> {
    (2..=count)
        .map(|number| {
            let mut settings = share_of_machine(config, number, count);
            settings.push((keys::LOG_LEVEL.key.name.to_owned(), config.get(keys::LOG_LEVEL)));
            settings.push((
                keys::EXECUTOR_BIND_HOST.key.name.to_owned(),
                "127.0.0.1".to_owned(),
            ));
            let launch = Launch {
                name: name(number),
                scheduler: scheduler.to_owned(),
                config: args.clone(),
                settings,
            };
            Child::start(&launch)
        })
        .collect()
}

fn name(number: usize) -> String {
    format!("executor-{number}")
}

fn refused(error: millpond_engine::error::Error) -> Error {
    Error::Node(error.user_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_cluster_has_no_door_and_no_state_whatever_is_configured() {
        let config = Config::of([
            ("auth.token", "secret"),
            ("state.url", "file:///var/lib/state"),
            ("flight_sql.bind", "0.0.0.0:1"),
        ]);
        let options = scheduler_options(&config.unwrap()).unwrap();
        assert!(options.token.is_none() && options.state_url.is_none() && options.http_bind.is_none());
        assert!(options.flight_sql_bind.ip().is_loopback());
        assert_eq!(options.flight_sql_bind.port(), 0);
    }

    #[test]
    fn log_level_of_the_user_stays() {
        let level = |config: &Config| quieter(config).unwrap().get(keys::LOG_LEVEL);
        assert_eq!(level(&Config::of::<&str, &str>([]).unwrap()), LOG_LEVEL);
        assert_eq!(level(&Config::of([("log.level", "debug")]).unwrap()), "debug");
    }
}
