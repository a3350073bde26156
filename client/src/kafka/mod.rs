//! A small Kafka client for people, and a broker to try things with.
//!
//! `millpond topic` produces, consumes, creates and lists; it works on any Kafka. [`embedded`] is a broker inside
//! `millpond up`: librdkafka's own for tests, which serves real clients on a port and keeps messages in memory.

pub mod client;
pub mod consume;
mod decoded;
pub mod embedded;
pub mod produce;
pub mod topics;
