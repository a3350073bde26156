//! Reads the `MILLPOND_*` variables.

use super::bucket::Bucket;
use super::kafka_cluster::KafkaCluster;
use super::keys::KEYS;
use super::layer::Layer;
use super::nearest::suggestion;
use super::origin::Origin;
use super::value::Written;
use crate::error::{Code, Error};

/// Names the configuration file.
pub(super) const FILE: &str = "MILLPOND_CONFIG";
/// Names the profile.
pub(super) const PROFILE: &str = "MILLPOND_PROFILE";
/// Variables that start with this make one bucket for every location of S3.
const S3: &str = "MILLPOND_STORAGE_S3_";
/// Locations of the bucket that variables make.
const S3_PREFIX: &str = "s3://";

/// Variables that start with this make one cluster of Kafka; `MILLPOND_KAFKA_BROKERS` says which.
const KAFKA: &str = "MILLPOND_KAFKA_";

/// What the environment sets.
pub(super) struct Variables {
    /// The file it names.
    pub(super) file: Option<String>,
    /// The profile it names.
    pub(super) profile: Option<String>,
    /// The keys and the bucket it sets.
    pub(super) layer: Layer,
}

/// Reads an environment; variables of others are left alone.
///
/// # Errors
/// `UNKNOWN_SETTING` for a variable that starts with `MILLPOND_` and sets nothing.
pub(super) fn read(environment: impl IntoIterator<Item = (String, String)>) -> Result<Variables, Error> {
    let mut variables = Variables {
        file: None,
        profile: None,
        layer: Layer {
            entries: Vec::new(),
            buckets: Vec::new(),
            kafka: Vec::new(),
        },
    };
    let mut bucket = None;
    let mut kafka: Option<KafkaCluster> = None;
    for (name, value) in environment {
        if !name.starts_with("MILLPOND_") || is_service_link(&name, &value) {
            continue;
        }
        let key = KEYS
            .iter()
            .find(|key| key.short_variable == Some(&name) || key.variable() == name);
        if let Some(key) = key {
            variables
                .layer
                .entries
                .push((key.name.to_owned(), Written::One(value), Origin::Variable(name)));
        } else if let Some(field) = name.strip_prefix(S3) {
            let bucket = bucket.get_or_insert_with(|| Bucket {
                prefix: S3_PREFIX.to_owned(),
                ..Bucket::default()
            });
            set_field(bucket, field, &name, &value)?;
        } else if let Some(field) = name.strip_prefix(KAFKA) {
            // Settings of librdkafka are in small letters, with dots.
            let field = field.to_lowercase().replace('_', ".");
            kafka.get_or_insert_default().set(&field, &value)?;
        } else if name == FILE {
            variables.file = Some(value).filter(|value| !value.is_empty());
        } else if name == PROFILE {
            variables.profile = Some(value).filter(|value| !value.is_empty());
        } else {
            return Err(unknown(&name));
        }
    }
    // A long name is more precise than a short one, so it is laid on last.
    variables
        .layer
        .entries
        .sort_by_key(|(key, _, origin)| is_long_name(key, origin));
    variables.layer.buckets.extend(bucket);
    let kafka = kafka.map(KafkaCluster::checked).transpose();
    let kafka = kafka.map_err(|error| error.with_detail(format!("set by variables {KAFKA}*")))?;
    variables.layer.kafka.extend(kafka);
    Ok(variables)
}

fn is_long_name(key: &str, origin: &Origin) -> bool {
    matches!(origin, Origin::Variable(name) if KEYS.iter().any(|k| k.name == key && k.variable() == *name))
}

fn set_field(bucket: &mut Bucket, field: &str, name: &str, value: &str) -> Result<(), Error> {
    if field == "PREFIX" {
        return Err(unknown(name));
    }
    bucket
        .set(&field.to_lowercase(), value)
        .map_err(|error| {
            if error.code == Code::UNKNOWN_SETTING {
                unknown(name)
            } else {
                error
            }
        })
        .map_err(|error| error.with_detail(format!("set by {name}")))
}

fn unknown(name: &str) -> Error {
    let mut known: Vec<String> = KEYS.iter().map(super::key::Key::variable).collect();
    known.extend(
        KEYS.iter()
            .filter_map(|key| key.short_variable.map(str::to_owned)),
    );
    known.extend([FILE, PROFILE].map(str::to_owned));
    known.extend(
        super::bucket::FIELDS
            .iter()
            .skip(1)
            .map(|(field, _)| format!("{S3}{}", field.to_uppercase())),
    );
    Error::user(
        Code::UNKNOWN_SETTING,
        format!("the environment variable {name} is no setting"),
    )
    .with_hint(suggestion(name, known.iter().map(String::as_str)))
}

/// Whether Kubernetes made the variable for a service named `millpond-...`, as it does in every container:
/// `MILLPOND_SCHEDULER_SERVICE_HOST`, `MILLPOND_SCHEDULER_PORT=tcp://10.0.0.7:50060`, `..._PORT_50060_TCP_ADDR`.
fn is_service_link(name: &str, value: &str) -> bool {
    let of_port = || {
        let (_, port) = name.split_once("_PORT_")?;
        let (number, protocol) = port.split_once('_')?;
        Some(number.parse::<u16>().is_ok() && ["TCP", "UDP", "SCTP"].iter().any(|p| protocol.starts_with(p)))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
        || of_port().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_of_kubernetes_are_left_alone() {
        for (name, value) in [
            ("MILLPOND_SCHEDULER_SERVICE_HOST", "10.0.0.7"),
            ("MILLPOND_SCHEDULER_SERVICE_PORT", "50060"),
            ("MILLPOND_SCHEDULER_SERVICE_PORT_FLIGHT_SQL", "50060"),
            ("MILLPOND_SCHEDULER_PORT", "tcp://10.0.0.7:50060"),
            ("MILLPOND_SCHEDULER_PORT_50060_TCP", "tcp://10.0.0.7:50060"),
            ("MILLPOND_SCHEDULER_PORT_50060_TCP_ADDR", "10.0.0.7"),
        ] {
            let read =
                read([(name.to_owned(), value.to_owned())]).map(|variables| variables.layer.entries.len());
            assert_eq!(read.ok(), Some(0), "{name}");
        }
    }

    #[test]
    fn the_account_of_a_registry_is_no_cluster() {
        let variable = |name: &str| (format!("MILLPOND_KAFKA_REGISTRY_{name}"), "x".to_owned());
        let read = read(["URL", "USER", "PASSWORD"].map(variable)).map(|variables| variables.layer);
        let counts = read.map(|layer| (layer.entries.len(), layer.kafka.len()));
        assert_eq!(counts.ok(), Some((3, 0)));
    }

    #[test]
    fn ports_of_ours_are_not_taken_for_service_links() {
        let read = read([("MILLPOND_EXECUTOR_DATA_PORT".to_owned(), "0".to_owned())]);
        assert_eq!(read.map(|variables| variables.layer.entries.len()).ok(), Some(1));
    }
}
