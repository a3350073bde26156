//! Rows by number: a column of a scan that says which row of the table each is, and the set of some of them.
//!
//! `DELETE` and `UPDATE` ask a query for the rows that their condition is true for, with the numbers behind the columns of
//! the table: `SELECT row_set(number) FROM table WHERE condition`. The upper 32 bits of a number are the place of the shard
//! in the table, the lower ones that of the row in the shard. The answer is a roaring bitmap of 64 bits in its portable
//! format, which has one of 32 bits for each shard.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use datafusion::arrow::compute::kernels::numeric::add;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt64Type};
use datafusion::common::cast::as_binary_array;
use datafusion::common::{ScalarValue, internal_datafusion_err, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use roaring::RoaringTreemap;

/// Name of the column.
pub const ROW_NUMBER: &str = "__row_number";

/// The columns of a table, and behind them the number of a row.
pub fn numbered(schema: &SchemaRef) -> SchemaRef {
    let number = Arc::new(Field::new(ROW_NUMBER, DataType::UInt64, false));
    let fields: Vec<FieldRef> = schema.fields().iter().cloned().chain([number]).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// True for such columns.
pub(super) fn is_numbered(schema: &Schema) -> bool {
    schema
        .fields()
        .last()
        .is_some_and(|field| field.name() == ROW_NUMBER)
}

/// The number of the first row of the shard at a place of a table.
pub fn first_row(place: usize) -> u64 {
    (place as u64) << 32
}

/// Rows of a shard, numbered from its start, as rows of the table.
pub(super) fn from_first(rows: RecordBatch, first: u64) -> Result<RecordBatch> {
    let place = rows.schema_ref().index_of(ROW_NUMBER);
    let Some(place) = place.ok().filter(|_| first > 0) else {
        return Ok(rows);
    };
    let mut columns = rows.columns().to_vec();
    columns[place] = add(&columns[place], &UInt64Array::new_scalar(first))?;
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

/// `row_set(number)`: all numbers of a group.
pub fn row_set() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(RowSet {
        signature: Signature::exact(vec![DataType::UInt64], Volatility::Immutable),
    }))
}

/// Reads the answer of [`row_set`].
///
/// # Errors
/// Something else.
pub fn read_row_set(answer: &RecordBatch) -> Result<RoaringTreemap> {
    let sets = answer
        .columns()
        .first()
        .ok_or_else(|| internal_datafusion_err!("no set of rows"))?;
    union_of(sets)
}

fn union_of(sets: &ArrayRef) -> Result<RoaringTreemap> {
    let mut all = RoaringTreemap::new();
    for set in as_binary_array(sets)?.iter().flatten() {
        let set = RoaringTreemap::deserialize_from(set);
        all |= set.map_err(|error| internal_datafusion_err!("a set of rows cannot be read: {error}"))?;
    }
    Ok(all)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowSet {
    signature: Signature,
}

impl AggregateUDFImpl for RowSet {
    fn name(&self) -> &str {
        "row_set"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "rows");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Rows(RoaringTreemap::new())))
    }
}

#[derive(Debug)]
struct Rows(RoaringTreemap);

impl Accumulator for Rows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [numbers] = values else {
            return internal_err!("row_set is over one column");
        };
        let numbers = numbers.as_primitive::<UInt64Type>();
        match numbers.null_count() {
            0 => self.0.extend(numbers.values()),
            _ => self.0.extend(numbers.iter().flatten()),
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [sets] = states else {
            return internal_err!("the state of row_set is one column");
        };
        self.0 |= union_of(sets)?;
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.evaluate().map(|set| vec![set])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut bytes = Vec::with_capacity(self.0.serialized_size());
        self.0.serialize_into(&mut bytes)?;
        Ok(ScalarValue::Binary(Some(bytes)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.serialized_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(numbers: &[u64]) -> ArrayRef {
        Arc::new(UInt64Array::from(numbers.to_vec()))
    }

    #[test]
    fn sets_of_parts_are_one_set() {
        let parts = [&[1, 5, first_row(3)][..], &[7, first_row(3) + 9], &[]].map(|numbers| {
            let mut part = Rows(RoaringTreemap::new());
            part.update_batch(&[rows(numbers)]).unwrap();
            part.state().unwrap().remove(0).to_array().unwrap()
        });
        let mut all = Rows(RoaringTreemap::new());
        for part in parts {
            all.merge_batch(&[part]).unwrap();
        }
        let answer = all.evaluate().unwrap().to_array().unwrap();
        let answer = RecordBatch::try_from_iter([("rows", answer)]).unwrap();
        let set = read_row_set(&answer).unwrap();
        let shards: Vec<(u32, Vec<u32>)> = set
            .bitmaps()
            .map(|(shard, rows)| (shard, rows.iter().collect()))
            .collect();
        assert_eq!(shards, [(0, vec![1, 5, 7]), (3, vec![0, 9])]);
    }

    #[test]
    fn numbers_start_where_their_shard_does() {
        let schema = numbered(&Arc::new(Schema::empty()));
        assert!(is_numbered(&schema));
        let batch = RecordBatch::try_new(schema, vec![rows(&[2, 3])]).unwrap();
        assert_eq!(from_first(batch.clone(), 0).unwrap(), batch);
        let moved = from_first(batch, first_row(1)).unwrap();
        let numbers = moved.column(0).as_primitive::<UInt64Type>().values();
        assert_eq!(numbers, &[(1 << 32) + 2, (1 << 32) + 3]);
    }
}
