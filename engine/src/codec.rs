//! How plans become bytes between scheduler and executors.
//!
//! Both sides take their codecs from here, so that a node added to one is added to the other. A node of ours is a
//! [`PlanNode`] behind [`MARK`]; everything else is Ballista's or DataFusion's own.

use std::sync::Arc;

use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanNodeExt, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalPlanNode;
use millpond_proto::Message;
use millpond_proto::plan::{PlanNode, PlanNodeKind, TextScan};

use crate::files::{FileConcatExec, FileSinkExec, text_source};

/// Start of a node of ours. No protobuf message starts with a zero byte (tag 0 is not allowed), so Ballista's never do.
const MARK: &[u8] = b"\0millpond";

/// Codec for logical plans.
pub fn logical_codec() -> Arc<dyn LogicalExtensionCodec> {
    Arc::new(BallistaLogicalExtensionCodec::default())
}

/// Codec for physical plans.
pub fn physical_codec() -> Arc<dyn PhysicalExtensionCodec> {
    Arc::new(Codec::default())
}

#[derive(Debug, Default)]
struct Codec {
    ballista: BallistaPhysicalExtensionCodec,
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
            (Some(PlanNodeKind::TextScan(settings)), []) => {
                let scan = PhysicalPlanNode::decode(settings.scan.as_slice())
                    .map_err(|error| internal_datafusion_err!("a scan of another version: {error}"))?;
                let scan = scan.try_into_physical_plan_with_converter(context, self, converter)?;
                text_source::restore(&scan, &settings)
            }
            (Some(PlanNodeKind::FileConcat(concat)), []) => Ok(Arc::new(FileConcatExec::new(Arc::new(concat)))),
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
