//! Makes the constant parts of a plan such that a cluster job can run it.
//!
//! `SELECT 1` inside a union is planned as a node that Ballista drops from the tasks that do not compute it. Such tasks
//! report fewer operators than the others, Ballista refuses their status and the job never ends. A one-row table in
//! memory stays in every task, so constants are read from one. What only the physical plan knows to be constant, the planner
//! reads from the same row.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan, LogicalPlanBuilder};
use millpond_engine::error::{Code, Error};
use millpond_engine::planner;

/// Name of the one-row table in plans.
const ONE_ROW: &str = "one_row";

/// Rewrites a plan for the cluster.
///
/// # Errors
/// [`Code::NOT_SUPPORTED`] for `WITH RECURSIVE` over tables.
pub(super) fn for_cluster(plan: LogicalPlan) -> std::result::Result<LogicalPlan, Error> {
    refuse_recursion(&plan)?;
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: true,
            ..
        }) => one_row().map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    });
    rewritten
        .map(|rewritten| rewritten.data)
        .map_err(Error::from_datafusion)
}

fn refuse_recursion(plan: &LogicalPlan) -> std::result::Result<(), Error> {
    let mut recursive = false;
    plan.apply_with_subqueries(|node| {
        recursive |= matches!(node, LogicalPlan::RecursiveQuery(_));
        Ok(if recursive {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })
    .map_err(Error::from_datafusion)?;
    if recursive {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            "WITH RECURSIVE over tables is not supported on a cluster",
        )
        .with_hint("it works over constants and metadata; for hierarchies join level by level"));
    }
    Ok(())
}

fn one_row() -> Result<LogicalPlan> {
    let row = planner::one_row()?;
    let table = MemTable::try_new(row.schema(), vec![vec![row]])?;
    LogicalPlanBuilder::scan(ONE_ROW, provider_as_source(Arc::new(table)), None)?.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::RecordBatch;
    use datafusion::prelude::SessionContext;

    #[tokio::test]
    async fn constants_answer_the_same_from_a_table() {
        let context = SessionContext::new();
        let sql = "SELECT 1 AS x UNION ALL SELECT 2 UNION ALL SELECT (SELECT 3)";
        let plan = context.state().create_logical_plan(sql).await.unwrap();
        let rewritten = for_cluster(plan.clone()).unwrap();
        assert!(rewritten.display_indent().to_string().contains(ONE_ROW));
        let rows = |plan| {
            let context = context.clone();
            async move {
                let batches = context
                    .execute_logical_plan(plan)
                    .await
                    .unwrap()
                    .collect()
                    .await
                    .unwrap();
                batches.iter().map(RecordBatch::num_rows).sum::<usize>()
            }
        };
        assert_eq!(rows(plan).await, rows(rewritten).await);
    }
}
