//! What was learned: all that the catalog stores of a version of a model, and that [`crate::formula`] needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::design::Design;
use crate::error::Error;
use crate::kmeans::KMeans;
use crate::label::Label;
use crate::linear::{Estimate, Linear};
use crate::logistic::Logistic;
use crate::naive_bayes::GaussianNb;

/// The parameters of a model, by its type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Parameters {
    /// Linear regression.
    LinearRegression(Linear),
    /// Logistic regression.
    LogisticRegression(Logistic),
    /// Gaussian naive Bayes.
    GaussianNb(GaussianNb),
    /// K-means.
    Kmeans(KMeans),
}

/// A fitted model. Its columns, terms and labels are those of its parameters: [`FittedModel::new`] and
/// [`FittedModel::from_json`] see to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedModel {
    design: Design,
    /// Of the classes, in the order of their numbers; empty for regression and clusters.
    labels: Vec<Label>,
    parameters: Parameters,
    /// By name, such as `r2`. Those of the fit itself are there from the start; evaluation adds others.
    pub metrics: BTreeMap<String, f64>,
}

/// A line of the table of coefficients.
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficient {
    /// The term; `intercept`, or `prior` of naive Bayes.
    pub term: String,
    /// The class or the number of the cluster that it is of, if there are several.
    pub class: Option<String>,
    /// The value: a coefficient, a mean, a middle. None: the term has none, see the warnings.
    pub estimate: Option<Estimate>,
    /// The variance of naive Bayes.
    pub variance: Option<f64>,
}

impl FittedModel {
    /// Of a design and what was learned with it. Errors: they do not fit each other.
    pub fn new(design: Design, labels: Vec<Label>, parameters: Parameters) -> Result<Self, Error> {
        let metrics = parameters
            .metrics()
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        let model = Self {
            design,
            labels,
            parameters,
            metrics,
        };
        model.checked()
    }

    /// As JSON. Errors: a number is not finite, which JSON has no word for.
    pub fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|cause| Error::state(format!("write a model: {cause}")))
    }

    /// Of JSON. Errors: it is of no model.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        // JSON is YAML too, and this reader gives numbers back to the last digit.
        let model: Self =
            serde_norway::from_str(json).map_err(|cause| Error::state(format!("read a model: {cause}")))?;
        model.checked()
    }

    fn checked(self) -> Result<Self, Error> {
        let terms = self.design.terms().len();
        let labels = self.labels.len();
        let all = |vectors: &[Vec<f64>]| vectors.iter().all(|vector| vector.len() == terms);
        let fits = match &self.parameters {
            Parameters::LinearRegression(linear) => linear.coefficients.len() == terms,
            Parameters::LogisticRegression(logistic) => {
                let vectors = if labels == 2 { 1 } else { labels };
                labels > 1
                    && logistic.intercepts.len() == vectors
                    && logistic.coefficients.len() == vectors
                    && logistic.coefficients.iter().all(|vector| vector.len() == terms)
            }
            Parameters::GaussianNb(bayes) => {
                let lengths = [
                    bayes.priors.len(),
                    bayes.means.len(),
                    bayes.variances.len(),
                    bayes.counts.len(),
                ];
                lengths.iter().all(|length| *length == labels)
                    && all(&bayes.means)
                    && all(&bayes.variances)
                    && bayes.priors.iter().any(|prior| *prior > 0.0)
            }
            Parameters::Kmeans(kmeans) => {
                let centroids = &kmeans.centroids;
                centroids.divisors.len() == terms
                    && all(&centroids.centroids)
                    && !centroids.centroids.is_empty()
            }
        };
        match fits {
            true => Ok(self),
            false => Err(Error::state("the parameters of a model do not fit its columns")),
        }
    }

    /// The features.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// The labels of classes.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// What was learned.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Rows that it was learned from.
    pub fn rows(&self) -> u64 {
        match &self.parameters {
            Parameters::LinearRegression(linear) => linear.rows,
            Parameters::LogisticRegression(logistic) => logistic.rows,
            Parameters::GaussianNb(bayes) => bayes.counts.iter().sum(),
            Parameters::Kmeans(kmeans) => kmeans.counts.iter().sum(),
        }
    }

    /// What whoever uses it should know.
    pub fn warnings(&self) -> &[String] {
        match &self.parameters {
            Parameters::LinearRegression(linear) => &linear.warnings,
            Parameters::LogisticRegression(logistic) => &logistic.warnings,
            Parameters::GaussianNb(bayes) => &bayes.warnings,
            Parameters::Kmeans(kmeans) => &kmeans.warnings,
        }
    }

    /// All numbers that were learned, as a table.
    pub fn coefficients(&self) -> Vec<Coefficient> {
        let terms = self.design.names();
        match &self.parameters {
            Parameters::LinearRegression(linear) => {
                let mut lines = vec![("intercept".to_owned(), linear.intercept)];
                lines.retain(|(_, intercept)| intercept.is_some());
                lines.extend(terms.into_iter().zip(linear.coefficients.iter().copied()));
                let line = |(term, estimate)| Coefficient {
                    term,
                    class: None,
                    estimate,
                    variance: None,
                };
                lines.into_iter().map(line).collect()
            }
            Parameters::LogisticRegression(logistic) => {
                let classes = if self.labels.len() == 2 {
                    &self.labels[1..]
                } else {
                    &self.labels[..]
                };
                let vectors = logistic.intercepts.iter().zip(&logistic.coefficients);
                let lines = classes.iter().zip(vectors).map(|(label, (intercept, values))| {
                    let values = std::iter::once(Some(*intercept)).chain(values.iter().copied());
                    table(&label.to_string(), "intercept", &terms, values)
                });
                lines.flatten().collect()
            }
            Parameters::GaussianNb(bayes) => {
                let of_class = |class: usize| {
                    let values =
                        std::iter::once(bayes.priors[class]).chain(bayes.means[class].iter().copied());
                    let mut lines = table(&self.labels[class].to_string(), "prior", &terms, values.map(Some));
                    for (line, variance) in lines.iter_mut().skip(1).zip(&bayes.variances[class]) {
                        line.variance = Some(*variance);
                    }
                    lines
                };
                (0..self.labels.len()).flat_map(of_class).collect()
            }
            Parameters::Kmeans(kmeans) => {
                let centroids = kmeans.centroids.centroids.iter().enumerate();
                let lines = centroids.map(|(number, centroid)| {
                    let values = std::iter::once(None).chain(centroid.iter().copied().map(Some));
                    table(&number.to_string(), "", &terms, values).split_off(1)
                });
                lines.flatten().collect()
            }
        }
    }
}

/// Lines of a class: one under a name of its own, then one for each term.
fn table(
    class: &str,
    first: &str,
    terms: &[String],
    values: impl Iterator<Item = Option<f64>>,
) -> Vec<Coefficient> {
    let names = std::iter::once(first).chain(terms.iter().map(String::as_str));
    let line = |(term, value): (&str, Option<f64>)| Coefficient {
        term: term.to_owned(),
        class: Some(class.to_owned()),
        estimate: value.map(|value| Estimate {
            value,
            standard_error: None,
            t: None,
            p: None,
        }),
        variance: None,
    };
    names.zip(values).map(line).collect()
}

impl Parameters {
    fn metrics(&self) -> Vec<(&'static str, Option<f64>)> {
        match self {
            Self::LinearRegression(linear) => vec![
                ("r2", linear.r2),
                ("adjusted_r2", linear.adjusted_r2),
                ("rmse", Some(linear.rmse)),
                ("residual_variance", linear.residual_variance),
                ("condition_number", Some(linear.condition_number)),
            ],
            Self::LogisticRegression(logistic) => vec![
                ("log_loss", Some(logistic.log_loss)),
                ("iterations", Some(f64::from(logistic.iterations))),
            ],
            Self::GaussianNb(_) => Vec::new(),
            Self::Kmeans(kmeans) => vec![
                ("inertia", Some(kmeans.inertia)),
                ("iterations", Some(f64::from(kmeans.iterations))),
            ],
        }
    }
}
