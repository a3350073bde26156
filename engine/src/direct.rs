//! A whole query on one executor, without a job.
//!
//! A job costs tens of milliseconds however small it is: stages are planned, tasks sent and reported, rows written to
//! files and fetched. A query whose input is small, or lies with one executor, goes another way. The scheduler plans it
//! for one process ([`single_process`]) and sends the plan as a Flight ticket ([`encode`]); the executor's data port
//! decodes it ([`Query::decode`]), runs it at once and streams the rows back.
//!
//! ```text
//! scheduler: physical plan ─► ticket ──DoGet──► executor: decode ─► filters at run time ─► rows
//! ```
//!
//! Filters that are filled at run time, as by the build side of a join, are added after decoding: the process that
//! makes them must be the one that fills and reads them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::utils::collect_plan_metrics;
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::common::internal_datafusion_err;
use datafusion::config::ConfigEntry;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use datafusion_proto::physical_plan::{AsExecutionPlan, PhysicalExtensionCodec};
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use millpond_proto::Message;
use millpond_proto::plan::DirectTicket;

use crate::codec;
use crate::connections::Connections;
use crate::error::Error;
use crate::groups;
use crate::session;
use crate::shards::ShardsRead;

/// Start of a ticket for a direct plan. Ballista's tickets are protobuf messages, which do not start with a zero byte.
pub const TICKET_MARK: &[u8] = b"\0direct";

/// Settings that Ballista needs and one process does better without.
const OF_JOBS: &[(&str, &str)] = &[
    ("datafusion.optimizer.prefer_hash_join", "true"),
    ("datafusion.optimizer.enable_round_robin_repartition", "true"),
];
/// Largest build side, as it is estimated, that all partitions of a join share. Others are split, and so is the probe side:
/// that takes longer than to build one table, and the filter at run time has to find the part of each row first.
const COLLECTED_BYTES_MAX: usize = 32 << 20;
/// Its most rows.
const COLLECTED_ROWS_MAX: usize = 1 << 20;
/// Most values of a join's build side that its filter at run time lists. Beyond them the filter looks into the build
/// side's hash table, which another executor cannot: it would send all rows of its shards.
const LISTED_VALUES_MAX: usize = 20_000;
/// Their most bytes.
const LISTED_BYTES_MAX: usize = 1 << 20;
/// Settings of the executor, which makes these filters itself.
const AT_RUN_TIME: &[(&str, &str)] = &[("datafusion.optimizer.enable_dynamic_filter_pushdown", "true")];

/// Settings for planning a query for one process that runs `partitions` tasks side by side.
///
/// # Errors
/// None in practice: the settings are DataFusion's own.
pub fn single_process(session: &SessionConfig, partitions: usize) -> Result<SessionConfig> {
    let mut config = session.clone().with_target_partitions(partitions.max(1));
    for (key, value) in OF_JOBS {
        config.options_mut().set(key, value)?;
    }
    let defaults = datafusion::config::ConfigOptions::new();
    let optimizer = &mut config.options_mut().optimizer;
    optimizer.hash_join_single_partition_threshold = COLLECTED_BYTES_MAX;
    optimizer.hash_join_single_partition_threshold_rows = COLLECTED_ROWS_MAX;
    replace_default(
        &mut optimizer.hash_join_inlist_pushdown_max_distinct_values,
        defaults.optimizer.hash_join_inlist_pushdown_max_distinct_values,
        LISTED_VALUES_MAX,
    );
    replace_default(
        &mut optimizer.hash_join_inlist_pushdown_max_size,
        defaults.optimizer.hash_join_inlist_pushdown_max_size,
        LISTED_BYTES_MAX,
    );
    Ok(config)
}

/// A user's own value stays.
fn replace_default(value: &mut usize, default: usize, better: usize) {
    if *value == default {
        *value = better;
    }
}

/// Makes the ticket of a plan that was planned with `config`.
///
/// # Errors
/// A node that cannot be sent.
pub fn encode(
    plan: Arc<dyn ExecutionPlan>,
    config: &SessionConfig,
    statement: &str,
    analyze: bool,
) -> Result<DirectTicket> {
    let codec = codec::physical_codec(None);
    let node = PhysicalPlanNode::try_from_physical_plan(plan, codec.as_ref())?;
    let settings = entries(config)
        .filter(|entry| OF_NEW_SESSION.get(&entry.key) != Some(&entry.value))
        .filter_map(|entry| Some((entry.key, entry.value?)))
        .collect();
    Ok(DirectTicket {
        plan: node.encode_to_vec(),
        settings,
        statement: statement.to_string(),
        analyze,
    })
}

/// What plans and expressions are decoded and run with.
pub fn task_context(
    statement: &str,
    config: SessionConfig,
    functions: &BallistaFunctionRegistry,
    runtime: Arc<RuntimeEnv>,
) -> TaskContext {
    TaskContext::new(
        Some(statement.to_string()),
        statement.to_string(),
        config,
        functions.scalar_functions.clone(),
        functions.higher_order_functions.clone(),
        functions.aggregate_functions.clone(),
        functions.window_functions.clone(),
        runtime,
    )
}

/// Settings of a new session.
static OF_NEW_SESSION: LazyLock<HashMap<String, Option<String>>> = LazyLock::new(|| {
    entries(&session::session_config())
        .map(|entry| (entry.key, entry.value))
        .collect()
});

fn entries(config: &SessionConfig) -> impl Iterator<Item = ConfigEntry> + use<> {
    config.options().entries().into_iter()
}

/// A direct plan on the executor that runs it.
#[derive(Debug)]
pub struct Query {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

impl Query {
    /// Reads a ticket. The rows are made with `runtime`.
    ///
    /// # Errors
    /// A plan of another version.
    pub fn decode(
        ticket: &DirectTicket,
        functions: &BallistaFunctionRegistry,
        codec: &dyn PhysicalExtensionCodec,
        runtime: Arc<RuntimeEnv>,
    ) -> Result<Self> {
        let mut config = session::session_config();
        for (key, value) in &ticket.settings {
            config.options_mut().set(key, value)?;
        }
        for (key, value) in AT_RUN_TIME {
            config.options_mut().set(key, value)?;
        }
        let context = task_context(&ticket.statement, config, functions, runtime);
        let node = PhysicalPlanNode::decode(ticket.plan.as_slice())
            .map_err(|error| internal_datafusion_err!("a plan of another version: {error}"))?;
        let plan = node.try_into_physical_plan(&context, codec)?;
        let options = context.session_config().options();
        let plan = FilterPushdown::new_post_optimization().optimize(plan, options)?;
        let plan = groups::by_code(plan)?;
        let context = Arc::new(context);
        Ok(Self { plan, context })
    }

    /// Starts the query. Dropping the stream ends it.
    ///
    /// # Errors
    /// What the operators refuse at their start.
    pub fn run(self) -> Result<SendableRecordBatchStream> {
        execute_stream(self.plan, self.context)
    }

    /// Runs the query to its end, drops its rows and answers one row, which [`Analyzed::of`] reads.
    ///
    /// # Errors
    /// Whatever ends the query.
    pub async fn analyze(self) -> Result<SendableRecordBatchStream> {
        let mut rows = execute_stream(self.plan.clone(), self.context)?;
        while rows.try_next().await?.is_some() {}
        let text = DisplayableExecutionPlan::with_metrics(self.plan.as_ref())
            .indent(false)
            .to_string();
        let shards = ShardsRead::of(&collect_plan_metrics(self.plan.as_ref()));
        let batch = Analyzed { plan: text, shards }.batch()?;
        let schema = batch.schema();
        Ok(Box::pin(MemoryStream::try_new(vec![batch], schema, None)?))
    }
}

/// What the operators of a direct plan have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analyzed {
    /// The plan, an operator a line, with metrics.
    pub plan: String,
    /// The shards that it read.
    pub shards: ShardsRead,
}

impl Analyzed {
    fn batch(self) -> Result<RecordBatch> {
        let count = |count| -> ArrayRef { Arc::new(UInt64Array::from(vec![count])) };
        let columns: [(&str, ArrayRef); 4] = [
            ("plan", Arc::new(StringArray::from(vec![self.plan]))),
            ("shards_local", count(self.shards.local)),
            ("shards_remote", count(self.shards.remote)),
            ("shards_cached", count(self.shards.cached)),
        ];
        Ok(RecordBatch::try_from_iter(columns)?)
    }

    /// Reads the answer of an executor; `None` if it is another one.
    pub fn of(batch: &RecordBatch) -> Option<Self> {
        let plan = batch.column_by_name("plan")?.as_string_opt::<i32>()?;
        let count = |name| {
            let counts = batch.column_by_name(name)?.as_primitive_opt::<UInt64Type>()?;
            counts.iter().next().flatten()
        };
        Some(Self {
            plan: plan.iter().next().flatten()?.to_string(),
            shards: ShardsRead {
                local: count("shards_local")?,
                remote: count("shards_remote")?,
                cached: count("shards_cached")?,
            },
        })
    }
}

impl Connections {
    /// Runs a direct plan. Dropping the stream ends it.
    ///
    /// # Errors
    /// [`crate::error::Code::EXECUTOR_LOST`], or what the query ends with.
    pub async fn run(
        &self,
        executor: &str,
        ticket: &DirectTicket,
    ) -> std::result::Result<BoxStream<'static, std::result::Result<RecordBatch, Error>>, Error> {
        let mut bytes = TICKET_MARK.to_vec();
        ticket
            .encode(&mut bytes)
            .map_err(|error| Error::bug(error.to_string()))?;
        let rows = self.get(executor, bytes).await?;
        let (connections, executor) = (self.clone(), executor.to_string());
        Ok(rows
            .map_err(move |error| connections.broken(&executor, error))
            .boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Schema;
    use datafusion::prelude::SessionContext;

    async fn sent(sql: &str, analyze: bool) -> Vec<RecordBatch> {
        let config = single_process(&session::session_config(), 2)
            .unwrap()
            .with_create_default_catalog_and_schema(true);
        let context = SessionContext::new_with_config(config.clone());
        let frame = context.sql(sql).await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let ticket = encode(plan, &config, "s", analyze).unwrap();
        let functions = session::function_registry().unwrap();
        let codec = codec::physical_codec(None);
        let query = Query::decode(&ticket, &functions, codec.as_ref(), context.runtime_env()).unwrap();
        let rows = if analyze {
            query.analyze().await.unwrap()
        } else {
            query.run().unwrap()
        };
        rows.try_collect().await.unwrap()
    }

    const JOIN: &str = "SELECT count(*) AS n FROM generate_series(1, 1000) a \
        JOIN (SELECT value AS v FROM generate_series(10, 19)) b ON a.value = b.v";

    #[tokio::test]
    async fn a_plan_runs_where_it_was_sent() {
        let rows = sent(JOIN, false).await;
        let text = datafusion::arrow::util::pretty::pretty_format_batches(&rows)
            .unwrap()
            .to_string();
        assert!(text.contains("| 10 |"), "{text}");
    }

    #[tokio::test]
    async fn analyze_answers_the_plan_with_metrics() {
        let rows = sent(JOIN, true).await;
        let analyzed = Analyzed::of(&rows[0]).unwrap();
        let text = &analyzed.plan;
        assert!(
            text.contains("HashJoinExec") && text.contains("output_rows="),
            "{text}"
        );
        assert_eq!(analyzed.shards, ShardsRead::default());
        let other = RecordBatch::new_empty(rows[0].schema());
        assert_eq!(Analyzed::of(&other), None);
    }

    #[test]
    fn settings_that_were_changed_travel() {
        let mut config = single_process(&session::session_config(), 3).unwrap();
        config
            .options_mut()
            .set("datafusion.execution.batch_size", "77")
            .unwrap();
        let empty = Arc::new(datafusion::physical_plan::empty::EmptyExec::new(Arc::new(
            Schema::empty(),
        )));
        let ticket = encode(empty, &config, "s", false).unwrap();
        assert_eq!(ticket.settings["datafusion.execution.batch_size"], "77");
        assert_eq!(ticket.settings["datafusion.execution.target_partitions"], "3");
        assert!(ticket.settings.len() < 12, "{:?}", ticket.settings);
    }
}
