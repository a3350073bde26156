//! The HTTP port: `/healthz`, `/readyz` and `/metrics`, over TLS when there is a certificate.
//!
//! Health says that the process answers; ready says that it can run a query, which takes an executor. Both are open to
//! whoever reaches the port, because probes have no token. Metrics are in Prometheus' text format and for those who
//! present the cluster's token, if it has one.

use axum::Router;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::{Listener, ListenerExt};
use millpond_engine::error::{Code, Error};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::statement::Frontend;
use crate::tls;

/// Type of the text format, as Prometheus asks for it.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Who is let in, and over what.
pub(crate) struct Guard {
    /// Secret that readers of the metrics must present; none lets everybody read them.
    pub(crate) token: Option<String>,
    /// TLS; none means plain HTTP.
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Serves until `stop`.
pub(crate) fn serve(
    listener: TcpListener,
    frontend: Frontend,
    guard: Guard,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Pages {
            frontend,
            token: guard.token,
        });
    let listener = listener.tap_io(|io| {
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(%error, "set TCP_NODELAY");
        }
    });
    match guard.tls {
        Some(acceptor) => tokio::spawn(answer(tls::Listener::new(listener, acceptor), router, stop)),
        None => tokio::spawn(answer(listener, router, stop)),
    }
}

async fn answer<L>(listener: L, router: Router, stop: CancellationToken)
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    if let Err(error) = axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
    {
        tracing::error!(%error, "the HTTP port has failed");
    }
}

/// What the pages are made from.
#[derive(Clone)]
struct Pages {
    frontend: Frontend,
    token: Option<String>,
}

async fn ready(State(pages): State<Pages>) -> (StatusCode, String) {
    match pages.frontend.services.cluster.executors().await.len() {
        0 => (
            StatusCode::SERVICE_UNAVAILABLE,
            "no executor is registered\n".to_string(),
        ),
        count => (StatusCode::OK, format!("{count} executors\n")),
    }
}

async fn metrics(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    if !is_let_in(&headers, pages.token.as_deref()) {
        return refusal();
    }
    let text = measure(&pages.frontend).await;
    ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}

/// Whether a caller may read the metrics: with the token as `authorization: Bearer TOKEN`, or if there is none.
fn is_let_in(headers: &HeaderMap, token: Option<&str>) -> bool {
    let Some(token) = token else { return true };
    let presented = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, presented)| presented.trim());
    presented.is_some_and(|presented| presented.as_bytes().ct_eq(token.as_bytes()).into())
}

fn refusal() -> Response {
    let error = Error::user(Code::NOT_LET_IN, "the metrics of this server ask for its token")
        .with_hint("send 'authorization: Bearer TOKEN'");
    let text = format!("{}\n", error.user_text());
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], text).into_response()
}

async fn measure(frontend: &Frontend) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_ask_for_the_token_if_there_is_one() {
        let is_let_in = |authorization: Option<&str>, token| {
            let mut headers = HeaderMap::new();
            if let Some(value) = authorization {
                headers.insert(AUTHORIZATION, value.parse().unwrap());
            }
            is_let_in(&headers, token)
        };
        assert!(is_let_in(None, None));
        for right in ["Bearer secret", "bearer secret"] {
            assert!(is_let_in(Some(right), Some("secret")), "{right}");
        }
        for wrong in [
            "",
            "secret",
            "Bearer",
            "Bearer ",
            "Bearer secre",
            "Bearer secrets",
            "Basic secret",
        ] {
            assert!(!is_let_in(Some(wrong), Some("secret")), "{wrong}");
        }
        assert!(!is_let_in(None, Some("secret")));
    }
}
