//! Decides for every task where it writes, and watches those that write to memory.

use std::fmt;
use std::io;
use std::sync::Arc;

use ballista_core::JobId;
use ballista_core::serde::protobuf::{
    RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport,
};
use ballista_executor::execution_engine::{ExecutionEngine, QueryStageExecutor};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;

use super::output::Output;
use super::place::{Place, ShuffleDir};

/// An engine whose tasks write to memory or to disk, as it fits.
pub(crate) struct PlacingEngine<E> {
    inner: E,
    dir: Arc<ShuffleDir>,
}

impl<E> PlacingEngine<E> {
    /// Does what `inner` does, which must stop a task whose future is dropped.
    pub(crate) fn new(inner: E, dir: Arc<ShuffleDir>) -> Self {
        Self { inner, dir }
    }
}

impl<E: ExecutionEngine> ExecutionEngine for PlacingEngine<E> {
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
        let output = Output::of(&plan, &job_id, stage_id, task_id, &global_output_partition_ids)?;
        let place = self.dir.place(&job_id, stage_id, task_id, output)?;
        let inner = self.inner.create_query_stage_exec(
            job_id,
            stage_id,
            task_id,
            global_output_partition_ids,
            plan,
            work_dir,
            config,
        )?;
        Ok(Arc::new(Placed { inner, place }))
    }
}

#[derive(Debug)]
struct Placed {
    inner: Arc<dyn QueryStageExecutor>,
    place: Place,
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[tonic::async_trait]
impl QueryStageExecutor for Placed {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let written = tokio::select! {
            written = self.inner.execute_query_stage(task_id, context) => written,
            full = self.place.outgrown() => Err(full.into()),
        };
        match written {
            Ok(partitions) => {
                self.place.keep();
                Ok(partitions)
            }
            Err(error) if self.place.is_in_memory() && is_full(&error) => {
                self.place.avoid_memory();
                // Whatever it was wrapped in: this kind of error is what Ballista runs a task again for.
                Err(DataFusionError::IoError(io::Error::new(
                    io::ErrorKind::StorageFull,
                    format!("StorageFull: {error}"),
                )))
            }
            Err(error) => Err(error),
        }
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

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.inner.collect_column_stats()
    }
}

/// Whether it comes from a full file system. Writers wrap the cause in many ways, and some only quote it.
fn is_full(error: &DataFusionError) -> bool {
    let text = format!("{error:?}");
    text.contains("StorageFull") || text.contains("No space left on device")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ballista_core::error::BallistaError;
    use datafusion::arrow::error::ArrowError;

    #[test]
    fn a_full_file_system_is_known_in_every_wrapping() {
        let full = || io::Error::from_raw_os_error(28);
        let quoted = format!("{:?}", BallistaError::IoError(full()));
        for error in [
            DataFusionError::IoError(full()),
            DataFusionError::from(ArrowError::IoError(String::from("write"), full())),
            BallistaError::IoError(full()).into_datafusion(),
            DataFusionError::Execution(quoted),
        ] {
            assert!(is_full(&error), "{error:?}");
        }
        let denied = DataFusionError::IoError(io::ErrorKind::PermissionDenied.into());
        assert!(!is_full(&denied));
    }

    #[test]
    fn ballista_runs_it_again() {
        let told = DataFusionError::IoError(io::Error::new(io::ErrorKind::StorageFull, "x"));
        let failed = ballista_core::serde::protobuf::FailedTask::from(BallistaError::from(told));
        assert!(failed.retryable);
    }
}
