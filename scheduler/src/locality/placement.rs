//! Which pending partitions go to which executor. Decides only; it knows neither plans nor jobs.

use super::held::{Bytes, main_holder};

/// What an executor can still take.
#[derive(Debug, Clone)]
pub(super) struct Room {
    /// `HOST:PORT` of its data port, if that is known.
    pub(super) address: Option<String>,
    /// Vcores that are free.
    pub(super) free: usize,
}

/// Partitions that one executor runs together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// Place in the list of rooms.
    pub(super) executor: usize,
    pub(super) partitions: Vec<usize>,
}

impl Room {
    fn holds(&self, held: &Bytes<'_>) -> u64 {
        self.address
            .as_deref()
            .and_then(|address| held.get(address))
            .copied()
            .unwrap_or(0)
    }

    fn is_at(&self, holder: &str) -> bool {
        self.address.as_deref() == Some(holder)
    }
}

/// Gives partitions to the executors that hold most of them, as long as these have room.
///
/// `held` has an entry for each partition of the stage; no more than `at_most` partitions go together.
pub(super) fn to_holders(
    pending: &[usize],
    held: &[Bytes<'_>],
    rooms: &[Room],
    at_most: usize,
) -> Vec<Placed> {
    let mut free: Vec<usize> = rooms.iter().map(|room| room.free).collect();
    let mut chosen = vec![Vec::new(); rooms.len()];
    for &partition in pending {
        let Some(holder) = held.get(partition).and_then(main_holder) else {
            continue;
        };
        let place = (0..rooms.len()).find(|&place| free[place] > 0 && rooms[place].is_at(holder));
        if let Some(place) = place {
            free[place] -= 1;
            chosen[place].push(partition);
        }
    }
    cut(chosen, at_most)
}

/// Gives partitions to whoever is free: to who holds most of one, and of equals to who has most room left.
pub(super) fn to_anyone(
    pending: &[usize],
    held: &[Bytes<'_>],
    rooms: &[Room],
    at_most: usize,
) -> Vec<Placed> {
    let nothing = Bytes::new();
    let mut rooms = rooms.to_vec();
    let mut chosen = vec![Vec::new(); rooms.len()];
    for &partition in pending {
        let Some(place) = anyone(held.get(partition).unwrap_or(&nothing), &rooms) else {
            break;
        };
        rooms[place].free -= 1;
        chosen[place].push(partition);
    }
    cut(chosen, at_most)
}

/// Gives partitions to one executor after the other, to each as many as it has room for, and moves `turn` on.
pub(super) fn in_rotation(
    pending: &[usize],
    rooms: &[Room],
    turn: &mut usize,
    at_most: usize,
) -> Vec<Placed> {
    let mut rooms = rooms.to_vec();
    let mut left = pending;
    let mut placed = Vec::new();
    while !left.is_empty()
        && let Some(executor) = next_in_rotation(&rooms, turn)
    {
        let (taken, others) = left.split_at(rooms[executor].free.min(at_most).min(left.len()));
        rooms[executor].free -= taken.len();
        placed.push(Placed {
            executor,
            partitions: taken.to_vec(),
        });
        left = others;
    }
    placed
}

/// The executor that holds most, if it has room.
pub(super) fn main_holder_with_room(held: &Bytes<'_>, rooms: &[Room]) -> Option<usize> {
    let holder = main_holder(held)?;
    rooms.iter().position(|room| room.free > 0 && room.is_at(holder))
}

/// Of the executors with room the one that holds most, and of equals the one with most room.
pub(super) fn anyone(held: &Bytes<'_>, rooms: &[Room]) -> Option<usize> {
    (0..rooms.len())
        .rev()
        .filter(|&place| rooms[place].free > 0)
        .max_by_key(|&place| (rooms[place].holds(held), rooms[place].free))
}

/// The executor whose turn it is, passing over full ones.
pub(super) fn next_in_rotation(rooms: &[Room], turn: &mut usize) -> Option<usize> {
    let count = rooms.len();
    let place = (0..count)
        .map(|step| (*turn + step) % count)
        .find(|&place| rooms[place].free > 0)?;
    *turn = (place + 1) % count;
    Some(place)
}

fn cut(chosen: Vec<Vec<usize>>, at_most: usize) -> Vec<Placed> {
    let mut placed = Vec::new();
    for (executor, partitions) in chosen.into_iter().enumerate() {
        for together in partitions.chunks(at_most.max(1)) {
            placed.push(Placed {
                executor,
                partitions: together.to_vec(),
            });
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const ADDRESSES: [&str; 4] = ["a:1", "b:1", "c:1", "gone:1"];

    fn rooms(free: &[usize]) -> Vec<Room> {
        free.iter()
            .zip(ADDRESSES)
            .map(|(&free, address)| Room {
                address: Some(address.to_string()),
                free,
            })
            .collect()
    }

    fn held(holders: &[&'static str]) -> Vec<Bytes<'static>> {
        holders.iter().map(|holder| Bytes::from([(*holder, 7)])).collect()
    }

    fn pairs(placed: &[Placed]) -> Vec<(usize, Vec<usize>)> {
        placed
            .iter()
            .map(|placed| (placed.executor, placed.partitions.clone()))
            .collect()
    }

    #[test]
    fn partitions_go_to_their_holders_and_no_further() {
        let held = held(&["a:1", "b:1", "a:1", "gone:1", "a:1"]);
        let placed = to_holders(&[0, 1, 2, 3, 4], &held, &rooms(&[2, 5]), usize::MAX);
        assert_eq!(pairs(&placed), [(0, vec![0, 2]), (1, vec![1])]);
    }

    #[test]
    fn most_bytes_decide() {
        let held = [
            Bytes::from([("a:1", 3), ("b:1", 4)]),
            Bytes::from([("a:1", 9), ("b:1", 8)]),
        ];
        let placed = to_holders(&[0, 1], &held, &rooms(&[2, 2]), usize::MAX);
        assert_eq!(pairs(&placed), [(0, vec![1]), (1, vec![0])]);
    }

    #[test]
    fn the_rest_is_spread_over_who_is_free() {
        let placed = to_anyone(
            &[4, 5, 6, 7],
            &held(&["gone:1"; 8]),
            &rooms(&[0, 3, 3]),
            usize::MAX,
        );
        assert_eq!(pairs(&placed), [(1, vec![4, 6]), (2, vec![5, 7])]);
    }

    #[test]
    fn the_rest_goes_to_who_holds_a_part() {
        let held = [Bytes::from([("a:1", 9), ("c:1", 1)])];
        let placed = to_anyone(&[0], &held, &rooms(&[0, 8, 1]), usize::MAX);
        assert_eq!(pairs(&placed), [(2, vec![0])]);
    }

    #[test]
    fn rotation_fills_one_executor_after_the_other() {
        let mut turn = 1;
        let placed = in_rotation(&[0, 1, 2, 3], &rooms(&[3, 2, 0]), &mut turn, usize::MAX);
        assert_eq!(pairs(&placed), [(1, vec![0, 1]), (0, vec![2, 3])]);
        assert_eq!(turn, 1);
        let placed = in_rotation(&[0, 1, 2], &rooms(&[3, 2, 0]), &mut 0, 1);
        assert_eq!(pairs(&placed), [(0, vec![0]), (1, vec![1]), (0, vec![2])]);
    }

    #[test]
    fn no_more_go_together_than_allowed() {
        let placed = to_holders(&[0, 1, 2], &held(&["a:1"; 3]), &rooms(&[9]), 2);
        assert_eq!(pairs(&placed), [(0, vec![0, 1]), (0, vec![2])]);
        let placed = to_anyone(&[0, 1, 2], &held(&["gone:1"; 3]), &rooms(&[9]), 2);
        assert_eq!(pairs(&placed), [(0, vec![0, 1]), (0, vec![2])]);
    }

    #[test]
    fn a_whole_stage_goes_to_who_holds_most() {
        let held = Bytes::from([("a:1", 1), ("b:1", 5), ("c:1", 2)]);
        assert_eq!(main_holder_with_room(&held, &rooms(&[9, 1, 9])), Some(1));
        assert_eq!(main_holder_with_room(&held, &rooms(&[9, 0, 9])), None);
        assert_eq!(anyone(&held, &rooms(&[9, 0, 1])), Some(2));
        assert_eq!(anyone(&held, &rooms(&[0, 0, 0])), None);
    }

    fn taken(placed: &[Placed], executor: usize) -> usize {
        placed
            .iter()
            .filter(|placed| placed.executor == executor)
            .map(|placed| placed.partitions.len())
            .sum()
    }

    fn take(rooms: &mut [Room], placed: &[Placed]) {
        for (executor, room) in rooms.iter_mut().enumerate() {
            let taken = taken(placed, executor);
            assert!(taken <= room.free, "more than the free vcores");
            room.free -= taken;
        }
    }

    fn some_bytes() -> impl Strategy<Value = Bytes<'static>> {
        vec((0..ADDRESSES.len(), 1_u64..5), 0..4).prop_map(|parts| {
            parts
                .into_iter()
                .map(|(place, bytes)| (ADDRESSES[place], bytes))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn every_partition_once_and_no_vcore_idle(
            held in vec(some_bytes(), 0..20),
            waits in vec(any::<bool>(), 20),
            free in vec(0_usize..6, 0..4),
            at_most in 1_usize..8,
        ) {
            let pending: Vec<usize> = (0..held.len()).filter(|partition| waits[*partition]).collect();
            let mut rooms = rooms(&free);

            let local = to_holders(&pending, &held, &rooms, at_most);
            take(&mut rooms, &local);
            let placed: BTreeSet<usize> = local.iter().flat_map(|placed| placed.partitions.clone()).collect();
            let left: Vec<usize> = pending.iter().copied().filter(|partition| !placed.contains(partition)).collect();
            for placed in &local {
                for partition in &placed.partitions {
                    prop_assert_eq!(main_holder(&held[*partition]), Some(ADDRESSES[placed.executor]));
                }
            }
            for partition in &left {
                let holder = main_holder(&held[*partition]);
                let room = rooms.iter().find(|room| room.address.as_deref() == holder);
                prop_assert_eq!(room.map_or(0, |room| room.free), 0);
            }

            let rest = to_anyone(&left, &held, &rooms, at_most);
            take(&mut rooms, &rest);
            let all: Vec<&Placed> = local.iter().chain(&rest).collect();
            prop_assert!(all.iter().all(|placed| (1..=at_most).contains(&placed.partitions.len())));
            let mut bound: Vec<usize> = all.iter().flat_map(|placed| placed.partitions.clone()).collect();
            bound.sort_unstable();
            prop_assert!(bound.windows(2).all(|pair| pair[0] < pair[1]), "bound twice: {:?}", bound);
            prop_assert!(bound.iter().all(|partition| pending.contains(partition)));
            let idle: usize = rooms.iter().map(|room| room.free).sum();
            prop_assert!(idle == 0 || bound.len() == pending.len(), "{idle} idle, {bound:?} of {pending:?}");
        }

        #[test]
        fn rotation_places_all_that_fits(
            pending in 0_usize..20,
            free in vec(0_usize..6, 0..4),
            turn in 0_usize..4,
            at_most in 1_usize..8,
        ) {
            let pending: Vec<usize> = (0..pending).collect();
            let mut rooms = rooms(&free);
            let fits = pending.len().min(free.iter().sum());
            let placed = in_rotation(&pending, &rooms, &mut turn.min(free.len()), at_most);
            take(&mut rooms, &placed);
            let bound: Vec<usize> = placed.into_iter().flat_map(|placed| placed.partitions).collect();
            prop_assert_eq!(bound, &pending[..fits]);
        }
    }
}
