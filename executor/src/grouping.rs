//! Changes the plans of tasks on their way to Ballista's engine: partial aggregates that read tables in memory find groups by
//! code, as those of direct plans do ([`groups`]).

use std::sync::Arc;

use ballista_core::JobId;
use ballista_executor::execution_engine::{ExecutionEngine, QueryStageExecutor};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use millpond_engine::groups;

/// See the module.
pub(crate) struct GroupingEngine<E> {
    inner: E,
}

impl<E> GroupingEngine<E> {
    /// Does what `inner` does with plans that were changed.
    pub(crate) fn new(inner: E) -> Self {
        Self { inner }
    }
}

impl<E: ExecutionEngine> ExecutionEngine for GroupingEngine<E> {
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
        self.inner.create_query_stage_exec(
            job_id,
            stage_id,
            task_id,
            global_output_partition_ids,
            groups::by_code(plan)?,
            work_dir,
            config,
        )
    }
}
