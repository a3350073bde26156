//! The thread that follows a table's topic: it reads, decodes, applies and publishes.
//!
//! ```text
//! brokers ─► client's queue ─► push (decode) ─► … ─► apply ─► publish        commands ─► who is followed
//!                (bounded)         up to a batch        one topic partition after the other
//! ```
//!
//! A batch ends when the first of its messages has waited for a moment, longer as long as there is much to catch up
//! with. Nothing is read while a batch is applied, so a topic that is faster waits with its brokers and in the queue of
//! the client, which is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use millpond_engine::error::Error;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::partition::{Found, Partition};
use super::replay::{Answer, Replay};
use super::source::Source;
use super::tokens::{Authorized, log_in};
use super::watch::Watch;

/// Longest wait of a message for others, when there is nothing to catch up with, and when there is.
const LINGER_LIVE: Duration = Duration::from_millis(5);
const LINGER_BACKLOG: Duration = Duration::from_millis(100);
/// Messages and bytes at which a batch ends at once.
const BATCH_MESSAGES: usize = 65_536;
const BATCH_BYTES: usize = 32 << 20;
/// Messages that are taken before anything else is looked at.
const POLLED_AT_ONCE: usize = 64;
/// How often to look for commands while there are no messages.
const IDLE_WAIT: Duration = Duration::from_millis(20);
/// How often to report, and to try again what has stalled.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);
/// Shortest time between two looks at a topic about which brokers complain.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for threads that ask brokers, at the end.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look whether the topic is still the same.
const IDENTITY_INTERVAL: Duration = Duration::from_secs(15);
/// How often the brokers are told how far the table is.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// A change of what is followed.
#[derive(Default)]
pub(super) struct Command {
    /// More topic partitions.
    pub(super) add: Vec<Partition>,
    /// Those that somebody else follows from now on.
    pub(super) remove: Vec<u32>,
    /// Those that have read along and are followed for good now.
    pub(super) promote: Vec<u32>,
    /// Whether nothing is read from now on; `None`: as before.
    pub(super) paused: Option<bool>,
    /// The topic as the table wants it from now on; `None`: as before.
    pub(super) source: Option<Arc<Source>>,
    /// Letters to try again.
    pub(super) replay: Option<(Replay, Answer)>,
}

impl Command {
    /// True if nothing is to change.
    pub(super) fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty() && self.promote.is_empty() && self.paused.is_none()
    }
}

/// See the module.
pub(super) struct Follower {
    source: Arc<Source>,
    consumer: Arc<BaseConsumer<Authorized<Watch>>>,
    /// Asks brokers about topic partitions that are new.
    inquiries: Vec<Inquiry>,
    /// Asks them which topic it is.
    identity: Option<JoinHandle<Option<String>>>,
    identified_at: Instant,
    /// The topic is to be looked at again, and when it was last.
    doubts: bool,
    doubted_at: Option<Instant>,
    commands: Receiver<Command>,
    partitions: BTreeMap<u32, Partition>,
    paused: bool,
    /// What the client reads is not what should be read.
    is_stale: bool,
    batch: Batch,
    /// What is wrong with the brokers or the topic, and whether an answer of a broker mends it.
    trouble: Option<(String, bool)>,
    reported_at: Instant,
    committed_at: Instant,
    stored_at: Instant,
}

/// A question to the brokers, which may take long.
struct Inquiry {
    number: u32,
    /// Whether the topic partition was the owner when it was asked.
    is_owned: bool,
    answer: JoinHandle<KafkaResult<Found>>,
}

/// Messages that are decoded and not applied.
#[derive(Default)]
struct Batch {
    since: Option<Instant>,
    messages: usize,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, message: &BorrowedMessage<'_>) {
        self.since.get_or_insert_with(Instant::now);
        self.messages += 1;
        self.bytes += message.payload_len() + message.key_len();
    }

    fn is_full(&self) -> bool {
        self.messages >= BATCH_MESSAGES || self.bytes >= BATCH_BYTES
    }
}

impl Follower {
    /// Makes a client that reads nothing yet.
    ///
    /// # Errors
    /// A setting that the Kafka client does not have.
    pub(super) fn new(source: Arc<Source>, commands: Receiver<Command>) -> Result<Self, Error> {
        Ok(Self {
            consumer: Arc::new(source.consumer(Watch::default())?),
            inquiries: Vec::new(),
            identity: None,
            identified_at: Instant::now(),
            doubts: false,
            doubted_at: None,
            source,
            commands,
            partitions: BTreeMap::new(),
            paused: false,
            is_stale: false,
            batch: Batch::default(),
            trouble: None,
            reported_at: Instant::now(),
            committed_at: Instant::now(),
            stored_at: Instant::now(),
        })
    }

    /// Follows until nobody can send commands any more.
    pub(super) fn run(mut self) {
        log_in(&self.consumer);
        while self.take_commands() {
            self.adopt();
            if self.is_stale {
                self.assign();
            }
            self.poll();
            if self.is_due() {
                self.apply();
            }
            if self.reported_at.elapsed() >= REPORT_INTERVAL {
                self.report();
            }
        }
        self.apply();
        self.checkpoint();
        self.commit();
        self.end_asking();
    }

    /// Waits for threads that have a client: it is to end before the process does.
    fn end_asking(&mut self) {
        let deadline = Instant::now() + ASK_TIMEOUT;
        let is_asking = |follower: &Self| {
            let asks = |inquiry: &Inquiry| !inquiry.answer.is_finished();
            let identifies = |asked: &JoinHandle<_>| !asked.is_finished();
            follower.inquiries.iter().any(asks) || follower.identity.as_ref().is_some_and(identifies)
        };
        while is_asking(self) && Instant::now() < deadline {
            std::thread::sleep(IDLE_WAIT);
        }
    }

    /// Waits for a message, and takes those that lie behind it as long as there is nothing else to do. To ask what time it is
    /// for each of them, and whether there are commands, would take a tenth as long as to read it.
    fn poll(&mut self) {
        let mut wait = self.wait();
        for _ in 0..POLLED_AT_ONCE {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    self.trouble = None;
                    let partition = u32::try_from(message.partition()).ok();
                    let partition = partition.and_then(|number| self.partitions.get_mut(&number));
                    if let Some(partition) = partition
                        && partition.push(&message)
                    {
                        self.batch.add(&message);
                        self.is_stale |= !partition.reads();
                    }
                }
                Some(Err(error)) => return self.heed(&error),
                None => return,
            }
            if self.is_stale || self.batch.is_full() {
                return;
            }
            wait = Duration::ZERO;
        }
    }

    /// False when there will be no more.
    fn take_commands(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.change(command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn change(&mut self, command: Command) {
        self.apply();
        // An answer may be of a topic that was there before.
        self.identity = None;
        if let Some(source) = command.source {
            self.set_source(source);
        }
        for number in command.remove {
            self.partitions.remove(&number);
            self.forget_inquiry(number);
        }
        let wanted = |partition: &Partition| !partition.is_revoked();
        for mut partition in command.add.into_iter().filter(wanted) {
            // Options may have changed while it was made.
            if let Err(error) = partition.set_source(self.source.clone()) {
                tracing::error!(table = self.source.name, %error, "follow a topic partition");
            }
            if self.paused {
                partition.pause();
            }
            self.partitions.insert(partition.number(), partition);
        }
        for number in command.promote {
            self.partitions.entry(number).and_modify(Partition::promote);
            // What it would answer was asked for one that was no owner.
            self.forget_inquiry(number);
        }
        if let Some((replay, answer)) = command.replay
            && let Some(partition) = self.partitions.get_mut(&replay.number())
        {
            partition.replay(replay, answer);
        }
        if let Some(paused) = command.paused {
            self.paused = paused;
            let set = match paused {
                true => Partition::pause,
                false => Partition::resume,
            };
            self.partitions.values_mut().for_each(set);
        }
        self.is_stale = true;
        self.inquire();
        self.show();
    }

    /// Follows in another way from now on, with a new client.
    fn set_source(&mut self, source: Arc<Source>) {
        let consumer = source.consumer(Watch::default());
        let changed = consumer.map(|consumer| {
            for (number, partition) in &mut self.partitions {
                if let Err(error) = partition.set_source(source.clone()) {
                    tracing::error!(table = source.name, partition = number, %error, "follow with other options");
                }
            }
            log_in(&consumer);
            self.consumer = Arc::new(consumer);
            self.source = source;
        });
        if let Err(error) = changed {
            tracing::error!(table = self.source.name, %error, "follow a topic with other options");
        }
    }

    /// Has the client read what should be read, from where each topic partition is.
    fn assign(&mut self) {
        self.is_stale = false;
        let mut wanted = TopicPartitionList::new();
        let running = self.partitions.values().filter(|partition| partition.reads());
        for partition in running {
            let offset = Offset::Offset(partition.position().cast_signed());
            let number = partition.number().cast_signed();
            if let Err(error) = wanted.add_partition_offset(&self.source.topic, number, offset) {
                tracing::error!(%error, table = self.source.name, "assign topic partitions");
            }
        }
        if let Err(error) = self.consumer.assign(&wanted) {
            self.trouble = Some((error.to_string(), false));
        }
        self.show();
    }

    /// Has the brokers asked whether the offsets to begin with are there, of topic partitions that are new. A broker that is not
    /// there is waited for by nobody but its topic partitions.
    fn inquire(&mut self) {
        // They are all of one topic: the first that can asks which.
        let identity = Arc::new(Mutex::default());
        for (number, partition) in &mut self.partitions {
            let is_asked = self.inquiries.iter().any(|inquiry| inquiry.number == *number);
            if partition.awaits_brokers() && !is_asked {
                match Inquiry::begin(&self.source, &self.consumer, partition, identity.clone()) {
                    Ok(inquiry) => self.inquiries.push(inquiry),
                    Err(error) => partition.is_unknown(format!("start a thread: {error}")),
                }
            }
        }
    }

    fn forget_inquiry(&mut self, number: u32) {
        self.inquiries.retain(|inquiry| inquiry.number != number);
    }

    /// Starts to read topic partitions of which the brokers have answered.
    fn adopt(&mut self) {
        for inquiry in self
            .inquiries
            .extract_if(.., |inquiry| inquiry.answer.is_finished())
        {
            let new = self.partitions.get_mut(&inquiry.number);
            let Some(partition) = new.filter(|partition| partition.awaits_brokers()) else {
                continue;
            };
            match inquiry.answer.join() {
                Ok(Ok(found)) => {
                    partition.adopt(&found, inquiry.is_owned);
                    self.is_stale = true;
                }
                Ok(Err(error)) => partition.is_unknown(format!("brokers: {error}")),
                Err(_) => partition.is_unknown("broken: a thread has panicked, see the log".to_string()),
            }
            partition.show(None);
        }
    }

    fn wait(&self) -> Duration {
        match self.batch.since {
            None => IDLE_WAIT,
            Some(since) => self.linger().saturating_sub(since.elapsed()),
        }
    }

    fn linger(&self) -> Duration {
        let mut reading = self.partitions.values().filter(|partition| partition.reads());
        match reading.all(|partition| partition.caught_up) {
            true => LINGER_LIVE,
            false => LINGER_BACKLOG,
        }
    }

    fn is_due(&self) -> bool {
        let waited = self
            .batch
            .since
            .is_some_and(|since| since.elapsed() >= self.linger());
        waited || self.batch.is_full()
    }

    fn apply(&mut self) {
        if self.batch.since.is_none() {
            return;
        }
        self.batch = Batch::default();
        let over_memory = self.is_over_memory();
        for partition in self.partitions.values_mut() {
            let (read, had) = (partition.reads(), partition.has_decoded());
            if had {
                partition.apply(over_memory);
            }
            self.is_stale |= read && !partition.reads();
        }
        self.show();
    }

    fn heed(&mut self, error: &KafkaError) {
        match error {
            KafkaError::PartitionEOF(number) => {
                self.trouble = None;
                let number = u32::try_from(*number).ok();
                if let Some(partition) = number.and_then(|number| self.partitions.get_mut(&number)) {
                    partition.caught_up = true;
                }
            }
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) => self.doubt(),
            KafkaError::MessageConsumption(
                code @ (RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopicId
                | RDKafkaErrorCode::UnknownPartition),
            ) => {
                self.trouble = Some((format!("topic: {code}"), false));
                self.doubt();
            }
            KafkaError::MessageConsumption(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
                self.trouble = Some((format!("topic: {code}"), false));
            }
            other => self.trouble = Some((format!("brokers: {other}"), true)),
        }
        self.show();
    }

    /// Looks again whether the topic is there, is the one that it was, and has the offsets to go on from. The client does not
    /// say which topic partition has lost its place. If it was looked not long ago, the next report does it.
    fn doubt(&mut self) {
        self.doubts = self.doubted_at.is_some_and(|at| at.elapsed() < DOUBT_PAUSE);
        if self.doubts {
            return;
        }
        self.doubted_at = Some(Instant::now());
        self.apply();
        self.partitions.values_mut().for_each(Partition::doubt);
        self.is_stale = true;
        self.inquire();
    }

    fn report(&mut self) {
        let seconds = self.reported_at.elapsed().as_secs_f64();
        self.reported_at = Instant::now();
        let seen = self.consumer.context().take();
        if seen.answered && self.trouble.as_ref().is_some_and(|(_, passes)| *passes) {
            self.trouble = None;
        }
        let over_memory = self.is_over_memory();
        for (number, partition) in &mut self.partitions {
            partition.measure(seconds);
            partition.heed_fence();
            partition.post_again();
            if !partition.runs() {
                partition.retry(over_memory);
                self.is_stale |= partition.runs();
            }
            if let Some(end) = seen.ends.get(number) {
                partition.set_end(*end);
            }
        }
        // Of a topic partition that starts again, messages may have been polled that are still to be read.
        if self.batch.since.is_none() && !self.is_stale {
            self.pass_marks();
        }
        // A batch that is not applied yet is behind the position, so what goes now is not of it.
        self.partitions.values_mut().for_each(Partition::expire);
        self.notice_growth(seen.partitions);
        self.identify();
        if self.doubts {
            self.doubt();
        }
        self.inquire();
        self.show();
        if self.stored_at.elapsed() >= self.source.options.checkpoint_interval {
            self.stored_at = Instant::now();
            self.apply();
            self.checkpoint();
        }
        if self.committed_at.elapsed() >= COMMIT_INTERVAL {
            self.commit();
        }
    }

    /// Goes on behind marks of transactions, which are no messages. What was polled last is the only word on them that comes
    /// in the order of messages: where a fetch has ended may be far ahead of messages that wait to be polled.
    fn pass_marks(&mut self) {
        let Ok(polled) = self.consumer.position() else {
            return;
        };
        for element in polled.elements_for_topic(&self.source.topic) {
            let partition = u32::try_from(element.partition()).ok();
            let partition = partition.and_then(|number| self.partitions.get_mut(&number));
            if let (Some(partition), Offset::Offset(offset)) = (partition, element.offset()) {
                partition.pass_marks(offset.cast_unsigned());
            }
        }
    }

    /// True if the topic partitions here take more than their part of what the table may.
    fn is_over_memory(&self) -> bool {
        let Some(max) = self.source.options.memory_max else {
            return false;
        };
        let bytes: usize = self.partitions.values().map(Partition::bytes).sum();
        let all = self.source.partition_count.max(self.partitions.len()).max(1);
        bytes as u128 * all as u128 >= u128::from(max) * self.partitions.len() as u128
    }

    fn checkpoint(&mut self) {
        self.partitions.values_mut().for_each(Partition::checkpoint);
    }

    /// Looks from time to time whether the topic is still the one that it was.
    fn identify(&mut self) {
        if let Some(asked) = self.identity.take_if(|asked| asked.is_finished())
            && let Ok(Some(topic_id)) = asked.join()
        {
            for partition in self.partitions.values_mut().filter(|partition| partition.runs()) {
                self.is_stale |= !partition.is_of(&topic_id);
            }
        }
        if self.identity.is_none() && self.identified_at.elapsed() >= IDENTITY_INTERVAL {
            self.identified_at = Instant::now();
            let (source, consumer) = (self.source.clone(), self.consumer.clone());
            self.identity = ask(&source.clone(), move || source.topic_id(&consumer)).ok();
        }
    }

    /// Topic partitions that have come since the table was made.
    fn notice_growth(&mut self, partitions: usize) {
        for partition in self.partitions.values_mut().filter(|partition| partition.runs()) {
            partition.heed_growth(partitions);
            self.is_stale |= !partition.runs();
        }
    }

    /// Tells the brokers how far the table is. Only people's tools read it.
    fn commit(&mut self) {
        self.committed_at = Instant::now();
        let mut offsets = TopicPartitionList::new();
        for partition in self.partitions.values().filter(|partition| partition.is_owned()) {
            let offset = Offset::Offset(partition.position().cast_signed());
            let number = partition.number().cast_signed();
            let added = offsets.add_partition_offset(&self.source.topic, number, offset);
            tracing::trace!(?added, "commit");
        }
        if offsets.count() > 0
            && let Err(error) = self.consumer.commit(&offsets, CommitMode::Async)
        {
            tracing::debug!(%error, table = self.source.name, "commit offsets to the group");
        }
    }

    fn show(&self) {
        let trouble = self.trouble.as_ref().map(|(text, _)| text.as_str());
        for partition in self.partitions.values() {
            partition.show(trouble);
        }
    }
}

impl Inquiry {
    /// Asks for the offsets that a topic partition has.
    fn begin(
        source: &Arc<Source>,
        consumer: &Arc<BaseConsumer<Authorized<Watch>>>,
        partition: &Partition,
        identity: Arc<Mutex<Option<String>>>,
    ) -> std::io::Result<Self> {
        let (source, consumer, number) = (source.clone(), consumer.clone(), partition.number());
        // Before it is asked: what the owner of then has shown may be behind the end that the brokers say.
        let is_owned = partition.is_owned();
        let answer = ask(&source.clone(), move || {
            let range = source.range(&consumer, number)?;
            // One answer is enough for all of them.
            let mut identity = identity.lock();
            if identity.is_none() {
                *identity = source.topic_id(&consumer);
            }
            let topic_id = identity.clone();
            Ok(Found { range, topic_id })
        })?;
        Ok(Self {
            number,
            is_owned,
            answer,
        })
    }
}

/// Asks brokers in a thread of its own, which may wait long.
fn ask<T: Send + 'static>(
    source: &Source,
    question: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(format!("ask {}", source.name))
        .spawn(question)
}
