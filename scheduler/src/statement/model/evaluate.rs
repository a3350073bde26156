//! How good a model is: its formula over the rows that are held out, or over all if none are.

use std::collections::BTreeMap;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::Float64Type;
use millpond_engine::error::Error;
use millpond_model::{ClassMetrics, FittedModel, Linear, LinearErrors, Parameters, sql};

use super::source::{Shape, Source};
use super::train::Trained;
use crate::catalog::predict::model_error;
use crate::statement::limits;
use crate::statement::parts::Parts;

/// In the name of a metric that counts rows of a class which were taken for one of another: `yes as no`.
const AS: &str = " as ";

/// True for the name of such a metric.
pub(super) fn is_confusion(name: &str) -> bool {
    name.contains(AS)
}

/// Names and values.
pub(super) type Metrics = BTreeMap<String, f64>;

/// The metrics of what was trained.
///
/// # Errors
/// Those of the queries.
pub(super) async fn evaluate_trained(parts: &Parts<'_>, trained: &Trained) -> Result<Metrics, Error> {
    match &trained.scores {
        Some(scores) => Ok(of_classes(scores, &trained.fitted)),
        None => evaluate(parts, &trained.source, &trained.fitted).await,
    }
}

/// The metrics of a model over the rows of a source. A formula that is too long for a statement has none.
///
/// # Errors
/// Those of the queries.
pub(super) async fn evaluate(
    parts: &Parts<'_>,
    source: &Source,
    fitted: &FittedModel,
) -> Result<Metrics, Error> {
    parts.say("evaluate");
    let evaluation = Evaluation {
        parts,
        source,
        fitted,
    };
    match fitted.parameters() {
        Parameters::LinearRegression(linear) => evaluation.regression(linear).await,
        Parameters::Kmeans(_) => evaluation.clusters().await,
        Parameters::LogisticRegression(_) | Parameters::GaussianNb(_) => evaluation.classification().await,
    }
}

struct Evaluation<'a> {
    parts: &'a Parts<'a>,
    source: &'a Source,
    fitted: &'a FittedModel,
}

impl Evaluation<'_> {
    async fn regression(&self, linear: &Linear) -> Result<Metrics, Error> {
        let call = self.source.regress_sql(&linear.into(), self.fitted.design());
        let query = format!("SELECT {call} FROM {}", self.source.relation);
        let Some(found) = self.one(&query).await? else {
            return Ok(Metrics::new());
        };
        let errors = LinearErrors::from_bytes(bytes_of(&found)?).map_err(|error| model_error(&error))?;
        Ok(errors.metrics().map_or_else(Metrics::new, |found| {
            known([
                ("r2", found.r2),
                ("rmse", Some(found.rmse)),
                ("mae", Some(found.mae)),
            ])
        }))
    }

    async fn clusters(&self) -> Result<Metrics, Error> {
        let distance = self.fitted.distance(&|name| sql::ident(name));
        let distance = distance.map_err(|error| model_error(&error))?;
        let rows = self.rows(&[(distance, "distance")]);
        let query = format!("SELECT CAST(sum(distance * distance) AS DOUBLE) FROM ({rows})");
        let Some(found) = self.one(&query).await? else {
            return Ok(Metrics::new());
        };
        let inertia = found.as_primitive_opt::<Float64Type>();
        let inertia = inertia.and_then(|inertia| inertia.iter().next().flatten());
        Ok(known([("inertia", inertia)]))
    }

    async fn classification(&self) -> Result<Metrics, Error> {
        let query = match self.fitted.parameters() {
            Parameters::LogisticRegression(logistic) => {
                let shape = Shape::of(self.fitted);
                let scores = self.source.classify_sql(&logistic.into(), &shape);
                format!("SELECT {scores} FROM {}", self.source.relation)
            }
            _ => self.scores_of_formulas()?,
        };
        let Some(found) = self.one(&query).await? else {
            return Ok(Metrics::new());
        };
        let scores = ClassMetrics::from_bytes(bytes_of(&found)?).map_err(|error| model_error(&error))?;
        Ok(of_classes(&scores, self.fitted))
    }

    /// A query of the scores of rows from the formulas of probabilities.
    fn scores_of_formulas(&self) -> Result<String, Error> {
        let mut scored = vec![self.source.class_sql(self.fitted.labels())];
        for label in labels_of(self.fitted) {
            let probability = self.fitted.predict_proba(Some(&label), &|name| sql::ident(name));
            scored.push(probability.map_err(|error| model_error(&error))?);
        }
        let names: Vec<String> = (0..scored.len())
            .map(|number| format!("column_{number}"))
            .collect();
        let columns = scored.into_iter().zip(names.iter().map(String::as_str));
        let rows = self.rows(&columns.collect::<Vec<_>>());
        Ok(format!("SELECT model_scores({}) FROM ({rows})", names.join(", ")))
    }

    /// A query of columns over the rows that count.
    fn rows(&self, columns: &[(String, &str)]) -> String {
        let columns = columns.iter().map(|(column, name)| format!("{column} AS {name}"));
        let columns: Vec<String> = columns.collect();
        let filter = self.source.test.as_ref();
        let filter = filter.map_or_else(String::new, |test| format!(" WHERE {test}"));
        format!(
            "SELECT {} FROM {}{filter}",
            columns.join(", "),
            self.source.relation
        )
    }

    /// The one value of a query; none if it is too long for a statement.
    async fn one(&self, query: &str) -> Result<Option<ArrayRef>, Error> {
        if limits::check_part(query).is_err() {
            return Ok(None);
        }
        let batches = self.parts.execute(query).await?;
        let found = batches.iter().find(|batch| batch.num_rows() == 1);
        let found = found.ok_or_else(|| Error::bug("the sums of a model are not there"))?;
        Ok(Some(found.column(0).clone()))
    }
}

fn bytes_of(value: &ArrayRef) -> Result<&[u8], Error> {
    let bytes = value.as_binary_opt::<i32>().map(|bytes| bytes.value(0));
    bytes.ok_or_else(|| Error::bug("the sums of a model are no bytes"))
}

fn labels_of(fitted: &FittedModel) -> Vec<String> {
    fitted.labels().iter().map(ToString::to_string).collect()
}

/// Those that are numbers.
fn known<const N: usize>(metrics: [(&str, Option<f64>); N]) -> Metrics {
    metrics
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.filter(|value| value.is_finite())?)))
        .collect()
}

/// Accuracy, loss, area, and how many rows of each class were taken for each.
fn of_classes(scores: &ClassMetrics, fitted: &FittedModel) -> Metrics {
    let labels = labels_of(fitted);
    let mut metrics = known([
        ("accuracy", scores.accuracy()),
        ("log_loss", scores.log_loss),
        ("roc_auc", scores.area),
    ]);
    for (class, is) in labels.iter().enumerate() {
        for (taken_for, said) in labels.iter().enumerate() {
            match scores.rows(class, taken_for) {
                0 => {}
                rows => drop(metrics.insert(format!("{is}{AS}{said}"), rows as f64)),
            }
        }
    }
    metrics
}
