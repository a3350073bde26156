//! The columns of a table that is created without: those of the schema of its messages, or of the messages themselves.

use std::time::{Duration, Instant};

use datafusion::arrow::datatypes::Schema;
use millpond_engine::decode::{Format, Inferred, SchemaText};
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::encode_schema;
use millpond_proto::stream::TopicDescription;
use rdkafka::message::Message as _;

use super::describe;
use super::registry::Registry;
use super::source::{Source, unfit};

/// Messages that are looked at, and the longest look.
const SAMPLE: usize = 1000;
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait when no more messages come.
const QUIET: Duration = Duration::from_secs(2);

/// Columns and key of a table over a topic. It blocks.
///
/// # Errors
/// A registry or brokers that do not answer, a schema without columns, messages that are no objects.
pub(super) fn of(source: &Source) -> Result<TopicDescription, Error> {
    let is_known = source.format.has_columns() && !source.options.infers_columns;
    let (schema, key) = match is_known {
        true => of_schemas(&source.topic, &source.format, source.registry.as_deref())?,
        false => (inferred(source)?, Vec::new()),
    };
    Ok(TopicDescription {
        starts: Vec::new(),
        columns: encode_schema(&schema).map_err(Error::from_datafusion)?,
        key,
    })
}

/// Columns and key as the schemas of the messages of a topic have them: the newest of the registry, if there is one.
///
/// # Errors
/// A registry that does not answer, a schema without columns.
pub(super) fn of_schemas(
    topic: &str,
    format: &Format,
    registry: Option<&Registry>,
) -> Result<(Schema, Vec<String>), Error> {
    let (value, key) = match registry {
        Some(registry) => of_registry(topic, format, registry)?,
        None => (None, None),
    };
    format.columns(value.as_ref(), key.as_ref()).map_err(unfit)
}

/// The newest schemas of values and keys, under the names that serializers give them.
fn of_registry(
    topic: &str,
    format: &Format,
    registry: &Registry,
) -> Result<(Option<SchemaText>, Option<SchemaText>), Error> {
    let subject = format!("{topic}-value");
    let value = latest(registry, &subject)?.ok_or_else(|| {
        Error::user(
            Code::INVALID_STATEMENT,
            format!("the registry has no subject '{subject}', so the columns are not known"),
        )
        .with_hint("declare them as in CREATE TABLE")
    })?;
    let key = match format.is_change_log() {
        true => latest(registry, &format!("{topic}-key"))?,
        false => None,
    };
    Ok((Some(value), key))
}

fn latest(registry: &Registry, subject: &str) -> Result<Option<SchemaText>, Error> {
    registry.latest(subject).map_err(|reason| {
        let what = format!("the schema of subject '{subject}' cannot be read");
        Error::external(Code::REGISTRY_SILENT, what)
            .with_detail(reason)
            .with_hint("executors must reach the registry; or declare the columns as in CREATE TABLE")
    })
}

/// What the first messages have.
fn inferred(source: &Source) -> Result<Schema, Error> {
    let topic = describe::open(source)?;
    let mut inferred = Inferred::default();
    if describe::seek(source, &topic)? {
        let (begun, mut last) = (Instant::now(), Instant::now());
        let lengths = topic.ranges.iter().zip(&topic.starts);
        let there: u64 = lengths
            .map(|((_, high), start)| high.saturating_sub(*start))
            .sum();
        let wanted = SAMPLE.min(usize::try_from(there).unwrap_or(SAMPLE));
        let mut seen = 0;
        while seen < wanted && begun.elapsed() < SAMPLE_TIMEOUT && last.elapsed() < QUIET {
            if let Some(Ok(message)) = topic.consumer.poll(Duration::from_millis(50)) {
                (seen, last) = (seen + 1, Instant::now());
                inferred.look(message.payload().unwrap_or_default());
            }
        }
    }
    inferred.schema().ok_or_else(|| {
        Error::user(
            Code::INVALID_STATEMENT,
            format!(
                "none of the first messages of topic '{}' is a JSON object, so the columns are not known",
                source.topic
            ),
        )
        .with_hint("declare the columns as in CREATE TABLE")
    })
}
