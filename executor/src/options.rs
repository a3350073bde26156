//! What one executor is told at its start.
//!
//! The binary makes [`Options`] from the node's configuration; an embedded cluster makes them in code
//! ([`Options::local`]). Nothing else of the executor reads configuration.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use millpond_engine::config::{Bucket, Config, KafkaCluster, keys};
use millpond_engine::memory::Bytes;
use sysinfo::System;
use uuid::Uuid;

use crate::error::Error;
use crate::roles::Roles;
use crate::streams::RegistrySettings;

pub(crate) const DATA_PORT: &str = "executor.data_port";
pub(crate) const GRPC_PORT: &str = "executor.grpc_port";
pub(crate) const HTTP_PORT: &str = "executor.http_port";

/// Settings of one executor.
#[derive(Debug, Clone)]
pub struct Options {
    /// Stable name of the node: letters, digits, `.`, `_` and `-`. Placement of data knows nodes by it.
    pub name: String,
    /// `HOST:PORT` of the scheduler's internal port.
    pub scheduler: String,
    /// The address all ports listen on.
    pub bind_host: IpAddr,
    /// The host others are told; `None` for `bind_host`, or for what the scheduler sees if that is `0.0.0.0`.
    pub advertise_host: Option<String>,
    /// Port for fetching results; 0 for any free one.
    pub data_port: u16,
    /// Port for tasks; 0 for any free one.
    pub grpc_port: u16,
    /// Port of health and metrics pages; 0 for any free one, `None` for no pages.
    pub http_port: Option<u16>,
    /// What it does.
    pub roles: Roles,
    /// Output partitions computed at the same time; 0 for one per core.
    pub vcores: usize,
    /// Memory for queries in bytes; `None` for a share of what there is.
    pub memory_limit_bytes: Option<u64>,
    /// That share of the smaller of machine and container, more than 0 and at most 1.
    pub memory_fraction: f64,
    /// The part of that memory which tables may fill, in bytes; `None` for half.
    pub storage_limit_bytes: Option<u64>,
    /// The part of that memory which tables over topics have for themselves, in bytes; 0 for none.
    pub ingest_limit_bytes: u64,
    /// Cores that only threads of tables over topics run on; 0: they share all.
    pub ingest_cores: usize,
    /// Most bytes of it for columns of shards that other executors hold; 0 keeps none.
    pub column_cache_bytes: u64,
    /// Where results of stages and spilled data go; `None` for a temporary directory.
    pub work_dir: Option<PathBuf>,
    /// Memory file system for results of stages; `None` keeps them in `work_dir`.
    pub shuffle_dir: Option<PathBuf>,
    /// Bytes of results of stages in memory; `None` for a share of the memory limit.
    pub shuffle_memory_bytes: Option<u64>,
    /// Longest wait for running tasks when asked to stop.
    pub drain_timeout: Duration,
    /// Name of the cluster, for consumer groups.
    pub cluster_name: String,
    /// Time between heartbeats, in whole seconds, at least one.
    pub heartbeat_interval: Duration,
    /// Largest gRPC message in bytes. Plans and task reports must fit.
    pub grpc_max_message_bytes: usize,
    /// Credentials for object stores.
    pub buckets: Vec<Bucket>,
    /// Settings and credentials for brokers of Kafka.
    pub kafka: Vec<KafkaCluster>,
    /// For registries of schemas.
    pub registry: RegistrySettings,
}

impl Options {
    /// An executor on loopback with any free ports and no pages, for tests and embedded clusters.
    pub fn local(scheduler: impl Into<String>) -> Self {
        Self {
            name: default_name(),
            scheduler: scheduler.into(),
            bind_host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            advertise_host: None,
            data_port: 0,
            grpc_port: 0,
            http_port: None,
            roles: Roles::default(),
            vcores: 0,
            memory_limit_bytes: None,
            memory_fraction: 0.7,
            storage_limit_bytes: None,
            ingest_limit_bytes: 0,
            ingest_cores: 0,
            column_cache_bytes: 1 << 30,
            work_dir: None,
            shuffle_dir: None,
            shuffle_memory_bytes: None,
            drain_timeout: Duration::from_secs(30),
            cluster_name: "default".to_string(),
            heartbeat_interval: Duration::from_secs(2),
            grpc_max_message_bytes: 64 << 20,
            buckets: Vec::new(),
            kafka: Vec::new(),
            registry: RegistrySettings::default(),
        }
    }

    /// Reads the keys `executor.*`, `cluster.name`, `cluster.heartbeat_interval`, `grpc.max_message_size`, `kafka.registry.*` and the buckets.
    ///
    /// The name is the machine's; processes that share a machine must be given names of their own.
    ///
    /// # Errors
    /// [`Error::Setting`] if `executor.bind_host` is a name without an address.
    pub fn from_config(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            name: default_name(),
            scheduler: config.get(keys::EXECUTOR_SCHEDULER).to_string(),
            bind_host: address_of(&config.get(keys::EXECUTOR_BIND_HOST))?,
            advertise_host: config.get(keys::EXECUTOR_ADVERTISE_HOST),
            data_port: config.get(keys::EXECUTOR_DATA_PORT),
            grpc_port: config.get(keys::EXECUTOR_GRPC_PORT),
            http_port: Some(config.get(keys::EXECUTOR_HTTP_PORT)),
            roles: Roles::read(&config.get(keys::EXECUTOR_ROLES))?,
            vcores: config.get(keys::EXECUTOR_VCORES).unwrap_or(0),
            memory_limit_bytes: config
                .get(keys::EXECUTOR_MEMORY_LIMIT)
                .map(|limit| limit.as_u64()),
            memory_fraction: config.get(keys::EXECUTOR_MEMORY_FRACTION).get(),
            storage_limit_bytes: config
                .get(keys::EXECUTOR_STORAGE_LIMIT)
                .map(|limit| limit.as_u64()),
            ingest_limit_bytes: config.get(keys::EXECUTOR_INGEST_LIMIT).as_u64(),
            ingest_cores: config.get(keys::EXECUTOR_INGEST_CORES),
            column_cache_bytes: config.get(keys::EXECUTOR_COLUMN_CACHE).as_u64(),
            work_dir: config.get(keys::EXECUTOR_WORK_DIR),
            shuffle_dir: config.get(keys::EXECUTOR_SHUFFLE_DIR),
            shuffle_memory_bytes: config
                .get(keys::EXECUTOR_SHUFFLE_MEMORY)
                .map(|limit| limit.as_u64()),
            drain_timeout: config.get(keys::EXECUTOR_DRAIN_TIMEOUT),
            cluster_name: config.get(keys::CLUSTER_NAME),
            heartbeat_interval: config.get(keys::CLUSTER_HEARTBEAT_INTERVAL),
            grpc_max_message_bytes: usize::try_from(config.get(keys::GRPC_MAX_MESSAGE_SIZE).as_u64())
                .unwrap_or(usize::MAX),
            buckets: config.buckets().to_vec(),
            kafka: config.kafka_clusters().to_vec(),
            registry: RegistrySettings::from_config(config)?,
        })
    }

    /// Refuses values that cannot work, before anything is taken.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.name.is_empty() || !self.name.chars().all(allowed) {
            return Err(setting(
                "name of the executor",
                &self.name,
                "use letters, digits, '.', '_' and '-'",
            ));
        }
        let port = self
            .scheduler
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .map(|(_, port)| port);
        let port = port.and_then(|port| port.parse::<u16>().ok()).unwrap_or(0);
        if port == 0 {
            return Err(setting(
                "executor.scheduler",
                &self.scheduler,
                "write HOST:PORT, such as 127.0.0.1:50050",
            ));
        }
        Ok(())
    }

    /// The number of vcores, where 0 stands for all cores that following topics leaves.
    pub(crate) fn vcores(&self) -> usize {
        match self.vcores {
            0 => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                cores.saturating_sub(self.own_cores()).max(1)
            }
            vcores => vcores,
        }
    }

    /// Cores that following topics has for itself; none if it follows no topics, or does nothing else.
    pub(crate) fn own_cores(&self) -> usize {
        match self.roles {
            Roles {
                query: true,
                ingest: true,
            } => self.ingest_cores,
            _ => 0,
        }
    }

    /// What tables over topics leave of `memory_bytes`.
    pub(crate) fn without_ingest(&self, memory_bytes: u64) -> Result<u64, Error> {
        match memory_bytes.checked_sub(self.ingest_limit_bytes) {
            Some(left) if left > 0 => Ok(left),
            _ => Err(setting(
                "executor.ingest_limit",
                &Bytes(self.ingest_limit_bytes).to_string(),
                &format!("it must be less than the memory limit of {}", Bytes(memory_bytes)),
            )),
        }
    }

    /// The part of `memory_bytes` that tables may fill.
    pub(crate) fn storage_limit(&self, memory_bytes: u64) -> Result<u64, Error> {
        match self.storage_limit_bytes {
            None => Ok(memory_bytes / 2),
            Some(bytes) if bytes < memory_bytes => Ok(bytes),
            Some(bytes) => Err(setting(
                "executor.storage_limit",
                &Bytes(bytes).to_string(),
                &format!("it must be less than the memory limit of {}", Bytes(memory_bytes)),
            )),
        }
    }

    /// The host to register with, `None` to let the scheduler take the address it sees.
    pub(crate) fn advertised_host(&self) -> Option<String> {
        match &self.advertise_host {
            Some(host) => Some(host.clone()),
            None if self.bind_host.is_unspecified() => None,
            None => Some(self.bind_host.to_string()),
        }
    }
}

/// The address of a host to listen on.
fn address_of(host: &str) -> Result<IpAddr, Error> {
    let remedy = "use an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all";
    let addresses = (host, 0)
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next());
    addresses
        .map(|address| address.ip())
        .ok_or_else(|| setting("executor.bind_host", host, remedy))
}

pub(crate) fn setting(key: &'static str, value: &str, remedy: &str) -> Error {
    Error::Setting {
        key,
        reason: format!("'{value}' cannot be used; {remedy}"),
    }
}

/// The name of this machine, as far as it can be part of an id; else a random one.
pub(crate) fn default_name() -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || ".-_".contains(*c);
    let name: String = System::host_name()
        .unwrap_or_default()
        .chars()
        .filter(allowed)
        .collect();
    if name.is_empty() {
        format!("executor-{}", Uuid::new_v4().simple())
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_configuration() {
        let configured = Options::from_config(&Config::of::<&str, &str>([]).unwrap()).unwrap();
        let local = Options::local("127.0.0.1:50050");
        let alike = |options: Options| Options {
            name: String::new(),
            data_port: 0,
            grpc_port: 0,
            http_port: None,
            ..options
        };
        assert_eq!(format!("{:?}", alike(configured)), format!("{:?}", alike(local)));
    }

    #[test]
    fn every_key_is_read() {
        let config = Config::of([
            ("executor.scheduler", "[::1]:7000"),
            ("executor.bind_host", "localhost"),
            ("executor.advertise_host", "node-7"),
            ("executor.data_port", "7001"),
            ("executor.grpc_port", "7002"),
            ("executor.http_port", "0"),
            ("executor.vcores", "3"),
            ("executor.memory_limit", "2GiB"),
            ("executor.memory_fraction", "0.25"),
            ("executor.storage_limit", "512MiB"),
            ("executor.ingest_limit", "256MiB"),
            ("executor.work_dir", "/var/tmp/work"),
            ("executor.shuffle_dir", "/dev/shm"),
            ("executor.shuffle_memory", "1GiB"),
            ("executor.drain_timeout", "5s"),
            ("cluster.heartbeat_interval", "1s"),
            ("grpc.max_message_size", "8MiB"),
        ]);
        let options = Options::from_config(&config.unwrap()).unwrap();
        options.check().unwrap();
        assert_eq!(options.scheduler, "[::1]:7000");
        assert!(options.bind_host.is_loopback());
        assert_eq!(options.advertised_host().as_deref(), Some("node-7"));
        assert_eq!(
            (options.data_port, options.grpc_port, options.http_port),
            (7001, 7002, Some(0))
        );
        assert_eq!((options.vcores(), options.memory_limit_bytes), (3, Some(2 << 30)));
        assert_eq!(options.storage_limit_bytes, Some(512 << 20));
        assert_eq!(options.ingest_limit_bytes, 256 << 20);
        assert_eq!(
            (options.memory_fraction, options.grpc_max_message_bytes),
            (0.25, 8 << 20)
        );
        assert_eq!(options.work_dir, Some(PathBuf::from("/var/tmp/work")));
        assert_eq!(
            (options.shuffle_dir, options.shuffle_memory_bytes),
            (Some(PathBuf::from("/dev/shm")), Some(1 << 30))
        );
        assert_eq!(options.drain_timeout, Duration::from_secs(5));
        assert_eq!(options.heartbeat_interval, Duration::from_secs(1));
    }

    #[test]
    fn tables_may_fill_a_part_of_the_memory() {
        let limited = |bytes| Options {
            storage_limit_bytes: bytes,
            ..Options::local("s:1")
        };
        assert_eq!(limited(None).storage_limit(1000).unwrap(), 500);
        assert_eq!(limited(Some(900)).storage_limit(1000).unwrap(), 900);
        let error = limited(Some(1000)).storage_limit(1000).unwrap_err();
        assert!(error.to_string().contains("executor.storage_limit"), "{error}");
        let with_ingest = |bytes| Options {
            ingest_limit_bytes: bytes,
            ..limited(None)
        };
        assert_eq!(with_ingest(400).without_ingest(1000).unwrap(), 600);
        let error = with_ingest(1000).without_ingest(1000).unwrap_err();
        assert!(error.to_string().contains("executor.ingest_limit"), "{error}");
    }

    #[test]
    fn hosts_that_are_none_are_refused() {
        let config = Config::of([("executor.bind_host", "no-such-host.invalid")]).unwrap();
        let error = Options::from_config(&config).unwrap_err();
        assert!(error.to_string().contains("executor.bind_host"), "{error}");
        for scheduler in ["", "host", ":50050", "host:", "host:0", "host:99999"] {
            let error = Options::local(scheduler).check().unwrap_err();
            assert!(error.to_string().contains("executor.scheduler"), "{error}");
        }
    }

    #[test]
    fn others_are_told_an_address_they_can_use() {
        let bound_to = |host: &str| Options {
            bind_host: host.parse().unwrap(),
            ..Options::local("s:1")
        };
        assert_eq!(
            bound_to("10.0.0.7").advertised_host().as_deref(),
            Some("10.0.0.7")
        );
        assert_eq!(bound_to("0.0.0.0").advertised_host(), None);
    }
}
