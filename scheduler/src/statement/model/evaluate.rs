//! How good a model is: its formula over the rows that are held out, or over all if none are.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use millpond_engine::error::Error;
use millpond_model::{FittedModel, ModelOptions, ModelType, class_sql, sql};

use super::source::Source;
use crate::catalog::predict::model_error;
use crate::statement::limits;
use crate::statement::parts::Parts;

/// Least probability whose logarithm is taken, as in scikit-learn's `log_loss`.
const LEAST_PROBABILITY: f64 = f64::EPSILON;

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
            "SELECT 1 - avg(power(label - value, 2)) / nullif(var_pop(label), 0) AS r2, \
             sqrt(avg(power(label - value, 2))) AS rmse, avg(abs(label - value)) AS mae \
             FROM ({rows}) WHERE value IS NOT NULL AND abs(label) <= 1e140"
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
        let labels = self.fitted.labels();
        let column = |name: &str| sql::ident(name);
        let proba = |class: usize| {
            let probability = self
                .fitted
                .predict_proba(Some(&labels[class].to_string()), &column);
            probability.map_err(|error| model_error(&error))
        };
        let class = self.source.class_sql(labels);
        let predicted = class_sql(&format!("({})", self.fitted.predict(&column)), labels);
        let mut own = format!("CASE {class}");
        for number in 0..labels.len() {
            own.push_str(&format!(" WHEN {number}.0 THEN {}", proba(number)?));
        }
        own.push_str(" END");
        let rows = self.rows(&[(class.clone(), "class"), (predicted, "predicted"), (own, "own")]);
        let query = format!(
            "SELECT class, predicted, count(*) AS rows, -sum(ln(greatest(own, {LEAST_PROBABILITY:?}))) AS loss \
             FROM ({rows}) WHERE class IS NOT NULL AND predicted IS NOT NULL GROUP BY class, predicted"
        );
        let groups = self.numbers(&query).await?;
        let mut metrics = confusion(
            &groups,
            &labels.iter().map(ToString::to_string).collect::<Vec<_>>(),
        );
        if labels.len() == 2 {
            let area = self
                .area(&self.rows(&[(class, "class"), (proba(1)?, "probability")]))
                .await?;
            metrics.extend(known([("roc_auc", area)]));
        }
        Ok(metrics)
    }

    /// The area under the receiver operating characteristic: by the sum of ranks, equal probabilities count half.
    async fn area(&self, rows: &str) -> Result<Option<f64>, Error> {
        let query = format!(
            "SELECT sum(positive * (below - negative / 2)) / nullif(sum(positive) * sum(negative), 0) FROM (\
             SELECT positive, negative, sum(negative) OVER (ORDER BY probability) AS below FROM (\
             SELECT probability, sum(class) AS positive, sum(1.0 - class) AS negative FROM ({rows}) \
             WHERE class IS NOT NULL AND probability IS NOT NULL GROUP BY probability))"
        );
        let found = self.numbers(&query).await?;
        Ok(found.first().and_then(|row| *row.first()?))
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

/// Those that are numbers.
fn known<const N: usize>(metrics: [(&str, Option<f64>); N]) -> Metrics {
    metrics
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.filter(|value| value.is_finite())?)))
        .collect()
}

/// Of class, predicted class, rows and the sum of their losses.
fn confusion(groups: &[Vec<Option<f64>>], labels: &[String]) -> Metrics {
    let mut metrics = Metrics::new();
    let (mut all, mut right, mut loss) = (0.0, 0.0, 0.0);
    for group in groups {
        let [Some(class), Some(predicted), Some(rows), Some(of_group)] = group[..] else {
            continue;
        };
        let (class, predicted) = (class as usize, predicted as usize);
        if let (Some(is), Some(said)) = (labels.get(class), labels.get(predicted)) {
            metrics.insert(format!("{is}{AS}{said}"), rows);
            all += rows;
            loss += of_group;
            right += if class == predicted { rows } else { 0.0 };
        }
    }
    if all > 0.0 {
        metrics.insert("accuracy".to_string(), right / all);
        metrics.insert("log_loss".to_string(), loss / all);
    }
    metrics
}
