//! `model_scores(class, probability, ...)`: how well a model tells classes apart, from the number of each row's class and its
//! probabilities to be of each. The answer is the bytes of [`ClassMetrics`](millpond_model::ClassMetrics).

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{ScalarValue, internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use millpond_model::ClassScores;

use super::functions::{Column, can_be_a_number, columns_of, failed};

/// The function.
pub(super) fn aggregate() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(ScoresFunction {
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ScoresFunction {
    signature: Signature,
}

impl AggregateUDFImpl for ScoresFunction {
    fn name(&self) -> &'static str {
        "model_scores"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() < 2 {
            return plan_err!("model_scores needs at least 2 arguments");
        }
        match types.iter().find(|kind| !can_be_a_number(kind)) {
            Some(other) => plan_err!("model_scores is over numbers, and not {other}"),
            None => Ok(vec![DataType::Float64; types.len()]),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "scores");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let classes = args.exprs.len().saturating_sub(1);
        Ok(Box::new(ScoresAccumulator(ClassScores::new(classes))))
    }
}

#[derive(Debug)]
struct ScoresAccumulator(ClassScores);

impl Accumulator for ScoresAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = columns_of(values)?;
        let columns: Vec<&[f64]> = columns.iter().map(Column::numbers).collect();
        let [classes, probabilities @ ..] = columns.as_slice() else {
            return internal_err!("scores without classes");
        };
        self.0.add_columns(classes, probabilities).map_err(failed)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states.first().and_then(|states| states.as_binary_opt::<i32>()) else {
            return internal_err!("scores without a state");
        };
        for state in states.iter().flatten() {
            let other = ClassScores::from_bytes(state).map_err(failed)?;
            self.0.merge(&other).map_err(failed)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.0.to_bytes()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary(Some(self.0.metrics().to_bytes())))
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
