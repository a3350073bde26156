//! Tests of the catalog log as a whole: races, failures, restarts, damage, old formats.

mod backups;
pub(super) mod changes;
mod damage;
mod failing_store;
mod formats;
mod history;
mod linear;
mod outages;
mod takeover;

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;

use super::writer::Pace;
use super::{CatalogLog, Store};

/// A pace for tests: few entries between snapshots, no waiting.
fn fast(snapshot_interval: u64) -> Pace {
    Pace {
        snapshot_interval,
        retry_delay: Duration::from_millis(1),
    }
}

/// Opens a log that is compacted every few entries.
async fn open(store: &Store, writer_id: &str) -> CatalogLog {
    CatalogLog::open_at_pace(store.clone(), writer_id, fast(4))
        .await
        .unwrap()
}

/// The kinds of store that tests run on; the folder lives as long as the guard.
fn stores() -> Vec<(Store, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let url = url::Url::from_directory_path(folder.path()).unwrap();
    vec![
        (Store::over(Arc::new(InMemory::new())), None),
        (Store::open(&url, &[]).unwrap(), Some(folder)),
    ]
}
