//! Writes the rows of one output partition as shards.
//!
//! A table that is partitioned by columns gets the rows of each hash class in shards of their own. The class is found
//! with DataFusion's own partitioner, whatever the plan below has promised: a plan of one output partition satisfies any
//! demand for a distribution.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::repartition::BatchPartitioner;
use millpond_proto::plan::ShardSink;

use super::level::StorageLevel;
use super::shard::Shard;
use super::store::ShardStore;
use super::writer::Writer;

/// Rows of a shard at which the next one begins, so that a large output partition is read by several tasks.
const SHARD_ROWS: usize = 1 << 20;

/// A shard and the hash class of its rows.
pub(super) type Part = (Option<u32>, Arc<Shard>);

/// Columns of a table by which its rows are partitioned, as expressions over them.
pub fn key_of(places: &[u32], schema: &SchemaRef) -> Vec<Arc<dyn PhysicalExpr>> {
    let column = |place: &u32| {
        let field = schema.fields().get(*place as usize)?;
        Some(Arc::new(Column::new(field.name(), *place as usize)) as Arc<dyn PhysicalExpr>)
    };
    places.iter().filter_map(column).collect()
}

/// See the module.
pub(super) struct Parts<'a> {
    store: &'a ShardStore,
    sink: &'a ShardSink,
    schema: &'a SchemaRef,
    level: StorageLevel,
    classes: Option<BatchPartitioner>,
    /// By hash class; only the first is used without classes.
    writers: Vec<Option<Writer<'a>>>,
    finished: Vec<Part>,
}

impl<'a> Parts<'a> {
    /// Nothing is written yet.
    ///
    /// # Errors
    /// A storage level of another version.
    pub(super) fn new(store: &'a ShardStore, sink: &'a ShardSink, schema: &'a SchemaRef) -> Result<Self> {
        let buckets = sink.buckets.max(1) as usize;
        let key = key_of(&sink.partition_by, schema);
        let classes = match key.is_empty() {
            true => None,
            false => Some(BatchPartitioner::new_hash_partitioner(key, buckets, Time::new())?),
        };
        Ok(Self {
            store,
            sink,
            schema,
            level: sink.storage_level.parse()?,
            classes,
            writers: std::iter::repeat_with(|| None).take(buckets).collect(),
            finished: Vec::new(),
        })
    }

    /// Adds rows of the table.
    ///
    /// # Errors
    /// As for [`Writer::push`].
    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let Some(mut classes) = self.classes.take() else {
            return self.push_to(0, batch);
        };
        let pushed = classes.partition(batch, |class, rows| self.push_to(class, rows));
        self.classes = Some(classes);
        pushed
    }

    fn push_to(&mut self, class: usize, rows: RecordBatch) -> Result<()> {
        let start = || {
            let writer = self
                .store
                .start(&self.sink.table, &self.sink.write, self.schema.clone());
            writer.with_level(self.level)
        };
        let writer = self.writers[class].get_or_insert_with(start);
        writer.push(rows)?;
        if writer.rows() >= SHARD_ROWS {
            self.finish_one(class)?;
        }
        Ok(())
    }

    fn finish_one(&mut self, class: usize) -> Result<()> {
        let shard = match self.writers[class].take() {
            Some(writer) => writer.finish()?,
            None => None,
        };
        let bucket = self.classes_are_kept().then_some(class as u32);
        self.finished.extend(shard.map(|shard| (bucket, shard)));
        Ok(())
    }

    fn classes_are_kept(&self) -> bool {
        !self.sink.partition_by.is_empty()
    }

    /// Puts the last shards into the store, and gives all of them.
    ///
    /// # Errors
    /// As for [`Writer::finish`].
    pub(super) fn finish(mut self) -> Result<Vec<Part>> {
        for class in 0..self.writers.len() {
            self.finish_one(class)?;
        }
        Ok(self.finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    use datafusion::arrow::array::{AsArray, Int64Array};
    use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::execution::memory_pool::UnboundedMemoryPool;

    fn written(partition_by: Vec<u32>, buckets: u32) -> Vec<(Option<u32>, Vec<i64>)> {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let store = ShardStore::new(Arc::new(UnboundedMemoryPool::default()), usize::MAX);
        let sink = ShardSink {
            partition_by,
            buckets,
            ..Default::default()
        };
        let mut parts = Parts::new(&store, &sink, &schema).unwrap();
        for start in [0, 500] {
            let numbers = Int64Array::from_iter_values(start..start + 500);
            parts
                .push(RecordBatch::try_new(schema.clone(), vec![Arc::new(numbers)]).unwrap())
                .unwrap();
        }
        let parts = parts.finish().unwrap();
        let rows = |shard: &Arc<Shard>| {
            let batches = shard.decoded().map(|batch| batch.unwrap());
            let values = batches.map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
            values.flatten().collect()
        };
        parts
            .iter()
            .map(|(bucket, shard)| (*bucket, rows(shard)))
            .collect()
    }

    #[test]
    fn every_row_is_in_the_one_shard_of_its_class() {
        let parts = written(vec![0], 4);
        let buckets: HashSet<_> = parts.iter().map(|(bucket, _)| bucket.unwrap()).collect();
        assert_eq!((parts.len(), buckets.len()), (4, 4));
        let rows: HashSet<i64> = parts.iter().flat_map(|(_, rows)| rows.clone()).collect();
        assert_eq!(rows.len(), 1000);
        assert_eq!(
            written(vec![0], 4),
            parts,
            "the class of a row is always the same"
        );
    }

    #[test]
    fn without_columns_there_is_one_shard() {
        let parts = written(vec![], 0);
        assert_eq!(parts, [(None, (0..1000).collect())]);
    }
}
