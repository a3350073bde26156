//! Counts and sums of rows by code, shared by all functions that are made of them.
//!
//! The partial states of `count`, `sum` and `avg` are a count of values, a sum, and both. [`Sums`] has one count of the
//! rows of each code and, for each different argument, its nulls and its sum: `count(*), sum(x), avg(x)` goes over the
//! rows twice and not four times.

use std::mem::discriminant;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray, RecordBatch,
    UInt64Array,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, Schema, SchemaRef, UInt64Type,
};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::count::Count;
use datafusion::functions_aggregate::sum::Sum;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::PhysicalExpr;

/// See the module.
#[derive(Default)]
pub(super) struct Sums {
    rows: Vec<i64>,
    arguments: Vec<Argument>,
}

/// What functions are called with.
struct Argument {
    expression: Arc<dyn PhysicalExpr>,
    /// Rows of each slot without a value.
    nulls: Vec<i64>,
    sum: Option<Box<dyn SlotSums>>,
}

/// A column of the partial state of a function. Arguments are meant by number.
pub(super) enum State {
    /// Rows of the slot.
    Rows,
    /// Those with a value.
    Values(usize),
    /// The same for a mean: null if there are none.
    Summed(usize),
    /// The sum in this type, or null if there are no values.
    Sum(usize, DataType),
}

impl Sums {
    /// The state of a function of rows of this schema, if it is made of counts and sums. Filters are not looked at.
    ///
    /// # Errors
    /// A function of another schema.
    pub(super) fn states_of(
        &mut self,
        function: &AggregateFunctionExpr,
        schema: &SchemaRef,
    ) -> Result<Option<Vec<State>>> {
        let arguments = function.expressions();
        let [argument] = arguments.as_slice() else {
            return Ok(None);
        };
        if function.is_distinct() {
            return Ok(None);
        }
        let inner = function.fun().inner();
        if inner.is::<Count>() {
            return Ok(Some(vec![self.count_of(argument)]));
        }
        if !inner.is::<Sum>() && !inner.is::<Avg>() {
            return Ok(None);
        }
        let states = function.state_fields()?;
        let Some(sum_type) = states.last().map(|sum| sum.data_type().clone()) else {
            return Ok(None);
        };
        let Some(argument) = self.sum_of(argument, &sum_type, schema)? else {
            return Ok(None);
        };
        let sum = State::Sum(argument, sum_type);
        Ok(Some(match inner.is::<Avg>() {
            true => vec![State::Summed(argument), sum],
            false => vec![sum],
        }))
    }

    fn count_of(&mut self, argument: &Arc<dyn PhysicalExpr>) -> State {
        let literal = argument.downcast_ref::<Literal>();
        if literal.is_some_and(|literal| !literal.value().is_null()) {
            return State::Rows;
        }
        State::Values(self.argument(argument))
    }

    /// The argument, if a sum of it in this type has a kind.
    fn sum_of(
        &mut self,
        argument: &Arc<dyn PhysicalExpr>,
        sum_type: &DataType,
        schema: &Schema,
    ) -> Result<Option<usize>> {
        // Precisions may be different, which values do not show.
        if discriminant(&argument.data_type(schema)?) != discriminant(sum_type) {
            return Ok(None);
        }
        let Some(sum) = sums_of_type(sum_type) else {
            return Ok(None);
        };
        let argument = self.argument(argument);
        self.arguments[argument].sum.get_or_insert(sum);
        Ok(Some(argument))
    }

    fn argument(&mut self, expression: &Arc<dyn PhysicalExpr>) -> usize {
        let is_known = |known: &Argument| !is_volatile(expression) && known.expression.eq(expression);
        let known = self.arguments.iter().position(is_known);
        known.unwrap_or_else(|| {
            self.arguments.push(Argument {
                expression: expression.clone(),
                nulls: Vec::new(),
                sum: None,
            });
            self.arguments.len() - 1
        })
    }

    /// Adds rows to their slots, of which there are `total`.
    ///
    /// # Errors
    /// Those of the arguments.
    pub(super) fn update(&mut self, batch: &RecordBatch, codes: &[u32], total: usize) -> Result<()> {
        self.rows.resize(total, 0);
        let mut are_counted = false;
        for argument in &mut self.arguments {
            let rows = (!are_counted).then_some(self.rows.as_mut_slice());
            are_counted |= argument.update(batch, codes, total, rows)?;
        }
        if !are_counted {
            codes.iter().for_each(|code| self.rows[*code as usize] += 1);
        }
        Ok(())
    }

    /// Rows of each slot.
    pub(super) fn rows(&self) -> &[i64] {
        &self.rows
    }

    /// A column of the state of all slots.
    ///
    /// # Errors
    /// None of states of [`Sums::states_of`].
    pub(super) fn state(&self, state: &State) -> Result<ArrayRef> {
        match state {
            State::Rows => Ok(Arc::new(Int64Array::from(self.rows.clone()))),
            State::Values(argument) => Ok(Arc::new(Int64Array::from_iter_values(self.values(*argument)))),
            State::Summed(argument) => {
                let values: Vec<u64> = self.values(*argument).map(|values| values as u64).collect();
                let has_values = Some(self.has_values(*argument));
                Ok(Arc::new(UInt64Array::new(values.into(), has_values)))
            }
            State::Sum(argument, sum_type) => {
                let sum = self.arguments[*argument].sum.as_ref();
                let sum = sum.ok_or_else(|| internal_datafusion_err!("no sum of argument {argument}"))?;
                Ok(sum.array(self.has_values(*argument), sum_type))
            }
        }
    }

    /// Forgets all slots.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        for argument in &mut self.arguments {
            argument.nulls.clear();
            if let Some(sum) = &mut argument.sum {
                sum.clear();
            }
        }
    }

    /// Bytes of all slots.
    pub(super) fn bytes(&self) -> usize {
        let of_arguments = self.arguments.iter().map(|argument| {
            let of_sum = argument.sum.as_ref().map_or(0, |sum| sum.bytes());
            argument.nulls.capacity() * size_of::<i64>() + of_sum
        });
        self.rows.capacity() * size_of::<i64>() + of_arguments.sum::<usize>()
    }

    /// How many rows of each slot have a value.
    fn values(&self, argument: usize) -> impl Iterator<Item = i64> {
        let nulls = self.arguments[argument].nulls.iter();
        self.rows.iter().zip(nulls).map(|(rows, nulls)| rows - nulls)
    }

    fn has_values(&self, argument: usize) -> NullBuffer {
        self.values(argument).map(|values| values > 0).collect()
    }
}

impl Argument {
    /// Adds rows to their slots. Counts them in `rows` if that takes no longer, and says whether it did.
    fn update(
        &mut self,
        batch: &RecordBatch,
        codes: &[u32],
        total: usize,
        rows: Option<&mut [i64]>,
    ) -> Result<bool> {
        let values = self.expression.evaluate(batch)?.into_array(codes.len())?;
        let nulls = values.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        self.nulls.resize(total, 0);
        if let Some(nulls) = &nulls {
            for (code, is_valid) in codes.iter().zip(nulls) {
                self.nulls[*code as usize] += i64::from(!is_valid);
            }
        }
        match (&mut self.sum, nulls) {
            (None, _) => Ok(false),
            (Some(sum), Some(nulls)) => sum.add_valid(&values, &nulls, codes, total).map(|()| false),
            (Some(sum), None) => {
                let counts = rows.is_some();
                sum.add(&values, codes, total, rows).map(|()| counts)
            }
        }
    }
}

/// The sums of the values of each slot.
trait SlotSums: Send {
    /// Adds values to the slots that they are of, in the order of rows, and counts these in `rows`.
    fn add(&mut self, values: &ArrayRef, codes: &[u32], total: usize, rows: Option<&mut [i64]>)
    -> Result<()>;

    /// Adds those that are not null.
    fn add_valid(&mut self, values: &ArrayRef, nulls: &NullBuffer, codes: &[u32], total: usize)
    -> Result<()>;

    fn array(&self, has_values: NullBuffer, data_type: &DataType) -> ArrayRef;

    fn clear(&mut self);

    fn bytes(&self) -> usize;
}

/// Sums of nothing, of values of this kind.
fn sums_of_type(data_type: &DataType) -> Option<Box<dyn SlotSums>> {
    Some(match data_type {
        DataType::Int64 => Box::new(SumsOf::<Int64Type>(Vec::new())),
        DataType::UInt64 => Box::new(SumsOf::<UInt64Type>(Vec::new())),
        DataType::Float64 => Box::new(SumsOf::<Float64Type>(Vec::new())),
        DataType::Decimal128(..) => Box::new(SumsOf::<Decimal128Type>(Vec::new())),
        _ => return None,
    })
}

struct SumsOf<T: ArrowPrimitiveType>(Vec<T::Native>);

impl<T: ArrowPrimitiveType> SumsOf<T> {
    fn numbers<'a>(&mut self, values: &'a ArrayRef, total: usize) -> Result<&'a [T::Native]> {
        self.0.resize(total, T::Native::ZERO);
        let numbers = values.as_primitive_opt::<T>();
        let numbers = numbers.ok_or_else(|| internal_datafusion_err!("a sum of {}", values.data_type()))?;
        Ok(numbers.values())
    }

    fn add_one(&mut self, code: u32, number: T::Native) {
        let sum = &mut self.0[code as usize];
        *sum = sum.add_wrapping(number);
    }
}

impl<T: ArrowPrimitiveType> SlotSums for SumsOf<T> {
    fn add(
        &mut self,
        values: &ArrayRef,
        codes: &[u32],
        total: usize,
        rows: Option<&mut [i64]>,
    ) -> Result<()> {
        let numbered = codes.iter().zip(self.numbers(values, total)?);
        match rows {
            None => numbered.for_each(|(code, number)| self.add_one(*code, *number)),
            Some(rows) => numbered.for_each(|(code, number)| {
                rows[*code as usize] += 1;
                self.add_one(*code, *number);
            }),
        }
        Ok(())
    }

    fn add_valid(
        &mut self,
        values: &ArrayRef,
        nulls: &NullBuffer,
        codes: &[u32],
        total: usize,
    ) -> Result<()> {
        let numbered = codes.iter().zip(self.numbers(values, total)?).zip(nulls);
        let valid = numbered.filter(|(_, is_valid)| *is_valid);
        valid.for_each(|((code, number), _)| self.add_one(*code, *number));
        Ok(())
    }

    fn array(&self, has_values: NullBuffer, data_type: &DataType) -> ArrayRef {
        let sums = PrimitiveArray::<T>::new(self.0.clone().into(), Some(has_values));
        Arc::new(sums.with_data_type(data_type.clone()))
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<T::Native>()
    }
}
