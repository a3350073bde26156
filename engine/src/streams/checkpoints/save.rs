//! An owner stores what it has, again and again, and deletes what is not needed any more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use millpond_proto::Message;
use millpond_proto::checkpoint::{
    Checkpoint, Counts, FORMAT, StoredFile, StoredLetters, StoredSegment, StoredSums, StoredSumsFile,
};
use millpond_proto::stream::DeadLetter;

use super::folder::{File, Name};
use super::{CheckpointFolder, Failed};
use crate::shards::{LiveTable, View, encode_ipc};

/// Checkpoints of an owner that are kept.
const KEPT: usize = 3;

/// A topic partition at one position, to be stored.
#[derive(Debug)]
pub struct ToSave {
    /// Rows and position.
    pub view: Arc<View>,
    /// Whose rows they are.
    pub table: Arc<LiveTable>,
    /// Messages up to there.
    pub counts: Counts,
    /// Timestamp of the last of them.
    pub last_message_ms: u64,
    /// The greatest event time of all rows so far, milliseconds since the Unix epoch.
    pub newest_event_ms: Option<i64>,
    /// The dead letters, if they are others than last time.
    pub letters: Option<Vec<DeadLetter>>,
    /// Sums of models over the rows.
    pub sums: Vec<StoredSums>,
    /// Identifier of the topic; empty: nobody knows it.
    pub topic_id: String,
}

/// Stores checkpoints of one owner, one after the other.
#[derive(Debug)]
pub struct Saver {
    folder: CheckpointFolder,
    epoch: u64,
    seq: u64,
    /// Files of segments that are stored, by kind and number.
    segments: HashMap<(bool, u32), StoredFile>,
    letters: Option<StoredFile>,
    /// The last ones of this owner, and the names of their parts.
    last: VecDeque<(Name, HashSet<String>)>,
}

impl Saver {
    pub(super) fn new(folder: CheckpointFolder, epoch: u64, seq: u64, from: Option<&Checkpoint>) -> Self {
        let stored = from.into_iter().flat_map(|from| &from.segments);
        Self {
            folder,
            epoch,
            seq,
            segments: stored
                .filter_map(|segment| Some(((segment.of_graves, segment.id), segment.file.clone()?)))
                .collect(),
            letters: from.and_then(|from| from.letters.clone()),
            last: VecDeque::new(),
        }
    }

    /// Stores a checkpoint. When this returns, it is there and stays.
    ///
    /// # Errors
    /// [`Failed::Fenced`] if somebody else has begun, and a state store that does not answer: nothing has changed then, and
    /// a later one can be stored.
    pub async fn save(&mut self, what: ToSave) -> Result<(), Failed> {
        let mut segments = Vec::new();
        let mut stored = HashMap::new();
        let known = what.view.segments();
        let known: Vec<_> = known
            .map(|segment| (segment.of_graves(), segment.id(), segment.dead().to_vec()))
            .collect();
        for (of_graves, id, dead) in known {
            let name = (of_graves, id);
            let file = match self.segments.get(&name) {
                Some(file) => file.clone(),
                None => self.store_segment(&what, name).await?,
            };
            stored.insert(name, file.clone());
            // Also if this fails further on, it need not be stored again.
            self.segments.insert(name, file.clone());
            segments.push(StoredSegment {
                id,
                of_graves,
                file: Some(file),
                dead,
            });
        }
        if let Some(letters) = &what.letters {
            self.letters = match letters.is_empty() {
                true => None,
                false => {
                    let content = StoredLetters {
                        letters: letters.clone(),
                    }
                    .encode_to_vec();
                    Some(self.folder.put_part(self.epoch, "letters", content).await?)
                }
            };
        }
        let sums = match what.sums.is_empty() {
            true => None,
            false => {
                let content = StoredSumsFile { sums: what.sums }.encode_to_vec();
                Some(self.folder.put_part(self.epoch, "sums", content).await?)
            }
        };
        let checkpoint = Checkpoint {
            format: FORMAT,
            written_by: env!("CARGO_PKG_VERSION").to_string(),
            nonce: uuid::Uuid::new_v4().simple().to_string(),
            position: what.view.position(),
            counts: Some(what.counts),
            last_message_ms: what.last_message_ms,
            newest_event_ms: what.newest_event_ms,
            segments,
            letters: self.letters.clone(),
            sums,
            topic_id: what.topic_id,
            written_at_ms: now_ms(),
        };
        let name = Name {
            epoch: self.epoch,
            seq: self.seq,
        };
        // The number is used up even if no answer comes, for the checkpoint may be there.
        self.seq += 1;
        if !self.folder.put_checkpoint(name, &checkpoint).await? {
            return Err(Failed::Fenced(self.epoch));
        }
        self.segments = stored;
        self.last.push_back((name, parts_of(&checkpoint)));
        self.sweep().await
    }

    async fn store_segment(&self, what: &ToSave, name: (bool, u32)) -> Result<StoredFile, Failed> {
        let (view, table) = (what.view.clone(), what.table.clone());
        let encoded = tokio::task::spawn_blocking(move || {
            let mut segments = view.segments();
            let segment = segments.find(|segment| (segment.of_graves(), segment.id()) == name);
            segment.map_or(Ok(Vec::new()), |segment| encode_ipc(&segment.rows(&table)?))
        });
        let content = encoded.await.map_err(|error| {
            Failed::Store(crate::error::Error::bug(format!(
                "a segment was not encoded: {error}"
            )))
        })??;
        self.folder.put_part(self.epoch, "segment", content).await
    }

    /// Looks whether somebody else has begun, and deletes what the last checkpoints do not need.
    async fn sweep(&mut self) -> Result<(), Failed> {
        let files = self.folder.list().await?;
        if let Some(higher) = files
            .iter()
            .map(File::epoch)
            .filter(|other| *other > self.epoch)
            .max()
        {
            return Err(Failed::Fenced(higher));
        }
        if self.last.len() < KEPT {
            // The one before may be that of an earlier owner.
            return Ok(());
        }
        while self.last.len() > KEPT {
            self.last.pop_front();
        }
        let is_needed = |file: &File| match file {
            File::Claim(epoch) | File::Fence(epoch) => *epoch == self.epoch,
            File::Checkpoint(name) => self.last.iter().any(|(kept, _)| kept == name),
            File::Part(_, name) => self.last.iter().any(|(_, parts)| parts.contains(name)),
        };
        // Parts last, so that a checkpoint that is still there has all of its own.
        let (parts, others): (Vec<_>, Vec<_>) = files
            .iter()
            .filter(|file| !is_needed(file))
            .partition(|file| matches!(file, File::Part(..)));
        for file in others.into_iter().chain(parts) {
            self.folder.delete(file).await?;
        }
        Ok(())
    }
}

fn parts_of(checkpoint: &Checkpoint) -> HashSet<String> {
    let segments = checkpoint
        .segments
        .iter()
        .filter_map(|segment| segment.file.as_ref());
    segments
        .chain(&checkpoint.letters)
        .chain(&checkpoint.sums)
        .map(|file| file.name.clone())
        .collect()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
