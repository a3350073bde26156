//! What executors keep of aggregates over live shards, until the next time.
//!
//! ```text
//! query ──────── get, put ─► Kept ◄─ at ── checkpoint of a shard ─► stored with it
//!                              ▲
//!                              └── restore ── a shard that begins with a checkpoint
//! ```
//!
//! A checkpoint has the states of its own view, so whoever goes on from it, in this process or another, counts from there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::execution::TaskContext;
use datafusion::scalar::ScalarValue;
use millpond_proto::checkpoint::StoredSums;
use parking_lot::Mutex;

use super::aggregation::Aggregation;
use crate::shards::{Origin, View};

/// States that follow no view any more are forgotten, and with them rows that the table has no longer.
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(60);

/// An aggregate that nobody asks for any more is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(900);

/// Changes of one state after which it is made anew from all rows.
const UPDATES_MAX: u32 = 1_000;

/// The state of each aggregate.
pub(super) type States = Vec<Vec<ScalarValue>>;

/// The states of aggregates and the views that they are of, by aggregate and shard.
#[derive(Debug, Default)]
pub struct Kept {
    entries: Mutex<HashMap<(Vec<u8>, Origin), Entry>>,
}

#[derive(Debug, Clone)]
struct Entry {
    sums: KeptSums,
    /// None as long as it is only known from a checkpoint.
    aggregation: Option<Arc<Aggregation>>,
    /// When a query wanted it.
    asked_at: Instant,
    /// When it was brought to the view that the shard had then.
    moved_at: Instant,
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

    /// `None`: a state that is more than bytes.
    fn to_stored(&self, aggregate: Vec<u8>) -> Option<StoredSums> {
        let states = self.states.iter().map(|state| match state.as_slice() {
            [ScalarValue::Binary(Some(bytes))] => Some(bytes.clone()),
            _ => None,
        });
        Some(StoredSums {
            aggregate,
            states: states.collect::<Option<_>>()?,
            updates: self.updates,
        })
    }
}

impl Kept {
    /// What is kept of an aggregate over a shard.
    pub(super) fn get(&self, aggregate: &[u8], shard: Origin) -> Option<KeptSums> {
        let entries = self.entries.lock();
        let entry = entries.get(&(aggregate.to_vec(), shard))?;
        Some(entry.sums.clone())
    }

    /// Forgets states that cannot be used.
    pub(super) fn remove(&self, aggregate: &[u8], shard: Origin) {
        self.entries.lock().remove(&(aggregate.to_vec(), shard));
    }

    /// Keeps states that a query wanted, of the newer view if two tasks did the same.
    pub(super) fn put(self: &Arc<Self>, aggregation: &Arc<Aggregation>, sums: KeptSums) {
        let now = Instant::now();
        let entry = Entry {
            sums,
            aggregation: Some(aggregation.clone()),
            asked_at: now,
            moved_at: now,
        };
        self.insert(aggregation.key().to_vec(), entry);
    }

    /// Brings all that is kept of a shard to a view of it, and says what it is then, to be stored.
    pub async fn at(self: &Arc<Self>, view: &Arc<View>) -> Vec<StoredSums> {
        let mut stored = Vec::new();
        let entries = self.of_shard(view.origin());
        if entries.is_empty() {
            return stored;
        }
        let context = Arc::new(TaskContext::default());
        for (key, entry) in entries {
            match entry.moved(view, &context).await {
                Ok(None) => {}
                Ok(Some(moved)) => {
                    stored.extend(moved.sums.to_stored(key.clone()));
                    self.insert(key, moved);
                }
                Err(error) => {
                    tracing::warn!(%error, "bring sums of a live shard to its checkpoint");
                    self.remove(&key, view.origin());
                }
            }
        }
        stored
    }

    /// Keeps what was stored with a shard that begins with `view`.
    pub fn restore(self: &Arc<Self>, view: &Arc<View>, stored: Vec<StoredSums>) {
        let now = Instant::now();
        for StoredSums {
            aggregate,
            states,
            updates,
        } in stored
        {
            let states = states
                .into_iter()
                .map(|bytes| vec![ScalarValue::Binary(Some(bytes))]);
            let sums = KeptSums {
                view: view.clone(),
                states: states.collect(),
                updates,
            };
            let entry = Entry {
                sums,
                aggregation: None,
                asked_at: now,
                moved_at: now,
            };
            self.insert(aggregate, entry);
        }
    }

    fn of_shard(&self, shard: Origin) -> Vec<(Vec<u8>, Entry)> {
        let entries = self.entries.lock();
        let of_shard = entries.iter().filter(|((_, origin), _)| *origin == shard);
        of_shard
            .map(|((aggregate, _), entry)| (aggregate.clone(), entry.clone()))
            .collect()
    }

    fn insert(self: &Arc<Self>, aggregate: Vec<u8>, entry: Entry) {
        let key = (aggregate, entry.sums.view.origin());
        let mut entries = self.entries.lock();
        let is_newer = |there: &Entry| there.sums.view.position() > entry.sums.view.position();
        if entries.get(&key).is_some_and(is_newer) {
            return;
        }
        entries.insert(key, entry);
        let kept = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LEFT_BEHIND_AFTER).await;
            kept.forget();
        });
    }

    fn forget(&self) {
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| {
            entry.moved_at.elapsed() < LEFT_BEHIND_AFTER && entry.asked_at.elapsed() < FORGOTTEN_AFTER
        });
    }
}

impl Entry {
    /// The same at another view of its shard. `None`: it cannot be told yet, or the columns have changed.
    async fn moved(
        &self,
        view: &Arc<View>,
        context: &Arc<TaskContext>,
    ) -> datafusion::error::Result<Option<Self>> {
        // Also without a message rows may go, by their age.
        let is_there = Arc::ptr_eq(&self.sums.view, view);
        let states = match &self.aggregation {
            _ if is_there => self.sums.states.clone(),
            Some(aggregation) if aggregation.table_schema()? == *view.schema() => {
                aggregation.moved(&self.sums, view, context).await?.0
            }
            _ => return Ok(None),
        };
        let sums = KeptSums {
            view: view.clone(),
            states,
            updates: self.sums.updates + u32::from(!is_there),
        };
        Ok(Some(Self {
            sums,
            moved_at: Instant::now(),
            ..self.clone()
        }))
    }
}
