//! Objects that were cut, altered, lost, or written by a newer version.

use bytes::Bytes;
use millpond_proto::catalog::{Change, Entry, FORMAT};
use object_store::path::Path;

use super::super::load::load;
use super::super::sealed::seal;
use super::super::store::{Kind, Store};
use super::super::{CatalogLog, Error};
use super::changes::put_view;
use super::{fast, open};

/// A store with snapshots at 4 and 8 and the log from 5 to 10.
async fn some_history() -> Store {
    let store = Store::in_memory();
    let log = open(&store, "w").await;
    for n in 2..=10 {
        log.commit(vec![put_view("public", &format!("v{n}"), "select 1")])
            .await
            .unwrap();
    }
    // The answer comes after the compaction that the last commit may have caused.
    log.check_lease().await.unwrap();
    assert_eq!(store.versions(Kind::Snapshot).await.unwrap(), [4, 8]);
    assert_eq!(store.versions(Kind::Log).await.unwrap(), [5, 6, 7, 8, 9, 10]);
    store
}

async fn replace(store: &Store, path: &Path, content: Option<Bytes>) {
    store.delete(vec![path.clone()]).await.unwrap();
    if let Some(content) = content {
        store.put_new(path, content).await.unwrap();
    }
}

async fn halve(store: &Store, path: &Path) {
    let content = store.get(path).await.unwrap().unwrap();
    replace(store, path, Some(content.slice(..content.len() / 2))).await;
}

async fn refusal(store: &Store) -> Error {
    CatalogLog::open_at_pace(store.clone(), "next", fast(4))
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_cut_entry_is_named() {
    let store = some_history().await;
    halve(&store, &Kind::Log.path(9)).await;
    let error = refusal(&store).await;
    assert!(
        matches!(&error, Error::Damaged { object, .. } if *object == Kind::Log.path(9).to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn an_empty_last_entry_is_named() {
    let store = some_history().await;
    replace(&store, &Kind::Log.path(10), Some(Bytes::new())).await;
    let error = refusal(&store).await;
    assert!(
        matches!(&error, Error::Damaged { object, .. } if *object == Kind::Log.path(10).to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_lost_entry_is_named() {
    let store = some_history().await;
    replace(&store, &Kind::Log.path(9), None).await;
    let error = refusal(&store).await;
    assert!(
        matches!(&error, Error::Missing { object } if *object == Kind::Log.path(9).to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn one_damaged_snapshot_loses_nothing() {
    let store = some_history().await;
    let whole = load(&store).await.unwrap().state;
    halve(&store, &Kind::Snapshot.path(8)).await;
    assert_eq!(load(&store).await.unwrap().state, whole);
    open(&store, "next")
        .await
        .commit(vec![put_view("public", "more", "select 1")])
        .await
        .unwrap();
    assert_eq!(
        load(&store).await.unwrap().state.relations.len(),
        whole.relations.len() + 1
    );
}

#[tokio::test]
async fn a_damaged_snapshot_that_nothing_makes_up_for_is_named() {
    let store = some_history().await;
    halve(&store, &Kind::Snapshot.path(8)).await;
    store
        .delete((5..=10).map(|version| Kind::Log.path(version)).collect())
        .await
        .unwrap();
    let error = refusal(&store).await;
    let name = Kind::Snapshot.path(8).to_string();
    assert!(
        matches!(&error, Error::Damaged { object, .. } if *object == name),
        "{error}"
    );
}

#[tokio::test]
async fn newer_formats_and_unknown_changes_are_refused_and_left_alone() {
    let newer = Entry {
        format: FORMAT + 1,
        written_by: "9.0.0".into(),
        ..Entry::default()
    };
    let unknown = Entry {
        format: FORMAT,
        changes: vec![Change { kind: None }],
        ..Entry::default()
    };
    for entry in [newer, unknown] {
        let store = some_history().await;
        store.put_new(&Kind::Log.path(11), seal(&entry)).await.unwrap();
        let before = store.list().await.unwrap();
        let error = refusal(&store).await;
        assert!(
            matches!(error, Error::TooNew { .. } | Error::UnknownChange { version: 11 }),
            "{error}"
        );
        assert_eq!(
            store.list().await.unwrap(),
            before,
            "nothing is written to what is not understood"
        );
    }
}

#[tokio::test]
async fn a_change_that_does_not_follow_is_damage() {
    let store = some_history().await;
    let entry = Entry {
        format: FORMAT,
        changes: vec![super::changes::drop_view("public", "never")],
        ..Entry::default()
    };
    store.put_new(&Kind::Log.path(11), seal(&entry)).await.unwrap();
    let error = refusal(&store).await;
    assert!(
        matches!(&error, Error::Damaged { reason, .. } if reason.contains("public.never")),
        "{error}"
    );
}

#[tokio::test]
async fn a_crash_before_or_within_a_compaction_loses_nothing() {
    let store = some_history().await;
    let whole = load(&store).await.unwrap().state;
    // Killed after the snapshot and before the deletions, or after some of them: what is left is a superset.
    super::super::compaction::put_snapshot(&store, &whole)
        .await
        .unwrap();
    assert_eq!(load(&store).await.unwrap().state, whole);
    store
        .delete(vec![Kind::Log.path(5), Kind::Snapshot.path(4)])
        .await
        .unwrap();
    assert_eq!(load(&store).await.unwrap().state, whole);

    let next = open(&store, "next").await;
    for _ in 0..8 {
        next.commit(vec![put_view("public", "v", "select 2")])
            .await
            .unwrap();
    }
    next.check_lease().await.unwrap();
    assert_eq!(
        store.versions(Kind::Snapshot).await.unwrap().len(),
        2,
        "the next compaction has tidied up"
    );
    let log = store.versions(Kind::Log).await.unwrap();
    assert!(log.len() <= 8, "{log:?}");
}
