//! Aggregate functions of models that are fitted step by step: each is a pass over all rows, from where the fit is.
//!
//! `model_logistic(point, class, x, ...)`, `model_classify(classifier, class, x, ...)`, `model_regress(predictor, label, x, ...)`,
//! `model_seeds(round, x, ...)` and `model_lloyd(centroids, x, ...)`: the first argument is a constant, the bytes of where to
//! sum, and the answer is the bytes of the sums, or of what they come to.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{ScalarValue, exec_err, internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use millpond_model::{
    Centroids, ClassScores, Classifier, Error, LinearErrors, LloydSums, LogisticPoint, LogisticSums,
    Predictor, SeedRound, SeedSums,
};

use super::functions::{Column, can_be_a_number, columns_of, failed};
use super::pass::Pass;

/// All of them.
pub(super) fn aggregates() -> impl Iterator<Item = Arc<AggregateUDF>> {
    Kind::ALL.into_iter().map(|kind| {
        Arc::new(AggregateUDF::from(PassFunction {
            kind,
            signature: Signature::user_defined(Volatility::Immutable),
        }))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Loss, gradient and curvature of a logistic regression.
    Logistic,
    /// How well a logistic regression tells classes apart.
    Classify,
    /// How far the predictions of a linear regression are from labels.
    Regress,
    /// Rows that may become centroids.
    Seeds,
    /// The middle of the rows next to each centroid.
    Lloyd,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Logistic,
        Self::Classify,
        Self::Regress,
        Self::Seeds,
        Self::Lloyd,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Logistic => "model_logistic",
            Self::Classify => "model_classify",
            Self::Regress => "model_regress",
            Self::Seeds => "model_seeds",
            Self::Lloyd => "model_lloyd",
        }
    }

    /// Arguments that it has at least.
    fn least(self) -> usize {
        match self {
            Self::Logistic | Self::Classify | Self::Regress => 3,
            Self::Seeds | Self::Lloyd => 2,
        }
    }

    /// No rows yet, at a place that is given as bytes.
    fn pass(self, at: &[u8]) -> Result<Box<dyn Pass>, Error> {
        Ok(match self {
            Self::Logistic => {
                let point = LogisticPoint::from_bytes(at)?;
                Box::new((LogisticSums::new(&point), point))
            }
            Self::Classify => {
                let classifier = Classifier::from_bytes(at)?;
                Box::new((ClassScores::new(classifier.classes()), classifier))
            }
            Self::Regress => Box::new((LinearErrors::default(), Predictor::from_bytes(at)?)),
            Self::Seeds => {
                let round = SeedRound::from_bytes(at)?;
                Box::new((SeedSums::new(&round), round))
            }
            Self::Lloyd => {
                let centroids = Centroids::from_bytes(at)?;
                Box::new((LloydSums::new(&centroids), centroids))
            }
        })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PassFunction {
    kind: Kind,
    signature: Signature,
}

impl AggregateUDFImpl for PassFunction {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() < self.kind.least() {
            return plan_err!("{} needs at least {} arguments", self.name(), self.kind.least());
        }
        match types[1..].iter().find(|kind| !can_be_a_number(kind)) {
            Some(other) => plan_err!("{} is over numbers, and not {other}", self.name()),
            None => {
                let mut coerced = vec![DataType::Float64; types.len()];
                // Written once and not for every row.
                coerced[0] = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Binary));
                Ok(coerced)
            }
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "sums");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let at = args.exprs[0].downcast_ref::<Literal>().map(Literal::value);
        let at = match at {
            Some(ScalarValue::Dictionary(_, at)) => Some(at.as_ref()),
            at => at,
        };
        match at {
            Some(ScalarValue::Binary(Some(at))) => self
                .kind
                .pass(at)
                .map(|pass| Box::new(PassAccumulator(pass)) as Box<dyn Accumulator>)
                .map_err(failed),
            _ => exec_err!("the first argument of {} is a constant of bytes", self.name()),
        }
    }
}

#[derive(Debug)]
struct PassAccumulator(Box<dyn Pass>);

impl Accumulator for PassAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = columns_of(&values[1..])?;
        let columns: Vec<&[f64]> = columns.iter().map(Column::numbers).collect();
        self.0.add(&columns).map_err(failed)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states.first().and_then(|states| states.as_binary_opt::<i32>()) else {
            return internal_err!("sums without a state");
        };
        let mut states = states.iter().flatten();
        states.try_for_each(|state| self.0.merge(state).map_err(failed))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.0.state()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary(Some(self.0.answer())))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }
}
