//! What executors keep of aggregates over live shards, until the next time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;

use crate::shards::{Origin, View};

/// An aggregate that nobody asks for any more is forgotten, and with it rows that the table has no longer.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Changes of one state after which it is made anew from all rows.
const UPDATES_MAX: u32 = 1_000;

/// The state of each aggregate.
pub(super) type States = Vec<Vec<ScalarValue>>;

/// The states of aggregates and the views that they are of, by aggregate and shard.
#[derive(Debug, Default)]
pub struct Kept {
    entries: Mutex<HashMap<(Vec<u8>, Origin), Entry>>,
}

#[derive(Debug)]
struct Entry {
    sums: KeptSums,
    at: Instant,
}

/// States, the view that they are of, and how often they were changed since all rows were read.
#[derive(Debug, Clone)]
pub(super) struct KeptSums {
    pub(super) view: Arc<View>,
    pub(super) states: States,
    pub(super) updates: u32,
}

impl KeptSums {
    /// Whether rounding may have left something, which all rows do away with.
    pub(super) fn is_worn(&self) -> bool {
        self.updates >= UPDATES_MAX
    }
}

impl Kept {
    /// Takes what is kept of an aggregate over a shard. Whoever fails on the way to [`Kept::put`] leaves nothing.
    pub(super) fn take(&self, aggregate: &[u8], shard: Origin) -> Option<KeptSums> {
        let entry = self.entries.lock().remove(&(aggregate.to_vec(), shard))?;
        Some(entry.sums)
    }

    /// Keeps states, of the newer view if two tasks did the same.
    pub(super) fn put(self: &Arc<Self>, aggregate: Vec<u8>, sums: KeptSums) {
        let key = (aggregate, sums.view.origin());
        let at = Instant::now();
        let mut entries = self.entries.lock();
        let is_newer = |entry: &Entry| entry.sums.view.position() > sums.view.position();
        if entries.get(&key).is_some_and(is_newer) {
            return;
        }
        entries.insert(key, Entry { sums, at });
        let kept = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(FORGOTTEN_AFTER).await;
            kept.forget();
        });
    }

    fn forget(&self) {
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| entry.at.elapsed() < FORGOTTEN_AFTER);
    }
}
