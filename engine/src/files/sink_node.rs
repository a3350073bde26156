//! The logical nodes of this module. They are made after a statement was checked, so they only carry their message.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use millpond_proto::Message;
use millpond_proto::plan::{FileConcat, FileSink};

use super::sink_exec::SinkRow;

/// Writes its input as files; becomes a [`super::FileSinkExec`].
#[derive(Debug, Clone, PartialEq)]
pub struct FileSinkNode {
    /// The rows to write.
    pub input: Arc<LogicalPlan>,
    /// How and where.
    pub sink: Arc<FileSink>,
    schema: DFSchemaRef,
}

impl FileSinkNode {
    /// Makes the node.
    ///
    /// # Errors
    /// None in practice: the schema is fixed.
    pub fn try_new(input: Arc<LogicalPlan>, sink: Arc<FileSink>) -> Result<Self> {
        Ok(Self {
            input,
            sink,
            schema: Arc::new(DFSchema::try_from(SinkRow::schema())?),
        })
    }
}

impl UserDefinedLogicalNodeCore for FileSinkNode {
    fn name(&self) -> &str {
        "FileSink"
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

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSink: {} in {}", self.sink.format, self.sink.folder)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        Self::try_new(Arc::new(inputs.swap_remove(0)), self.sink.clone())
    }
}

/// Concatenates files; becomes a [`super::FileConcatExec`].
#[derive(Debug, Clone, PartialEq)]
pub struct FileConcatNode {
    /// What to read and write.
    pub concat: Arc<FileConcat>,
    schema: DFSchemaRef,
}

impl FileConcatNode {
    /// Makes the leaf.
    pub fn new(concat: Arc<FileConcat>) -> Self {
        Self {
            concat,
            schema: Arc::new(DFSchema::empty()),
        }
    }
}

impl UserDefinedLogicalNodeCore for FileConcatNode {
    fn name(&self) -> &str {
        "FileConcat"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileConcat { sources, target, .. } = self.concat.as_ref();
        write!(f, "FileConcat: {} files to {target}", sources.len())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        Ok(self.clone())
    }
}

// Messages hold maps and have neither order nor hash; what DataFusion compares is their target.

impl Eq for FileSinkNode {}

impl Hash for FileSinkNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.sink.folder.hash(state);
    }
}

impl PartialOrd for FileSinkNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl Eq for FileConcatNode {}

impl Hash for FileConcatNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.concat.encode_to_vec().hash(state);
    }
}

impl PartialOrd for FileConcatNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}
