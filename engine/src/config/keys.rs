//! The registry: every key there is, with its type, default and description.
//!
//! One entry makes the typed constant, the row of [`KEYS`], the field that holds the value and the row of
//! `docs/configuration.md`. Keys that belong together stand together; the part before the first dot is their group.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use url::Url;

use super::address::Address;
use super::choice::{LogFormat, ResultFormat};
use super::key::{Key, Scope, TypedKey};
use super::layer::Assigned;
use super::value::{Fraction, Setting};
use crate::error::Error;

macro_rules! registry {
    ($(
        $(#[doc = $description:literal])+
        $constant:ident: $type:ty = $name:literal, $default:literal, $scope:ident
        $(, secret $secret:literal)? $(, also $short:literal)?;
    )+) => {
        $(
            $(#[doc = $description])+
            pub const $constant: TypedKey<$type> = TypedKey {
                key: Key {
                    name: $name,
                    kind: <$type as Setting>::KIND,
                    default: $default,
                    scope: Scope::$scope,
                    secret: false $(|| $secret)?,
                    short_variable: first(&[$($short)?]),
                    description: concat!($($description),+).trim_ascii(),
                },
                read: |values| &values.$constant,
            };
        )+

        /// Every key, in the order of the documentation.
        pub const KEYS: &[Key] = &[$($constant.key),+];

        /// The value of every key, checked.
        #[expect(non_snake_case, reason = "a field has the name of its key's constant")]
        #[derive(Clone)]
        pub(super) struct Values {
            $($constant: $type,)+
        }

        impl Values {
            /// Reads the value of every key from what was assigned, or else from its default.
            ///
            /// # Errors
            /// `INVALID_SETTING` for the first value that does not have the form of its key.
            pub(super) fn read(assigned: &Assigned) -> Result<Self, Error> {
                Ok(Self { $($constant: assigned.read(&$constant.key)?,)+ })
            }
        }
    };
}

const fn first(names: &[&'static str]) -> Option<&'static str> {
    match names {
        [name, ..] => Some(name),
        [] => None,
    }
}

registry! {
    /// Where the scheduler listens for clients (Flight SQL). Beyond loopback it needs `auth.token`, `tls.cert` and
    /// `tls.key`, or `server.insecure`.
    FLIGHT_SQL_BIND: Address = "flight_sql.bind", "127.0.0.1:50060", Node;
    /// Where the scheduler listens for the web page, `/api/v1`, `/metrics`, `/healthz` and `/readyz`; guarded like
    /// `flight_sql.bind`.
    HTTP_BIND: Address = "http.bind", "127.0.0.1:8080", Node;
    /// Where the scheduler listens for executors. This port has no authentication: bind it to loopback or to the
    /// private network of the cluster only.
    INTERNAL_BIND: Address = "internal.bind", "127.0.0.1:50050", Node;
    /// Name or address under which executors reach the scheduler's internal port; empty is the host it binds.
    INTERNAL_ADVERTISE_HOST: Option<String> = "internal.advertise_host", "", Node;

    /// Where the catalog is kept: `file:///...`, `s3://bucket/path` and so on. Empty is the folder `millpond-state`
    /// below the working directory of the scheduler.
    STATE_URL: Option<Url> = "state.url", "", Node;

    /// Token that clients must send; empty lets everybody in, which is allowed on loopback only.
    AUTH_TOKEN: Option<String> = "auth.token", "", Node, secret true;
    /// File with the certificate chain (PEM) of the public ports; needs `tls.key`. Empty is no TLS.
    TLS_CERT: Option<PathBuf> = "tls.cert", "", Node;
    /// File with the private key (PEM) of `tls.cert`.
    TLS_KEY: Option<PathBuf> = "tls.key", "", Node;
    /// Lets public ports listen beyond loopback without token and TLS. Everybody who reaches them can read and
    /// write all data.
    SERVER_INSECURE: bool = "server.insecure", "false", Node;

    /// The scheduler's internal port, as this executor reaches it.
    EXECUTOR_SCHEDULER: Address = "executor.scheduler", "127.0.0.1:50050", Node;
    /// Name or address on which the executor listens. Its ports have no authentication: use loopback or the private
    /// network of the cluster only.
    EXECUTOR_BIND_HOST: String = "executor.bind_host", "127.0.0.1", Node;
    /// Name or address under which the others reach this executor; empty is `executor.bind_host`.
    EXECUTOR_ADVERTISE_HOST: Option<String> = "executor.advertise_host", "", Node;
    /// Port on which the executor serves intermediate and final results; 0 is any free port.
    EXECUTOR_DATA_PORT: u16 = "executor.data_port", "50051", Node;
    /// Port on which the executor takes tasks from the scheduler; 0 is any free port.
    EXECUTOR_GRPC_PORT: u16 = "executor.grpc_port", "50052", Node;
    /// Port of the executor's `/metrics`, `/healthz` and `/readyz`; 0 is any free port.
    EXECUTOR_HTTP_PORT: u16 = "executor.http_port", "50053", Node;
    /// How many tasks the executor runs at a time; 0 is one for each core that `executor.ingest_cores` leaves.
    EXECUTOR_VCORES: Option<usize> = "executor.vcores", "0", Node;
    /// What the executor does: `query` runs tasks of statements, `ingest` follows topics and keeps their tables.
    EXECUTOR_ROLES: Vec<String> = "executor.roles", "query,ingest", Node;
    /// Memory for running statements; operators write to disk beyond it, and a statement that cannot go on fails. 0
    /// is the share `executor.memory_fraction` of the memory that the container or the machine has.
    EXECUTOR_MEMORY_LIMIT: Option<ByteSize> = "executor.memory_limit", "0", Node;
    /// Share of the memory of the container or machine that is used if `executor.memory_limit` is 0.
    EXECUTOR_MEMORY_FRACTION: Fraction = "executor.memory_fraction", "0.7", Node;
    /// The part of the executor's memory that tables in memory may fill. Beyond it they go to `executor.work_dir`, or,
    /// where their `storage_level` forbids that, the statement fails. Must be less than `executor.memory_limit`; 0 is
    /// half of it.
    EXECUTOR_STORAGE_LIMIT: Option<ByteSize> = "executor.storage_limit", "0", Node;
    /// The part of the executor's memory that tables over topics have for themselves: neither statements nor other tables
    /// take it, and when it is full their streams wait. 0: they share `executor.storage_limit` with other tables.
    EXECUTOR_INGEST_LIMIT: ByteSize = "executor.ingest_limit", "0", Node;
    /// Cores, of those that the process may use, on which only threads that follow topics run, and these on no others. 0:
    /// they share all cores with statements.
    EXECUTOR_INGEST_CORES: usize = "executor.ingest_cores", "0", Node;
    /// Most memory, as far as tables leave it free in `executor.storage_limit`, for columns of tables that lie with other
    /// executors and are read again and again; they are forgotten when nobody has read them for a minute. 0 keeps none.
    EXECUTOR_COLUMN_CACHE: ByteSize = "executor.column_cache", "1GiB", Node;
    /// Folder for intermediate results and data that does not fit into memory; empty is a new temporary folder.
    EXECUTOR_WORK_DIR: Option<PathBuf> = "executor.work_dir", "", Node;
    /// Memory file system (tmpfs), such as `/dev/shm`, in which tasks leave their results for the next stage, as far as
    /// there is room; the rest goes to `executor.work_dir`. Empty, or a folder that is not in memory, puts all of them
    /// there.
    EXECUTOR_SHUFFLE_DIR: Option<PathBuf> = "executor.shuffle_dir", "", Node;
    /// Most bytes of such results in memory. They are part of `executor.memory_limit`. 0 is an eighth of that limit; it
    /// is never more than half of what is free in `executor.shuffle_dir` when the executor starts.
    EXECUTOR_SHUFFLE_MEMORY: Option<ByteSize> = "executor.shuffle_memory", "0", Node;
    /// How long a stopping executor waits for its running tasks before it cancels them.
    EXECUTOR_DRAIN_TIMEOUT: Duration = "executor.drain_timeout", "30s", Node;

    /// Name of this cluster among those that read the same topics: it is in the names of their consumer groups,
    /// `millpond.CLUSTER.SCHEMA.TABLE`.
    CLUSTER_NAME: String = "cluster.name", "default", Node;
    /// How often an executor tells the scheduler that it is alive.
    CLUSTER_HEARTBEAT_INTERVAL: Duration = "cluster.heartbeat_interval", "2s", Node;
    /// An executor that is silent for this long is given up and its work is done elsewhere. Must be longer than
    /// `cluster.heartbeat_interval`.
    CLUSTER_EXECUTOR_TIMEOUT: Duration = "cluster.executor_timeout", "6s", Node;
    /// How often the scheduler looks for silent executors.
    CLUSTER_REAPER_INTERVAL: Duration = "cluster.reaper_interval", "1s", Node;
    /// Into how many parts a statement is divided; 0 is the number of tasks all executors together run at a time.
    CLUSTER_TARGET_PARTITIONS: Option<usize> = "cluster.target_partitions", "0", Node;

    /// How long a statement waits for a part of a table in memory that was lost with an executor and is being restored.
    RECOVERY_TIMEOUT: Duration = "recovery.timeout", "60s", Node;

    /// Address of the schema registry that `kafka.registry.user` and `kafka.registry.password` are for. They are sent to
    /// no other.
    KAFKA_REGISTRY_URL: Option<Url> = "kafka.registry.url", "", Node;
    /// User of the schema registry, for tables with `format.registry`.
    KAFKA_REGISTRY_USER: Option<String> = "kafka.registry.user", "", Node;
    /// Password of that user.
    KAFKA_REGISTRY_PASSWORD: Option<String> = "kafka.registry.password", "", Node, secret true;
    /// File with certificates (PEM) to trust besides those of the system, for registries with an authority of their own.
    KAFKA_REGISTRY_TLS_CA: Option<PathBuf> = "kafka.registry.tls_ca", "", Node;

    /// Folders of the local disk that statements may read and write, with everything below them. Empty allows none.
    STORAGE_LOCAL_ROOTS: Vec<String> = "storage.local_roots", "", Node;

    /// How many statements run at a time.
    ADMISSION_MAX_RUNNING: usize = "admission.max_running", "16", Node;
    /// How many statements wait for their turn; further ones are refused at once.
    ADMISSION_MAX_QUEUED: usize = "admission.max_queued", "64", Node;
    /// Longest time a statement may take; 0s is no limit. A session can change it for itself with
    /// `millpond.statement_timeout`.
    STATEMENT_TIMEOUT: Option<Duration> = "statement.timeout", "0s", Node;
    /// Statements that take at least this long are logged as slow; 0s logs none.
    STATEMENT_SLOW_THRESHOLD: Option<Duration> = "statement.slow_threshold", "10s", Node;
    /// How long a result that nobody reads is kept.
    RESULT_TTL: Duration = "result.ttl", "10min", Node;
    /// Largest message the public and the internal ports accept and send.
    GRPC_MAX_MESSAGE_SIZE: ByteSize = "grpc.max_message_size", "64MiB", Node;
    /// A session that nobody uses for this long is closed.
    SESSION_IDLE_TIMEOUT: Duration = "session.idle_timeout", "30min", Node;

    /// How log lines are written; they go to the standard error output.
    LOG_FORMAT: LogFormat = "log.format", "text", Node;
    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, and exceptions for parts of the program, such as
    /// `info,millpond_scheduler=debug`.
    LOG_LEVEL: String = "log.level", "info", Node;

    /// Longest time a statement of this session may take; 0s is no limit. The other settings of a session are those
    /// of DataFusion, under `datafusion.`; `SHOW ALL` lists them.
    MILLPOND_STATEMENT_TIMEOUT: Option<Duration> = "millpond.statement_timeout", "0s", Session;

    /// The cluster to connect to: `grpc://host:port`, or `grpc+tls://host:port` with TLS. Empty starts a cluster
    /// inside the command, which ends with it.
    CLIENT_URL: Option<Url> = "client.url", "", Client, also "MILLPOND_URL";
    /// Token to send; the `auth.token` of the cluster.
    CLIENT_TOKEN: Option<String> = "client.token", "", Client, secret true, also "MILLPOND_TOKEN";
    /// File with certificates (PEM) to trust besides those of the system, for a cluster with its own authority.
    CLIENT_TLS_CA: Option<PathBuf> = "client.tls_ca", "", Client;
    /// Kafka brokers that `millpond topic` talks to: `host:port`, with commas between several.
    CLIENT_BROKERS: Option<String> = "client.brokers", "", Client, also "MILLPOND_BROKERS";
    /// How results are printed.
    CLIENT_FORMAT: ResultFormat = "client.format", "table", Client;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_default_has_the_form_of_its_key() {
        Values::read(&Assigned::default()).unwrap();
    }

    #[test]
    fn names_and_variables_are_unique() {
        let names: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), KEYS.len());
        let variables: BTreeSet<String> = KEYS
            .iter()
            .flat_map(|key| [Some(key.variable()), key.short_variable.map(str::to_owned)])
            .flatten()
            .collect();
        assert_eq!(
            variables.len(),
            KEYS.len() + KEYS.iter().filter(|key| key.short_variable.is_some()).count()
        );
    }

    #[test]
    fn descriptions_are_sentences() {
        for key in KEYS {
            assert!(
                key.description.ends_with('.') && !key.description.starts_with(' '),
                "{}",
                key.name
            );
            assert!(!key.description.contains("  "), "{}", key.name);
        }
    }

    #[test]
    fn secrets_are_marked() {
        for key in KEYS {
            let is_secret = ["token", "password"].iter().any(|word| key.name.ends_with(word));
            assert_eq!(key.secret, is_secret, "{}", key.name);
        }
    }
}
