//! The registry that has the schemas of messages: Confluent's, or one that speaks as it does.
//!
//! A schema is fetched once, by a task of the runtime; the threads that read messages wait a moment for it, and then go
//! on without. What the registry does not know and what it could not say is asked again after a while.
//!
//! ```text
//! find ─► known? ─► fetch (task) ─► GET /schemas/ids/ID, /schemas/guids/GUID        latest ─► GET /subjects/SUBJECT/versions/latest
//! ```

mod fetch;
mod settings;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond_engine::decode::{NoSchema, SchemaId, SchemaText, Schemas};
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

use self::fetch::Fetch;
pub(super) use self::fetch::innermost;
pub use self::settings::RegistrySettings;

/// Longest wait of a reader of messages.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How long an answer stands that is no schema.
const AWAY: Duration = Duration::from_secs(1);
const UNKNOWN: Duration = Duration::from_secs(10);
/// Answers beyond which those are forgotten that are no schemas: messages can name as many as there are numbers.
const KNOWN_MAX: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Registry {
    inner: Arc<Inner>,
    runtime: Handle,
}

#[derive(Debug)]
struct Inner {
    fetch: Fetch,
    known: Mutex<HashMap<SchemaId, Answer>>,
    changed: Condvar,
}

#[derive(Debug)]
enum Answer {
    /// It is being asked for.
    Asking(Instant),
    Schema(Arc<SchemaText>),
    None(NoSchema, Instant),
}

impl Registry {
    /// Of an address; nothing is asked yet. It is asked from the runtime that this is called in.
    pub(super) fn new(url: &str, settings: &RegistrySettings) -> Self {
        Self {
            inner: Arc::new(Inner {
                fetch: Fetch::new(url, settings),
                known: Mutex::default(),
                changed: Condvar::new(),
            }),
            runtime: Handle::current(),
        }
    }

    /// The newest schema of a subject; `None` if there is no such subject. It blocks.
    ///
    /// # Errors
    /// The registry does not answer.
    pub(super) fn latest(&self, subject: &str) -> Result<Option<SchemaText>, String> {
        match self.runtime.block_on(self.inner.fetch.latest(subject)) {
            Ok(schema) => Ok(Some(schema)),
            Err(NoSchema::Unknown(_)) => Ok(None),
            Err(NoSchema::Away(reason)) => Err(reason),
        }
    }

    fn ask(&self, id: SchemaId) {
        let inner = self.inner.clone();
        self.runtime.spawn(async move {
            let answer = match inner.fetch.schema(id).await {
                Ok(schema) => Answer::Schema(Arc::new(schema)),
                Err(none) => {
                    tracing::debug!(%id, ?none, "fetch a schema");
                    let stands = if matches!(none, NoSchema::Away(_)) {
                        AWAY
                    } else {
                        UNKNOWN
                    };
                    Answer::None(none, Instant::now() + stands)
                }
            };
            inner.known.lock().insert(id, answer);
            inner.changed.notify_all();
        });
    }
}

impl Schemas for Registry {
    fn find(&self, id: SchemaId) -> Result<Arc<SchemaText>, NoSchema> {
        let mut known = self.inner.known.lock();
        loop {
            let now = Instant::now();
            match known.get(&id) {
                Some(Answer::Schema(schema)) => return Ok(schema.clone()),
                Some(Answer::None(none, until)) if now < *until => return Err(none.clone()),
                Some(Answer::Asking(since)) => {
                    let until = *since + WAIT_MAX;
                    if now >= until || self.inner.changed.wait_until(&mut known, until).timed_out() {
                        let detail = format!("{} has not answered yet", self.inner.fetch.url());
                        return Err(NoSchema::Away(detail));
                    }
                }
                None | Some(Answer::None(..)) => {
                    if known.len() >= KNOWN_MAX {
                        known.retain(|_, answer| !matches!(answer, Answer::None(..)));
                    }
                    known.insert(id, Answer::Asking(now));
                    self.ask(id);
                }
            }
        }
    }
}
