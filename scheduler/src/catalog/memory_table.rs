//! A table in memory as a statement sees it: one version, a list of shards.
//!
//! A scan has one file for each shard that may have a row it wants, judged by the statistics that were taken when the
//! shard was written. It puts shards of one executor together, so that a task finds all of its input in the process
//! it runs in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use super::table_options::{TableOptions, hash_probe};
use crate::shards::holders;
use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::decode_schema;
use millpond_engine::shards::{Place, Places, ShardId, ShardSource, first_row, key_of, numbered, statistics};
use millpond_proto::catalog::{MemoryTable as Stored, TableShard};

/// Rows of a shard that a task of its own is worth.
const PART_ROWS_MIN: u64 = 65_536;

/// A table in memory at one version.
pub(crate) struct MemoryTable {
    name: String,
    schema: SchemaRef,
    shards: Vec<TableShard>,
    /// Of each shard as it is stored, with its deleted rows.
    statistics: Vec<Arc<Statistics>>,
    /// Of each shard: who of its holders is there, or all of them if nobody is.
    holders: Vec<Vec<String>>,
    /// Shards without a holder that is there.
    lost: Vec<TableShard>,
    /// All rows can be computed again.
    can_rebuild: bool,
    /// How the rows are distributed by hash, if they are.
    classes: Option<Partitioning>,
    /// The last column is the number of a row.
    is_numbered: bool,
}

impl fmt::Debug for MemoryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTable")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

impl MemoryTable {
    /// Opens a version of the table `name`; `present` are the data addresses of the executors there are.
    ///
    /// # Errors
    /// A schema that cannot be read. A loss of shards shows when the table is scanned, so that it can still be
    /// described, replaced and dropped.
    pub(crate) fn open(
        name: &str,
        stored: &Stored,
        present: &HashSet<String>,
        can_rebuild: bool,
    ) -> Result<Self, Error> {
        let is_there = |holder: &&String| present.contains(*holder);
        let lost = stored
            .shards
            .iter()
            .filter(|shard| !holders(shard).any(|holder| is_there(&holder)));
        let schema = decode_schema(&stored.arrow_schema).map_err(Error::from_datafusion)?;
        Ok(Self {
            classes: classes_of(stored, &schema),
            name: name.to_string(),
            statistics: stored
                .shards
                .iter()
                .map(|shard| Arc::new(statistics_of(shard, &schema)))
                .collect(),
            schema,
            holders: stored
                .shards
                .iter()
                .map(|shard| holders(shard).filter(is_there).cloned().collect())
                .collect(),
            lost: lost.cloned().collect(),
            shards: stored.shards.clone(),
            can_rebuild,
            is_numbered: false,
        })
    }

    /// The same with the number of each row behind its columns.
    pub(crate) fn numbered(mut self) -> Self {
        for statistics in &mut self.statistics {
            let columns = &mut Arc::make_mut(statistics).column_statistics;
            columns.push(ColumnStatistics::new_unknown());
        }
        self.schema = numbered(&self.schema);
        self.is_numbered = true;
        self
    }

    /// # Errors
    /// [`Code::SHARD_MOVED`] if a part of the table was with an executor that is gone, but comes back, else
    /// [`Code::TABLE_LOST`].
    pub(super) fn check_whole(&self) -> Result<(), Error> {
        let Some(first) = self.lost.first() else {
            return Ok(());
        };
        let rows: u64 = self.lost.iter().map(TableShard::live_rows).sum();
        let comes_back = self.can_rebuild || self.lost.iter().all(|shard| !shard.snapshot.is_empty());
        let (code, hint) = if comes_back {
            (
                Code::SHARD_MOVED,
                "it is being restored; run the statement again in a moment",
            )
        } else {
            (
                Code::TABLE_LOST,
                "make the table again: CREATE OR REPLACE TABLE ... AS SELECT ..., or DROP it",
            )
        };
        let message = format!(
            "table {} has lost {} of its {} shards ({rows} rows) with the executor at {}",
            self.name,
            self.lost.len(),
            self.shards.len(),
            first.holder,
        );
        Err(Error::new(code, message).with_hint(hint))
    }

    /// The shards that may have a row for which all filters are true.
    fn wanted(&self, session: &dyn Session, filters: &[Expr]) -> Vec<usize> {
        let all = 0..self.shards.len();
        let may_match = || {
            let filter = conjunction(filters.iter().cloned())?;
            let columns = DFSchema::try_from(self.schema.as_ref().clone()).ok()?;
            let filter = session.create_physical_expr(filter, &columns).ok()?;
            let predicate = PruningPredicateBuilder::new()
                .with_file_schema(self.schema.clone())
                .try_build(filter)
                .ok()?;
            let statistics = PrunableStatistics::new(self.statistics.clone(), self.schema.clone());
            predicate.prune(&statistics).ok()
        };
        // A filter that statistics say nothing about is no reason to fail: everything is read.
        match may_match() {
            Some(keep) => all.filter(|index| keep[*index]).collect(),
            None => all.collect(),
        }
    }

    /// For each of some shards who is to be asked for it, best first: of several holders the one that has least to
    /// read so far.
    fn readers(&self, shards: &[usize]) -> Vec<Vec<String>> {
        let mut rows: HashMap<&str, u64> = HashMap::new();
        shards
            .iter()
            .map(|index| {
                let mut holders: Vec<&String> = self.holders[*index].iter().collect();
                holders.sort_by_key(|holder| rows.get(holder.as_str()).copied().unwrap_or(0));
                if let Some(first) = holders.first() {
                    *rows.entry(first.as_str()).or_default() += self.shards[*index].rows;
                }
                holders.into_iter().cloned().collect()
            })
            .collect()
    }

    fn places(&self, shards: &[usize], readers: Vec<Vec<String>>) -> Result<Places> {
        let named = shards.iter().zip(readers).map(|(index, readers)| {
            let shard = &self.shards[*index];
            let place = Place {
                holders: readers,
                deleted: shard.deleted.clone(),
                first_row: if self.is_numbered { first_row(*index) } else { 0 },
            };
            Ok((shard.shard.parse()?, place))
        });
        Ok(Arc::new(named.collect::<Result<_>>()?))
    }

    /// Shards as files, one group for each of `count` hash classes.
    fn groups_by_class(&self, shards: &[usize], count: usize) -> Result<Vec<FileGroup>> {
        let mut files: Vec<Vec<PartitionedFile>> = vec![Vec::new(); count];
        for shard in shards.iter().map(|index| &self.shards[*index]) {
            let class = shard.bucket.and_then(|bucket| files.get_mut(bucket as usize));
            class.map_or(Ok(()), |class| {
                Part::whole(shard).file().map(|file| class.push(file))
            })?;
        }
        Ok(files.into_iter().map(FileGroup::new).collect())
    }

    /// Shards as files, in about `wanted` groups, each of one executor.
    fn groups(&self, shards: &[usize], readers: &[Vec<String>], wanted: usize) -> Result<Vec<FileGroup>> {
        let mut by_holder: BTreeMap<&str, Vec<Part<'_>>> = BTreeMap::new();
        for (index, readers) in shards.iter().zip(readers) {
            let holder = readers.first().map_or("", String::as_str);
            let part = Part::whole(&self.shards[*index]);
            by_holder.entry(holder).or_default().push(part);
        }
        let each = (wanted / by_holder.len().max(1)).max(1);
        let mut groups = Vec::new();
        for mut parts in by_holder.into_values() {
            split(&mut parts, each);
            // The largest first, each to the group that has least: groups of about one size.
            parts.sort_by_key(|part| std::cmp::Reverse(part.rows()));
            let mut filled: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); each.min(parts.len())];
            for part in parts {
                if let Some(least) = filled.iter_mut().min_by_key(|group| group.0) {
                    least.0 += part.rows();
                    least.1.push(part.file()?);
                }
            }
            groups.extend(filled.into_iter().map(|(_, files)| FileGroup::new(files)));
        }
        if groups.is_empty() {
            // An empty table is one output partition without rows.
            groups.push(FileGroup::new(Vec::new()));
        }
        Ok(groups)
    }
}

/// How the rows of a table are distributed, if every shard is of one class and classes are found today as they were
/// when the table was written.
fn classes_of(stored: &Stored, schema: &SchemaRef) -> Option<Partitioning> {
    static PROBE: LazyLock<String> = LazyLock::new(hash_probe);
    let options = TableOptions::of(&stored.settings);
    let buckets = options.buckets();
    let places = TableOptions::places(&options.partition_by, schema).ok()?;
    let in_classes = |shard: &TableShard| shard.bucket.is_some_and(|bucket| bucket < buckets);
    let known = buckets > 0 && options.hash_probe == *PROBE && stored.shards.iter().all(in_classes);
    known.then(|| Partitioning::Hash(key_of(&places, schema), buckets as usize))
}

/// Rows of a shard that one task reads.
struct Part<'a> {
    shard: &'a TableShard,
    range: Range<u64>,
}

impl<'a> Part<'a> {
    fn whole(shard: &'a TableShard) -> Self {
        Self {
            shard,
            range: 0..shard.rows,
        }
    }

    fn rows(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn file(&self) -> Result<PartitionedFile> {
        let share = self.rows() as f64 / self.shard.rows.max(1) as f64;
        let bytes = (self.shard.bytes as f64 * share) as u64;
        let shard = self.shard.shard.parse::<ShardId>()?;
        Ok(ShardSource::file_of(shard, self.range.clone(), bytes))
    }
}

/// Halves the largest parts until there are `wanted`, or none is worth it.
fn split(parts: &mut Vec<Part<'_>>, wanted: usize) {
    while parts.len() < wanted
        && let Some(largest) = parts.iter_mut().max_by_key(|part| part.rows())
        && largest.rows() >= 2 * PART_ROWS_MIN
    {
        let middle = largest.range.start + largest.rows() / 2;
        let upper = Part {
            shard: largest.shard,
            range: middle..largest.range.end,
        };
        largest.range.end = middle;
        parts.push(upper);
    }
}

/// What the catalog knows of a shard; of one that was written before there were statistics, its number of rows.
fn statistics_of(shard: &TableShard, schema: &SchemaRef) -> Statistics {
    let stored = statistics::decode(&shard.statistics).ok();
    stored
        .filter(|stored| stored.column_statistics.len() == schema.fields().len())
        .unwrap_or_else(|| Statistics {
            num_rows: Precision::Exact(to_usize(shard.rows)),
            total_byte_size: Precision::Inexact(to_usize(shard.bytes)),
            ..Statistics::new_unknown(schema)
        })
}

/// What is known of a shard without its deleted rows: their number, and bounds that may be too wide.
fn without_deleted(shard: &TableShard, stored: &Arc<Statistics>) -> Arc<Statistics> {
    if shard.deleted_rows == 0 {
        return stored.clone();
    }
    let mut left = stored.as_ref().clone().to_inexact();
    left.num_rows = Precision::Exact(to_usize(shard.live_rows()));
    Arc::new(left)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[async_trait]
impl TableProvider for MemoryTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters choose shards here and rows in the scan, into which the physical optimizer pushes them once more.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.check_whole()?;
        let partitions = session.config_options().execution.target_partitions;
        let wanted = self.wanted(session, filters);
        let readers = self.readers(&wanted);
        let groups = match &self.classes {
            Some(classes) => self.groups_by_class(&wanted, classes.partition_count())?,
            None => self.groups(&wanted, &readers, partitions)?,
        };
        let source = ShardSource::new(self.schema.clone(), self.places(&wanted, readers)?, None);
        let without_deleted = |index: &usize| without_deleted(&self.shards[*index], &self.statistics[*index]);
        let statistics: Vec<Arc<Statistics>> = wanted.iter().map(without_deleted).collect();
        let statistics = statistics::merge(&self.schema, statistics.iter().map(Arc::as_ref))?;
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_output_partitioning(self.classes.clone())
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::ColumnStatistics;
    use datafusion::physical_plan::ExecutionPlanProperties;
    use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
    use datafusion::prelude::{SessionContext, col, lit};
    use millpond_engine::schema::encode_schema;

    fn stored(rows: &[(&str, u64)]) -> Stored {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        Stored {
            arrow_schema: encode_schema(&schema).unwrap(),
            shards: rows
                .iter()
                .map(|(holder, rows)| TableShard {
                    shard: ShardId::random().to_string(),
                    holder: holder.to_string(),
                    rows: *rows,
                    bytes: rows * 8,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }

    fn present(holders: &[&str]) -> HashSet<String> {
        holders.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn groups_hold_every_shard_once_and_never_mix_executors() {
        for wanted in [1, 2, 4, 16] {
            let stored = stored(&[("a:1", 10), ("b:1", 500), ("a:1", 30), ("a:1", 20), ("b:1", 1)]);
            let table = MemoryTable::open("t", &stored, &present(&["a:1", "b:1"]), false).unwrap();
            let shards = [0, 1, 2, 3, 4];
            let readers = table.readers(&shards);
            let groups = table.groups(&shards, &readers, wanted).unwrap();
            let source = ShardSource::new(
                table.schema.clone(),
                table.places(&shards, readers).unwrap(),
                None,
            );
            let mut files = 0;
            for group in &groups {
                let holders: HashSet<_> = group.files().iter().map(|file| source.holder_of(file)).collect();
                assert_eq!(holders.len(), 1);
                files += group.len();
            }
            assert_eq!(files, 5);
            assert!(groups.len() <= wanted.max(2), "{} for {wanted}", groups.len());
        }
    }

    #[test]
    fn a_large_shard_is_read_by_several_tasks() {
        let stored = stored(&[("a:1", 1_000_000), ("a:1", 10)]);
        let table = MemoryTable::open("t", &stored, &present(&["a:1"]), false).unwrap();
        let groups = table.groups(&[0, 1], &table.readers(&[0, 1]), 4).unwrap();
        assert_eq!(groups.len(), 4);
        let rows: i64 = groups
            .iter()
            .flat_map(|group| group.files())
            .map(|file| file.range.as_ref().map_or(0, |range| range.end - range.start))
            .sum();
        assert_eq!(rows, 1_000_010);
    }

    #[tokio::test]
    async fn an_empty_table_is_one_partition_with_an_exact_count() {
        let table = MemoryTable::open("t", &stored(&[]), &present(&[]), false).unwrap();
        let context = SessionContext::new();
        let scan = table.scan(&context.state(), None, &[], None).await.unwrap();
        assert_eq!(scan.output_partitioning().partition_count(), 1);
        let statistics = StatisticsContext::new()
            .compute(scan.as_ref(), &StatisticsArgs::new())
            .unwrap();
        assert_eq!(statistics.num_rows, Precision::Exact(0));
    }

    /// A shard of 10 rows whose values begin with this one.
    fn bounded(shard: &mut TableShard, least: i64) {
        let column = ColumnStatistics {
            min_value: Precision::Exact(least.into()),
            max_value: Precision::Exact((least + 9).into()),
            ..ColumnStatistics::new_unknown()
        };
        shard.statistics = statistics::encode(&Statistics {
            num_rows: Precision::Exact(10),
            total_byte_size: Precision::Absent,
            column_statistics: vec![column],
        });
    }

    #[tokio::test]
    async fn deleted_rows_are_not_counted_and_bounds_are_not_answers_any_more() {
        let mut stored = stored(&[("a:1", 10), ("a:1", 10)]);
        for (shard, least) in stored.shards.iter_mut().zip([0, 100]) {
            bounded(shard, least);
        }
        stored.shards[0].deleted_rows = 3;
        let table = MemoryTable::open("t", &stored, &present(&["a:1"]), false).unwrap();
        let state = SessionContext::new().state();
        assert_eq!(table.wanted(&state, &[col("n").gt(lit(50i64))]), [1]);
        let scan = table.scan(&state, None, &[], None).await.unwrap();
        let statistics = StatisticsContext::new()
            .compute(scan.as_ref(), &StatisticsArgs::new())
            .unwrap();
        assert_eq!(statistics.num_rows, Precision::Exact(17));
        let bounds = &statistics.column_statistics[0];
        assert_eq!(bounds.min_value, Precision::Inexact(0i64.into()));
        assert_eq!(bounds.max_value, Precision::Inexact(109i64.into()));
    }

    #[tokio::test]
    async fn shards_without_a_match_are_not_scanned() {
        let mut stored = stored(&[("a:1", 10), ("a:1", 10), ("a:1", 10)]);
        for (shard, least) in stored.shards.iter_mut().zip([0i64, 100, 200]) {
            bounded(shard, least);
        }
        let table = MemoryTable::open("t", &stored, &present(&["a:1"]), false).unwrap();
        let state = SessionContext::new().state();
        assert_eq!(table.wanted(&state, &[col("n").gt(lit(150i64))]), [2]);
        assert_eq!(table.wanted(&state, &[col("n").eq(lit(105i64))]), [1]);
        assert_eq!(table.wanted(&state, &[col("n").is_not_null()]), [0, 1, 2]);
        assert_eq!(table.wanted(&state, &[]), [0, 1, 2]);
        assert!(table.wanted(&state, &[col("n").eq(lit(50i64))]).is_empty());
    }

    #[test]
    fn a_table_that_has_lost_a_shard_says_so() {
        let mut stored = stored(&[("a:1", 10), ("b:1", 500)]);
        let told = |stored: &Stored, can_rebuild| {
            let table = MemoryTable::open("t", stored, &present(&["a:1"]), can_rebuild).unwrap();
            table.check_whole().unwrap_err()
        };
        let error = told(&stored, false);
        assert_eq!(error.code, Code::TABLE_LOST);
        let text = error.user_text();
        assert!(
            text.contains("table t") && text.contains("b:1") && text.contains("500 rows"),
            "{text}"
        );
        assert_eq!(told(&stored, true).code, Code::SHARD_MOVED);
        stored.shards[1].snapshot = "w/s".to_string();
        assert_eq!(told(&stored, false).code, Code::SHARD_MOVED);
    }

    #[test]
    fn of_two_holders_the_one_with_less_to_read_is_asked() {
        let mut stored = stored(&[("a:1", 10), ("a:1", 10), ("a:1", 10)]);
        for shard in &mut stored.shards[1..] {
            shard.replicas = vec!["b:1".to_string()];
        }
        let readers = |present: &HashSet<String>| {
            let table = MemoryTable::open("t", &stored, present, false).unwrap();
            table.check_whole().unwrap();
            let readers = table.readers(&[0, 1, 2]);
            readers
                .into_iter()
                .map(|readers| readers[0].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(readers(&present(&["a:1", "b:1"])), ["a:1", "b:1", "a:1"]);
        assert_eq!(readers(&present(&["a:1"])), ["a:1", "a:1", "a:1"]);
    }
}
