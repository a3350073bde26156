//! Options of a table that follows a topic: checked once, at `CREATE`, and read by whoever follows it.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

use crate::config::{ByteSize, parse_duration};
use crate::error::{Code, Error};

/// Dead letters of a topic partition that are kept, if nothing else is said.
const DEAD_LETTERS_MAX: usize = 10_000;
/// Time between checkpoints, if nothing else is said.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);
/// How much later than others rows may come, if nothing else is said.
const WATERMARK_DELAY: Duration = Duration::from_secs(5);
/// How long versions of deleted keys are remembered, if nothing else is said.
const TOMBSTONES: Duration = Duration::from_secs(3600);
/// Options that are not those of a format or of the Kafka client.
const KNOWN: &[&str] = &[
    "checkpoint.interval",
    "dead_letters.full",
    "dead_letters.max",
    "dead_letters.topic",
    "event_time",
    "format",
    "memory.max",
    "metadata",
    "on_error",
    "retention.size",
    "retention.time",
    "scan.startup",
    "schema.evolve",
    "schema.infer",
    "sink.delivery",
    "version.tombstones",
    "version_column",
    "watermark.delay",
];
/// Start of the names of options for a format.
const OF_FORMAT: &str = "format.";
/// Start of the names of options that are handed to the Kafka client.
const OF_CLIENT: &str = "kafka.";
/// Settings of the Kafka client that decide whether the rows are right, so they are ours.
const CLIENT_REFUSED: &[&str] = &[
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "group.id",
    "metadata.broker.list",
    // It would load code.
    "plugin.library.paths",
    "ssl.providers",
    "transactional.id",
];

/// What happens to a message that cannot become a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It is kept, to be looked at in `system.dead_letters`.
    DeadLetter,
    /// It is counted.
    Skip,
    /// Its topic partition is not followed any further.
    Fail,
}

/// What happens when as many dead letters are kept as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The topic partition waits.
    Pause,
    /// The oldest goes, and is counted as skipped.
    DropOldest,
}

/// How often a row that is inserted becomes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// More than once if an executor is lost meanwhile.
    AtLeastOnce,
    /// Once: rows wait in an outbox and go in transactions.
    ExactlyOnce,
}

/// Where to begin in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Startup {
    /// With the oldest message there is.
    Earliest,
    /// With the next message.
    Latest,
    /// With the first message of that time or later, milliseconds since the Unix epoch.
    Timestamp(i64),
    /// At an offset for each topic partition.
    Offsets(HashMap<u32, u64>),
}

/// Something about a message that is a column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataColumn {
    /// Number of the topic partition.
    Partition,
    /// Offset in it.
    Offset,
    /// Timestamp of the message.
    Timestamp,
    /// Its key, as it is.
    Key,
    /// Its headers: a list of names and values, in their order. A name may come twice.
    Headers,
}

impl MetadataColumn {
    const ALL: [Self; 5] = [
        Self::Partition,
        Self::Offset,
        Self::Timestamp,
        Self::Key,
        Self::Headers,
    ];

    /// Name of the column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Partition => "kafka_partition",
            Self::Offset => "kafka_offset",
            Self::Timestamp => "kafka_timestamp",
            Self::Key => "kafka_key",
            Self::Headers => "headers",
        }
    }

    /// The column.
    pub fn field(self) -> FieldRef {
        let data_type = match self {
            Self::Partition => DataType::Int32,
            Self::Offset => DataType::Int64,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Key => DataType::Binary,
            Self::Headers => DataType::List(Arc::new(Field::new_list_field(
                DataType::Struct(Self::header_fields()),
                true,
            ))),
        };
        Arc::new(Field::new(self.name(), data_type, true))
    }

    /// Name and value of a header.
    pub fn header_fields() -> Fields {
        let fields = [
            Field::new("key", DataType::Utf8, true),
            Field::new("value", DataType::Binary, true),
        ];
        fields.into_iter().collect()
    }
}

impl FromStr for MetadataColumn {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        fn word(name: &str) -> &str {
            name.strip_prefix("kafka_").unwrap_or(name)
        }
        let found = Self::ALL
            .into_iter()
            .find(|column| word(column.name()) == word(name));
        found.ok_or_else(|| {
            invalid(
                "metadata",
                name,
                "write some of partition, offset, timestamp, key and headers, with commas between them",
            )
        })
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// What becomes of bad messages.
    pub on_error: OnError,
    /// Most dead letters of a topic partition.
    pub dead_letters_max: usize,
    /// What happens then.
    pub when_full: WhenFull,
    /// Topic they are sent to as well.
    pub dead_letters_topic: Option<String>,
    /// Columns about the message, which come after the table's own.
    pub metadata: Vec<MetadataColumn>,
    /// Where to begin.
    pub startup: Startup,
    /// Time between checkpoints, if messages come.
    pub checkpoint_interval: Duration,
    /// Column of the event time.
    pub event_time: Option<String>,
    /// How long before the greatest event time the watermark is.
    pub watermark_delay: Duration,
    /// Column that says which change of a key is newer.
    pub version_column: Option<String>,
    /// How long versions of deleted keys are remembered.
    pub tombstones: Duration,
    /// How long ago event times of rows may be.
    pub retention_time: Option<Duration>,
    /// Bytes of the rows of the table beyond which the oldest go.
    pub retention_bytes: Option<u64>,
    /// Bytes of the table at which it waits.
    pub memory_max: Option<u64>,
    /// The columns are those of the first messages.
    pub infers_columns: bool,
    /// It gets the columns of newer schemas.
    pub evolves: bool,
    /// How rows that are inserted are sent.
    pub delivery: Delivery,
    /// Settings of the Kafka client.
    pub client: Vec<(String, String)>,
}

impl StreamOptions {
    /// True for the name of an option that has no dot.
    pub fn knows(name: &str) -> bool {
        KNOWN.contains(&name) && !name.contains('.')
    }

    /// Reads options; those of the format are for its decoder to check.
    ///
    /// # Errors
    /// An option that there is not, or a value that it cannot have.
    pub fn parse(settings: &HashMap<String, String>) -> Result<Self, Error> {
        for key in settings.keys() {
            check_name(key)?;
        }
        let value = |key: &str| settings.get(key).map(String::as_str);
        let dead_letters_max = match value("dead_letters.max") {
            None => DEAD_LETTERS_MAX,
            Some(text) => text
                .parse()
                .map_err(|_| invalid("dead_letters.max", text, "write a number, such as 10000"))?,
        };
        let on_error = match value("on_error") {
            None | Some("dead_letter") => OnError::DeadLetter,
            Some("skip") => OnError::Skip,
            Some("fail") => OnError::Fail,
            Some(other) => return Err(invalid("on_error", other, "write dead_letter, skip or fail")),
        };
        let when_full = match value("dead_letters.full") {
            None | Some("pause") => WhenFull::Pause,
            Some("drop_oldest") => WhenFull::DropOldest,
            Some(other) => {
                return Err(invalid("dead_letters.full", other, "write pause or drop_oldest"));
            }
        };
        let metadata = value("metadata").unwrap_or_default().split(',').map(str::trim);
        let metadata = metadata.filter(|name| !name.is_empty()).map(str::parse);
        let client = settings.iter().filter_map(|(key, value)| {
            let key = key.strip_prefix(OF_CLIENT)?;
            Some((key.to_string(), value.clone()))
        });
        Ok(Self {
            on_error,
            dead_letters_max,
            when_full,
            dead_letters_topic: settings.get("dead_letters.topic").cloned(),
            metadata: metadata.collect::<Result<_, _>>()?,
            startup: startup_of(value("scan.startup").unwrap_or("earliest"))?,
            checkpoint_interval: time_of(settings, "checkpoint.interval")?.unwrap_or(CHECKPOINT_INTERVAL),
            event_time: settings.get("event_time").cloned(),
            watermark_delay: time_of(settings, "watermark.delay")?.unwrap_or(WATERMARK_DELAY),
            version_column: settings.get("version_column").cloned(),
            tombstones: time_of(settings, "version.tombstones")?.unwrap_or(TOMBSTONES),
            retention_time: time_of(settings, "retention.time")?,
            retention_bytes: bytes_of(settings, "retention.size")?,
            memory_max: bytes_of(settings, "memory.max")?,
            infers_columns: flag_of(settings, "schema.infer")?,
            evolves: flag_of(settings, "schema.evolve")?,
            delivery: delivery_of(settings)?,
            client: client.collect(),
        })
    }
}

fn delivery_of(settings: &HashMap<String, String>) -> Result<Delivery, Error> {
    match settings.get("sink.delivery").map(String::as_str) {
        None | Some("at_least_once") => Ok(Delivery::AtLeastOnce),
        Some("exactly_once") => Ok(Delivery::ExactlyOnce),
        Some(other) => Err(invalid(
            "sink.delivery",
            other,
            "write at_least_once or exactly_once",
        )),
    }
}

fn flag_of(settings: &HashMap<String, String>, key: &str) -> Result<bool, Error> {
    match settings.get(key).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(invalid(key, other, "write true or false")),
    }
}

fn time_of(settings: &HashMap<String, String>, key: &str) -> Result<Option<Duration>, Error> {
    let Some(text) = settings.get(key) else {
        return Ok(None);
    };
    let time = parse_duration(text).filter(|time| !time.is_zero());
    let wrong = || invalid(key, text, "write a time, such as 10s or 24h");
    time.map(Some).ok_or_else(wrong)
}

fn bytes_of(settings: &HashMap<String, String>, key: &str) -> Result<Option<u64>, Error> {
    let Some(text) = settings.get(key) else {
        return Ok(None);
    };
    let size = text.parse::<ByteSize>().ok().filter(|size| size.as_u64() > 0);
    let wrong = || invalid(key, text, "write a size, such as 512MiB or 2GiB");
    size.map(|size| Some(size.as_u64())).ok_or_else(wrong)
}

/// Where `scan.startup` says to begin: `earliest`, `latest`, `timestamp:` with a time, or `offsets:` with pairs.
///
/// # Errors
/// Anything else.
fn startup_of(text: &str) -> Result<Startup, Error> {
    let wrong = || {
        invalid(
            "scan.startup",
            text,
            "write earliest, latest, timestamp:2026-01-31T00:00:00Z, or offsets:0:123,1:77",
        )
    };
    match text.split_once(':') {
        None if text == "earliest" => Ok(Startup::Earliest),
        None if text == "latest" => Ok(Startup::Latest),
        Some(("timestamp", time)) => {
            let time: jiff::Timestamp = time.trim().parse().map_err(|_| wrong())?;
            Ok(Startup::Timestamp(time.as_millisecond()))
        }
        Some(("offsets", pairs)) => offsets_of(pairs).map(Startup::Offsets).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// Offsets by topic partition, from a text such as `0:123,1:77`.
///
/// # Errors
/// Anything else.
pub fn offsets_of(text: &str) -> Result<HashMap<u32, u64>, Error> {
    let pair = |pair: &str| {
        let (partition, offset) = pair.split_once([':', '='])?;
        Some((partition.trim().parse().ok()?, offset.trim().parse().ok()?))
    };
    let pairs: Option<HashMap<u32, u64>> = text.split(',').map(pair).collect();
    pairs.ok_or_else(|| {
        Error::user(Code::INVALID_VALUE, format!("'{text}' names no offsets"))
            .with_hint("write them as PARTITION:OFFSET, with commas between them: 0:123,1:77")
    })
}

/// The columns of a table that are in the messages: all but those about the message, which are last.
pub fn data_columns(schema: &Schema, metadata: &[MetadataColumn]) -> SchemaRef {
    let count = schema.fields().len().saturating_sub(metadata.len());
    let fields: Vec<FieldRef> = schema.fields().iter().take(count).cloned().collect();
    Arc::new(Schema::new(fields))
}

/// All columns of a table with others in the place of those that are in the messages; those about the message stay last.
pub fn with_data_columns(all: &Schema, metadata: &[MetadataColumn], data: &Schema) -> Schema {
    let count = all.fields().len().saturating_sub(metadata.len());
    let about_messages = all.fields().iter().skip(count);
    Schema::new(
        data.fields()
            .iter()
            .chain(about_messages)
            .cloned()
            .collect::<Vec<FieldRef>>(),
    )
}

/// Names of the columns that decide about rows, whose types are as they are: the key, the event time and the version.
pub fn fixed_columns(columns: &Schema, key: &[usize], options: &StreamOptions) -> Vec<String> {
    let of_key = key.iter().map(|place| columns.field(*place).name());
    let of_options = [&options.event_time, &options.version_column]
        .into_iter()
        .flatten();
    of_key.chain(of_options).cloned().collect()
}

fn check_name(key: &str) -> Result<(), Error> {
    if KNOWN.contains(&key) || key.starts_with(OF_FORMAT) {
        return Ok(());
    }
    match key.strip_prefix(OF_CLIENT) {
        Some(client) if CLIENT_REFUSED.contains(&client) => {
            Err(invalid(key, "any value", "leave it out: the table depends on it"))
        }
        Some(_) => Ok(()),
        None => Err(Error::user(
            Code::UNKNOWN_SETTING,
            format!("there is no option '{key}' for a table over a topic"),
        )
        .with_hint(format!(
            "the options are {}, format.* and kafka.*",
            KNOWN.join(", ")
        ))),
    }
}

pub(super) fn invalid(key: &str, value: &str, remedy: &str) -> Error {
    Error::user(
        Code::INVALID_SETTING,
        format!("'{value}' is no value for '{key}'"),
    )
    .with_hint(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[(&str, &str)]) -> Result<StreamOptions, Error> {
        let options = options.iter();
        StreamOptions::parse(
            &options
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
        )
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let options = parsed(&[("format", "json")]).unwrap();
        assert_eq!(options.on_error, OnError::DeadLetter);
        assert_eq!(
            (options.dead_letters_max, options.when_full),
            (10_000, WhenFull::Pause)
        );
        assert_eq!(options.startup, Startup::Earliest);
    }

    #[test]
    fn options_are_read() {
        let options = parsed(&[
            ("scan.startup", "offsets:0:5, 3=70"),
            ("metadata", "offset, kafka_key"),
            ("kafka.client.id", "me"),
            ("dead_letters.full", "drop_oldest"),
        ]);
        let options = options.unwrap();
        assert_eq!(
            options.startup,
            Startup::Offsets(HashMap::from([(0, 5), (3, 70)]))
        );
        assert_eq!(options.metadata, [MetadataColumn::Offset, MetadataColumn::Key]);
        assert_eq!(options.client, [("client.id".to_string(), "me".to_string())]);
        assert_eq!(options.when_full, WhenFull::DropOldest);
        assert_eq!(
            startup_of("timestamp:1970-01-01T00:00:01Z").unwrap(),
            Startup::Timestamp(1000)
        );
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (key, value, code) in [
            ("colour", "red", Code::UNKNOWN_SETTING),
            ("on_error", "ignore", Code::INVALID_SETTING),
            ("dead_letters.max", "many", Code::INVALID_SETTING),
            ("checkpoint.interval", "0s", Code::INVALID_SETTING),
            ("retention.time", "long", Code::INVALID_SETTING),
            ("memory.max", "0", Code::INVALID_SETTING),
            ("sink.delivery", "once", Code::INVALID_SETTING),
            ("kafka.transactional.id", "mine", Code::INVALID_SETTING),
            ("metadata", "size", Code::INVALID_SETTING),
            ("scan.startup", "offsets:0", Code::INVALID_SETTING),
            ("scan.startup", "timestamp:now", Code::INVALID_SETTING),
            ("kafka.group.id", "g", Code::INVALID_SETTING),
        ] {
            let error = parsed(&[(key, value)]).unwrap_err();
            assert_eq!(error.code, code, "{key} {value}: {error}");
        }
    }
}
