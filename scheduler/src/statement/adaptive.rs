//! Which jobs Ballista plans stage by stage while they run, and which once and for all.
//!
//! Its adaptive planner replaces an input that turns out to be empty. A join that keeps rows of the other side needs an
//! exchange above what it was replaced with; that exchange comes back empty, is replaced in its turn, and so on: the job
//! makes stages for ever (Ballista 55, `propagate_empty` and `distributed_exchange`). Such plans are not adaptive.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use millpond_engine::error::Error;

const ADAPTIVE: &str = "ballista.planner.adaptive.enabled";

/// The context that a job of this plan runs with.
///
/// # Errors
/// A plan that cannot be optimized.
pub(super) fn context_for(
    context: Arc<SessionContext>,
    plan: &LogicalPlan,
) -> Result<Arc<SessionContext>, Error> {
    let decided = || {
        let mut state = context.state();
        if !keeps_rows_of_a_side(&state.optimize(plan)?)? {
            return Ok(context.clone());
        }
        state.config_mut().options_mut().set(ADAPTIVE, "false")?;
        Ok(Arc::new(SessionContext::new_with_state(state)))
    };
    decided().map_err(Error::from_datafusion)
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
            let chosen = context_for(context.clone(), &plan).unwrap();
            assert_eq!(Arc::ptr_eq(&chosen, &context), adaptive, "{sql}");
        }
    }
}
