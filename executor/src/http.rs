//! Health and metrics over HTTP, for people, Kubernetes and Prometheus.
//!
//! `/healthz` answers as long as the process serves at all; `/readyz` only while the scheduler can send tasks;
//! `/metrics` is the registry of the whole process with this executor's gauges read at that moment.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt;
use datafusion::execution::disk_manager::DiskManager;
use millpond_engine::memory::process_resident_bytes;
use millpond_engine::shards::ShardStore;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::membership::Membership;
use crate::metrics::Reading;
use crate::shuffle::ShuffleDir;
use crate::streams::Streams;

/// What the pages show.
pub(crate) struct Shown {
    pub(crate) executor: String,
    pub(crate) vcores: usize,
    pub(crate) membership: watch::Receiver<Membership>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) disk: Arc<DiskManager>,
    pub(crate) shards: Arc<ShardStore>,
    pub(crate) shuffle: Option<Arc<ShuffleDir>>,
    pub(crate) streams: Arc<Streams>,
}

/// Serves until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    shown: Shown,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(shown));
    let listener = listener.tap_io(|connection| {
        // Only costs latency when it fails.
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn ready(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    match shown.membership.borrow().ready() {
        Ok(()) => (StatusCode::OK, String::from("ready\n")),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
    }
}

async fn metrics(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    shown.read().publish(&shown.executor);
    shown.streams.publish_metrics();
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        millpond_engine::metrics::render(),
    )
}

impl Shown {
    fn read(&self) -> Reading {
        let membership = self.membership.borrow();
        Reading {
            memory_limit_bytes: self.budget.limit_bytes(),
            memory_used_bytes: self.budget.used_bytes(),
            ingest_bytes: self.shards.live_bytes(),
            tables_limit_bytes: self.shards.limit_bytes(),
            tables_memory_bytes: self.shards.bytes(),
            column_cache_bytes: self.shards.cached_bytes(),
            tables_on_disk_bytes: self.shards.disk_bytes(),
            shards_spilled: self.shards.spilled(),
            spill_on_disk_bytes: self.disk.used_disk_space(),
            resident_bytes: process_resident_bytes(),
            tasks_running: membership.tasks_running(),
            vcores: self.vcores,
            registered: membership.ready().is_ok(),
            shuffle: self
                .shuffle
                .as_ref()
                .map(|shuffle| shuffle.in_use())
                .unwrap_or_default(),
        }
    }
}
