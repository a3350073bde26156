//! How many bytes of a stage's input lie with which executor, read from the shard scans of its plan.
//!
//! The walk follows Ballista's `restrict_plan_to_partitions`, which cuts the plan of a stage down to that of a task:
//! a scan below an operator that wants its whole input is read by every task and speaks for nobody, and the
//! partitions of a union are those of its inputs one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::physical_expr::Distribution;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use millpond_engine::shards::ShardSource;

/// Bytes of shards by the `HOST:PORT` of the executor that holds them.
pub(super) type Bytes<'a> = BTreeMap<&'a str, u64>;

/// What each input partition of a stage reads, over all scans that are cut along the stage's partitions.
///
/// The result has one entry for each of `partitions`; it is empty for a partition that reads no shard.
pub(super) fn by_partition(plan: &Arc<dyn ExecutionPlan>, partitions: usize) -> Vec<Bytes<'_>> {
    let mut held = vec![Bytes::new(); partitions];
    add_aligned(plan, &mut held);
    held
}

/// What a whole stage reads.
pub(super) fn in_all(plan: &Arc<dyn ExecutionPlan>) -> Bytes<'_> {
    let mut held = Bytes::new();
    add_all(plan, &mut held);
    held
}

/// The executor that holds most; of equals the first by address.
pub(super) fn main_holder<'a>(held: &Bytes<'a>) -> Option<&'a str> {
    held.iter()
        .rev()
        .max_by_key(|(_, bytes)| **bytes)
        .map(|(holder, _)| *holder)
}

fn add_aligned<'a>(plan: &'a Arc<dyn ExecutionPlan>, held: &mut [Bytes<'a>]) {
    if let Some((scan, source)) = ShardSource::scanned_by(plan) {
        if scan.file_groups.len() == held.len() {
            for (group, held) in scan.file_groups.iter().zip(held) {
                add_files(source, group.files(), held);
            }
        }
    } else if plan.is::<UnionExec>() {
        add_union(plan, held);
    } else {
        for (child, whole) in plan.children().into_iter().zip(reads_whole(plan)) {
            if !whole {
                add_aligned(child, held);
            }
        }
    }
}

fn add_union<'a>(plan: &'a Arc<dyn ExecutionPlan>, held: &mut [Bytes<'a>]) {
    let mut rest = held;
    for child in plan.children() {
        let count = child.properties().output_partitioning().partition_count();
        let Some((own, others)) = rest.split_at_mut_checked(count) else {
            return;
        };
        add_aligned(child, own);
        rest = others;
    }
}

/// For each input of an operator, whether every task reads all of it.
fn reads_whole(plan: &Arc<dyn ExecutionPlan>) -> Vec<bool> {
    let inputs = plan.children().len();
    if plan.is::<CoalescePartitionsExec>() || plan.is::<SortPreservingMergeExec>() {
        return vec![true; inputs];
    }
    let required = plan.input_distribution_requirements();
    let whole: Vec<bool> = required
        .per_child_distributions()
        .map(|distribution| matches!(distribution, Distribution::SinglePartition))
        .collect();
    if whole.len() == inputs {
        whole
    } else {
        vec![false; inputs]
    }
}

fn add_all<'a>(plan: &'a Arc<dyn ExecutionPlan>, held: &mut Bytes<'a>) {
    if let Some((scan, source)) = ShardSource::scanned_by(plan) {
        for group in &scan.file_groups {
            add_files(source, group.files(), held);
        }
    }
    for child in plan.children() {
        add_all(child, held);
    }
}

fn add_files<'a>(source: &'a ShardSource, files: &[PartitionedFile], held: &mut Bytes<'a>) {
    for file in files {
        if let Some(holder) = source.holder_of(file) {
            *held.entry(holder).or_default() += file.object_meta.size;
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::NullEquality;
    use datafusion::logical_expr::JoinType;
    use datafusion::physical_expr::expressions::col;
    use datafusion::physical_plan::joins::{CrossJoinExec, SortMergeJoinExec};

    use super::super::tests::{schema, shard_scan};
    use super::*;

    fn held(plan: &Arc<dyn ExecutionPlan>) -> Vec<Vec<(&str, u64)>> {
        let partitions = plan.properties().output_partitioning().partition_count();
        by_partition(plan, partitions)
            .into_iter()
            .map(|held| held.into_iter().collect())
            .collect()
    }

    fn joined(left: Arc<dyn ExecutionPlan>, right: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let column = col("x", &schema()).unwrap();
        let on = vec![(column.clone(), column)];
        let options = vec![Default::default()];
        let (inner, nulls) = (JoinType::Inner, NullEquality::NullEqualsNothing);
        Arc::new(SortMergeJoinExec::try_new(left, right, on, None, inner, options, nulls).unwrap())
    }

    #[test]
    fn a_scan_speaks_for_its_groups() {
        let scan = shard_scan(&[&[("a:1", 4), ("b:1", 2), ("a:1", 1)], &[], &[("b:1", 3)]]);
        assert_eq!(
            held(&scan),
            [vec![("a:1", 5), ("b:1", 2)], vec![], vec![("b:1", 3)]]
        );
    }

    #[test]
    fn scans_of_a_join_add_up() {
        let plan = joined(
            shard_scan(&[&[("a:1", 4)], &[("b:1", 2)]]),
            shard_scan(&[&[("b:1", 5)], &[("b:1", 1)]]),
        );
        assert_eq!(held(&plan), [vec![("a:1", 4), ("b:1", 5)], vec![("b:1", 3)]]);
    }

    #[test]
    fn a_scan_of_other_partitions_is_silent() {
        let plan = joined(
            shard_scan(&[&[("a:1", 4)], &[("b:1", 2)]]),
            shard_scan(&[&[("b:1", 5)]]),
        );
        assert_eq!(
            by_partition(&plan, 2),
            [Bytes::from([("a:1", 4)]), Bytes::from([("b:1", 2)])]
        );
        assert_eq!(by_partition(&plan, 3), vec![Bytes::new(); 3]);
        assert_eq!(in_all(&plan), Bytes::from([("a:1", 4), ("b:1", 7)]));
    }

    #[test]
    fn partitions_of_a_union_follow_each_other() {
        let plan = UnionExec::try_new(vec![
            shard_scan(&[&[("a:1", 4)], &[("b:1", 2)]]),
            shard_scan(&[&[("c:1", 5)]]),
        ])
        .unwrap();
        assert_eq!(held(&plan), [[("a:1", 4)], [("b:1", 2)], [("c:1", 5)]]);
    }

    #[test]
    fn an_input_that_every_task_reads_is_silent() {
        let build = Arc::new(CoalescePartitionsExec::new(shard_scan(&[
            &[("a:1", 90)],
            &[("a:1", 90)],
        ])));
        let probe = shard_scan(&[&[("b:1", 1)], &[("c:1", 1)]]);
        let plan: Arc<dyn ExecutionPlan> = Arc::new(CrossJoinExec::new(build, probe));
        assert_eq!(held(&plan), [[("b:1", 1)], [("c:1", 1)]]);
        assert_eq!(main_holder(&in_all(&plan)), Some("a:1"));
    }

    #[test]
    fn of_equals_the_first_is_the_main_holder() {
        assert_eq!(
            main_holder(&Bytes::from([("b:1", 2), ("a:1", 2), ("c:1", 1)])),
            Some("a:1")
        );
        assert_eq!(main_holder(&Bytes::new()), None);
    }
}
