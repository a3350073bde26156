//! Writes whose answer does not come.

use std::sync::Arc;

use object_store::memory::InMemory;

use super::super::{CatalogLog, Error, Store};
use super::changes::create_view;
use super::failing_store::{FailingStore, Fault};
use super::{fast, open};

/// Commits one view while the store fails as planned; gives the outcome and the store without its faults.
async fn commit_through(faults: &[Fault]) -> (Result<u64, Error>, CatalogLog, FailingStore, Store) {
    let objects = Arc::new(InMemory::new());
    let failing = FailingStore::over(objects.clone());
    let log = open(&failing.store(), "w").await;
    failing.plan(faults);
    let outcome = log.commit(vec![create_view("public", "v")]).await;
    (outcome, log, failing, Store::over(objects))
}

async fn names_in(store: &Store) -> Vec<String> {
    open(store, "reader")
        .await
        .current()
        .relations
        .keys()
        .map(|(_, name)| name.clone())
        .collect()
}

#[tokio::test]
async fn a_commit_survives_single_failures_and_is_made_once() {
    use Fault::{AnswerLost, Outage, RequestLost, SentTwice};
    let plans: [&[Fault]; 6] = [
        &[AnswerLost],
        &[RequestLost],
        &[SentTwice],
        &[RequestLost, AnswerLost],
        &[Outage, SentTwice],
        &[RequestLost, RequestLost, Outage],
    ];
    for plan in plans {
        let (outcome, log, failing, store) = commit_through(plan).await;
        assert_eq!(outcome.unwrap(), 2, "{plan:?}");
        assert!(failing.all_happened(), "{plan:?}");
        assert_eq!(log.current().version, 2, "{plan:?}");
        assert_eq!(
            log.commit(vec![create_view("public", "w")]).await.unwrap(),
            3,
            "{plan:?}"
        );
        assert_eq!(names_in(&store).await, ["v", "w"], "{plan:?}");
    }
}

#[tokio::test]
async fn an_entry_whose_fate_is_open_comes_before_any_other() {
    let (outcome, log, failing, store) = commit_through(&[Fault::Outage; 4]).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Unconfirmed { version: 2, .. }), "{error}");
    assert!(failing.all_happened());
    assert!(
        log.current().relations.is_empty(),
        "nothing is shown that is not known to be durable"
    );

    assert_eq!(log.commit(vec![create_view("public", "w")]).await.unwrap(), 3);
    assert_eq!(
        log.current().relations.len(),
        2,
        "the first change was sent again and took effect"
    );
    assert_eq!(names_in(&store).await, ["v", "w"]);
}

#[tokio::test]
async fn a_check_of_the_lease_settles_what_is_open() {
    let (outcome, log, ..) = commit_through(&[Fault::Outage; 4]).await;
    outcome.unwrap_err();
    log.check_lease().await.unwrap();
    assert_eq!(log.current().relations.len(), 1);
}

#[tokio::test]
async fn an_open_entry_loses_to_a_new_writer() {
    let (outcome, log, _, store) = commit_through(&[Fault::Outage; 4]).await;
    outcome.unwrap_err();
    let new = open(&store, "new").await;
    let error = log.commit(vec![create_view("public", "w")]).await.unwrap_err();
    assert!(
        matches!(&error, Error::LeaseLost { by: Some(by) } if by == "new"),
        "{error}"
    );
    assert!(new.current().relations.is_empty());
}

#[tokio::test]
async fn opening_survives_a_lost_answer() {
    let failing = FailingStore::over(Arc::new(InMemory::new()));
    failing.plan(&[Fault::AnswerLost]);
    let log = CatalogLog::open_at_pace(failing.store(), "w", fast(4))
        .await
        .unwrap();
    assert!(failing.all_happened());
    assert_eq!(log.current().version, 1, "one lease, not two");
    log.check_lease().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_a_commit_for_certain_and_the_next_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&url::Url::from_directory_path(folder.path()).unwrap(), &[]).unwrap();
    let log = open(&store, "w").await;
    let entries = folder.path().join("catalog/log");
    let aside = folder.path().join("aside");
    // A file in the place of the folder makes every write fail, whoever runs the test.
    std::fs::rename(&entries, &aside).unwrap();
    std::fs::write(&entries, "").unwrap();
    let error = log.commit(vec![create_view("public", "v")]).await.unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    std::fs::remove_file(&entries).unwrap();
    std::fs::rename(&aside, &entries).unwrap();
    log.commit(vec![create_view("public", "v")]).await.unwrap();
    assert_eq!(names_in(&store).await, ["v"]);
}
