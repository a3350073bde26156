//! Which jobs Ballista plans stage by stage while they run, and which once and for all.
//!
//! Its adaptive planner replaces an input that turns out to be empty. A join that keeps rows of the other side needs an
//! exchange above what it was replaced with; that exchange comes back empty, is replaced in its turn, and so on: the job
//! makes stages for ever (Ballista 55, `propagate_empty` and `distributed_exchange`). Such plans are not adaptive.
//!
//! An adaptive plan chooses between hash and sort-merge joins by sizes that it has measured. One that is not has estimates:
//! its joins are hash joins, which Ballista broadcasts where it can, if all of them have a side that is known to be small
//! enough. Hash joins do not spill, so the others are sort-merge joins.

use std::sync::Arc;

use ballista_core::config::BallistaConfig;
use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::SessionContext;
use millpond_engine::error::Error;

const ADAPTIVE: &str = "ballista.planner.adaptive.enabled";
const PREFER_HASH_JOIN: &str = "datafusion.optimizer.prefer_hash_join";

/// The context that a job of this plan runs with.
///
/// # Errors
/// A plan that cannot be optimized.
pub(super) async fn context_for(
    context: Arc<SessionContext>,
    plan: &LogicalPlan,
) -> Result<Arc<SessionContext>, Error> {
    let state = context.state();
    let decided = match state.optimize(plan).and_then(|plan| keeps_rows_of_a_side(&plan)) {
        Ok(false) => return Ok(context),
        Ok(true) => planned_once(state, plan).await,
        Err(error) => Err(error),
    };
    let state = decided.map_err(Error::from_datafusion)?;
    Ok(Arc::new(SessionContext::new_with_state(state)))
}

/// The state with which a plan is not adaptive.
async fn planned_once(mut state: SessionState, plan: &LogicalPlan) -> Result<SessionState> {
    let options = state.config_mut().options_mut();
    options.set(ADAPTIVE, "false")?;
    options.set(PREFER_HASH_JOIN, "true")?;
    let planned = state.create_physical_plan(plan).await?;
    if !has_small_builds(&planned, &state)? {
        state.config_mut().options_mut().set(PREFER_HASH_JOIN, "false")?;
    }
    Ok(state)
}

/// True if each hash join has a side that is known to fit into the memory of the tasks that build their tables of it.
fn has_small_builds(plan: &Arc<dyn ExecutionPlan>, state: &SessionState) -> Result<bool> {
    let options = state.config_options();
    let ballista = options
        .extensions
        .get::<BallistaConfig>()
        .cloned()
        .unwrap_or_default();
    let per_partition = ballista.hash_join_max_build_partition_bytes();
    let mut are_small = true;
    plan.apply(|node| {
        if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            let partitions = join.left().output_partitioning().partition_count();
            let limit = per_partition.saturating_mul(partitions);
            are_small &= bytes_of(join.left())?.is_some_and(|bytes| bytes <= limit);
        }
        Ok(if are_small {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    })?;
    Ok(are_small)
}

/// Bytes of all rows, as far as they are known.
fn bytes_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<usize>> {
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new())?;
    Ok(statistics.total_byte_size.get_value().copied())
}

/// True if a join of the plan yields rows although one of its sides is empty.
fn keeps_rows_of_a_side(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node {
            found |= !matches!(
                join.join_type,
                JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi
            );
        }
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_engine::session::session_config;

    #[tokio::test]
    async fn joins_that_outlive_an_empty_side_are_planned_once() {
        let config = session_config().with_create_default_catalog_and_schema(true);
        let context = Arc::new(SessionContext::new_with_config(config));
        for (sql, adaptive) in [
            ("SELECT * FROM t a JOIN t b ON a.x = b.x", true),
            ("SELECT * FROM t WHERE x IN (SELECT x FROM t WHERE x > 1)", true),
            ("SELECT * FROM t a LEFT JOIN t b ON a.x = b.x", false),
            ("SELECT * FROM t a FULL JOIN t b ON a.x = b.x", false),
            (
                "SELECT * FROM t WHERE NOT EXISTS (SELECT 1 FROM t b WHERE b.x = t.x + 1)",
                false,
            ),
            (
                "SELECT * FROM t WHERE x = 5 OR x IN (SELECT x FROM t WHERE x > 1)",
                false,
            ),
        ] {
            context
                .sql("CREATE TABLE IF NOT EXISTS t (x INT) AS VALUES (1), (2)")
                .await
                .unwrap();
            let plan = context.state().create_logical_plan(sql).await.unwrap();
            let chosen = context_for(context.clone(), &plan).await.unwrap();
            assert_eq!(Arc::ptr_eq(&chosen, &context), adaptive, "{sql}");
        }
    }

    #[tokio::test]
    async fn hash_joins_are_for_sides_that_are_known_to_be_small() {
        let config = session_config().with_create_default_catalog_and_schema(true);
        let context = Arc::new(SessionContext::new_with_config(config));
        context
            .sql("CREATE TABLE t AS SELECT value AS x FROM generate_series(1, 100000)")
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        let prefers_hash = async |sql: &str, most: &str| {
            let mut state = context.state();
            let most_bytes = "ballista.optimizer.hash_join_max_build_partition_bytes";
            state.config_mut().options_mut().set(most_bytes, most).unwrap();
            let plan = state.create_logical_plan(sql).await.unwrap();
            let context = Arc::new(SessionContext::new_with_state(state));
            let chosen = context_for(context, &plan).await.unwrap();
            chosen.state().config_options().optimizer.prefer_hash_join
        };
        let join = "SELECT * FROM t a LEFT JOIN t b ON a.x = b.x";
        assert!(prefers_hash(join, "1000000").await);
        assert!(!prefers_hash(join, "1000").await);
        let unknown = "SELECT * FROM (SELECT unnest([x, 1]) AS x FROM t) a FULL JOIN (SELECT unnest([x, 1]) AS x FROM t) b ON a.x = b.x";
        assert!(!prefers_hash(unknown, "1000000").await);
    }
}
