//! From logical to physical plans: DataFusion's planner, and ours for the nodes that are ours.
//!
//! Physical rewrites of ours belong here and not into optimizer rules, because Ballista's adaptive planner replaces
//! the rules of a session but keeps its query planner.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use crate::files::{FileConcatExec, FileConcatNode, FileSinkExec, FileSinkNode, text_source};

/// The query planner of every session.
#[derive(Debug, Default)]
pub struct MillpondPlanner;

#[async_trait]
impl QueryPlanner for MillpondPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let physical = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(OwnNodes)])
            .create_physical_plan(plan, session)
            .await?;
        text_source::keep_settings(physical)
    }
}

/// Plans the nodes that are ours.
#[derive(Debug)]
struct OwnNodes;

#[async_trait]
impl ExtensionPlanner for OwnNodes {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(node) = node.as_any().downcast_ref::<FileSinkNode>() {
            let sink = FileSinkExec::new(inputs[0].clone(), node.sink.clone());
            return Ok(Some(Arc::new(sink)));
        }
        if let Some(node) = node.as_any().downcast_ref::<FileConcatNode>() {
            return Ok(Some(Arc::new(FileConcatExec::new(node.concat.clone()))));
        }
        Ok(None)
    }
}
