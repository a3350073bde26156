//! What the catalog says of tables that follow topics besides the tables themselves.

use prost::Message;

/// Where messages go that wait in a table.
#[derive(Clone, PartialEq, Message)]
pub struct Outbox {
    /// Table that their rows were inserted into, for people.
    #[prost(string, tag = "1")]
    pub table: String,
    /// `HOST:PORT` of brokers to begin with, with commas between them.
    #[prost(string, tag = "2")]
    pub brokers: String,
    /// The topic.
    #[prost(string, tag = "3")]
    pub topic: String,
    /// Options of the table when the statement ran.
    #[prost(map = "string, string", tag = "4")]
    pub settings: std::collections::HashMap<String, String>,
}

/// A table that follows a topic, before a change.
#[derive(Clone, PartialEq, Message)]
pub struct TopicBefore {
    /// All its options.
    #[prost(map = "string, string", tag = "1")]
    pub settings: std::collections::HashMap<String, String>,
    /// All its columns.
    #[prost(bytes = "vec", tag = "2")]
    pub arrow_schema: Vec<u8>,
}
