//! Dead letters go to a topic too, if the table names one (`dead_letters.topic`).
//!
//! ```text
//! Partition ─► Mail::post ─► Letterbox (client) ─► brokers
//!                 ▲── back ◄── what could not be delivered, to be posted again
//! ```
//!
//! A letter is posted when it is kept, and a checkpoint waits until all letters before it are delivered: each is there
//! at least once. While the topic cannot be written, a topic partition stands in front of its next bad message, so no
//! more than a few letters wait.

use std::fmt;
use std::sync::Arc;

use millpond_engine::error::Error;
use millpond_proto::stream::DeadLetter;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};

use super::access::Access;
use super::complaints::Complaints;
use super::tokens::Authorized;

/// Longest time that a letter may be on its way before it is said to be in trouble.
const DELIVERY_TIMEOUT_MS: &str = "10000";
/// Start of the names of the headers that say where a letter is from and what is wrong with it.
const HEADERS: &str = "millpond.";

/// The client of a table for the topic of its letters.
pub(super) struct Letterbox {
    table: String,
    source_topic: String,
    topic: String,
    producer: ThreadedProducer<Authorized<Postman>>,
}

impl fmt::Debug for Letterbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letterbox")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl Letterbox {
    /// For the letters of `table`, whose messages are in `source_topic`; `config` is that of a producer.
    ///
    /// # Errors
    /// A setting that the Kafka client does not have.
    pub(super) fn new(
        table: &str,
        source_topic: &str,
        topic: &str,
        mut config: ClientConfig,
        access: &Access,
    ) -> Result<Self, Error> {
        config.set("message.timeout.ms", DELIVERY_TIMEOUT_MS);
        Ok(Self {
            table: table.to_string(),
            source_topic: source_topic.to_string(),
            topic: topic.to_string(),
            producer: access.client(config, Postman::default())?,
        })
    }

    /// What is added to the headers that the message had.
    fn headers(&self, letter: &DeadLetter) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new();
        for header in &letter.headers {
            headers = headers.insert(Header {
                key: &header.key,
                value: header.value.as_deref(),
            });
        }
        let (partition, offset) = (letter.partition.to_string(), letter.offset.to_string());
        for (name, value) in [
            ("table", &self.table),
            ("topic", &self.source_topic),
            ("partition", &partition),
            ("offset", &offset),
            ("reason", &letter.reason),
            ("detail", &letter.detail),
        ] {
            headers = headers.insert(Header {
                key: &format!("{HEADERS}{name}"),
                value: Some(value),
            });
        }
        headers
    }
}

/// The letters of a topic partition that are not delivered.
#[derive(Default)]
pub(super) struct Mail(Mutex<Undelivered>);

#[derive(Default)]
struct Undelivered {
    on_the_way: usize,
    back: Vec<DeadLetter>,
    /// Why the last one came back, until one is delivered.
    trouble: Option<String>,
}

impl Mail {
    /// True if every letter has been delivered.
    pub(super) fn is_delivered(&self) -> bool {
        let mail = self.0.lock();
        mail.on_the_way == 0 && mail.back.is_empty()
    }

    /// Why letters are not delivered.
    pub(super) fn trouble(&self) -> Option<String> {
        self.0.lock().trouble.clone()
    }

    /// Sends a letter. It does not block; what cannot be sent comes back.
    pub(super) fn post(self: &Arc<Self>, letterbox: &Letterbox, letter: DeadLetter) {
        self.0.lock().on_the_way += 1;
        let headers = letterbox.headers(&letter);
        let (key, value) = (letter.key.clone(), letter.value.clone());
        let time = letter.timestamp_ms.cast_signed();
        let posted = Box::new(Posted {
            mail: self.clone(),
            letter,
        });
        let mut record: BaseRecord<'_, [u8], [u8], Box<Posted>> =
            BaseRecord::with_opaque_to(&letterbox.topic, posted).headers(headers);
        record.key = key.as_deref();
        record.payload = value.as_deref();
        record.timestamp = Some(time).filter(|time| *time > 0);
        if let Err((error, record)) = letterbox.producer.send(record) {
            record.delivery_opaque.comes_back(error.to_string());
        }
    }

    /// Sends again what came back.
    pub(super) fn post_again(self: &Arc<Self>, letterbox: &Letterbox) {
        let back = std::mem::take(&mut self.0.lock().back);
        for letter in back {
            self.post(letterbox, letter);
        }
    }
}

/// A letter on its way.
struct Posted {
    mail: Arc<Mail>,
    letter: DeadLetter,
}

impl Posted {
    fn arrives(self) {
        let mut mail = self.mail.0.lock();
        mail.on_the_way -= 1;
        mail.trouble = None;
    }

    fn comes_back(self, trouble: String) {
        let mut mail = self.mail.0.lock();
        mail.on_the_way -= 1;
        mail.trouble = Some(trouble);
        mail.back.push(self.letter);
    }
}

/// Hears what became of letters.
#[derive(Default)]
struct Postman {
    complaints: Complaints,
}

impl ClientContext for Postman {
    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.hear(&error, reason);
    }
}

impl ProducerContext for Postman {
    type DeliveryOpaque = Box<Posted>;

    fn delivery(&self, result: &DeliveryResult<'_>, posted: Box<Posted>) {
        match result {
            Ok(_) => posted.arrives(),
            Err((error, _)) => posted.comes_back(error.to_string()),
        }
    }
}
