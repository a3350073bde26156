//! What readers see of a live shard: its rows at one position.

use std::sync::atomic::{AtomicU64, Ordering};
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
    /// The shard that it is of.
    origin: Origin,
    summary: OnceLock<Statistics>,
}

/// A live shard, as long as this process has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(u64);

impl Origin {
    /// Of a new shard.
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl View {
    pub(super) fn new(
        origin: Origin,
        schema: SchemaRef,
        segments: Vec<Segment>,
        graves: Vec<Segment>,
        position: u64,
    ) -> Self {
        Self {
            origin,
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

    /// The rows of a batch.
    pub(in crate::shards) fn batch(&self, number: usize) -> &Segment {
        &self.segments[number]
    }

    /// The shard that it is of.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// The same shard before it had any rows.
    pub(crate) fn nothing(&self) -> Self {
        Self::new(self.origin, self.schema.clone(), Vec::new(), Vec::new(), 0)
    }

    /// The rows that are here and not in `other`, another view of the same shard. Both share what they have in common, so
    /// it takes as long as there are changes, but for a bit to look at for each row.
    ///
    /// A row that was moved by a compaction is another row.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let segments = self.segments.iter().filter_map(|segment| {
            let known = other.segments.iter().find(|known| known.has_rows_of(segment));
            let left = match known {
                Some(known) => segment.alive_here_only(known),
                None => segment.clone(),
            };
            (left.live_rows() > 0).then_some(left)
        });
        Self::new(
            self.origin,
            self.schema.clone(),
            segments.collect(),
            Vec::new(),
            self.position,
        )
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
    pub fn pin(&self, view: &Arc<View>, write: &str) -> Arc<Shard> {
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
        let shard = Arc::new(Shard::new(about, Contents::Live(view.clone())));
        self.insert(&shard);
        shard
    }
}
