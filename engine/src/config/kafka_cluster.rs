//! How the brokers of a Kafka cluster are reached: credentials and other settings of its client.

use std::collections::BTreeMap;
use std::fmt;

use super::origin::REDACTED;
use crate::error::{Code, Error};

/// Settings for some brokers. `Debug` never shows a value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaCluster {
    /// `HOST:PORT` of each, as in a LOCATION.
    brokers: Vec<String>,
    /// Settings of librdkafka.
    settings: BTreeMap<String, String>,
}

/// The field that is none of librdkafka's.
const BROKERS: &str = "brokers";
/// Settings that decide about rows, or load code, so they are not for a file to set.
const REFUSED: &[&str] = &[
    "bootstrap.servers",
    "group.id",
    "metadata.broker.list",
    "plugin.library.paths",
];

impl KafkaCluster {
    /// Sets one field by its name.
    ///
    /// # Errors
    /// A setting that is not for a file to set. The value is never named.
    pub(super) fn set(&mut self, field: &str, value: &str) -> Result<(), Error> {
        if field == BROKERS {
            let brokers = value
                .split(',')
                .map(str::trim)
                .filter(|broker| !broker.is_empty());
            self.brokers = brokers.map(str::to_owned).collect();
        } else if REFUSED.contains(&field) {
            let message = format!("a [[kafka.cluster]] cannot set '{field}'");
            return Err(Error::user(Code::INVALID_SETTING, message).with_hint("leave it out"));
        } else {
            self.settings.insert(field.to_owned(), value.to_owned());
        }
        Ok(())
    }

    /// Checks what the fields must be together.
    ///
    /// # Errors
    /// `INVALID_SETTING` if it is for no brokers.
    pub(super) fn checked(self) -> Result<Self, Error> {
        let is_address = |broker: &String| {
            let parts = broker.rsplit_once(':');
            parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if self.brokers.is_empty() || !self.brokers.iter().all(is_address) {
            let message = "a [[kafka.cluster]] needs 'brokers', HOST:PORT with commas between several";
            return Err(Error::user(Code::INVALID_SETTING, message));
        }
        Ok(self)
    }

    /// `HOST:PORT` of each broker.
    pub fn brokers(&self) -> &[String] {
        &self.brokers
    }

    /// True if credentials may be sent to all of some brokers, with commas between them. One that is not named might be
    /// anybody's.
    pub fn is_for(&self, brokers: &str) -> bool {
        brokers
            .split(',')
            .all(|broker| self.brokers.iter().any(|known| known == broker))
    }

    /// Settings of librdkafka, by name.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl fmt::Debug for KafkaCluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("KafkaCluster");
        shown.field(BROKERS, &self.brokers);
        for key in self.settings.keys() {
            shown.field(key, &REDACTED);
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> KafkaCluster {
        let mut cluster = KafkaCluster::default();
        cluster.set("brokers", "a:9093, b:9093").unwrap();
        cluster.set("sasl.password", "hunter2").unwrap();
        cluster.checked().unwrap()
    }

    #[test]
    fn values_are_never_shown() {
        let shown = format!("{:?}", cluster());
        assert!(
            !shown.contains("hunter2") && shown.contains("sasl.password"),
            "{shown}"
        );
    }

    #[test]
    fn credentials_go_to_named_brokers_only() {
        assert!(cluster().is_for("b:9093"));
        assert!(cluster().is_for("a:9093,b:9093"));
        assert!(!cluster().is_for("a:9093,evil:9093"));
        assert!(!cluster().is_for("a:9092"));
    }

    #[test]
    fn what_is_incomplete_or_not_for_it_is_refused() {
        assert!(KafkaCluster::default().checked().is_err());
        assert!(KafkaCluster::default().set("plugin.library.paths", "x").is_err());
        let mut without_port = KafkaCluster::default();
        without_port.set("brokers", "a").unwrap();
        assert!(without_port.checked().is_err());
    }
}
