//! Which executor follows a topic partition. Decides only: it asks nobody and changes nothing.
//!
//! A topic partition stays with its owner as long as that is there. One without an owner goes to the executor that
//! follows fewest. One whose owner drains, or follows more than others, gets a standby, which reads along and becomes
//! the owner when it is as far; readers and the stream do not wait for it.

use std::collections::{HashMap, HashSet};

use millpond_proto::catalog::{KafkaTable, PartitionOwner, TopicPartition};
use millpond_proto::stream::PartitionStatus;

/// Topic partitions that move at a time for the sake of balance: each is in memory twice meanwhile.
const MOVES_MAX: usize = 2;
/// State of a standby that has read everything.
const STANDBY: &str = "standby";

/// An executor that can follow topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// `HOST:PORT` of its data port.
    pub(super) address: String,
    /// The process.
    pub(super) instance: String,
    /// It must not get anything new, and give away what it has.
    pub(super) closed: bool,
}

impl Candidate {
    fn is(&self, owner: &PartitionOwner) -> bool {
        self.address == owner.address && self.instance == owner.instance
    }
}

/// The executors there are, and how much they follow.
pub(super) struct Placement {
    candidates: Vec<Candidate>,
    /// Identifiers of tables whose topic partitions stay with owners that are there.
    staying: HashSet<String>,
    /// By address; what moves counts where it goes.
    load: HashMap<String, usize>,
}

impl Placement {
    /// Counts what they follow of `tables`.
    pub(super) fn new(candidates: Vec<Candidate>, tables: &[&KafkaTable]) -> Self {
        let mut load: HashMap<String, usize> = HashMap::new();
        let partitions = tables.iter().flat_map(|table| &table.partitions);
        for owner in
            partitions.filter_map(|partition| partition.standby.as_ref().or(partition.owner.as_ref()))
        {
            *load.entry(owner.address.clone()).or_default() += 1;
        }
        Self {
            candidates,
            staying: HashSet::new(),
            load,
        }
    }

    /// Has topic partitions of tables stay with their owners, as long as these are there.
    pub(super) fn staying(self, tables: HashSet<String>) -> Self {
        Self {
            staying: tables,
            ..self
        }
    }

    /// What has to change of a table's topic partitions. `may_come` says that somebody at an address is waited for, and
    /// `status` what an owner or standby has said last.
    pub(super) fn mend(
        &mut self,
        table: &KafkaTable,
        may_come: &dyn Fn(&str) -> bool,
        status: &dyn Fn(&KafkaTable, &TopicPartition, &PartitionOwner) -> Option<PartitionStatus>,
    ) -> Vec<TopicPartition> {
        let partitions = table.partitions.iter();
        let mended = partitions.filter_map(|partition| {
            let status = |owner: &PartitionOwner| status(table, partition, owner);
            self.mend_one(partition, self.may_move(table, partition), may_come, &status)
        });
        mended.collect()
    }

    fn mend_one(
        &mut self,
        partition: &TopicPartition,
        may_move: bool,
        may_come: &dyn Fn(&str) -> bool,
        status: &dyn Fn(&PartitionOwner) -> Option<PartitionStatus>,
    ) -> Option<TopicPartition> {
        let standby = partition.standby.as_ref().filter(|standby| self.is_open(standby));
        let Some(owner) = &partition.owner else {
            return Some(followed(partition, self.take(1)?));
        };
        if let Some(epoch) = status(owner)
            .map(|status| status.fenced_by)
            .filter(|epoch| *epoch > 0)
        {
            // The catalog is older than what is stored.
            return Some(followed(partition, self.take(epoch.max(owner.epoch) + 1)?));
        }
        if !self.is_there(owner) && !may_come(&owner.address) {
            return Some(match standby {
                Some(standby) => followed(partition, standby.clone()),
                None => followed(partition, self.take(next_epoch(partition))?),
            });
        }
        match standby {
            Some(_) if !may_move => Some(moving(partition, None)),
            Some(standby) if has_caught_up(status(standby), status(owner)) => {
                Some(followed(partition, standby.clone()))
            }
            Some(_) => None,
            None if may_move && self.is_closed(owner) => match self.take(next_epoch(partition)) {
                Some(standby) => Some(moving(partition, Some(standby))),
                None => partition.standby.as_ref().map(|_| moving(partition, None)),
            },
            None => partition.standby.as_ref().map(|_| moving(partition, None)),
        }
    }

    /// Moves that make executors follow about as much as others, for each table in the order in which they were given.
    pub(super) fn balance(&mut self, tables: &[&KafkaTable]) -> Vec<Vec<TopicPartition>> {
        let all = tables.iter().flat_map(|table| &table.partitions);
        let running = all.filter(|partition| partition.standby.is_some()).count();
        let mut moves: Vec<Vec<TopicPartition>> = vec![Vec::new(); tables.len()];
        for _ in running..MOVES_MAX {
            let Some((most, least)) = self.extremes() else {
                break;
            };
            // Of the table of which it follows most, so that each table is spread too.
            let owned = |at: &usize| {
                let partitions = tables[*at].partitions.iter();
                partitions.filter(|partition| is_with(partition, &most)).count()
            };
            let Some(at) = (0..tables.len()).max_by_key(owned) else {
                break;
            };
            let is_taken =
                |partition: &TopicPartition| moves[at].iter().any(|moved| moved.number == partition.number);
            let movable = tables[at].partitions.iter().find(|partition| {
                is_with(partition, &most) && self.may_move(tables[at], partition) && !is_taken(partition)
            });
            let Some(partition) = movable else { break };
            let epoch = next_epoch(partition);
            *self.load.entry(most).or_default() -= 1;
            let standby = self.give(&least, epoch);
            moves[at].push(moving(partition, Some(standby)));
        }
        moves
    }

    /// The executors that follow most and fewest, if one topic partition should move between them.
    fn extremes(&self) -> Option<(String, Candidate)> {
        let least = self.least()?;
        let open = self.candidates.iter().filter(|candidate| !candidate.closed);
        let most = open.max_by_key(|candidate| self.load_of(candidate))?;
        let is_uneven = self.load_of(most) >= self.load_of(&least) + 2;
        is_uneven.then(|| (most.address.clone(), least))
    }

    /// False also while a table is paused and nobody has said where: a standby would not know where to stop.
    fn may_move(&self, table: &KafkaTable, partition: &TopicPartition) -> bool {
        !self.staying.contains(&table.table_id) && (!table.paused || partition.paused_at.is_some())
    }

    fn is_there(&self, owner: &PartitionOwner) -> bool {
        self.candidates.iter().any(|candidate| candidate.is(owner))
    }

    fn is_closed(&self, owner: &PartitionOwner) -> bool {
        let mut candidates = self.candidates.iter();
        candidates.any(|candidate| candidate.is(owner) && candidate.closed)
    }

    fn is_open(&self, owner: &PartitionOwner) -> bool {
        self.is_there(owner) && !self.is_closed(owner)
    }

    fn load_of(&self, candidate: &Candidate) -> usize {
        self.load.get(&candidate.address).copied().unwrap_or(0)
    }

    fn least(&self) -> Option<Candidate> {
        let open = self.candidates.iter().filter(|candidate| !candidate.closed);
        let least = open.min_by_key(|candidate| (self.load_of(candidate), candidate.address.clone()));
        least.cloned()
    }

    /// The executor that follows fewest gets one more.
    fn take(&mut self, epoch: u64) -> Option<PartitionOwner> {
        let least = self.least()?;
        Some(self.give(&least, epoch))
    }

    fn give(&mut self, to: &Candidate, epoch: u64) -> PartitionOwner {
        *self.load.entry(to.address.clone()).or_default() += 1;
        PartitionOwner {
            address: to.address.clone(),
            instance: to.instance.clone(),
            epoch,
        }
    }
}

/// True if a standby has read all that is there, and all that the owner has shown.
fn has_caught_up(standby: Option<PartitionStatus>, owner: Option<PartitionStatus>) -> bool {
    let shown = owner.map_or(0, |owner| owner.position);
    standby.is_some_and(|standby| standby.state == STANDBY && standby.position >= shown)
}

fn is_with(partition: &TopicPartition, address: &str) -> bool {
    let owner = partition.owner.as_ref();
    partition.standby.is_none() && owner.is_some_and(|owner| owner.address == address)
}

fn next_epoch(partition: &TopicPartition) -> u64 {
    let epochs = partition.owner.iter().chain(&partition.standby);
    epochs.map(|owner| owner.epoch).max().unwrap_or(0) + 1
}

fn followed(partition: &TopicPartition, owner: PartitionOwner) -> TopicPartition {
    TopicPartition {
        owner: Some(owner),
        standby: None,
        ..partition.clone()
    }
}

fn moving(partition: &TopicPartition, standby: Option<PartitionOwner>) -> TopicPartition {
    TopicPartition {
        standby,
        ..partition.clone()
    }
}

#[cfg(test)]
mod tests;
