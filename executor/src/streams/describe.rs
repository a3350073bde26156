//! A look at a topic before a table is made of it: is it there, where does the table begin, do its messages fit.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use millpond_engine::decode::{Decoder, Message, Outcome, Rejected};
use millpond_engine::error::{Code, Error};
use millpond_engine::streams::Startup;
use millpond_proto::stream::TopicDescription;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::framed::Framed;
use super::identity::is_embedded;
use super::source::{BROKER_TIMEOUT, Source, unfit};
use super::tokens::{Authorized, log_in};
use super::watch::Watch;

/// Messages that are looked at.
const SAMPLE: usize = 20;
/// Longest look at messages.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(2);
/// What the client may say on the side at once.
const COMPLAINTS: usize = 10;
/// Longest wait for a schema.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(4);

type Plain = BaseConsumer<Authorized<Watch>>;

/// A topic that was looked at.
pub(super) struct Opened {
    /// A client that reads nothing yet.
    pub(super) consumer: Plain,
    /// Offsets of the oldest message and after the newest, by topic partition.
    pub(super) ranges: Vec<(u64, u64)>,
    /// Where the table begins in each.
    pub(super) starts: Vec<u64>,
}

/// Looks at the topic of a table. It blocks.
///
/// # Errors
/// Brokers that do not answer, a topic or an offset that is not there, messages of which none fits.
pub(super) fn describe(source: &Source) -> Result<TopicDescription, Error> {
    source.sampling_decoder()?;
    check_evolves(source)?;
    let topic = open(source)?;
    source.check_letterbox(&topic.consumer)?;
    look(source, &topic)?;
    Ok(TopicDescription {
        starts: topic.starts,
        ..TopicDescription::default()
    })
}

/// Columns of newer schemas come to light only where schemas are.
fn check_evolves(source: &Source) -> Result<(), Error> {
    if !source.options.evolves || source.registry.is_some() {
        return Ok(());
    }
    let refused = "'schema.evolve' is for messages whose schemas are in a registry".to_string();
    Err(unfit(refused).with_hint(
        "name it: 'format.registry'; or leave it out, ALTER TABLE ... ADD COLUMN gives the table a column",
    ))
}

/// Asks the brokers about a topic.
///
/// # Errors
/// Brokers that do not answer, a topic or an offset that is not there.
pub(super) fn open(source: &Source) -> Result<Opened, Error> {
    let consumer: Plain = source.consumer(Watch::default())?;
    log_in(&consumer);
    let partitions = source
        .partitions(&consumer)
        .map_err(|error| explained(error, &consumer))?;
    let mut ranges = Vec::with_capacity(partitions.len());
    for partition in &partitions {
        ranges.push(source.ask(|| source.range(&consumer, *partition))?);
    }
    let starts = starts(source, &consumer, &ranges)?;
    Ok(Opened {
        consumer,
        ranges,
        starts,
    })
}

/// Why brokers are silent the client says on the side, with the messages: a password that is refused, a certificate.
fn explained(error: Error, consumer: &Plain) -> Error {
    for _ in 0..COMPLAINTS {
        drop(consumer.poll(Duration::from_millis(10)));
    }
    match consumer.context().take().complaint {
        Some(complaint) if error.code == Code::BROKERS_SILENT => error.with_detail(complaint),
        _ => error,
    }
}

/// Where the table begins in each topic partition.
fn starts(source: &Source, consumer: &Plain, ranges: &[(u64, u64)]) -> Result<Vec<u64>, Error> {
    match &source.options.startup {
        Startup::Earliest => Ok(ranges.iter().map(|(low, _)| *low).collect()),
        Startup::Latest => Ok(ranges.iter().map(|(_, high)| *high).collect()),
        Startup::Offsets(offsets) => at_offsets(source, offsets, ranges),
        Startup::Timestamp(time) => at_time(source, consumer, *time, ranges),
    }
}

fn at_offsets(
    source: &Source,
    offsets: &HashMap<u32, u64>,
    ranges: &[(u64, u64)],
) -> Result<Vec<u64>, Error> {
    if let Some(partition) = offsets.keys().find(|number| **number as usize >= ranges.len()) {
        return Err(source.unknown(&format!(
            "scan.startup names topic partition {partition}, but there are {}",
            ranges.len()
        )));
    }
    let start = |(number, (low, high)): (usize, &(u64, u64))| match offsets.get(&(number as u32)) {
        None => Ok(*low),
        Some(offset) if (*low..=*high).contains(offset) => Ok(*offset),
        Some(offset) => Err(source.unknown(&format!(
            "topic partition {number} has offsets {low} to {high}, and scan.startup says {offset}"
        ))),
    };
    ranges.iter().enumerate().map(start).collect()
}

fn at_time(source: &Source, consumer: &Plain, time: i64, ranges: &[(u64, u64)]) -> Result<Vec<u64>, Error> {
    let mut wanted = TopicPartitionList::new();
    for number in 0..ranges.len() {
        let added = wanted.add_partition_offset(&source.topic, number as i32, Offset::Offset(time));
        added.map_err(|error| source.silent(&error))?;
    }
    let found = source.ask(|| {
        let found = consumer.offsets_for_times(wanted.clone(), BROKER_TIMEOUT)?;
        found.elements().iter().try_for_each(|entry| entry.error())?;
        Ok(found)
    })?;
    let start = |(number, (low, high)): (usize, &(u64, u64))| {
        let entry = found.find_partition(&source.topic, number as i32);
        match entry.map(|entry| entry.offset()) {
            Some(Offset::Offset(offset)) if offset >= 0 => Ok(offset.cast_unsigned()),
            // No message is as late as that, or so the embedded broker says of any time.
            Some(Offset::End) if low == high || !is_embedded(consumer) => Ok(*high),
            Some(Offset::End) => Err(Error::user(
                Code::NOT_SUPPORTED,
                "the embedded broker does not find offsets by time, so 'scan.startup' cannot be a timestamp",
            )
            .with_hint("name offsets instead, or use an Apache Kafka")),
            _ => Err(source.unknown(&format!(
                "topic partition {number} does not tell its offsets by time"
            ))),
        }
    };
    ranges.iter().enumerate().map(start).collect()
}

/// Has a client read from where the table begins; false if there are no messages.
///
/// # Errors
/// The client refuses.
pub(super) fn seek(source: &Source, topic: &Opened) -> Result<bool, Error> {
    let mut filled = TopicPartitionList::new();
    for (number, (range, start)) in topic.ranges.iter().zip(&topic.starts).enumerate() {
        if *start < range.1 {
            let added = filled.add_partition_offset(
                &source.topic,
                number as i32,
                Offset::Offset(start.cast_signed()),
            );
            added.map_err(|error| source.silent(&error))?;
        }
    }
    if filled.count() == 0 {
        return Ok(false);
    }
    let assigned = topic.consumer.assign(&filled);
    assigned.map_err(|error| source.silent(&error))?;
    Ok(true)
}

/// Decodes a message; a registry that is slow is not one that is silent.
pub(super) fn push_patiently<'m>(
    decoder: &mut Decoder,
    message: impl Fn() -> Message<'m>,
) -> Result<Outcome, Rejected> {
    let deadline = Instant::now() + REGISTRY_TIMEOUT;
    loop {
        match decoder.push(message()) {
            Err(rejected) if rejected.reason().passes() => {
                while decoder.retry().is_err() {
                    if Instant::now() >= deadline {
                        return Err(rejected);
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
            ended => return ended,
        }
    }
}

/// What to say of a message whose schema cannot be had now.
pub(super) fn no_schemas(topic: &str, rejected: &Rejected) -> Error {
    let what = format!("the schemas of topic '{topic}' cannot be read");
    Error::external(Code::REGISTRY_SILENT, what).with_detail(rejected.detail())
}

/// Decodes the first messages. A topic without messages says nothing, and is fine.
fn look(source: &Source, topic: &Opened) -> Result<(), Error> {
    if !seek(source, topic)? {
        return Ok(());
    }
    let mut decoder = source.sampling_decoder()?;
    let mut first: Option<(i32, i64, Rejected)> = None;
    let deadline = Instant::now() + SAMPLE_TIMEOUT;
    let mut seen = 0;
    while seen < SAMPLE && Instant::now() < deadline {
        let Some(Ok(message)) = topic.consumer.poll(Duration::from_millis(50)) else {
            continue;
        };
        seen += 1;
        let framed = Framed::of(&message, decoder.heeds_frames());
        match push_patiently(&mut decoder, || framed.message()) {
            Ok(_) => return Ok(()),
            Err(rejected) if rejected.reason().passes() => {
                let error = no_schemas(&source.topic, &rejected);
                return Err(error.with_hint("executors must reach the registry in 'format.registry'"));
            }
            Err(rejected) => {
                first.get_or_insert((message.partition(), message.offset(), rejected));
            }
        }
    }
    let Some((partition, offset, rejected)) = first else {
        return Ok(());
    };
    Err(Error::user(
        Code::MESSAGES_UNREADABLE,
        format!(
            "none of the first {seen} messages of topic '{}' fits the table: offset {offset} of topic partition {partition}: {rejected}",
            source.topic
        ),
    )
    .with_hint("compare the option 'format' and the columns with a message, or begin later with scan.startup"))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use millpond_engine::schema::encode_schema;
    use millpond_proto::stream::FollowTable;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::super::access::Access;
    use super::*;

    /// A table over a topic of brokers that answer the next questions of a kind with an error.
    fn start_of(startup: &str, asked: RDKafkaApiKey, error: RDKafkaRespErr) -> Result<Vec<u64>, Error> {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("t", 2, 1).unwrap();
        let columns = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
        let table = FollowTable {
            brokers: mock.bootstrap_servers(),
            topic: "t".to_string(),
            arrow_schema: encode_schema(&columns).unwrap(),
            settings: HashMap::from([
                ("format".to_string(), "json".to_string()),
                ("scan.startup".to_string(), startup.to_string()),
            ]),
            ..FollowTable::default()
        };
        let source = Source::new(&table, &Access::default()).unwrap();
        mock.request_errors(asked, &[error; 3]);
        open(&source).map(|opened| opened.starts)
    }

    #[test]
    fn a_leader_that_is_not_known_yet_is_waited_for() {
        let not_leader = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
        for startup in ["earliest", "latest", "timestamp:2026-01-01T00:00:00Z"] {
            let starts = start_of(startup, RDKafkaApiKey::ListOffsets, not_leader);
            assert_eq!(starts.unwrap(), [0, 0], "{startup}");
        }
    }

    #[test]
    fn what_does_not_pass_is_said_at_once() {
        let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        let began = Instant::now();
        let error = start_of("earliest", RDKafkaApiKey::ListOffsets, denied).unwrap_err();
        assert_eq!(error.code, Code::BROKERS_SILENT, "{}", error.user_text());
        assert!(began.elapsed() < BROKER_TIMEOUT);
    }
}
