//! The logical node of a write to a topic.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use millpond_proto::plan::TopicSink;

use super::shown;
use super::sink_exec::rows_of;

/// Sends its input to a topic; becomes a [`super::TopicSinkExec`], or one for each shard of an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSinkNode {
    /// The rows to send, with the columns of the table in its order.
    pub input: Arc<LogicalPlan>,
    /// Where to.
    pub sink: Arc<TopicSink>,
    schema: DFSchemaRef,
}

impl TopicSinkNode {
    /// Makes the node.
    ///
    /// # Errors
    /// None in practice: the schema is fixed.
    pub fn try_new(input: Arc<LogicalPlan>, sink: Arc<TopicSink>) -> Result<Self> {
        let schema = Arc::new(DFSchema::try_from(rows_of(&sink))?);
        Ok(Self { input, sink, schema })
    }
}

impl UserDefinedLogicalNodeCore for TopicSinkNode {
    fn name(&self) -> &str {
        "TopicSink"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    /// Every column of the input.
    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicSink: {}", shown(&self.sink))
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        Self::try_new(Arc::new(inputs.swap_remove(0)), self.sink.clone())
    }
}

impl Hash for TopicSinkNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        (&self.sink.topic, &self.sink.transaction).hash(state);
    }
}

impl PartialOrd for TopicSinkNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}
