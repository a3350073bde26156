//! Makes one file of several without decoding their rows.
//!
//! A leaf of one partition. Text files are copied block by block; Parquet files are copied column chunk by column
//! chunk under a new footer ([`super::concat_parquet`]). The sources stay.

use std::fmt;
use std::sync::Arc;

use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::object_store::buffered::BufWriter;
use datafusion::object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt};
use millpond_proto::plan::FileConcat;
use tokio::io::AsyncWriteExt;

use super::concat_parquet;

/// See the module. Yields no row.
#[derive(Debug, Clone)]
pub struct FileConcatExec {
    concat: Arc<FileConcat>,
    properties: Arc<PlanProperties>,
}

impl FileConcatExec {
    /// Makes the leaf.
    pub fn new(concat: Arc<FileConcat>) -> Self {
        let schema = Arc::new(datafusion::arrow::datatypes::Schema::empty());
        Self {
            concat,
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(schema),
                Partitioning::UnknownPartitioning(1),
                EmissionType::Final,
                Boundedness::Bounded,
            )),
        }
    }

    /// What it reads and writes.
    pub fn concat(&self) -> &FileConcat {
        &self.concat
    }
}

impl DisplayAs for FileConcatExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileConcat { sources, target, .. } = self.concat.as_ref();
        write!(f, "FileConcatExec: {} files to {target}", sources.len())
    }
}

impl ExecutionPlan for FileConcatExec {
    fn name(&self) -> &'static str {
        "FileConcatExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
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

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let concat = self.concat.clone();
        let done = async move {
            concatenate(&concat, &context).await?;
            Ok::<_, DataFusionError>(futures::stream::empty())
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            futures::stream::once(done).try_flatten(),
        )))
    }
}

async fn concatenate(concat: &FileConcat, context: &TaskContext) -> Result<()> {
    let target = ListingTableUrl::parse(&concat.target)?;
    let store = context.runtime_env().object_store(target.object_store())?;
    let sources = concat
        .sources
        .iter()
        .map(|source| Ok(ListingTableUrl::parse(source)?.prefix().clone()))
        .collect::<Result<Vec<_>>>()?;
    let mut writer = BufWriter::new(store.clone(), target.prefix().clone());
    let written = match concat.format.as_str() {
        "parquet" => concat_parquet::concatenate(&store, &sources, &mut writer).await,
        "csv" | "json" => copy_bytes(&store, &sources, concat.head_bytes, &mut writer).await,
        other => internal_err!("files of format '{other}' cannot be concatenated"),
    };
    match written {
        Ok(()) => Ok(writer.shutdown().await?),
        Err(error) => {
            if let Err(error) = writer.abort().await {
                tracing::debug!(%error, "give up a file");
            }
            Err(error)
        }
    }
}

async fn copy_bytes(
    store: &Arc<dyn ObjectStore>,
    sources: &[datafusion::object_store::path::Path],
    head_bytes: u64,
    writer: &mut BufWriter,
) -> Result<()> {
    for (index, source) in sources.iter().enumerate() {
        let size = store.head(source).await?.size;
        let start = if index == 0 { 0 } else { head_bytes };
        if start >= size {
            continue;
        }
        let options = GetOptions {
            range: Some(GetRange::Offset(start)),
            ..Default::default()
        };
        let mut blocks = store.get_opts(source, options).await?.into_stream();
        while let Some(block) = blocks.next().await {
            writer.put(block?).await.map_err(DataFusionError::from)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::physical_plan::collect;
    use datafusion::prelude::{ParquetReadOptions, SessionContext};

    async fn concatenated(format: &str, head_bytes: u64, parts: &[&str]) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let context = SessionContext::new();
        let mut sources = Vec::new();
        for (number, rows) in parts.iter().enumerate() {
            let source = format!("{}/{number}.{format}", folder.path().display());
            let copy = format!("COPY ({rows}) TO '{source}' OPTIONS ('format.has_header' 'true')");
            let copy = if format == "csv" {
                copy
            } else {
                format!("COPY ({rows}) TO '{source}'")
            };
            context.sql(&copy).await.unwrap().collect().await.unwrap();
            sources.push(source);
        }
        let target = format!("{}/whole.{format}", folder.path().display());
        let exec = FileConcatExec::new(Arc::new(FileConcat {
            sources,
            target: target.clone(),
            format: format.to_string(),
            head_bytes,
        }));
        collect(Arc::new(exec), context.task_ctx()).await.unwrap();
        (folder, target)
    }

    const ONE: &str = "SELECT value AS n, 'x' || value AS s FROM generate_series(1, 1000)";
    const NONE: &str = "SELECT value AS n, 'x' || value AS s FROM generate_series(1, 1000) WHERE value < 0";
    const TWO: &str = "SELECT value AS n, 'y' || value AS s FROM generate_series(1001, 1500)";

    #[tokio::test]
    async fn parquet_row_groups_are_moved_with_their_statistics() {
        let (_folder, target) = concatenated("parquet", 0, &[ONE, NONE, TWO]).await;
        let context = SessionContext::new();
        let options = ParquetReadOptions::default();
        context.register_parquet("whole", &target, options).await.unwrap();
        let sql = "SELECT count(*), sum(n), count(DISTINCT s) FROM whole WHERE n > 500 AND s < 'z'";
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        let text = datafusion::arrow::util::pretty::pretty_format_batches(&rows)
            .unwrap()
            .to_string();
        let sum: i64 = (501..=1500).sum();
        assert!(
            text.contains("| 1000 ") && text.contains(&sum.to_string()),
            "{text}"
        );
    }

    #[tokio::test]
    async fn text_has_its_head_once() {
        let (_folder, target) = concatenated("csv", 4, &[ONE, TWO]).await;
        let text = std::fs::read_to_string(target).unwrap();
        assert_eq!(text.lines().filter(|line| *line == "n,s").count(), 1);
        assert_eq!(text.lines().count(), 1501);
        assert!(text.ends_with("1500,y1500\n"));
    }

    #[tokio::test]
    async fn a_source_that_is_gone_is_an_error_and_leaves_no_target() {
        let folder = tempfile::tempdir().unwrap();
        let target = format!("{}/whole.json", folder.path().display());
        let exec = FileConcatExec::new(Arc::new(FileConcat {
            sources: vec![format!("{}/none.json", folder.path().display())],
            target: target.clone(),
            format: "json".to_string(),
            head_bytes: 0,
        }));
        assert!(
            collect(Arc::new(exec), SessionContext::new().task_ctx())
                .await
                .is_err()
        );
        assert!(!std::path::Path::new(&target).exists());
    }
}
