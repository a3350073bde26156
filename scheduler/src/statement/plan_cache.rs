//! Plans of queries that were asked before.
//!
//! A small query takes longer to plan than to run, and people and their tools ask the same again: a client that prepares has
//! each query planned twice, a dashboard sends its own all day. A query that reads tables in memory only, and calls no
//! function that answers anew each time, has the same plan as long as the catalog, the executors and the settings of the
//! session are the same. So plans that went to one executor ([`direct`](super::direct)) are kept, ready to be sent, until
//! the catalog or the executors change. A statement that finds its plan here has its own version of the catalog like any
//! other, so the shards that it reads stay; and rows that are kept beside a source are compared with it as always.
//!
//! ```text
//! text ─► known? ─► send, and are caches current? ─► rows
//!           └─ no ────────────────────┴─ no ─► parse, plan, send ─► remember
//! ```
//!
//! Which columns a query answers is kept too, for clients that prepare; also of queries over constants and metadata.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ballista_core::serde::scheduler::ExecutorMetadata;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use millpond_engine::error::Error;
use millpond_proto::plan::DirectTicket;
use parking_lot::Mutex;

use super::direct::{Input, Route};
use super::frontend::{Request, Services};
use super::run::Planned;
use crate::catalog::{
    Reads, RelationKey, StatementCatalog, function_of_the_moment, reads_memory_only, what_is_read,
};

/// Plans that are kept.
const PLANS_MAX: usize = 500;
/// Bytes of each of them, and of its query.
const PLAN_BYTES_MAX: usize = 64 << 10;

/// A plan for one executor.
#[derive(Debug)]
pub(super) struct KnownPlan {
    /// What the query answers.
    pub(super) columns: SchemaRef,
    /// The plan, for no statement yet.
    pub(super) ticket: DirectTicket,
    /// What it reads.
    pub(super) input: Option<Input>,
    /// Tables and views that it names.
    opened: Vec<RelationKey>,
}

/// Rows that are kept beside a source which has others by now.
#[derive(Debug)]
pub(super) struct Stale;

impl KnownPlan {
    /// The plan of a request, if the same request has the same plan the next time. `ticket` is that of `route`.
    ///
    /// # Errors
    /// A plan that cannot be walked through.
    pub(super) fn of(
        request: &Request,
        planned: &Planned,
        route: &Route,
        ticket: DirectTicket,
    ) -> Result<Option<Self>, Error> {
        if !can_be_known(request)
            || ticket.plan.len() > PLAN_BYTES_MAX
            || !reads_memory_only(&planned.plan)?
            || function_of_the_moment(&planned.plan)?.is_some()
        {
            return Ok(None);
        }
        Ok(Some(Self {
            columns: Arc::new(planned.plan.schema().as_arrow().clone()),
            ticket,
            input: route.input().cloned(),
            opened: planned.catalog.opened_names(),
        }))
    }

    /// Compares what is kept beside a source with it.
    ///
    /// # Errors
    /// [`Stale`]. Whoever plans the query is told why.
    pub(super) async fn check_current(&self, catalog: &StatementCatalog) -> Result<(), Stale> {
        for key in &self.opened {
            if !catalog.is_in_memory(key).await.unwrap_or(false) {
                return Err(Stale);
            }
        }
        Ok(())
    }
}

/// True for queries of clients that their text and their session say all of.
fn can_be_known(request: &Request) -> bool {
    is_query(&request.sql) && request.parameters.is_none() && request.at.is_none() && !request.is_part
}

/// True for what begins as a query does, if it is not very long. What `EXECUTE` means is not in its text.
fn is_query(sql: &str) -> bool {
    let first = sql.split_whitespace().next().unwrap_or_default();
    let begins = ["select", "with"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word));
    begins && sql.len() <= PLAN_BYTES_MAX
}

/// What a plan depends on beside its query.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Circumstances {
    /// Of the catalog.
    version: u64,
    /// Identifier, host, port and vcores of each executor that takes work.
    executors: Vec<(String, String, u16, u32)>,
}

impl Circumstances {
    /// As they are now, for a statement with this catalog.
    pub(super) async fn now(services: &Services, catalog: &StatementCatalog) -> Self {
        let of_executor = |executor: ExecutorMetadata| {
            let vcores = executor.specification.vcores;
            (executor.id, executor.host, executor.port, vcores)
        };
        let executors = services.cluster.executors().await.into_iter();
        Self {
            version: catalog.version().version,
            executors: executors
                .filter(|executor| !services.cluster.is_draining(&executor.id))
                .map(of_executor)
                .collect(),
        }
    }
}

/// A text, and the settings of its session that are not the default ones.
type Asked = (String, Arc<BTreeMap<String, String>>);

fn asked(catalog: &StatementCatalog, sql: &str) -> Asked {
    (sql.to_owned(), catalog.changed_settings())
}

/// Columns and parameters of a query.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) columns: Schema,
    pub(crate) parameters: Schema,
}

#[derive(Debug, Default)]
struct Known {
    circumstances: Circumstances,
    plans: HashMap<Asked, Arc<KnownPlan>>,
    described: HashMap<Asked, Described>,
}

impl Known {
    /// Forgets what was known in other circumstances, or is too much; false if newer things are known.
    fn make_room(&mut self, circumstances: Circumstances) -> bool {
        if self.circumstances.version > circumstances.version {
            return false;
        }
        let is_full = self.plans.len().max(self.described.len()) >= PLANS_MAX;
        if self.circumstances != circumstances || is_full {
            *self = Self {
                circumstances,
                ..Self::default()
            };
        }
        true
    }
}

/// Plans that hold in the last circumstances.
#[derive(Debug, Default)]
pub(crate) struct PlanCache {
    known: Mutex<Known>,
}

impl PlanCache {
    /// The plan of a request, if it was asked before and nothing has changed since.
    pub(super) async fn find(
        &self,
        services: &Services,
        catalog: &StatementCatalog,
        request: &Request,
    ) -> Option<Arc<KnownPlan>> {
        if !can_be_known(request) {
            return None;
        }
        let now = Circumstances::now(services, catalog).await;
        self.recall(&now, catalog, &request.sql, |known| &known.plans)
    }

    /// Columns and parameters of a query; `describe` finds them out if they are not known.
    ///
    /// # Errors
    /// Those of `describe`.
    pub(crate) async fn describe<F>(
        &self,
        services: &Services,
        catalog: &StatementCatalog,
        sql: &str,
        describe: F,
    ) -> Result<Described, Error>
    where
        F: Future<Output = Result<(LogicalPlan, Described), Error>>,
    {
        let now = Circumstances::now(services, catalog).await;
        if let Some(described) = self.recall(&now, catalog, sql, |known| &known.described) {
            return Ok(described);
        }
        let (plan, described) = describe.await?;
        let is_lasting = is_query(sql)
            && (reads_memory_only(&plan)?
                || what_is_read(&plan).map_err(Error::from_datafusion)? == Reads::MetadataOnly);
        let mut known = self.known.lock();
        if is_lasting && known.make_room(now) {
            known.described.insert(asked(catalog, sql), described.clone());
        }
        Ok(described)
    }

    fn recall<T: Clone>(
        &self,
        now: &Circumstances,
        catalog: &StatementCatalog,
        sql: &str,
        of: impl Fn(&Known) -> &HashMap<Asked, T>,
    ) -> Option<T> {
        let asked = asked(catalog, sql);
        let known = self.known.lock();
        let holds = known.circumstances == *now;
        of(&known).get(&asked).filter(|_| holds).cloned()
    }

    /// Keeps a plan that was made in these circumstances.
    pub(super) fn remember(
        &self,
        circumstances: Circumstances,
        catalog: &StatementCatalog,
        sql: &str,
        plan: KnownPlan,
    ) {
        let mut known = self.known.lock();
        if known.make_room(circumstances) {
            known.plans.insert(asked(catalog, sql), Arc::new(plan));
        }
    }

    /// Forgets all plans: one of them did not run.
    pub(super) fn forget(&self) {
        *self.known.lock() = Known::default();
    }
}
