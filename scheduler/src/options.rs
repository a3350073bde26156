//! How one scheduler is set up: addresses, doors, limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use millpond_engine::config::{Address, Bucket, Config, Scope, keys};
use millpond_engine::error::{Code, Error};
use url::Url;

/// Which local files statements may name.
#[derive(Debug, Clone)]
pub enum LocalPaths {
    /// Any path; a relative one is taken from this folder. For a cluster that runs as the person who uses it.
    Any {
        /// Folder that relative paths start from.
        base: PathBuf,
    },
    /// Absolute paths below these folders. For a server that others reach.
    Roots(Vec<PathBuf>),
}

/// Certificate and key files of the public ports, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Set-up of a scheduler.
#[derive(Clone)]
pub struct Options {
    /// Address of the public Flight SQL port.
    pub flight_sql_bind: SocketAddr,
    /// Address of the HTTP port (health, metrics); none means no such port.
    pub http_bind: Option<SocketAddr>,
    /// Address of the port that executors use. Never for clients.
    pub internal_bind: SocketAddr,
    /// Name under which executors reach the internal port, if it is not the bind address.
    pub internal_advertise_host: Option<String>,
    /// Where the catalog is kept; none means in memory, gone at the end.
    pub state_url: Option<Url>,
    /// Secret that clients must present; none means everybody who reaches the port is let in.
    pub token: Option<String>,
    /// TLS of the public ports.
    pub tls: Option<TlsFiles>,
    /// Allows public ports beyond loopback without token and TLS.
    pub insecure: bool,
    /// Local files that statements may name.
    pub local_paths: LocalPaths,
    /// Object stores and their secrets.
    pub buckets: Vec<Bucket>,
    /// Statements that may run jobs at the same time.
    pub max_running: usize,
    /// Statements that may wait for their turn.
    pub max_queued: usize,
    /// Longest time of a statement that sets no limit itself.
    pub statement_timeout: Option<Duration>,
    /// Statements that take longer are logged.
    pub slow_threshold: Option<Duration>,
    /// How long a result waits for its reader.
    pub result_ttl: Duration,
    /// How long a session lives without a statement.
    pub session_idle_timeout: Duration,
    /// An executor that was silent this long is lost.
    pub executor_timeout: Duration,
    /// How long a statement waits for a part of a table that was lost with an executor and is being restored.
    pub recovery_timeout: Duration,
    /// How often silent executors are looked for.
    pub reaper_interval: Duration,
    /// Output partitions of an exchange; none means the cores of the cluster.
    pub target_partitions: Option<usize>,
    /// Largest gRPC message, in bytes.
    pub grpc_max_message_bytes: usize,
    /// Node settings to show in `system.settings`: key, value (secrets hidden), description.
    pub shown_settings: Vec<(String, String, String)>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("flight_sql_bind", &self.flight_sql_bind)
            .field("http_bind", &self.http_bind)
            .field("internal_bind", &self.internal_bind)
            .field("state_url", &self.state_url.as_ref().map(Url::as_str))
            .field("token", &self.token.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

impl Options {
    /// A scheduler inside another process: loopback, free ports, nothing on disk.
    pub fn embedded() -> Self {
        let free_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self {
            flight_sql_bind: free_port,
            http_bind: None,
            internal_bind: free_port,
            internal_advertise_host: None,
            state_url: None,
            token: None,
            tls: None,
            insecure: false,
            local_paths: LocalPaths::Any {
                base: std::env::current_dir().unwrap_or_default(),
            },
            buckets: Vec::new(),
            max_running: 16,
            max_queued: 64,
            statement_timeout: None,
            slow_threshold: Some(Duration::from_secs(10)),
            result_ttl: Duration::from_secs(600),
            session_idle_timeout: Duration::from_secs(1800),
            executor_timeout: Duration::from_secs(6),
            recovery_timeout: Duration::from_secs(60),
            reaper_interval: Duration::from_secs(1),
            target_partitions: None,
            grpc_max_message_bytes: 64 << 20,
            shown_settings: Vec::new(),
        }
    }

    /// Reads the options of a server from its configuration.
    ///
    /// # Errors
    /// Only one of certificate and key, or no place for the state.
    pub fn from_config(config: &Config) -> Result<Self, Error> {
        let tls = match (config.get(keys::TLS_CERT), config.get(keys::TLS_KEY)) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => {
                return Err(
                    Error::user(Code::INVALID_SETTING, "tls.cert and tls.key are needed together")
                        .with_hint("set both or none"),
                );
            }
        };
        Ok(Self {
            flight_sql_bind: socket_address(
                keys::FLIGHT_SQL_BIND.key.name,
                &config.get(keys::FLIGHT_SQL_BIND),
            )?,
            http_bind: Some(socket_address(
                keys::HTTP_BIND.key.name,
                &config.get(keys::HTTP_BIND),
            )?),
            internal_bind: socket_address(keys::INTERNAL_BIND.key.name, &config.get(keys::INTERNAL_BIND))?,
            internal_advertise_host: config.get(keys::INTERNAL_ADVERTISE_HOST),
            state_url: Some(config.get(keys::STATE_URL).map_or_else(default_state_url, Ok)?),
            token: config.get(keys::AUTH_TOKEN),
            tls,
            insecure: config.get(keys::SERVER_INSECURE),
            local_paths: LocalPaths::Roots(
                config
                    .get(keys::STORAGE_LOCAL_ROOTS)
                    .into_iter()
                    .map(PathBuf::from)
                    .collect(),
            ),
            buckets: config.buckets().to_vec(),
            max_running: config.get(keys::ADMISSION_MAX_RUNNING),
            max_queued: config.get(keys::ADMISSION_MAX_QUEUED),
            statement_timeout: config.get(keys::STATEMENT_TIMEOUT),
            slow_threshold: config.get(keys::STATEMENT_SLOW_THRESHOLD),
            result_ttl: config.get(keys::RESULT_TTL),
            session_idle_timeout: config.get(keys::SESSION_IDLE_TIMEOUT),
            executor_timeout: config.get(keys::CLUSTER_EXECUTOR_TIMEOUT),
            recovery_timeout: config.get(keys::RECOVERY_TIMEOUT),
            reaper_interval: config.get(keys::CLUSTER_REAPER_INTERVAL),
            target_partitions: config.get(keys::CLUSTER_TARGET_PARTITIONS),
            grpc_max_message_bytes: usize::try_from(config.get(keys::GRPC_MAX_MESSAGE_SIZE).as_u64())
                .unwrap_or(usize::MAX),
            shown_settings: config
                .shown()
                .filter(|shown| shown.key.scope == Scope::Node)
                .map(|shown| {
                    (
                        shown.key.name.to_string(),
                        shown.value,
                        shown.key.description.to_string(),
                    )
                })
                .collect(),
        })
    }

    /// Host that executors are told to answer to.
    pub(crate) fn advertise_host(&self) -> String {
        self.internal_advertise_host
            .clone()
            .unwrap_or_else(|| self.internal_bind.ip().to_string())
    }

    /// Refuses open doors: a public port beyond loopback needs token and TLS, or `--insecure`. Refuses a door that
    /// nobody can open as well: a token that no header can carry.
    pub(crate) fn check_doors(&self) -> Result<(), Error> {
        if self.token.as_ref().is_some_and(|token| !can_be_sent(token)) {
            return Err(Error::user(
                Code::INVALID_SETTING,
                "auth.token has a character that clients cannot send",
            )
            .with_hint("use letters, digits and signs of ASCII, without spaces"));
        }
        let beyond_loopback = [Some(self.flight_sql_bind), self.http_bind]
            .into_iter()
            .flatten()
            .find(|address| !address.ip().is_loopback());
        match beyond_loopback {
            Some(address) if !self.insecure && (self.token.is_none() || self.tls.is_none()) => {
                Err(Error::user(
                    Code::INSECURE_BIND,
                    format!("refusing to listen on {address} without token and TLS"),
                )
                .with_hint(
                    "set auth.token, tls.cert and tls.key, or type --insecure if the network is trusted",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a token can stand in a header as it is.
fn can_be_sent(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn socket_address(key: &str, address: &Address) -> Result<SocketAddr, Error> {
    let found = address
        .as_pair()
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| {
        Error::user(
            Code::INVALID_SETTING,
            format!("{key}: '{address}' is no address of this machine"),
        )
        .with_hint("write HOST:PORT, such as 127.0.0.1:50060")
    })
}

fn default_state_url() -> Result<Url, Error> {
    let unusable = |reason: String| {
        Error::user(
            Code::STATE_UNREADABLE,
            format!("the default folder for the state cannot be used: {reason}"),
        )
        .with_hint("set state.url")
    };
    let path = std::path::absolute("millpond-state").map_err(|error| unusable(error.to_string()))?;
    Url::from_directory_path(&path).map_err(|()| unusable(format!("{} is no path", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_beyond_loopback_need_token_and_tls_or_insecure() {
        let mut options = Options::embedded();
        assert!(options.check_doors().is_ok());
        options.flight_sql_bind = "0.0.0.0:0".parse().unwrap();
        assert!(options.check_doors().is_err());
        options.token = Some("secret".into());
        assert!(
            options.check_doors().is_err(),
            "a token without TLS travels in the clear"
        );
        options.tls = Some(TlsFiles {
            certificate: "c".into(),
            key: "k".into(),
        });
        assert!(options.check_doors().is_ok());
        options.token = None;
        options.insecure = true;
        assert!(options.check_doors().is_ok());
    }

    #[test]
    fn token_that_no_header_carries_is_refused_without_being_shown() {
        for token in ["hunter2\n", "hunter 2", "hünter2"] {
            let options = Options {
                token: Some(token.into()),
                ..Options::embedded()
            };
            let text = options.check_doors().unwrap_err().user_text();
            assert!(text.contains("MP0072") && !text.contains(token), "{text}");
        }
    }

    #[test]
    fn debug_output_hides_the_token() {
        let options = Options {
            token: Some("hunter2".into()),
            ..Options::embedded()
        };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
