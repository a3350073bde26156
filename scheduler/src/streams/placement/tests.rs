//! Where topic partitions go when executors come, leave and die, and that few of them move.

use super::*;

fn candidate(name: &str) -> Candidate {
    Candidate {
        address: name.to_string(),
        instance: format!("process of {name}"),
        closed: false,
    }
}

fn closed(name: &str) -> Candidate {
    Candidate {
        closed: true,
        ..candidate(name)
    }
}

fn owner(name: &str, epoch: u64) -> PartitionOwner {
    PartitionOwner {
        address: name.to_string(),
        instance: format!("process of {name}"),
        epoch,
    }
}

fn owned(number: u32, name: &str, epoch: u64) -> TopicPartition {
    TopicPartition {
        number,
        start: 5,
        owner: (epoch > 0).then(|| owner(name, epoch)),
        standby: None,
        paused_at: None,
        added: false,
    }
}

fn moves(partition: TopicPartition, name: &str, epoch: u64) -> TopicPartition {
    moving(&partition, Some(owner(name, epoch)))
}

fn table(partitions: Vec<TopicPartition>) -> KafkaTable {
    KafkaTable {
        partitions,
        ..Default::default()
    }
}

/// `states` are of executors, with a position.
fn mend_with(
    candidates: Vec<Candidate>,
    partitions: Vec<TopicPartition>,
    may_come: &str,
    states: &[(&str, &str, u64)],
) -> Vec<TopicPartition> {
    let table = table(partitions);
    let status = |_: &KafkaTable, _: &TopicPartition, owner: &PartitionOwner| {
        let found = states.iter().find(|(name, ..)| *name == owner.address)?;
        Some(PartitionStatus {
            state: found.1.to_string(),
            position: found.2,
            fenced_by: if found.1 == "failed" { found.2 } else { 0 },
            ..Default::default()
        })
    };
    Placement::new(candidates, &[&table]).mend(&table, &|address| address == may_come, &status)
}

fn mend(candidates: Vec<Candidate>, partitions: Vec<TopicPartition>, may_come: &str) -> Vec<TopicPartition> {
    mend_with(candidates, partitions, may_come, &[])
}

#[test]
fn partitions_without_an_owner_are_spread() {
    let free = |number| owned(number, "", 0);
    let partitions = vec![owned(0, "a", 1), free(1), free(2), free(3)];
    let placed = mend(vec![candidate("a"), candidate("b")], partitions, "");
    assert_eq!(placed, [owned(1, "b", 1), owned(2, "a", 1), owned(3, "b", 1)]);
}

#[test]
fn an_owner_that_is_gone_is_followed_by_the_next_epoch() {
    let partitions = vec![owned(0, "a", 3), owned(1, "c", 1)];
    assert_eq!(
        mend(vec![candidate("a")], partitions.clone(), ""),
        [owned(1, "a", 2)]
    );
    assert_eq!(
        mend(vec![candidate("a")], partitions, "c"),
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
    let placed = mend(vec![again], vec![owned(0, "a", 1)], "");
    let owner = placed[0].owner.as_ref().unwrap();
    assert_eq!((owner.instance.as_str(), owner.epoch), ("later", 2));
}

#[test]
fn one_that_drains_keeps_what_it_has_until_a_standby_is_as_far() {
    let all = || vec![closed("a"), candidate("b")];
    let partitions = vec![owned(0, "a", 1), owned(1, "", 0)];
    let first = mend(all(), partitions.clone(), "");
    assert_eq!(first, [moves(owned(0, "a", 1), "b", 2), owned(1, "b", 1)]);
    assert_eq!(
        mend(vec![closed("a")], partitions, ""),
        [],
        "nobody else is there"
    );

    let reads_along = vec![moves(owned(0, "a", 1), "b", 2)];
    for (state, position, done) in [
        ("backfilling", 90, false),
        ("standby", 70, false),
        ("standby", 80, true),
    ] {
        let states = [("a", "live", 80), ("b", state, position)];
        let mended = mend_with(all(), reads_along.clone(), "", &states);
        let expected: Vec<_> = done.then(|| owned(0, "b", 2)).into_iter().collect();
        assert_eq!(mended, expected, "{state} {position}");
    }
}

#[test]
fn a_standby_follows_an_owner_that_is_lost_and_one_that_is_lost_is_forgotten() {
    let reads_along = || vec![moves(owned(0, "a", 1), "b", 2)];
    assert_eq!(mend(vec![candidate("b")], reads_along(), ""), [owned(0, "b", 2)]);
    assert_eq!(mend(vec![candidate("a")], reads_along(), ""), [owned(0, "a", 1)]);
    let instead = mend(vec![closed("a"), candidate("c")], reads_along(), "");
    assert_eq!(instead, [moves(owned(0, "a", 1), "c", 3)]);
}

#[test]
fn a_paused_table_moves_when_it_is_known_where_it_stands() {
    let drains = || vec![closed("a"), candidate("b")];
    let mend = |partition: TopicPartition, all: Vec<Candidate>| {
        let table = KafkaTable {
            paused: true,
            ..table(vec![partition])
        };
        let status = |_: &KafkaTable, _: &TopicPartition, _: &PartitionOwner| None;
        Placement::new(all, &[&table]).mend(&table, &|_| false, &status)
    };
    let known = |partition| TopicPartition {
        paused_at: Some(80),
        ..partition
    };
    assert_eq!(mend(owned(0, "a", 1), drains()), []);
    assert_eq!(
        mend(known(owned(0, "a", 1)), drains()),
        [known(moves(owned(0, "a", 1), "b", 2))]
    );
    // One that has read along may be anywhere.
    let reads_along = moves(owned(0, "a", 1), "b", 2);
    assert_eq!(mend(reads_along.clone(), drains()), [owned(0, "a", 1)]);
    assert_eq!(mend(known(reads_along.clone()), drains()), []);
    assert_eq!(mend(reads_along, vec![candidate("b")]), [owned(0, "b", 2)]);

    let of_a: Vec<TopicPartition> = (0..4).map(|number| owned(number, "a", 1)).collect();
    let mut paused = KafkaTable {
        paused: true,
        ..table(of_a)
    };
    let balance = |table: &KafkaTable| {
        let joined = vec![candidate("a"), candidate("b")];
        Placement::new(joined, &[table]).balance(&[table])
    };
    assert_eq!(balance(&paused), [vec![]]);
    paused.partitions[2].paused_at = Some(7);
    let numbers = |moved: &[TopicPartition]| moved.iter().map(|moved| moved.number).collect::<Vec<_>>();
    assert_eq!(numbers(&balance(&paused)[0]), [2]);
}

#[test]
fn what_is_stored_may_be_newer_than_the_catalog() {
    let fenced = [("a", "failed", 7)];
    let mended = mend_with(vec![candidate("a")], vec![owned(0, "a", 2)], "", &fenced);
    assert_eq!(mended, [owned(0, "a", 8)]);
}

#[test]
fn an_executor_that_joins_gets_its_share_a_few_at_a_time() {
    let of_a = |count: u32| (0..count).map(|number| owned(number, "a", 1)).collect::<Vec<_>>();
    let (small, large) = (table(of_a(1)), table(of_a(5)));
    let tables = [&small, &large];
    let joined = || vec![candidate("a"), candidate("b")];
    let moved = Placement::new(joined(), &tables).balance(&tables);
    assert_eq!(moved[0], []);
    assert_eq!(
        moved[1],
        [moves(owned(0, "a", 1), "b", 2), moves(owned(1, "a", 1), "b", 2)]
    );

    let mut rest = large.clone();
    for moved in &moved[1] {
        rest.partitions[moved.number as usize] = moved.clone();
    }
    let tables = [&small, &rest];
    let none: Vec<Vec<TopicPartition>> = vec![Vec::new(), Vec::new()];
    assert_eq!(
        Placement::new(joined(), &tables).balance(&tables),
        none,
        "two are on their way"
    );

    let even = table(vec![owned(0, "a", 1), owned(1, "a", 1), owned(2, "b", 1)]);
    assert_eq!(Placement::new(joined(), &[&even]).balance(&[&even]), [vec![]]);
}
