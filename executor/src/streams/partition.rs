//! One topic partition: its messages become changes, and changes rows.
//!
//! Messages are decoded as they come and applied in batches. A position counts only when all messages before it have
//! been applied or kept as dead letters; then it is published with the rows. What cannot go on stops the topic
//! partition in front of the message it stopped at, and no other.

mod letters;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;
use millpond_engine::decode::{Changes, Decoder, Outcome};
use millpond_engine::error::Error;
use millpond_engine::schema::{encode_schema, fit};
use millpond_engine::shards::{LiveShard, ShardStore, Stalled};
use millpond_engine::streams::checkpoints::{Restored, ToSave};
use millpond_engine::streams::{OnError, Startup, WhenFull};
use millpond_proto::checkpoint::Counts;
use millpond_proto::stream::{DeadLetter, LettersReplayed, PartitionStatus};
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::sync::mpsc::Sender;

use self::letters::because;
use super::framed::Framed;
use super::lateness::Lateness;
use super::letterbox::Mail;
use super::pushed::Pushed;
use super::replay::Answer;
use super::shared::{Shared, fenced_by};
use super::source::Source;
use super::stored::Handover;

/// Why a topic partition stops that has too many letters.
const LETTERS_FULL: &str = "dead_letters_full: no more can be kept";

/// Messages behind the end at which there is something to catch up with.
const BACKLOG_MESSAGES: u64 = 50_000;

/// Whether a topic partition is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Course {
    /// Nobody has looked yet whether its offsets are there.
    New,
    /// It is read.
    Runs,
    /// It goes on by itself when there is room again.
    Stalled(String),
    /// It stands in front of what a person must deal with, and goes on when told to.
    Failed(String),
    /// Its rows are not those of its position, or not its own any more. What was stored is read again by another owner.
    Broken(String),
}

/// Where a topic partition stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    /// Nowhere: the table is not paused.
    Never,
    /// Where it ends, as the brokers say when they are asked first: its owner before may have shown as much.
    AtEnd,
    /// In front of this offset, or where it is if that is behind it.
    At(u64),
}

/// What brokers say of a topic partition.
pub(super) struct Found {
    /// Offsets of the oldest message, and after the newest.
    pub(super) range: (u64, u64),
    /// Identifier of the topic, if it has one.
    pub(super) topic_id: Option<String>,
}

/// What a topic partition is made from, besides what was stored of it.
pub(super) struct Begun {
    pub(super) source: Arc<Source>,
    pub(super) store: Arc<ShardStore>,
    pub(super) shared: Arc<Shared>,
    /// Offset at which the table begins.
    pub(super) start: u64,
    /// Offset at which the owner before stood still, if the table is paused.
    pub(super) paused_at: Option<u64>,
    /// The topic got it after the table was made.
    pub(super) added: bool,
    /// Where checkpoints go, if they are stored.
    pub(super) checkpoints: Option<Sender<Handover>>,
}

impl Begun {
    /// The topic partition as it was stored.
    ///
    /// # Errors
    /// A key or a column that cannot be, and no memory.
    pub(super) fn restore(self, restored: Restored) -> Result<Partition, Error> {
        let source = &self.source;
        let position = restored.position.unwrap_or(self.start);
        let live = source.live.as_ref().clone();
        let shard = LiveShard::restore(self.store, live, position, restored.segments);
        let shard = shard.map_err(|stalled| match stalled {
            Stalled::NoMemory(error) | Stalled::Broken(error) => error,
        })?;
        self.shared.set_views(shard.views());
        self.shared.restore(restored.letters);
        if let Some(position) = restored.position {
            self.shared.set_checkpoint(position, restored.written_at_ms);
        }
        let partition = Partition {
            course: Course::New,
            unknown: None,
            topic_id: restored.topic_id,
            topic_partitions: 0,
            halt: Halt::Never,
            paused_at: self.paused_at,
            added: self.added,
            caught_up: false,
            is_restored: restored.position.is_some(),
            lateness: source
                .event_time
                .map(|time| Lateness::new(time, restored.newest_event_ms)),
            decoder: source.decoder()?,
            source: self.source,
            shard,
            shared: self.shared,
            mail: Arc::default(),
            checkpoints: self.checkpoints,
            replayed: Vec::new(),
            stored: restored.position,
            begun_at: position,
            position,
            end: None,
            pushed: Vec::new(),
            doubtful: HashMap::new(),
            waiting: None,
            reported: restored.counts.read,
            counts: restored.counts,
            last_message_ms: restored.last_message_ms,
            messages_per_s: 0,
        };
        partition.show(None);
        Ok(partition)
    }
}

/// See the module.
pub(super) struct Partition {
    pub(super) course: Course,
    /// Why the brokers do not say which offsets there are, of one that is new.
    unknown: Option<String>,
    /// Identifier of the topic that the position is of; empty: nobody knows it.
    topic_id: String,
    /// How many the topic has, as far as is known.
    pub(super) topic_partitions: usize,
    halt: Halt,
    /// Offset at which the owner before this one stood still, as long as the table is paused.
    paused_at: Option<u64>,
    /// The topic got it after the table was made.
    added: bool,
    /// Everything that was in the topic partition when it was last asked has been read.
    pub(super) caught_up: bool,
    source: Arc<Source>,
    decoder: Decoder,
    shard: LiveShard,
    shared: Arc<Shared>,
    /// Dead letters on their way to a topic.
    mail: Arc<Mail>,
    checkpoints: Option<Sender<Handover>>,
    /// Who waits for the next checkpoint, and hears what.
    replayed: Vec<(Answer, LettersReplayed)>,
    /// Position of the last checkpoint that was asked for.
    stored: Option<u64>,
    /// It began with what was stored.
    is_restored: bool,
    /// Where it began to read.
    begun_at: u64,
    /// Next offset to read.
    position: u64,
    end: Option<u64>,
    pushed: Vec<Pushed>,
    /// Messages that may yet become dead letters, by their place in the batch.
    doubtful: HashMap<u32, DeadLetter>,
    /// Changes that there is no room for yet.
    waiting: Option<Changes>,
    counts: Counts,
    /// If rows say when something happened.
    lateness: Option<Lateness>,
    last_message_ms: u64,
    /// Messages at the last report, and their rate since the one before.
    reported: u64,
    messages_per_s: u64,
}

impl Partition {
    pub(super) fn is_revoked(&self) -> bool {
        self.shared.is_revoked()
    }

    pub(super) fn is_owned(&self) -> bool {
        !self.shared.is_standby() && !self.shared.is_revoked()
    }

    /// True if nobody has followed it before.
    fn is_first_owner(&self) -> bool {
        self.shared.epoch == 1 && !self.is_restored
    }

    pub(super) fn number(&self) -> u32 {
        self.shared.number
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn runs(&self) -> bool {
        self.course == Course::Runs
    }

    /// True if it is to read on: it runs, and does not stand still.
    pub(super) fn reads(&self) -> bool {
        self.runs() && !self.stands_still()
    }

    fn stands_still(&self) -> bool {
        matches!(self.halt, Halt::At(offset) if self.position >= offset)
    }

    /// Stands still from now on. One that has not begun goes on to where its owner before stood.
    /// One that the topic has got since, and nobody has read, does not begin.
    pub(super) fn pause(&mut self) {
        let has_begun = !self.shared.is_standby() && !self.shared.waits_for_adoption();
        self.halt = match self.course {
            Course::New if self.added && self.is_first_owner() => Halt::At(self.position),
            Course::New if !has_begun => self.paused_at.map_or(Halt::AtEnd, Halt::At),
            _ => Halt::At(self.position),
        };
    }

    /// Goes on, also if it has failed.
    pub(super) fn resume(&mut self) {
        self.halt = Halt::Never;
        self.paused_at = None;
        self.revive();
    }

    /// One that has failed begins again in front of what it failed at.
    fn revive(&mut self) {
        if matches!(self.course, Course::Failed(_)) {
            self.course = Course::New;
        }
    }

    /// True if brokers must say which offsets there are before it is read, or before its readers know what they must see.
    pub(super) fn awaits_brokers(&self) -> bool {
        match self.course {
            Course::New => true,
            Course::Stalled(_) => self.shared.waits_for_adoption(),
            Course::Runs | Course::Failed(_) | Course::Broken(_) => false,
        }
    }

    /// The brokers do not say which offsets there are.
    pub(super) fn is_unknown(&mut self, reason: String) {
        self.unknown = Some(reason);
    }

    /// True if messages were decoded that are not applied.
    pub(super) fn has_decoded(&self) -> bool {
        !self.pushed.is_empty()
    }

    /// Starts to read, if the topic partition has the offset to begin with, as the brokers have answered; `is_owned` says
    /// whether this was the owner when they were asked.
    pub(super) fn adopt(&mut self, found: &Found, is_owned: bool) {
        let range @ (low, high) = found.range;
        self.unknown = None;
        if let Some(topic_id) = &found.topic_id
            && !self.is_of(topic_id)
        {
            return;
        }
        // One that only looks again has told its readers before where it began.
        let begins = self.shared.waits_for_adoption();
        let first_owner = self.is_first_owner();
        let takes_what_there_is = self.added || self.source.options.startup == Startup::Earliest;
        if begins && first_owner && takes_what_there_is {
            // What was deleted since the table was created was never promised.
            self.position = self.position.max(low);
        }
        if self.has_outgrown() || self.has_lost(range) {
            return;
        }
        if self.course == Course::New {
            self.course = Course::Runs;
        }
        self.end = Some(high);
        self.caught_up = self.position == high;
        let shown = match self.halt {
            Halt::Never => high,
            Halt::AtEnd => {
                self.halt = Halt::At(high);
                high
            }
            Halt::At(offset) => high.min(offset),
        };
        if begins && is_owned {
            self.shared.set_readable_from(if first_owner { 0 } else { shown });
        }
    }

    /// Fails if the topic is another one than its position is of.
    pub(super) fn is_of(&mut self, topic_id: &str) -> bool {
        if self.topic_id.is_empty() {
            topic_id.clone_into(&mut self.topic_id);
        }
        let is_same = self.topic_id == topic_id;
        if !is_same {
            self.course = Course::Failed(
                "topic_recreated: it was deleted and made anew; REFRESH TABLE reads it from its beginning"
                    .to_string(),
            );
        }
        is_same
    }

    /// Takes in how many topic partitions there are. Those of a table that only grows are followed too, as soon as the
    /// catalog has them; a key would be in two of them.
    pub(super) fn heed_growth(&mut self, count: usize) {
        self.topic_partitions = self.topic_partitions.max(count);
        self.has_outgrown();
    }

    fn has_outgrown(&mut self) -> bool {
        let (known, now) = (self.source.partition_count, self.topic_partitions);
        let has_outgrown = now > known && !self.source.key().is_empty();
        if has_outgrown {
            self.course = Course::Failed(format!(
                "partition_growth: the topic had {known} partitions and has {now}; REFRESH TABLE reads it anew"
            ));
        }
        has_outgrown
    }

    /// Looks again whether the topic is what it was.
    pub(super) fn doubt(&mut self) {
        if self.runs() {
            self.course = Course::New;
        }
    }

    /// Decodes and keeps rows as another source says, from the next message on. One that has failed tries again.
    ///
    /// # Errors
    /// Options that make no decoder, and rows that have no place in its columns; it fails then.
    pub(super) fn set_source(&mut self, source: Arc<Source>) -> Result<(), Error> {
        self.decoder = source.decoder()?;
        self.set_table(&source)?;
        if let (Some(lateness), Some(time)) = (&mut self.lateness, source.event_time) {
            *lateness = Lateness::new(time, lateness.newest());
        }
        self.source = source;
        self.revive();
        Ok(())
    }

    /// Has its rows in the columns of a source from now on, at the same position.
    fn set_table(&mut self, source: &Source) -> Result<(), Error> {
        if let Some(waiting) = &mut self.waiting {
            waiting.rows = fit(&waiting.rows, &source.live.schema).map_err(Error::from_datafusion)?;
        }
        if let Err(stalled) = self.shard.set_table(source.live.as_ref().clone()) {
            let (Stalled::NoMemory(error) | Stalled::Broken(error)) = stalled;
            self.course = Course::Broken(format!("columns: {}", error.message));
            return Err(error);
        }
        if source.live.schema != self.source.live.schema {
            let position = self.shard.views().read().position();
            self.shard.publish(position);
            self.stored = None;
        }
        Ok(())
    }

    /// One that has read along is the owner now: readers get what there is at this moment, or more.
    pub(super) fn promote(&mut self) {
        if self.runs() {
            self.course = Course::New;
        }
        if self.halt != Halt::Never {
            self.halt = self.paused_at.map_or(Halt::AtEnd, Halt::At);
        }
        self.stored = None;
        // Nobody knows which of them the owner before could still send.
        let since_begun = |letter: &DeadLetter| letter.offset >= self.begun_at;
        for letter in self.shared.letters().into_iter().filter(since_begun) {
            self.post(&letter);
        }
    }

    /// Fails if the next offset is none of those there are.
    fn has_lost(&mut self, (low, high): (u64, u64)) -> bool {
        let next = self.position;
        let reason = if next > high {
            format!("out_of_range: it ends at offset {high}, before {next}, so it is not the topic it was")
        } else if next < low {
            format!("out_of_range: messages from offset {next} to {low} were deleted before they were read")
        } else {
            return false;
        };
        self.course = Course::Failed(reason);
        true
    }

    /// Decodes a message and says whether something waits to be applied.
    pub(super) fn push(&mut self, message: &BorrowedMessage<'_>) -> bool {
        let offset = message.offset().cast_unsigned();
        if !self.runs() || offset < self.position {
            return false;
        }
        if let Halt::At(halt) = self.halt
            && offset >= halt
        {
            // Everything in front of it has been polled.
            match self.pushed.is_empty() {
                true => self.pass_marks(halt),
                false => self.position = self.position.max(halt),
            }
            return true;
        }
        let place = self.pushed.len() as u32;
        let framed = Framed::of(message, self.decoder.heeds_frames());
        let outcome = self.decoder.push(framed.message());
        self.pushed
            .push(Pushed::of(message, &self.source.options.metadata));
        match outcome {
            Ok(Outcome::Rows(_)) => self.counts.applied += 1,
            Ok(Outcome::Doubtful(_)) => {
                self.counts.applied += 1;
                // Why it is a letter shows if it becomes one.
                self.doubtful.insert(place, self.letter(message, "", ""));
            }
            Ok(Outcome::Skipped(_)) => self.counts.filtered += 1,
            Err(rejected) if rejected.reason().passes() => {
                self.stall(rejected.to_string());
                return true;
            }
            Err(rejected) => {
                let letter = self.letter(message, rejected.reason().name(), rejected.detail());
                if !self.put_aside(letter) {
                    return true;
                }
            }
        }
        self.counts.read += 1;
        self.position = offset + 1;
        self.last_message_ms = time_of(message);
        true
    }

    /// Stops in front of a message. It was read but does not count, so what follows it was not read either.
    fn stall(&mut self, reason: String) {
        self.course = Course::Stalled(reason);
        self.caught_up = false;
    }

    /// Applies what has been decoded, and publishes it. Nothing is applied if the table has too much (`over_memory`).
    pub(super) fn apply(&mut self, over_memory: bool) {
        let changes = match self.waiting.take().map_or_else(|| self.take(), Ok) {
            Ok(changes) => changes,
            Err(error) => {
                self.course = Course::Broken(format!("broken: {error}"));
                return;
            }
        };
        if over_memory {
            self.course = Course::Stalled(
                "memory: the table takes as much as 'memory.max' says; raise it, or keep less".to_string(),
            );
            self.waiting = Some(changes);
            return;
        }
        match self.shard.apply(&changes) {
            Ok(applied) => {
                self.counts.stale += applied.stale as u64;
                for refused in applied.refused {
                    self.counts.applied -= 1;
                    if let Some(letter) = self.doubtful.remove(&refused.message) {
                        self.take_back(because(&refused, letter));
                    }
                }
                self.doubtful.clear();
                self.shard.publish(self.position);
                let options = &self.source.options;
                let pauses = options.on_error == OnError::DeadLetter && options.when_full == WhenFull::Pause;
                if pauses && self.runs() && self.shared.is_over(options.dead_letters_max) {
                    self.stall(LETTERS_FULL.to_string());
                }
            }
            Err(Stalled::NoMemory(error)) => {
                self.course = Course::Stalled(format!("memory: {}", error.message));
                self.waiting = Some(changes);
            }
            Err(Stalled::Broken(error)) => {
                self.course = Course::Broken(format!("broken: {}", error.message));
            }
        }
    }

    fn take(&mut self) -> Result<Changes, ArrowError> {
        let mut changes = self.decoder.take()?;
        let pushed = std::mem::take(&mut self.pushed);
        if !self.source.options.metadata.is_empty() {
            self.add_metadata(&mut changes, &pushed)?;
        }
        if let Some(lateness) = &mut self.lateness {
            self.counts.late_rows += lateness.count(&changes)?;
        }
        Ok(changes)
    }

    /// Adds the columns about the messages.
    fn add_metadata(&self, changes: &mut Changes, pushed: &[Pushed]) -> Result<(), ArrowError> {
        let of_rows: Vec<&Pushed> = changes
            .messages
            .iter()
            .map(|message| &pushed[*message as usize])
            .collect();
        let mut columns = changes.rows.columns().to_vec();
        let metadata = self.source.options.metadata.iter();
        columns.extend(metadata.map(|column| Pushed::column(*column, self.number(), &of_rows)));
        changes.rows = RecordBatch::try_new(self.source.live.schema.clone(), columns)?;
        Ok(())
    }

    /// Tries again what there was no room for.
    pub(super) fn retry(&mut self, over_memory: bool) {
        if !matches!(self.course, Course::Stalled(_)) {
            return;
        }
        if self.waiting.is_some() {
            self.course = Course::Runs;
            self.apply(over_memory);
        } else if let Err(rejected) = self.decoder.retry() {
            self.course = Course::Stalled(rejected.to_string());
        } else if self.can_keep_letters() {
            self.course = Course::Runs;
        }
    }

    /// Takes in how far the topic partition goes.
    pub(super) fn set_end(&mut self, end: u64) {
        self.end = self.end.max(Some(end));
        self.caught_up &= end < self.position + BACKLOG_MESSAGES;
    }

    /// Everything before `offset` has been polled: what follows the last message are marks of transactions.
    pub(super) fn pass_marks(&mut self, offset: u64) {
        if self.runs() && self.pushed.is_empty() && self.position < offset {
            self.position = offset;
            self.shard.publish(offset);
        }
    }

    /// Bytes of memory of its rows and its index.
    pub(super) fn bytes(&self) -> usize {
        self.shard.bytes()
    }

    /// Lets rows go that are too old, or too many. Readers see it at once, at the same position.
    pub(super) fn expire(&mut self) {
        let expired = self.shard.expire(SystemTime::now());
        let shrunk = self.shard.shrink();
        let has_gone = |outcome| match outcome {
            Ok(has_gone) => has_gone,
            Err(error) => {
                let table = &self.source.name;
                tracing::warn!(table, error = &error as &dyn std::error::Error, "let old rows go");
                false
            }
        };
        if has_gone(expired) | has_gone(shrunk) {
            let position = self.shard.views().read().position();
            self.shard.publish(position);
            self.stored = None;
        }
    }

    /// Has what is there now stored, if it is other than last time and nothing waits to be applied.
    pub(super) fn checkpoint(&mut self) {
        let view = self.shard.views().read().clone();
        let is_between = self.has_decoded() || self.waiting.is_some() || view.position() != self.position;
        if let Some(trouble) = self.mail.trouble() {
            self.shared
                .miss_checkpoint(&format!("dead_letters_topic: {trouble}"));
        }
        let is_now = !is_between && !self.shared.is_standby() && self.mail.is_delivered();
        let Some(checkpoints) = self.checkpoints.as_ref().filter(|_| is_now) else {
            return;
        };
        if self.shared.take_missed_checkpoint() {
            self.stored = None;
        }
        if self.stored == Some(self.position) {
            return;
        }
        // While one is being stored, the next one waits for its turn.
        if let Ok(place) = checkpoints.try_reserve() {
            self.stored = Some(self.position);
            let (letters_version, letters) = self.shared.hand_over_letters();
            place.send(Handover {
                letters_version,
                replayed: std::mem::take(&mut self.replayed),
                what: ToSave {
                    view,
                    table: self.source.live.clone(),
                    counts: self.counts,
                    last_message_ms: self.last_message_ms,
                    newest_event_ms: self.lateness.as_ref().and_then(Lateness::newest),
                    letters,
                    sums: Vec::new(),
                    topic_id: self.topic_id.clone(),
                },
            });
        }
    }

    /// Stops if another owner has begun.
    pub(super) fn heed_fence(&mut self) {
        if let Some(epoch) = self.shared.fenced_by() {
            self.course = Course::Broken(fenced_by(epoch));
        }
    }

    /// Measures the rate since the last call.
    pub(super) fn measure(&mut self, seconds: f64) {
        let read = self.counts.read - self.reported;
        self.messages_per_s = (read as f64 / seconds.max(0.001)).round() as u64;
        self.reported = self.counts.read;
    }

    /// What the table should get, in IPC form.
    fn wanted_columns(&self) -> Vec<u8> {
        let wanted = self
            .source
            .wanted_columns()
            .map(|columns| encode_schema(&columns));
        wanted.transpose().ok().flatten().unwrap_or_default()
    }

    /// Tells everybody how it stands. `trouble` is with the brokers and concerns all.
    pub(super) fn show(&self, trouble: Option<&str>) {
        let (state, reason) = match (&self.course, trouble) {
            (Course::Failed(reason) | Course::Broken(reason), _) => ("failed", reason.as_str()),
            (Course::Runs, _) if self.stands_still() && self.shared.is_standby() => ("standby", ""),
            (Course::Runs, _) if self.stands_still() => ("paused", ""),
            (Course::Stalled(reason), _) if self.stands_still() && !self.shared.is_standby() => {
                ("paused", reason.as_str())
            }
            (Course::Stalled(reason), _) => ("stalled", reason.as_str()),
            (_, Some(reason)) => ("stalled", reason),
            (Course::New, None) => match &self.unknown {
                Some(reason) => ("stalled", reason.as_str()),
                None => ("starting", ""),
            },
            (Course::Runs, None) if self.caught_up && self.shared.is_standby() => ("standby", ""),
            (Course::Runs, None) if self.caught_up => ("live", ""),
            (Course::Runs, None) => ("backfilling", ""),
        };
        let view = self.shard.views().read().clone();
        let Counts {
            read,
            applied,
            filtered,
            dead,
            skipped,
            stale,
            late_rows,
        } = self.counts;
        self.shared.set_status(PartitionStatus {
            table_id: self.source.table_id.clone(),
            number: self.number(),
            epoch: self.shared.epoch,
            position: view.position(),
            end: self
                .end
                .max(Some(self.position))
                .filter(|_| self.course != Course::New),
            state: state.to_string(),
            reason: reason.to_string(),
            read,
            applied,
            filtered,
            dead,
            skipped,
            stale,
            late_rows,
            watermark_ms: self.lateness.as_ref().and_then(Lateness::watermark),
            rows: view.rows() as u64,
            bytes: self.shard.bytes() as u64,
            last_message_ms: self.last_message_ms,
            messages_per_s: self.messages_per_s,
            wanted_columns: self.wanted_columns(),
            follows_version: self.source.version,
            topic_partitions: self.topic_partitions as u32,
            // Kept apart, for they are stored apart.
            ..Default::default()
        });
    }
}

/// Timestamp of a message, milliseconds since the Unix epoch; 0: it has none.
fn time_of(message: &BorrowedMessage<'_>) -> u64 {
    let time = message.timestamp().to_millis().unwrap_or(0);
    time.max(0).cast_unsigned()
}
