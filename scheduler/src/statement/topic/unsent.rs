//! Sends what statements have left in their outboxes: they were cancelled, the brokers were silent for too long, or the
//! scheduler ended in between.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use millpond_engine::error::Error;
use millpond_proto::catalog::{MemoryTable, RelationKind};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::super::frontend::{Frontend, Request};
use super::super::registry::Phase;
use crate::catalog::RelationKey;
use crate::state::CatalogState;
use crate::upkeep::Task;

/// Between two looks.
const TICK: Duration = Duration::from_secs(1);
/// Pause after an attempt that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
/// Who does it, in `system.jobs`.
const PRINCIPAL: &str = "millpond";
const SESSION: &str = "outboxes";

/// Which outboxes somebody sends now, by identifier of the table.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outboxes {
    claimed: Arc<Mutex<HashSet<String>>>,
}

/// An outbox that is sent now, as long as this is held.
#[derive(Debug)]
pub(super) struct Claim {
    outboxes: Outboxes,
    id: String,
}

impl Outboxes {
    /// Takes an outbox, if nobody has it.
    pub(super) fn claim(&self, id: &str) -> Option<Claim> {
        let is_new = self.claimed.lock().insert(id.to_string());
        is_new.then(|| Claim {
            outboxes: self.clone(),
            id: id.to_string(),
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.outboxes.claimed.lock().remove(&self.id);
    }
}

/// Works until `stop`.
pub(in super::super) async fn follow(frontend: Frontend, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let version = frontend.services.catalog.current();
        for (key, table) in outboxes_of(&version) {
            if let Some(claim) = frontend.services.outboxes.claim(&table.table_id) {
                tokio::spawn(send(frontend.clone(), key.clone(), claim));
            }
        }
    }
}

fn outboxes_of(version: &CatalogState) -> impl Iterator<Item = (&RelationKey, &MemoryTable)> {
    version
        .relations
        .iter()
        .filter_map(|(key, relation)| match &relation.kind {
            Some(RelationKind::Memory(table)) if table.outbox.is_some() => Some((key, table)),
            _ => None,
        })
}

async fn send(frontend: Frontend, key: RelationKey, claim: Claim) {
    tracing::info!(outbox = key.1, "send what a statement has left");
    match start(&frontend, &key).await {
        Ok(()) => tracing::info!(outbox = key.1, "everything is sent"),
        Err(error) => {
            tracing::warn!(outbox = key.1, %error, "send what a statement has left");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
    drop(claim);
}

async fn start(frontend: &Frontend, key: &RelationKey) -> Result<(), Arc<Error>> {
    let session = frontend.services.sessions.open(PRINCIPAL, SESSION);
    let task = Task::Send(key.clone());
    let request = Request {
        sql: task.to_string(),
        upkeep: Some(task),
        detached: true,
        ..Request::default()
    };
    let statement = frontend.start(session.map_err(Arc::new)?, request);
    match statement.ended().await.phase {
        Phase::Failed(error) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_is_sent_by_one_at_a_time() {
        let outboxes = Outboxes::default();
        let claim = outboxes.claim("a");
        assert!(claim.is_some() && outboxes.claim("a").is_none());
        assert!(outboxes.claim("b").is_some());
        drop(claim);
        assert!(outboxes.claim("a").is_some());
    }
}
