//! `frequent_values(text, n)`: the `n` most frequent values with their rows, as JSON, of any number of columns in one pass.
//!
//! Values are counted exactly, as long as there are not too many of them: `{"top":[["a",12],["b",7]]}`, the most frequent
//! first and the least first among equals. Beyond [`VALUES_MAX`] different values, or [`BYTES_MAX`] bytes of them, counting
//! is given up, and what is left are the `n` least values: `{"least":["a","b"]}`. Who wants more asks by groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use hashbrown::HashMap;

/// Different values that are counted.
const VALUES_MAX: usize = 10_000;
/// Bytes of them.
const BYTES_MAX: usize = 1 << 20;
/// Values that can be asked for.
const ASKED_MAX: i64 = 2_000;
/// What a value takes beside its bytes, about.
const ENTRY_BYTES: usize = 48;

/// The function.
pub(crate) fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(FrequentValues {
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FrequentValues {
    signature: Signature,
}

impl AggregateUDFImpl for FrequentValues {
    fn name(&self) -> &str {
        "frequent_values"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types.len() {
            2 => Ok(vec![DataType::Utf8, DataType::Int64]),
            _ => plan_err!("{} needs a text and how many values are wanted", self.name()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "counts");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let asked = args
            .exprs
            .get(1)
            .and_then(|asked| asked.downcast_ref::<Literal>());
        match asked.map(Literal::value) {
            Some(ScalarValue::Int64(Some(asked))) if (1..=ASKED_MAX).contains(asked) => {
                Ok(Box::new(Counts::new(*asked as usize)))
            }
            _ => exec_err!("{} gives from 1 to {ASKED_MAX} values", self.name()),
        }
    }
}

/// How often each value was there.
#[derive(Debug)]
struct Counts {
    asked: usize,
    /// None: there are too many.
    rows: Option<HashMap<Box<str>, u64>>,
    /// Bytes of these.
    bytes: usize,
    /// The least values, as many as are asked for; kept when counting is given up.
    least: BTreeSet<Box<str>>,
}

impl Counts {
    fn new(asked: usize) -> Self {
        Self {
            asked,
            rows: Some(HashMap::new()),
            bytes: 0,
            least: BTreeSet::new(),
        }
    }

    fn add(&mut self, value: &str, times: u64) {
        let Some(rows) = &mut self.rows else {
            return self.add_least(value);
        };
        match rows.get_mut(value) {
            Some(count) => *count += times,
            None => {
                self.bytes += value.len();
                rows.insert(Box::from(value), times);
                if rows.len() > VALUES_MAX || self.bytes > BYTES_MAX {
                    self.give_up();
                }
            }
        }
    }

    /// Goes on with the least values alone.
    fn give_up(&mut self) {
        for value in self.rows.take().into_iter().flat_map(HashMap::into_keys) {
            self.add_least(&value);
        }
        self.bytes = 0;
    }

    fn add_least(&mut self, value: &str) {
        let is_full = self.least.len() >= self.asked;
        if is_full && self.least.last().is_some_and(|last| **last <= *value) {
            return;
        }
        self.least.insert(Box::from(value));
        if self.least.len() > self.asked {
            self.least.pop_last();
        }
    }

    /// A byte that says whether all are counted; then each value: its length, its bytes, its rows.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.rows.is_some())];
        let mut put = |value: &str, rows: u64| {
            bytes.extend((value.len() as u64).to_le_bytes());
            bytes.extend(value.as_bytes());
            bytes.extend(rows.to_le_bytes());
        };
        for (value, rows) in self.rows.iter().flatten() {
            put(value, *rows);
        }
        for value in &self.least {
            put(value, 0);
        }
        bytes
    }

    /// Takes another state in; None if it is none.
    fn merge(&mut self, state: &[u8]) -> Option<()> {
        let (is_whole, mut rest) = state.split_first()?;
        if *is_whole == 0 {
            self.give_up();
        }
        while !rest.is_empty() {
            let value = take(&mut rest)?;
            let value = rest.split_off(..usize::try_from(value).ok()?)?;
            let rows = take(&mut rest)?;
            self.add(std::str::from_utf8(value).ok()?, rows);
        }
        Some(())
    }

    fn to_json(&self) -> String {
        let Some(rows) = &self.rows else {
            return serde_json::json!({ "least": self.least }).to_string();
        };
        let mut top: Vec<(&str, u64)> = rows.iter().map(|(value, rows)| (&**value, *rows)).collect();
        top.sort_unstable_by(|(one, of_one), (other, of_other)| of_other.cmp(of_one).then(one.cmp(other)));
        top.truncate(self.asked);
        serde_json::json!({ "top": top }).to_string()
    }
}

/// The number at the start.
fn take(rest: &mut &[u8]) -> Option<u64> {
    let bytes = rest.split_off(..size_of::<u64>())?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(texts) = values.first().and_then(|texts| texts.as_string_opt::<i32>()) else {
            return exec_err!("frequent values of something else than texts");
        };
        for text in texts.iter().flatten() {
            self.add(text, 1);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states.first().and_then(|states| states.as_binary_opt::<i32>()) else {
            return exec_err!("frequent values without a state");
        };
        for state in states.iter().flatten() {
            if self.merge(state).is_none() {
                return exec_err!("a state of frequent values that is broken");
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.to_bytes()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Utf8(Some(self.to_json())))
    }

    fn size(&self) -> usize {
        let entries = self.rows.as_ref().map_or(0, HashMap::capacity) + self.least.len();
        size_of_val(self) + self.bytes + entries * ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(asked: usize, values: impl IntoIterator<Item = String>) -> Counts {
        let mut counts = Counts::new(asked);
        for value in values {
            counts.add(&value, 1);
        }
        counts
    }

    fn texts(texts: &str) -> impl Iterator<Item = String> {
        texts.split(' ').map(str::to_string)
    }

    #[test]
    fn the_most_frequent_come_first_and_the_least_among_equals() {
        let counts = counted(3, texts("b a c a b ü d"));
        assert_eq!(counts.to_json(), r#"{"top":[["a",2],["b",2],["c",1]]}"#);
        assert_eq!(counted(1, []).to_json(), r#"{"top":[]}"#);
    }

    #[test]
    fn parts_are_merged_exactly() {
        let mut counts = counted(2, texts("b a"));
        for part in ["b c", "c c c"] {
            counts.merge(&counted(2, texts(part)).to_bytes()).unwrap();
        }
        assert_eq!(counts.to_json(), r#"{"top":[["c",4],["b",2]]}"#);
    }

    #[test]
    fn too_many_values_leave_the_least() {
        let numbers = |from: usize, to: usize| (from..to).map(|number| format!("{number:06}"));
        let many = counted(2, numbers(1, VALUES_MAX + 2));
        let least = r#"{"least":["000001","000002"]}"#;
        assert_eq!(many.to_json(), least);
        let long = counted(2, numbers(1, 3).chain(["x".repeat(BYTES_MAX)]));
        assert_eq!(long.to_json(), least);
        // A part that has given up, into one that has not, and the other way round.
        let mut few = counted(2, numbers(0, 1));
        few.merge(&many.to_bytes()).unwrap();
        let mut rest = many;
        rest.merge(&counted(2, numbers(0, 1)).to_bytes()).unwrap();
        assert_eq!(few.to_json(), r#"{"least":["000000","000001"]}"#);
        assert_eq!(rest.to_json(), few.to_json());
    }

    #[test]
    fn broken_states_are_none() {
        let whole = counted(2, texts("abc d")).to_bytes();
        for state in [
            &[][..],
            &whole[..whole.len() - 1],
            &[1, 9],
            &[1, 9, 0, 0, 0, 0, 0, 0, 0, 1],
        ] {
            assert_eq!(Counts::new(2).merge(state), None);
        }
    }
}
