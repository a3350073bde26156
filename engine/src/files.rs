//! Files as the cluster writes and reads them.
//!
//! Reading is DataFusion's, with [`text_source`] for what its messages forget. Writing is in parallel.
//! DataFusion's own sink takes all rows through one task. Ours writes every partition where it is computed and yields
//! one row for each file, so that the rows of a job say which files count; a task that ran twice leaves a file that
//! no row names. Who wants a single file has the parts concatenated without decoding them.
//!
//! ```text
//! partition 0 ─► FileSinkExec ─► folder/<uuid>.parquet ─┐
//! partition 1 ─► FileSinkExec ─► folder/<uuid>.parquet ─┴► FileConcatExec ─► one file
//! ```

mod concat_exec;
mod concat_parquet;
mod sink_exec;
mod sink_node;
pub(crate) mod text_source;
mod writer;

use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

pub use concat_exec::FileConcatExec;
pub use sink_exec::{FileSinkExec, SinkRow};
pub use sink_node::{FileConcatNode, FileSinkNode};
pub use writer::{Layout, layout};

/// The scan that a plan node is, if it reads files or what looks like files to Ballista.
pub fn file_scan(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    plan.downcast_ref::<DataSourceExec>()?
        .data_source()
        .downcast_ref::<FileScanConfig>()
}
