//! An owner begins: it reads what was stored last, and writes its fence.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::datatypes::SchemaRef;
use millpond_proto::Message;
use millpond_proto::checkpoint::{Checkpoint, FORMAT, Fence, StoredLetters};

use super::folder::{File, Name};
use super::{CheckpointFolder, Failed, Restored, Saver};
use crate::shards::{SavedSegment, decode_ipc};

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
        schema: &SchemaRef,
    ) -> Result<(Restored, Saver), Failed> {
        let files = self.list().await?;
        if let Some(higher) = files.iter().map(File::epoch).filter(|other| *other > epoch).max() {
            return Err(Failed::Fenced(higher));
        }
        let mut damaged = Vec::new();
        let mut found = None;
        for name in self.candidates(&files).await? {
            if let Some(checkpoint) = self.checkpoint(name).await?
                && let Some(restored) = self.read(&checkpoint, schema).await?
            {
                found = Some((name, checkpoint, restored));
                break;
            }
            damaged.push(name.to_string());
        }
        let fence = Fence {
            format: FORMAT,
            instance: instance.to_string(),
            restored: found
                .as_ref()
                .map_or_else(String::new, |(name, ..)| name.to_string()),
        };
        if !self.put_fence(epoch, &fence).await? {
            let there = self.fence(epoch).await?;
            if there.is_none_or(|there| there.instance != instance) {
                return Err(Failed::Fenced(epoch));
            }
        }
        let own = files.iter().filter_map(|file| match file {
            File::Checkpoint(name) if name.epoch == epoch => Some(name.seq),
            _ => None,
        });
        let seq = own.max().map_or(0, |last| last + 1);
        let (checkpoint, restored) = match found {
            Some((_, checkpoint, restored)) => (Some(checkpoint), restored),
            None => (None, Restored::default()),
        };
        let saver = Saver::new(self.clone(), epoch, seq, checkpoint.as_ref());
        Ok((Restored { damaged, ..restored }, saver))
    }

    /// Checkpoints that count, the one to try first before all others.
    async fn candidates(&self, files: &[File]) -> Result<Vec<Name>, Failed> {
        let mut written: BTreeMap<u64, BTreeSet<Name>> = BTreeMap::new();
        let mut fences: BTreeSet<u64> = BTreeSet::new();
        for file in files {
            match file {
                File::Fence(epoch) => drop(fences.insert(*epoch)),
                File::Checkpoint(name) => drop(written.entry(name.epoch).or_default().insert(*name)),
                File::Part(..) => {}
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
    async fn read(&self, checkpoint: &Checkpoint, schema: &SchemaRef) -> Result<Option<Restored>, Failed> {
        let mut segments = Vec::with_capacity(checkpoint.segments.len());
        for stored in &checkpoint.segments {
            let Some(file) = &stored.file else { return Ok(None) };
            let Some(content) = self.part(file).await? else {
                return Ok(None);
            };
            let schema = schema.clone();
            let decoded = tokio::task::spawn_blocking(move || decode_ipc(content, &schema)).await;
            // Bytes that are those that were written, and cannot be read, are of another version.
            let Ok(Ok(batches)) = decoded else { return Ok(None) };
            let Ok([rows]) = <[_; 1]>::try_from(batches) else {
                return Ok(None);
            };
            segments.push(SavedSegment {
                id: stored.id,
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
            counts: checkpoint.counts.unwrap_or_default(),
            last_message_ms: checkpoint.last_message_ms,
            segments,
            letters,
            damaged: Vec::new(),
        }))
    }
}
