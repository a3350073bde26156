//! `INSERT INTO` a table that follows a topic: rows go to the topic as messages, and come back as rows.
//!
//! ```text
//! at least once   query ─► TopicSinkExec: Encoder ─► OpenTopic (of the executor) ─► brokers     a row (rows) for each task
//! exactly once    query ─► TopicSinkExec: Encoder ─► messages as rows ─► shards of an outbox
//!                 shard ─► TopicSinkExec ─► OpenTopic: one transaction ─► brokers               a row (rows) for each shard
//! ```
//!
//! A task is done when the brokers have acknowledged everything. At least once, one that runs again sends everything again;
//! in a table with a primary key that changes nothing. Exactly once, what a row becomes is settled before anything is
//! sent, and a shard is sent in a transaction of its own name ([`one_for_each_shard`]), by which a task that runs again
//! finds out that it has nothing to do any more. Of Kafka nothing is known here: an executor brings a [`TopicWriter`].

mod messages;
mod sink_exec;
mod sink_node;
mod transactions;

use std::fmt;

use async_trait::async_trait;
use millpond_proto::plan::TopicSink;

use crate::encode::Messages;
use crate::error::Error;

pub use messages::messages_schema;
pub use sink_exec::{TopicSinkExec, rows_sent};
pub use sink_node::TopicSinkNode;
pub(crate) use transactions::one_for_each_shard;

/// Reaches the brokers of topics.
#[async_trait]
pub trait TopicWriter: fmt::Debug + Send + Sync {
    /// Begins to write to a topic, in a transaction if the sink names one.
    ///
    /// # Errors
    /// Settings that there are not, and brokers that do not answer or have no transactions.
    async fn open(&self, sink: &TopicSink) -> Result<Opened, Error>;
}

/// What [`TopicWriter::open`] found.
pub enum Opened {
    /// Messages can be sent.
    Topic(Box<dyn OpenTopic>),
    /// The transaction is done: an earlier attempt has sent that many messages.
    Sent(u64),
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(_) => f.write_str("Topic"),
            Self::Sent(messages) => write!(f, "Sent({messages})"),
        }
    }
}

/// A topic that is being written to. What is not finished is given up when this is dropped.
#[async_trait]
pub trait OpenTopic: Send {
    /// Hands over messages, and waits while too many are on their way.
    ///
    /// # Errors
    /// What the brokers said about these or earlier messages.
    async fn send(&mut self, messages: Messages) -> Result<(), Error>;

    /// Waits until the brokers have everything, which is that many messages, and ends the transaction.
    ///
    /// # Errors
    /// As for [`OpenTopic::send`].
    async fn finish(self: Box<Self>, messages: u64) -> Result<(), Error>;
}

/// What is said of a sink where a plan is shown.
fn shown(sink: &TopicSink) -> String {
    let topic = &sink.topic;
    if sink.makes_messages {
        return format!("{topic}, exactly once, from an outbox");
    }
    match sink.transaction.is_empty() {
        true => format!("{topic}, at least once"),
        false => format!("{topic}, exactly once, transaction {}", sink.transaction),
    }
}
