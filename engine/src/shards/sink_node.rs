//! The logical node of a write into memory.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use millpond_proto::plan::ShardSink;

use super::sink_exec::ShardRow;

/// Leaves its input in memory; becomes a [`super::ShardSinkExec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSinkNode {
    /// The rows to store.
    pub input: Arc<LogicalPlan>,
    /// For whom.
    pub sink: Arc<ShardSink>,
    /// Columns of the table.
    pub table_schema: SchemaRef,
    schema: DFSchemaRef,
}

impl ShardSinkNode {
    /// Makes the node. The input has the columns of the table, in its order.
    ///
    /// # Errors
    /// None in practice: the schema is fixed.
    pub fn try_new(input: Arc<LogicalPlan>, sink: Arc<ShardSink>, table_schema: SchemaRef) -> Result<Self> {
        Ok(Self {
            input,
            sink,
            table_schema,
            schema: Arc::new(DFSchema::try_from(ShardRow::schema())?),
        })
    }
}

impl UserDefinedLogicalNodeCore for ShardSinkNode {
    fn name(&self) -> &str {
        "ShardSink"
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

    /// Every column of the input, whatever is asked of the rows about shards.
    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardSink: {}", self.sink.table)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        Self::try_new(
            Arc::new(inputs.swap_remove(0)),
            self.sink.clone(),
            self.table_schema.clone(),
        )
    }
}

impl Hash for ShardSinkNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.sink.write.hash(state);
    }
}

impl PartialOrd for ShardSinkNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}
