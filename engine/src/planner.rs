//! From logical to physical plans: DataFusion's planner, and ours for the nodes that are ours.
//!
//! Physical rewrites of ours belong here and not into optimizer rules, because Ballista's adaptive planner replaces
//! the rules of a session but keeps its query planner.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::catalog::Session;
use datafusion::common::JoinType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::functions_table::generate_series::GenerateSeriesTable;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, Projection, TableScan, UserDefinedLogicalNode};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use crate::files::{FileConcatExec, FileConcatNode, FileSinkExec, FileSinkNode, text_source};
use crate::models::KeptSumsExec;
use crate::shards::{ShardSinkExec, ShardSinkNode};
use crate::topics::{TopicSinkExec, TopicSinkNode, one_for_each_shard};

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
        let plan = series_with_columns(plan.clone())?;
        let physical = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(OwnNodes)])
            .create_physical_plan(&plan, session)
            .await?;
        let physical = with_whole_joins(constants_of_a_row(physical)?)?;
        keep_sums(text_source::keep_settings(physical)?)
    }
}

/// Reads what is known without reading, as a `count(*)` by statistics, from a row in memory.
///
/// DataFusion has a node for such a row that tells no metrics. From tasks that do not have the branch of a union that it is in,
/// Ballista drops it for one that does, refuses their reports, which differ then, and the job never ends.
fn constants_of_a_row(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(projection) = node.downcast_ref::<ProjectionExec>() else {
            return Ok(Transformed::no(node));
        };
        let is_constant = |expr: &ProjectionExpr| collect_columns(&expr.expr).is_empty();
        if !projection.input().is::<PlaceholderRowExec>() || !projection.expr().iter().all(is_constant) {
            return Ok(Transformed::no(node));
        }
        let row = one_row()?;
        let row = MemorySourceConfig::try_new_exec(&[vec![row.clone()]], row.schema(), Some(Vec::new()))?;
        let constants = ProjectionExec::try_new(projection.expr().to_vec(), row)?;
        Ok(Transformed::yes(Arc::new(constants)))
    })
    .map(|plan| plan.data)
}

/// One row, to read constants from. Nobody reads its column, which is there so that it can be sent.
///
/// # Errors
/// None that is known.
pub fn one_row() -> Result<RecordBatch> {
    let present: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    Ok(RecordBatch::try_from_iter([("present", present)])?)
}

/// Plans joins without equality so that they may be divided into tasks.
///
/// One that keeps rows of its collected side marks those that have met one, in memory of its process, and yields by the marks when
/// all partitions of the other side have ended. Tasks that have a part of these partitions each would each yield the rows (and so
/// does DataFusion itself when the join spills: 55, the comment in `NestedLoopJoinExec::execute`). So it gets the other side as
/// a whole.
///
/// Of a union, a task runs those branches whose partitions it has and expects no rows of the others. Such a join in one partition
/// yields some all the same: of its collected side, which Ballista never empties, or after it has changed the sides. So that it
/// is no part of the union's stage there is an exchange in between.
fn with_whole_joins(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
            && yields_collected_rows(*join.join_type())
            && is_divided(join.right())
        {
            let whole = Arc::new(CoalescePartitionsExec::new(join.right().clone()));
            // It asks for all rows in one partition, which the join does not; else Ballista would take the exchange out again.
            let all = Arc::new(GlobalLimitExec::new(whole, 0, None));
            let sides = vec![join.left().clone(), all as Arc<dyn ExecutionPlan>];
            return with_children(node, sides);
        }
        if node.is::<UnionExec>() && node.children().into_iter().any(is_whole_join) {
            let apart = |branch: &Arc<dyn ExecutionPlan>| match is_whole_join(branch) {
                true => Arc::new(CoalescePartitionsExec::new(branch.clone())),
                false => branch.clone(),
            };
            let branches = node.children().into_iter().map(apart).collect();
            return with_children(node, branches);
        }
        Ok(Transformed::no(node))
    })
    .map(|plan| plan.data)
}

fn with_children(
    node: Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    node.replace_children(children, recompute).map(Transformed::yes)
}

fn is_divided(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.output_partitioning().partition_count() > 1
}

/// True for a plan in one partition that joins without equality.
fn is_whole_join(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let joins = |node: &Arc<dyn ExecutionPlan>| node.is::<NestedLoopJoinExec>() || node.is::<CrossJoinExec>();
    !is_divided(plan) && plan.exists(|node| Ok(joins(node))).unwrap_or(true)
}

fn yields_collected_rows(join: JoinType) -> bool {
    match join {
        JoinType::Left | JoinType::Full | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
            true
        }
        JoinType::Inner
        | JoinType::Right
        | JoinType::RightSemi
        | JoinType::RightAnti
        | JoinType::RightMark => false,
    }
}

/// Lets aggregates over live shards be computed from what has changed, where that is possible.
fn keep_sums(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        Ok(match KeptSumsExec::over(&node) {
            Some(kept) => Transformed::yes(Arc::new(kept) as Arc<dyn ExecutionPlan>),
            None => Transformed::no(node),
        })
    })
    .map(|plan| plan.data)
}

/// Reads all columns of a `generate_series` of which none is wanted, as by `count(*)`, and drops them afterwards.
///
/// DataFusion's message for such a scan has no place for its projection, so an executor would make a column that
/// nobody expects.
fn series_with_columns(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up(|node| match node {
        LogicalPlan::TableScan(scan)
            if scan.projection.as_ref().is_some_and(Vec::is_empty) && is_series(&scan) =>
        {
            let whole = TableScanBuilder::from(scan).with_projection(None).build()?;
            let input = Arc::new(LogicalPlan::TableScan(whole));
            let nothing = Projection::try_new(Vec::new(), input)?;
            Ok(Transformed::yes(LogicalPlan::Projection(nothing)))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|plan| plan.data)
}

fn is_series(scan: &TableScan) -> bool {
    source_as_provider(&scan.source)
        .is_ok_and(|provider| provider.downcast_ref::<GenerateSeriesTable>().is_some())
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
        if let Some(node) = node.as_any().downcast_ref::<ShardSinkNode>() {
            let (input, schema) = (inputs[0].clone(), node.table_schema.clone());
            return Ok(Some(Arc::new(ShardSinkExec::new(
                input,
                node.sink.clone(),
                schema,
                None,
            ))));
        }
        if let Some(node) = node.as_any().downcast_ref::<TopicSinkNode>() {
            if !node.sink.transaction.is_empty() {
                return one_for_each_shard(&inputs[0], &node.sink).map(Some);
            }
            let sink = TopicSinkExec::new(inputs[0].clone(), node.sink.clone(), None);
            return Ok(Some(Arc::new(sink)));
        }
        if let Some(node) = node.as_any().downcast_ref::<FileConcatNode>() {
            return Ok(Some(Arc::new(FileConcatExec::new(node.concat.clone()))));
        }
        Ok(None)
    }
}
