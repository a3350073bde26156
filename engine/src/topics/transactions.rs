//! A sink of its own for each shard of an outbox, so that a transaction has the same rows whenever it is tried.
//!
//! ```text
//! UnionExec
//!   TopicSinkExec: t, exactly once, transaction millpond.<outbox>.<shard>
//!     DataSourceExec: that shard
//!   TopicSinkExec: ...
//! ```
//!
//! One sink over a scan of all would not do: output partitions of a scan take files from each other when one of them has
//! nothing to do, and Ballista gives those of a task other numbers.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::internal_datafusion_err;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use millpond_proto::plan::TopicSink;

use super::TopicSinkExec;
use crate::shards::{ShardSource, rows_of, shard_of};

/// Plans `sink`, whose transaction is the start of all names, over a scan of an outbox.
///
/// # Errors
/// Anything else than a scan of whole shards.
pub(crate) fn one_for_each_shard(
    input: &Arc<dyn ExecutionPlan>,
    sink: &TopicSink,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (scan, _) = ShardSource::scanned_by(input)
        .ok_or_else(|| internal_datafusion_err!("an outbox is read by a scan of its shards alone"))?;
    let mut seen = BTreeSet::new();
    let mut sinks: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
    for file in scan.file_groups.iter().flat_map(FileGroup::iter) {
        let shard = shard_of(file)?;
        if rows_of(file).start > 0 || !seen.insert(shard) {
            return Err(internal_datafusion_err!(
                "a transaction has all rows of its shard"
            ));
        }
        let scan = FileScanConfigBuilder::from(scan.clone())
            .with_file_groups(vec![FileGroup::new(vec![file.clone()])])
            .build();
        let sink = TopicSink {
            transaction: format!("{}.{shard}", sink.transaction),
            ..sink.clone()
        };
        let input = DataSourceExec::from_data_source(scan);
        sinks.push(Arc::new(TopicSinkExec::new(input, Arc::new(sink), None)));
    }
    match sinks.len() {
        0 => Err(internal_datafusion_err!("an outbox has shards")),
        _ => UnionExec::try_new(sinks),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use datafusion::datasource::listing::PartitionedFile;
    use datafusion::execution::object_store::ObjectStoreUrl;
    use datafusion::physical_plan::ExecutionPlanProperties;

    use super::*;
    use crate::shards::ShardId;
    use crate::topics::messages_schema;

    fn planned(groups: Vec<Vec<PartitionedFile>>) -> Result<Arc<dyn ExecutionPlan>> {
        let source = ShardSource::new(messages_schema(), Arc::new(HashMap::new()), None);
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .build();
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(scan);
        let sink = TopicSink {
            transaction: "millpond.o".to_string(),
            ..TopicSink::default()
        };
        one_for_each_shard(&scan, &sink)
    }

    fn named(plan: &Arc<dyn ExecutionPlan>) -> Vec<(String, usize)> {
        let sinks = match plan.is::<UnionExec>() {
            true => plan.children(),
            false => vec![plan],
        };
        let sinks = sinks.into_iter().map(|sink| {
            let partitions = sink.output_partitioning().partition_count();
            let sink = sink.downcast_ref::<TopicSinkExec>().unwrap();
            (sink.sink().transaction.clone(), partitions)
        });
        sinks.collect()
    }

    #[test]
    fn every_shard_is_a_transaction_however_they_are_grouped() {
        let shards: Vec<ShardId> = (0..3).map(|_| ShardId::random()).collect();
        let file = |at: usize| ShardSource::file_of(shards[at], 0..10, 100);
        let names = |groups| named(&planned(groups).unwrap());
        let expect: Vec<_> = shards
            .iter()
            .map(|shard| (format!("millpond.o.{shard}"), 1))
            .collect();
        assert_eq!(names(vec![vec![file(0), file(1)], vec![file(2)]]), expect);
        assert_eq!(names(vec![vec![file(0)], vec![file(1)], vec![file(2)]]), expect);
        assert_eq!(names(vec![vec![file(0)]]), expect[..1]);
    }

    #[test]
    fn parts_of_a_shard_are_refused() {
        let shard = ShardId::random();
        let halves = [0..5, 5..10].map(|rows| ShardSource::file_of(shard, rows, 100));
        assert!(planned(vec![halves.to_vec()]).is_err());
        assert!(planned(vec![]).is_err());
    }
}
