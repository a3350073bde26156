//! Predictions as plain SQL expressions over columns, whose SQL is given by name.
//!
//! A row whose features cannot all be used has NULL. Probabilities need no care for overflow beyond this: `exp` of a great
//! number is infinite in IEEE arithmetic, and 1 over that is 0, which is right. So a class has the probability
//! `1 / Σ exp(s_j - s)`, whose differences of scores are one sum over the terms each, and no maximum must be known before.
//!
//! The functions used are `abs`, `exp`, `sqrt`, `greatest`, `least`, `make_array`, `array_position` and `named_struct`, and
//! `model_usable`, which is true for a row of numbers that can all be used.

use crate::design::Design;
use crate::error::Error;
use crate::fitted::{FittedModel, Parameters};
use crate::kmeans::KMeans;
use crate::naive_bayes::GaussianNb;
use crate::sql;

/// Gives the SQL of a column.
pub type ColumnSql<'a> = &'a dyn Fn(&str) -> String;

impl FittedModel {
    /// The value of a linear regression, the label of a classification, the number of a cluster from 0.
    pub fn predict(&self, column: ColumnSql<'_>) -> String {
        match &self.parameters() {
            Parameters::LinearRegression(linear) => {
                let value = |place: usize| linear.coefficients[place].map_or(0.0, |estimate| estimate.value);
                let intercept = linear.intercept.map_or(0.0, |estimate| estimate.value);
                self.usable(column, &linear_sum(self.design(), column, intercept, &value))
            }
            Parameters::Kmeans(kmeans) => {
                let distances = self.distances(kmeans, column);
                let place = first_place(&distances, "least");
                self.usable(column, &format!("{place} - 1"))
            }
            Parameters::LogisticRegression(_) | Parameters::GaussianNb(_) => self.class(column),
        }
    }

    /// The label of the most probable class; of equal ones the first. Errors: it is no classification.
    pub fn predict_class(&self, column: ColumnSql<'_>) -> Result<String, Error> {
        match self.labels().is_empty() {
            true => Err(self.no_classes("predict_class")),
            false => Ok(self.class(column)),
        }
    }

    /// The probability of a label, or of all as a structure whose fields are the labels.
    /// Errors: it is no classification; there is no such label.
    pub fn predict_proba(&self, label: Option<&str>, column: ColumnSql<'_>) -> Result<String, Error> {
        if self.labels().is_empty() {
            return Err(self.no_classes("predict_proba"));
        }
        let names: Vec<String> = self.labels().iter().map(ToString::to_string).collect();
        let probability = match label {
            Some(label) => match names.iter().position(|name| name == label) {
                Some(class) => self.probability(class, column),
                None => {
                    let error = Error::option(format!("the model has no label '{label}'"));
                    return Err(error.hint(crate::options::suggestion(label, &names)));
                }
            },
            None => {
                let field = |(class, name): (usize, &String)| {
                    format!("{}, {}", sql::text(name), self.probability(class, column))
                };
                let fields: Vec<String> = names.iter().enumerate().map(field).collect();
                format!("named_struct({})", fields.join(", "))
            }
        };
        Ok(self.usable(column, &probability))
    }

    /// The distance from the nearest centroid. Errors: it has no clusters.
    pub fn distance(&self, column: ColumnSql<'_>) -> Result<String, Error> {
        match &self.parameters() {
            Parameters::Kmeans(kmeans) => {
                let distances = self.distances(kmeans, column).join(", ");
                Ok(self.usable(column, &format!("sqrt(least({distances}))")))
            }
            _ => Err(Error::option("only k-means has a distance")),
        }
    }

    fn usable(&self, column: ColumnSql<'_>, value: &str) -> String {
        format!("CASE WHEN {} THEN {value} END", self.design().usable_sql(column))
    }

    fn no_classes(&self, function: &str) -> Error {
        let error = Error::option(format!("{function} needs a model that classifies"));
        error.hint("logistic_regression and gaussian_nb do; use predict")
    }

    /// Classes that can be predicted.
    fn candidates(&self) -> Vec<usize> {
        let has_rows = |class: &usize| match self.parameters() {
            Parameters::GaussianNb(bayes) => bayes.priors[*class] > 0.0,
            _ => true,
        };
        (0..self.labels().len()).filter(has_rows).collect()
    }

    fn class(&self, column: ColumnSql<'_>) -> String {
        let candidates = self.candidates();
        let label = |class: usize| self.labels()[class].sql();
        let class = match candidates[..] {
            [only] => label(only),
            [first, second] => {
                let difference = self.difference(second, first, column);
                format!(
                    "CASE WHEN {difference} > 0.0 THEN {} ELSE {} END",
                    label(second),
                    label(first)
                )
            }
            _ => {
                let score = |class: &usize| match *class == candidates[0] {
                    true => "0.0".to_owned(),
                    false => self.difference(*class, candidates[0], column),
                };
                let scores: Vec<String> = candidates.iter().map(score).collect();
                let branch = |(place, class): (usize, &usize)| ((place + 1).to_string(), label(*class));
                let branches: Vec<_> = candidates.iter().enumerate().map(branch).collect();
                sql::case(&first_place(&scores, "greatest"), &branches, None)
            }
        };
        self.usable(column, &class)
    }

    fn probability(&self, class: usize, column: ColumnSql<'_>) -> String {
        let candidates = self.candidates();
        if !candidates.contains(&class) {
            return "0.0".to_owned();
        }
        let other = |other: &usize| match *other == class {
            true => "1.0".to_owned(),
            false => format!("exp({})", self.difference(*other, class, column)),
        };
        let parts: Vec<String> = candidates.iter().map(other).collect();
        format!("1.0 / ({})", sql::balanced(&parts, " + ", "1.0"))
    }

    /// The score of a class less that of another; a score is the logarithm of a probability but for a constant.
    fn difference(&self, a: usize, b: usize, column: ColumnSql<'_>) -> String {
        match self.parameters() {
            Parameters::LogisticRegression(logistic) => {
                let part = |class: usize, value: &dyn Fn(usize) -> f64| match (self.labels().len(), class) {
                    (2, 0) => 0.0,
                    (2, _) => value(0),
                    _ => value(class),
                };
                let both = |value: &dyn Fn(usize) -> f64| part(a, value) - part(b, value);
                let intercept = both(&|vector| logistic.intercepts[vector]);
                let value = |term: usize| both(&|vector| logistic.coefficients[vector][term].unwrap_or(0.0));
                linear_sum(self.design(), column, intercept, &value)
            }
            Parameters::GaussianNb(bayes) => bayes_sum(self.design(), column, bayes, (a, b)),
            Parameters::LinearRegression(_) | Parameters::Kmeans(_) => "0.0".to_owned(),
        }
    }

    /// The squared distance from each centroid.
    fn distances(&self, kmeans: &KMeans, column: ColumnSql<'_>) -> Vec<String> {
        let weight = |term: usize| kmeans.centroids.divisors[term].powi(-2);
        let distance = |centroid: &Vec<f64>| {
            let of_number = |term: usize, value: &str| Some(square(value, centroid[term], weight(term)));
            let of_flag =
                |term: usize| [0.0, 1.0].map(|at: f64| (at - centroid[term]).powi(2) * weight(term));
            self.design().sum_sql(column, 0.0, &of_number, &of_flag)
        };
        kmeans.centroids.centroids.iter().map(distance).collect()
    }
}

/// Intercept and coefficients times terms.
fn linear_sum(
    design: &Design,
    column: ColumnSql<'_>,
    intercept: f64,
    value: &dyn Fn(usize) -> f64,
) -> String {
    let of_number = |term: usize, sql: &str| {
        let value = value(term);
        (value != 0.0).then(|| format!("{} * {sql}", sql::number(value)))
    };
    design.sum_sql(column, intercept, &of_number, &|term| [0.0, value(term)])
}

/// Logarithms of the densities of two classes, subtracted.
fn bayes_sum(design: &Design, column: ColumnSql<'_>, bayes: &GaussianNb, (a, b): (usize, usize)) -> String {
    let fixed = |class: usize| {
        let spread: f64 = bayes.variances[class].iter().map(|variance| variance.ln()).sum();
        bayes.priors[class].ln() - 0.5 * spread
    };
    let (means, precision) = (&bayes.means, |class: usize, term: usize| {
        0.5 / bayes.variances[class][term]
    });
    let of_number = |term: usize, value: &str| {
        let of_class = |class: usize| square(value, means[class][term], precision(class, term));
        Some(format!("{} - {}", of_class(b), of_class(a)))
    };
    let of_flag = |term: usize| {
        let of_class = |class: usize, at: f64| (at - means[class][term]).powi(2) * precision(class, term);
        [0.0, 1.0].map(|at| of_class(b, at) - of_class(a, at))
    };
    design.sum_sql(column, fixed(a) - fixed(b), &of_number, &of_flag)
}

/// The square of a difference, times a weight.
fn square(value: &str, middle: f64, weight: f64) -> String {
    let away = format!("({value} - {})", sql::number(middle));
    match weight == 1.0 {
        true => format!("{away} * {away}"),
        false => format!("{away} * {away} * {}", sql::number(weight)),
    }
}

/// The place, from 1, of the first value that is the greatest or the least.
fn first_place(values: &[String], function: &str) -> String {
    let values = values.join(", ");
    format!("CAST(array_position(make_array({values}), {function}({values})) AS BIGINT)")
}

#[cfg(test)]
mod evaluator;
#[cfg(test)]
mod tests;
