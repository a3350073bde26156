//! Queries that run as a whole on one executor.
//!
//! A query is planned as for one process, and its leaves tell how much it would read and where that lies. If that is
//! little, or most of it is in the memory of one executor, the plan goes there ([`millpond_engine::direct`]) and no job
//! is made. `millpond.execution_mode` forces either way. The rows are not stored anywhere: they flow through the
//! scheduler to the client as fast as it reads. The first of them are held back until there are enough, so that the
//! loss of the executor up to then is mended by running the query again.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ballista_core::serde::scheduler::ExecutorMetadata;
use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::FileSource;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::prelude::SessionConfig;
use futures::StreamExt;
use millpond_engine::direct;
use millpond_engine::error::{Code, Error};
use millpond_engine::files::file_scan;
use millpond_engine::memory::Bytes;
use millpond_engine::models::keeps_sums;
use millpond_engine::session::{ExecutionMode, MillpondOptions};
use millpond_engine::shards::ShardSource;
use millpond_proto::plan::DirectTicket;

use super::frontend::{Request, Services};
use super::plan_cache::{Circumstances, Known, KnownPlan, Stale};
use super::registry::Statement;
use super::result::{HEAD_BYTES, Head, ResultSet, Rows};
use super::run::Planned;
use super::{constants, job, run};
use crate::catalog::{StatementCatalog, reads_live};
use crate::cluster::{data_address, wait_for_executors};

/// What an executor reads from its own memory counts this part of what comes from elsewhere.
const HELD_SHARE: u64 = 16;
/// Tasks of a plan that run side by side, at least: an executor with one vcore is seldom alone on a machine with one.
const PARTITIONS_MIN: usize = 2;
/// Width that columns of no fixed width are taken to have.
const TEXT_WIDTH: usize = 24;

/// How a query is run.
pub(super) enum Way {
    /// On one executor.
    Direct(Box<Route>),
    /// As a job, and why.
    Staged(String),
}

/// A plan and the executor it goes to.
pub(super) struct Route {
    plan: Arc<dyn ExecutionPlan>,
    config: SessionConfig,
    executor: ExecutorMetadata,
    input: Option<Input>,
}

impl Route {
    pub(super) fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.plan
    }

    /// What it reads, if that is known.
    pub(super) fn input(&self) -> Option<&Input> {
        self.input.as_ref()
    }

    fn address(&self) -> String {
        data_address(&self.executor.host, self.executor.port)
    }

    /// The ticket of the plan, for no statement yet; with `analyze` the plan is answered with its metrics.
    fn ticket(&self, analyze: bool) -> Result<DirectTicket, Error> {
        direct::encode(self.plan.clone(), &self.config, "", analyze).map_err(Error::from_datafusion)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "direct on {}", self.executor.id)?;
        match &self.input {
            Some(input) => {
                let held = input.held_by(&self.address());
                let other = input.total() - held;
                write!(
                    f,
                    ", reads {} from its memory and {} from elsewhere",
                    Bytes(held),
                    Bytes(other)
                )
            }
            None => f.write_str(", reads an unknown number of bytes"),
        }
    }
}

/// Runs a query on one executor, if that is its way.
pub(super) async fn query(
    services: &Services,
    statement: &Arc<Statement>,
    planned: &Planned,
    request: &Request,
) -> Result<Option<ResultSet>, Error> {
    let schema = Arc::new(planned.plan.schema().as_arrow().clone());
    let rows = job::rerun_after_loss(services, || async {
        let circumstances = Circumstances::now(services, &planned.catalog).await;
        let route = match choose(services, &planned.state, &planned.plan).await? {
            Way::Staged(_) => return Ok(None),
            Way::Direct(route) => route,
        };
        let ticket = route.ticket(false)?;
        let rows = send(services, statement, &route.executor, ticket.clone()).await?;
        if let Some(plan) = KnownPlan::of(request, planned, &route, ticket)? {
            services
                .plans
                .remember(circumstances, &planned.catalog, &request.sql, Known::Plan(plan));
        }
        Ok(Some(rows))
    })
    .await?;
    Ok(rows.map(|rows| ResultSet::stream(schema, pinned(rows, planned.catalog.clone()))))
}

/// Runs a query whose plan is known; `None` if that plan is of no use any more. Files whose rows are kept are looked at
/// while the executor works: the client is told the columns when they are as they were, and then waits for the rows.
pub(super) async fn known(
    services: &Services,
    statement: &Arc<Statement>,
    catalog: &Arc<StatementCatalog>,
    plan: &KnownPlan,
) -> Result<Option<ResultSet>, Error> {
    let executor = nearest(executors_for(services).await?, plan.input.as_ref())?;
    // A failure counts only if the rows that led to it are current.
    let sent = async { Ok(send(services, statement, &executor, plan.ticket.clone()).await) };
    let check = async {
        plan.check_current(catalog).await?;
        statement.announce(plan.columns.clone());
        Ok::<_, Stale>(())
    };
    let Ok(((), rows)) = tokio::try_join!(check, sent) else {
        return Ok(None);
    };
    metrics::counter!("plans_reused_total").increment(1);
    match rows {
        Ok(rows) => Ok(Some(ResultSet::stream(
            plan.columns.clone(),
            pinned(rows, catalog.clone()),
        ))),
        Err(error) if matches!(error.code, Code::EXECUTOR_LOST | Code::SHARD_MOVED) => {
            services.plans.forget();
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Rows with the version of the catalog whose shards are still to be read.
fn pinned(rows: Rows, catalog: Arc<StatementCatalog>) -> Rows {
    rows.inspect(move |_| {
        let _ = &catalog;
    })
    .boxed()
}

/// Runs a query as [`query`] does and answers its plan with the metrics of the operators.
pub(super) async fn analyze(
    services: &Services,
    statement: &Arc<Statement>,
    route: &Route,
) -> Result<Vec<RecordBatch>, Error> {
    let rows = send(services, statement, &route.executor, route.ticket(true)?).await?;
    let batches: Vec<Result<RecordBatch, DataFusionError>> = rows.collect().await;
    batches
        .into_iter()
        .map(|batch| batch.map_err(Error::from_datafusion))
        .collect()
}

async fn send(
    services: &Services,
    statement: &Arc<Statement>,
    executor: &ExecutorMetadata,
    mut ticket: DirectTicket,
) -> Result<Rows, Error> {
    let _permit = services.admission.admit().await?;
    statement.start_running();
    statement.update(|status| (status.stages_total, status.tasks_total) = (1, 1));
    let start = Instant::now();
    ticket.statement.clone_from(&statement.id);
    let address = data_address(&executor.host, executor.port);
    let mut rows = services.connections.run(&address, &ticket).await?;
    tracing::debug!(elapsed = ?start.elapsed(), executor = executor.id, "sent a direct plan");
    let head = Head::read(&mut rows, HEAD_BYTES).await?;
    tracing::debug!(elapsed = ?start.elapsed(), bytes = head.bytes, "has the first rows");
    statement.update(|status| (status.stages_done, status.tasks_done) = (1, 1));
    let rest = rows.map(|batch| batch.map_err(DataFusionError::from));
    Ok(head.followed_by(rest.boxed()))
}

/// Plans a query for one process and decides which way it goes.
///
/// # Errors
/// What cannot be planned, or no executor.
pub(super) async fn choose(
    services: &Services,
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<Way, Error> {
    let start = Instant::now();
    let options = MillpondOptions::of(state.config());
    if options.execution_mode == ExecutionMode::Staged {
        return Ok(Way::Staged("millpond.execution_mode is staged".to_string()));
    }
    if options.execution_mode == ExecutionMode::Auto && keeps_sums(plan) && reads_live(plan)? {
        return Ok(Way::Staged(
            "sums are kept where the rows of the topic are".to_string(),
        ));
    }
    let executors = executors_for(services).await?;
    let vcores = executors
        .iter()
        .map(|executor| executor.specification.vcores)
        .max();
    let vcores = vcores.map_or(PARTITIONS_MIN, |vcores| vcores as usize);
    let config = config_for(services, state, vcores).await?;
    let mut state = state.clone();
    *state.config_mut() = config.clone();
    let plan = constants::for_cluster(plan.clone())?;
    let plan = state
        .create_physical_plan(&plan)
        .await
        .map_err(Error::from_datafusion)?;
    tracing::debug!(elapsed = ?start.elapsed(), "planned for one process");
    let input = input_of(&plan);
    let executor = nearest(executors, input.as_ref())?;
    let route = Route {
        plan,
        config,
        executor,
        input,
    };
    let limit = options.direct_input_limit.as_u64();
    Ok(match (options.execution_mode, &route.input) {
        (ExecutionMode::Direct, _) => Way::Direct(Box::new(route)),
        (_, Some(input)) if input.cost_at(&route.address()) <= limit => Way::Direct(Box::new(route)),
        (_, Some(input)) => Way::Staged(format!(
            "reads {}, of which {} are in the memory of one executor; millpond.direct_input_limit is {}",
            Bytes(input.total()),
            Bytes(input.held_by(&route.address())),
            Bytes(limit),
        )),
        (_, None) => Way::Staged("reads an unknown number of bytes".to_string()),
    })
}

/// Executors that run queries, once there is one.
async fn executors_for(services: &Services) -> Result<Vec<ExecutorMetadata>, Error> {
    wait_for_executors(&services.cluster, 1, services.executor_patience).await?;
    let mut executors = services.cluster.executors().await;
    executors
        .retain(|executor| executor.specification.vcores > 0 && !services.cluster.is_draining(&executor.id));
    Ok(executors)
}

/// The settings of the session for one process. The user's number of output partitions, if there is one, stays.
async fn config_for(
    services: &Services,
    state: &SessionState,
    vcores: usize,
) -> Result<SessionConfig, Error> {
    let wanted = state.config().target_partitions();
    let of_cluster = wanted == run::partitions_of_cluster(services).await;
    let partitions = if of_cluster {
        vcores.max(PARTITIONS_MIN)
    } else {
        wanted
    };
    direct::single_process(state.config(), partitions).map_err(Error::from_datafusion)
}

/// The executor that holds most of the input; one after the other if several hold as much.
fn nearest(executors: Vec<ExecutorMetadata>, input: Option<&Input>) -> Result<ExecutorMetadata, Error> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let held = |executor: &ExecutorMetadata| {
        input.map_or(0, |input| {
            input.held_by(&data_address(&executor.host, executor.port))
        })
    };
    let most = executors.iter().map(held).max().unwrap_or(0);
    let mut best: Vec<ExecutorMetadata> = executors
        .into_iter()
        .filter(|executor| held(executor) == most)
        .collect();
    if best.is_empty() {
        return Err(Error::new(Code::NO_EXECUTORS, "there is no executor"));
    }
    let turn = TURN.fetch_add(1, Ordering::Relaxed) % best.len();
    Ok(best.swap_remove(turn))
}

/// Bytes that a plan reads, by where they are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// By the data address of the executor in whose memory they are.
    held: HashMap<String, u64>,
    /// In files, or in the plan itself.
    elsewhere: u64,
}

impl Input {
    fn total(&self) -> u64 {
        self.held.values().sum::<u64>() + self.elsewhere
    }

    fn held_by(&self, address: &str) -> u64 {
        self.held.get(address).copied().unwrap_or(0)
    }

    /// What reading all of it costs an executor, as a number of bytes from elsewhere.
    fn cost_at(&self, address: &str) -> u64 {
        let held = self.held_by(address);
        self.total() - held + held / HELD_SHARE
    }
}

/// What a plan reads; `None` if a leaf does not tell.
fn input_of(plan: &Arc<dyn ExecutionPlan>) -> Option<Input> {
    let mut input = Input::default();
    let mut waiting = vec![plan];
    while let Some(node) = waiting.pop() {
        let children = node.children();
        if children.is_empty() {
            add_leaf(&mut input, node)?;
        }
        waiting.extend(children);
    }
    Some(input)
}

fn add_leaf(input: &mut Input, leaf: &Arc<dyn ExecutionPlan>) -> Option<()> {
    if let Some((scan, source)) = ShardSource::scanned_by(leaf) {
        let share = share_of_columns(source);
        for file in scan.file_groups.iter().flat_map(|group| group.files()) {
            // The size is that of the rows in the file's range.
            let bytes = (file.object_meta.size as f64 * share).ceil() as u64;
            *input.held.entry(source.holder_of(file)?.to_string()).or_default() += bytes;
        }
    } else if let Some(scan) = file_scan(leaf) {
        let files = scan.file_groups.iter().flat_map(|group| group.files());
        input.elsewhere += files
            .map(|file| match &file.range {
                Some(range) => u64::try_from(range.end - range.start).unwrap_or(0),
                None => file.object_meta.size,
            })
            .sum::<u64>();
    } else if is_in_plan(leaf) {
        let statistics = StatisticsContext::new()
            .compute(leaf.as_ref(), &StatisticsArgs::new())
            .ok()?;
        input.elsewhere += *statistics.total_byte_size.get_value().unwrap_or(&0) as u64;
    } else {
        return None;
    }
    Some(())
}

/// True for leaves whose rows travel with the plan.
fn is_in_plan(leaf: &Arc<dyn ExecutionPlan>) -> bool {
    let in_memory = leaf
        .downcast_ref::<DataSourceExec>()
        .is_some_and(|exec| exec.data_source().downcast_ref::<MemorySourceConfig>().is_some());
    in_memory
        || leaf.downcast_ref::<EmptyExec>().is_some()
        || leaf.downcast_ref::<PlaceholderRowExec>().is_some()
}

/// The part of a row's bytes that the columns of a scan take, judged by their types. Rows without columns count a
/// little, so that a scan is nearest to where its rows are.
fn share_of_columns(source: &ShardSource) -> f64 {
    let schema = source.table_schema().file_schema();
    let width = |index: usize| {
        let data_type = schema.field(index).data_type();
        data_type.primitive_width().unwrap_or(TEXT_WIDTH)
    };
    let whole: usize = (0..schema.fields().len()).map(width).sum();
    let read: usize = source.columns_read().into_iter().map(width).sum();
    (read.max(1) as f64 / whole.max(1) as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    #[test]
    fn bytes_in_the_memory_of_the_executor_count_less() {
        let input = Input {
            held: HashMap::from([("a:1".to_string(), 1600), ("b:1".to_string(), 160)]),
            elsewhere: 40,
        };
        assert_eq!(input.total(), 1800);
        assert_eq!(input.cost_at("a:1"), 100 + 200);
        assert_eq!(input.cost_at("b:1"), 10 + 1640);
        assert_eq!(input.cost_at("c:1"), 1800);
    }

    #[tokio::test]
    async fn a_leaf_that_does_not_tell_its_size_makes_it_unknown() {
        let context = SessionContext::new();
        let plan = async |sql: &str| {
            let frame = context.sql(sql).await.unwrap();
            frame.create_physical_plan().await.unwrap()
        };
        assert!(input_of(&plan("SELECT * FROM (VALUES (1), (2)) AS t(n)").await).is_some());
        assert!(input_of(&plan("SELECT * FROM generate_series(1, 10)").await).is_none());
    }
}
