//! A registry of schemas, as Confluent's speaks: `POST /subjects/S/versions`, `GET /schemas/ids/ID` and
//! `GET /subjects/S/versions/latest`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// See the module.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What is in `authorization`, if anything is asked for.
    authorization: Option<String>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    schemas: Vec<Value>,
    /// Numbers of the versions of each subject.
    subjects: HashMap<String, Vec<usize>>,
    /// Requests for schemas by number.
    asked: usize,
}

type Answer = (StatusCode, Json<Value>);

impl Registry {
    /// Starts one that lets everybody in.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start() -> Result<Self> {
        Self::start_for(None).await
    }

    /// Starts one that asks for this in `authorization`.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start_for(authorization: Option<&str>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let shared = Shared {
            authorization: authorization.map(str::to_string),
            ..Shared::default()
        };
        let mut registry = Self {
            address: listener.local_addr()?,
            shared: Arc::new(shared),
            server: None,
        };
        registry.serve(listener);
        Ok(registry)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Registers a schema and answers its number.
    pub fn register(&self, subject: &str, schema: &str) -> u32 {
        self.register_as(subject, json!({"schema": schema}))
    }

    /// The same with `schemaType` and `references`.
    pub fn register_as(&self, subject: &str, schema: Value) -> u32 {
        register(&self.shared, subject, schema) as u32
    }

    /// Requests for schemas by number so far.
    pub fn asked(&self) -> usize {
        self.shared.known.lock().asked
    }

    /// Stops listening.
    ///
    /// # Errors
    /// It has panicked.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some((stop, server)) = self.server.take() {
            // Who listens for it is gone only if the server has ended.
            let _ = stop.send(());
            server.await?;
        }
        Ok(())
    }

    /// Listens again at the same address.
    ///
    /// # Errors
    /// The port was taken.
    pub async fn start_again(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.serve(listener);
        Ok(())
    }

    fn serve(&mut self, listener: TcpListener) {
        let routes = Router::new()
            .route("/schemas/ids/{id}", get(by_id))
            .route("/schemas/guids/{guid}", get(by_guid))
            .route("/subjects/{subject}/versions", post(add))
            .route("/subjects/{subject}/versions/{version}", get(version))
            .with_state(self.shared.clone());
        let (stop, stopped) = oneshot::channel();
        let server = axum::serve(listener, routes).with_graceful_shutdown(async {
            // An error says the same: nobody wants it any more.
            let _ = stopped.await;
        });
        let task = tokio::spawn(async move {
            // It ends only when it is stopped.
            let _ = server.await;
        });
        self.server = Some((stop, task));
    }
}

fn register(shared: &Shared, subject: &str, schema: Value) -> usize {
    let mut known = shared.known.lock();
    known.schemas.push(schema);
    let id = known.schemas.len();
    known.subjects.entry(subject.to_string()).or_default().push(id);
    id
}

fn refused(shared: &Shared, headers: &HeaderMap) -> Option<Answer> {
    let wanted = shared.authorization.as_deref()?;
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    (given != Some(wanted)).then(|| (StatusCode::UNAUTHORIZED, Json(json!({"error_code": 40101}))))
}

fn answer(schema: Option<Value>, code: u32) -> Answer {
    match schema {
        Some(schema) => (StatusCode::OK, Json(schema)),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({"error_code": code, "message": "not found"})),
        ),
    }
}

async fn by_id(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<usize>) -> Answer {
    if let Some(refused) = refused(&shared, &headers) {
        return refused;
    }
    let mut known = shared.known.lock();
    known.asked += 1;
    answer(known.schemas.get(id.wrapping_sub(1)).cloned(), 40403)
}

/// The GUID of a schema is its number.
async fn by_guid(state: State<Arc<Shared>>, headers: HeaderMap, Path(guid): Path<String>) -> Answer {
    let id = usize::from_str_radix(&guid.replace('-', ""), 16);
    by_id(state, headers, Path(id.unwrap_or_default())).await
}

async fn add(
    State(shared): State<Arc<Shared>>,
    Path(subject): Path<String>,
    Json(schema): Json<Value>,
) -> Json<Value> {
    Json(json!({"id": register(&shared, &subject, schema)}))
}

async fn version(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((subject, version)): Path<(String, String)>,
) -> Answer {
    if let Some(refused) = refused(&shared, &headers) {
        return refused;
    }
    let known = shared.known.lock();
    let versions = known.subjects.get(&subject);
    let id = versions.and_then(|versions| match version.parse::<usize>() {
        Ok(number) => versions.get(number.wrapping_sub(1)),
        Err(_) => versions.last(),
    });
    let schema = id.and_then(|id| known.schemas.get(id - 1).cloned());
    answer(schema, if versions.is_some() { 40402 } else { 40401 })
}
