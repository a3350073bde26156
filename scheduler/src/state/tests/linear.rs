//! Several writers, restarts and a bad network in any order: nothing acknowledged is lost, nothing refused appears.

use std::sync::Arc;

use object_store::memory::InMemory;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::load::load;
use super::super::{CatalogLog, Error, Store};
use super::changes::create_view;
use super::failing_store::{FailingStore, Fault};
use super::fast;

/// Processes that may write.
const WRITERS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A process starts, or starts again.
    Open { writer: usize },
    /// It creates a view while its network fails as told.
    Commit { writer: usize, faults: Vec<Fault> },
}

fn any_step() -> impl Strategy<Value = Step> {
    let fault = prop::sample::select(vec![
        Fault::None,
        Fault::AnswerLost,
        Fault::RequestLost,
        Fault::Outage,
        Fault::SentTwice,
    ]);
    prop_oneof![
        1 => (0..WRITERS).prop_map(|writer| Step::Open { writer }),
        6 => (0..WRITERS, vec(fault, 0..6)).prop_map(|(writer, faults)| Step::Commit { writer, faults }),
    ]
}

/// Each process has its own network to the same objects.
struct World {
    networks: Vec<FailingStore>,
    writers: Vec<Option<CatalogLog>>,
    acknowledged: Vec<(u64, String)>,
    refused: Vec<String>,
}

impl World {
    fn over(objects: &Arc<InMemory>) -> Self {
        Self {
            networks: (0..WRITERS)
                .map(|_| FailingStore::over(objects.clone()))
                .collect(),
            writers: (0..WRITERS).map(|_| None).collect(),
            acknowledged: Vec::new(),
            refused: Vec::new(),
        }
    }

    async fn take(&mut self, number: usize, step: Step) {
        match step {
            Step::Open { writer } => {
                let store = self.networks[writer].store();
                // It may fail in a bad network; the process is just not there then.
                self.writers[writer] =
                    CatalogLog::open_at_pace(store, &format!("{writer} at {number}"), fast(3))
                        .await
                        .ok();
            }
            Step::Commit { writer, faults } => {
                let Some(log) = &self.writers[writer] else { return };
                self.networks[writer].plan(&faults);
                let name = format!("v{number}");
                match log.commit(vec![create_view("public", &name)]).await {
                    Ok(version) => self.acknowledged.push((version, name)),
                    Err(Error::Unconfirmed { .. }) => {}
                    Err(_) => self.refused.push(name),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_history_is_linear(steps in vec(any_step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let objects = Arc::new(InMemory::new());
        let mut world = World::over(&objects);
        let last = runtime.block_on(async {
            for (number, step) in std::iter::once(Step::Open { writer: 0 }).chain(steps).enumerate() {
                world.take(number, step).await;
            }
            load(&Store::over(objects)).await.unwrap().state
        });
        let versions: Vec<u64> = world.acknowledged.iter().map(|(version, _)| *version).collect();
        prop_assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
        let exists = |name: &String| last.relations.contains_key(&("public".to_string(), name.clone()));
        for (version, name) in &world.acknowledged {
            prop_assert!(*version <= last.version && exists(name), "{name} of version {version} is lost");
        }
        for name in &world.refused {
            prop_assert!(!exists(name), "{name} was refused and is there");
        }
    }
}
