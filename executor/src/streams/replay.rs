//! Dead letters that are tried again.
//!
//! A letter comes late: messages behind it may have changed its row already. So these are read once more, and those that
//! are about the rows of letters, or of such messages, are applied behind the letters, in the order of the log. To apply a
//! run of changes of some rows again, up to the last one, leaves these rows as they are; with the letter among them they
//! are what they would be if it had never been dead. Rows that know versions, and those of tables that only grow, need no
//! messages.
//!
//! ```text
//! letters ─┐
//! topic ───┴► Gathered: decode ─► of the same rows? ─► Tried ─► Partition::replay ─► one checkpoint
//! ```
//!
//! Most messages are read before the follower of the topic partition hears of it; it reads the last few itself.

mod gathered;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond_engine::error::{Code, Error};
use millpond_proto::stream::{DeadLetter, LettersReplayed};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

pub(super) use self::gathered::Tried;

use self::gathered::Gathered;
use super::shared::{Alone, Shared};
use super::source::{BROKER_TIMEOUT, Source};
use super::tokens::{Authorized, log_in};
use super::watch::Watch;

/// Longest wait for a message at a time.
const POLL: Duration = Duration::from_millis(100);

/// Who is told what became of letters, when it is stored.
pub(super) type Answer = oneshot::Sender<Result<LettersReplayed, Error>>;

/// See the module.
pub(super) struct Replay {
    source: Arc<Source>,
    shared: Arc<Shared>,
    /// Those that are not gathered yet, by offset.
    letters: VecDeque<DeadLetter>,
    gathered: Gathered,
    behind: Option<Behind>,
    /// Others would settle the same letters.
    alone: Alone,
}

/// Reads the messages behind letters.
struct Behind {
    consumer: BaseConsumer<Authorized<Watch>>,
    next: u64,
}

impl Replay {
    /// Of those of the letters that there are. It asks the brokers, and blocks.
    ///
    /// # Errors
    /// Brokers that do not answer, or have deleted messages behind the letters.
    pub(super) fn new(source: Arc<Source>, shared: Arc<Shared>, offsets: &[u64]) -> Result<Self, Error> {
        let alone = shared.alone()?;
        let offsets: HashSet<u64> = offsets.iter().copied().collect();
        let mut letters = shared.letters();
        letters.retain(|letter| offsets.contains(&letter.offset));
        letters.sort_by_key(|letter| letter.offset);
        let is_dated = source.key().is_empty() || source.options.version_column.is_some();
        let first = letters.first().filter(|_| !is_dated);
        let behind = first.map(|letter| Behind::new(&source, shared.number, letter.offset + 1));
        Ok(Self {
            gathered: Gathered::new(source.decoder()?, source.key(), source.data_schema())?,
            behind: behind.transpose()?,
            source,
            shared,
            letters: letters.into(),
            alone,
        })
    }

    /// How the letters were decoded.
    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    pub(super) fn number(&self) -> u32 {
        self.shared.number
    }

    /// Reads what is before `position`. It blocks.
    ///
    /// # Errors
    /// Brokers that do not answer, and schemas that cannot be had now.
    pub(super) fn read_to(&mut self, position: u64) -> Result<(), Error> {
        let Some(behind) = self.behind.as_mut().filter(|behind| behind.next < position) else {
            return Ok(());
        };
        // Those that are not to be tried stay dead.
        let dead: HashSet<u64> = self.shared.letters().iter().map(|letter| letter.offset).collect();
        behind.seek(&self.source, self.shared.number)?;
        let mut heard = Instant::now();
        while behind.next < position {
            match behind.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let offset = message.offset().cast_unsigned();
                    if offset < position && !dead.contains(&offset) {
                        while let Some(letter) = self.letters.pop_front_if(|letter| letter.offset < offset) {
                            self.gathered.add_letter(letter)?;
                        }
                        self.gathered
                            .add_message(&message, &self.source.options.metadata)?;
                    }
                    behind.next = offset + 1;
                }
                // What is left are marks of transactions.
                Some(Err(KafkaError::PartitionEOF(_))) => behind.next = position,
                Some(Err(error)) if heard.elapsed() > BROKER_TIMEOUT => {
                    return Err(self.source.silent(&error));
                }
                None if heard.elapsed() > BROKER_TIMEOUT => {
                    return Err(self.source.silent(&KafkaError::NoMessageReceived));
                }
                Some(Err(_)) | None => {}
            }
        }
        // A message at the position was read too early.
        behind.next = position;
        Ok(())
    }

    /// Everything that is to be applied, with all letters. Until it is, nobody else may try them.
    ///
    /// # Errors
    /// Schemas that cannot be had now.
    pub(super) fn finish(mut self) -> Result<(Tried, Alone), Error> {
        for letter in self.letters {
            self.gathered.add_letter(letter)?;
        }
        Ok((self.gathered.finish()?, self.alone))
    }
}

impl Behind {
    fn new(source: &Source, number: u32, next: u64) -> Result<Self, Error> {
        let consumer = source.consumer(Watch::default())?;
        log_in(&consumer);
        let (low, _) = source.ask(|| source.range(&consumer, number))?;
        if next < low {
            return Err(Error::user(
                Code::NOT_SUPPORTED,
                format!("the topic has forgotten what came behind letters of topic partition {number}"),
            )
            .with_detail(format!(
                "it begins at offset {low} now, and a later change of the same row may have been before that"
            ))
            .with_hint(format!(
                "replay those with kafka_partition = {number} AND kafka_offset >= {}, and insert the others anew",
                low.saturating_sub(1)
            )));
        }
        Ok(Self { consumer, next })
    }

    /// Has the client read from the next offset.
    fn seek(&self, source: &Source, number: u32) -> Result<(), Error> {
        let mut wanted = TopicPartitionList::new();
        let offset = Offset::Offset(self.next.cast_signed());
        wanted
            .add_partition_offset(&source.topic, number.cast_signed(), offset)
            .and_then(|()| self.consumer.assign(&wanted))
            .map_err(|error| source.silent(&error))
    }
}
