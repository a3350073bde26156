//! A topic as a table wants it: what both sides of a stream are made from.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use datafusion::arrow::datatypes::SchemaRef;
use millpond_engine::decode::{Decoder, Format, Schemas, Table};
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::decode_schema;
use millpond_engine::shards::LiveTable;
use millpond_engine::streams::{EventTime, StreamOptions, data_columns, fixed_columns, live_table};
use millpond_proto::stream::FollowTable;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use super::access::Access;
use super::growth::Growth;
use super::identity::{is_embedded, topic_id};
use super::letterbox::Letterbox;
use super::registry::Registry;
use super::sink::producer_config;
use super::tokens::Authorized;

/// Longest wait for an answer of the brokers.
pub(super) const BROKER_TIMEOUT: Duration = Duration::from_secs(8);
/// How soon they are asked again, if they will know in a moment.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// What is set unless the table says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "millpond"),
    // A full queue is emptied in a fraction of the second that the client would wait before it fetches more.
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.wait.max.ms", "100"),
    ("isolation.level", "read_committed"),
    // Of each topic partition; the client's own default is four times as much.
    ("queued.max.messages.kbytes", "16384"),
    ("reconnect.backoff.max.ms", "2000"),
    ("socket.nagle.disable", "true"),
    ("topic.metadata.refresh.interval.ms", "30000"),
];
/// What the table depends on: positions are its own, and a lost one is an error and no jump.
const FIXED: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "false"),
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("statistics.interval.ms", "500"),
];

/// See the module.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) table_id: String,
    pub(super) name: String,
    pub(super) topic: String,
    pub(super) brokers: String,
    /// What its live shards must know, with the columns of the table.
    pub(super) live: Arc<LiveTable>,
    pub(super) event_time: Option<EventTime>,
    pub(super) options: StreamOptions,
    pub(super) partition_count: usize,
    /// The version of the catalog that was the first to say so here; 0: it is not followed.
    pub(super) version: u64,
    access: Access,
    pub(super) format: Format,
    /// The schemas of its messages, if a registry has them.
    pub(super) registry: Option<Arc<Registry>>,
    /// If the table gets the columns of newer schemas.
    growth: Option<Arc<Growth>>,
    table: Table,
    letterbox: OnceLock<Letterbox>,
    /// Whether its brokers are the embedded one, which has no identifiers.
    is_embedded: OnceLock<bool>,
}

impl Source {
    /// Reads what was asked for. It is called in a runtime.
    ///
    /// # Errors
    /// Options that make no sense.
    pub(super) fn new(asked: &FollowTable, access: &Access) -> Result<Self, Error> {
        let options = StreamOptions::parse(&asked.settings)?;
        let schema = decode_schema(&asked.arrow_schema).map_err(Error::from_datafusion)?;
        let format = Format::parse(&asked.settings).map_err(unfit)?;
        let key: Vec<usize> = asked.key.iter().map(|column| *column as usize).collect();
        let of_each = |bytes: u64| bytes as usize / asked.partition_count.max(1) as usize;
        let live = Arc::new(LiveTable {
            bytes_max: options.retention_bytes.map(of_each),
            ..live_table(&asked.name, &schema, &key, &options)?
        });
        let registry = format
            .registry()
            .map(|url| Arc::new(Registry::new(url, access.registry())));
        let columns = data_columns(&schema, &options.metadata);
        let growth = registry.as_ref().filter(|_| options.evolves).map(|registry| {
            let fixed = fixed_columns(&columns, &key, &options);
            Arc::new(Growth::new(
                registry.clone(),
                format.clone(),
                columns.clone(),
                fixed,
            ))
        });
        Ok(Self {
            table_id: asked.table_id.clone(),
            name: asked.name.clone(),
            topic: asked.topic.clone(),
            brokers: asked.brokers.clone(),
            registry,
            growth,
            format,
            table: Table {
                schema: columns,
                key: key.clone(),
            },
            event_time: EventTime::of(&options, &live.schema)?,
            live,
            options,
            partition_count: asked.partition_count as usize,
            version: 0,
            access: access.clone(),
            letterbox: OnceLock::new(),
            is_embedded: OnceLock::new(),
        })
    }

    /// The same, as a version of the catalog says that it is followed.
    pub(super) fn followed_since(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// The columns that the table should get, because its messages have them.
    pub(super) fn wanted_columns(&self) -> Option<SchemaRef> {
        self.growth.as_ref()?.wanted()
    }

    /// Columns of the primary key, by their place.
    pub(super) fn key(&self) -> &[usize] {
        &self.table.key
    }

    /// Columns that messages fill.
    pub(super) fn data_schema(&self) -> &SchemaRef {
        &self.table.schema
    }

    /// A decoder of its messages. In front of one whose schema has more columns than a table that grows, it waits for them.
    ///
    /// # Errors
    /// A table that messages of the format cannot fill.
    pub(super) fn decoder(&self) -> Result<Decoder, Error> {
        match &self.growth {
            Some(growth) => self.decoder_with(Some(growth.clone())),
            None => self.sampling_decoder(),
        }
    }

    /// A decoder for a look at messages: it never waits for columns.
    ///
    /// # Errors
    /// As for [`Source::decoder`].
    pub(super) fn sampling_decoder(&self) -> Result<Decoder, Error> {
        let registry = self.registry.clone().filter(|_| self.format.reads_by_schema());
        self.decoder_with(registry.map(|registry| registry as Arc<dyn Schemas>))
    }

    fn decoder_with(&self, schemas: Option<Arc<dyn Schemas>>) -> Result<Decoder, Error> {
        let decoder = match schemas {
            Some(schemas) => Decoder::with_schemas(&self.format, &self.table, schemas),
            None => Decoder::new(&self.format, &self.table),
        };
        let decoder = decoder.map_err(unfit)?;
        Ok(match self.partition_count {
            0 | 1 => decoder,
            _ => decoder.without_truncate(),
        })
    }

    /// A client that reads nothing yet. It connects when it is asked for something.
    ///
    /// # Errors
    /// A setting that the Kafka client does not have.
    pub(super) fn consumer<C: ConsumerContext>(
        &self,
        context: C,
    ) -> Result<BaseConsumer<Authorized<C>>, Error> {
        let mut config = ClientConfig::new();
        for (key, value) in DEFAULTS {
            config.set(*key, *value);
        }
        self.access
            .apply(&self.brokers, &self.options.client, &mut config);
        for (key, value) in FIXED {
            config.set(*key, *value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", self.access.group(&self.name));
        self.access.client(config, context)
    }

    /// The topic of dead letters, if the table names one. Its client is made when the first letter comes.
    ///
    /// # Errors
    /// A setting that the Kafka client does not have.
    pub(super) fn letterbox(&self) -> Result<Option<&Letterbox>, Error> {
        let Some(topic) = &self.options.dead_letters_topic else {
            return Ok(None);
        };
        if let Some(letterbox) = self.letterbox.get() {
            return Ok(Some(letterbox));
        }
        let config = producer_config(&self.access, &self.brokers, &self.options);
        let letterbox = Letterbox::new(&self.name, &self.topic, topic, config, &self.access)?;
        Ok(Some(self.letterbox.get_or_init(|| letterbox)))
    }

    /// Looks whether dead letters can go where the table says.
    ///
    /// # Errors
    /// The table's own topic, and one that is not there.
    pub(super) fn check_letterbox<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
    ) -> Result<(), Error> {
        let Some(letters) = &self.options.dead_letters_topic else {
            return Ok(());
        };
        if *letters == self.topic {
            return Err(unfit(format!(
                "'dead_letters.topic' is '{letters}', which the table follows"
            ))
            .with_hint("name another topic"));
        }
        self.partitions_of(letters, consumer).map(drop)
    }

    /// The numbers of all topic partitions.
    ///
    /// # Errors
    /// No broker answers, or they have no such topic.
    pub(super) fn partitions<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
    ) -> Result<Vec<u32>, Error> {
        self.partitions_of(&self.topic, consumer)
    }

    fn partitions_of<C: ConsumerContext>(
        &self,
        topic_name: &str,
        consumer: &BaseConsumer<C>,
    ) -> Result<Vec<u32>, Error> {
        let metadata = self.ask(|| {
            let metadata = consumer.fetch_metadata(Some(topic_name), BROKER_TIMEOUT)?;
            let error = metadata.topics().first().and_then(|topic| topic.error());
            match error.map(RDKafkaErrorCode::from) {
                Some(code @ RDKafkaErrorCode::LeaderNotAvailable) => Err(KafkaError::MetadataFetch(code)),
                _ => Ok(metadata),
            }
        })?;
        let topic = metadata.topics().first();
        let reason = topic.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from);
        if let Some(reason) = reason {
            return Err(self.unknown_topic(topic_name, &reason.to_string()));
        }
        let partitions = topic.map_or(&[][..], |topic| topic.partitions());
        let mut numbers: Vec<u32> = partitions
            .iter()
            .filter_map(|partition| partition.id().try_into().ok())
            .collect();
        numbers.sort_unstable();
        match numbers.is_empty() {
            true => Err(self.unknown_topic(topic_name, "it has no partitions")),
            false => Ok(numbers),
        }
    }

    /// Offsets of the oldest message of a topic partition, and after the newest.
    ///
    /// # Errors
    /// No broker answers, or the one that does is not its leader: see [`Source::ask`].
    pub(super) fn range<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        partition: u32,
    ) -> KafkaResult<(u64, u64)> {
        let range = consumer.fetch_watermarks(&self.topic, partition.cast_signed(), BROKER_TIMEOUT);
        let (low, high) = range?;
        Ok((low.max(0).cast_unsigned(), high.max(0).cast_unsigned()))
    }

    /// The identifier of the topic; `None` if brokers do not answer or have none. It blocks.
    pub(super) fn topic_id<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> Option<String> {
        match self.is_embedded.get_or_init(|| is_embedded(consumer)) {
            true => None,
            false => topic_id(consumer, &self.topic),
        }
    }

    /// Asks the brokers, for a while also as long as they say that they do not know yet: a topic partition that was just
    /// made, or moves, has no leader for a moment. It blocks.
    ///
    /// # Errors
    /// What they say in the end.
    pub(super) fn ask<T>(&self, question: impl Fn() -> KafkaResult<T>) -> Result<T, Error> {
        let deadline = Instant::now() + BROKER_TIMEOUT;
        loop {
            match question() {
                Err(error) if passes(&error) && Instant::now() < deadline => std::thread::sleep(ASK_PAUSE),
                answer => return answer.map_err(|error| self.silent(&error)),
            }
        }
    }

    /// What to say when brokers do not answer.
    pub(super) fn silent(&self, error: &KafkaError) -> Error {
        Error::external(
            Code::BROKERS_SILENT,
            format!(
                "no broker at {} answers about topic '{}'",
                self.brokers, self.topic
            ),
        )
        .with_detail(error.to_string())
        .with_hint("executors must reach the brokers, also at the addresses that these advertise")
    }

    pub(super) fn unknown(&self, reason: &str) -> Error {
        self.unknown_topic(&self.topic, reason)
    }

    fn unknown_topic(&self, topic: &str, reason: &str) -> Error {
        Error::external(
            Code::TOPIC_UNKNOWN,
            format!("topic '{topic}' at {} cannot be used", self.brokers),
        )
        .with_detail(reason)
        .with_hint("create the topic first, or look at its name and at the rights of the account")
    }
}

/// True for what brokers say of a topic partition whose leader they do not know yet, or not any more.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::ReplicaNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownLeaderEpoch
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::OffsetNotAvailable
        )
    )
}

pub(super) fn unfit(reason: String) -> Error {
    Error::user(Code::INVALID_SETTING, reason)
}
