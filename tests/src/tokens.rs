//! A server that gives tokens to clients that know a secret: OAuth 2.0 client credentials (RFC 6749, 4.4). The tokens are JSON Web
//! Tokens that nobody has signed (RFC 7519, 6), which Kafka takes if nobody tells it otherwise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// See the module.
#[derive(Debug)]
pub struct Tokens {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    lifetime: Duration,
    /// What is in `authorization`.
    authorization: String,
    given: AtomicUsize,
}

impl Tokens {
    /// Starts one for the client `millpond`, whose tokens live so long.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(lifetime: Duration, secret: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            lifetime,
            authorization: format!("Basic {}", STANDARD.encode(format!("millpond:{secret}"))),
            given: AtomicUsize::new(0),
        });
        let routes = Router::new()
            .route("/token", post(give))
            .with_state(shared.clone());
        let server = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// Where tokens are given.
    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// Tokens given so far.
    pub fn given(&self) -> usize {
        self.shared.given.load(Ordering::Acquire)
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn give(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    form: String,
) -> (StatusCode, Json<Value>) {
    let knows = headers
        .get("authorization")
        .is_some_and(|given| given.as_bytes() == shared.authorization.as_bytes());
    if !knows {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"})));
    }
    if form != "grant_type=client_credentials&scope=kafka" {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_request"})));
    }
    shared.given.fetch_add(1, Ordering::AcqRel);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = json!({
        "sub": "millpond",
        "iat": now.as_secs(),
        "exp": (now + shared.lifetime).as_secs(),
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims));
    let answer =
        json!({"access_token": token, "token_type": "Bearer", "expires_in": shared.lifetime.as_secs()});
    (StatusCode::OK, Json(answer))
}
