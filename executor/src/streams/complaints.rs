//! What clients of brokers complain of, in the log.
//!
//! A client says every second that its brokers are away, for as long as they are. Each kind of complaint is logged once
//! in a while; what comes between is there for those who log at `debug`.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// Pause between two complaints of one kind.
const PAUSE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Vec<(Option<RDKafkaErrorCode>, Instant)>>);

impl Complaints {
    /// Logs a complaint, as an error if none of its kind was logged of late.
    pub(super) fn hear(&self, error: &KafkaError, reason: &str) {
        match self.is_due(error.rdkafka_error_code(), Instant::now()) {
            true => tracing::error!(%error, reason, "a client of brokers complains"),
            false => tracing::debug!(%error, reason, "a client of brokers still complains"),
        }
    }

    fn is_due(&self, kind: Option<RDKafkaErrorCode>, now: Instant) -> bool {
        let mut said = self.0.lock();
        said.retain(|(_, at)| now.duration_since(*at) < PAUSE);
        let is_due = !said.iter().any(|(known, _)| *known == kind);
        if is_due {
            said.push((kind, now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_once_in_a_while() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let due = |code, seconds| complaints.is_due(Some(code), start + Duration::from_secs(seconds));
        assert!(due(RDKafkaErrorCode::AllBrokersDown, 0));
        assert!(due(RDKafkaErrorCode::BrokerTransportFailure, 1));
        assert!(!due(RDKafkaErrorCode::AllBrokersDown, 59));
        assert!(due(RDKafkaErrorCode::AllBrokersDown, 60));
        assert!(!due(RDKafkaErrorCode::BrokerTransportFailure, 60));
        assert!(!due(RDKafkaErrorCode::AllBrokersDown, 119));
    }
}
