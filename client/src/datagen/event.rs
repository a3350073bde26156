//! Streams of events: what producers of the second and third job would send to Kafka.

use clap::ValueEnum;

use super::customer_updates::CustomerUpdates;
use super::sensors::Sensors;

/// A message for a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What decides its topic partition.
    pub key: String,
    /// One line of text.
    pub value: String,
}

/// Streams there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stream {
    /// Readings of sensors, some late, incomplete or broken
    Sensors,
    /// Inserts, updates and deletes of customers
    CustomerUpdates,
}

/// How changes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Envelope {
    /// As Debezium does: before, after and op
    Debezium,
    /// Home-made: op, id and data
    Op,
}

/// The events of a stream, without end. The same seed gives the same events.
pub fn events(stream: Stream, envelope: Envelope, seed: u64) -> Box<dyn Iterator<Item = Event> + Send> {
    match stream {
        Stream::Sensors => Box::new(Sensors::new(seed)),
        Stream::CustomerUpdates => Box::new(CustomerUpdates::new(envelope, seed)),
    }
}
