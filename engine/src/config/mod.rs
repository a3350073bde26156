//! The configuration of a node: which keys there are, and what they are set to.
//!
//! [`KEYS`] is the only list of keys; `docs/configuration.md`, the typed constants in [`keys`], the check of values
//! and the suggestion for a misspelt key come from it. [`Config::load`] reads the sources, the strongest first,
//! checks everything once, and gives values that cannot fail afterwards:
//!
//! ```text
//! command line > MILLPOND_* variables > [profile.NAME] of millpond.toml > millpond.toml > defaults
//! ```
//!
//! ```
//! use millpond_engine::config::{Config, keys};
//!
//! let config = Config::of([("executor.memory_limit", "2GiB")])?;
//! assert_eq!(config.get(keys::EXECUTOR_MEMORY_LIMIT).map(|limit| limit.as_u64()), Some(2 << 30));
//! assert_eq!(config.get(keys::FLIGHT_SQL_BIND).port, 50060);
//! # Ok::<(), millpond_engine::error::Error>(())
//! ```
//!
//! Secrets are never shown: not in `Debug`, not by [`Config::shown`], not in errors.

mod address;
mod bucket;
mod choice;
mod file;
mod kafka_cluster;
mod key;
pub mod keys;
mod layer;
mod load;
mod markdown;
mod nearest;
mod origin;
mod value;
mod variable;

pub use address::Address;
pub use bucket::Bucket;
pub use bytesize::ByteSize;
pub use choice::{LogFormat, ResultFormat};
pub use kafka_cluster::KafkaCluster;
pub use key::{Key, Kind, Scope, TypedKey};
pub use keys::KEYS;
pub use load::{Config, Sources, process_environment};
pub use markdown::markdown;
pub use nearest::{find_key, nearest};
pub use origin::{Origin, Shown};
pub use value::{Fraction, parse_duration};
