//! `value_counts(value, n [, at_most])`: how many different values there are, and the `n` most frequent ones with their rows,
//! exactly, of any number of columns in one pass.
//!
//! Values are kept in the hash tables that `GROUP BY` keeps them in, with a number of rows for each. A state is two lists, the
//! values and their rows. The answer is JSON, `{"distinct":3,"top":[["a",12],["b",7]]}`: the most frequent first, and the
//! least text first among equals. With more than `at_most` different values counting is given up, and the answer is null.
//! Memory grows with the different values, as it does for `count(DISTINCT ...)`.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use datafusion::arrow::compute::{cast, filter, is_not_null, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, UInt64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{ScalarValue, exec_err, not_impl_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use parking_lot::Mutex;

/// Values that can be asked for.
const ASKED_MAX: i64 = 2_000;
/// Values that are turned into texts at once, to see which are the least.
const CHUNK: usize = 8192;

/// The function.
pub(crate) fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(ValueCounts {
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ValueCounts {
    signature: Signature,
}

impl AggregateUDFImpl for ValueCounts {
    fn name(&self) -> &str {
        "value_counts"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [value, numbers @ ..] = types else {
            return plan_err!("{} needs a value and how many are wanted", self.name());
        };
        if !matches!(numbers.len(), 1 | 2) {
            return plan_err!(
                "{} needs a value, how many are wanted, and at most how many different ones are counted",
                self.name()
            );
        }
        let mut coerced = vec![counted_as(value)];
        coerced.extend(numbers.iter().map(|_| DataType::Int64));
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let value = args
            .input_fields
            .first()
            .map_or(DataType::Null, |field| field.data_type().clone());
        Ok(vec![
            list_field(format_state_name(args.name, "values"), value),
            list_field(format_state_name(args.name, "rows"), DataType::UInt64),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return not_impl_err!("{} of DISTINCT values", self.name());
        }
        let number = |place: usize| {
            let literal = args.exprs.get(place)?.downcast_ref::<Literal>()?;
            match literal.value() {
                ScalarValue::Int64(number) => *number,
                _ => None,
            }
        };
        let asked = number(1).filter(|asked| (1..=ASKED_MAX).contains(asked));
        let at_most = match args.exprs.len() {
            2 => Some(i64::MAX),
            _ => number(2).filter(|at_most| *at_most > 0),
        };
        match (asked, at_most) {
            (Some(asked), Some(at_most)) => {
                let value = args
                    .expr_fields
                    .first()
                    .map_or(&DataType::Null, |field| field.data_type());
                Ok(Box::new(Counts::new(value, asked as usize, at_most as usize)?))
            }
            (None, _) => exec_err!("{} gives from 1 to {ASKED_MAX} values", self.name()),
            (_, None) => exec_err!("{} counts at least 1 value", self.name()),
        }
    }
}

/// The type that values are counted as: views have no end at 2 GiB.
fn counted_as(value: &DataType) -> DataType {
    match value {
        DataType::Dictionary(_, value) => counted_as(value),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Null => DataType::Utf8View,
        other => other.clone(),
    }
}

fn list_field(name: String, item: DataType) -> FieldRef {
    let list = DataType::List(Arc::new(Field::new_list_field(item, true)));
    Arc::new(Field::new(name, list, true))
}

/// How many rows each value has.
struct Counts {
    value: DataType,
    asked: usize,
    at_most: usize,
    /// The place of each value among `rows`. Never locked: only an accumulator has to be shareable, this has not.
    places: Mutex<Box<dyn GroupValues>>,
    rows: Vec<u64>,
    /// The places of the values of a batch.
    batch: Vec<usize>,
    /// All values with their rows, taken out of the two above to be looked at.
    out: Option<(ArrayRef, Vec<u64>)>,
    /// True if there are more than `at_most`; then nothing is kept.
    has_given_up: bool,
    /// Bytes of all this.
    bytes: usize,
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counts")
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

impl Counts {
    fn new(value: &DataType, asked: usize, at_most: usize) -> Result<Self> {
        let schema = Arc::new(Schema::new(vec![Field::new("value", value.clone(), true)]));
        Ok(Self {
            value: value.clone(),
            asked,
            at_most,
            places: Mutex::new(new_group_values(schema, &GroupOrdering::None)?),
            rows: Vec::new(),
            batch: Vec::new(),
            out: None,
            has_given_up: false,
            bytes: 0,
        })
    }

    /// Counts values, each for as many rows as are given, or for one.
    fn add(&mut self, values: &ArrayRef, rows: Option<&[u64]>) -> Result<()> {
        if let Some((values, rows)) = self.out.take() {
            self.add(&values, Some(&rows))?;
        }
        if self.has_given_up {
            return Ok(());
        }
        let places = self.places.get_mut();
        places.intern(std::slice::from_ref(values), &mut self.batch)?;
        self.rows.resize(places.len(), 0);
        for (number, place) in self.batch.iter().enumerate() {
            self.rows[*place] += rows.map_or(1, |rows| rows[number]);
        }
        self.bytes = places.size() + self.rows.capacity() * size_of::<u64>();
        if self.rows.len() > self.at_most {
            self.give_up();
        }
        Ok(())
    }

    fn give_up(&mut self) {
        self.has_given_up = true;
        self.places.get_mut().clear_shrink(0);
        self.rows = Vec::new();
        self.batch = Vec::new();
        self.out = None;
        self.bytes = 0;
    }

    /// All values with their rows.
    fn all(&mut self) -> Result<&(ArrayRef, Vec<u64>)> {
        let out = match self.out.take() {
            Some(out) => out,
            None => {
                let mut values = self.places.get_mut().emit(EmitTo::All)?;
                match values.pop() {
                    Some(values) => (values, std::mem::take(&mut self.rows)),
                    None => return exec_err!("a table of values without a column"),
                }
            }
        };
        Ok(self.out.insert(out))
    }

    /// The most frequent values as texts, the least first among equals.
    fn top(&mut self) -> Result<Vec<(String, u64)>> {
        let asked = self.asked;
        let (values, rows) = self.all()?;
        let least = nth_largest(rows, asked);
        let candidates: Vec<u64> = (0u64..)
            .zip(rows)
            .filter(|(_, rows)| **rows >= least)
            .map(|(place, _)| place)
            .collect();
        let mut top = BTreeSet::new();
        for places in candidates.chunks(CHUNK) {
            let texts = take(values, &UInt64Array::from(places.to_vec()), None)?;
            let texts = cast(&texts, &DataType::Utf8)?;
            for (place, text) in places.iter().zip(texts.as_string::<i32>().iter()) {
                let found = (Reverse(rows[*place as usize]), text.unwrap_or_default());
                if top.len() == asked
                    && top
                        .last()
                        .is_some_and(|last: &(Reverse<u64>, String)| (last.0, last.1.as_str()) <= found)
                {
                    continue;
                }
                top.insert((found.0, found.1.to_owned()));
                if top.len() > asked {
                    top.pop_last();
                }
            }
        }
        Ok(top
            .into_iter()
            .map(|(Reverse(rows), text)| (text, rows))
            .collect())
    }
}

/// The number that is at this place if the largest comes first, counted from 1; 0 if there are not so many.
fn nth_largest(numbers: &[u64], place: usize) -> u64 {
    if numbers.len() < place {
        return 0;
    }
    let mut numbers = numbers.to_vec();
    let (_, found, _) = numbers.select_nth_unstable_by(place - 1, |one, other| other.cmp(one));
    *found
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match values.first() {
            Some(values) if values.null_count() > 0 => {
                self.add(&filter(values, &is_not_null(values)?)?, None)
            }
            Some(values) => self.add(values, None),
            None => exec_err!("values to count are missing"),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = |place: usize| states.get(place).and_then(|state| state.as_list_opt::<i32>());
        let (Some(values), Some(rows)) = (lists(0), lists(1)) else {
            return exec_err!("value counts without a state");
        };
        for (values, rows) in values.iter().zip(rows.iter()) {
            let (Some(values), Some(rows)) = (values, rows) else {
                self.give_up();
                continue;
            };
            match rows.as_primitive_opt::<UInt64Type>() {
                Some(rows) if rows.len() == values.len() => self.add(&values, Some(rows.values()))?,
                _ => return exec_err!("a state of value counts that is broken"),
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        if self.has_given_up {
            let null = |item: &DataType| ScalarValue::try_from(&DataType::new_list(item.clone(), true));
            return Ok(vec![null(&self.value)?, null(&DataType::UInt64)?]);
        }
        let (values, rows) = self.all()?;
        let rows: ArrayRef = Arc::new(UInt64Array::from(rows.clone()));
        let list = |items: ArrayRef| SingleRowListArrayBuilder::new(items).build_list_scalar();
        Ok(vec![list(values.clone()), list(rows)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.has_given_up {
            return Ok(ScalarValue::Utf8(None));
        }
        let top = self.top()?;
        let distinct = self.all()?.1.len();
        let answer = serde_json::json!({ "distinct": distinct, "top": top });
        Ok(ScalarValue::Utf8(Some(answer.to_string())))
    }

    fn size(&self) -> usize {
        let out = self.out.as_ref().map_or(0, |(values, rows)| {
            values.get_array_memory_size() + rows.capacity() * size_of::<u64>()
        });
        size_of_val(self) + self.bytes + self.batch.capacity() * size_of::<usize>() + out
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Float64Array, StringViewArray};

    use super::*;

    const ALL: usize = usize::MAX;

    fn texts(texts: &str) -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(texts.split_terminator(' ')))
    }

    fn counted(asked: usize, at_most: usize, values: &str) -> Counts {
        let mut counts = Counts::new(&DataType::Utf8View, asked, at_most).unwrap();
        counts.update_batch(&[texts(values)]).unwrap();
        counts
    }

    fn merge(counts: &mut Counts, part: &mut Counts) {
        let state: Vec<ArrayRef> = part
            .state()
            .unwrap()
            .iter()
            .map(|state| state.to_array().unwrap())
            .collect();
        counts.merge_batch(&state).unwrap();
    }

    fn answer(counts: &mut Counts) -> String {
        counts.evaluate().unwrap().to_string()
    }

    #[test]
    fn the_most_frequent_come_first_and_the_least_among_equals() {
        let mut counts = counted(3, ALL, "b a c a b ü d");
        let expected = r#"{"distinct":5,"top":[["a",2],["b",2],["c",1]]}"#;
        assert_eq!(answer(&mut counts), expected);
        // As in a window: once more, and with more rows.
        assert_eq!(answer(&mut counts), expected);
        counts.update_batch(&[texts("d d")]).unwrap();
        assert_eq!(
            answer(&mut counts),
            r#"{"distinct":5,"top":[["d",3],["a",2],["b",2]]}"#
        );
        assert_eq!(answer(&mut counted(1, ALL, "")), r#"{"distinct":0,"top":[]}"#);
    }

    #[test]
    fn values_without_a_value_are_not_counted() {
        let mut counts = Counts::new(&DataType::Float64, 2, ALL).unwrap();
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![
            None,
            Some(1.5),
            None,
            Some(-2.0),
            Some(1.5),
        ]));
        counts.update_batch(&[numbers]).unwrap();
        assert_eq!(
            answer(&mut counts),
            r#"{"distinct":2,"top":[["1.5",2],["-2.0",1]]}"#
        );
    }

    #[test]
    fn parts_are_merged_exactly() {
        let mut counts = counted(2, ALL, "b a");
        for part in ["b c", "", "c c c"] {
            merge(&mut counts, &mut counted(2, ALL, part));
        }
        assert_eq!(answer(&mut counts), r#"{"distinct":3,"top":[["c",4],["b",2]]}"#);
    }

    #[test]
    fn the_least_of_very_many_are_found() {
        let many: Vec<String> = (0..3 * CHUNK)
            .rev()
            .map(|number| format!("{number:06}"))
            .collect();
        let mut counts = counted(2, ALL, &many.join(" "));
        let distinct = 3 * CHUNK;
        let top = format!(r#"{{"distinct":{distinct},"top":[["000000",1],["000001",1]]}}"#);
        assert_eq!(answer(&mut counts), top);
    }

    #[test]
    fn too_many_values_are_given_up_in_any_part() {
        assert_eq!(
            answer(&mut counted(1, 2, "a b b")),
            r#"{"distinct":2,"top":[["b",2]]}"#
        );
        assert!(counted(1, 2, "a b c").evaluate().unwrap().is_null());
        let mut counts = counted(1, 2, "a b");
        merge(&mut counts, &mut counted(1, 2, "c"));
        assert!(counts.evaluate().unwrap().is_null());
        let mut counts = counted(1, 2, "a");
        merge(&mut counts, &mut counted(1, 2, "a b c"));
        merge(&mut counts, &mut counted(1, 2, "a"));
        assert!(counts.evaluate().unwrap().is_null());
        assert!(counts.state().unwrap().iter().all(ScalarValue::is_null));
    }

    #[test]
    fn broken_states_are_errors() {
        let state: Vec<ArrayRef> = counted(2, ALL, "a b")
            .state()
            .unwrap()
            .iter()
            .map(|state| state.to_array().unwrap())
            .collect();
        let mut counts = counted(2, ALL, "");
        assert!(counts.merge_batch(&state[..1]).is_err());
        assert!(counts.merge_batch(&[state[0].clone(), state[0].clone()]).is_err());
        let shorter = counted(2, ALL, "a").state().unwrap()[1].to_array().unwrap();
        assert!(counts.merge_batch(&[state[0].clone(), shorter]).is_err());
    }
}
