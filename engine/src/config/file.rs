//! Reads `millpond.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::bucket::Bucket;
use super::kafka_cluster::KafkaCluster;
use super::layer::Layer;
use super::nearest::nearest;
use super::origin::Origin;
use super::value::Written;
use crate::error::{Code, Error};

/// The file that is read if none is named and it is there.
pub(super) const DEFAULT_FILE: &str = "millpond.toml";

/// A configuration file, read but not yet checked against the registry.
pub(super) struct File {
    path: PathBuf,
    /// What it sets for everybody.
    pub(super) base: Layer,
    /// What its profiles set.
    pub(super) profiles: BTreeMap<String, Layer>,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// `CONFIG_UNREADABLE` if it cannot be opened or is not TOML (with the line, never with its text, which may hold
    /// a secret), `INVALID_SETTING` for a table or a value of a form that no key has.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read the configuration file {}", path.display());
            Error::user(Code::CONFIG_UNREADABLE, message)
                .with_detail(error.to_string())
                .with_source(error)
        })?;
        let mut table: Table = text.parse().map_err(|error| not_toml(path, &text, &error))?;
        let profiles = take_profiles(&mut table, path)?;
        let base = layer(table, &Origin::File(path.to_owned()))?;
        Ok(Self {
            path: path.to_owned(),
            base,
            profiles,
        })
    }

    /// What a profile sets.
    ///
    /// # Errors
    /// `UNKNOWN_PROFILE` names the nearest profile, or all there are.
    pub(super) fn profile(&self, name: &str) -> Result<&Layer, Error> {
        self.profiles.get(name).ok_or_else(|| {
            let names = || self.profiles.keys().map(String::as_str);
            let error = unknown_profile(name, &format!("{} has no such table", self.path.display()));
            match nearest(name, names()) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None if self.profiles.is_empty() => error.with_hint(format!("add a [profile.{name}] table")),
                None => error.with_hint(format!("there are: {}", names().collect::<Vec<_>>().join(", "))),
            }
        })
    }
}

/// A profile was asked for that is not there.
pub(super) fn unknown_profile(name: &str, detail: &str) -> Error {
    Error::user(Code::UNKNOWN_PROFILE, format!("no profile is named '{name}'")).with_detail(detail)
}

fn not_toml(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let message = format!("the configuration file {} is not TOML", path.display());
    let line = error
        .span()
        .and_then(|span| text.get(..span.start))
        .map(|before| before.matches('\n').count() + 1);
    let reason = error.message().lines().next().unwrap_or_default();
    Error::user(Code::CONFIG_UNREADABLE, message).with_detail(match line {
        Some(line) => format!("line {line}: {reason}"),
        None => reason.to_owned(),
    })
}

fn take_profiles(table: &mut Table, path: &Path) -> Result<BTreeMap<String, Layer>, Error> {
    let Some(profiles) = table.remove("profile") else {
        return Ok(BTreeMap::new());
    };
    let Value::Table(profiles) = profiles else {
        return Err(misplaced(
            "profile",
            "[profile.NAME] tables",
            &Origin::File(path.to_owned()),
        ));
    };
    profiles
        .into_iter()
        .map(|(name, table)| {
            let origin = Origin::Profile {
                name: name.clone(),
                file: path.to_owned(),
            };
            match table {
                Value::Table(table) => Ok((name, layer(table, &origin)?)),
                _ => Err(misplaced(&format!("profile.{name}"), "a table", &origin)),
            }
        })
        .collect()
}

fn layer(mut table: Table, origin: &Origin) -> Result<Layer, Error> {
    let buckets = tables(&mut table, ("storage", "bucket"), origin, bucket)?;
    let kafka = tables(&mut table, ("kafka", "cluster"), origin, kafka_cluster)?;
    let mut entries = Vec::new();
    flatten("", table, origin, &mut entries)?;
    Ok(Layer {
        entries,
        buckets,
        kafka,
    })
}

/// Takes the tables of a list, such as `[[storage.bucket]]`, out of a file.
fn tables<T>(
    file: &mut Table,
    (group, name): (&str, &str),
    origin: &Origin,
    read: fn(Value, &Origin) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let found = file.get_mut(group).and_then(Value::as_table_mut);
    match found.and_then(|found| found.remove(name)) {
        Some(Value::Array(tables)) => tables.into_iter().map(|table| read(table, origin)).collect(),
        Some(_) => Err(misplaced(
            &format!("{group}.{name}"),
            &format!("[[{group}.{name}]] tables"),
            origin,
        )),
        None => Ok(Vec::new()),
    }
}

fn kafka_cluster(table: Value, origin: &Origin) -> Result<KafkaCluster, Error> {
    let Value::Table(table) = table else {
        return Err(misplaced("kafka.cluster", "[[kafka.cluster]] tables", origin));
    };
    let mut fields = Vec::new();
    // Names of librdkafka have dots, which TOML reads as tables in tables.
    flatten("", table, origin, &mut fields)?;
    let mut cluster = KafkaCluster::default();
    for (field, written, _) in fields {
        let value = match written {
            Written::One(value) => value,
            Written::Many(values) => values.join(","),
        };
        cluster
            .set(&field, &value)
            .map_err(|error| error.with_detail(format!("set by {origin}")))?;
    }
    cluster
        .checked()
        .map_err(|error| error.with_detail(format!("set by {origin}")))
}

fn bucket(table: Value, origin: &Origin) -> Result<Bucket, Error> {
    let Value::Table(table) = table else {
        return Err(misplaced("storage.bucket", "[[storage.bucket]] tables", origin));
    };
    let mut bucket = Bucket::default();
    for (field, value) in table {
        let text = one(value)
            .ok_or_else(|| misplaced(&format!("storage.bucket.{field}"), "a single value", origin))?;
        bucket
            .set(&field, &text)
            .map_err(|error| error.with_detail(format!("set by {origin}")))?;
    }
    bucket
        .checked()
        .map_err(|error| error.with_detail(format!("set by {origin}")))
}

/// Joins the names of nested tables with dots.
fn flatten(
    prefix: &str,
    table: Table,
    origin: &Origin,
    entries: &mut Vec<(String, Written, Origin)>,
) -> Result<(), Error> {
    for (name, value) in table {
        let name = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}.{name}")
        };
        let written = match value {
            Value::Table(inner) => {
                flatten(&name, inner, origin, entries)?;
                continue;
            }
            Value::Array(values) => {
                let texts = values.into_iter().map(one).collect::<Option<_>>();
                Written::Many(texts.ok_or_else(|| misplaced(&name, "an array of single values", origin))?)
            }
            single => Written::One(one(single).ok_or_else(|| misplaced(&name, "a single value", origin))?),
        };
        entries.push((name, written, origin.clone()));
    }
    Ok(())
}

fn one(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn misplaced(name: &str, expected: &str, origin: &Origin) -> Error {
    Error::user(Code::INVALID_SETTING, format!("{name} must be {expected}"))
        .with_detail(format!("set by {origin}"))
}
