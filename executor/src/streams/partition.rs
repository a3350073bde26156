//! One topic partition: its messages become changes, and changes rows.
//!
//! Messages are decoded as they come and applied in batches. A position counts only when all messages before it have
//! been applied or kept as dead letters; then it is published with the rows. What cannot go on stops the topic
//! partition in front of the message it stopped at, and no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;
use millpond_engine::decode::{Changes, Decoder, Outcome};
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::{encode_schema, fit};
use millpond_engine::shards::{LiveShard, Refused, ShardStore, Stalled};
use millpond_engine::streams::checkpoints::{Restored, ToSave};
use millpond_engine::streams::{OnError, Startup, WhenFull};
use millpond_proto::checkpoint::Counts;
use millpond_proto::stream::{DeadLetter, LettersReplayed, PartitionStatus};
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::sync::mpsc::Sender;

use super::framed::Framed;
use super::lateness::Lateness;
use super::letterbox::Mail;
use super::pushed::{Pushed, headers_of};
use super::replay::{Answer, Replay, Tried};
use super::shared::{Shared, fenced_by};
use super::source::Source;
use super::stored::Handover;

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
    /// It needs a person.
    Failed(String),
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

/// What a topic partition is made from, besides what was stored of it.
pub(super) struct Begun {
    pub(super) source: Arc<Source>,
    pub(super) store: Arc<ShardStore>,
    pub(super) shared: Arc<Shared>,
    /// Offset at which the table begins.
    pub(super) start: u64,
    /// Offset at which the owner before stood still, if the table is paused.
    pub(super) paused_at: Option<u64>,
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
            halt: Halt::Never,
            paused_at: self.paused_at,
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
    halt: Halt,
    /// Offset at which the owner before this one stood still, as long as the table is paused.
    paused_at: Option<u64>,
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
    pub(super) fn pause(&mut self) {
        self.halt = match self.course {
            Course::New => self.paused_at.map_or(Halt::AtEnd, Halt::At),
            _ => Halt::At(self.position),
        };
    }

    /// Goes on.
    pub(super) fn resume(&mut self) {
        self.halt = Halt::Never;
        self.paused_at = None;
    }

    /// True if messages were decoded that are not applied.
    pub(super) fn has_decoded(&self) -> bool {
        !self.pushed.is_empty()
    }

    /// Starts to read, if the topic partition has the offset to begin with; `range` are those it has, and `is_owned` says
    /// whether this was the owner when the brokers were asked.
    pub(super) fn adopt(&mut self, range: (u64, u64), is_owned: bool) {
        let (low, high) = range;
        let first_owner = self.shared.epoch == 1 && !self.is_restored;
        if first_owner && self.source.options.startup == Startup::Earliest {
            // What was deleted since the table was created was never promised.
            self.position = self.position.max(low);
        }
        if self.has_lost(range) {
            return;
        }
        self.course = Course::Runs;
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
        if is_owned {
            self.shared.set_readable_from(if first_owner { 0 } else { shown });
        }
    }

    /// Decodes and keeps rows as another source says, from the next message on.
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
        Ok(())
    }

    /// Has its rows in the columns of a source from now on, at the same position.
    fn set_table(&mut self, source: &Source) -> Result<(), Error> {
        if let Some(waiting) = &mut self.waiting {
            waiting.rows = fit(&waiting.rows, &source.live.schema).map_err(Error::from_datafusion)?;
        }
        if let Err(stalled) = self.shard.set_table(source.live.as_ref().clone()) {
            let (Stalled::NoMemory(error) | Stalled::Broken(error)) = stalled;
            self.course = Course::Failed(format!("columns: {}", error.message));
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
    pub(super) fn has_lost(&mut self, (low, high): (u64, u64)) -> bool {
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
        let framed = Framed::of(message, self.decoder.by_registry());
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
            Err(rejected) if rejected.reason.passes() => {
                self.stall(rejected.to_string());
                return true;
            }
            Err(rejected) => {
                let letter = self.letter(message, rejected.reason.name(), &rejected.detail);
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

    /// Deals with a bad message as the table says; false if it stops here.
    fn put_aside(&mut self, letter: DeadLetter) -> bool {
        let options = &self.source.options;
        if options.on_error == OnError::DeadLetter
            && let Some(trouble) = self.mail.trouble()
        {
            self.stall(format!("dead_letters_topic: {trouble}"));
            return false;
        }
        match (options.on_error, options.when_full) {
            (OnError::Skip, _) => self.counts.skipped += 1,
            (OnError::Fail, _) => {
                let offset = letter.offset;
                self.course = Course::Failed(format!(
                    "bad_message at offset {offset}: {}: {}",
                    letter.reason, letter.detail
                ));
                return false;
            }
            (OnError::DeadLetter, _) if self.has_room() => self.bury(letter),
            (OnError::DeadLetter, WhenFull::DropOldest) => {
                if self.shared.drop_oldest() {
                    self.counts.dead -= 1;
                    self.counts.skipped += 1;
                }
                self.bury(letter);
            }
            (OnError::DeadLetter, WhenFull::Pause) => {
                self.stall("dead_letters_full: no more can be kept".to_string());
                return false;
            }
        }
        true
    }

    /// Stops in front of a message. It was read but does not count, so what follows it was not read either.
    fn stall(&mut self, reason: String) {
        self.course = Course::Stalled(reason);
        self.caught_up = false;
    }

    fn bury(&mut self, letter: DeadLetter) {
        self.counts.dead += 1;
        if self.is_owned() {
            self.post(&letter);
        }
        self.shared.keep(letter);
    }

    /// Sends a letter to the topic of letters, if there is one.
    fn post(&self, letter: &DeadLetter) {
        match self.source.letterbox() {
            Ok(Some(letterbox)) => self.mail.post(letterbox, letter.clone()),
            Ok(None) => {}
            // The table was made with these settings.
            Err(error) => tracing::error!(table = self.source.name, %error, "send a dead letter"),
        }
    }

    /// Sends letters again that did not reach their topic.
    pub(super) fn post_again(&self) {
        if let Ok(Some(letterbox)) = self.source.letterbox() {
            self.mail.post_again(letterbox);
        }
    }

    fn has_room(&self) -> bool {
        self.shared.has_room(self.source.options.dead_letters_max)
    }

    fn letter(&self, message: &BorrowedMessage<'_>, reason: &str, detail: &str) -> DeadLetter {
        DeadLetter {
            table_id: self.source.table_id.clone(),
            partition: self.number(),
            offset: message.offset().cast_unsigned(),
            timestamp_ms: time_of(message),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            reason: reason.to_string(),
            detail: detail.to_string(),
            headers: headers_of(message),
        }
    }

    /// Applies what has been decoded, and publishes it. Nothing is applied if the table has too much (`over_memory`).
    pub(super) fn apply(&mut self, over_memory: bool) {
        let changes = match self.waiting.take().map_or_else(|| self.take(), Ok) {
            Ok(changes) => changes,
            Err(error) => {
                self.course = Course::Failed(format!("broken: {error}"));
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
            }
            Err(Stalled::NoMemory(error)) => {
                self.course = Course::Stalled(format!("memory: {}", error.message));
                self.waiting = Some(changes);
            }
            Err(Stalled::Broken(error)) => {
                self.course = Course::Failed(format!("broken: {}", error.message));
            }
        }
    }

    /// A message that looked good was of no use. It is behind us, so it is kept even beyond the limit.
    fn take_back(&mut self, letter: DeadLetter) {
        match self.source.options.on_error {
            OnError::Skip => self.counts.skipped += 1,
            OnError::DeadLetter => self.bury(letter),
            OnError::Fail => {
                self.course = Course::Failed(format!(
                    "bad_message at offset {}: {}: {}",
                    letter.offset, letter.reason, letter.detail
                ));
                self.bury(letter);
            }
        }
    }

    /// Tries letters again, here and now. Whoever asked hears of it when it is stored.
    pub(super) fn replay(&mut self, replay: Replay, answer: Answer) {
        match self.try_again(replay) {
            Ok(replayed) if self.checkpoints.is_some() => {
                self.replayed.push((answer, replayed));
                self.stored = None;
                self.checkpoint();
            }
            // One who does not wait any more need not hear it.
            outcome => drop(answer.send(outcome)),
        }
    }

    fn try_again(&mut self, mut replay: Replay) -> Result<LettersReplayed, Error> {
        let is_as_tried = Arc::ptr_eq(replay.source(), &self.source);
        let can_apply = matches!(self.course, Course::Runs | Course::Stalled(_)) && self.waiting.is_none();
        if !is_as_tried || !self.is_owned() || self.shared.waits_for_adoption() || !can_apply {
            return Err(Error::new(
                Code::SHARD_MOVED,
                format!("topic partition {} does not apply anything now", self.number()),
            )
            .with_hint("look at system.stream_partitions, and run the statement again when it is live"));
        }
        replay.read_to(self.position)?;
        let Tried {
            mut changes,
            pushed,
            mut letters,
            mut settled,
            filtered,
            mut dead,
        } = replay.finish()?;
        let broken = |error: ArrowError| Error::from_datafusion(error.into());
        if !self.source.options.metadata.is_empty() {
            self.add_metadata(&mut changes, &pushed).map_err(broken)?;
        }
        let applied = self.shard.apply(&changes).map_err(|stalled| match stalled {
            Stalled::NoMemory(error) => error,
            Stalled::Broken(error) => {
                self.course = Course::Failed(format!("broken: {}", error.message));
                error
            }
        })?;
        for refused in &applied.refused {
            if let Some(letter) = letters.remove(&refused.message) {
                settled.remove(&letter.offset);
                dead.push(because(refused, letter));
            }
        }
        let settled_now = settled.len() as u64;
        let were_letters = self.shared.settle(&settled, dead);
        self.counts.stale += applied.stale as u64;
        self.counts.dead -= were_letters;
        // Others were dropped while they were decoded.
        self.counts.skipped -= settled_now - were_letters;
        self.counts.filtered += filtered;
        self.counts.applied += settled_now - filtered;
        self.shard.publish(self.position);
        Ok(LettersReplayed { settled: settled_now })
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
        } else if self.has_room() && self.mail.trouble().is_none() {
            self.course = Course::Runs;
        }
        if self.shared.waits_for_adoption() {
            self.promote();
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
        let of_each = |bytes: u64| bytes / self.source.partition_count.max(1) as u64;
        let bytes = self.source.options.retention_bytes.map(of_each);
        let expired = self.shard.expire(SystemTime::now()).unwrap_or_else(|error| {
            tracing::warn!(table = self.source.name, %error, "let old rows go");
            false
        });
        let shrunk = bytes.is_some_and(|bytes| self.shard.shrink(bytes as usize));
        if expired || shrunk {
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
            place.send(Handover {
                replayed: std::mem::take(&mut self.replayed),
                what: ToSave {
                    view,
                    table: self.source.live.clone(),
                    counts: self.counts,
                    last_message_ms: self.last_message_ms,
                    newest_event_ms: self.lateness.as_ref().and_then(Lateness::newest),
                    letters: self.shared.changed_letters(),
                    sums: Vec::new(),
                },
            });
        }
    }

    /// Stops if another owner has begun.
    pub(super) fn heed_fence(&mut self) {
        if let Some(epoch) = self.shared.fenced_by() {
            self.course = Course::Failed(fenced_by(epoch));
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
            (Course::Failed(reason), _) => ("failed", reason.as_str()),
            (Course::Runs, _) if self.stands_still() && self.shared.is_standby() => ("standby", ""),
            (Course::Runs, _) if self.stands_still() => ("paused", ""),
            (Course::Stalled(reason), _) if self.stands_still() && !self.shared.is_standby() => {
                ("paused", reason.as_str())
            }
            (Course::Stalled(reason), _) => ("stalled", reason.as_str()),
            (_, Some(reason)) => ("stalled", reason),
            (Course::New, None) => ("starting", ""),
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

/// A letter whose reason came to light when its changes were applied.
fn because(refused: &Refused, letter: DeadLetter) -> DeadLetter {
    DeadLetter {
        reason: refused.reason.to_string(),
        detail: refused.detail.clone(),
        ..letter
    }
}
