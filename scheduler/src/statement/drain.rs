//! Taking an executor out of the cluster without losing what it holds.

use std::time::Duration;

use millpond_engine::error::{Code, Error};

use super::frontend::Frontend;
use crate::cluster::Member;
use crate::streams::Streams;

/// How often to look whether everything has moved.
const INTERVAL: Duration = Duration::from_millis(200);

impl Frontend {
    /// Gives an executor no new work, has its shards and topic partitions moved elsewhere, and returns when it holds
    /// nothing any more that a table or a running statement needs. If the future is dropped, the executor goes on draining.
    ///
    /// # Errors
    /// No such executor, or no other one that could take the shards.
    pub(crate) async fn drain(&self, executor: &str) -> Result<(), Error> {
        let services = &self.services;
        let drained = self.find_executor(executor).await?;
        services.cluster.set_draining(&drained.id, true);
        services.shards.look_now();
        services.streams.look_now();
        loop {
            let has_shards = !services.shards.is_free(&services.catalog, &drained.address);
            if !has_shards && Streams::is_free(&services.catalog.current(), &drained.address) {
                return Ok(());
            }
            let members = services.cluster.members().await;
            if !members.iter().any(|member| member.id == drained.id) {
                return Err(Error::new(
                    Code::EXECUTOR_LOST,
                    format!(
                        "executor {} has ended before its shards were elsewhere",
                        drained.id
                    ),
                )
                .with_hint("what it held comes back from replicas and snapshots"));
            }
            if members.iter().all(|member| member.draining) {
                services.cluster.set_draining(&drained.id, false);
                return Err(Error::new(
                    Code::NO_EXECUTORS,
                    format!(
                        "there is no other executor that could take the shards of {}",
                        drained.id
                    ),
                )
                .with_hint("start another executor first"));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Gives an executor work again that was draining.
    ///
    /// # Errors
    /// No such executor.
    pub(crate) async fn stop_draining(&self, executor: &str) -> Result<(), Error> {
        let found = self.find_executor(executor).await?;
        self.services.cluster.set_draining(&found.id, false);
        Ok(())
    }

    /// By its identifier, or by its name if only one executor has it.
    async fn find_executor(&self, name: &str) -> Result<Member, Error> {
        let members = self.services.cluster.members().await;
        let has_name = |member: &&Member| {
            member.id == name
                || member
                    .id
                    .rsplit_once('-')
                    .is_some_and(|(stable, _)| stable == name)
        };
        let found: Vec<&Member> = members.iter().filter(has_name).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => {
                let ids: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
                Err(
                    Error::user(Code::NO_EXECUTORS, format!("there is no executor '{name}'"))
                        .with_hint(format!("the executors are {}", ids.join(", "))),
                )
            }
            _ => Err(Error::user(
                Code::INVALID_STATEMENT,
                format!("several executors are named '{name}'"),
            )
            .with_hint("give the identifier that `millpond executors` shows")),
        }
    }
}
