//! Where the brokers are, and what is told to the client of librdkafka.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::error::Error;

/// Longest wait for an answer of the brokers.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Flags of everything that talks to brokers.
#[derive(Debug, Clone, clap::Args)]
pub struct Brokers {
    /// HOST:PORT of brokers, with commas between them
    #[arg(
        long,
        value_name = "HOSTS",
        default_value = "127.0.0.1:9092",
        env = "MILLPOND_BROKERS"
    )]
    pub brokers: String,
    /// Setting of librdkafka, such as security.protocol=SSL
    #[arg(short = 'X', long = "property", value_name = "KEY=VALUE")]
    pub properties: Vec<String>,
}

impl Brokers {
    /// Settings for a client.
    ///
    /// # Errors
    /// A property without `=`.
    pub(super) fn config(&self) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "millpond-topic")
            .set("bootstrap.servers", &self.brokers);
        for property in &self.properties {
            let (key, value) = property
                .split_once('=')
                .ok_or_else(|| Error::Usage(format!("'{property}' is no property\nhint: write KEY=VALUE")))?;
            config.set(key, value);
        }
        Ok(config)
    }

    /// What to say when something about the brokers fails.
    pub(super) fn failed(&self, what: &str, error: &KafkaError) -> Error {
        Error::Node(format!(
            "{what} at {}: {error}\nhint: look at --brokers, and whether the brokers are up",
            self.brokers
        ))
    }
}
