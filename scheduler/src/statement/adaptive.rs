//! Which jobs Ballista plans stage by stage while they run, and which once and for all.
//!
//! Its adaptive planner replaces an input that turns out to be empty. A join that keeps rows of the other side needs an
//! exchange above what it was replaced with; that exchange comes back empty, is replaced in its turn, and so on: the job
//! makes stages for ever (Ballista 55, `propagate_empty` and `distributed_exchange`). Such plans are not adaptive.
//!
//! An adaptive plan chooses between hash and sort-merge joins by sizes that it has measured. One that is not has estimates:
//! its joins are hash joins, which Ballista broadcasts where it can, if each has a side that is small by these. Hash joins do
//! not spill, so else they are sort-merge joins, unless the user prefers hash joins. None is planned to collect a side: Ballista
//! divides such a join again where it keeps rows of that side, and an aggregate above it that counts on one partition does
//! not know (one row for each partition). The planner places exchanges around joins without equality, and what a union knows
//! without reading; an adaptive plan would change both, so plans with them are not adaptive either.

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

const ADAPTIVE: &str = "ballista.planner.adaptive.enabled";

/// The state that a job of this plan runs with; None: the one that it was planned with, and adaptively.
///
/// # Errors
/// A plan that cannot be optimized or planned.
pub(super) async fn state_for(state: &SessionState, plan: &LogicalPlan) -> Result<Option<SessionState>> {
    let optimized = state.optimize(plan)?;
    if !must_be_planned_once(&optimized)? {
        return Ok(None);
    }
    let mut state = state.clone();
    let prefers_hash = state.config_options().optimizer.prefer_hash_join;
    let options = state.config_mut().options_mut();
    options.set(ADAPTIVE, "false")?;
    options.optimizer.prefer_hash_join = true;
    options.optimizer.repartition_joins = true;
    options.optimizer.hash_join_single_partition_threshold = 0;
    options.optimizer.hash_join_single_partition_threshold_rows = 0;
    if !prefers_hash {
        let planned = state
            .query_planner()
            .create_physical_plan(&optimized, &state)
            .await?;
        let are_small = has_small_builds(&planned, &state)?;
        state.config_mut().options_mut().optimizer.prefer_hash_join = are_small;
    }
    Ok(Some(state))
}

/// True if each hash join has a side that fits into the memory of the tasks that build their tables of it, as it is estimated.
fn has_small_builds(plan: &Arc<dyn ExecutionPlan>, state: &SessionState) -> Result<bool> {
    let options = state.config_options();
    let ballista = options
        .extensions
        .get::<BallistaConfig>()
        .cloned()
        .unwrap_or_default();
    let per_partition = match ballista.hash_join_max_build_partition_bytes() {
        // No limit.
        0 => usize::MAX,
        bytes => bytes,
    };
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

/// Bytes of all rows, if there is an estimate.
fn bytes_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<usize>> {
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new())?;
    Ok(statistics.total_byte_size.get_value().copied())
}

/// True if a join of the plan yields rows although one of its sides is empty; or if something must stay as it was planned
/// ([`MillpondPlanner`](millpond_engine::planner::MillpondPlanner)): a join without equality the sides that it has, and in a
/// union the stage of its own; in a union also what is known without reading, which an adaptive plan only finds out later.
fn must_be_planned_once(plan: &LogicalPlan) -> Result<bool> {
    let (mut found, mut has_union, mut is_for_no_union) = (false, false, false);
    plan.apply_with_subqueries(|node| {
        has_union |= matches!(node, LogicalPlan::Union(_));
        is_for_no_union |=
            matches!(node, LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty());
        if let LogicalPlan::Join(join) = node {
            is_for_no_union |= join.on.is_empty();
            found |= match join.join_type {
                JoinType::Inner => false,
                JoinType::LeftSemi | JoinType::RightSemi => join.on.is_empty(),
                _ => true,
            };
        }
        found |= has_union && is_for_no_union;
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
    use datafusion::prelude::SessionContext;
    use millpond_engine::session::session_config;

    #[tokio::test]
    async fn joins_that_outlive_an_empty_side_are_planned_once() {
        let config = session_config().with_create_default_catalog_and_schema(true);
        let context = SessionContext::new_with_config(config);
        for (sql, adaptive) in [
            ("SELECT * FROM t a JOIN t b ON a.x = b.x", true),
            ("SELECT * FROM t WHERE x IN (SELECT x FROM t WHERE x > 1)", true),
            (
                "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM t b WHERE b.x > t.x)",
                false,
            ),
            ("SELECT * FROM t a JOIN t b ON a.x < b.x", true),
            (
                "SELECT * FROM t UNION ALL SELECT a.x FROM t a JOIN t b ON a.x = b.x",
                true,
            ),
            (
                "SELECT * FROM t UNION ALL SELECT a.x FROM t a JOIN t b ON a.x < b.x",
                false,
            ),
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
            let chosen = state_for(&context.state(), &plan).await.unwrap();
            assert_eq!(chosen.is_none(), adaptive, "{sql}");
        }
    }

    #[tokio::test]
    async fn hash_joins_are_for_sides_that_are_small_by_estimate() {
        let config = session_config().with_create_default_catalog_and_schema(true);
        let context = SessionContext::new_with_config(config);
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
            let chosen = state_for(&state, &plan).await.unwrap().unwrap();
            chosen.config_options().optimizer.prefer_hash_join
        };
        let join = "SELECT * FROM t a LEFT JOIN t b ON a.x = b.x";
        assert!(prefers_hash(join, "1000000").await);
        assert!(!prefers_hash(join, "1000").await);
        assert!(prefers_hash(join, "0").await);
        let unknown = "SELECT * FROM (SELECT unnest([x, 1]) AS x FROM t) a FULL JOIN (SELECT unnest([x, 1]) AS x FROM t) b ON a.x = b.x";
        assert!(!prefers_hash(unknown, "1000000").await);
    }
}
