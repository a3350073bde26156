//! An owner begins: it reads what was stored last, and writes its fence.

use std::collections::{BTreeMap, BTreeSet};

use millpond_proto::Message;
use millpond_proto::checkpoint::{Checkpoint, FORMAT, Fence, StoredLetters, StoredSums, StoredSumsFile};

use super::folder::{File, Name};
use super::{CheckpointFolder, Failed, Restored, Saver};
use crate::schema::fit;
use crate::shards::{LiveTable, SavedSegment, decode_ipc, stored_schema};

impl CheckpointFolder {
    /// Reads the newest checkpoint that counts and is whole, and begins a new epoch from there. `instance` is this
    /// process, which may begin the same epoch twice.
    ///
    /// # Errors
    /// [`Failed::Fenced`] if an owner of this or a higher epoch has begun, and a state store that does not answer.
    pub async fn restore(
        &self,
        epoch: u64,
        instance: &str,
        table: &LiveTable,
    ) -> Result<(Restored, Saver), Failed> {
        let files = self.claim(epoch, instance).await?;
        let (found, restored) = self.newest(&files, table).await?;
        let name = found.as_ref().map(|(name, _)| *name);
        self.put_mark(&File::Fence(epoch), &mark(instance, name)).await?;
        let checkpoint = found.as_ref().map(|(_, checkpoint)| checkpoint);
        let saver = Saver::new(self.clone(), epoch, next_seq(&files, epoch), checkpoint);
        Ok((restored, saver))
    }

    /// Reads what the owner of the day has stored, for one that reads along. Nothing is written.
    ///
    /// # Errors
    /// A state store that does not answer.
    pub async fn peek(&self, table: &LiveTable) -> Result<Restored, Failed> {
        loop {
            let files = self.list().await?;
            let restored = self.newest(&files, table).await?.1;
            // The owner deletes what it does not need while it is read; then there are newer ones.
            let files = self.list().await?;
            let is_there = |name: &String| {
                let name = Name::parse(name);
                name.is_some_and(|name| files.contains(&File::Checkpoint(name)))
            };
            if restored.damaged.iter().all(is_there) {
                return Ok(restored);
            }
        }
    }

    /// One that has read along becomes the owner. What it has is stored anew.
    ///
    /// # Errors
    /// As for [`CheckpointFolder::restore`].
    pub async fn take_over(&self, epoch: u64, instance: &str) -> Result<Saver, Failed> {
        let files = self.claim(epoch, instance).await?;
        let newest = self.candidates(&files).await?.first().copied();
        self.put_mark(&File::Fence(epoch), &mark(instance, newest))
            .await?;
        Ok(Saver::new(self.clone(), epoch, next_seq(&files, epoch), None))
    }

    /// Announces an owner and lists all files, if none of a higher epoch has begun. Whoever stores a checkpoint after
    /// that finds the claim, and takes it for not stored and deletes nothing; whatever was stored before is in the list.
    async fn claim(&self, epoch: u64, instance: &str) -> Result<Vec<File>, Failed> {
        self.put_mark(&File::Claim(epoch), &mark(instance, None)).await?;
        let files = self.list().await?;
        match files.iter().map(File::epoch).filter(|other| *other > epoch).max() {
            Some(higher) => Err(Failed::Fenced(higher)),
            None => Ok(files),
        }
    }

    /// The newest checkpoint that counts and is whole, and what it says.
    async fn newest(
        &self,
        files: &[File],
        table: &LiveTable,
    ) -> Result<(Option<(Name, Checkpoint)>, Restored), Failed> {
        let mut damaged = Vec::new();
        for name in self.candidates(files).await? {
            if let Some(checkpoint) = self.checkpoint(name).await?
                && let Some(restored) = self.read(&checkpoint, table).await?
            {
                return Ok((Some((name, checkpoint)), Restored { damaged, ..restored }));
            }
            damaged.push(name.to_string());
        }
        let nothing = Restored {
            damaged,
            ..Restored::default()
        };
        Ok((None, nothing))
    }

    /// Checkpoints that count, the one to try first before all others.
    async fn candidates(&self, files: &[File]) -> Result<Vec<Name>, Failed> {
        let mut written: BTreeMap<u64, BTreeSet<Name>> = BTreeMap::new();
        let mut fences: BTreeSet<u64> = BTreeSet::new();
        for file in files {
            match file {
                File::Fence(epoch) => drop(fences.insert(*epoch)),
                File::Checkpoint(name) => drop(written.entry(name.epoch).or_default().insert(*name)),
                File::Claim(_) | File::Part(..) => {}
            }
        }
        let mut candidates = Vec::new();
        let mut epoch = fences.last().copied();
        // Of each owner the newest first, up to where the owner after it went on.
        let mut newest: Option<Name> = None;
        while let Some(current) = epoch {
            let of_owner = written.get(&current).into_iter().flatten().rev();
            candidates.extend(of_owner.filter(|name| newest.is_none_or(|newest| **name <= newest)));
            let fence = self.fence(current).await?;
            newest = fence.and_then(|fence| Name::parse(&fence.restored));
            epoch = newest.map(|name| name.epoch).filter(|earlier| *earlier < current);
        }
        Ok(candidates)
    }

    /// Reads the parts of a checkpoint; `None` if one is missing or damaged.
    async fn read(&self, checkpoint: &Checkpoint, table: &LiveTable) -> Result<Option<Restored>, Failed> {
        let mut segments = Vec::with_capacity(checkpoint.segments.len());
        for stored in &checkpoint.segments {
            let Some(file) = &stored.file else { return Ok(None) };
            let Some(content) = self.part(file).await? else {
                return Ok(None);
            };
            let schema = stored_schema(table, stored.of_graves)?;
            // Columns may have come since it was stored.
            let decoded = tokio::task::spawn_blocking(move || {
                let batches = decode_ipc(content)?;
                batches
                    .iter()
                    .map(|batch| fit(batch, &schema))
                    .collect::<Result<Vec<_>, _>>()
            })
            .await;
            // Bytes that are those that were written, and cannot be read, are of another version.
            let Ok(Ok(batches)) = decoded else { return Ok(None) };
            let Ok([rows]) = <[_; 1]>::try_from(batches) else {
                return Ok(None);
            };
            segments.push(SavedSegment {
                id: stored.id,
                of_graves: stored.of_graves,
                rows,
                dead: stored.dead.clone(),
            });
        }
        let letters = match &checkpoint.letters {
            None => Vec::new(),
            Some(file) => {
                let content = self.part(file).await?;
                match content.and_then(|content| StoredLetters::decode(content).ok()) {
                    Some(stored) => stored.letters,
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(Restored {
            position: Some(checkpoint.position),
            written_at_ms: checkpoint.written_at_ms,
            counts: checkpoint.counts.unwrap_or_default(),
            last_message_ms: checkpoint.last_message_ms,
            newest_event_ms: checkpoint.newest_event_ms,
            segments,
            letters,
            sums: self.sums(checkpoint).await?,
            topic_id: checkpoint.topic_id.clone(),
            damaged: Vec::new(),
        }))
    }

    /// The sums of a checkpoint; none if they are damaged or of another version.
    async fn sums(&self, checkpoint: &Checkpoint) -> Result<Vec<StoredSums>, Failed> {
        let file = checkpoint.sums.as_ref();
        let Some(file) = file.filter(|_| checkpoint.written_by == env!("CARGO_PKG_VERSION")) else {
            return Ok(Vec::new());
        };
        let content = self.part(file).await?;
        let stored = content.and_then(|content| StoredSumsFile::decode(content).ok());
        Ok(stored.unwrap_or_default().sums)
    }
}

/// What an owner writes when it begins.
fn mark(instance: &str, restored: Option<Name>) -> Fence {
    Fence {
        format: FORMAT,
        instance: instance.to_string(),
        restored: restored.map_or_else(String::new, |name| name.to_string()),
    }
}

/// Number of the next checkpoint of an owner.
fn next_seq(files: &[File], epoch: u64) -> u64 {
    let own = files.iter().filter_map(|file| match file {
        File::Checkpoint(name) if name.epoch == epoch => Some(name.seq),
        _ => None,
    });
    own.max().map_or(0, |last| last + 1)
}
