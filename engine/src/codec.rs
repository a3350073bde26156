//! How plans become bytes between scheduler and executors.
//!
//! Both sides take their codecs from here, so that a node added to one is added to the other. Today every node of a
//! plan is DataFusion's or Ballista's; nodes of ours are added to this module and nowhere else.

use std::sync::Arc;

use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;

/// Codec for logical plans.
pub fn logical_codec() -> Arc<dyn LogicalExtensionCodec> {
    Arc::new(BallistaLogicalExtensionCodec::default())
}

/// Codec for physical plans.
pub fn physical_codec() -> Arc<dyn PhysicalExtensionCodec> {
    Arc::new(BallistaPhysicalExtensionCodec::default())
}
