//! Reads all sources once and keeps the checked values.

use std::fmt;
use std::path::{Path, PathBuf};

use super::bucket::Bucket;
use super::file::{DEFAULT_FILE, File, unknown_profile};
use super::kafka_cluster::KafkaCluster;
use super::key::TypedKey;
use super::keys::{self, KEYS, Values};
use super::layer::{Assigned, Layer};
use super::origin::{Origin, Shown};
use super::value::Written;
use super::variable;
use crate::error::{Code, Error};

/// Where a configuration is read from.
#[derive(Debug, Clone, Default)]
pub struct Sources<E> {
    /// The file; without one `MILLPOND_CONFIG`, and without that `millpond.toml` of the working directory if it is
    /// there.
    pub file: Option<PathBuf>,
    /// The profile of the file; without one `MILLPOND_PROFILE`.
    pub profile: Option<String>,
    /// The environment; see [`process_environment`].
    pub environment: E,
    /// Keys and values of the command line, the strongest.
    pub overrides: Vec<(String, String)>,
}

/// The environment of this process, without variables that are not Unicode.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The configuration of a node or a client: every key has a value of its type, and reading one cannot fail.
#[derive(Clone)]
pub struct Config {
    values: Values,
    assigned: Assigned,
}

impl Config {
    /// Reads and checks all sources.
    ///
    /// # Errors
    /// An unknown key or profile names the nearest one; a wrong value names the key, where it was set and the
    /// expected form; a file that cannot be read names the file. Profiles that are not used are checked too.
    pub fn load<E>(sources: Sources<E>) -> Result<Self, Error>
    where
        E: IntoIterator<Item = (String, String)>,
    {
        let variables = variable::read(sources.environment)?;
        let file = find_file(sources.file, variables.file)?;
        let profile = sources.profile.or(variables.profile);
        let mut assigned = match (&file, &profile) {
            (Some(file), profile) => of_file(file, profile.as_deref())?,
            (None, Some(name)) => return Err(unknown_profile(name, "there is no configuration file")),
            (None, None) => Assigned::default(),
        };
        assigned.lay(variables.layer)?;
        assigned.lay(of_command_line(sources.overrides))?;
        Self::check(assigned)
    }

    /// A configuration of the defaults and these keys alone, without file and environment; for tests and clusters
    /// inside a process.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn of<K: Into<String>, V: Into<String>>(
        overrides: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, Error> {
        let overrides = overrides
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        let mut assigned = Assigned::default();
        assigned.lay(of_command_line(overrides))?;
        Self::check(assigned)
    }

    /// This configuration with some keys changed, as if they had been given on the command line.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn with<K: Into<String>, V: Into<String>>(
        &self,
        overrides: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, Error> {
        let overrides = overrides
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        let mut assigned = self.assigned.clone();
        assigned.lay(of_command_line(overrides))?;
        Self::check(assigned)
    }

    fn check(assigned: Assigned) -> Result<Self, Error> {
        let config = Self {
            values: Values::read(&assigned)?,
            assigned,
        };
        config.check_pairs()?;
        Ok(config)
    }

    /// Checks values that must fit each other.
    fn check_pairs(&self) -> Result<(), Error> {
        if self.get(keys::TLS_CERT).is_some() != self.get(keys::TLS_KEY).is_some() {
            let error = Error::user(Code::INVALID_SETTING, "tls.cert and tls.key must be set together");
            return Err(error.with_hint("give both files, or neither"));
        }
        let (interval, timeout) = (
            self.get(keys::CLUSTER_HEARTBEAT_INTERVAL),
            self.get(keys::CLUSTER_EXECUTOR_TIMEOUT),
        );
        if interval.is_zero() || timeout <= interval {
            let error = Error::user(
                Code::INVALID_SETTING,
                "cluster.executor_timeout must be longer than cluster.heartbeat_interval, and that longer than 0s",
            );
            return Err(error.with_detail(format!("they are {timeout:?} and {interval:?}")));
        }
        if self.get(keys::CLUSTER_REAPER_INTERVAL).is_zero() {
            return Err(Error::user(
                Code::INVALID_SETTING,
                "cluster.reaper_interval must be longer than 0s",
            ));
        }
        if self.get(keys::ADMISSION_MAX_RUNNING) == 0 {
            return Err(Error::user(
                Code::INVALID_SETTING,
                "admission.max_running must be 1 or more",
            ));
        }
        if let Some(root) = self
            .get(keys::STORAGE_LOCAL_ROOTS)
            .iter()
            .find(|root| !Path::new(root).is_absolute())
        {
            let error = Error::user(
                Code::INVALID_SETTING,
                "storage.local_roots must be absolute paths",
            );
            return Err(error.with_detail(format!("'{root}' is relative")));
        }
        Ok(())
    }

    /// The value of a key.
    pub fn get<T: Clone>(&self, key: TypedKey<T>) -> T {
        (key.read)(&self.values).clone()
    }

    /// Where the value of a key was set.
    pub fn origin<T>(&self, key: TypedKey<T>) -> Origin {
        self.assigned.origin(&key.key)
    }

    /// Every key with its value as it was written, for people; secrets are `***`.
    pub fn shown(&self) -> impl Iterator<Item = Shown> {
        KEYS.iter().map(|key| self.assigned.shown(key))
    }

    /// The object stores that credentials are configured for, each prefix once.
    pub fn buckets(&self) -> &[Bucket] {
        self.assigned.buckets()
    }

    /// The clusters of Kafka that settings are configured for, the same brokers once.
    pub fn kafka_clusters(&self) -> &[KafkaCluster] {
        self.assigned.kafka()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_map()
            .entries(self.shown().map(|shown| (shown.key.name, shown.value)))
            .entry(&"storage.bucket", &self.buckets())
            .entry(&"kafka.cluster", &self.kafka_clusters())
            .finish()
    }
}

fn find_file(named: Option<PathBuf>, variable: Option<String>) -> Result<Option<File>, Error> {
    let named = named.or(variable.map(PathBuf::from));
    let default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists());
    named.or_else(default).map(|path| File::read(&path)).transpose()
}

/// Lays the profile over the file. The other profiles are tried too, so that a mistake in one is found before it is
/// needed.
fn of_file(file: &File, profile: Option<&str>) -> Result<Assigned, Error> {
    let mut base = Assigned::default();
    base.lay(file.base.clone())?;
    for layer in file.profiles.values() {
        let mut tried = base.clone();
        tried.lay(layer.clone())?;
        Values::read(&tried)?;
    }
    if let Some(name) = profile {
        base.lay(file.profile(name)?.clone())?;
    }
    Ok(base)
}

fn of_command_line(overrides: Vec<(String, String)>) -> Layer {
    let entries = overrides
        .into_iter()
        .map(|(key, value)| (key, Written::One(value), Origin::CommandLine))
        .collect();
    Layer {
        entries,
        buckets: Vec::new(),
        kafka: Vec::new(),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
