//! What an executor does about a topic partition: it begins, reads, and stores checkpoints, in steps between which
//! anything else may happen.
//!
//! ```text
//! owner    Asked ─► (Claimed) ─► Listed ─► Read ─► New ─► Runs       saver  Idle ─► Taken ─► Parts ─► Put ─► Delete ─► Idle
//! standby  Asked ─► Listed ─► New ─► Runs   later, as owner: (Claimed) ─► Listed ─► a saver
//! ```

use std::collections::BTreeSet;

use crate::folder::{Checkpoint, File, Folder, Name, Part, Process};
use crate::rows::Rows;
use crate::rules::{Rules, Scenario};

/// What must never be, seen in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    /// Somebody went on from a checkpoint that an old owner wrote after a new one had begun.
    LateCheckpointCounts,
    /// A new owner knows less than a checkpoint of which the old owner was told that it is there.
    CheckpointLost,
    /// A statement saw less than one before it.
    ReadWentBack,
    /// Scans of a statement saw several positions.
    SeveralPositions,
}

/// How far a topic partition is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Asked,
    Claimed,
    /// Checkpoints to try, in this order.
    Listed(Vec<Name>),
    /// Rows are there, the fence is not. The checkpoint they are from, and its parts.
    Read(Option<(Name, BTreeSet<Part>)>),
    /// Nobody has looked yet where the topic ends.
    New,
    Runs,
    /// Another owner has begun. It is final.
    Fenced,
}

/// How far one that has read along is with its fence.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TakeOver {
    Claimed,
    Listed(Option<Name>),
}

/// How far a checkpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Saving {
    Idle,
    Taken(Rows),
    Parts(Rows),
    /// Only without [`Rules::parts_first`].
    PartsMissing(Rows),
    Put,
    Delete(Vec<File>),
}

/// Stores checkpoints of one owner, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Saver {
    /// Parts of segments that are stored.
    known: BTreeSet<Part>,
    seq: u8,
    last: Vec<Name>,
    pub(crate) saving: Saving,
}

/// The topic end that a task was told, and whether it was a standby when it asked.
type End = (u8, bool);

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Task {
    pub(crate) epoch: u8,
    pub(crate) standby: bool,
    /// It began as a standby, and needs a fence when it becomes the owner.
    reads_along: bool,
    /// It has become the owner and must ask for the end of the topic again.
    pub(crate) promoted: bool,
    pub(crate) phase: Phase,
    pub(crate) rows: Rows,
    is_restored: bool,
    end: Option<End>,
    /// Readers wait for this position.
    pub(crate) readable_from: Option<u8>,
    /// Position of the last checkpoint that was begun.
    pub(crate) stored: Option<u8>,
    take_over: Option<TakeOver>,
    pub(crate) saver: Option<Saver>,
}

/// A step of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// Looks which checkpoints there are, or claims its epoch first.
    List,
    Read,
    PutFence,
    AskForEnd,
    Adopt,
    Apply,
    Merge,
    /// A checkpoint of what is there now is begun.
    TakeView,
    PutParts,
    PutCheckpoint,
    /// Looks for a higher epoch, and for what may be deleted.
    LookForFence,
    Delete,
    ListToTakeOver,
    PutFenceToTakeOver,
}

/// What a task can see.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) scenario: &'a Scenario,
    pub(crate) folder: &'a Folder,
    /// Where the topic ends.
    pub(crate) end: u8,
}

/// What a task works with.
pub(crate) struct Place<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) scenario: &'a Scenario,
    pub(crate) folder: &'a mut Folder,
    /// Where the topic ends.
    pub(crate) end: u8,
    pub(crate) process: Process,
    pub(crate) wrong: &'a mut Option<Wrong>,
}

impl Place<'_> {
    fn sight(&self) -> Sight<'_> {
        Sight {
            rules: self.rules,
            scenario: self.scenario,
            folder: self.folder,
            end: self.end,
        }
    }
}

impl Task {
    pub(crate) fn new(epoch: u8, standby: bool) -> Self {
        Self {
            epoch,
            standby,
            reads_along: standby,
            promoted: false,
            phase: Phase::Asked,
            rows: Rows::default(),
            is_restored: false,
            end: None,
            readable_from: None,
            stored: None,
            take_over: None,
            saver: None,
        }
    }

    /// One that has read along is the owner from now on, if it `is_owner`.
    pub(crate) fn promoted_if(mut self, is_owner: bool) -> Self {
        if self.standby && is_owner {
            self.standby = false;
            self.promoted = true;
            self.stored = None;
        }
        self
    }

    /// True if something is under way that does not end when somebody else is the owner.
    pub(crate) fn is_pending(&self) -> bool {
        let begins =
            matches!(self.phase, Phase::Claimed | Phase::Listed(_) | Phase::Read(_)) && !self.reads_along;
        let saves = self
            .saver
            .as_ref()
            .is_some_and(|saver| saver.saving != Saving::Idle);
        self.phase != Phase::Fenced && (begins || saves || self.take_over.is_some())
    }

    /// Steps that can be taken now; only those that are under way if it `is_old`.
    pub(crate) fn work(&self, is_old: bool, place: Sight<'_>, merges: bool, add: &mut dyn FnMut(Work)) {
        if self.phase == Phase::Fenced {
            return;
        }
        let runs = self.phase == Phase::Runs;
        match &self.phase {
            Phase::Asked if !is_old => add(Work::List),
            Phase::Claimed => add(Work::List),
            Phase::Listed(listed) if self.may_read(listed, place) => add(Work::Read),
            Phase::Read(_) => add(Work::PutFence),
            Phase::New if !is_old => add(if self.end.is_some() {
                Work::Adopt
            } else {
                Work::AskForEnd
            }),
            _ => {}
        }
        if runs && !is_old && self.promoted {
            add(Work::AskForEnd);
        }
        if runs && !is_old && self.rows.position < place.end {
            add(Work::Apply);
        }
        if runs && !is_old && merges && self.rows.segments.len() > 1 {
            add(Work::Merge);
        }
        self.work_of_owner(is_old, place, add);
    }

    fn work_of_owner(&self, is_old: bool, place: Sight<'_>, add: &mut dyn FnMut(Work)) {
        let has_rows = matches!(self.phase, Phase::New | Phase::Runs);
        match (&self.saver, &self.take_over) {
            (None, None) if has_rows && !self.standby && !is_old => add(Work::ListToTakeOver),
            (None, Some(TakeOver::Claimed)) => add(Work::ListToTakeOver),
            (None, Some(TakeOver::Listed(_))) => add(Work::PutFenceToTakeOver),
            (None, None) => {}
            (Some(saver), _) => match &saver.saving {
                Saving::Idle => {
                    let is_new = self.stored != Some(self.rows.position);
                    if place.scenario.stores && has_rows && is_new && !is_old {
                        add(Work::TakeView);
                    }
                }
                Saving::Taken(_) if place.rules.parts_first => add(Work::PutParts),
                Saving::PartsMissing(_) => add(Work::PutParts),
                Saving::Taken(_) | Saving::Parts(_) => add(Work::PutCheckpoint),
                Saving::Put => add(Work::LookForFence),
                Saving::Delete(_) => add(Work::Delete),
            },
        }
    }

    /// A standby looks again, until it can read what is newest.
    fn may_read(&self, listed: &[Name], place: Sight<'_>) -> bool {
        !self.reads_along || self.found(listed, place).is_some() || listed != place.folder.candidates(true)
    }

    /// The checkpoint to go on from, if there is one; `None` for a standby that must look again.
    fn found(&self, listed: &[Name], place: Sight<'_>) -> Option<Option<Name>> {
        let folder = place.folder;
        let found = listed.iter().position(|name| folder.whole(*name).is_some());
        let passed = &listed[..found.unwrap_or(listed.len())];
        let is_there = |name: &Name| folder.checkpoints.contains_key(name);
        let passes = passed.is_empty() || place.rules.standby_passes_over && passed.iter().all(is_there);
        (!self.reads_along || passes).then(|| found.map(|at| listed[at]))
    }

    /// Takes a step.
    pub(crate) fn take(&mut self, work: Work, place: &mut Place<'_>) {
        match work {
            Work::List => self.list(place),
            Work::Read => self.read(place),
            Work::PutFence => self.put_fence(place),
            Work::AskForEnd => {
                self.phase = Phase::New;
                self.promoted = false;
                self.end = Some((place.end, self.standby));
                if place.scenario.left.statements == 0 {
                    // Nobody can see it.
                    self.adopt(place.rules);
                }
            }
            Work::Adopt => self.adopt(place.rules),
            Work::Apply => self.rows.apply_next(),
            Work::Merge => self.rows.merge(),
            Work::TakeView => {
                self.stored = Some(self.rows.position);
                self.save(|saver, task| saver.saving = Saving::Taken(task.rows.clone()));
            }
            Work::PutParts => self.save(|saver, task| saver.put_parts(task, place)),
            Work::PutCheckpoint => self.save(|saver, task| saver.put_checkpoint(task, place)),
            Work::LookForFence => self.save(|saver, task| saver.look_for_fence(task, place)),
            Work::Delete => self.save(|saver, _| saver.delete(place)),
            Work::ListToTakeOver => self.list_to_take_over(place),
            Work::PutFenceToTakeOver => self.put_fence_to_take_over(place),
        }
    }

    fn save(&mut self, step: impl FnOnce(&mut Saver, &mut Self)) {
        if let Some(mut saver) = self.saver.take() {
            step(&mut saver, self);
            self.saver = Some(saver);
        }
    }

    fn list(&mut self, place: &mut Place<'_>) {
        let folder = &mut *place.folder;
        let is_fenced = !self.reads_along && folder.higher(self.epoch).is_some();
        let claims = place.rules.claims_first && !self.reads_along && self.phase == Phase::Asked;
        self.phase = if is_fenced {
            Phase::Fenced
        } else if claims {
            match folder.put_claim(self.epoch, place.process) {
                true => Phase::Claimed,
                false => Phase::Fenced,
            }
        } else {
            Phase::Listed(folder.candidates(place.rules.reader_heeds_fence))
        };
    }

    fn read(&mut self, place: &mut Place<'_>) {
        let Phase::Listed(listed) = std::mem::replace(&mut self.phase, Phase::Asked) else {
            return;
        };
        let Some(found) = self.found(&listed, place.sight()) else {
            return;
        };
        let checkpoint = found.and_then(|name| Some((name, place.folder.checkpoints.get(&name)?)));
        if let Some((_, checkpoint)) = checkpoint {
            self.rows = checkpoint.rows();
            if checkpoint.late {
                place.wrong.get_or_insert(Wrong::LateCheckpointCounts);
            }
        }
        self.is_restored = checkpoint.is_some();
        self.stored = checkpoint.map(|_| self.rows.position);
        self.phase = match self.reads_along {
            true => Phase::New,
            false => Phase::Read(checkpoint.map(|(name, checkpoint)| (name, checkpoint.parts.clone()))),
        };
    }

    fn put_fence(&mut self, place: &mut Place<'_>) {
        let Phase::Read(from) = std::mem::replace(&mut self.phase, Phase::New) else {
            return;
        };
        let folder = &mut *place.folder;
        let name = from.as_ref().map(|(name, _)| *name);
        if !folder.put_fence(self.epoch, place.process, name) {
            self.phase = Phase::Fenced;
            return;
        }
        if self.rows.position < folder.saved && !folder.was_damaged && folder.higher(self.epoch).is_none() {
            place.wrong.get_or_insert(Wrong::CheckpointLost);
        }
        let parts = from.map(|(_, parts)| parts);
        self.saver = Some(Saver::new(parts.unwrap_or_default()));
    }

    fn adopt(&mut self, rules: &Rules) {
        let Some((end, was_standby)) = self.end.take() else {
            return;
        };
        self.phase = Phase::Runs;
        if self.standby || rules.asks_end_as_owner && was_standby {
            return;
        }
        let first_owner = self.epoch == 1 && !self.is_restored;
        self.readable_from = Some(if first_owner || !rules.waits_for_end {
            0
        } else {
            end
        });
    }

    fn list_to_take_over(&mut self, place: &mut Place<'_>) {
        let folder = &mut *place.folder;
        if folder.higher(self.epoch).is_some() {
            self.phase = Phase::Fenced;
        } else if place.rules.claims_first && self.take_over.is_none() {
            match folder.put_claim(self.epoch, place.process) {
                true => self.take_over = Some(TakeOver::Claimed),
                false => self.phase = Phase::Fenced,
            }
        } else {
            let newest = folder.candidates(place.rules.reader_heeds_fence).first().copied();
            self.take_over = Some(TakeOver::Listed(newest));
        }
    }

    fn put_fence_to_take_over(&mut self, place: &mut Place<'_>) {
        let Some(TakeOver::Listed(newest)) = self.take_over.take() else {
            return;
        };
        match place.folder.put_fence(self.epoch, place.process, newest) {
            true => self.saver = Some(Saver::new(BTreeSet::new())),
            false => self.phase = Phase::Fenced,
        }
        // It goes on from its own rows, and may be behind the last checkpoint for a moment.
        if place.folder.higher(self.epoch).is_none() {
            place.folder.saved = 0;
        }
    }
}

impl Saver {
    fn new(known: BTreeSet<Part>) -> Self {
        Self {
            known,
            seq: 0,
            last: Vec::new(),
            saving: Saving::Idle,
        }
    }

    /// The parts of rows: those that are stored, and those that will be.
    fn parts_of(&self, rows: &Rows, epoch: u8) -> BTreeSet<Part> {
        let part = |segment: &u8| {
            let known = self.known.iter().find(|(_, known)| known == segment);
            known.copied().unwrap_or((epoch, *segment))
        };
        rows.segments.iter().map(part).collect()
    }

    fn put_parts(&mut self, task: &Task, place: &mut Place<'_>) {
        let (rows, next) = match std::mem::replace(&mut self.saving, Saving::Idle) {
            Saving::Taken(rows) => (rows.clone(), Saving::Parts(rows)),
            Saving::PartsMissing(rows) => (rows, Saving::Put),
            other => {
                self.saving = other;
                return;
            }
        };
        let parts = self.parts_of(&rows, task.epoch);
        // What is known is not stored again.
        place.folder.parts.extend(parts.difference(&self.known));
        self.known.extend(parts);
        self.saving = next;
    }

    fn put_checkpoint(&mut self, task: &mut Task, place: &mut Place<'_>) {
        let (rows, next) = match std::mem::replace(&mut self.saving, Saving::Idle) {
            Saving::Taken(rows) => (rows.clone(), Saving::PartsMissing(rows)),
            Saving::Parts(rows) => (rows, Saving::Put),
            _ => return,
        };
        let (epoch, seq) = (task.epoch, self.seq);
        let name = Name { epoch, seq };
        self.seq += 1;
        let folder = &mut *place.folder;
        if folder.checkpoints.contains_key(&name) {
            task.phase = Phase::Fenced;
            return;
        }
        let parts = self.parts_of(&rows, epoch);
        let position = match place.rules.position_of_rows {
            true => rows.position,
            false => task.rows.position,
        };
        let late = folder.fences.keys().any(|other| *other > epoch);
        let (applied, dead, damaged) = (rows.applied, rows.dead, false);
        let checkpoint = Checkpoint {
            position,
            applied,
            dead,
            parts: parts.clone(),
            damaged,
            late,
        };
        folder.checkpoints.insert(name, checkpoint);
        if next == Saving::Put {
            self.known = parts;
        }
        self.last.push(name);
        self.saving = next;
    }

    fn look_for_fence(&mut self, task: &mut Task, place: &mut Place<'_>) {
        let folder = &mut *place.folder;
        if place.rules.saver_heeds_fence && folder.higher(task.epoch).is_some() {
            task.phase = Phase::Fenced;
            return;
        }
        // From here on the owner is told that it is there.
        let position = |name: &Name| folder.checkpoints.get(name).map(|checkpoint| checkpoint.position);
        folder.saved = folder.saved.max(self.last.last().and_then(position).unwrap_or(0));
        self.saving = Saving::Idle;
        if self.last.len() < place.scenario.kept {
            return;
        }
        self.last.drain(..self.last.len() - place.scenario.kept);
        let needless = folder.needless(task.epoch, &self.last);
        if !needless.is_empty() {
            self.saving = Saving::Delete(needless);
        }
    }

    fn delete(&mut self, place: &mut Place<'_>) {
        if let Saving::Delete(files) = std::mem::replace(&mut self.saving, Saving::Idle) {
            files.iter().for_each(|file| place.folder.delete(file));
        }
    }
}
