//! Kafka brokers for tests: one inside the test, or the real ones that `MILLPOND_TEST_KAFKA` names.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// Address of real brokers, if tests are to use them.
const REAL: &str = "MILLPOND_TEST_KAFKA";
/// Folder that says how to stop them: `pid` is the process, and while there is `hold` it does not start again.
const CONTROL: &str = "MILLPOND_TEST_KAFKA_CONTROL";
/// Longest wait for messages to be taken.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest wait for real brokers to start again.
const REVIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// Brokers, with a producer.
pub struct Broker {
    mock: Option<MockCluster<'static, DefaultProducerContext>>,
    servers: String,
    producer: BaseProducer,
    /// Messages so far by topic and partition.
    sent: Mutex<HashMap<(String, i32), u64>>,
}

type DefaultProducerContext = rdkafka::producer::DefaultProducerContext;

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Starts brokers, or connects to the real ones.
    ///
    /// # Errors
    /// There are none.
    pub fn start() -> Result<Self> {
        let (mock, servers) = match std::env::var(REAL) {
            Ok(servers) => (None, servers),
            Err(_) => {
                let mock = MockCluster::new(1).map_err(|error| anyhow!("{error}"))?;
                let servers = mock.bootstrap_servers();
                (Some(mock), servers)
            }
        };
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &servers)
            // Else messages could change places when some are sent again, and be there twice.
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("reconnect.backoff.max.ms", "500")
            .set("queue.buffering.max.messages", "2000000")
            .create()?;
        Ok(Self {
            mock,
            servers,
            producer,
            sent: Mutex::default(),
        })
    }

    /// True if it is a real one.
    pub fn is_real(&self) -> bool {
        self.mock.is_none()
    }

    /// `HOST:PORT` of the brokers.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Stops real brokers as a crash would, until [`Self::revive`].
    ///
    /// # Errors
    /// Nobody can stop them.
    pub fn crash(&self) -> Result<()> {
        self.flush()?;
        let control = control()?;
        std::fs::write(control.join("hold"), "")?;
        let pid = std::fs::read_to_string(control.join("pid"))?;
        let status = Command::new("kill").args(["-9", pid.trim()]).status()?;
        ensure!(status.success(), "kill the broker {pid}: {status}");
        Ok(())
    }

    /// Starts them again, with the messages that they had.
    ///
    /// # Errors
    /// They do not start.
    pub async fn revive(&self) -> Result<()> {
        std::fs::remove_file(control()?.join("hold"))?;
        let deadline = Instant::now() + REVIVE_TIMEOUT;
        while tokio::net::TcpStream::connect(&self.servers).await.is_err() {
            ensure!(Instant::now() < deadline, "the broker does not start again");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Makes a topic with a name of its own that starts with `name`.
    ///
    /// # Errors
    /// The brokers refuse it.
    pub async fn topic(&self, name: &str, partitions: i32) -> Result<String> {
        let topic = format!("{name}-{:08x}", rand::random::<u32>());
        match &self.mock {
            Some(mock) => mock
                .create_topic(&topic, partitions, 1)
                .map_err(|error| anyhow!("{error}"))?,
            None => {
                let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
                    .set("bootstrap.servers", &self.servers)
                    .create()?;
                let new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
                let made = admin.create_topics([&new], &AdminOptions::new()).await?;
                made.into_iter()
                    .next()
                    .context("no answer")?
                    .map_err(|(_, code)| anyhow!("{code}"))?;
            }
        }
        Ok(topic)
    }

    /// Deletes a topic and makes another with the same name, which has no messages. The one inside the test cannot.
    ///
    /// # Errors
    /// The brokers refuse it.
    pub async fn make_anew(&self, topic: &str, partitions: i32) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .create()?;
        for deleted in admin.delete_topics(&[topic], &AdminOptions::new()).await? {
            deleted.map_err(|(_, code)| anyhow!("{code}"))?;
        }
        self.sent.lock().retain(|(name, _), _| name != topic);
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        loop {
            let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
            let made = admin.create_topics([&new], &AdminOptions::new()).await?;
            match made.into_iter().next().context("no answer")? {
                Ok(_) => return Ok(()),
                // What was deleted is there for a moment yet.
                Err((_, code)) => ensure!(Instant::now() < deadline, "{code}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Gives a topic more partitions, so that there are so many. The one inside the test cannot.
    ///
    /// # Errors
    /// The brokers refuse it.
    pub async fn grow(&self, topic: &str, partitions: usize) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .create()?;
        let new = NewPartitions::new(topic, partitions);
        let made = admin.create_partitions([&new], &AdminOptions::new()).await?;
        made.into_iter()
            .next()
            .context("no answer")?
            .map_err(|(_, code)| anyhow!("{code}"))?;
        // Its producer must know of them.
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        loop {
            let metadata = self
                .producer
                .client()
                .fetch_metadata(Some(topic), FLUSH_TIMEOUT)?;
            let known = metadata.topics().first();
            if known.is_some_and(|known| known.partitions().len() == partitions) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the topic does not grow");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// It cannot be taken.
    pub fn send(&self, topic: &str, partition: i32, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
        record.key = key;
        record.payload = value;
        self.produce(record)
    }

    /// Sends a message with headers and without a key, and waits until it is taken.
    ///
    /// # Errors
    /// It cannot be taken.
    pub fn say_with(
        &self,
        topic: &str,
        value: impl AsRef<[u8]>,
        headers: &[(&str, impl AsRef<[u8]>)],
    ) -> Result<()> {
        let mut owned = OwnedHeaders::new();
        for (key, value) in headers {
            owned = owned.insert(Header {
                key,
                value: Some(value.as_ref()),
            });
        }
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(0);
        self.produce(record.payload(value.as_ref()).headers(owned))?;
        self.flush()
    }

    fn produce(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
        let place = (record.topic.to_string(), record.partition.unwrap_or_default());
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                    record = unsent;
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        *self.sent.lock().entry(place).or_default() += 1;
        Ok(())
    }

    /// Waits until all messages are taken.
    ///
    /// # Errors
    /// It takes too long.
    pub fn flush(&self) -> Result<()> {
        Ok(self.producer.flush(FLUSH_TIMEOUT)?)
    }

    /// Sends a message without a key and waits until it is taken.
    ///
    /// # Errors
    /// It cannot be taken.
    pub fn say(&self, topic: &str, partition: i32, value: &str) -> Result<()> {
        self.send(topic, partition, None, Some(value.as_bytes()))?;
        self.flush()
    }

    /// The offsets after all messages that were sent, as `WAIT FOR TABLE` wants them.
    pub fn offsets(&self, topic: &str) -> String {
        let sent = self.sent.lock();
        let of_topic = sent.iter().filter(|((name, _), _)| name == topic);
        let pairs: Vec<String> = of_topic
            .map(|((_, number), count)| format!("{number}:{count}"))
            .collect();
        match pairs.is_empty() {
            true => "0:0".to_string(),
            false => pairs.join(","),
        }
    }

    /// The values of all messages of a topic; with `committed` only those of transactions that were committed.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn values(&self, topic: &str, partitions: i32, committed: bool) -> Result<Vec<String>> {
        let isolation = if committed {
            "read_committed"
        } else {
            "read_uncommitted"
        };
        let reader: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .set("group.id", "values")
            .set("enable.partition.eof", "true")
            .set("isolation.level", isolation)
            .create()?;
        let mut places = TopicPartitionList::new();
        for number in 0..partitions {
            places.add_partition_offset(topic, number, Offset::Beginning)?;
        }
        reader.assign(&places)?;
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let (mut values, mut ended) = (Vec::new(), 0);
        while ended < partitions {
            ensure!(Instant::now() < deadline, "the end of {topic} does not come");
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let value = message.payload().unwrap_or_default();
                    values.push(String::from_utf8_lossy(value).into_owned());
                }
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => return Err(error.into()),
                None => {}
            }
        }
        Ok(values)
    }

    /// Makes the brokers forget all messages of a topic that were sent so far.
    ///
    /// # Errors
    /// They do not.
    pub async fn forget(&self, topic: &str) -> Result<()> {
        let sent: Vec<(i32, u64)> = {
            let sent = self.sent.lock();
            let of_topic = sent.iter().filter(|((name, _), _)| name == topic);
            of_topic.map(|((_, number), count)| (*number, *count)).collect()
        };
        if self.is_real() {
            let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
                .set("bootstrap.servers", &self.servers)
                .create()?;
            let mut offsets = TopicPartitionList::new();
            for (number, count) in sent {
                offsets.add_partition_offset(topic, number, Offset::Offset(count as i64))?;
            }
            admin.delete_records(&offsets, &AdminOptions::new()).await?;
            return Ok(());
        }
        // The one inside the test keeps 5 MiB of each topic partition. These messages are about no row.
        let large = format!(r#"{{"op":"delete","id":-1,"filler":"{}"}}"#, "x".repeat(100_000));
        for _ in 0..6 {
            for (number, _) in &sent {
                (0..10).try_for_each(|_| self.send(topic, *number, None, Some(large.as_bytes())))?;
            }
            self.flush()?;
            // Whoever follows the topic must read them before they are forgotten in their turn.
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        Ok(())
    }
}

fn control() -> Result<PathBuf> {
    let folder = std::env::var_os(CONTROL).context(CONTROL)?;
    Ok(folder.into())
}
