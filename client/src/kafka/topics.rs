//! Topics are made and listed.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::client::{ANSWER_TIMEOUT, Brokers};
use crate::error::Error;

/// Flags of `millpond topic create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// The topic
    topic: String,
    /// Its partitions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Brokers that keep each partition
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    replication: i32,
    #[command(flatten)]
    brokers: Brokers,
}

/// Flags of `millpond topic list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    brokers: Brokers,
}

/// Runs `millpond topic create`.
///
/// # Errors
/// Brokers that do not answer, or refuse it.
pub async fn create(args: &CreateArgs) -> Result<(), Error> {
    let failed = |error| args.brokers.failed("cannot create a topic", &error);
    let mut config = args.brokers.config()?;
    config.set("socket.timeout.ms", "10000");
    let admin: AdminClient<DefaultClientContext> = config.create().map_err(failed)?;
    let topic = NewTopic::new(
        &args.topic,
        args.partitions,
        TopicReplication::Fixed(args.replication),
    );
    let options = AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT));
    let made = admin.create_topics([&topic], &options).await.map_err(|error| {
        Error::Node(format!(
            "the brokers at {} make no topic: {error}\nhint: the embedded broker cannot be asked to; it makes a topic \
             of 4 partitions when the first message is sent",
            args.brokers.brokers
        ))
    })?;
    for outcome in made {
        outcome.map_err(|(topic, code)| Error::Node(format!("topic '{topic}' was not made: {code}")))?;
    }
    eprintln!("topic {} with {} partitions", args.topic, args.partitions);
    Ok(())
}

/// Runs `millpond topic list`: name, partitions and messages of each topic. It blocks.
///
/// # Errors
/// Brokers that do not answer.
pub fn list(args: &ListArgs) -> Result<Vec<(String, usize, u64)>, Error> {
    let failed = |error| args.brokers.failed("cannot list topics", &error);
    let consumer: BaseConsumer = args.brokers.config()?.create().map_err(failed)?;
    let metadata = consumer.fetch_metadata(None, ANSWER_TIMEOUT).map_err(failed)?;
    let mut listed = Vec::new();
    for topic in metadata
        .topics()
        .iter()
        .filter(|topic| !topic.name().starts_with("__"))
    {
        let mut messages = 0;
        for partition in topic.partitions() {
            let range = consumer.fetch_watermarks(topic.name(), partition.id(), ANSWER_TIMEOUT);
            let (low, high) = range.map_err(failed)?;
            messages += (high - low).max(0).cast_unsigned();
        }
        listed.push((topic.name().to_string(), topic.partitions().len(), messages));
    }
    listed.sort();
    Ok(listed)
}

/// Numbers of the partitions of a topic.
///
/// # Errors
/// Brokers that do not answer, or have no such topic.
pub(super) fn partitions_of(
    consumer: &BaseConsumer,
    brokers: &Brokers,
    topic: &str,
) -> Result<Vec<i32>, Error> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT);
    let metadata = metadata.map_err(|error| brokers.failed("cannot read", &error))?;
    let found = metadata.topics().first().filter(|topic| topic.error().is_none());
    let numbers: Vec<i32> = found.map_or_else(Vec::new, |topic| {
        topic.partitions().iter().map(|each| each.id()).collect()
    });
    match numbers.is_empty() {
        true => Err(Error::Node(format!(
            "there is no topic '{topic}' at {}\nhint: millpond topic list shows those there are",
            brokers.brokers
        ))),
        false => Ok(numbers),
    }
}
