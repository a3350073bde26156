//! Which executors hold a shard. Decides only: it asks nobody and changes nothing.
//!
//! A shard stays where it is as long as that is enough. Where a copy is missing, the executor that holds least gets it;
//! the shards of one hash class go to the same executor for every table, so that joins on them find both sides there.

use millpond_proto::catalog::TableShard;

/// Bytes by which executors may differ in a table that was just written, before shards move.
const UNEVEN_BYTES: u64 = 32 << 20;

/// An executor, as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// `HOST:PORT` of its data port.
    pub(crate) address: String,
    /// It must not get anything new, and what it holds goes elsewhere.
    pub(crate) draining: bool,
    /// Bytes of shards that it holds.
    pub(crate) bytes: u64,
}

/// The executors there are, in order of address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Members(Vec<Member>);

/// Whether an executor has a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Has {
    Yes,
    No,
    /// It may come back, or has not answered.
    Unknown,
}

/// What has to be done for a shard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// It is at these places, which are others than the catalog says.
    Places(Vec<String>),
    Copies(Copies),
    /// Nobody has it, and there is no snapshot of it.
    Lost,
}

/// Copies that have to be made of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copies {
    /// Who has it; nobody if it must be read from its snapshot.
    pub(crate) from: Vec<String>,
    /// Who is to get it.
    pub(crate) to: Vec<String>,
    /// Who has it and stays a holder.
    pub(crate) kept: Vec<String>,
}

impl Members {
    /// In any order.
    pub(crate) fn new(mut members: Vec<Member>) -> Self {
        members.sort_by(|a, b| a.address.cmp(&b.address));
        Self(members)
    }

    /// Adds bytes to what an executor holds.
    pub(crate) fn add(&mut self, address: &str, bytes: u64) {
        if let Some(member) = self.0.iter_mut().find(|member| member.address == address) {
            member.bytes += bytes;
        }
    }

    fn is_active(&self, address: &str) -> bool {
        let found = self.0.iter().find(|member| member.address == address);
        found.is_some_and(|member| !member.draining)
    }

    fn active(&self) -> impl Iterator<Item = &Member> {
        self.0.iter().filter(|member| !member.draining)
    }

    /// What has to be done so that `replicas` executors hold a shard, if there are as many.
    pub(crate) fn need(&mut self, shard: &TableShard, has: impl Fn(&str) -> Has, replicas: u32) -> Need {
        let recorded: Vec<&String> = holders(shard).collect();
        if recorded.iter().any(|holder| has(holder) == Has::Unknown) || self.active().next().is_none() {
            return Need::Nothing;
        }
        let there = |holder: &&String| has(holder) == Has::Yes;
        let from: Vec<String> = recorded.iter().copied().filter(there).cloned().collect();
        let kept: Vec<String> = from
            .iter()
            .filter(|holder| self.is_active(holder))
            .cloned()
            .collect();
        let wanted = (replicas.max(1) as usize).min(self.active().count());
        if kept.len() >= wanted {
            return if kept.len() == recorded.len() {
                Need::Nothing
            } else {
                Need::Places(kept)
            };
        }
        if from.is_empty() && shard.snapshot.is_empty() {
            return Need::Lost;
        }
        let to = self.choose(shard, &kept, wanted - kept.len());
        Need::Copies(Copies { from, to, kept })
    }

    /// Executors for a shard, besides those that keep it.
    fn choose(&mut self, shard: &TableShard, kept: &[String], count: usize) -> Vec<String> {
        let mut chosen: Vec<String> = Vec::new();
        for _ in 0..count {
            let taken =
                |member: &&Member| !kept.contains(&member.address) && !chosen.contains(&member.address);
            let home = self
                .home(shard)
                .filter(|home| !kept.contains(home) && !chosen.contains(home));
            let least = || {
                let free = self.active().filter(taken);
                free.min_by_key(|member| member.bytes)
                    .map(|member| member.address.clone())
            };
            let Some(next) = home.or_else(least) else { break };
            self.add(&next, shard.bytes);
            chosen.push(next);
        }
        chosen
    }

    /// Where the shards of a hash class belong.
    fn home(&self, shard: &TableShard) -> Option<String> {
        let active: Vec<&Member> = self.active().collect();
        let bucket = shard.bucket? as usize;
        let member = active.get(bucket.checked_rem(active.len())?)?;
        Some(member.address.clone())
    }

    /// Moves of shards that were just written, each held by the executor that wrote it, so that all executors get
    /// about as much of the table. Gives the place of the shard in the list and its new holder.
    pub(crate) fn even_out(&self, shards: &[TableShard]) -> Vec<(usize, String)> {
        let mut loads: Vec<(String, u64)> = self.active().map(|member| (member.address.clone(), 0)).collect();
        let mut places: Vec<Option<usize>> = shards
            .iter()
            .map(|shard| loads.iter().position(|(address, _)| *address == shard.holder))
            .collect();
        for (shard, place) in shards.iter().zip(&places) {
            if let Some(place) = place {
                loads[*place].1 += shard.bytes;
            }
        }
        let mut moves = Vec::new();
        for (index, shard) in shards.iter().enumerate() {
            let home = self.home(shard).filter(|home| *home != shard.holder);
            moves.extend(home.map(|home| (index, home)));
        }
        if shards.iter().any(|shard| shard.bucket.is_some()) {
            return moves;
        }
        while let Some((index, to)) = uneven(shards, &places, &loads) {
            if let Some(from) = places[index].replace(to) {
                loads[from].1 -= shards[index].bytes;
            }
            loads[to].1 += shards[index].bytes;
            moves.push((index, loads[to].0.clone()));
        }
        moves
    }
}

/// A shard whose move makes the fullest and the emptiest executor more alike, if they differ much.
fn uneven(
    shards: &[TableShard],
    places: &[Option<usize>],
    loads: &[(String, u64)],
) -> Option<(usize, usize)> {
    let (most, least) = (
        (0..loads.len()).max_by_key(|place| loads[*place].1)?,
        (0..loads.len()).min_by_key(|place| loads[*place].1)?,
    );
    let difference = loads[most].1 - loads[least].1;
    if difference < UNEVEN_BYTES {
        return None;
    }
    let movable = (0..shards.len())
        .filter(|index| places[*index] == Some(most) && (1..=difference / 2).contains(&shards[*index].bytes));
    movable
        .max_by_key(|index| shards[*index].bytes)
        .map(|index| (index, least))
}

/// `HOST:PORT` of everybody who holds a shard, as the catalog says, best first.
pub(crate) fn holders(shard: &TableShard) -> impl Iterator<Item = &String> {
    std::iter::once(&shard.holder).chain(&shard.replicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(addresses: &[(&str, bool, u64)]) -> Members {
        let member = |(address, draining, bytes): &(&str, bool, u64)| Member {
            address: address.to_string(),
            draining: *draining,
            bytes: *bytes,
        };
        Members::new(addresses.iter().map(member).collect())
    }

    fn shard(holders: &[&str], snapshot: &str) -> TableShard {
        TableShard {
            shard: "s".to_string(),
            holder: holders[0].to_string(),
            replicas: holders[1..].iter().map(ToString::to_string).collect(),
            bytes: 10,
            snapshot: snapshot.to_string(),
            ..Default::default()
        }
    }

    fn there<'a>(holders: &'a [&'a str]) -> impl Fn(&str) -> Has + 'a {
        |address| match holders.contains(&address) {
            true => Has::Yes,
            false => Has::No,
        }
    }

    fn copies(from: &[&str], to: &[&str], kept: &[&str]) -> Need {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Need::Copies(Copies {
            from: owned(from),
            to: owned(to),
            kept: owned(kept),
        })
    }

    #[test]
    fn a_shard_that_is_where_it_should_be_needs_nothing() {
        let mut members = members(&[("a", false, 0), ("b", false, 0)]);
        assert_eq!(members.need(&shard(&["a"], ""), there(&["a"]), 1), Need::Nothing);
        assert_eq!(
            members.need(&shard(&["a", "b"], ""), there(&["a", "b"]), 3),
            Need::Nothing,
            "no more replicas than executors"
        );
    }

    #[test]
    fn a_replica_takes_the_place_of_a_lost_holder_and_a_new_one_is_made() {
        let mut all = members(&[("b", false, 50), ("c", false, 5), ("d", false, 7)]);
        let lost = shard(&["a", "b"], "");
        assert_eq!(
            all.need(&lost, there(&["b"]), 1),
            Need::Places(vec!["b".to_string()])
        );
        assert_eq!(all.need(&lost, there(&["b"]), 2), copies(&["b"], &["c"], &["b"]));
        assert_eq!(
            all.need(&lost, there(&["b"]), 2),
            copies(&["b"], &["d"], &["b"]),
            "c has more now"
        );
    }

    #[test]
    fn without_a_replica_there_is_the_snapshot_or_the_shard_is_lost() {
        let mut all = members(&[("b", false, 0)]);
        assert_eq!(
            all.need(&shard(&["a"], "w/s"), there(&[]), 1),
            copies(&[], &["b"], &[])
        );
        assert_eq!(all.need(&shard(&["a"], ""), there(&[]), 1), Need::Lost);
    }

    #[test]
    fn a_holder_that_may_come_back_is_waited_for() {
        let mut all = members(&[("b", false, 0)]);
        assert_eq!(all.need(&shard(&["a"], ""), |_| Has::Unknown, 1), Need::Nothing);
        let mut nobody = members(&[]);
        assert_eq!(nobody.need(&shard(&["a"], "w/s"), there(&[]), 1), Need::Nothing);
    }

    #[test]
    fn an_executor_that_drains_gives_its_shards_away() {
        let mut all = members(&[("a", true, 0), ("b", false, 0)]);
        assert_eq!(
            all.need(&shard(&["a"], ""), there(&["a"]), 1),
            copies(&["a"], &["b"], &[])
        );
    }

    #[test]
    fn shards_of_a_hash_class_have_a_home() {
        let mut all = members(&[("a", false, 0), ("b", false, 900)]);
        let of_bucket = TableShard {
            bucket: Some(3),
            ..shard(&["gone"], "w/s")
        };
        assert_eq!(all.need(&of_bucket, there(&[]), 1), copies(&[], &["b"], &[]));
        let written = TableShard {
            bucket: Some(3),
            ..shard(&["a"], "")
        };
        assert_eq!(all.even_out(&[written]), [(0, "b".to_string())]);
    }

    #[test]
    fn large_tables_are_spread_and_small_ones_stay() {
        let all = members(&[("a", false, 0), ("b", false, 0)]);
        let of = |bytes: u64| TableShard {
            bytes,
            ..shard(&["a"], "")
        };
        assert!(all.even_out(&[of(1 << 10), of(1 << 10)]).is_empty());
        let moves = all.even_out(&[of(40 << 20), of(40 << 20), of(40 << 20), of(40 << 20)]);
        assert_eq!(moves.len(), 2);
        assert!(moves.iter().all(|(_, to)| to == "b"));
        assert!(
            all.even_out(&[of(400 << 20)]).is_empty(),
            "one shard cannot be divided"
        );
    }
}
