//! How plans become bytes between scheduler and executors.
//!
//! Both sides take their codecs from here, so that a node added to one is added to the other. A node of ours is a
//! [`PlanNode`] behind [`MARK`]; everything else is Ballista's or DataFusion's own.

use std::sync::Arc;

use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::physical_plan::PhysicalPlanDecodeContext;
use datafusion_proto::physical_plan::from_proto::{
    parse_protobuf_file_scan_config, parse_table_schema_from_proto,
};
use datafusion_proto::physical_plan::to_proto::serialize_file_scan_config;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanNodeExt, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::{FileScanExecConf, PhysicalExprNode, PhysicalPlanNode};
use millpond_proto::Message;
use millpond_proto::plan::{KeptSums, PlanNode, PlanNodeKind, ShardPlace, ShardScan, TextScan};

use crate::files::{FileConcatExec, FileSinkExec, text_source};
use crate::models::{Kept, KeptSumsExec};
use crate::schema::decode_schema;
use crate::shards::{Place, Reader, ShardSinkExec, ShardSource};
use crate::topics::{TopicSinkExec, TopicWriter};

/// Start of a node of ours. No protobuf message starts with a zero byte (tag 0 is not allowed), so Ballista's never do.
const MARK: &[u8] = b"\0millpond";

/// Codec for logical plans.
pub fn logical_codec() -> Arc<dyn LogicalExtensionCodec> {
    Arc::new(BallistaLogicalExtensionCodec::default())
}

/// What tasks of an executor read and write with.
#[derive(Debug, Clone)]
pub struct Local {
    /// Shards.
    pub shards: Reader,
    /// Topics.
    pub topics: Arc<dyn TopicWriter>,
    /// Aggregates over live shards.
    pub kept: Arc<Kept>,
}

/// Codec for physical plans; only an executor has something `local`.
pub fn physical_codec(local: Option<Local>) -> Arc<dyn PhysicalExtensionCodec> {
    Arc::new(Codec {
        ballista: BallistaPhysicalExtensionCodec::default(),
        local,
    })
}

/// A plan as bytes, to tell whether two are the same.
pub(crate) fn encode_plan(plan: Arc<dyn ExecutionPlan>) -> Result<Vec<u8>> {
    let node = <PhysicalPlanNode as AsExecutionPlan>::try_from_physical_plan(plan, &Codec::default())?;
    Ok(node.encode_to_vec())
}

#[derive(Debug, Default)]
struct Codec {
    ballista: BallistaPhysicalExtensionCodec,
    local: Option<Local>,
}

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(own) = bytes.strip_prefix(MARK) else {
            return self.ballista.try_decode(bytes, inputs, context, converter);
        };
        let node = PlanNode::decode(own)
            .map_err(|error| internal_datafusion_err!("a plan node of another version: {error}"))?;
        match (node.kind, inputs) {
            (Some(PlanNodeKind::FileSink(sink)), [input]) => {
                Ok(Arc::new(FileSinkExec::new(input.clone(), Arc::new(sink))))
            }
            (Some(PlanNodeKind::ShardSink(sink)), [input]) => {
                let schema = decode_schema(&sink.arrow_schema)?;
                let store = self.local.as_ref().map(|local| local.shards.store.clone());
                Ok(Arc::new(ShardSinkExec::new(
                    input.clone(),
                    Arc::new(sink),
                    schema,
                    store,
                )))
            }
            (Some(PlanNodeKind::TopicSink(sink)), [input]) => {
                let topics = self.local.as_ref().map(|local| local.topics.clone());
                Ok(Arc::new(TopicSinkExec::new(
                    input.clone(),
                    Arc::new(sink),
                    topics,
                )))
            }
            (Some(PlanNodeKind::KeptSums(_)), [input]) => {
                let kept = self.local.as_ref().map(|local| local.kept.clone());
                Ok(Arc::new(KeptSumsExec::new(input.clone(), kept)))
            }
            (Some(PlanNodeKind::ShardScan(scan)), []) => self.decode_scan(&scan, context, converter),
            (Some(PlanNodeKind::TextScan(settings)), []) => {
                let scan = PhysicalPlanNode::decode(settings.scan.as_slice())
                    .map_err(|error| internal_datafusion_err!("a scan of another version: {error}"))?;
                let scan = scan.try_into_physical_plan_with_converter(context, self, converter)?;
                text_source::restore(&scan, &settings)
            }
            (Some(PlanNodeKind::FileConcat(concat)), []) => {
                Ok(Arc::new(FileConcatExec::new(Arc::new(concat))))
            }
            (kind, inputs) => internal_err!("plan node {kind:?} with {} inputs", inputs.len()),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let kind = if let Some(exec) = node.downcast_ref::<FileSinkExec>() {
            PlanNodeKind::FileSink(exec.sink().clone())
        } else if let Some(exec) = node.downcast_ref::<FileConcatExec>() {
            PlanNodeKind::FileConcat(exec.concat().clone())
        } else if let Some(exec) = node.downcast_ref::<ShardSinkExec>() {
            PlanNodeKind::ShardSink(exec.sink().clone())
        } else if let Some(exec) = node.downcast_ref::<TopicSinkExec>() {
            PlanNodeKind::TopicSink(exec.sink().clone())
        } else if node.downcast_ref::<KeptSumsExec>().is_some() {
            PlanNodeKind::KeptSums(KeptSums {})
        } else if let Some((scan, source)) = ShardSource::scanned_by(&node) {
            PlanNodeKind::ShardScan(self.encode_scan(scan, source, converter)?)
        } else if let Some((scan, settings)) = text_source::unwrap(&node) {
            let scan = PhysicalPlanNode::try_from_physical_plan_with_converter(scan, self, converter)?;
            PlanNodeKind::TextScan(TextScan {
                scan: scan.encode_to_vec(),
                ..settings
            })
        } else {
            return self.ballista.try_encode(node, bytes, converter);
        };
        bytes.extend_from_slice(MARK);
        PlanNode { kind: Some(kind) }
            .encode(bytes)
            .map_err(|error| internal_datafusion_err!("a plan node cannot be encoded: {error}"))
    }
}

impl Codec {
    fn reader(&self) -> Option<Reader> {
        self.local.as_ref().map(|local| local.shards.clone())
    }

    fn encode_scan(
        &self,
        scan: &FileScanConfig,
        source: &ShardSource,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<ShardScan> {
        let files = scan.file_groups.iter().flat_map(|group| group.files());
        let shards = source
            .places(files)
            .into_iter()
            .map(|(shard, mut place)| ShardPlace {
                shard: shard.to_string(),
                replicas: place.holders.split_off(place.holders.len().min(1)),
                holder: place.holders.pop().unwrap_or_default(),
                deleted: place.deleted,
                first_row: place.first_row,
            })
            .collect();
        let predicate = match source.filter() {
            Some(predicate) => converter
                .physical_expr_to_proto(&predicate, self)?
                .encode_to_vec(),
            None => Vec::new(),
        };
        Ok(ShardScan {
            scan: serialize_file_scan_config(scan, self, converter)?.encode_to_vec(),
            shards,
            predicate,
        })
    }

    fn decode_scan(
        &self,
        message: &ShardScan,
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let another_version = |error| internal_datafusion_err!("a scan of another version: {error}");
        let scan = FileScanExecConf::decode(message.scan.as_slice()).map_err(another_version)?;
        let schema = parse_table_schema_from_proto(&scan)?.file_schema().clone();
        let places = message
            .shards
            .iter()
            .map(|sent| {
                let replicas = sent.replicas.iter().cloned();
                let place = Place {
                    holders: std::iter::once(sent.holder.clone()).chain(replicas).collect(),
                    deleted: sent.deleted.clone(),
                    first_row: sent.first_row,
                };
                Ok((sent.shard.parse()?, place))
            })
            .collect::<Result<_>>()?;
        let context = PhysicalPlanDecodeContext::new(context, self);
        let predicate = if message.predicate.is_empty() {
            None
        } else {
            let predicate =
                PhysicalExprNode::decode(message.predicate.as_slice()).map_err(another_version)?;
            Some(converter.proto_to_physical_expr(&predicate, &schema, &context)?)
        };
        let source = ShardSource::new(schema, Arc::new(places), self.reader()).with_predicate(predicate);
        let mut scan = parse_protobuf_file_scan_config(&scan, &context, converter, Arc::new(source))?;
        // A task has some of the classes that a scan was declared to have, and must not mix them.
        if let Some(Partitioning::Hash(key, _)) = scan.output_partitioning.take() {
            scan.output_partitioning = Some(Partitioning::Hash(key, scan.file_groups.len()));
        }
        Ok(DataSourceExec::from_data_source(scan))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
    use datafusion::physical_plan::{collect, displayable};
    use datafusion::prelude::{CsvReadOptions, SessionContext};
    use millpond_proto::plan::{FileConcat, FileSink};

    fn sent(plan: Arc<dyn ExecutionPlan>, context: &SessionContext) -> Arc<dyn ExecutionPlan> {
        let codec = Codec::default();
        let node = PhysicalPlanNode::try_from_physical_plan(plan, &codec).unwrap();
        node.try_into_physical_plan(&context.task_ctx(), &codec).unwrap()
    }

    #[tokio::test]
    async fn nodes_of_ours_survive_being_sent() {
        let context = SessionContext::new();
        let input = context
            .sql("SELECT 1 AS x")
            .await
            .unwrap()
            .create_physical_plan()
            .await
            .unwrap();
        let sink = Arc::new(FileSink {
            folder: "/tmp/x/".to_string(),
            format: "csv".to_string(),
            options: [("format.delimiter".to_string(), ";".to_string())].into(),
            partition_by: vec!["x".to_string()],
            ..Default::default()
        });
        let plan: Arc<dyn ExecutionPlan> = Arc::new(FileSinkExec::new(input, sink.clone()));
        let received = sent(plan.clone(), &context);
        assert_eq!(
            received.downcast_ref::<FileSinkExec>().unwrap().sink(),
            sink.as_ref()
        );
        assert_eq!(
            displayable(received.as_ref()).indent(true).to_string(),
            displayable(plan.as_ref()).indent(true).to_string()
        );

        let concat = FileConcat {
            sources: vec!["/tmp/a".to_string(), "/tmp/b".to_string()],
            head_bytes: 7,
            ..Default::default()
        };
        let received = sent(Arc::new(FileConcatExec::new(Arc::new(concat.clone()))), &context);
        assert_eq!(
            received.downcast_ref::<FileConcatExec>().unwrap().concat(),
            &concat
        );
    }

    #[tokio::test]
    async fn a_compressed_file_with_its_own_line_ends_is_read_after_being_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.csv.gz");
        let context = SessionContext::new();
        let copy = format!(
            "COPY (SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(n, c)) TO '{}' STORED AS CSV OPTIONS ('format.compression' 'gzip')",
            path.display()
        );
        context.sql(&copy).await.unwrap().collect().await.unwrap();
        let options = CsvReadOptions::new()
            .file_extension("csv.gz")
            .file_compression_type(FileCompressionType::GZIP)
            .terminator(Some(b'\n'));
        let frame = context.read_csv(path.to_str().unwrap(), options).await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let plan = text_source::keep_settings(plan).unwrap();
        let received = sent(plan.clone(), &context);
        let expected = collect(plan, context.task_ctx()).await.unwrap();
        let rows = collect(received, context.task_ctx()).await.unwrap();
        assert_eq!(
            pretty_format_batches(&rows).unwrap().to_string(),
            pretty_format_batches(&expected).unwrap().to_string()
        );
        assert_eq!(rows[0].num_rows(), 2);
    }

    #[test]
    fn bytes_that_are_not_ours_are_an_error() {
        let context = SessionContext::new().task_ctx();
        let converter = datafusion_proto::physical_plan::DefaultPhysicalProtoConverter {};
        for bytes in [&b"\0millpond\xff\xff"[..], b"\0millpond", b"garbage", b""] {
            assert!(
                Codec::default()
                    .try_decode(bytes, &[], &context, &converter)
                    .is_err()
            );
        }
    }
}
