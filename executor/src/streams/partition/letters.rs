//! What becomes of messages that could not become rows, and of those that are tried again.

use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use millpond_engine::error::{Code, Error};
use millpond_engine::shards::{Refused, Stalled};
use millpond_engine::streams::{OnError, WhenFull};
use millpond_proto::stream::{DeadLetter, LettersReplayed};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::super::pushed::headers_of;
use super::super::replay::{Answer, Replay, Tried};
use super::{Course, LETTERS_FULL, Partition, time_of};

impl Partition {
    /// Deals with a bad message as the table says; false if it stops here.
    pub(super) fn put_aside(&mut self, letter: DeadLetter) -> bool {
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
            (OnError::DeadLetter, WhenFull::DropOldest) => self.bury(letter),
            (OnError::DeadLetter, WhenFull::Pause) if self.has_room() => self.bury(letter),
            (OnError::DeadLetter, WhenFull::Pause) => {
                self.stall(LETTERS_FULL.to_string());
                return false;
            }
        }
        true
    }

    pub(super) fn bury(&mut self, letter: DeadLetter) {
        if self.source.options.when_full == WhenFull::DropOldest {
            let dropped = self.shared.drop_oldest(self.source.options.dead_letters_max);
            self.counts.dead -= dropped;
            self.counts.skipped += dropped;
        }
        self.counts.dead += 1;
        // Also if it is about to let go: the next owner does not know what was not sent.
        if !self.shared.is_standby() {
            self.post(&letter);
        }
        self.shared.keep(letter);
    }

    /// Sends a letter to the topic of letters, if there is one.
    pub(super) fn post(&self, letter: &DeadLetter) {
        match self.source.letterbox() {
            Ok(Some(letterbox)) => self.mail.post(letterbox, letter.clone()),
            Ok(None) => {}
            // The table was made with these settings.
            Err(error) => tracing::error!(table = self.source.name, %error, "send a dead letter"),
        }
    }

    /// Sends letters again that did not reach their topic.
    pub(in crate::streams) fn post_again(&self) {
        if let Ok(Some(letterbox)) = self.source.letterbox() {
            self.mail.post_again(letterbox);
        }
    }

    /// False if it must wait in front of the next bad message.
    pub(super) fn can_keep_letters(&self) -> bool {
        let options = &self.source.options;
        let is_full = options.when_full == WhenFull::Pause && !self.has_room();
        options.on_error != OnError::DeadLetter || !is_full && self.mail.trouble().is_none()
    }

    fn has_room(&self) -> bool {
        self.shared.has_room(self.source.options.dead_letters_max)
    }

    pub(super) fn letter(&self, message: &BorrowedMessage<'_>, reason: &str, detail: &str) -> DeadLetter {
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

    /// A message that looked good was of no use. It is behind us, so it is kept even beyond the limit, at which the topic
    /// partition stops.
    pub(super) fn take_back(&mut self, letter: DeadLetter) {
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
    pub(in crate::streams) fn replay(&mut self, replay: Replay, answer: Answer) {
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
        let (tried, _alone) = replay.finish()?;
        let Tried {
            mut changes,
            pushed,
            mut letters,
            mut settled,
            filtered,
            mut dead,
        } = tried;
        let broken = |error: ArrowError| Error::from_datafusion(error.into());
        if !self.source.options.metadata.is_empty() {
            self.add_metadata(&mut changes, &pushed).map_err(broken)?;
        }
        let applied = self.shard.apply(&changes).map_err(|stalled| match stalled {
            Stalled::NoMemory(error) => error,
            Stalled::Broken(error) => {
                self.course = Course::Broken(format!("broken: {}", error.message));
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
}

/// A letter whose reason came to light when its changes were applied.
pub(super) fn because(refused: &Refused, letter: DeadLetter) -> DeadLetter {
    DeadLetter {
        reason: refused.reason.to_string(),
        detail: refused.detail.clone(),
        ..letter
    }
}
