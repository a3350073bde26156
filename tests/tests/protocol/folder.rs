//! The folder of checkpoints: fences, checkpoints put if absent, and the parts that they name.

use std::collections::{BTreeMap, BTreeSet};

use crate::rows::{Rows, is_fold};

/// Who wrote it, and a segment.
pub(crate) type Part = (u8, u8);
/// Executor and process.
pub(crate) type Process = (u8, u8);

/// Name of a checkpoint: epoch, and number among those of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) epoch: u8,
    pub(crate) seq: u8,
}

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Checkpoint {
    pub(crate) position: u8,
    pub(crate) applied: u8,
    pub(crate) dead: u8,
    pub(crate) parts: BTreeSet<Part>,
    pub(crate) damaged: bool,
    /// For the properties: when it was put, somebody had begun a higher epoch.
    pub(crate) late: bool,
}

impl Checkpoint {
    pub(crate) fn rows(&self) -> Rows {
        Rows {
            position: self.position,
            applied: self.applied,
            segments: self.parts.iter().map(|(_, segment)| *segment).collect(),
            dead: self.dead,
        }
    }

    /// True if its rows are those of its position.
    pub(crate) fn is_fold(&self) -> bool {
        let present = self.parts.iter().fold(0, |all, (_, segment)| all | segment);
        is_fold(self.position, self.applied, present, self.dead)
    }
}

/// An owner has begun.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    pub(crate) process: Process,
    /// The checkpoint that it goes on from.
    pub(crate) restored: Option<Name>,
}

/// A file that is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum File {
    Fence(u8),
    Checkpoint(Name),
    Part(Part),
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Folder {
    pub(crate) parts: BTreeSet<Part>,
    pub(crate) checkpoints: BTreeMap<Name, Checkpoint>,
    pub(crate) fences: BTreeMap<u8, Fence>,
    /// Epochs that are about to begin; only with [`crate::rules::Rules::claims_first`].
    pub(crate) claims: BTreeMap<u8, Process>,
    /// For the properties: position of the last checkpoint of which its owner was told that it is there.
    pub(crate) saved: u8,
    /// For the properties: one was damaged.
    pub(crate) was_damaged: bool,
}

impl Folder {
    /// The highest epoch of a file, if it is above `epoch`.
    pub(crate) fn higher(&self, epoch: u8) -> Option<u8> {
        let epochs = self.fences.keys().chain(self.claims.keys()).copied();
        let epochs = epochs
            .chain(self.checkpoints.keys().map(|name| name.epoch))
            .chain(self.parts.iter().map(|(epoch, _)| *epoch));
        epochs.filter(|other| *other > epoch).max()
    }

    /// Checkpoints that count, the one to try first before all others: of each owner the newest first, up to where the
    /// owner after it went on.
    pub(crate) fn candidates(&self, heeds_fence: bool) -> Vec<Name> {
        let names = self.checkpoints.keys().rev();
        if !heeds_fence {
            return names.copied().collect();
        }
        let mut candidates = Vec::new();
        let mut epoch = self.fences.keys().last().copied();
        let mut newest: Option<Name> = None;
        while let Some(current) = epoch {
            let counts = |name: &&Name| name.epoch == current && newest.is_none_or(|newest| **name <= newest);
            candidates.extend(names.clone().filter(counts).copied());
            newest = self.fences.get(&current).and_then(|fence| fence.restored);
            epoch = newest.map(|name| name.epoch).filter(|earlier| *earlier < current);
        }
        candidates
    }

    /// A checkpoint, if nothing of it is missing or damaged.
    pub(crate) fn whole(&self, name: Name) -> Option<&Checkpoint> {
        let found = self.checkpoints.get(&name)?;
        (!found.damaged && found.parts.is_subset(&self.parts)).then_some(found)
    }

    /// Puts a fence if absent; false if that of another process is there.
    pub(crate) fn put_fence(&mut self, epoch: u8, process: Process, restored: Option<Name>) -> bool {
        let fence = Fence { process, restored };
        self.fences.entry(epoch).or_insert(fence).process == process
    }

    /// As [`Self::put_fence`], before it is known what the owner goes on from.
    pub(crate) fn put_claim(&mut self, epoch: u8, process: Process) -> bool {
        *self.claims.entry(epoch).or_insert(process) == process
    }

    /// What the last checkpoints of the owner of an epoch do not need.
    pub(crate) fn needless(&self, epoch: u8, last: &[Name]) -> Vec<File> {
        let kept: Vec<&Checkpoint> = last
            .iter()
            .filter_map(|name| self.checkpoints.get(name))
            .collect();
        let fences = self.fences.keys().filter(|other| **other != epoch);
        let checkpoints = self.checkpoints.keys().filter(|name| !last.contains(name));
        let is_kept = |part: &&Part| kept.iter().any(|checkpoint| checkpoint.parts.contains(part));
        let parts = self.parts.iter().filter(|part| !is_kept(part));
        let fences = fences.map(|epoch| File::Fence(*epoch));
        let checkpoints = checkpoints.map(|name| File::Checkpoint(*name));
        fences
            .chain(checkpoints)
            .chain(parts.map(|part| File::Part(*part)))
            .collect()
    }

    pub(crate) fn delete(&mut self, file: &File) {
        match file {
            File::Fence(epoch) => drop(self.fences.remove(epoch)),
            File::Checkpoint(name) => drop(self.checkpoints.remove(name)),
            File::Part(part) => drop(self.parts.remove(part)),
        }
    }
}
