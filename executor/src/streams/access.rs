//! How brokers and the registry of schemas are reached: what a table says, and over it what this node is configured with.

use std::sync::Arc;

use millpond_engine::config::KafkaCluster;
use rdkafka::ClientConfig;

use super::registry::Account;

/// Settings that are the node's alone where it has any for the brokers.
const OF_NODE: &[&str] = &["enable.ssl", "sasl.", "security.", "ssl."];

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    clusters: Arc<[KafkaCluster]>,
    account: Option<Account>,
}

impl Access {
    /// With the settings of this node.
    pub(crate) fn new(clusters: &[KafkaCluster], account: Option<Account>) -> Self {
        Self {
            clusters: clusters.into(),
            account,
        }
    }

    /// For the registry of schemas.
    pub(super) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Sets what the options of a table and this node say about some brokers.
    pub(super) fn apply(&self, brokers: &str, options: &[(String, String)], config: &mut ClientConfig) {
        let cluster = self.clusters.iter().find(|cluster| cluster.is_for(brokers));
        let is_of_node = |key: &str| OF_NODE.iter().any(|start| key.starts_with(start));
        for (key, value) in options {
            // A table must not weaken how credentials travel.
            if cluster.is_none() || !is_of_node(key) {
                config.set(key, value);
            }
        }
        for (key, value) in cluster.into_iter().flat_map(KafkaCluster::settings) {
            config.set(key, value);
        }
    }
}
