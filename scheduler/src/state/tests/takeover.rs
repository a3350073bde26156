//! One writer after another on the same store.

use futures::future::join_all;

use super::super::attempt::Attempt;
use super::super::store::Kind;
use super::super::{CatalogLog, Error};
use super::changes::{create_schema, create_view, drop_view, put_view};
use super::{fast, open, stores};

#[tokio::test]
async fn a_restart_finds_the_same_catalog() {
    for (store, _folder) in stores() {
        let first = open(&store, "first").await;
        first
            .commit(vec![create_schema("s"), create_view("s", "v")])
            .await
            .unwrap();
        first.commit(vec![create_view("public", "gone")]).await.unwrap();
        let last = first.commit(vec![drop_view("public", "gone")]).await.unwrap();
        let before = first.current();
        assert_eq!(before.version, last);
        drop(first);

        let after = open(&store, "second").await.current();
        assert_eq!(after.version, last + 1, "the lease is an entry");
        assert_eq!(
            (&after.schemas, &after.relations),
            (&before.schemas, &before.relations)
        );
    }
}

#[tokio::test]
async fn a_writer_that_was_taken_over_loses_its_next_commit_and_its_check() {
    for (store, _folder) in stores() {
        let old = open(&store, "old").await;
        old.check_lease().await.unwrap();
        let new = open(&store, "new").await;
        for error in [
            old.check_lease().await.unwrap_err(),
            old.commit(vec![create_view("public", "v")]).await.unwrap_err(),
        ] {
            assert!(
                matches!(&error, Error::LeaseLost { by: Some(by) } if by == "new"),
                "{error}"
            );
        }
        new.check_lease().await.unwrap();
        assert!(new.current().relations.is_empty());

        let silent = open(&store, "silent").await;
        let error = new.commit(vec![create_view("public", "v")]).await.unwrap_err();
        assert!(
            matches!(&error, Error::LeaseLost { by: Some(by) } if by == "silent"),
            "{error}"
        );
        silent.check_lease().await.unwrap();
    }
}

#[tokio::test]
async fn a_writer_that_slept_through_compactions_has_lost() {
    for (store, _folder) in stores() {
        let asleep = open(&store, "asleep").await;
        let also_asleep = open(&store, "also asleep").await;
        let next_of_asleep = asleep.current().version + 1;
        let awake = open(&store, "awake").await;
        for n in 0..20 {
            awake
                .commit(vec![put_view("public", "v", &n.to_string())])
                .await
                .unwrap();
        }
        assert!(also_asleep.check_lease().await.is_err());
        let log = store.versions(Kind::Log).await.unwrap();
        assert!(
            !log.contains(&next_of_asleep),
            "the name must be free again, or this tests nothing: {log:?}"
        );

        let error = asleep
            .commit(vec![put_view("public", "v", "stale")])
            .await
            .unwrap_err();
        assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
        assert!(
            store.versions(Kind::Log).await.unwrap().contains(&next_of_asleep),
            "its entry was written"
        );
        let reread = open(&store, "reader").await.current();
        assert_eq!(reread.relations, awake.current().relations, "and nobody reads it");
    }
}

#[tokio::test]
async fn exactly_one_of_two_writers_gets_a_version() {
    for (store, _folder) in stores() {
        let state = open(&store, "base").await.current();
        for round in 0..20 {
            let version = state.version + 1;
            let mut attempts = ["a", "b", "c"].map(|id| Attempt::new(&state, id, Vec::new()).unwrap());
            let delay = fast(4).retry_delay;
            let outcomes = join_all(attempts.iter_mut().map(|attempt| attempt.settle(&store, delay))).await;
            let winners = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            assert_eq!(winners, 1, "round {round}: {outcomes:?}");
            store.delete(vec![Kind::Log.path(version)]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn commits_that_wait_together_share_entries_and_fail_alone() {
    for (store, _folder) in stores() {
        let log = open(&store, "w").await;
        let before = log.current().version;
        let names: Vec<String> = (0..100).map(|n| format!("v{}", n % 90)).collect();
        let commits = names
            .iter()
            .map(|name| log.commit(vec![create_view("public", name)]));
        let outcomes = join_all(commits).await;
        let refused = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Err(Error::RelationExists { .. })))
            .count();
        assert_eq!((refused, log.current().relations.len()), (10, 90));
        let entries = log.current().version - before;
        assert!(
            entries < 90,
            "{entries} entries for 90 commits that waited at the same time"
        );
    }
}

#[tokio::test]
async fn a_commit_is_all_or_nothing() {
    let (store, _folder) = stores().remove(0);
    let log = open(&store, "w").await;
    let version = log.current().version;
    log.commit(vec![create_view("public", "a"), create_view("nowhere", "b")])
        .await
        .unwrap_err();
    assert_eq!(
        (log.current().version, log.current().relations.len()),
        (version, 0)
    );
    assert_eq!(
        log.commit(Vec::new()).await.unwrap(),
        version,
        "no changes, no entry"
    );
}

#[tokio::test]
async fn writers_that_open_at_the_same_time_all_open_and_one_remains() {
    for (store, _folder) in stores() {
        let ids = ["a", "b", "c", "d"];
        let opened = join_all(ids.map(|id| CatalogLog::open_at_pace(store.clone(), id, fast(4)))).await;
        let logs: Vec<CatalogLog> = opened.into_iter().map(Result::unwrap).collect();
        let checks = join_all(logs.iter().map(CatalogLog::check_lease)).await;
        assert_eq!(
            checks.iter().filter(|check| check.is_ok()).count(),
            1,
            "{checks:?}"
        );
    }
}
