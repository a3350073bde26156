//! Which executor follows a topic partition. Decides only: it asks nobody and changes nothing.
//!
//! A topic partition stays with its owner as long as that is there. One without an owner goes to the executor that
//! follows fewest.

use std::collections::HashMap;

use millpond_proto::catalog::{KafkaTable, PartitionOwner, TopicPartition};

/// An executor that can follow topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// `HOST:PORT` of its data port.
    pub(super) address: String,
    /// The process.
    pub(super) instance: String,
    /// It must not get anything new.
    pub(super) draining: bool,
}

/// The executors there are, and how much they follow.
pub(super) struct Candidates {
    candidates: Vec<Candidate>,
    load: HashMap<String, usize>,
}

impl Candidates {
    /// Counts what they follow of `tables`.
    pub(super) fn new<'a>(candidates: Vec<Candidate>, tables: impl Iterator<Item = &'a KafkaTable>) -> Self {
        let mut load: HashMap<String, usize> = HashMap::new();
        for owner in tables
            .flat_map(|table| &table.partitions)
            .filter_map(|partition| partition.owner.as_ref())
        {
            *load.entry(owner.address.clone()).or_default() += 1;
        }
        Self { candidates, load }
    }

    /// New owners for the topic partitions of a table that have none, or one that is gone for good.
    pub(super) fn place(
        &mut self,
        table: &KafkaTable,
        may_come: impl Fn(&str) -> bool,
    ) -> Vec<TopicPartition> {
        let mut placed = Vec::new();
        for partition in &table.partitions {
            let owner = partition.owner.as_ref();
            if owner.is_some_and(|owner| self.is_there(owner) || may_come(&owner.address)) {
                continue;
            }
            let epoch = owner.map_or(0, |owner| owner.epoch) + 1;
            if let Some(owner) = self.take(epoch) {
                placed.push(TopicPartition {
                    owner: Some(owner),
                    ..partition.clone()
                });
            }
        }
        placed
    }

    fn is_there(&self, owner: &PartitionOwner) -> bool {
        let same = |candidate: &Candidate| {
            candidate.address == owner.address && candidate.instance == owner.instance && !candidate.draining
        };
        self.candidates.iter().any(same)
    }

    /// The executor that follows fewest gets one more.
    fn take(&mut self, epoch: u64) -> Option<PartitionOwner> {
        let load = |candidate: &&Candidate| self.load.get(&candidate.address).copied().unwrap_or(0);
        let active = self.candidates.iter().filter(|candidate| !candidate.draining);
        let least = active
            .min_by_key(|candidate| (load(candidate), candidate.address.clone()))?
            .clone();
        *self.load.entry(least.address.clone()).or_default() += 1;
        Some(PartitionOwner {
            address: least.address,
            instance: least.instance,
            epoch,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str) -> Candidate {
        Candidate {
            address: name.to_string(),
            instance: format!("process of {name}"),
            draining: false,
        }
    }

    fn owned(number: u32, name: &str, epoch: u64) -> TopicPartition {
        TopicPartition {
            number,
            start: 5,
            owner: (epoch > 0).then(|| PartitionOwner {
                address: name.to_string(),
                instance: format!("process of {name}"),
                epoch,
            }),
        }
    }

    fn place(
        candidates: Vec<Candidate>,
        partitions: Vec<TopicPartition>,
        may_come: &str,
    ) -> Vec<TopicPartition> {
        let table = KafkaTable {
            partitions,
            ..Default::default()
        };
        Candidates::new(candidates, [&table].into_iter()).place(&table, |address| address == may_come)
    }

    #[test]
    fn partitions_without_an_owner_are_spread() {
        let free = |number| owned(number, "", 0);
        let partitions = vec![owned(0, "a", 1), free(1), free(2), free(3)];
        let placed = place(vec![candidate("a"), candidate("b")], partitions, "");
        assert_eq!(placed, [owned(1, "b", 1), owned(2, "a", 1), owned(3, "b", 1)]);
    }

    #[test]
    fn an_owner_that_is_gone_is_followed_by_the_next_epoch() {
        let partitions = vec![owned(0, "a", 3), owned(1, "c", 1)];
        assert_eq!(
            place(vec![candidate("a")], partitions.clone(), ""),
            [owned(1, "a", 2)]
        );
        assert_eq!(
            place(vec![candidate("a")], partitions, "c"),
            [],
            "it may come back"
        );
    }

    #[test]
    fn another_process_at_the_same_address_is_another_owner() {
        let again = Candidate {
            instance: "later".to_string(),
            ..candidate("a")
        };
        let placed = place(vec![again], vec![owned(0, "a", 1)], "");
        let owner = placed[0].owner.as_ref().unwrap();
        assert_eq!((owner.instance.as_str(), owner.epoch), ("later", 2));
    }

    #[test]
    fn one_that_drains_gets_nothing_and_keeps_nothing() {
        let drains = Candidate {
            draining: true,
            ..candidate("a")
        };
        let partitions = vec![owned(0, "a", 1), owned(1, "", 0)];
        let placed = place(vec![drains.clone(), candidate("b")], partitions.clone(), "");
        assert_eq!(placed, [owned(0, "b", 2), owned(1, "b", 1)]);
        assert_eq!(place(vec![drains], partitions, ""), [], "nobody else is there");
    }
}
