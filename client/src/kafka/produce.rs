//! Messages go to a topic: made ones, or the lines of a file.

use std::io::BufRead;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use serde_json::Value;

use super::client::Brokers;
use crate::datagen::{Envelope, Event, Stream, events};
use crate::error::Error;

/// Longest wait for the last messages to be taken.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// Flags of `millpond topic produce`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The topic
    topic: String,
    /// Send events of this stream
    #[arg(long, value_enum, value_name = "STREAM", conflicts_with = "file")]
    generate: Option<Stream>,
    /// How changes of customers are written
    #[arg(long, value_enum, default_value = "debezium")]
    envelope: Envelope,
    /// Send the lines of this file, each of which is a message; - is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Field of the JSON object in a line that is the key of its message
    #[arg(long, value_name = "FIELD", requires = "file")]
    key: Option<String>,
    /// Messages to send [default: 1000 when they are made, else all]
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// Messages a second [default: as fast as the brokers take them]
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU64>,
    /// Another seed, other events
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Put the time of now into the field `ts` of each event
    #[arg(long, requires = "generate")]
    now: bool,
    /// Topic partition for all messages [default: by key]
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    #[command(flatten)]
    brokers: Brokers,
}

/// Counts what the brokers have taken.
#[derive(Debug, Clone, Default)]
struct Taken {
    count: Arc<AtomicU64>,
    refused: Arc<parking_lot::Mutex<Option<KafkaError>>>,
}

impl ClientContext for Taken {}

impl ProducerContext for Taken {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                self.refused.lock().get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// Runs the command. It blocks.
///
/// # Errors
/// Brokers that do not answer or refuse a message, a file that cannot be read.
pub fn run(args: &Args) -> Result<(), Error> {
    let messages = messages(args)?;
    let taken = Taken::default();
    let mut config = args.brokers.config()?;
    config.set("linger.ms", "5").set("enable.idempotence", "true");
    let producer: BaseProducer<Taken> = config
        .create_with_context(taken.clone())
        .map_err(|error| args.brokers.failed("cannot send", &error))?;
    let started = Instant::now();
    for (number, message) in messages.enumerate() {
        if let Some(rate) = args.rate {
            let due = Duration::from_secs_f64(number as f64 / rate.get() as f64);
            // Callbacks are served while there is time.
            while let Some(left) = due.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
                producer.poll(left.min(Duration::from_millis(100)));
            }
        }
        send(args, &producer, &message?)?;
        check(args, &taken)?;
    }
    producer
        .flush(FLUSH_TIMEOUT)
        .map_err(|error| args.brokers.failed("the last messages were not taken", &error))?;
    check(args, &taken)?;
    let (count, elapsed) = (
        taken.count.load(Ordering::Relaxed),
        started.elapsed().as_secs_f64(),
    );
    eprintln!("{count} messages to {} in {elapsed:.2} s", args.topic);
    Ok(())
}

fn check(args: &Args, taken: &Taken) -> Result<(), Error> {
    match &*taken.refused.lock() {
        Some(error) => Err(args.brokers.failed("a message was not taken", error)),
        None => Ok(()),
    }
}

fn send(args: &Args, producer: &BaseProducer<Taken>, message: &Message) -> Result<(), Error> {
    loop {
        let mut record = BaseRecord::<str, str>::to(&args.topic).payload(&message.value);
        record.key = message.key.as_deref();
        record.partition = args.partition;
        match producer.send(record) {
            Ok(()) => {
                producer.poll(Duration::ZERO);
                return Ok(());
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(20));
            }
            Err((error, _)) => return Err(args.brokers.failed("cannot send", &error)),
        }
    }
}

struct Message {
    key: Option<String>,
    value: String,
}

type Messages = Box<dyn Iterator<Item = Result<Message, Error>>>;

fn messages(args: &Args) -> Result<Messages, Error> {
    let rows = |default: u64| usize::try_from(args.rows.unwrap_or(default)).unwrap_or(usize::MAX);
    if let Some(stream) = args.generate {
        let now = args.now;
        let message = move |event: Event| {
            Ok(Message {
                key: Some(event.key),
                value: if now { at_now(event.value) } else { event.value },
            })
        };
        return Ok(Box::new(
            events(stream, args.envelope, args.seed)
                .take(rows(1000))
                .map(message),
        ));
    }
    let Some(file) = &args.file else {
        return Err(Error::Usage(
            "there is nothing to send\nhint: name a --file, or a stream to --generate".to_string(),
        ));
    };
    let failed = |source| Error::Input {
        path: file.display().to_string(),
        source,
    };
    let lines: Box<dyn BufRead> = match file == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(std::io::BufReader::new(
            std::fs::File::open(file).map_err(failed)?,
        )),
    };
    let (key, name) = (args.key.clone(), file.display().to_string());
    let message = move |line: std::io::Result<String>| {
        let value = line.map_err(|source| Error::Input {
            path: name.clone(),
            source,
        })?;
        let key = key.as_deref().map(|field| key_of(&value, field)).transpose()?;
        Ok(Message { key, value })
    };
    Ok(Box::new(lines.lines().map(message).take(rows(u64::MAX))))
}

/// The field of an object that is the key of its message, as text.
fn key_of(line: &str, field: &str) -> Result<String, Error> {
    let object: Value = serde_json::from_str(line).map_err(|error| {
        Error::Usage(format!(
            "a line is no JSON: {error}\nhint: leave --key out, or look at {line:.60}"
        ))
    })?;
    match object.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) => Ok(value.to_string()),
        None => Err(Error::Usage(format!(
            "a line has no field '{field}' for its key: {line:.60}"
        ))),
    }
}

/// The event with the time of now. One that is broken stays as it is.
fn at_now(value: String) -> String {
    match serde_json::from_str::<Value>(&value) {
        Ok(Value::Object(mut object)) if object.contains_key("ts") => {
            object.insert("ts".to_string(), Value::String(Timestamp::now().to_string()));
            Value::Object(object).to_string()
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_the_lines() {
        assert_eq!(key_of(r#"{"id":7}"#, "id").unwrap(), "7");
        assert_eq!(key_of(r#"{"id":"a"}"#, "id").unwrap(), "a");
        assert!(key_of(r#"{"id":7}"#, "name").is_err());
        assert!(key_of("no", "id").is_err());
    }

    #[test]
    fn only_whole_events_get_the_time_of_now() {
        assert!(at_now(r#"{"ts":"x","a":1}"#.to_string()).contains("Z\""));
        for other in [r#"{"ts":"x","#, r#"{"a":1}"#] {
            assert_eq!(at_now(other.to_string()), other);
        }
    }
}
