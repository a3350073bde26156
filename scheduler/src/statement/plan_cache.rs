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
//! A query over constants only, such as the `SELECT 1` of connection pools, is kept with its rows. Which columns a query
//! answers is kept too, for clients that prepare; also of queries over constants and metadata.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ballista_core::serde::scheduler::ExecutorMetadata;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use millpond_engine::error::Error;
use millpond_proto::plan::DirectTicket;
use parking_lot::Mutex;

use super::direct::{Input, Route};
use super::frontend::{Request, Services};
use super::result::Head;
use super::run::Planned;
use crate::catalog::{
    Reads, RelationKey, StatementCatalog, function_of_the_moment, reads_memory_only, what_is_read,
};

/// Answers that are kept.
const ANSWERS_MAX: usize = 500;
/// Bytes of the plan or the rows of each of them, and of its query.
const BYTES_MAX: usize = 64 << 10;

/// How a query is answered that was asked before.
#[derive(Debug)]
pub(super) enum Known {
    Plan(KnownPlan),
    Constants(ConstantRows),
}

/// The rows of a query that reads no table.
#[derive(Debug)]
pub(super) struct ConstantRows {
    pub(super) columns: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
}

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

impl ConstantRows {
    /// The first rows of a request, if they are all, and the same the next time.
    ///
    /// # Errors
    /// A plan that cannot be walked through.
    pub(super) fn of(
        request: &Request,
        plan: &LogicalPlan,
        columns: SchemaRef,
        head: &Head,
    ) -> Result<Option<Self>, Error> {
        let is_known = head.is_all && head.bytes <= BYTES_MAX && can_be_known(request) && has_one_plan(plan)?;
        Ok(is_known.then(|| Self {
            columns,
            batches: head.batches.clone(),
        }))
    }
}

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
        if !can_be_known(request) || ticket.plan.len() > BYTES_MAX || !has_one_plan(&planned.plan)? {
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

/// True for queries that read tables in memory or none, and are computed the same each time.
fn has_one_plan(plan: &LogicalPlan) -> Result<bool, Error> {
    Ok(reads_memory_only(plan)? && function_of_the_moment(plan)?.is_none())
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
    begins && sql.len() <= BYTES_MAX
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
struct Kept {
    circumstances: Circumstances,
    answers: HashMap<Asked, Arc<Known>>,
    described: HashMap<Asked, Described>,
}

impl Kept {
    /// Forgets what was known in other circumstances, or is too much; false if newer things are known.
    fn make_room(&mut self, circumstances: Circumstances) -> bool {
        if self.circumstances.version > circumstances.version {
            return false;
        }
        let is_full = self.answers.len().max(self.described.len()) >= ANSWERS_MAX;
        if self.circumstances != circumstances || is_full {
            *self = Self {
                circumstances,
                ..Self::default()
            };
        }
        true
    }
}

/// Plans and rows that hold in the last circumstances.
#[derive(Debug, Default)]
pub(crate) struct PlanCache {
    kept: Mutex<Kept>,
}

impl PlanCache {
    /// The answer of a request, if it was asked before and nothing has changed since.
    pub(super) async fn find(
        &self,
        services: &Services,
        catalog: &StatementCatalog,
        request: &Request,
    ) -> Option<Arc<Known>> {
        if !can_be_known(request) {
            return None;
        }
        let now = Circumstances::now(services, catalog).await;
        self.recall(&now, catalog, &request.sql, |kept| &kept.answers)
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
        if let Some(described) = self.recall(&now, catalog, sql, |kept| &kept.described) {
            return Ok(described);
        }
        let (plan, described) = describe.await?;
        let is_lasting = is_query(sql)
            && (reads_memory_only(&plan)?
                || what_is_read(&plan).map_err(Error::from_datafusion)? == Reads::MetadataOnly);
        let mut kept = self.kept.lock();
        if is_lasting && kept.make_room(now) {
            kept.described.insert(asked(catalog, sql), described.clone());
        }
        Ok(described)
    }

    fn recall<T: Clone>(
        &self,
        now: &Circumstances,
        catalog: &StatementCatalog,
        sql: &str,
        of: impl Fn(&Kept) -> &HashMap<Asked, T>,
    ) -> Option<T> {
        let asked = asked(catalog, sql);
        let kept = self.kept.lock();
        let holds = kept.circumstances == *now;
        of(&kept).get(&asked).filter(|_| holds).cloned()
    }

    /// Keeps an answer that was made in these circumstances.
    pub(super) fn remember(
        &self,
        circumstances: Circumstances,
        catalog: &StatementCatalog,
        sql: &str,
        answer: Known,
    ) {
        let mut kept = self.kept.lock();
        if kept.make_room(circumstances) {
            kept.answers.insert(asked(catalog, sql), Arc::new(answer));
        }
    }

    /// Forgets everything: a plan did not run.
    pub(super) fn forget(&self) {
        *self.kept.lock() = Kept::default();
    }
}
