//! Messages in one transaction, which takes effect once however often it is tried.
//!
//! ```text
//! init: ends what an earlier attempt has left ─► look for the mark ─► it is there: everything was sent
//!    └─ it is not ─► begin ─► messages ─► mark ─► commit
//! ```
//!
//! The mark is an offset that the transaction commits for a consumer group of its own name: it is there if the messages are,
//! and only then. Brokers let one client at a time have a transaction of a name, so an attempt that was given up, but
//! runs on somewhere, can commit nothing any more once another has begun.
//!
//! Brokers that only seem to have transactions, as the embedded one does, would show what was never committed. So the first
//! attempt commits a mark of its own ([`BEGUN`]) before it sends anything, and looks whether it was kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond_engine::error::{Code, Error};
use millpond_engine::streams::StreamOptions;
use millpond_proto::stream::FollowTable;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::access::Access;
use super::sink::{Context, Deliveries, TopicProducer, producer_config};
use super::tokens::{Authorized, log_in};

/// Longest time from the first message to the commit, unless the table says otherwise. Brokers allow 15 minutes
/// (`transaction.max.timeout.ms`), and other readers of the topic wait as long for a transaction that nobody ends.
const TIMEOUT: Duration = Duration::from_secs(600);
/// The setting that it is.
const TIMEOUT_KEY: &str = "transaction.timeout.ms";
/// Longest time from when a message is handed to the client to when brokers acknowledge it; the transaction ends sooner or later.
const MESSAGE_TIMEOUT_KEY: &str = "message.timeout.ms";
/// Longest wait for the brokers, which first end what was left and may have to make the topic of their notes.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for their answer to anything else.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait when messages are given up; the brokers do it by themselves later.
const ABORT_TIMEOUT: Duration = Duration::from_secs(10);
/// The mark of a transaction of which nothing is sent yet. That of one that is done is one more than its messages.
const BEGUN: u64 = 0;
/// Messages themselves are far fewer.
const MARK_MAX: u64 = i64::MAX.cast_unsigned();
/// What is promised, for the client that looks for marks.
const OF_READER: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "false"),
    ("enable.auto.commit", "false"),
    ("group.protocol", "classic"),
    // An offset counts when its transaction is committed.
    ("isolation.level", "read_committed"),
];

/// A transaction by its name, with its clients. All that it does blocks.
pub(super) struct Transaction {
    name: String,
    topic: String,
    brokers: String,
    timeout: Duration,
    began: Instant,
    producer: TopicProducer,
    reader: BaseConsumer<Authorized<DefaultConsumerContext>>,
}

/// What [`Transaction::begin`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// Messages can be sent.
    Open,
    /// An earlier attempt has sent that many.
    Sent(u64),
}

impl Transaction {
    /// Clients for a transaction. Nothing is asked of the brokers yet.
    ///
    /// # Errors
    /// A setting that the Kafka client does not have.
    pub(super) fn new(
        access: &Access,
        brokers: &str,
        topic: &str,
        options: &StreamOptions,
        name: &str,
        deliveries: Arc<Deliveries>,
    ) -> Result<Self, Error> {
        let mut config = producer_config(access, brokers, options);
        if config.get(TIMEOUT_KEY).is_none() {
            config.set(TIMEOUT_KEY, TIMEOUT.as_millis().to_string());
        }
        config.set("transactional.id", name);
        let millis = |key| config.get(key).and_then(|millis| millis.parse::<u64>().ok());
        let timeout = millis(TIMEOUT_KEY);
        // The client insists on it.
        let of_message = millis(MESSAGE_TIMEOUT_KEY).min(timeout);
        if let Some(timeout) = of_message {
            config.set(MESSAGE_TIMEOUT_KEY, timeout.to_string());
        }
        let reader = reader_config(access, brokers, options, name);
        Ok(Self {
            name: name.to_string(),
            topic: topic.to_string(),
            brokers: brokers.to_string(),
            timeout: timeout.map_or(TIMEOUT, Duration::from_millis),
            began: Instant::now(),
            producer: access.client(config, Context(deliveries))?,
            reader: access.client(reader, DefaultConsumerContext)?,
        })
    }

    /// The client that its messages go through.
    pub(super) fn producer(&self) -> &TopicProducer {
        &self.producer
    }

    /// Begins, unless it is done already.
    ///
    /// # Errors
    /// Brokers that are silent, refuse it, or have no transactions.
    pub(super) fn begin(&mut self) -> Result<Begun, Error> {
        let ready = self.producer.init_transactions(BEGIN_TIMEOUT);
        ready.map_err(|error| self.refused(&error))?;
        match self.mark()? {
            Some(BEGUN) => {}
            Some(mark) => return Ok(Begun::Sent(mark - 1)),
            None => self.try_out()?,
        }
        self.start()?;
        Ok(Begun::Open)
    }

    /// Ends it: from now on there are all of its messages, which the brokers have acknowledged.
    ///
    /// # Errors
    /// As for [`Transaction::begin`]. Whether it is done is for the next attempt to find out.
    pub(super) fn commit(self, messages: u64) -> Result<(), Error> {
        let committed = self.commit_mark(messages.saturating_add(1));
        if committed.is_err() {
            self.abort();
        }
        committed
    }

    /// Gives up what was sent.
    pub(super) fn abort(&self) {
        if let Err(error) = self.producer.abort_transaction(ABORT_TIMEOUT) {
            tracing::debug!(transaction = self.name, %error, "give up a transaction");
        }
    }

    /// Commits a mark and nothing else, and looks whether it was kept.
    fn try_out(&mut self) -> Result<(), Error> {
        self.start()?;
        self.commit_mark(BEGUN)?;
        match self.mark()? {
            Some(BEGUN) => Ok(()),
            _ => Err(has_none(
                &self.brokers,
                "they acknowledged one, and did not keep what it committed",
            )),
        }
    }

    fn start(&mut self) -> Result<(), Error> {
        self.began = Instant::now();
        let begun = self.producer.begin_transaction();
        begun.map_err(|error| self.refused(&error))
    }

    fn commit_mark(&self, mark: u64) -> Result<(), Error> {
        let refused = |error| self.refused(&error);
        let mut marks = TopicPartitionList::new();
        let offset = Offset::Offset(mark.min(MARK_MAX).cast_signed());
        let added = marks.add_partition_offset(&self.topic, 0, offset);
        added.map_err(refused)?;
        let group = self.reader.group_metadata();
        let group = group.ok_or_else(|| Error::bug("a client that reads has no consumer group"))?;
        let sent = self
            .producer
            .send_offsets_to_transaction(&marks, &group, STEP_TIMEOUT);
        sent.map_err(refused)?;
        self.producer.commit_transaction(STEP_TIMEOUT).map_err(refused)
    }

    /// The mark that there is.
    fn mark(&self) -> Result<Option<u64>, Error> {
        log_in(&self.reader);
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(&self.topic, 0);
        let marks = self.reader.committed_offsets(wanted, STEP_TIMEOUT);
        let marks = marks.map_err(|error| self.refused(&error))?;
        let mark = marks.find_partition(&self.topic, 0);
        let mark = mark.ok_or_else(|| Error::bug("brokers say nothing of an offset that was asked for"))?;
        mark.error().map_err(|error| self.refused(&error))?;
        Ok(match mark.offset() {
            Offset::Offset(mark) => Some(mark.unsigned_abs()),
            _ => None,
        })
    }

    /// What to say when the brokers refuse something.
    pub(super) fn refused(&self, error: &KafkaError) -> Error {
        let late = self.began.elapsed() >= self.timeout;
        let error = refused(error, late.then_some(self.timeout), &self.brokers);
        let detail = error.detail.clone().unwrap_or_default();
        error.with_detail(format!("transaction {}: {detail}", self.name))
    }
}

/// Looks whether the brokers of a table have transactions. It blocks.
///
/// # Errors
/// They have none, or are silent.
pub(super) fn check(access: &Access, table: &FollowTable) -> Result<(), Error> {
    let options = StreamOptions::parse(&table.settings)?;
    let name = format!("millpond.{}", uuid::Uuid::new_v4().simple());
    let (brokers, topic) = (&table.brokers, &table.topic);
    let mut transaction = Transaction::new(access, brokers, topic, &options, &name, Arc::default())?;
    let begun = transaction.begin();
    transaction.abort();
    begun.map(drop)
}

fn reader_config(access: &Access, brokers: &str, options: &StreamOptions, name: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "millpond");
    access.apply(brokers, &options.client, &mut config);
    for (key, value) in OF_READER {
        config.set(*key, *value);
    }
    config.set("bootstrap.servers", brokers).set("group.id", name);
    config
}

/// An error in words; `late` is the time that the transaction had, if it is over.
fn refused(error: &KafkaError, late: Option<Duration>, brokers: &str) -> Error {
    let detail = error.to_string();
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    };
    let said = match code {
        Some(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => {
            return has_none(brokers, &detail);
        }
        Some(
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed,
        ) => Error::user(Code::TOPIC_UNKNOWN, format!("the account may not use transactions at {brokers}")).with_hint(
            "it needs Write and Describe on transactional ids, and Read on consumer groups, whose names begin with 'millpond.'",
        ),
        Some(RDKafkaErrorCode::InvalidTransactionTimeout) => {
            Error::user(Code::INVALID_SETTING, format!("the brokers at {brokers} allow no transaction as long as this"))
                .with_hint("lower the option kafka.transaction.timeout.ms, or raise transaction.max.timeout.ms of the brokers")
        }
        _ => match late {
            Some(limit) => Error::user(Code::INVALID_VALUE, format!("a transaction took longer than {limit:?}")).with_hint(
                "insert fewer rows at once, or raise the option kafka.transaction.timeout.ms, with transaction.max.timeout.ms of the brokers",
            ),
            None => Error::external(Code::BROKERS_SILENT, format!("the brokers at {brokers} do not carry out a transaction"))
                .with_hint("it is tried again when they are back"),
        },
    };
    said.with_detail(detail)
}

fn has_none(brokers: &str, detail: &str) -> Error {
    Error::user(
        Code::NOT_SUPPORTED,
        format!("the brokers at {brokers} have no transactions"),
    )
    .with_detail(detail)
    .with_hint("'sink.delivery' 'exactly_once' needs Apache Kafka, or others that keep what a transaction commits; the embedded broker does not: leave the option out")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rdkafka::mocking::MockCluster;

    use super::*;

    fn begun(servers: &str, settings: &[(&str, &str)]) -> Result<Begun, Error> {
        let settings: HashMap<String, String> = settings
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let options = StreamOptions::parse(&settings)?;
        let access = Access::default();
        Transaction::new(&access, servers, "t", &options, "millpond.x", Arc::default())?.begin()
    }

    #[test]
    fn brokers_that_forget_what_was_committed_are_refused() {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("t", 1, 1).unwrap();
        let error = begun(&mock.bootstrap_servers(), &[]).unwrap_err();
        assert_eq!(error.code, Code::NOT_SUPPORTED, "{}", error.user_text());
        assert!(error.user_text().contains("leave the option out"));
    }

    #[test]
    fn what_brokers_say_is_told_apart() {
        let of = |code, late: Option<u64>| {
            let late = late.map(Duration::from_secs);
            refused(&KafkaError::Global(code), late, "h:1").code
        };
        assert_eq!(
            of(RDKafkaErrorCode::OperationTimedOut, None),
            Code::BROKERS_SILENT
        );
        assert_eq!(
            of(RDKafkaErrorCode::InvalidProducerEpoch, Some(600)),
            Code::INVALID_VALUE
        );
        assert_eq!(
            of(RDKafkaErrorCode::UnsupportedVersion, None),
            Code::NOT_SUPPORTED
        );
        let denied = RDKafkaErrorCode::TransactionalIdAuthorizationFailed;
        assert_eq!(of(denied, None), Code::TOPIC_UNKNOWN);
    }

    #[test]
    fn the_name_and_the_reader_are_ours() {
        let options = HashMap::from([
            (
                "kafka.isolation.level".to_string(),
                "read_uncommitted".to_string(),
            ),
            ("kafka.transaction.timeout.ms".to_string(), "70000".to_string()),
        ]);
        let options = StreamOptions::parse(&options).unwrap();
        let reader = reader_config(&Access::default(), "h:1", &options, "n");
        assert_eq!(reader.get("isolation.level"), Some("read_committed"));
        assert_eq!(reader.get("group.id"), Some("n"));
        let transaction =
            Transaction::new(&Access::default(), "h:1", "t", &options, "n", Arc::default()).unwrap();
        assert_eq!(transaction.timeout, Duration::from_secs(70));
    }
}
