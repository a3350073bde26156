//! Reading a shard where it is: batches that cannot match are passed over, rows that do not match are left out.
//!
//! A batch is read in pieces. Of each the columns of the predicate are tested, and then the rest of those rows that pass
//! is unpacked; what nobody asks for stays packed. A predicate that operators fill meanwhile, as joins do, is tested as
//! it is when a piece is read.
//!
//! The same [`ShardRead`] serves a scan in the process that holds the shard and, sent as a ticket, a scan elsewhere:
//! projection, predicate and limit are applied before rows travel, and rows travel packed.

use std::ops::Range;
use std::sync::Arc;
use std::vec;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{FilterBuilder, FilterPredicate};
use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::{CaseExpr, InListExpr};
use datafusion::physical_expr::{conjunction, split_conjunction};
use datafusion::physical_expr_common::physical_expr::{snapshot_generation, snapshot_physical_expr};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::metrics::Count;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use datafusion_proto::physical_plan::from_proto::parse_physical_expr;
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr;
use datafusion_proto::protobuf::PhysicalExprNode;
use millpond_proto::Message;
use millpond_proto::plan::ShardTicket;

use super::deleted::Deleted;
use super::numbered::numbered;
use super::packed::{Column, dictionary_of};
use super::passing::{Passing, Test};
use super::shard::{Shard, ShardId, batch_of};

/// Rows that a scan passes on at once; stored batches are larger.
const BATCH_ROWS: usize = 8_192;

/// Longest list of values that DataFusion compares with bounds of batches.
const PRUNING_LIST_MAX: usize = 20;
/// Generation of a predicate that nobody fills.
const NEVER_CHANGES: u64 = 0;

/// Metadata of rows that were sent: how many rows their shard has. Shards of live tables do not say it, for they are of
/// one statement each.
const SHARD_ROWS: &str = "shard_rows";
/// Metadata of rows that were sent: the stored batch that they are of. A large one is sent in several.
const BATCH: &str = "batch";

/// What is wanted of a shard.
#[derive(Debug, Clone)]
pub struct ShardRead {
    /// Rows to look at, by their place in the shard.
    pub range: Range<usize>,
    /// Columns of the result, by their place in the table.
    pub columns: Vec<usize>,
    /// Rows wanted, as a predicate over the table's columns.
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
    /// Most rows wanted.
    pub limit: Option<usize>,
    /// Rows that are passed over.
    pub deleted: Deleted,
}

impl ShardRead {
    /// The rows of a shard, unpacked while they are read. `pruned` counts batches that were passed over.
    pub fn rows(
        &self,
        shard: Arc<Shard>,
        pruned: &Count,
    ) -> impl Iterator<Item = Result<RecordBatch>> + Send + use<> {
        self.rows_with_dictionaries(shard, pruned, &[])
    }

    /// As [`ShardRead::rows`], where columns of these places in the table come as dictionaries.
    pub(super) fn rows_with_dictionaries(
        &self,
        shard: Arc<Shard>,
        pruned: &Count,
        dictionaries: &[usize],
    ) -> impl Iterator<Item = Result<RecordBatch>> + Send + use<> {
        or_error(self.begin(shard, pruned, dictionaries))
    }

    /// The same rows as they are stored, to be sent: a batch for each stored one of which rows pass. `unpacked` reads them.
    pub fn packed_rows(
        &self,
        shard: Arc<Shard>,
        pruned: &Count,
    ) -> impl Iterator<Item = Result<RecordBatch>> + Send + use<> {
        or_error(self.begin(shard, pruned, &[]).map(PackedRows))
    }

    fn begin(&self, shard: Arc<Shard>, pruned: &Count, dictionaries: &[usize]) -> Result<Rows> {
        let parts = self.parts(&shard);
        let is_dictionary = |column| dictionaries.contains(column);
        let dictionaries = self.columns.iter().map(is_dictionary).collect();
        Rows::new(self, shard, parts, dictionaries, pruned.clone())
    }

    /// The rows to read: pieces of batches within the range.
    fn parts(&self, shard: &Shard) -> Vec<Part> {
        let (mut parts, mut first) = (Vec::new(), 0);
        for (batch, rows) in shard.about().batches.iter().enumerate() {
            let start = self.range.start.max(first) - first;
            let end = self.range.end.min(first + rows).saturating_sub(first);
            first += rows;
            let pieces = (start..end).step_by(BATCH_ROWS);
            parts.extend(pieces.map(|piece| (batch, piece..end.min(piece + BATCH_ROWS))));
        }
        parts
    }

    /// The read as a request to the executor that holds the shard.
    ///
    /// # Errors
    /// A predicate that cannot be sent.
    pub fn ticket(&self, shard: ShardId, codec: &dyn PhysicalExtensionCodec) -> Result<ShardTicket> {
        let predicate = match &self.predicate {
            Some(predicate) => {
                serialize_physical_expr(&snapshot_physical_expr(predicate.clone())?, codec)?.encode_to_vec()
            }
            None => Vec::new(),
        };
        Ok(ShardTicket {
            shard: shard.to_string(),
            columns: self
                .columns
                .iter()
                .map(|column| u32::try_from(*column).unwrap_or(u32::MAX))
                .collect(),
            predicate,
            limit: self.limit.map(|limit| limit as u64),
            start: self.range.start as u64,
            end: u64::try_from(self.range.end).ok(),
            deleted: self.deleted.to_bytes(),
        })
    }

    /// Reads a request for a shard of these columns.
    ///
    /// # Errors
    /// A request of another version.
    pub fn of_ticket(
        ticket: &ShardTicket,
        schema: &SchemaRef,
        context: &TaskContext,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<Self> {
        let predicate = if ticket.predicate.is_empty() {
            None
        } else {
            let node = PhysicalExprNode::decode(ticket.predicate.as_slice())
                .map_err(|error| internal_datafusion_err!("a predicate of another version: {error}"))?;
            Some(parse_physical_expr(&node, context, schema, codec)?)
        };
        let to_usize = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(Self {
            range: to_usize(ticket.start)..ticket.end.map_or(usize::MAX, to_usize),
            columns: ticket.columns.iter().map(|column| *column as usize).collect(),
            predicate,
            limit: ticket.limit.map(to_usize),
            deleted: Deleted::from_bytes(&ticket.deleted)?,
        })
    }
}

/// Rows, or why there are none.
fn or_error<R>(rows: Result<R>) -> impl Iterator<Item = Result<RecordBatch>> + use<R>
where
    R: Iterator<Item = Result<RecordBatch>>,
{
    let (rows, failed) = match rows {
        Ok(rows) => (Some(rows), None),
        Err(error) => (None, Some(Err(error))),
    };
    failed.into_iter().chain(rows.into_iter().flatten())
}

/// A batch, and some of its rows.
type Part = (usize, Range<usize>);

/// The rows of a shard on their way out.
struct Rows {
    shard: Arc<Shard>,
    schema: SchemaRef,
    /// Columns of the result, by their place in the table.
    columns: Vec<usize>,
    /// For each of them: whether it comes as a dictionary.
    dictionaries: Vec<bool>,
    deleted: Deleted,
    predicate: Predicate,
    test: Test,
    parts: vec::IntoIter<Part>,
    /// Rows that are still wanted.
    left: usize,
    /// The batch that is read, with the columns of the result and then those of the test.
    batch: Option<(usize, Vec<Column>)>,
    /// Counts batches that are passed over.
    pruned: Count,
}

impl Rows {
    fn new(
        read: &ShardRead,
        shard: Arc<Shard>,
        parts: Vec<Part>,
        dictionaries: Vec<bool>,
        pruned: Count,
    ) -> Result<Self> {
        let rows: usize = parts.iter().map(|(_, rows)| rows.len()).sum();
        let is_of_table = |column: &usize| *column < shard.schema().fields().len();
        let schema = match read.columns.iter().all(is_of_table) {
            true => shard.schema().project(&read.columns)?,
            false => numbered(shard.schema()).project(&read.columns)?,
        };
        Ok(Self {
            schema: with_dictionaries(&Arc::new(schema), &dictionaries),
            deleted: read.deleted.clone(),
            dictionaries,
            predicate: Predicate::new(read.predicate.clone()),
            // To ask about values takes less than half as long as to ask about rows.
            test: Test::nothing(rows / 2),
            columns: read.columns.clone(),
            parts: parts.into_iter(),
            left: read.limit.unwrap_or(usize::MAX),
            batch: None,
            pruned,
            shard,
        })
    }

    /// The next rows to read, by the predicate as it is now.
    fn next_part(&mut self) -> Result<Option<Part>> {
        let Some((next, _)) = self.parts.as_slice().first() else {
            return Ok(None);
        };
        let is_begun = self.batch.as_ref().is_some_and(|(batch, _)| batch == next);
        if let Some(predicate) = self.predicate.changed()? {
            self.test = Test::new(predicate, self.shard.about(), self.test.budget)?;
            self.batch = None;
        }
        if !is_begun && let Some(predicate) = self.predicate.take_for_pruning() {
            self.prune(&predicate);
        }
        Ok(self.parts.next())
    }

    /// Passes over batches of which no row can match.
    fn prune(&mut self, predicate: &Arc<dyn PhysicalExpr>) {
        let Some(keep) = batches_to_read(predicate, &self.shard) else {
            return;
        };
        let (kept, pruned): (Vec<Part>, Vec<Part>) = self.parts.by_ref().partition(|(batch, _)| keep[*batch]);
        self.pruned
            .add(pruned.chunk_by(|one, next| one.0 == next.0).count());
        self.parts = kept.into_iter();
    }

    /// What `take` makes of each column, and how many rows of a part pass; none is `None`. It is given the column, its
    /// values if they were unpacked to be tested, and the rows that pass if not all do.
    fn part<T>(
        &mut self,
        batch: usize,
        rows: &Range<usize>,
        take: impl Fn(&Column, Option<&ArrayRef>, Option<&FilterPredicate>) -> Result<T>,
    ) -> Result<Option<(Vec<T>, usize)>> {
        let columns: Vec<Column> = self
            .batch(batch)?
            .iter()
            .map(|column| column.slice(rows))
            .collect();
        let (wanted, tested) = columns.split_at(self.columns.len());
        let alive = self.alive(batch, rows);
        if alive.is_none() && self.test.is_nothing() {
            let taken = wanted.iter().map(|column| take(column, None, None));
            return Ok(Some((taken.collect::<Result<_>>()?, rows.len())));
        }
        let Passing {
            rows: passed,
            unpacked,
        } = self.test.passing(tested, rows.len(), alive)?;
        let count = passed.true_count();
        if count == 0 {
            return Ok(None);
        }
        let is_filtered = count < rows.len() && !wanted.is_empty();
        let passed = is_filtered.then(|| FilterBuilder::new(&passed).optimize().build());
        let passed = passed.as_ref();
        let taken = self
            .columns
            .iter()
            .zip(wanted)
            .enumerate()
            .map(|(number, (place, column))| {
                let tested = self.test.columns.iter().position(|tested| tested == place);
                let values = tested.filter(|_| !self.dictionaries[number]);
                let values = values.and_then(|tested| unpacked[tested].as_ref());
                take(column, values, passed)
            });
        Ok(Some((taken.collect::<Result<_>>()?, count)))
    }

    /// Which of some rows of a batch are there; `None`: all of them.
    fn alive(&self, batch: usize, rows: &Range<usize>) -> Option<BooleanArray> {
        if self.deleted.is_empty() {
            return self.shard.alive(batch, rows);
        }
        let first = self.shard.first_row(batch);
        self.deleted.alive(first + rows.start..first + rows.end)
    }

    /// All columns that are needed of a batch.
    fn batch(&mut self, batch: usize) -> Result<&[Column]> {
        let columns = match self.batch.take() {
            Some((known, columns)) if known == batch => columns,
            _ => {
                let needed: Vec<usize> = self.columns.iter().chain(&self.test.columns).copied().collect();
                let mut columns = self.shard.columns(batch, &needed)?;
                for (column, is_dictionary) in columns.iter_mut().zip(&self.dictionaries) {
                    if *is_dictionary {
                        *column = column.to_dictionary()?;
                    }
                }
                columns
            }
        };
        Ok(&self.batch.insert((batch, columns)).1)
    }
}

/// The schema with some of its columns as dictionaries.
pub(super) fn with_dictionaries(schema: &SchemaRef, dictionaries: &[bool]) -> SchemaRef {
    if !dictionaries.contains(&true) {
        return schema.clone();
    }
    let fields = schema
        .fields()
        .iter()
        .zip(dictionaries)
        .map(|(field, is_dictionary)| match is_dictionary {
            true => Arc::new(Field::clone(field).with_data_type(dictionary_of(field.data_type()))),
            false => field.clone(),
        });
    Arc::new(Schema::new_with_metadata(
        fields.collect::<Vec<_>>(),
        schema.metadata().clone(),
    ))
}

/// The predicate of a read. Operators above may fill it while rows are read.
struct Predicate {
    filled: Option<Arc<dyn PhysicalExpr>>,
    generation: Option<u64>,
    now: Option<Arc<dyn PhysicalExpr>>,
    has_pruned: bool,
}

impl Predicate {
    fn new(filled: Option<Arc<dyn PhysicalExpr>>) -> Self {
        Self {
            filled,
            generation: None,
            now: None,
            has_pruned: false,
        }
    }

    /// What it is now, if that is not what it was at the last call.
    fn changed(&mut self) -> Result<Option<&Arc<dyn PhysicalExpr>>> {
        let filled = self.filled.as_ref();
        let Some(filled) = filled.filter(|_| self.generation != Some(NEVER_CHANGES)) else {
            return Ok(None);
        };
        let generation = snapshot_generation(filled);
        if self.generation.replace(generation) == Some(generation) {
            return Ok(None);
        }
        self.has_pruned = false;
        let now = snapshot_physical_expr(filled.clone())?;
        Ok(Some(self.now.insert(now)))
    }

    /// The same, once after each change.
    fn take_for_pruning(&mut self) -> Option<Arc<dyn PhysicalExpr>> {
        let is_new = !std::mem::replace(&mut self.has_pruned, true);
        self.now.clone().filter(|_| is_new)
    }
}

/// For each batch of a shard: whether a row of it may match. `None` if nothing is known, which is no reason to fail.
fn batches_to_read(predicate: &Arc<dyn PhysicalExpr>, shard: &Shard) -> Option<Vec<bool>> {
    let conjuncts = split_conjunction(predicate);
    let mut comparable = conjuncts
        .into_iter()
        .filter(|conjunct| may_prune(conjunct))
        .peekable();
    comparable.peek()?;
    let predicate = PruningPredicateBuilder::new()
        .with_file_schema(shard.schema().clone())
        .try_build(conjunction(comparable.cloned()))
        .ok()?;
    let statistics = PrunableStatistics::new(shard.statistics().to_vec(), shard.schema().clone());
    predicate.prune(&statistics).ok()
}

/// False for what takes long to look at and is never compared with bounds.
fn may_prune(conjunct: &Arc<dyn PhysicalExpr>) -> bool {
    let list = conjunct.downcast_ref::<InListExpr>();
    list.is_none_or(|list| list.len() <= PRUNING_LIST_MAX) && conjunct.downcast_ref::<CaseExpr>().is_none()
}

/// The values of a column that pass.
fn values(
    column: &Column,
    unpacked: Option<&ArrayRef>,
    passed: Option<&FilterPredicate>,
) -> Result<ArrayRef> {
    match (unpacked, passed) {
        (Some(values), None) => Ok(values.clone()),
        (Some(values), Some(passed)) => Ok(passed.filter(values)?),
        (None, None) => column.unpack(),
        (None, Some(passed)) => column.filter(passed)?.unpack(),
    }
}

/// The same as they are stored.
fn packed(column: &Column, _: Option<&ArrayRef>, passed: Option<&FilterPredicate>) -> Result<Column> {
    passed.map_or_else(|| Ok(column.clone()), |passed| column.filter(passed))
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let read = match self.next_part() {
                Ok(None) => return None,
                Ok(Some((batch, rows))) => self.part(batch, &rows, values),
                Err(error) => Err(error),
            };
            match read {
                Ok(Some((columns, rows))) => {
                    let part = batch_of(self.schema.clone(), columns, rows);
                    let part = part.map(|part| part.slice(0, rows.min(self.left)));
                    self.left -= rows.min(self.left);
                    return Some(part);
                }
                Ok(None) => {}
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Rows that stay packed.
struct PackedRows(Rows);

impl PackedRows {
    /// The rows that pass of the next stored batch that has some.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let rows = &mut self.0;
        let (mut parts, mut count): (Vec<Vec<Column>>, usize) = (Vec::new(), 0);
        let mut number = 0;
        while count < rows.left
            && let Some((batch, range)) = rows.next_part()?
        {
            if let Some((columns, passed)) = rows.part(batch, &range, packed)? {
                parts.push(columns);
                count += passed;
            }
            number = batch;
            let is_last = rows
                .parts
                .as_slice()
                .first()
                .is_none_or(|(next, _)| *next != batch);
            if is_last && count > 0 {
                break;
            }
        }
        if count == 0 {
            return Ok(None);
        }
        let wanted = count.min(rows.left);
        rows.left -= wanted;
        let mut sent = Vec::with_capacity(rows.columns.len());
        for (place, field) in rows.schema.fields().iter().enumerate() {
            let of_column: Vec<&Column> = parts.iter().map(|columns| &columns[place]).collect();
            let column = Column::concat(&of_column)?.slice(&(0..wanted));
            sent.push(column.to_sent(field.name())?);
        }
        let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = sent.into_iter().unzip();
        let is_live = rows.shard.view().is_some();
        let about = [(SHARD_ROWS, rows.shard.rows()), (BATCH, number)];
        let about = about.map(|(name, number)| (name.to_owned(), number.to_string()));
        let about = about.into_iter().filter(|_| !is_live);
        let schema = Schema::new(fields).with_metadata(about.collect());
        batch_of(Arc::new(schema), columns, wanted).map(Some)
    }
}

impl Iterator for PackedRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.next_batch().transpose();
        if matches!(batch, Some(Err(_))) {
            self.0.left = 0;
        }
        batch
    }
}

/// Number of rows of the shard of which these were sent, if another statement may read the same shard.
pub(super) fn rows_of_shard(sent: &RecordBatch) -> Option<usize> {
    sent.schema_ref().metadata().get(SHARD_ROWS)?.parse().ok()
}

/// Rows of a whole shard that were sent, by the stored batches that they are of. `None` if these are not all of them.
pub(super) fn by_batch(sent: &[RecordBatch]) -> Option<Vec<&[RecordBatch]>> {
    let batch = |sent: &RecordBatch| sent.schema_ref().metadata().get(BATCH).cloned();
    let rows: usize = sent.iter().map(RecordBatch::num_rows).sum();
    let is_whole = sent.first().and_then(rows_of_shard) == Some(rows);
    is_whole.then(|| sent.chunk_by(|one, next| batch(one) == batch(next)).collect())
}

/// Rows that were sent packed, as batches of these columns, unpacked while they are asked for.
///
/// # Errors
/// A batch that does not stand for such rows.
pub(super) fn unpacked(
    sent: &RecordBatch,
    schema: &SchemaRef,
    dictionaries: &[bool],
) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
    if sent.num_columns() != schema.fields().len() {
        return internal_err!(
            "{} columns instead of {}",
            sent.num_columns(),
            schema.fields().len()
        );
    }
    let fields = sent.schema();
    let columns = schema.fields().iter().zip(fields.fields()).zip(sent.columns());
    let mut columns: Vec<Column> = columns
        .map(|((column, field), array)| Column::of_sent(column.data_type(), field, array))
        .collect::<Result<_>>()?;
    for (column, is_dictionary) in columns.iter_mut().zip(dictionaries) {
        if *is_dictionary {
            *column = column.to_dictionary()?;
        }
    }
    let (rows, schema) = (sent.num_rows(), with_dictionaries(schema, dictionaries));
    Ok((0..rows).step_by(BATCH_ROWS).map(move |start| {
        let range = start..rows.min(start + BATCH_ROWS);
        let unpacked = columns.iter().map(|column| column.slice(&range).unpack());
        batch_of(schema.clone(), unpacked.collect::<Result<_>>()?, range.len())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::shards::ShardStore;
    use datafusion::arrow::array::{AsArray, Int64Array};
    use datafusion::arrow::compute::concat_batches;
    use datafusion::arrow::datatypes::{DataType, Field, Int64Type, UInt64Type};
    use datafusion::execution::memory_pool::UnboundedMemoryPool;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, binary, col, lit};

    /// Columns `a` = 0..rows and `b` = a % 10, in stored batches of 65,536 rows.
    fn shard(rows: i64) -> Arc<Shard> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, false),
            Field::new("b", DataType::Int64, false),
        ]));
        let store = ShardStore::new(Arc::new(UnboundedMemoryPool::default()), usize::MAX);
        let mut writer = store.start("t", "w", schema.clone());
        let numbers: Vec<i64> = (0..rows).collect();
        for part in numbers.chunks(65_536) {
            let a = Int64Array::from(part.to_vec());
            let b = Int64Array::from_iter_values(part.iter().map(|number| number % 10));
            writer
                .push(RecordBatch::try_new(schema.clone(), vec![Arc::new(a), Arc::new(b)]).unwrap())
                .unwrap();
        }
        writer.finish().unwrap().unwrap()
    }

    fn at_least(schema: &Schema, least: i64) -> Arc<dyn PhysicalExpr> {
        binary(col("a", schema).unwrap(), Operator::GtEq, lit(least), schema).unwrap()
    }

    fn read(shard: &Arc<Shard>, read: &ShardRead) -> (Vec<i64>, usize) {
        let pruned = Count::new();
        let rows = read.rows(shard.clone(), &pruned);
        let values = rows
            .flat_map(|batch| {
                let batch = batch.unwrap();
                batch.column(0).as_primitive::<Int64Type>().values().to_vec()
            })
            .collect();
        (values, pruned.value())
    }

    #[test]
    fn batches_without_a_match_are_passed_over_and_columns_of_the_predicate_left_out() {
        let shard = shard(200_000);
        let wanted = ShardRead {
            range: 0..usize::MAX,
            columns: vec![1],
            predicate: Some(at_least(shard.schema(), 199_998)),
            limit: None,
            deleted: Deleted::default(),
        };
        assert_eq!(read(&shard, &wanted), (vec![8, 9], 3));
    }

    #[test]
    fn the_limit_counts_rows_that_match() {
        let shard = shard(100_000);
        let wanted = ShardRead {
            range: 0..usize::MAX,
            columns: vec![0],
            predicate: Some(at_least(shard.schema(), 70_000)),
            limit: Some(3),
            deleted: Deleted::default(),
        };
        assert_eq!(read(&shard, &wanted).0, [70_000, 70_001, 70_002]);
    }

    #[test]
    fn ranges_that_cover_a_shard_give_every_row_once() {
        let shard = shard(150_000);
        let of = |range| {
            let wanted = ShardRead {
                range,
                columns: vec![0],
                predicate: None,
                limit: None,
                deleted: Deleted::default(),
            };
            read(&shard, &wanted).0
        };
        let rows: Vec<i64> = [0..1, 1..70_000, 70_000..131_072, 131_072..usize::MAX]
            .into_iter()
            .flat_map(of)
            .collect();
        assert_eq!(rows, (0..150_000).collect::<Vec<i64>>());
        assert!(of(200_000..300_000).is_empty());
    }

    #[test]
    fn rows_that_travel_are_the_same() {
        let shard = shard(150_000);
        let all = ShardRead {
            range: 3..149_000,
            columns: vec![1, 0],
            predicate: None,
            limit: None,
            deleted: Deleted::default(),
        };
        let few = ShardRead {
            predicate: Some(at_least(shard.schema(), 60_000)),
            ..all.clone()
        };
        let limited = ShardRead {
            limit: Some(70_000),
            ..few.clone()
        };
        let none = ShardRead {
            predicate: Some(at_least(shard.schema(), 1_000_000)),
            ..all.clone()
        };
        let uncounted = ShardRead {
            columns: vec![],
            ..few.clone()
        };
        for read in [all, few, limited, none, uncounted] {
            let schema = Arc::new(shard.schema().project(&read.columns).unwrap());
            let here = read.rows(shard.clone(), &Count::new());
            let here: Vec<RecordBatch> = here.collect::<Result<_>>().unwrap();
            let sent: Vec<RecordBatch> = read
                .packed_rows(shard.clone(), &Count::new())
                .collect::<Result<_>>()
                .unwrap();
            assert!(sent.len() <= 3, "one for each stored batch");
            let there = sent
                .iter()
                .flat_map(|batch| unpacked(batch, &schema, &[]).unwrap());
            let there: Vec<RecordBatch> = there.collect::<Result<_>>().unwrap();
            let whole = |batches: &[RecordBatch]| concat_batches(&schema, batches).unwrap();
            assert_eq!(whole(&here).num_rows(), whole(&there).num_rows());
            assert_eq!(whole(&here), whole(&there));
        }
    }

    #[test]
    fn deleted_rows_are_passed_over_and_the_others_keep_their_numbers() {
        let shard = shard(150_000);
        let gone = |row: &i64| *row == 5 || (70_000..140_000).contains(row) || *row == 149_999;
        let deleted = (0..150_000).filter(gone).map(|row| row as u32);
        let deleted = Deleted::new(deleted.collect());
        for (range, least) in [
            (0..usize::MAX, 0),
            (3..100_000, 0),
            (0..149_000, 60_000),
            (66_000..usize::MAX, 139_990),
        ] {
            let wanted = ShardRead {
                range: range.clone(),
                columns: vec![2, 0],
                predicate: (least > 0).then(|| at_least(shard.schema(), least)),
                limit: Some(90_000),
                deleted: deleted.clone(),
            };
            let rows = range.start as i64..range.end.min(150_000) as i64;
            let rows = rows.filter(|row| !gone(row) && *row >= least).take(90_000);
            let expected: Vec<i64> = rows.collect();
            let schema = Arc::new(numbered(shard.schema()).project(&wanted.columns).unwrap());
            let here = wanted.rows(shard.clone(), &Count::new()).map(Result::unwrap);
            let sent = wanted
                .packed_rows(shard.clone(), &Count::new())
                .map(Result::unwrap);
            let there: Vec<RecordBatch> = sent
                .flat_map(|sent| unpacked(&sent, &schema, &[]).unwrap())
                .collect::<Result<_>>()
                .unwrap();
            for rows in [here.collect(), there] {
                let rows = concat_batches(&schema, &rows).unwrap();
                let numbers = rows.column(0).as_primitive::<UInt64Type>().values().iter();
                assert!(numbers.map(|number| *number as i64).eq(expected.iter().copied()));
                assert_eq!(rows.column(1).as_primitive::<Int64Type>().values(), &expected);
            }
        }
    }

    #[test]
    fn a_read_is_the_same_after_being_sent() {
        let shard = shard(100_000);
        let wanted = ShardRead {
            range: 5..99_999,
            columns: vec![1, 0],
            predicate: Some(at_least(shard.schema(), 99_990)),
            limit: Some(5),
            deleted: Deleted::new([99_991].into_iter().collect()),
        };
        let codec = codec::physical_codec(None);
        let ticket = wanted.ticket(shard.id(), codec.as_ref()).unwrap();
        let context = TaskContext::default();
        let received = ShardRead::of_ticket(&ticket, shard.schema(), &context, codec.as_ref()).unwrap();
        assert_eq!(read(&shard, &received), read(&shard, &wanted));
    }

    #[test]
    fn a_predicate_that_is_filled_meanwhile_counts_from_then_on() {
        let shard = shard(200_000);
        let schema = shard.schema().clone();
        let a = col("a", &schema).unwrap();
        let filled = Arc::new(DynamicFilterPhysicalExpr::new(vec![a], lit(true)));
        let read = ShardRead {
            range: 0..usize::MAX,
            columns: vec![0],
            predicate: Some(filled.clone()),
            limit: None,
            deleted: Deleted::default(),
        };
        let pruned = Count::new();
        let mut rows = read.rows(shard.clone(), &pruned);
        let mut next = || rows.next().map(|rows| rows.unwrap().num_rows());
        assert_eq!(next(), Some(BATCH_ROWS));
        filled.update(at_least(&schema, 10_000)).unwrap();
        assert_eq!(next(), Some(2 * BATCH_ROWS - 10_000));
        filled.update(at_least(&schema, 199_990)).unwrap();
        assert_eq!((next(), next()), (Some(10), None));
        // Of four: the first was begun, and the last has the rows.
        assert_eq!(pruned.value(), 2);
    }
}
