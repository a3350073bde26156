//! Aggregate functions over rows of numbers. Their states are bytes of [`millpond_model`], which are merged exactly.
//!
//! `covar_matrix(x, y, ...)` and `linreg_stats(label, x, ...)` are for people; `model_moments(x, ...)` and
//! `model_class_moments(classes, class, x, ...)` are what a training solves. Rows can be taken away from all of them.
//!
//! A row in which an argument is null, NaN or infinite is left out, and counted.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{ScalarValue, exec_err, internal_err, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, LogicalPlan, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Literal;
use millpond_model::{ClassMoments, Moments};

use super::answer;
use super::kept::States;

/// All of them.
pub(super) fn aggregates() -> impl Iterator<Item = Arc<AggregateUDF>> {
    let functions = Kind::ALL.into_iter().map(SumsFunction::new);
    functions.map(|function| Arc::new(AggregateUDF::from(function)))
}

/// True for the name of a function whose states are kept with live shards.
pub(super) fn is_kept(name: &str) -> bool {
    Kind::ALL.iter().any(|kind| kind.name() == name)
}

/// True if a plan has such a function. It is best run where the shards are.
pub fn keeps_sums(plan: &LogicalPlan) -> bool {
    let is_kept = |expression: &Expr| matches!(expression.clone().unalias(), Expr::AggregateFunction(function) if is_kept(function.func.name()));
    let of_node = |node: &LogicalPlan| match node {
        LogicalPlan::Aggregate(aggregate) => aggregate.aggr_expr.iter().any(is_kept),
        _ => false,
    };
    of_node(plan) || plan.inputs().into_iter().any(keeps_sums)
}

/// What is summed, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Sums and products of columns, as bytes.
    Moments,
    /// Sums and squares of columns by class, as bytes. The first argument is the number of classes, the second the class.
    ClassMoments,
    /// Means and covariances.
    Covariance,
    /// A linear regression of the first argument by the others.
    Regression,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self::Moments,
        Self::ClassMoments,
        Self::Covariance,
        Self::Regression,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Moments => "model_moments",
            Self::ClassMoments => "model_class_moments",
            Self::Covariance => "covar_matrix",
            Self::Regression => "linreg_stats",
        }
    }

    /// Arguments that it has at least.
    fn least(self) -> usize {
        match self {
            Self::Moments | Self::Covariance => 1,
            Self::Regression => 2,
            Self::ClassMoments => 3,
        }
    }
}

/// How far two states of the same aggregates are apart: see [`Moments::drift_from`].
pub(super) fn drift(kept: &States, fresh: &States) -> f64 {
    let of_one = |(kept, fresh): (&ScalarValue, &ScalarValue)| match (kept, fresh) {
        (ScalarValue::Binary(Some(kept)), ScalarValue::Binary(Some(fresh))) => {
            let columns = Moments::from_bytes(kept)
                .ok()
                .zip(Moments::from_bytes(fresh).ok());
            let classes = ClassMoments::from_bytes(kept)
                .ok()
                .zip(ClassMoments::from_bytes(fresh).ok());
            let columns = columns.map(|(kept, fresh)| kept.drift_from(&fresh));
            columns.or_else(|| classes.map(|(kept, fresh)| kept.drift_from(&fresh)))
        }
        _ => None,
    };
    let pairs = kept.iter().flatten().zip(fresh.iter().flatten());
    pairs.filter_map(of_one).fold(0.0, f64::max)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SumsFunction {
    kind: Kind,
    signature: Signature,
}

impl SumsFunction {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for SumsFunction {
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
        match types.iter().find(|kind| !can_be_a_number(kind)) {
            Some(other) => plan_err!("{} is over numbers, and not {other}", self.name()),
            None => Ok(vec![DataType::Float64; types.len()]),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Moments | Kind::ClassMoments => DataType::Binary,
            Kind::Covariance => answer::covariance_type(),
            Kind::Regression => answer::regression_type(),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "sums");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let columns = args.exprs.len();
        let sums = match self.kind {
            Kind::ClassMoments => {
                let classes = args.exprs[0].downcast_ref::<Literal>().map(Literal::value);
                let Some(ScalarValue::Float64(Some(classes))) = classes else {
                    return exec_err!("the first argument of {} is a number of classes", self.name());
                };
                Sums::Classes(ClassMoments::new(*classes as usize, columns - 2))
            }
            _ => Sums::Columns(Moments::new(columns)),
        };
        Ok(Box::new(SumsAccumulator {
            kind: self.kind,
            sums,
        }))
    }
}

#[derive(Debug)]
enum Sums {
    Columns(Moments),
    Classes(ClassMoments),
}

#[derive(Debug)]
struct SumsAccumulator {
    kind: Kind,
    sums: Sums,
}

impl SumsAccumulator {
    /// The label of a regression is the first argument, and the last column.
    fn in_order<'a>(&self, columns: &'a [Column<'_>]) -> Vec<&'a [f64]> {
        let mut columns: Vec<&[f64]> = columns.iter().map(Column::numbers).collect();
        if self.kind == Kind::Regression {
            columns.rotate_left(1);
        }
        columns
    }

    fn bytes(&self) -> ScalarValue {
        ScalarValue::Binary(Some(match &self.sums {
            Sums::Columns(sums) => sums.to_bytes(),
            Sums::Classes(sums) => sums.to_bytes(),
        }))
    }
}

impl Accumulator for SumsAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = columns_of(values)?;
        let columns = self.in_order(&columns);
        match (&mut self.sums, columns.as_slice()) {
            (Sums::Columns(sums), columns) => sums.add_columns(columns),
            (Sums::Classes(sums), [_, classes, columns @ ..]) => sums.add_columns(columns, classes),
            (Sums::Classes(_), _) => return internal_err!("sums by class without a class"),
        }
        .map_err(failed)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = columns_of(values)?;
        let columns = self.in_order(&columns);
        match (&mut self.sums, columns.as_slice()) {
            (Sums::Columns(sums), columns) => sums.subtract_columns(columns),
            (Sums::Classes(sums), [_, classes, columns @ ..]) => sums.subtract_columns(columns, classes),
            (Sums::Classes(_), _) => return internal_err!("sums by class without a class"),
        }
        .map_err(failed)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states.first().and_then(|states| states.as_binary_opt::<i32>()) else {
            return internal_err!("sums without a state");
        };
        for state in states.iter().flatten() {
            match &mut self.sums {
                Sums::Columns(sums) => sums.merge(&Moments::from_bytes(state).map_err(failed)?),
                Sums::Classes(sums) => sums.merge(&ClassMoments::from_bytes(state).map_err(failed)?),
            }
            .map_err(failed)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.bytes()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match (self.kind, &self.sums) {
            (Kind::Covariance, Sums::Columns(sums)) => answer::covariance(sums),
            (Kind::Regression, Sums::Columns(sums)) => answer::regression(sums),
            _ => Ok(self.bytes()),
        }
    }

    fn size(&self) -> usize {
        let numbers = match &self.sums {
            Sums::Columns(sums) => sums.columns() * (sums.columns() + 3),
            Sums::Classes(sums) => 4 * sums.classes() * sums.columns(),
        };
        size_of_val(self) + numbers * size_of::<f64>()
    }
}

/// True for a type whose values are numbers.
pub(super) fn can_be_a_number(kind: &DataType) -> bool {
    kind.is_numeric() || matches!(kind, DataType::Boolean | DataType::Null)
}

/// Numbers, of which none is there where a value is null.
pub(super) enum Column<'a> {
    Whole(&'a [f64]),
    Filled(Vec<f64>),
}

impl Column<'_> {
    pub(super) fn numbers(&self) -> &[f64] {
        match self {
            Self::Whole(numbers) => numbers,
            Self::Filled(numbers) => numbers,
        }
    }
}

pub(super) fn columns_of(values: &[ArrayRef]) -> Result<Vec<Column<'_>>> {
    values.iter().map(column_of).collect()
}

fn column_of(values: &ArrayRef) -> Result<Column<'_>> {
    let Some(numbers) = values.as_primitive_opt::<Float64Type>() else {
        return internal_err!("sums over {}", values.data_type());
    };
    Ok(match numbers.null_count() {
        0 => Column::Whole(numbers.values()),
        _ => Column::Filled(numbers.iter().map(|number| number.unwrap_or(f64::NAN)).collect()),
    })
}

pub(super) fn failed(error: millpond_model::Error) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}
