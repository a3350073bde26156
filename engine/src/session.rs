//! One way to make sessions, used by the scheduler to plan and by executors to run.
//!
//! Both sides must have the same functions and the same option extensions, else a plan that was made here fails to
//! decode there. The scheduler adds its catalog and its runtime to [`session_state`]; an executor takes
//! [`executor_config_producer`] and [`function_registry`]. Settings that Ballista depends on are listed in
//! [`protected_reason`] and cannot be changed by `SET`.

use std::any::Any;
use std::sync::{Arc, LazyLock};

use ballista_core::ConfigProducer;
use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use bytesize::ByteSize;
use datafusion::catalog::CatalogProviderList;
use datafusion::common::config_err;
use datafusion::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;

use crate::functions;
use crate::models;
use crate::planner::MillpondPlanner;
use crate::shards::row_set;
use crate::sql_types::SqlTypes;
use crate::value_counts;

/// The only catalog of a cluster.
pub const CATALOG: &str = "millpond";
/// The schema a name without one belongs to.
pub const DEFAULT_SCHEMA: &str = "public";

/// Settings of a session that are ours, under the prefix `millpond`.
#[derive(Debug, Clone)]
pub struct MillpondOptions {
    /// Longest time a statement may take, such as `30s` or `5min`; `0s` means no limit.
    pub statement_timeout: String,
    /// How queries are run.
    pub execution_mode: ExecutionMode,
    /// Most bytes of input for a query to be run on one executor, in [`ExecutionMode::Auto`]. Bytes in memory of that
    /// executor count a sixteenth.
    pub direct_input_limit: ByteSize,
}

/// How a query is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionMode {
    /// On one executor if little has to be read, else as a job.
    Auto,
    /// As a job of stages, always.
    Staged,
    /// On one executor, always.
    Direct,
}

impl ExecutionMode {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Auto, "auto"),
        (Self::Staged, "staged"),
        (Self::Direct, "direct"),
    ];

    fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(mode, _)| *mode == self)
            .map_or("auto", |(_, word)| word)
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(word.trim()))
            .map(|(mode, _)| *mode)
    }
}

impl Default for MillpondOptions {
    fn default() -> Self {
        Self {
            statement_timeout: String::from("0s"),
            execution_mode: ExecutionMode::Auto,
            direct_input_limit: ByteSize::mib(64),
        }
    }
}

impl MillpondOptions {
    /// Those of a session.
    pub fn of(config: &SessionConfig) -> Self {
        config
            .options()
            .extensions
            .get::<Self>()
            .cloned()
            .unwrap_or_default()
    }
}

impl ConfigExtension for MillpondOptions {
    const PREFIX: &'static str = "millpond";
}

impl ExtensionOptions for MillpondOptions {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "statement_timeout" => self.statement_timeout = value.to_string(),
            "execution_mode" => match ExecutionMode::parse(value) {
                Some(mode) => self.execution_mode = mode,
                None => return config_err!("'{value}' is none of auto, staged, direct"),
            },
            "direct_input_limit" => match value.trim().parse() {
                Ok(bytes) => self.direct_input_limit = bytes,
                Err(_) => return config_err!("'{value}' is no size such as 64MiB"),
            },
            other => return config_err!("there is no setting 'millpond.{other}'"),
        }
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |name: &str, value: String, description| ConfigEntry {
            key: format!("{}.{name}", Self::PREFIX),
            value: Some(value),
            description,
        };
        vec![
            entry(
                "statement_timeout",
                self.statement_timeout.clone(),
                "Longest time a statement may take, such as 30s or 5min; 0s means no limit.",
            ),
            entry(
                "execution_mode",
                self.execution_mode.word().to_string(),
                "How queries are run: auto, staged (a job of stages) or direct (on one executor).",
            ),
            entry(
                "direct_input_limit",
                self.direct_input_limit.to_string(),
                "Most input of a query that auto runs on one executor; what lies in its memory counts a sixteenth.",
            ),
        ]
    }
}

/// Settings of a new session, before the user changes any.
///
/// `information_schema` is off for DataFusion because the cluster's catalog answers it with tables that a cluster
/// job can read; the default catalog is not created because every session shares one.
pub fn session_config() -> SessionConfig {
    static NEW: LazyLock<SessionConfig> = LazyLock::new(new_session_config);
    NEW.clone()
}

fn new_session_config() -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_option_extension(MillpondOptions::default())
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, DEFAULT_SCHEMA)
        .with_information_schema(false)
        .set_str("ballista.client.io_retry_wait_time_ms", "200")
        .set_u64("datafusion.sql_parser.recursion_limit", 64)
        // Files are as small as with level 3, and written faster.
        .set_str("datafusion.execution.parquet.compression", "zstd(1)")
}

/// The settings an executor starts from before a task brings its session's own.
pub fn executor_config_producer() -> ConfigProducer {
    Arc::new(session_config)
}

/// Makes the session of one statement: Ballista's rules and functions, our settings, the given catalog and runtime.
pub fn session_state(
    config: SessionConfig,
    catalogs: Arc<dyn CatalogProviderList>,
    runtime: Arc<RuntimeEnv>,
) -> Result<SessionState> {
    // Ballista's builder brings its optimizer rules (NOT IN) and functions; a state built from nothing loses them.
    let base = with_functions(config)?;
    let session_id = base.session_id().to_string();
    Ok(SessionStateBuilder::new_from_existing(base)
        .with_session_id(session_id)
        .with_catalog_list(catalogs)
        .with_runtime_env(runtime)
        .with_query_planner(Arc::new(MillpondPlanner))
        .with_type_planner(Arc::new(SqlTypes))
        .build())
}

/// Ballista's session with our functions.
pub(crate) fn with_functions(config: SessionConfig) -> Result<SessionState> {
    let mut state = ballista_core::utils::default_session_builder(config)?;
    for function in functions::all().into_iter().chain(models::scalars()) {
        state.register_udf(function)?;
    }
    for function in models::aggregates() {
        state.register_udaf(function)?;
    }
    state.register_udaf(value_counts::function())?;
    state.register_udaf(row_set())?;
    Ok(state)
}

/// Every function that a plan may name, for an executor.
pub fn function_registry() -> Result<BallistaFunctionRegistry> {
    let state = with_functions(session_config())?;
    Ok(BallistaFunctionRegistry::from(&state))
}

/// Why a setting cannot be changed by `SET`, or `None` if it can.
pub fn protected_reason(key: &str) -> Option<&'static str> {
    Some(match key {
        "datafusion.optimizer.enable_round_robin_repartition" => {
            "a round-robin exchange inside one task does not spread work over the cluster"
        }
        "datafusion.optimizer.enable_dynamic_filter_pushdown"
        | "datafusion.optimizer.enable_topk_dynamic_filter_pushdown"
        | "datafusion.optimizer.enable_join_dynamic_filter_pushdown"
        | "datafusion.optimizer.enable_aggregate_dynamic_filter_pushdown" => {
            "a filter that is filled at run time cannot cross a stage; the scan would wait for ever"
        }
        "datafusion.optimizer.enable_physical_uncorrelated_scalar_subquery" => {
            "the result of such a subquery cannot be sent to another process"
        }
        "datafusion.execution.parquet.schema_force_view_types"
        | "datafusion.sql_parser.map_string_types_to_utf8view" => {
            "string views make messages that are too large to send between executors"
        }
        "datafusion.catalog.create_default_catalog_and_schema"
        | "datafusion.catalog.default_catalog"
        | "datafusion.catalog.information_schema"
        | "datafusion.catalog.location"
        | "datafusion.catalog.format" => "the cluster has one catalog for all sessions",
        "datafusion.sql_parser.recursion_limit" => {
            "a deeper statement could exhaust the stack of the scheduler"
        }
        _ if key.starts_with("ballista.testing.") => "it injects failures and is for tests of Ballista",
        _ if key.starts_with("ballista.client.") || key.starts_with("ballista.job.") => {
            "it belongs to the connections inside the cluster"
        }
        _ if key.starts_with("datafusion.runtime.") => {
            "memory, disk and caches belong to the executors; see executor.memory_limit"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_session_keeps_what_ballista_needs() {
        let options = session_config().options().clone();
        assert!(!options.optimizer.enable_round_robin_repartition);
        assert!(!options.optimizer.enable_dynamic_filter_pushdown);
        assert!(!options.optimizer.enable_physical_uncorrelated_scalar_subquery);
        assert!(!options.catalog.create_default_catalog_and_schema);
    }

    #[test]
    fn every_protected_key_exists() {
        let config = session_config();
        let known: Vec<String> = config
            .options()
            .entries()
            .into_iter()
            .map(|entry| entry.key)
            .collect();
        for key in known.iter().filter(|key| key.contains("dynamic_filter_pushdown")) {
            assert!(protected_reason(key).is_some(), "{key} must be protected");
        }
        assert!(protected_reason("datafusion.execution.batch_size").is_none());
    }

    #[test]
    fn executors_know_the_functions_of_the_planner() {
        let registry = function_registry().unwrap();
        assert!(registry.scalar_functions.contains_key("upper"));
        assert!(registry.scalar_functions.contains_key("try_to_date"));
        assert!(registry.aggregate_functions.contains_key("median"));
        assert!(registry.aggregate_functions.contains_key("value_counts"));
        assert!(registry.window_functions.contains_key("row_number"));
    }
}
