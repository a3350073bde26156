//! What scheduler and executors must agree on: configuration, errors, sessions, plan nodes and their encoding.
//!
//! A request passes through here twice. On the scheduler a statement is planned in a [`session`] over the cluster's
//! catalog; plan nodes of ours are encoded by [`codec`]. On an executor the same codec decodes them
//! and the same session settings and object stores ([`object_stores`]) run them. Of the network it knows only the data
//! ports of executors ([`connections`]).

pub mod clock;
pub mod codec;
pub mod config;
pub mod connections;
pub mod decode;
pub mod direct;
pub mod encode;
pub mod error;
pub mod files;
mod functions;
pub mod groups;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod models;
pub mod object_stores;
pub mod planner;
pub mod schema;
pub mod session;
pub mod shards;
mod sql_types;
pub mod streams;
pub mod topics;
mod value_counts;
