//! What readers see of a live shard: its rows at one position.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;

use super::segment::Segment;
use crate::shards::shard::{About, Contents, Shard, ShardId};
use crate::shards::store::ShardStore;
use crate::shards::{StorageLevel, statistics};

/// See the module. It does not change.
#[derive(Debug)]
pub struct View {
    pub(super) schema: SchemaRef,
    pub(super) segments: Vec<Segment>,
    /// Keys that were deleted.
    pub(super) graves: Vec<Segment>,
    position: u64,
    summary: OnceLock<Statistics>,
}

impl View {
    pub(super) fn new(
        schema: SchemaRef,
        segments: Vec<Segment>,
        graves: Vec<Segment>,
        position: u64,
    ) -> Self {
        Self {
            schema,
            segments,
            graves,
            position,
            summary: OnceLock::new(),
        }
    }

    /// The next message of the topic partition that is not in these rows.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.segments.iter().map(Segment::live_rows).sum()
    }

    /// Bytes of memory of the rows.
    pub fn bytes(&self) -> usize {
        self.segments.iter().map(Segment::bytes).sum()
    }

    fn summary(&self) -> &Statistics {
        self.summary.get_or_init(|| {
            let parts: Vec<Statistics> = self.segments.iter().map(Segment::live_statistics).collect();
            statistics::merge(&self.schema, &parts).unwrap_or_else(|_| Statistics {
                num_rows: Precision::Exact(self.rows()),
                ..Statistics::new_unknown(&self.schema)
            })
        })
    }
}

impl ShardStore {
    /// Makes a view readable under a name of its own, until that is dropped. `write` is who wants it.
    pub fn pin(&self, view: &View, write: &str) -> Arc<Shard> {
        let about = About {
            id: ShardId::random(),
            write: write.to_string(),
            schema: view.schema.clone(),
            level: StorageLevel::Memory,
            batches: view.segments.iter().map(Segment::rows).collect(),
            statistics: view
                .segments
                .iter()
                .map(|segment| segment.statistics().clone())
                .collect(),
            summary: view.summary().clone(),
            hits: AtomicU64::new(0),
            used_at: AtomicU64::new(self.next_event()),
            stored_at: Instant::now(),
        };
        let shard = Arc::new(Shard::new(about, Contents::Live(view.segments.clone())));
        self.insert(&shard);
        shard
    }
}
