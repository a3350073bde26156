//! Messages go to a topic: the other end of `INSERT INTO`.
//!
//! Each task has a client of its own. It is idempotent: what the client sends again for want of an answer is there once. What
//! is to be there once although the task runs again is sent in a [`Transaction`]. Keys choose the topic partition as Java's clients do (murmur2), so that a key that others write too stays where it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::Array;
use millpond_engine::encode::Messages;
use millpond_engine::error::{Code, Error};
use millpond_engine::streams::StreamOptions;
use millpond_engine::topics::{OpenTopic, Opened, TopicWriter};
use millpond_proto::plan::TopicSink;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::Notify;

use super::access::Access;
use super::tokens::Authorized;
use super::transaction::{Begun, Transaction};

/// What is set unless the table says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "millpond"),
    ("compression.type", "lz4"),
    ("linger.ms", "5"),
    // Longest time that a message may be on its way.
    ("message.timeout.ms", "60000"),
    ("partitioner", "murmur2_random"),
    ("queue.buffering.max.kbytes", "65536"),
];
/// What is promised.
const FIXED: &[(&str, &str)] = &[
    ("acks", "all"),
    ("allow.auto.create.topics", "false"),
    ("enable.idempotence", "true"),
];
/// Pause while the queue of the client is full.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// Makes clients.
#[derive(Debug)]
pub(crate) struct Producers {
    /// How brokers are reached.
    pub(crate) access: Access,
}

#[async_trait]
impl TopicWriter for Producers {
    async fn open(&self, sink: &TopicSink) -> Result<Opened, Error> {
        let options = StreamOptions::parse(&sink.settings)?;
        let deliveries = Arc::new(Deliveries::default());
        let client = if sink.transaction.is_empty() {
            let config = producer_config(&self.access, &sink.brokers, &options);
            Client::Plain(self.access.client(config, Context(deliveries.clone()))?)
        } else {
            let (access, sink, deliveries) = (self.access.clone(), sink.clone(), deliveries.clone());
            let begun = blocking(move || begin(&access, &sink, &options, deliveries));
            match begun.await?? {
                (Begun::Sent(messages), _) => return Ok(Opened::Sent(messages)),
                (Begun::Open, transaction) => Client::Transaction(Some(transaction)),
            }
        };
        Ok(Opened::Topic(Box::new(Topic {
            topic: sink.topic.clone(),
            brokers: sink.brokers.clone(),
            client,
            deliveries,
            sent: 0,
        })))
    }
}

fn begin(
    access: &Access,
    sink: &TopicSink,
    options: &StreamOptions,
    deliveries: Arc<Deliveries>,
) -> Result<(Begun, Transaction), Error> {
    let (brokers, topic) = (&sink.brokers, &sink.topic);
    let mut transaction = Transaction::new(access, brokers, topic, options, &sink.transaction, deliveries)?;
    Ok((transaction.begin()?, transaction))
}

/// Does what waits for brokers where it is in nobody's way.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::bug(format!("ask brokers: {error}")))
}

/// The settings of a client that sends messages.
pub(super) fn producer_config(access: &Access, brokers: &str, options: &StreamOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in DEFAULTS {
        config.set(*key, *value);
    }
    access.apply(brokers, &options.client, &mut config);
    for (key, value) in FIXED {
        config.set(*key, *value);
    }
    config.set("bootstrap.servers", brokers);
    config
}

/// What to say when a client cannot be made.
pub(super) fn refuses_settings(error: &KafkaError) -> Error {
    Error::user(Code::INVALID_SETTING, "the Kafka client refuses its settings")
        .with_detail(error.to_string())
        .with_hint("options that start with kafka. are settings of librdkafka")
}

/// What became of the messages of a task.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    ended: AtomicU64,
    failed: Mutex<Option<KafkaError>>,
    changed: Notify,
}

pub(super) struct Context(pub(super) Arc<Deliveries>);

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.failed.lock().get_or_insert_with(|| error.clone());
        }
        self.0.ended.fetch_add(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

/// A client that sends messages.
pub(super) type TopicProducer = ThreadedProducer<Authorized<Context>>;

/// What messages go through.
enum Client {
    Plain(TopicProducer),
    /// `None` when it is about to be committed.
    Transaction(Option<Transaction>),
}

struct Topic {
    topic: String,
    brokers: String,
    client: Client,
    deliveries: Arc<Deliveries>,
    sent: u64,
}

/// A task that fails or is cancelled takes back what it has sent.
impl Drop for Topic {
    fn drop(&mut self) {
        let Client::Transaction(open) = &mut self.client else {
            return;
        };
        if let (Some(open), Ok(runtime)) = (open.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || open.abort());
        }
    }
}

impl Topic {
    fn producer(&self) -> Result<&TopicProducer, Error> {
        match &self.client {
            Client::Plain(producer) => Ok(producer),
            Client::Transaction(Some(transaction)) => Ok(transaction.producer()),
            Client::Transaction(None) => Err(Error::bug("a transaction gets messages after its commit")),
        }
    }

    fn check(&self) -> Result<(), Error> {
        match self.deliveries.failed.lock().as_ref() {
            Some(error) => Err(self.refused(error)),
            None => Ok(()),
        }
    }

    fn refused(&self, error: &KafkaError) -> Error {
        let (topic, brokers) = (&self.topic, &self.brokers);
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed,
            ) => Error::external(
                Code::TOPIC_UNKNOWN,
                format!("topic '{topic}' at {brokers} cannot be written"),
            )
            .with_hint("look at the name of the topic and at the rights of the account"),
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Error::user(
                Code::INVALID_VALUE,
                format!("a message is larger than topic '{topic}' takes"),
            )
            .with_hint("raise max.message.bytes of the topic and the option kafka.message.max.bytes"),
            _ => return self.silent(error),
        }
        .with_detail(error.to_string())
    }

    fn silent(&self, error: &KafkaError) -> Error {
        if let Client::Transaction(Some(transaction)) = &self.client {
            return transaction.refused(error);
        }
        let (topic, brokers) = (&self.topic, &self.brokers);
        Error::external(
            Code::BROKERS_SILENT,
            format!("topic '{topic}' at {brokers} takes no messages"),
        )
        .with_hint(
            "messages that were sent before are there; run the statement again when the brokers are back",
        )
        .with_detail(error.to_string())
    }

    async fn send_one(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        time: Option<i64>,
    ) -> Result<(), Error> {
        loop {
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic);
            record.key = key;
            record.payload = value;
            record.timestamp = time;
            match self.producer()?.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.check()?;
                    tokio::time::sleep(FULL_PAUSE).await;
                }
                Err((error, _)) => return Err(self.refused(&error)),
            }
        }
    }
}

#[async_trait]
impl OpenTopic for Topic {
    async fn send(&mut self, messages: Messages) -> Result<(), Error> {
        self.check()?;
        for row in 0..messages.values.len() {
            let key = messages.keys.is_valid(row).then(|| messages.keys.value(row));
            let value = messages.values.is_valid(row).then(|| messages.values.value(row));
            let time = messages.timestamps.as_ref().and_then(|times| times[row]);
            self.send_one(key, value, time).await?;
            self.sent += 1;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, messages: u64) -> Result<(), Error> {
        loop {
            self.check()?;
            if self.deliveries.ended.load(Ordering::Acquire) >= self.sent {
                break;
            }
            self.deliveries.changed.notified().await;
        }
        if let Client::Transaction(open) = &mut self.client
            && let Some(transaction) = open.take()
        {
            blocking(move || transaction.commit(messages)).await??;
        }
        Ok(())
    }
}
