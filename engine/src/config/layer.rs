//! Puts the sources on top of each other.

use std::collections::BTreeMap;

use super::bucket::Bucket;
use super::kafka_cluster::KafkaCluster;
use super::key::{Key, Scope};
use super::nearest::find_key;
use super::origin::{Origin, REDACTED, Shown};
use super::value::{Setting, Written};
use crate::error::{Code, Error};

/// What one source sets.
#[derive(Clone)]
pub(super) struct Layer {
    /// The keys it names, which may not exist, with the place that names them.
    pub(super) entries: Vec<(String, Written, Origin)>,
    /// The buckets it names.
    pub(super) buckets: Vec<Bucket>,
    /// The clusters of Kafka it names.
    pub(super) kafka: Vec<KafkaCluster>,
}

/// What all sources together set; of several values for a key the last one assigned is kept.
#[derive(Clone, Default)]
pub(super) struct Assigned {
    values: BTreeMap<&'static str, (Written, Origin)>,
    buckets: Vec<Bucket>,
    kafka: Vec<KafkaCluster>,
}

impl Assigned {
    /// Lays a stronger source over those so far.
    ///
    /// # Errors
    /// `UNKNOWN_SETTING` for a key that does not exist, `SETTING_PROTECTED` for one of a session.
    pub(super) fn lay(&mut self, layer: Layer) -> Result<(), Error> {
        for (name, written, origin) in layer.entries {
            let key = find_key(&name).map_err(|error| error.with_detail(format!("set by {origin}")))?;
            if key.scope == Scope::Session {
                let message = format!("{name} is a setting of a session");
                let error = Error::user(Code::SETTING_PROTECTED, message);
                return Err(error
                    .with_detail(format!("set by {origin}"))
                    .with_hint(format!("set it in a session: SET {name} = '...'")));
            }
            self.values.insert(key.name, (written, origin));
        }
        for bucket in layer.buckets {
            self.buckets.retain(|other| other.prefix != bucket.prefix);
            self.buckets.push(bucket);
        }
        for cluster in layer.kafka {
            self.kafka.retain(|other| other.brokers() != cluster.brokers());
            self.kafka.push(cluster);
        }
        Ok(())
    }

    /// The value of a key, or its default.
    ///
    /// # Errors
    /// `INVALID_SETTING` names key, source and expected form, and the value unless it is secret.
    pub(super) fn read<T: Setting>(&self, key: &Key) -> Result<T, Error> {
        let default = (Written::One(key.default.to_owned()), Origin::Default);
        let (written, origin) = self.values.get(key.name).unwrap_or(&default);
        T::read(written).ok_or_else(|| {
            let value = if key.secret {
                REDACTED.to_owned()
            } else {
                written.shown()
            };
            let message = format!("{} must be {}, not '{value}'", key.name, key.kind.expected());
            let error = Error::user(Code::INVALID_SETTING, message);
            error
                .with_detail(format!("set by {origin}"))
                .with_hint(format!("`millpond config explain {}` tells more", key.name))
        })
    }

    /// Where a key was set.
    pub(super) fn origin(&self, key: &Key) -> Origin {
        self.values
            .get(key.name)
            .map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// The value of a key as it was written.
    pub(super) fn shown(&self, key: &'static Key) -> Shown {
        let (value, origin) = match self.values.get(key.name) {
            Some((written, origin)) => (written.shown(), origin.clone()),
            None => (key.default.to_owned(), Origin::Default),
        };
        let value = if key.secret && !value.is_empty() {
            REDACTED.to_owned()
        } else {
            value
        };
        Shown { key, value, origin }
    }

    /// The clusters of Kafka, the same brokers once.
    pub(super) fn kafka(&self) -> &[KafkaCluster] {
        &self.kafka
    }

    /// The buckets, each prefix once.
    pub(super) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }
}
