//! The HTTP port: `/healthz`, `/readyz` and `/metrics`.
//!
//! Health says that the process answers; ready says that it can run a query, which takes an executor. Metrics are in
//! Prometheus' text format.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::statement::Frontend;

/// Serves until `stop`.
pub(crate) fn serve(listener: TcpListener, frontend: Frontend, stop: CancellationToken) -> JoinHandle<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(frontend);
    let listener = listener.tap_io(|io| {
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(%error, "set TCP_NODELAY");
        }
    });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
        {
            tracing::error!(%error, "the HTTP port has failed");
        }
    })
}

async fn ready(State(frontend): State<Frontend>) -> (StatusCode, String) {
    match frontend.services.cluster.executors().await.len() {
        0 => (
            StatusCode::SERVICE_UNAVAILABLE,
            "no executor is registered\n".to_string(),
        ),
        count => (StatusCode::OK, format!("{count} executors\n")),
    }
}

async fn metrics(State(frontend): State<Frontend>) -> String {
    let services = &frontend.services;
    let executors = services.cluster.executors().await;
    metrics::gauge!("executors").set(executors.len() as f64);
    metrics::gauge!("executor_vcores").set(
        executors
            .iter()
            .map(|executor| executor.specification.vcores)
            .sum::<u32>() as f64,
    );
    metrics::gauge!("statements_waiting").set(services.admission.waiting() as f64);
    metrics::gauge!("statements_running").set(services.statements.running().len() as f64);
    metrics::gauge!("sessions").set(services.sessions.all().len() as f64);
    metrics::gauge!("catalog_version").set(services.catalog.current().version as f64);
    millpond_engine::metrics::render()
}
