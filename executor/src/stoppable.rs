//! Makes tasks stop when they are cancelled.
//!
//! Ballista cancels a task by dropping its future, but the work was handed to other tokio tasks, which would run on to
//! the end of their input. So every place of a plan where rows come from, its leaves and its joins, passes them on
//! through a [`StopExec`], which ends with an error once the future of the task is gone.

use std::fmt;
use std::sync::Arc;

use ballista_core::JobId;
use ballista_core::serde::protobuf::{RuntimeStatsReport, ShuffleWritePartition, WindowStateReport};
use ballista_executor::execution_engine::{ExecutionEngine, QueryStageExecutor};
use datafusion::common::exec_datafusion_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions,
};
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

/// An engine whose tasks stop when they are cancelled.
pub(crate) struct StoppableEngine<E> {
    inner: E,
}

impl<E> StoppableEngine<E> {
    /// Does what `inner` does, and stops.
    pub(crate) fn new(inner: E) -> Self {
        Self { inner }
    }
}

impl<E: ExecutionEngine> ExecutionEngine for StoppableEngine<E> {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        global_output_partition_ids: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        let stop = CancellationToken::new();
        let plan = with_stops(plan, &stop)?;
        let inner = self.inner.create_query_stage_exec(
            job_id,
            stage_id,
            task_id,
            global_output_partition_ids,
            plan,
            work_dir,
            config,
        )?;
        Ok(Arc::new(Stoppable { inner, stop }))
    }
}

/// Puts a [`StopExec`] over every leaf and every node with several inputs.
fn with_stops(plan: Arc<dyn ExecutionPlan>, stop: &CancellationToken) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if node.children().len() == 1 {
            return Ok(Transformed::no(node));
        }
        let node: Arc<dyn ExecutionPlan> = Arc::new(StopExec {
            input: node,
            stop: stop.clone(),
        });
        Ok(Transformed::yes(node))
    })
    .map(|plan| plan.data)
}

#[derive(Debug)]
struct Stoppable {
    inner: Arc<dyn QueryStageExecutor>,
    stop: CancellationToken,
}

impl fmt::Display for Stoppable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[tonic::async_trait]
impl QueryStageExecutor for Stoppable {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        // Dropped with this future, which is how a task is cancelled; at its end there is nothing left to stop.
        let _stop = self.stop.clone().drop_guard();
        self.inner.execute_query_stage(task_id, context).await
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.inner.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.inner.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.inner.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<ballista_core::serde::protobuf::TaskColumnStats> {
        self.inner.collect_column_stats()
    }
}

/// Passes rows on until it is told to stop. It has no metrics: the scheduler counts those of a plan and does not know
/// this node.
#[derive(Debug)]
struct StopExec {
    input: Arc<dyn ExecutionPlan>,
    stop: CancellationToken,
}

impl DisplayAs for StopExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StopExec")
    }
}

impl ExecutionPlan for StopExec {
    fn name(&self) -> &'static str {
        "StopExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            input: children.swap_remove(0),
            stop: self.stop.clone(),
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let (schema, stop) = (rows.schema(), self.stop.clone());
        let stopped = stream::once(async { Err(exec_datafusion_err!("the task was cancelled")) });
        let until = self.stop.clone();
        // The error comes after the rows if there is reason for it; a bare end would look like the end of the input.
        let rows = rows.take_until(until.cancelled_owned());
        let tail = stopped.take_while(move |_| std::future::ready(stop.is_cancelled()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows.chain(tail))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::physical_plan::collect;
    use datafusion::prelude::SessionContext;

    async fn numbers(context: &SessionContext) -> Arc<dyn ExecutionPlan> {
        let sql = "SELECT a.value FROM generate_series(1, 100000) a JOIN generate_series(1, 100000) b ON a.value = b.value";
        let frame = context.sql(sql).await.unwrap();
        frame.create_physical_plan().await.unwrap()
    }

    #[tokio::test]
    async fn rows_pass_and_metrics_are_those_of_the_plan() {
        let context = SessionContext::new();
        let plan = numbers(&context).await;
        let expected = ballista_core::utils::collect_plan_metrics(plan.as_ref()).len();
        let stoppable = with_stops(plan, &CancellationToken::new()).unwrap();
        assert_eq!(
            ballista_core::utils::collect_plan_metrics(stoppable.as_ref()).len(),
            expected
        );
        let rows = collect(stoppable, context.task_ctx()).await.unwrap();
        assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 100_000);
    }

    #[tokio::test]
    async fn a_stopped_plan_ends_with_an_error_and_not_with_fewer_rows() {
        let context = SessionContext::new();
        let stop = CancellationToken::new();
        let plan = with_stops(numbers(&context).await, &stop).unwrap();
        stop.cancel();
        let error = collect(plan, context.task_ctx()).await.unwrap_err();
        assert!(error.to_string().contains("cancelled"), "{error}");
    }
}
