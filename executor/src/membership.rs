//! Keeps the executor a member of the cluster.
//!
//! ```text
//!            ┌──────────── wait, longer each time ◄─────────┐
//!            ▼                                              │
//!   Outside ──► join ──► Member ──► taken for dead, or the scheduler is gone
//!                          │
//!                          └──► asked to stop ──► Leaving ──► end
//! ```
//!
//! Ballista ends an executor that missed heartbeats and tells one that it takes for dead to stop. Both happen to
//! a healthy process (a paused machine, a restarted scheduler), so the process stays, and joins again under a new
//! id: the scheduler must not mix up what it believes of the old one. The state is published for health checks.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ballista::{Incarnation, Parts, Probe};
use crate::error::Error;
use crate::metrics;
use crate::ports::HeldPort;

/// How often to log that the scheduler cannot be reached.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// An executor that was a member this long is not failing again and again.
const STABLE: Duration = Duration::from_secs(30);

/// Where an executor stands with its scheduler.
#[derive(Debug, Clone)]
pub(crate) enum Membership {
    /// Not a member: not yet, or not any more.
    Outside,
    /// Registered.
    Member {
        /// The id of this registration.
        id: String,
        /// Where the scheduler sends tasks.
        grpc_address: SocketAddr,
        /// Looks into it.
        probe: Probe,
    },
    /// Finishing its tasks; takes no new ones.
    Leaving(Probe),
}

impl Membership {
    /// `Err` with the reason if no tasks can be sent here.
    pub(crate) fn ready(&self) -> Result<(), &'static str> {
        match self {
            Self::Outside => Err("not registered with the scheduler"),
            Self::Member { probe, .. } if probe.heartbeating() => Ok(()),
            Self::Member { .. } => Err("the scheduler does not answer heartbeats"),
            Self::Leaving(_) => Err("shutting down"),
        }
    }

    /// Tasks that run now.
    pub(crate) fn tasks_running(&self) -> usize {
        match self {
            Self::Outside => 0,
            Self::Member { probe, .. } | Self::Leaving(probe) => probe.tasks_running(),
        }
    }
}

/// Waits between attempts, longer each time.
#[derive(Debug)]
struct Backoff {
    next: Duration,
}

impl Backoff {
    fn new() -> Self {
        Self { next: FIRST_WAIT }
    }

    fn lengthen(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST_WAIT);
        wait
    }
}

/// Is a member until `stop`, then leaves within `drain_timeout`.
///
/// # Errors
/// Before the first registration: whatever no later attempt can mend. After it errors are logged and retried.
pub(crate) async fn keep(
    parts: &Parts,
    mut port: HeldPort,
    state: &watch::Sender<Membership>,
    stop: &CancellationToken,
    drain_timeout: Duration,
) -> Result<(), Error> {
    let mut backoff = Backoff::new();
    let mut joined_before = false;
    loop {
        let joining = join(parts, &mut port, joined_before);
        let Some(joined) = stop.run_until_cancelled(joining).await else {
            return Ok(());
        };
        let mut incarnation = joined?;
        joined_before = true;
        let joined_at = Instant::now();
        metrics::count_registration(&parts.name);
        tracing::info!(
            executor = incarnation.id(),
            scheduler = parts.scheduler,
            "registered"
        );
        state.send_replace(Membership::Member {
            id: incarnation.id().to_string(),
            grpc_address: port.address(),
            probe: incarnation.probe(),
        });

        let Some(reason) = stop.run_until_cancelled(incarnation.ended()).await else {
            state.send_replace(Membership::Leaving(incarnation.probe()));
            incarnation.leave(drain_timeout).await;
            state.send_replace(Membership::Outside);
            return Ok(());
        };
        tracing::warn!(
            executor = incarnation.id(),
            reason,
            "lost the cluster, joining again under a new id"
        );
        state.send_replace(Membership::Outside);
        incarnation.abandon().await;
        if joined_at.elapsed() >= STABLE {
            backoff = Backoff::new();
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(backoff.lengthen()))
            .await
            .is_none()
        {
            return Ok(());
        }
    }
}

/// Tries to join until it works. Gives up only on what cannot be mended, and only before the first registration.
async fn join(parts: &Parts, port: &mut HeldPort, joined_before: bool) -> Result<Incarnation, Error> {
    let mut backoff = Backoff::new();
    let mut logged: Option<Instant> = None;
    loop {
        let boot = Uuid::new_v4().simple().to_string()[..8].to_string();
        match Incarnation::join(parts, &boot, port).await {
            Ok(incarnation) => return Ok(incarnation),
            Err(error) if !joined_before && !error.may_pass() => return Err(error),
            Err(error) => {
                if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                    tracing::warn!(%error, "not a member of the cluster yet, trying on");
                    logged = Some(Instant::now());
                }
            }
        }
        tokio::time::sleep(backoff.lengthen()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..6).map(|_| backoff.lengthen().as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn nobody_is_ready_outside() {
        assert_eq!(
            Membership::Outside.ready(),
            Err("not registered with the scheduler")
        );
        assert_eq!(Membership::Outside.tasks_running(), 0);
    }
}
