//! What the Kafka client says on the side: how far topic partitions go, and whether brokers answer.

use std::collections::HashMap;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Mutex<Seen>,
}

/// What was said since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By number of the topic partition: the offset after the last message that may be read.
    pub(super) ends: HashMap<u32, u64>,
    /// A broker has answered.
    pub(super) answered: bool,
    /// Topic partitions that the topic has now.
    pub(super) partitions: usize,
    /// What the client last said was wrong with the brokers: a password, a certificate.
    pub(super) complaint: Option<String>,
}

impl Watch {
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut self.seen.lock())
    }
}

impl ClientContext for Watch {
    fn stats(&self, statistics: Statistics) {
        let mut seen = self.seen.lock();
        seen.answered = statistics.brokers.values().any(|broker| broker.state == "UP");
        for topic in statistics.topics.values() {
            for (number, partition) in &topic.partitions {
                // One of its own accounts for messages without a topic partition.
                let Ok(number) = u32::try_from(*number) else {
                    continue;
                };
                if let Ok(end) = u64::try_from(partition.ls_offset) {
                    seen.ends.insert(number, end);
                }
                seen.partitions = seen.partitions.max(number as usize + 1);
            }
        }
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error as well, and is shown with the table.
        tracing::debug!(facility, message, "the Kafka client");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the Kafka client");
        // Why each is down was said before.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.seen.lock().complaint = Some(reason.to_string());
        }
    }
}

impl ConsumerContext for Watch {}
