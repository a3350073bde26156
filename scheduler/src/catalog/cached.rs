//! Tables and views whose rows are kept in memory, and when these rows may be read.
//!
//! A cache is never the truth, only a faster way to it. When its rows were made, the [`SourceState`] was noted: which
//! files there were and how the relations were defined. A statement that opens the table compares it with today's. If
//! they differ, or an executor has taken rows with it, the statement reads the source, as if nothing were cached, and
//! a refresh begins in the background. So an answer is never older than its source, and nobody waits for a refresh.
//!
//! ```text
//! open table ─► cached? ─► rows there? ─► source as it was? ─► read memory
//!                  └────────────┴── no ────────┴─────────────► read the source, ask for a refresh
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::listing::ListingTable;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use futures::TryStreamExt;
use millpond_engine::config::parse_duration;
use millpond_engine::error::{Code, Error};
use millpond_proto::catalog::{Cache, Relation, RelationKind};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::memory_table::MemoryTable;
use super::metadata::{Reads, what_is_read};
use super::statement_catalog::{RelationKey, StatementCatalog};
use super::whole::reads_live;
use crate::shards::holders;
use crate::upkeep::{Queue, Task};
use millpond_engine::clock::now_ms;

/// How old the last look at a remote source may be.
const REMOTE_INTERVAL: Duration = Duration::from_secs(10);

/// When the source of a cache is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validate {
    /// By every statement that reads the table.
    Always,
    /// If the last look is older than this.
    Every(Duration),
    /// By nobody; `REFRESH TABLE` makes it current.
    Never,
}

impl Validate {
    /// Reads `always`, `never`, `interval` (10 s) or a duration.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "always" => Some(Self::Always),
            "never" => Some(Self::Never),
            "interval" => Some(Self::Every(REMOTE_INTERVAL)),
            other => parse_duration(other).map(Self::Every),
        }
    }
}

/// What the rows of a relation depend on, at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceState {
    /// Of all definitions and files.
    pub(crate) digest: Vec<u8>,
    /// All files are on local disks.
    local: bool,
    /// A file whose changes would not be noticed.
    pub(crate) unverifiable: Option<String>,
}

impl SourceState {
    /// Looks at the source of a relation.
    ///
    /// # Errors
    /// A source that cannot be read.
    pub(crate) async fn of(catalog: &StatementCatalog, key: &RelationKey) -> Result<Self> {
        let source = catalog.reading_source_of(key.clone());
        source.open(key.clone()).await?;
        Self::of_opened(&source, None).await
    }

    /// Looks at everything that a statement has opened, except for one relation: the one that it creates.
    ///
    /// # Errors
    /// A source that cannot be read.
    pub(crate) async fn of_opened(source: &StatementCatalog, created: Option<&RelationKey>) -> Result<Self> {
        let mut state = Self {
            digest: Vec::new(),
            local: true,
            unverifiable: None,
        };
        let mut digest = Sha256::new();
        for (key, provider) in source.opened() {
            let Some(relation) = source
                .version()
                .relations
                .get(&key)
                .filter(|_| created != Some(&key))
            else {
                continue;
            };
            digest.update(definition_of(relation));
            if let Some(table) = provider.downcast_ref::<ListingTable>() {
                state.look_at_files(source, table, &mut digest).await?;
            } else if let Some(cache) = &relation.cache
                && provider.downcast_ref::<MemoryTable>().is_some()
            {
                // Under a view, the rows of another cache are read. They stand for the source they were made of.
                state.local &= cache.local;
                digest.update(&cache.source);
            }
        }
        for (model, (made_at_ms, version)) in source.models() {
            digest.update(format!("{model}\0{made_at_ms}\0{version}\n"));
        }
        state.digest = digest.finalize().to_vec();
        Ok(state)
    }

    async fn look_at_files(
        &mut self,
        source: &StatementCatalog,
        table: &ListingTable,
        digest: &mut Sha256,
    ) -> Result<()> {
        let session = source.session_state()?;
        for url in table.table_paths() {
            self.local &= url.scheme() == "file";
            let store = session.runtime_env().object_store(url)?;
            let files = url
                .list_all_files(&session, store.as_ref(), &table.options().file_extension)
                .await?;
            let mut files: Vec<_> = files.try_collect().await?;
            files.sort_by(|a, b| a.location.cmp(&b.location));
            for file in files {
                if file.e_tag.is_none() && file.last_modified.timestamp() == 0 {
                    self.unverifiable = Some(file.location.to_string());
                }
                let line = format!(
                    "{}\0{}\0{}\0{:?}\0{:?}\n",
                    file.location, file.size, file.last_modified, file.e_tag, file.version
                );
                digest.update(line);
            }
        }
        Ok(())
    }
}

/// What a relation is, whatever is in its cache.
fn definition_of(relation: &Relation) -> String {
    let kind = match &relation.kind {
        Some(RelationKind::Files(files)) => files.definition.clone(),
        Some(RelationKind::View(view)) => format!("{}\0{}", view.default_schema, view.definition),
        Some(RelationKind::Memory(table)) => format!("{}\0{}", table.table_id, table.version),
        // Never the same twice: nothing is computed again from rows that change by themselves.
        Some(RelationKind::Kafka(table)) => format!("{}\0{}", table.table_id, uuid::Uuid::new_v4()),
        None => String::new(),
    };
    // Not its name: a relation that was renamed has the same rows.
    format!("{}\0{kind}\n", relation.created_at_ms)
}

/// A function in a plan that answers anew each time, such as `now()`.
///
/// # Errors
/// A plan that cannot be walked through.
pub(crate) fn function_of_the_moment(plan: &LogicalPlan) -> Result<Option<String>, Error> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarFunction(call) = part
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    found = Some(call.name().to_string());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(Error::from_datafusion)?;
    Ok(found)
}

/// Refuses queries whose rows are of the moment: keeping them would change their meaning.
///
/// # Errors
/// [`Code::NOT_SUPPORTED`] naming what is of the moment.
pub(crate) fn check_lasting(plan: &LogicalPlan) -> Result<(), Error> {
    if let Some(function) = function_of_the_moment(plan)? {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            format!("a query with {function}() cannot be cached: it answers anew each time"),
        )
        .with_hint("CREATE TABLE ... AS SELECT keeps what it answers now"));
    }
    if reads_live(plan)? {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            "a query over a table that follows a topic cannot be cached: its rows change all the time",
        )
        .with_hint("they are in memory already; CREATE TABLE ... AS SELECT keeps what they are now"));
    }
    if what_is_read(plan).map_err(Error::from_datafusion)? == Reads::MetadataOnly {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            "a query over constants or system tables cannot be cached",
        )
        .with_hint("CREATE TABLE ... AS SELECT keeps what it answers now"));
    }
    Ok(())
}

/// The last look at a source.
#[derive(Debug, Clone)]
struct Look {
    at: Instant,
    at_ms: u64,
    digest: Vec<u8>,
}

/// What is known of caches beside the catalog.
#[derive(Debug)]
pub(crate) struct Caches {
    looks: Mutex<HashMap<RelationKey, Look>>,
    upkeep: Arc<Queue>,
}

impl Caches {
    /// No cache is known yet. Refreshes are asked of `upkeep`.
    pub(crate) fn new(upkeep: Arc<Queue>) -> Self {
        Self {
            looks: Mutex::default(),
            upkeep,
        }
    }

    /// True if the rows of a cache may be read; `present` are the data addresses of the executors there are. If not,
    /// a refresh is on its way.
    pub(super) async fn is_readable(
        &self,
        catalog: &StatementCatalog,
        key: &RelationKey,
        cache: &Cache,
        present: &HashSet<String>,
    ) -> Result<bool> {
        let is_there = |shard| holders(shard).any(|holder| present.contains(holder));
        let whole = cache
            .rows
            .as_ref()
            .is_some_and(|rows| rows.shards.iter().all(is_there));
        let readable = whole && self.is_current(catalog, key, cache).await?;
        if !readable {
            self.upkeep.ask(Task::Refresh(key.clone()));
        }
        Ok(readable)
    }

    async fn is_current(&self, catalog: &StatementCatalog, key: &RelationKey, cache: &Cache) -> Result<bool> {
        let validate = cache
            .settings
            .get("validate")
            .and_then(|word| Validate::parse(word));
        let default = if cache.local {
            Validate::Always
        } else {
            Validate::Every(REMOTE_INTERVAL)
        };
        let last = self.looks.lock().get(key).cloned();
        let fresh_enough = |look: &Look| match validate.unwrap_or(default) {
            Validate::Always => false,
            Validate::Every(interval) => look.at.elapsed() < interval,
            Validate::Never => true,
        };
        if validate == Some(Validate::Never) {
            return Ok(true);
        }
        if let Some(look) = last.filter(fresh_enough) {
            return Ok(look.digest == cache.source);
        }
        let state = SourceState::of(catalog, key).await?;
        self.note(key, &state);
        Ok(state.digest == cache.source)
    }

    /// Remembers a look at a source.
    pub(crate) fn note(&self, key: &RelationKey, state: &SourceState) {
        let look = Look {
            at: Instant::now(),
            at_ms: now_ms(),
            digest: state.digest.clone(),
        };
        self.looks.lock().insert(key.clone(), look);
    }

    /// Milliseconds since the Unix epoch of the last look at a source.
    pub(crate) fn looked_at_ms(&self, key: &RelationKey) -> Option<u64> {
        self.looks.lock().get(key).map(|look| look.at_ms)
    }
}

/// True for relations that can be cached.
pub(crate) fn can_be_cached(relation: &Relation) -> bool {
    matches!(
        relation.kind,
        Some(RelationKind::Files(_) | RelationKind::View(_))
    )
}

impl SourceState {
    /// True if all files are on local disks.
    pub(crate) fn is_local(&self) -> bool {
        self.local
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    #[test]
    fn words_of_validate() {
        assert_eq!(Validate::parse("ALWAYS"), Some(Validate::Always));
        assert_eq!(Validate::parse("never"), Some(Validate::Never));
        assert_eq!(
            Validate::parse("interval"),
            Some(Validate::Every(REMOTE_INTERVAL))
        );
        assert_eq!(
            Validate::parse("3s"),
            Some(Validate::Every(Duration::from_secs(3)))
        );
        assert_eq!(Validate::parse("sometimes"), None);
    }

    #[tokio::test]
    async fn queries_of_the_moment_are_refused() {
        let context = SessionContext::new();
        context.sql("CREATE TABLE t AS VALUES (1), (2)").await.unwrap();
        for (sql, refused) in [
            ("SELECT now() AS n, * FROM t", true),
            ("SELECT * FROM t WHERE random() < 0.5", true),
            (
                "SELECT * FROM t WHERE column1 IN (SELECT column1 FROM t WHERE now() IS NULL)",
                true,
            ),
            ("SELECT 1", true),
            ("SELECT upper('a') AS u, * FROM t", false),
        ] {
            let plan = context.state().create_logical_plan(sql).await.unwrap();
            assert_eq!(check_lasting(&plan).is_err(), refused, "{sql}");
        }
    }
}
