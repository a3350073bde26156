//! Connections to other executors, kept between fetches.
//!
//! A stage fetches its input in many small requests; without a pool each opens a connection, and a busy cluster runs
//! out of local ports. Ballista's own pool is private to it. A connection is used by one fetch at a time
//! and comes back when the fetch is done; one that lay idle too long is closed when the next comes or goes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_core::client::BallistaClient;
use ballista_core::client_pool::{BallistaClientPool, PooledClient};
use ballista_core::error::Result;
use ballista_core::extension::BallistaConfigGrpcEndpoint;
use ballista_core::utils::GrpcClientConfig;
use parking_lot::Mutex;

/// How long an unused connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);

type Key = (String, u16, GrpcClientConfig);

/// Idle connections by executor. Each end of a list is used last in, first out, so that few stay in use.
type Idle<C> = Mutex<HashMap<Key, Vec<(C, Instant)>>>;

/// The pool of one incarnation: its connections live in the task threads, which end with it.
#[derive(Default)]
pub(super) struct Connections {
    idle: Arc<Idle<BallistaClient>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections")
            .field("executors", &self.idle.lock().len())
            .finish()
    }
}

#[tonic::async_trait]
impl BallistaClientPool for Connections {
    async fn acquire(
        &self,
        host: &str,
        port: u16,
        config: &GrpcClientConfig,
        customize_endpoint: Option<Arc<BallistaConfigGrpcEndpoint>>,
    ) -> Result<PooledClient> {
        let key = (host.to_string(), port, config.clone());
        let kept = take(&self.idle, &key, Instant::now());
        let client = match kept {
            Some(client) => client,
            None => {
                BallistaClient::try_new(
                    host,
                    port,
                    config.max_message_size,
                    config.use_tls,
                    customize_endpoint,
                    config.io_retries_times,
                    config.io_retry_wait_time_ms,
                    config.initial_connection_window_size,
                    config.initial_stream_window_size,
                )
                .await?
            }
        };
        let idle = self.idle.clone();
        Ok(PooledClient::new(
            client,
            Box::new(move |client| keep(&idle, key, client, Instant::now())),
        ))
    }

    async fn evict_idle(&self) {
        close_old(&mut self.idle.lock(), Instant::now());
    }
}

fn take<C>(idle: &Idle<C>, key: &Key, now: Instant) -> Option<C> {
    let mut idle = idle.lock();
    close_old(&mut idle, now);
    idle.get_mut(key)?.pop().map(|(client, _)| client)
}

fn keep<C>(idle: &Idle<C>, key: Key, client: C, now: Instant) {
    let mut idle = idle.lock();
    close_old(&mut idle, now);
    idle.entry(key).or_default().push((client, now));
}

fn close_old<C>(idle: &mut HashMap<Key, Vec<(C, Instant)>>, now: Instant) {
    idle.retain(|_, clients| {
        clients.retain(|(_, since)| now.duration_since(*since) < IDLE_MAX);
        !clients.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use ballista_core::config::BallistaConfig;

    use super::*;

    fn key(port: u16) -> Key {
        (
            String::from("node"),
            port,
            GrpcClientConfig::from(&BallistaConfig::default()),
        )
    }

    #[test]
    fn a_connection_is_used_by_one_at_a_time_and_only_for_its_executor() {
        let (idle, now) = (Idle::default(), Instant::now());
        keep(&idle, key(1), "a", now);
        assert_eq!(take(&idle, &key(2), now), None);
        assert_eq!(take(&idle, &key(1), now), Some("a"));
        assert_eq!(take(&idle, &key(1), now), None);
    }

    #[test]
    fn the_latest_is_used_first_and_old_ones_are_closed() {
        let (idle, now) = (Idle::default(), Instant::now());
        keep(&idle, key(1), "old", now);
        keep(&idle, key(1), "new", now + IDLE_MAX / 2);
        keep(&idle, key(2), "other", now + IDLE_MAX);
        assert_eq!(take(&idle, &key(1), now + IDLE_MAX), Some("new"));
        assert_eq!(take(&idle, &key(1), now + IDLE_MAX), None);
        assert_eq!(take(&idle, &key(2), now + IDLE_MAX), Some("other"));
    }
}
