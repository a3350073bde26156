//! Whatever happens to the catalog, the log with its snapshots says the same as the changes one after another.

use millpond_proto::catalog::Change;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::load::load;
use super::super::{CatalogLog, CatalogState, Store};
use super::changes::{create_schema, create_view, drop_empty_schema, drop_schema, drop_view, put_view};
use super::fast;

/// Changes over few names, so that many of them meet.
fn any_change() -> impl Strategy<Value = Change> {
    (
        0..6,
        prop::sample::select(vec!["public", "s", "t"]),
        prop::sample::select(vec!["a", "b", "c"]),
        0..100,
    )
        .prop_map(|(kind, schema, name, definition)| match kind {
            0 => create_schema(schema),
            1 => drop_schema(schema),
            2 => drop_empty_schema(schema),
            3 => create_view(schema, name),
            4 => put_view(schema, name, &format!("select {definition}")),
            _ => drop_view(schema, name),
        })
}

/// Commits each list of changes, restarting now and then, and gives what the log says then and what it should.
async fn replay(
    commits: &[Vec<Change>],
    snapshot_interval: u64,
    restart_every: usize,
) -> (CatalogState, CatalogState) {
    let store = Store::in_memory();
    let mut expected = CatalogState::default();
    for (process, part) in commits.chunks(restart_every).enumerate() {
        let pace = fast(snapshot_interval);
        let log = CatalogLog::open_at_pace(store.clone(), &process.to_string(), pace)
            .await
            .unwrap();
        expected.version += 1;
        for changes in part {
            let mut next = expected.clone();
            let valid = changes.iter().all(|change| next.apply(change).is_ok());
            assert_eq!(log.commit(changes.clone()).await.is_ok(), valid);
            if valid && !changes.is_empty() {
                expected = CatalogState {
                    version: expected.version + 1,
                    ..next
                };
            }
            assert_eq!(*log.current(), expected);
        }
        log.check_lease().await.unwrap();
    }
    (load(&store).await.unwrap().state, expected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn log_and_snapshots_equal_the_changes_in_order(
        commits in vec(vec(any_change(), 0..4), 1..40),
        snapshot_interval in 1_u64..10,
        restart_every in 1_usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (stored, expected) = runtime.block_on(replay(&commits, snapshot_interval, restart_every));
        prop_assert_eq!(stored, expected);
    }

    #[test]
    fn a_snapshot_is_the_state_it_was_made_from(changes in vec(any_change(), 0..30)) {
        let mut state = CatalogState { version: 7, ..CatalogState::default() };
        for change in &changes {
            // What is refused changes nothing, so the state stays a possible one.
            drop(state.apply(change));
        }
        prop_assert_eq!(CatalogState::from_snapshot("x", &state.to_snapshot()).unwrap(), state);
    }
}
