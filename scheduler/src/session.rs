//! Sessions: what a client keeps between its statements, which is settings and prepared statements, nothing else.
//!
//! A session belongs to a principal and is named by the client or, failing that, by its connection. It appears with
//! its first statement and goes when nobody has used it for a while.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use datafusion::prelude::SessionConfig;
use millpond_engine::error::{Code, Error};
use millpond_engine::session::{MillpondOptions, protected_reason};
use millpond_proto::statement::LiveRead;
use parking_lot::{Mutex, RwLock};

use millpond_engine::clock::now_ms;

/// Sessions a principal may have at once; beyond it the statement is refused.
const SESSIONS_MAX: usize = 10_000;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) principal: String,
    pub(crate) created_at_ms: u64,
    last_used_ms: AtomicU64,
    statements: AtomicU64,
    config: RwLock<SessionConfig>,
    /// What the last statement that read tables which follow topics has read of them.
    live_reads: Mutex<Vec<LiveRead>>,
    /// SQL of statements prepared by `PREPARE name AS ...`.
    prepared: Mutex<HashMap<String, String>>,
}

impl Session {
    fn new(id: String, principal: String) -> Self {
        Self {
            id,
            principal,
            created_at_ms: now_ms(),
            last_used_ms: AtomicU64::new(now_ms()),
            statements: AtomicU64::new(0),
            config: RwLock::new(millpond_engine::session::session_config()),
            live_reads: Mutex::default(),
            prepared: Mutex::default(),
        }
    }

    /// Settings as they are now.
    pub(crate) fn config(&self) -> SessionConfig {
        self.config.read().clone()
    }

    /// Changes one setting.
    ///
    /// # Errors
    /// A protected or unknown setting, or a value of the wrong form; the setting then keeps its value.
    pub(crate) fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        if let Some(reason) = protected_reason(key) {
            return Err(Error::user(
                Code::SETTING_PROTECTED,
                format!("setting '{key}' cannot be changed: {reason}"),
            ));
        }
        if key == "millpond.statement_timeout" {
            parse_timeout(value)?;
        }
        let mut changed = self.config();
        let mut settings = changed_settings(&changed).as_ref().clone();
        settings.insert(key.to_string(), value.to_string());
        changed.set_extension(Arc::new(settings));
        changed.options_mut().set(key, value).map_err(|error| {
            let error = Error::user(Code::UNKNOWN_SETTING, format!("cannot set '{key}' to '{value}'"))
                .with_detail(error.strip_backtrace());
            match nearest_setting(key, &changed) {
                Some(near) if near != key => error.with_hint(format!("did you mean '{near}'?")),
                _ => error.with_hint("SHOW ALL lists the settings"),
            }
        })?;
        *self.config.write() = changed;
        Ok(())
    }

    /// Gives one setting its default again.
    ///
    /// # Errors
    /// A protected or unknown setting.
    pub(crate) fn reset(&self, key: &str) -> Result<(), Error> {
        let defaults = millpond_engine::session::session_config();
        let default = defaults
            .options()
            .entries()
            .into_iter()
            .find(|entry| entry.key == key);
        match default {
            Some(entry) => self.set(key, &entry.value.unwrap_or_default()),
            None => Err(Error::user(
                Code::UNKNOWN_SETTING,
                format!("there is no setting '{key}'"),
            )),
        }
    }

    /// Longest time of a statement of this session, if it set one.
    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        let options = MillpondOptions::of(&self.config.read());
        parse_timeout(&options.statement_timeout)
            .ok()
            .filter(|timeout| !timeout.is_zero())
    }

    pub(crate) fn prepare(&self, name: &str, sql: String) {
        self.prepared.lock().insert(name.to_string(), sql);
    }

    pub(crate) fn prepared(&self, name: &str) -> Option<String> {
        self.prepared.lock().get(name).cloned()
    }

    pub(crate) fn deallocate(&self, name: &str) -> bool {
        self.prepared.lock().remove(name).is_some()
    }

    pub(crate) fn count_statement(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    pub(crate) fn remember_reads(&self, reads: Vec<LiveRead>) {
        *self.live_reads.lock() = reads;
    }

    pub(crate) fn live_reads(&self) -> Vec<LiveRead> {
        self.live_reads.lock().clone()
    }

    pub(crate) fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Ordering::Relaxed)
    }

    fn touch(&self) {
        self.last_used_ms.store(now_ms(), Ordering::Relaxed);
    }
}

/// The settings of a session that were set, beside what they set.
pub(crate) fn changed_settings(config: &SessionConfig) -> Arc<BTreeMap<String, String>> {
    config.get_extension().unwrap_or_default()
}

/// Reads `30s`, `5min`, `1500ms`, `1h`, or a number of milliseconds.
pub(crate) fn parse_timeout(text: &str) -> Result<Duration, Error> {
    millpond_engine::config::parse_duration(text).ok_or_else(|| {
        Error::user(Code::INVALID_SETTING, format!("'{text}' is no duration"))
            .with_hint("write a number and a unit: 500ms, 30s, 5min or 1h; 0s means no limit")
    })
}

fn nearest_setting(key: &str, config: &SessionConfig) -> Option<String> {
    config
        .options()
        .entries()
        .into_iter()
        .map(|entry| entry.key)
        .min_by_key(|known| strsim::damerau_levenshtein(known, key))
}

/// All sessions of this scheduler.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_key: DashMap<(String, String), Arc<Session>>,
}

impl Sessions {
    /// Finds the session `id` of a principal or makes it.
    ///
    /// # Errors
    /// Too many sessions.
    pub(crate) fn open(&self, principal: &str, id: &str) -> Result<Arc<Session>, Error> {
        let key = (principal.to_string(), id.to_string());
        if let Some(session) = self.by_key.get(&key) {
            session.touch();
            return Ok(session.clone());
        }
        if self.by_key.len() >= SESSIONS_MAX {
            return Err(
                Error::resource(Code::ADMISSION_FULL, format!("{SESSIONS_MAX} sessions are open"))
                    .with_hint("close some, or wait until idle ones end"),
            );
        }
        let session = self
            .by_key
            .entry(key)
            .or_insert_with(|| Arc::new(Session::new(id.to_string(), principal.to_string())));
        Ok(session.clone())
    }

    pub(crate) fn close(&self, principal: &str, id: &str) {
        self.by_key.remove(&(principal.to_string(), id.to_string()));
    }

    /// All sessions, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        let mut sessions: Vec<_> = self.by_key.iter().map(|entry| entry.value().clone()).collect();
        sessions.sort_by_key(|session| session.created_at_ms);
        sessions
    }

    /// Ends sessions that were not used for `idle`.
    pub(crate) fn expire(&self, idle: Duration) {
        let oldest = now_ms().saturating_sub(idle.as_millis() as u64);
        self.by_key.retain(|_, session| session.last_used_ms() >= oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_belong_to_one_session() {
        let sessions = Sessions::default();
        let one = sessions.open("me", "1").unwrap();
        one.set("datafusion.execution.batch_size", "17").unwrap();
        let batch_size = |principal, id| sessions.open(principal, id).unwrap().config().batch_size();
        assert_eq!(batch_size("me", "1"), 17);
        assert_ne!(batch_size("me", "2"), 17);
        assert_ne!(batch_size("you", "1"), 17);
    }

    #[test]
    fn a_wrong_setting_changes_nothing_and_names_the_nearest() {
        let session = Session::new("1".into(), "me".into());
        let error = session
            .set("datafusion.execution.batch_sise", "17")
            .unwrap_err()
            .user_text();
        assert!(error.contains("datafusion.execution.batch_size"), "{error}");
        assert!(
            session
                .set("datafusion.optimizer.enable_dynamic_filter_pushdown", "true")
                .is_err()
        );
        assert!(session.set("millpond.statement_timeout", "soon").is_err());
        session.set("millpond.statement_timeout", "30s").unwrap();
        assert_eq!(session.statement_timeout(), Some(Duration::from_secs(30)));
        session.reset("millpond.statement_timeout").unwrap();
        assert_eq!(session.statement_timeout(), None);
    }
}
