//! `millpond scheduler`: the scheduler of a cluster, in the foreground.

use clap::Args as ClapArgs;
use millpond_engine::config::{Config, keys};
use millpond_scheduler::{Options, Scheduler};

use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::node::{ConfigArgs, announce, state_url};
use crate::terminal::note;

/// Flags of `millpond scheduler`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    ports: PortArgs,
    /// Address for executors [key: internal.bind]
    #[arg(long, value_name = "HOST:PORT")]
    internal_bind: Option<String>,
    /// Address under which executors reach the internal port [key: internal.advertise_host]
    #[arg(long, value_name = "HOST")]
    internal_advertise_host: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Flags about the public ports and the state, which `scheduler` and `up` share.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct PortArgs {
    /// Where the catalog is kept: a folder, or the URL of an object store [key: state.url]
    #[arg(long, value_name = "DIR|URL")]
    state: Option<String>,
    /// Address for clients [key: flight_sql.bind]
    #[arg(long, value_name = "HOST:PORT")]
    flight_sql_bind: Option<String>,
    /// Address for health and metrics [key: http.bind]
    #[arg(long, value_name = "HOST:PORT")]
    http_bind: Option<String>,
    /// File with the certificate chain of the public ports [key: tls.cert]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// File with the private key of the certificate [key: tls.key]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Let public ports listen beyond loopback without token and TLS [key: server.insecure]
    #[arg(long)]
    insecure: bool,
}

impl PortArgs {
    /// The keys that the flags set.
    ///
    /// # Errors
    /// [`Error::Usage`] for a state that is no place.
    pub fn settings(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let state = self
            .state
            .as_deref()
            .map(state_url)
            .transpose()?
            .map(String::from);
        let settings = [
            (keys::STATE_URL.key.name, state),
            (keys::FLIGHT_SQL_BIND.key.name, self.flight_sql_bind.clone()),
            (keys::HTTP_BIND.key.name, self.http_bind.clone()),
            (keys::TLS_CERT.key.name, self.tls_cert.clone()),
            (keys::TLS_KEY.key.name, self.tls_key.clone()),
            (
                keys::SERVER_INSECURE.key.name,
                self.insecure.then(|| "true".to_owned()),
            ),
        ];
        Ok(settings
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect())
    }
}

/// Runs a scheduler until it is asked to stop.
///
/// # Errors
/// Its configuration, its start, or that another scheduler has taken over.
pub async fn run(args: Args, mut interrupts: Interrupts) -> Result<(), Error> {
    let config = args.config.load(args.settings()?)?;
    start_logging(&config)?;
    let options = Options::from_config(&config).map_err(|error| Error::Usage(error.user_text()))?;
    let scheduler = start(options, &mut interrupts).await?;
    announce(&addresses(&scheduler, &config, true));
    let outcome = tokio::select! {
        () = interrupts.next() => Ok(()),
        error = scheduler.superseded() => Err(Error::Node(error.user_text())),
    };
    if outcome.is_ok() {
        note("stopping; Ctrl-C stops at once");
        tokio::select! {
            () = Box::pin(scheduler.shutdown()) => {}
            () = interrupts.next_interrupt() => {}
        }
    }
    outcome
}

impl Args {
    fn settings(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut settings = self.ports.settings()?;
        settings.extend(
            self.internal_bind
                .clone()
                .map(|bind| (keys::INTERNAL_BIND.key.name, bind)),
        );
        let host = self.internal_advertise_host.clone();
        settings.extend(host.map(|host| (keys::INTERNAL_ADVERTISE_HOST.key.name, host)));
        Ok(settings)
    }
}

/// Starts a scheduler unless the user interrupts.
///
/// # Errors
/// Its start; [`Error::Cancelled`] after an interrupt.
pub(super) async fn start(options: Options, interrupts: &mut Interrupts) -> Result<Scheduler, Error> {
    tokio::select! {
        started = Box::pin(Scheduler::start(options)) => started.map_err(|error| Error::Node(error.user_text())),
        () = interrupts.next() => Err(Error::Cancelled("stopped before it was ready".to_owned())),
    }
}

/// Where a scheduler listens, for [`announce`].
pub(super) fn addresses(
    scheduler: &Scheduler,
    config: &Config,
    internal: bool,
) -> Vec<(&'static str, String)> {
    let tls = config.get(keys::TLS_CERT).is_some();
    let (grpc, http) = if tls {
        ("grpc+tls", "https")
    } else {
        ("grpc", "http")
    };
    let addresses = scheduler.addresses();
    let mut lines = vec![("flight_sql", format!("{grpc}://{}", addresses.flight_sql))];
    lines.extend(
        addresses
            .http
            .map(|address| ("http", format!("{http}://{address}"))),
    );
    if internal {
        lines.push(("internal", addresses.internal.to_string()));
    }
    lines
}

/// Starts the log of a node.
///
/// # Errors
/// [`Error::Usage`] for a level that cannot be read.
pub(super) fn start_logging(config: &Config) -> Result<(), Error> {
    millpond_engine::logging::init(config.get(keys::LOG_FORMAT), &config.get(keys::LOG_LEVEL))
        .map_err(|error| Error::Usage(error.user_text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_keys() {
        let ports = PortArgs {
            state: Some("/x".into()),
            insecure: true,
            ..Default::default()
        };
        let settings = ports.settings().unwrap();
        assert_eq!(
            settings,
            [
                ("state.url", "file:///x/".to_owned()),
                ("server.insecure", "true".to_owned())
            ]
        );
        Config::of(settings).unwrap();
    }
}
