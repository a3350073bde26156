//! Changes that say which of them is newer, in any order.

use std::time::Duration;

use super::*;
use crate::shards::live::table::VersionColumn;

fn versioned(store: &Arc<ShardStore>, segment_rows: usize) -> LiveShard {
    let mut live = LiveShard::new(store.clone(), versioned_table(), 0).unwrap();
    live.segment_rows = segment_rows;
    live
}

fn versioned_table() -> LiveTable {
    LiveTable {
        version: Some(VersionColumn {
            place: 1,
            tombstones: Duration::from_secs(3600),
        }),
        ..table(&[0])
    }
}

fn put(id: i64, version: i64, text: &str) -> Step {
    Step::Put(id, (Some(version), Some(text.to_string())))
}

fn seen(live: &LiveShard, store: &Arc<ShardStore>) -> Vec<(i64, Row)> {
    live.publish(0);
    rows(store.pin(&live.views().read().clone(), "w"), None)
}

/// A shard that was stored and comes back.
fn restored(live: &LiveShard, store: &Arc<ShardStore>) -> LiveShard {
    live.publish(0);
    let view = live.views().read().clone();
    let saved = view.segments().map(|segment| crate::shards::SavedSegment {
        id: segment.id(),
        of_graves: segment.of_graves(),
        rows: segment.rows(&versioned_table()).unwrap(),
        dead: segment.dead().to_vec(),
    });
    let mut back = LiveShard::restore(store.clone(), versioned_table(), 0, saved.collect()).unwrap();
    back.segment_rows = live.segment_rows;
    back
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order in which changes come, and how often, the newest of each key decides.
    #[test]
    fn the_newest_change_decides(
        changes_of in proptest::collection::vec((0..12i64, proptest::bool::weighted(0.3)), 1..80),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..80),
        shuffle in any::<u64>(),
        batch in 1..9usize,
        segment_rows in 1..40usize,
        restore_at in 0..20usize,
    ) {
        let store = store(usize::MAX);
        let mut live = versioned(&store, segment_rows);
        let steps: Vec<Step> = changes_of.iter().enumerate().map(|(version, (id, is_delete))| {
            let version = version as i64;
            if *is_delete { Step::DeleteVersion(*id, version) } else { put(*id, version, &version.to_string()) }
        }).collect();
        let mut newest = Model::new();
        for (version, (id, is_delete)) in changes_of.iter().enumerate() {
            match is_delete {
                true => drop(newest.remove(id)),
                false => drop(newest.insert(*id, (Some(version as i64), Some(version.to_string())))),
            }
        }
        // All of them in some order, and some of them again.
        let mut log = steps.clone();
        log.sort_by_key(|step| {
            let version = match step {
                Step::Put(_, (Some(version), _)) | Step::DeleteVersion(_, version) => *version as u64,
                _ => 0,
            };
            (version ^ shuffle).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        log.extend(order.iter().map(|index| index.get(&steps).clone()));
        for (at, batch) in log.chunks(batch).enumerate() {
            if at == restore_at {
                live = restored(&live, &store);
            }
            live.apply(&changes(batch)).unwrap();
        }
        prop_assert_eq!(seen(&live, &store), of_model(&newest));
    }
}

#[test]
fn a_delete_without_a_version_is_meant_for_what_is_there() {
    let store = store(usize::MAX);
    let mut live = versioned(&store, 64);
    live.apply(&changes(&[
        put(1, 5, "a"),
        Step::Delete(1),
        put(1, 4, "late"),
        put(1, 5, "again"),
    ]))
    .unwrap();
    assert_eq!(seen(&live, &store), []);
    live.apply(&changes(&[put(1, 6, "new")])).unwrap();
    assert_eq!(seen(&live, &store), [(1, (Some(6), Some("new".to_string())))]);
}

#[test]
fn a_row_without_a_version_is_the_oldest() {
    let store = store(usize::MAX);
    let mut live = versioned(&store, 64);
    let nameless = |text: &str| Step::Put(1, (None, Some(text.to_string())));
    let applied = live.apply(&changes(&[
        nameless("a"),
        nameless("b"),
        put(1, 0, "c"),
        nameless("d"),
    ]));
    assert_eq!(applied.unwrap().stale, 1);
    assert_eq!(seen(&live, &store), [(1, (Some(0), Some("c".to_string())))]);
}

#[test]
fn a_rename_is_old_or_new_as_a_whole() {
    let store = store(usize::MAX);
    let mut live = versioned(&store, 64);
    let rename = |version| Step::Rename(1, 2, (Some(version), Some("renamed".to_string())));
    let applied = live.apply(&changes(&[put(1, 5, "a"), rename(4)])).unwrap();
    assert_eq!((applied.stale, applied.refused.len()), (1, 0));
    assert_eq!(seen(&live, &store), [(1, (Some(5), Some("a".to_string())))]);
    live.apply(&changes(&[rename(6), put(1, 6, "late")])).unwrap();
    assert_eq!(seen(&live, &store), [(2, (Some(6), Some("renamed".to_string())))]);
    let applied = live
        .apply(&changes(&[Step::Rename(9, 3, (Some(7), None))]))
        .unwrap();
    assert_eq!(refused(&applied), [0]);
}

#[test]
fn a_sparse_change_without_a_version_does_not_bring_a_row_back() {
    let store = store(usize::MAX);
    let mut live = versioned(&store, 64);
    let text = |text: &str| Changes {
        kinds: vec![Kind::Merge([true, false, true].into())],
        ..changes(&[Step::Put(1, (None, Some(text.to_string())))])
    };
    live.apply(&changes(&[put(1, 5, "a")])).unwrap();
    live.apply(&text("b")).unwrap();
    assert_eq!(seen(&live, &store), [(1, (Some(5), Some("b".to_string())))]);
    live.apply(&changes(&[put(1, 4, "late"), Step::DeleteVersion(1, 6)]))
        .unwrap();
    live.apply(&text("c")).unwrap();
    assert_eq!(seen(&live, &store), []);
}

#[test]
fn a_sparse_rename_takes_the_version_of_its_row_along() {
    let store = store(usize::MAX);
    let mut live = versioned(&store, 64);
    let sparse = || Kind::Merge([true, false, true].into());
    let rename = |old, new, text: &str| Changes {
        kinds: vec![Kind::Rekey, sparse()],
        ..changes(&[Step::Rename(old, new, (None, Some(text.to_string())))])
    };
    live.apply(&changes(&[put(1, 3, "a"), put(2, 9, "b"), put(7, 1, "g")]))
        .unwrap();
    // The row under the new key is newer. What comes after that has nothing to do with it.
    let late = Changes {
        kinds: vec![Kind::Rekey, sparse(), Kind::Merge([true, false, false].into())],
        ..changes(&[Step::Rename(1, 2, (None, None)), Step::Put(7, (None, None))])
    };
    assert_eq!(live.apply(&late).unwrap().stale, 1);
    let (two, seven) = (
        (2, (Some(9), Some("b".to_string()))),
        (7, (Some(1), Some("g".to_string()))),
    );
    assert_eq!(seen(&live, &store), [two.clone(), seven.clone()]);
    live.apply(&changes(&[put(1, 4, "a"), Step::DeleteVersion(3, 2)]))
        .unwrap();
    live.apply(&rename(1, 3, "c")).unwrap();
    let three = (3, (Some(4), Some("c".to_string())));
    assert_eq!(seen(&live, &store), [two, three, seven]);
}

#[test]
fn a_truncate_forgets_graves() {
    let store = store(usize::MAX);
    let mut live = versioned(&store, 64);
    live.apply(&changes(&[
        put(1, 5, "a"),
        Step::DeleteVersion(1, 9),
        put(2, 9, "b"),
    ]))
    .unwrap();
    live.apply(&changes(&[Step::Truncate, put(1, 1, "c"), put(2, 1, "d")]))
        .unwrap();
    let ids: Vec<i64> = seen(&live, &store).iter().map(|row| row.0).collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn a_refused_message_leaves_the_versions_of_all_its_rows() {
    let store = store(usize::MAX);
    let mut live = versioned(&store, 64);
    live.apply(&changes(&[
        put(0, 5, "old"),
        put(1, 5, "gone"),
        Step::DeleteVersion(1, 6),
    ]))
    .unwrap();
    let mut batch = changes(&[
        put(0, 9, "refused"),
        put(1, 9, "refused"),
        Step::Rename(7, 8, (Some(9), None)),
        // Of the next message.
        put(0, 7, "new"),
        put(1, 6, "too old"),
    ]);
    let last = batch.messages.len() - 2;
    batch.messages[..last].fill(0);
    let applied = live.apply(&batch).unwrap();
    assert_eq!(refused(&applied), [0]);
    let row = |version: i64, text: &str| (Some(version), Some(text.to_string()));
    assert_eq!(seen(&live, &store), [(0, row(7, "new"))]);
    assert_eq!(seen(&restored(&live, &store), &store), [(0, row(7, "new"))]);
}

#[test]
fn a_refused_change_leaves_the_grave_of_its_row() {
    let store = store(usize::MAX);
    let mut live = LiveShard::new(store.clone(), with_texts(versioned_table()), 0).unwrap();
    live.apply(&changes(&[put(1, 5, "a"), Step::DeleteVersion(1, 6)]))
        .unwrap();
    let applied = live
        .apply(&changes(&[Step::Number(1, 6), Step::Number(1, 7)]))
        .unwrap();
    assert_eq!((applied.stale, refused(&applied)), (1, vec![1]));
    // As if the refused one had never been there.
    assert_eq!(live.apply(&changes(&[put(1, 6, "late")])).unwrap().stale, 1);
    live.apply(&changes(&[put(1, 7, "new")])).unwrap();
    assert_eq!(seen(&live, &store), [(1, (Some(7), Some("new".to_string())))]);
}
