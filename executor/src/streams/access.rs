//! How brokers and the registry of schemas are reached: what a table says, and over it what this node is configured with.

use std::sync::Arc;

use millpond_engine::config::KafkaCluster;
use millpond_engine::error::Error;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use tokio::runtime::Handle;

use super::registry::RegistrySettings;
use super::sink::refuses_settings;
use super::tokens::{Authorized, Tokens};

/// Settings that are the node's alone where it has any for the brokers.
const OF_NODE: &[&str] = &["enable.ssl", "sasl.", "security.", "ssl."];

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    /// Name of the cluster of this node.
    cluster: Arc<str>,
    clusters: Arc<[KafkaCluster]>,
    registry: RegistrySettings,
    /// Fetches tokens.
    runtime: Option<Handle>,
}

impl Access {
    /// With the settings of this node, whose runtime this is called in.
    pub(crate) fn new(cluster: &str, clusters: &[KafkaCluster], registry: RegistrySettings) -> Self {
        Self {
            cluster: cluster.into(),
            clusters: clusters.into(),
            registry,
            runtime: Handle::try_current().ok(),
        }
    }

    /// A client with some settings. It has tokens where brokers want some.
    ///
    /// # Errors
    /// A setting that the Kafka client does not have, and tokens that come from nowhere.
    pub(super) fn client<C: ClientContext, T: FromClientConfigAndContext<Authorized<C>>>(
        &self,
        mut config: ClientConfig,
        context: C,
    ) -> Result<T, Error> {
        let tokens = Tokens::take(&mut config, self.runtime.as_ref())?;
        config
            .create_with_context(Authorized { context, tokens })
            .map_err(|error| refuses_settings(&error))
    }

    /// The consumer group in which people see how far a table is. It has no members, and nothing is read from it.
    pub(super) fn group(&self, table: &str) -> String {
        format!("millpond.{}.{table}", self.cluster)
    }

    /// For registries of schemas.
    pub(super) fn registry(&self) -> &RegistrySettings {
        &self.registry
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
