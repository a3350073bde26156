//! How good a model is: its formula over the rows that are held out, or over all if none are.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use millpond_engine::error::Error;
use millpond_model::{ClassMetrics, FittedModel, ModelOptions, ModelType, Parameters, sql};

use super::source::{Shape, Source};
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

/// The metrics of a model over the rows of a source. A formula that is too long for a statement has none.
///
/// # Errors
/// Those of the queries.
pub(super) async fn evaluate(
    parts: &Parts<'_>,
    source: &Source,
    options: &ModelOptions,
    fitted: &FittedModel,
) -> Result<Metrics, Error> {
    parts.say("evaluate");
    let evaluation = Evaluation {
        parts,
        source,
        fitted,
    };
    match options.model_type {
        ModelType::LinearRegression => evaluation.regression().await,
        ModelType::Kmeans => evaluation.clusters().await,
        ModelType::LogisticRegression | ModelType::GaussianNb => evaluation.classification().await,
    }
}

struct Evaluation<'a> {
    parts: &'a Parts<'a>,
    source: &'a Source,
    fitted: &'a FittedModel,
}

impl Evaluation<'_> {
    async fn regression(&self) -> Result<Metrics, Error> {
        let rows = self.rows(&[
            (self.source.number_sql(), "label"),
            (self.fitted.predict(&|name| sql::ident(name)), "value"),
        ]);
        let query = format!(
            "SELECT 1 - avg(error * error) / nullif(var_pop(label), 0) AS r2, sqrt(avg(error * error)) AS rmse, avg(abs(error)) AS mae \
             FROM (SELECT label, label - value AS error FROM ({rows}) WHERE value IS NOT NULL AND abs(label) <= 1e140)"
        );
        let found = self.numbers(&query).await?;
        let Some([r2, rmse, mae]) = found.first().and_then(|row| <[_; 3]>::try_from(row.clone()).ok()) else {
            return Ok(Metrics::new());
        };
        Ok(known([("r2", r2), ("rmse", rmse), ("mae", mae)]))
    }

    async fn clusters(&self) -> Result<Metrics, Error> {
        let distance = self.fitted.distance(&|name| sql::ident(name));
        let distance = distance.map_err(|error| model_error(&error))?;
        let rows = self.rows(&[(distance, "distance")]);
        let found = self
            .numbers(&format!("SELECT sum(distance * distance) FROM ({rows})"))
            .await?;
        let inertia = found.first().and_then(|row| *row.first()?);
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
        if limits::check_part(&query).is_err() {
            return Ok(Metrics::new());
        }
        let batches = self.parts.execute(&query).await?;
        let found = batches.iter().find(|batch| batch.num_rows() == 1);
        let bytes = found.and_then(|batch| batch.column(0).as_binary_opt::<i32>());
        let bytes = bytes.ok_or_else(|| Error::bug("the scores of a model are not there"))?;
        let scores = ClassMetrics::from_bytes(bytes.value(0)).map_err(|error| model_error(&error))?;
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

    async fn numbers(&self, query: &str) -> Result<Vec<Vec<Option<f64>>>, Error> {
        if limits::check_part(query).is_err() {
            return Ok(Vec::new());
        }
        let batches = self.parts.execute(query).await?;
        let mut rows = Vec::new();
        for batch in &batches {
            rows.extend(numbers_of(batch)?);
        }
        Ok(rows)
    }
}

fn numbers_of(batch: &RecordBatch) -> Result<Vec<Vec<Option<f64>>>, Error> {
    let columns = batch.columns().iter().map(|column| {
        let column = cast(column, &DataType::Float64);
        column.map_err(|error| Error::from_datafusion(error.into()))
    });
    let columns: Vec<_> = columns.collect::<Result<_, _>>()?;
    let cell = |column: usize, row: usize| {
        let numbers = columns[column].as_primitive::<Float64Type>();
        numbers.is_valid(row).then(|| numbers.value(row))
    };
    let row = |row: usize| (0..columns.len()).map(|column| cell(column, row)).collect();
    Ok((0..batch.num_rows()).map(row).collect())
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
