//! The messages of a topic, shown: one JSON object a line. Binary ones need a format with a schema to become rows
//! ([`decoded`](super::decoded)).

use std::collections::HashSet;
use std::io::Write;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::client::{ANSWER_TIMEOUT, Brokers};
use super::decoded::{FormatArgs, Rows};
use super::topics::partitions_of;
use crate::error::Error;
use crate::terminal::note;

/// Flags of `millpond topic consume`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The topic
    topic: String,
    /// Where to begin
    #[arg(long, value_enum, default_value = "earliest")]
    from: Start,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Wait for new messages at the end of the topic
    #[arg(short, long)]
    follow: bool,
    /// Only the values, without where they were
    #[arg(long)]
    values: bool,
    #[command(flatten)]
    brokers: Brokers,
    #[command(flatten)]
    format: FormatArgs,
}

/// Where to begin in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Start {
    /// With the oldest message
    Earliest,
    /// With the next one
    Latest,
}

/// Runs the command. It blocks until it has shown what there is, or for ever with `--follow`.
///
/// # Errors
/// Brokers that do not answer, no such topic, an output that is closed, a format without a schema.
pub fn run(args: &Args) -> Result<(), Error> {
    let rows = args.format.open(&args.topic)?;
    let mut config = args.brokers.config()?;
    config
        .set("group.id", "millpond-topic")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest");
    let failed = |error: KafkaError| args.brokers.failed("cannot read", &error);
    let consumer: BaseConsumer = config.create().map_err(failed)?;
    let partitions = partitions_of(&consumer, &args.brokers, &args.topic)?;
    let mut wanted = TopicPartitionList::new();
    for number in &partitions {
        let offset = match args.from {
            Start::Earliest => Offset::Beginning,
            Start::Latest => {
                let range = consumer.fetch_watermarks(&args.topic, *number, ANSWER_TIMEOUT);
                Offset::Offset(range.map_err(failed)?.1)
            }
        };
        wanted
            .add_partition_offset(&args.topic, *number, offset)
            .map_err(failed)?;
    }
    consumer.assign(&wanted).map_err(failed)?;
    show(args, &consumer, partitions.len(), rows)
}

fn show(
    args: &Args,
    consumer: &BaseConsumer,
    partitions: usize,
    mut rows: Option<Rows>,
) -> Result<(), Error> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let closed = |source| Error::Output {
        target: "standard output".to_string(),
        source,
    };
    // One that is written to meanwhile comes to its end again and again.
    let (mut count, mut at_end) = (0, HashSet::new());
    let mut answered_at = Instant::now();
    while args.count.is_none_or(|most| count < most) && (args.follow || at_end.len() < partitions) {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let value = match &mut rows {
                    Some(rows) => rows.of(&message)?,
                    None => shown(message.payload()),
                };
                writeln!(out, "{}", line_of(args, &message, value)).map_err(closed)?;
                count += 1;
                answered_at = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                at_end.insert(partition);
                answered_at = Instant::now();
                out.flush().map_err(closed)?;
            }
            // It tries on by itself.
            Some(Err(error)) => note(&error.to_string()),
            None => {
                out.flush().map_err(closed)?;
                if !args.follow && answered_at.elapsed() > ANSWER_TIMEOUT {
                    return Err(Error::Node(format!(
                        "the brokers at {} do not answer any more",
                        args.brokers.brokers
                    )));
                }
            }
        }
    }
    out.flush().map_err(closed)
}

/// A message with where it was.
#[derive(Serialize)]
struct Line {
    key: Box<RawValue>,
    offset: i64,
    partition: i32,
    timestamp_ms: Option<i64>,
    value: Box<RawValue>,
}

fn line_of(args: &Args, message: &BorrowedMessage<'_>, value: Box<RawValue>) -> String {
    if args.values {
        // A text is shown without quotes.
        let text = serde_json::from_str::<String>(value.get());
        return text.unwrap_or_else(|_| value.get().to_string());
    }
    let line = Line {
        key: shown(message.key()),
        offset: message.offset(),
        partition: message.partition(),
        timestamp_ms: message.timestamp().to_millis(),
        value,
    };
    serde_json::to_string(&line).unwrap_or_default()
}

/// JSON as it is but in one line, other text as text, and other bytes as text with marks where they are none.
pub(super) fn shown(bytes: Option<&[u8]>) -> Box<RawValue> {
    let null = || RawValue::NULL.to_owned();
    let Some(bytes) = bytes else { return null() };
    let text = String::from_utf8_lossy(bytes);
    // In JSON an end of line is only between values.
    let line = text.replace(['\n', '\r'], " ");
    RawValue::from_string(line)
        .or_else(|_| to_raw_value(&text))
        .unwrap_or_else(|_| null())
}
