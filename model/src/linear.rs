//! Linear regression from [`Moments`], whose last column is the label.
//!
//! Ordinary least squares, or ridge: the objective is that of scikit-learn's `Ridge`, `|y - Xw - b|² + l2 · |w|²`, where the
//! intercept `b` is not penalised. The normal equations of the columns, each scaled to a length of 1, are solved in numbers
//! of twice the digits. So their condition, the square of that of the rows, loses nothing, and the result is that of a QR
//! decomposition of the rows, after any history of the moments.
//!
//! A column that is constant or follows from those before it has no coefficient. "Follows" means that no more of it is left
//! than the last bits of its values amount to.
//!
//! Coefficients are per unit of the column even if penalised on the scale of its deviation.

mod errors;

pub use errors::{LinearErrors, LinearMetrics, Predictor};

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::error::Error;
use crate::ldl::{Ldl, Symmetric};
use crate::moments::Moments;
use crate::twofold::Twofold;

/// Least part of a column that is not taken for dependent on others, whatever its values.
const LEAST_REST: f64 = 1e-24;
/// Condition from which on coefficients are called unsure. The last bits of the rows may show in half of their digits.
const CONDITION_HIGH: f64 = 1e8;

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearOptions {
    /// Penalty of the squares of coefficients; 0 for ordinary least squares.
    pub l2: f64,
    /// Whether there is an intercept.
    pub intercept: bool,
    /// Whether the penalty is on coefficients of columns divided by their deviations. Without a penalty it changes nothing.
    pub standardize: bool,
}

/// A coefficient and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The coefficient: units of the label per unit of the column.
    pub value: f64,
    /// Its standard error. None of a penalised fit: the estimate is biased, and an interval around it would not cover the
    /// true value as often as it says. None without degrees of freedom.
    pub standard_error: Option<f64>,
    /// Value over standard error.
    pub t: Option<f64>,
    /// Probability of a greater |t| if the true value were 0: two-sided, of Student's distribution.
    pub p: Option<f64>,
}

/// A fitted linear regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// None if it was not asked for.
    pub intercept: Option<Estimate>,
    /// One for each column; None is a column without one, which counts as 0.
    pub coefficients: Vec<Option<Estimate>>,
    /// Rows.
    pub rows: u64,
    /// Rows less coefficients and intercept; may be below 0. With a penalty still so, as if there were none.
    pub degrees_of_freedom: i64,
    /// Share of the variance of the label that is explained; without an intercept, of its square. None for a constant label.
    pub r2: Option<f64>,
    /// The same, corrected for the number of coefficients.
    pub adjusted_r2: Option<f64>,
    /// Sum of squared errors over degrees of freedom.
    pub residual_variance: Option<f64>,
    /// Root of the mean squared error, in the unit of the label.
    pub rmse: f64,
    /// Condition number of the scaled columns that have coefficients (Belsley's, of centred columns if there is an
    /// intercept): coefficients may lose as many digits of the data as it has.
    pub condition_number: f64,
    /// What whoever uses it should know.
    pub warnings: Vec<String>,
}

/// How well a linear regression fits rows that it may not have seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearScore {
    /// Rows.
    pub rows: u64,
    /// Share of the variance of the label that is explained; None for a constant label.
    pub r2: Option<f64>,
    /// Root of the mean squared error.
    pub rmse: f64,
}

/// The normal equations.
struct Equations {
    /// Of features and label; centred if there is an intercept.
    products: Symmetric<Twofold>,
    means: Vec<Twofold>,
    count: Twofold,
}

impl Equations {
    fn new(moments: &Moments, intercept: bool) -> Self {
        let product = |i, j| match intercept {
            true => moments.comoment_twofold(i, j),
            false => moments.product_twofold(i, j),
        };
        Self {
            products: Symmetric::new(moments.columns(), product),
            means: (0..moments.columns())
                .map(|column| moments.mean_twofold(column))
                .collect(),
            count: Twofold::from(moments.count() as f64),
        }
    }

    /// Sum of squared errors around their mean, or around 0 if not centred.
    fn squared_errors(&self, coefficients: &[Twofold]) -> Twofold {
        let mut errors: Vec<Twofold> = coefficients.iter().map(|value| -*value).collect();
        errors.push(Twofold::from(1.0));
        let times = self.products.times(&errors);
        let sum = errors
            .iter()
            .zip(times)
            .fold(Twofold::ZERO, |sum, (a, b)| sum + *a * b);
        match sum.value() > 0.0 {
            true => sum,
            false => Twofold::ZERO,
        }
    }

    /// Mean of the label less that of the prediction without an intercept.
    fn mean_error(&self, coefficients: &[Twofold]) -> Twofold {
        let label = self.means[coefficients.len()];
        let terms = coefficients.iter().zip(&self.means);
        terms.fold(label, |rest, (value, mean)| rest - *value * *mean)
    }
}

impl Linear {
    /// Fits the last column by the others, whose names are for warnings.
    ///
    /// Errors: there are no rows, or a sum is too great.
    pub fn fit(moments: &Moments, names: &[String], options: LinearOptions) -> Result<Self, Error> {
        let features = moments.columns().saturating_sub(1);
        if moments.count() == 0 || names.len() != features {
            return Err(no_rows(moments.left_out()));
        }
        let equations = Equations::new(moments, options.intercept);
        let diagonal = |column: usize| equations.products.at(column, column).value();
        if !(0..=features).all(|column| diagonal(column).is_finite()) {
            return Err(Error::data("the squares of the values have no finite sum").hint("scale the columns"));
        }
        let mut warnings = Vec::new();
        // 1 over the length of a column.
        let is_constant = |column: usize| {
            diagonal(column) <= 0.0 || options.intercept && moments.scale(column).deviation == 0.0
        };
        let used: Vec<usize> = (0..features).filter(|column| !is_constant(*column)).collect();
        for column in (0..features).filter(|column| is_constant(*column)) {
            warnings.push(format!(
                "'{}' is {} and has no coefficient",
                names[column],
                if options.intercept {
                    "constant"
                } else {
                    "0 everywhere"
                }
            ));
        }
        let by: Vec<f64> = used.iter().map(|column| 1.0 / diagonal(*column).sqrt()).collect();
        let penalty = |place: usize| match options.standardize {
            false => Twofold::from(options.l2) * Twofold::product(by[place], by[place]),
            true => {
                let variance = moments.comoment_twofold(used[place], used[place]) / equations.count;
                Twofold::from(options.l2) * Twofold::product(by[place], by[place]) * variance
            }
        };
        let scaled =
            |i: usize, j: usize| equations.products.at(used[i], used[j]) * Twofold::product(by[i], by[j]);
        let matrix = Symmetric::new(used.len(), |i, j| match i == j {
            true => scaled(i, j) + penalty(i),
            false => scaled(i, j),
        });
        let ldl = Ldl::new(&matrix, least_rest(moments, &used, options.intercept));
        for (row, from) in &ldl.dependent {
            warnings.push(follows(*row, from, &used, names));
        }
        let right: Vec<Twofold> = (0..used.len())
            .map(|place| equations.products.at(features, used[place]) * Twofold::from(by[place]))
            .collect();
        let mut values = vec![Twofold::ZERO; features];
        for (place, value) in ldl.solve(&right).into_iter().enumerate() {
            values[used[place]] = value * Twofold::from(by[place]);
        }

        let rows = moments.count();
        let fitted = ldl.kept.len() + usize::from(options.intercept);
        let degrees_of_freedom = rows as i64 - fitted as i64;
        let total = equations.products.at(features, features);
        let mut errors = equations.squared_errors(&values);
        if errors.value() <= rows as f64 * 1e-30 * total.value() {
            errors = Twofold::ZERO;
        }
        let residual_variance = (degrees_of_freedom > 0).then(|| errors.value() / degrees_of_freedom as f64);
        let label_varies =
            total.value() > 0.0 && !(options.intercept && moments.scale(features).deviation == 0.0);
        let r2 = label_varies.then(|| 1.0 - (errors / total).value());
        let condition_number = match ldl.kept.is_empty() {
            true => 1.0,
            false => ldl.condition(&Symmetric::new(used.len(), scaled)).sqrt(),
        };
        warnings.extend(doubts(rows, fitted, label_varies, condition_number, options.l2));

        let variance = residual_variance.filter(|_| options.l2 == 0.0);
        let estimate = |value: Twofold, of_unit: Twofold| {
            let error = variance.map(|variance| (variance * of_unit.value()).sqrt());
            Estimate::new(value.value(), error, degrees_of_freedom)
        };
        let mut coefficients = vec![None; features];
        for place in &ldl.kept {
            let mut unit = vec![Twofold::ZERO; used.len()];
            unit[*place] = Twofold::from(by[*place]);
            let of_unit = match variance {
                Some(_) => ldl.quadratic(&unit),
                None => Twofold::ZERO,
            };
            coefficients[used[*place]] = Some(estimate(values[used[*place]], of_unit));
        }
        let intercept = options.intercept.then(|| {
            let means: Vec<Twofold> = used
                .iter()
                .zip(&by)
                .map(|(column, by)| equations.means[*column] * Twofold::from(*by))
                .collect();
            let of_unit = Twofold::from(1.0) / equations.count + ldl.quadratic(&means);
            estimate(equations.mean_error(&values), of_unit)
        });
        Ok(Self {
            intercept,
            coefficients,
            rows,
            degrees_of_freedom,
            r2,
            adjusted_r2: r2.filter(|_| degrees_of_freedom > 0).map(|r2| {
                let before = rows as f64 - f64::from(u8::from(options.intercept));
                1.0 - (1.0 - r2) * before / degrees_of_freedom as f64
            }),
            residual_variance,
            rmse: (errors.value() / rows as f64).sqrt(),
            condition_number,
            warnings,
        })
    }

    /// How well it fits other rows, from their moments alone. Errors: there are no rows, or other columns.
    pub fn score(&self, moments: &Moments) -> Result<LinearScore, Error> {
        if moments.count() == 0 || moments.columns() != self.coefficients.len() + 1 {
            return Err(no_rows(moments.left_out()));
        }
        let equations = Equations::new(moments, true);
        let value =
            |estimate: &Option<Estimate>| Twofold::from(estimate.map_or(0.0, |estimate| estimate.value));
        let values: Vec<Twofold> = self.coefficients.iter().map(value).collect();
        let away = equations.mean_error(&values) - value(&self.intercept);
        let errors = equations.squared_errors(&values) + equations.count * away * away;
        let label = moments.columns() - 1;
        let total = equations.products.at(label, label);
        Ok(LinearScore {
            rows: moments.count(),
            r2: (moments.scale(label).deviation > 0.0).then(|| 1.0 - (errors / total).value()),
            rmse: (errors / equations.count).value().sqrt(),
        })
    }
}

impl Estimate {
    fn new(value: f64, standard_error: Option<f64>, degrees_of_freedom: i64) -> Self {
        let t = standard_error
            .filter(|error| *error > 0.0)
            .map(|error| value / error);
        let student = StudentsT::new(0.0, 1.0, degrees_of_freedom as f64).ok();
        Self {
            value,
            standard_error,
            t,
            p: t.zip(student).map(|(t, student)| 2.0 * student.sf(t.abs())),
        }
    }
}

/// The part of a column, in squares, that rounding of its values may leave when it follows from others.
fn least_rest(moments: &Moments, used: &[usize], is_centred: bool) -> f64 {
    let noise = used.iter().map(|column| {
        let scale = moments.scale(*column);
        let bits = f64::EPSILON * (scale.mean.abs() + scale.deviation);
        let length = match is_centred {
            true => scale.deviation,
            false => scale.mean.hypot(scale.deviation),
        };
        16.0 * (bits / length).powi(2)
    });
    noise.fold(LEAST_REST, f64::max)
}

fn follows(row: usize, from: &[(usize, f64)], used: &[usize], names: &[String]) -> String {
    let greatest = from
        .iter()
        .fold(0.0, |most: f64, (_, factor)| most.max(factor.abs()));
    let sources: Vec<String> = from
        .iter()
        .filter(|(_, factor)| factor.abs() > 1e-6 * greatest)
        .map(|(place, _)| format!("'{}'", names[used[*place]]))
        .collect();
    let sources = match sources.len() {
        0..=5 => sources.join(", "),
        count => format!("{} and {} others", sources[..4].join(", "), count - 4),
    };
    format!(
        "'{}' follows from {sources} and has no coefficient",
        names[used[row]]
    )
}

fn doubts(rows: u64, fitted: usize, label_varies: bool, condition: f64, l2: f64) -> Vec<String> {
    let mut warnings = Vec::new();
    if rows <= fitted as u64 && l2 == 0.0 {
        warnings.push(format!(
            "{rows} rows are too few for {fitted} coefficients: any label would fit; set l2, give more rows or fewer features"
        ));
    }
    if !label_varies {
        warnings.push("the label is constant".to_owned());
    }
    if condition > CONDITION_HIGH && l2 == 0.0 {
        warnings.push(format!(
            "features nearly follow from each other (condition number {condition:.1e}): coefficients are unsure; set l2 or \
             leave features out"
        ));
    }
    warnings
}

pub(crate) fn no_rows(left_out: u64) -> Error {
    let error = Error::data("there are no rows to learn from");
    match left_out {
        0 => error,
        rows => error.hint(format!("{rows} rows have nulls or numbers that are not finite")),
    }
}

#[cfg(test)]
mod tests;
