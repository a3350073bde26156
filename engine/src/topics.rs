//! `INSERT INTO` a table that follows a topic: rows go to the topic as messages, and come back as rows.
//!
//! ```text
//! query ─► TopicSinkExec: Encoder ─► OpenTopic (of the executor) ─► brokers        one row (rows) for each task
//! ```
//!
//! A task is done when the brokers have acknowledged everything. One that runs again sends everything again, so messages come
//! at least once; in a table with a primary key that changes nothing. Of Kafka nothing is known here: an executor
//! brings a [`TopicWriter`].

mod sink_exec;
mod sink_node;

use std::fmt;

use async_trait::async_trait;
use millpond_proto::plan::TopicSink;

use crate::encode::Messages;
use crate::error::Error;

pub use sink_exec::{TopicSinkExec, rows_sent};
pub use sink_node::TopicSinkNode;

/// Reaches the brokers of topics.
#[async_trait]
pub trait TopicWriter: fmt::Debug + Send + Sync {
    /// Begins to write to a topic.
    ///
    /// # Errors
    /// Settings that there are not.
    async fn open(&self, sink: &TopicSink) -> Result<Box<dyn OpenTopic>, Error>;
}

/// A topic that is being written to.
#[async_trait]
pub trait OpenTopic: Send {
    /// Hands over messages, and waits while too many are on their way.
    ///
    /// # Errors
    /// What the brokers said about these or earlier messages.
    async fn send(&mut self, messages: Messages) -> Result<(), Error>;

    /// Waits until the brokers have everything.
    ///
    /// # Errors
    /// As for [`OpenTopic::send`].
    async fn finish(self: Box<Self>) -> Result<(), Error>;
}
