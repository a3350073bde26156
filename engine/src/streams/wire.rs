//! Actions on an executor's data port that are about topics. They belong to the scheduler.

use millpond_proto::Message;
use millpond_proto::stream::{
    DeadLetters, DescribeTopic, Follow, Following, LettersReplayed, PinPartitions, Pinned, ReadLetters,
    ReplayLetters, TopicDescription,
};

use crate::connections::Connections;
use crate::error::Error;

/// Action that makes an executor follow what is in the [`Follow`] of its body; it answers a [`Following`].
pub const FOLLOW: &str = "millpond.streams.follow";
/// Action that answers a [`Following`].
pub const STATUS: &str = "millpond.streams.status";
/// Action that pins the topic partitions of the [`PinPartitions`] in its body and answers a [`Pinned`].
pub const PIN: &str = "millpond.streams.pin";
/// Action that asks the brokers of the [`DescribeTopic`] in its body and answers a [`TopicDescription`].
pub const DESCRIBE: &str = "millpond.streams.describe";
/// Action that answers the [`DeadLetters`] of the topic partitions in the [`ReadLetters`] of its body, in pieces.
pub const DEAD_LETTERS: &str = "millpond.streams.dead_letters";
/// Action that tries the dead letters of the [`ReplayLetters`] in its body again and answers a [`LettersReplayed`].
pub const REPLAY: &str = "millpond.streams.replay";

impl Connections {
    /// Makes an executor follow topic partitions, and no others.
    ///
    /// # Errors
    /// The executor is gone.
    pub async fn follow(&self, executor: &str, request: &Follow) -> Result<Following, Error> {
        read(&self.act(executor, FOLLOW, request.encode_to_vec()).await?)
    }

    /// What an executor follows.
    ///
    /// # Errors
    /// The executor is gone.
    pub async fn following(&self, executor: &str) -> Result<Following, Error> {
        read(&self.act(executor, STATUS, Vec::new()).await?)
    }

    /// Pins topic partitions that an executor follows.
    ///
    /// # Errors
    /// The executor is gone, does not follow one of them under that epoch, or is not that far yet.
    pub async fn pin_partitions(&self, executor: &str, request: &PinPartitions) -> Result<Pinned, Error> {
        read(&self.act(executor, PIN, request.encode_to_vec()).await?)
    }

    /// Asks the brokers of a topic about it, through an executor.
    ///
    /// # Errors
    /// The executor is gone, the brokers do not answer, or say that there is no such topic, or its messages are not
    /// what the table wants.
    pub async fn describe_topic(
        &self,
        executor: &str,
        request: &DescribeTopic,
    ) -> Result<TopicDescription, Error> {
        read(&self.act(executor, DESCRIBE, request.encode_to_vec()).await?)
    }

    /// The dead letters of topic partitions that an executor owns; none of those that it does not own under that epoch.
    ///
    /// # Errors
    /// The executor is gone.
    pub async fn dead_letters(&self, executor: &str, request: &ReadLetters) -> Result<DeadLetters, Error> {
        // Messages of the protocol are put together by writing them one behind the other.
        read(&self.act(executor, DEAD_LETTERS, request.encode_to_vec()).await?)
    }

    /// Tries dead letters of a topic partition again. What became of them is stored when this returns.
    ///
    /// # Errors
    /// The executor is gone or does not follow the topic partition in this way; messages behind the letters cannot be
    /// read any more; there is no memory for the rows; they are applied and could not be stored yet.
    pub async fn replay_letters(
        &self,
        executor: &str,
        request: &ReplayLetters,
    ) -> Result<LettersReplayed, Error> {
        read(&self.act(executor, REPLAY, request.encode_to_vec()).await?)
    }
}

fn read<M: Message + Default>(bytes: &[u8]) -> Result<M, Error> {
    M::decode(bytes).map_err(|error| Error::bug(format!("an answer of another version: {error}")))
}
