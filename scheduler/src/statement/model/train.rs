//! Fits a model: sums over the rows of its query, made where these are, and solved here.
//!
//! ```text
//! query ─► columns ─► shape (categories, labels; kept from version to version) ─► SQL of sums ─► solve ─► version
//!                       ▲                                                           │ a new category or label
//!                       └───────────────────────────────────────────────────────────┘
//! ```
//!
//! Regression and naive Bayes are solved from one pass; over a live table that reads what has changed. The others need
//! many passes over the same rows: those of tables in memory are held at one version, others are copied to a table in
//! between first. A first logistic regression of many rows makes most of its steps over a sample of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use millpond_engine::error::{Code, Error};
use millpond_model::{
    ClassMetrics, ClassMoments, FittedModel, GaussianNb, KMeans, KMeansFit, KMeansOptions, KMeansStep,
    Linear, LinearOptions, LloydSums, Logistic, LogisticFit, LogisticOptions, LogisticStep, LogisticSums,
    ModelOptions, ModelType, Moments, Parameters, Scale, SeedSums, sql,
};
use millpond_proto::statement::LiveRead;

use super::evaluate::Metrics;
use super::follow;
use super::source::{Shape, Source};
use crate::catalog::predict::model_error;
use crate::statement::parts::Parts;

/// Trainings before it is given up that categories keep up with the rows.
const ATTEMPTS_MAX: usize = 3;
/// Rows of a sample, about.
const SAMPLE_ROWS: u64 = 100_000;
/// A sample that is more than one row of so many is not worth it.
const SAMPLE_PARTS_MIN: u64 = 5;
/// Greatest mean gradient at the optimum of a sample: it is only a start.
const SAMPLE_TOLERANCE: f64 = 1e-5;

/// What a training needs to know.
pub(super) struct Training<'a> {
    pub(super) parts: &'a Parts<'a>,
    pub(super) options: &'a ModelOptions,
    pub(super) query: &'a str,
    /// The version before, whose categories are kept and from which steps go on.
    pub(super) before: Option<&'a FittedModel>,
}

/// What came out.
pub(super) struct Trained {
    pub(super) fitted: FittedModel,
    /// Rows that were not learned from, since a feature or the label is null or not finite.
    pub(super) left_out: u64,
    /// What was seen of tables that follow topics.
    pub(super) reads: Vec<LiveRead>,
    /// Versions of everything else, of before the first row was read.
    pub(super) versions_read: BTreeMap<String, u64>,
    /// Sums of a linear regression over the rows that say how good it is.
    pub(super) moments: Option<Moments>,
    /// How good a classification is, if the training has looked.
    pub(super) scores: Option<ClassMetrics>,
    pub(super) source: Source,
}

impl Trained {
    /// Metrics of a linear regression that follow from sums; none if they are of other terms.
    pub(super) fn score(&self, model: &FittedModel) -> Metrics {
        let score = match (&self.moments, model.parameters()) {
            (Some(moments), Parameters::LinearRegression(linear))
                if model.design() == self.fitted.design() =>
            {
                linear.score(moments).ok()
            }
            _ => None,
        };
        let r2 = score.and_then(|score| score.r2).map(|r2| ("r2".to_string(), r2));
        let rmse = score.map(|score| ("rmse".to_string(), score.rmse));
        r2.into_iter().chain(rmse).collect()
    }
}

impl Training<'_> {
    /// Fits. Errors: the query; rows or columns that cannot be learned from.
    pub(super) async fn run(&self) -> Result<Trained, Error> {
        let versions_read =
            follow::versions_read(self.parts.services, &self.parts.statement.session, self.query).await?;
        let source = self.source().await?;
        let before = self.before.map(Shape::of);
        let mut stored = before.filter(|shape| source.has_columns_of(&shape.design));
        for _ in 0..ATTEMPTS_MAX {
            let is_stored = stored.is_some();
            let shape = match stored.take() {
                Some(shape) => shape,
                None => {
                    self.parts.say("look at categories and labels");
                    source.shape(self.parts, self.options).await?
                }
            };
            let sums = Sums {
                training: self,
                source: &source,
                shape: &shape,
                before: self.before.filter(|_| is_stored),
            };
            match sums.fit().await {
                Ok(Some(fit)) => {
                    return Ok(Trained {
                        fitted: FittedModel::new(shape.design.clone(), shape.labels.clone(), fit.parameters)
                            .map_err(|error| model_error(&error))?,
                        left_out: fit.left_out,
                        reads: fit.reads,
                        versions_read,
                        moments: fit.moments,
                        scores: fit.scores,
                        source,
                    });
                }
                // The rows have a category that is not stored, or lack a label that is.
                Ok(None) => {}
                Err(error) if is_stored && error.code == Code::MODEL => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::user(
            Code::MODEL,
            "categories or labels come faster than they can be learned",
        )
        .with_hint("leave texts with many different values out of the query, or group them"))
    }

    async fn source(&self) -> Result<Source, Error> {
        let query = format!("({}) AS source", self.query);
        if self.options.model_type.is_one_pass() {
            return Source::open(self.parts, &query, self.options).await;
        }
        let is_held = self.parts.hold_rows_of(self.query).await?;
        // What cannot be learned from is told before rows are copied.
        let source = Source::open(self.parts, &query, self.options).await?;
        if is_held {
            return Ok(source);
        }
        let table = sql::ident(&format!("{}_rows", self.parts.prefix()));
        self.parts.say("copy the rows");
        self.parts
            .store(&table, &format!("SELECT * FROM {query}"))
            .await?;
        Source::open(self.parts, &table, self.options).await
    }
}

/// Over what is summed.
#[derive(Clone, Copy)]
enum Rows<'a> {
    /// All rows of the query.
    All,
    /// Those of a table in between.
    Stored(&'a str),
}

/// The sums of one training with one shape.
struct Sums<'a> {
    training: &'a Training<'a>,
    source: &'a Source,
    shape: &'a Shape,
    before: Option<&'a FittedModel>,
}

struct Fit {
    parameters: Parameters,
    left_out: u64,
    reads: Vec<LiveRead>,
    moments: Option<Moments>,
    scores: Option<ClassMetrics>,
}

impl Sums<'_> {
    /// None: there is a category or label that the shape does not have.
    async fn fit(&self) -> Result<Option<Fit>, Error> {
        self.training.parts.say("sum over all rows");
        match self.training.options.model_type {
            ModelType::LinearRegression => self.linear().await,
            ModelType::GaussianNb => self.naive_bayes().await,
            ModelType::LogisticRegression => self.logistic().await,
            ModelType::Kmeans => self.kmeans().await,
        }
    }

    async fn linear(&self) -> Result<Option<Fit>, Error> {
        let label = self.source.number_sql();
        let terms = self.terms();
        let of = |label: &str| format!("model_moments({terms}, {label})");
        let Some((train, test, left_out)) = self.moments(&of, &label).await? else {
            return Ok(None);
        };
        let options = self.training.options;
        let options = LinearOptions {
            l2: options.l2,
            intercept: options.intercept,
            standardize: options.standardize,
        };
        let linear = Linear::fit(&train, &self.shape.design.names(), options).map_err(refused)?;
        Ok(Some(Fit {
            parameters: Parameters::LinearRegression(linear),
            left_out,
            reads: self.reads(),
            moments: Some(test.unwrap_or(train)),
            scores: None,
        }))
    }

    async fn naive_bayes(&self) -> Result<Option<Fit>, Error> {
        let Some((moments, left_out)) = self.class_moments().await? else {
            return Ok(None);
        };
        let bayes = GaussianNb::fit(&moments, &self.label_names()).map_err(refused)?;
        Ok(Some(Fit {
            parameters: Parameters::GaussianNb(bayes),
            left_out,
            reads: self.reads(),
            moments: None,
            scores: None,
        }))
    }

    async fn logistic(&self) -> Result<Option<Fit>, Error> {
        let Some((moments, left_out)) = self.class_moments().await? else {
            return Ok(None);
        };
        let options = self.training.options;
        let weights = options.class_weights.of(&self.shape.labels).map_err(refused)?;
        let options = LogisticOptions {
            l2: options.l2,
            intercept: options.intercept,
            standardize: options.standardize,
            class_weights: weights,
            max_iterations: options.max_iterations,
            tolerance: options.tolerance,
        };
        let before = self.before.and_then(|before| match before.parameters() {
            Parameters::LogisticRegression(logistic) => Some(logistic),
            _ => None,
        });
        let (names, labels) = (self.shape.design.names(), self.label_names());
        let start = |options: LogisticOptions, from: Option<&Logistic>| {
            LogisticFit::start(&moments, &names, &labels, options, from).map_err(refused)
        };
        let near = match before {
            Some(_) => None,
            None => self.near_the_end(&moments, &options, start).await?,
        };
        let fit = start(options.clone(), before.or(near.as_ref()))?;
        let mut fitted = self.newton(fit, Rows::All).await;
        if near.is_some() && !fitted.as_ref().is_ok_and(|(logistic, _)| logistic.converged) {
            fitted = self.newton(start(options, None)?, Rows::All).await;
        }
        let (logistic, scores) = fitted?;
        Ok(Some(Fit {
            parameters: Parameters::LogisticRegression(logistic),
            left_out,
            reads: self.reads(),
            moments: None,
            scores,
        }))
    }

    /// The optimum of a sample, if the rows are many: from there few steps over all of them are left. None if the sample
    /// has no optimum.
    async fn near_the_end(
        &self,
        moments: &ClassMoments,
        options: &LogisticOptions,
        start: impl Fn(LogisticOptions, Option<&Logistic>) -> Result<LogisticFit, Error>,
    ) -> Result<Option<Logistic>, Error> {
        let one_of = moments.count() / SAMPLE_ROWS;
        if one_of < SAMPLE_PARTS_MIN {
            return Ok(None);
        }
        let (parts, relation) = (self.training.parts, &self.source.relation);
        parts.say("look at a sample");
        let table = sql::ident(&format!("{}_sample", parts.prefix()));
        let hash = format!("row_hash({})", self.source.features_sql());
        let sample = format!("SELECT * FROM {relation} WHERE {hash} % {one_of} = 0");
        if let Err(error) = parts.store(&table, &sample).await {
            tracing::debug!(%error, "train without a sample");
            return Ok(None);
        }
        let options = LogisticOptions {
            // Beside so many times fewer losses.
            l2: options.l2 / one_of as f64,
            tolerance: options.tolerance.max(SAMPLE_TOLERANCE) / one_of as f64,
            ..options.clone()
        };
        let sampled = self.newton(start(options, None)?, Rows::Stored(&table)).await;
        parts.say("sum over all rows");
        match sampled {
            Ok((logistic, _)) => Ok(Some(logistic).filter(|logistic| logistic.converged)),
            Err(error) if error.code == Code::MODEL => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Newton's steps to the optimum, and how good it is if the last pass over all rows has shown that.
    async fn newton(
        &self,
        mut fit: LogisticFit,
        rows: Rows<'_>,
    ) -> Result<(Logistic, Option<ClassMetrics>), Error> {
        let (terms, class) = (
            self.terms(),
            self.train(&self.source.class_sql(&self.shape.labels)),
        );
        let mut point = fit.point().clone();
        loop {
            let at = sql::bytes(&point.to_bytes());
            let mut columns = vec![format!("model_logistic({at}, {class}, {terms})")];
            if fit.expects_end() && matches!(rows, Rows::All) {
                columns.push(self.source.classify_sql(&fit.classifier(), self.shape));
            }
            let found = self.row(&columns, rows).await?;
            let sums = LogisticSums::from_bytes(&found[0]).map_err(refused)?;
            match fit.absorb(&sums).map_err(refused)? {
                LogisticStep::Evaluate(next) => point = next,
                LogisticStep::Done(logistic) => {
                    let scored = found.get(1).zip(fit.into_model_at_point());
                    return Ok(match scored {
                        Some((scores, logistic)) => {
                            (logistic, Some(ClassMetrics::from_bytes(scores).map_err(refused)?))
                        }
                        None => (*logistic, None),
                    });
                }
            }
        }
    }

    async fn kmeans(&self) -> Result<Option<Fit>, Error> {
        let terms = self.shape.design.terms_sql(&|name| sql::ident(name));
        let of = |first: &str| {
            let rest: String = terms[1..].iter().map(|term| format!(", {term}")).collect();
            format!("model_moments({first}{rest})")
        };
        let Some((train, _, left_out)) = self.moments(&of, &terms[0]).await? else {
            return Ok(None);
        };
        let scales: Vec<Scale> = (0..train.columns()).map(|column| train.scale(column)).collect();
        let options = self.training.options;
        let options = KMeansOptions {
            clusters: options.clusters,
            standardize: options.standardize,
            seed: options.seed,
            max_iterations: options.max_iterations,
            tolerance: options.tolerance,
        };
        let before = self.before.and_then(|before| match before.parameters() {
            Parameters::Kmeans(kmeans) => Some(&kmeans.centroids),
            _ => None,
        });
        let (mut fit, mut step) = KMeansFit::start(&scales, options, before).map_err(refused)?;
        let mut terms = terms.clone();
        terms[0] = self.train(&terms[0]);
        let terms = terms.join(", ");
        let kmeans: Box<KMeans> = loop {
            step = match step {
                KMeansStep::Seeds(round) => {
                    let at = sql::bytes(&round.to_bytes());
                    let sums = self.sums(&format!("model_seeds({at}, {terms})")).await?;
                    fit.absorb_seeds(&SeedSums::from_bytes(&sums).map_err(refused)?)
                }
                KMeansStep::Lloyd(centroids) => {
                    let at = sql::bytes(&centroids.to_bytes());
                    let sums = self.sums(&format!("model_lloyd({at}, {terms})")).await?;
                    fit.absorb(&LloydSums::from_bytes(&sums).map_err(refused)?)
                }
                KMeansStep::Done(kmeans) => break kmeans,
            }
            .map_err(refused)?;
        };
        Ok(Some(Fit {
            parameters: Parameters::Kmeans(*kmeans),
            left_out,
            reads: self.reads(),
            moments: None,
            scores: None,
        }))
    }

    /// Sums of the rows to learn from, of those that are held out, and how many rows were left out; `of` and `argument`
    /// as for [`Sums::three`].
    async fn moments(
        &self,
        of: &(dyn Fn(&str) -> String + Sync),
        argument: &str,
    ) -> Result<Option<(Moments, Option<Moments>, u64)>, Error> {
        let [train, test, unknown] = self.three(of, argument).await?;
        if has_unknown(unknown.as_deref())? {
            return Ok(None);
        }
        let read = |bytes: Vec<u8>| Moments::from_bytes(&bytes).map_err(refused);
        let train = read(train.unwrap_or_default())?;
        let test = test.map(read).transpose()?;
        // What is held out is left out of the first, and the other way round.
        let left_out = train.left_out() - test.as_ref().map_or(0, Moments::count);
        Ok(Some((train, test, left_out)))
    }

    /// Sums by class of the rows to learn from, and how many rows were left out.
    async fn class_moments(&self) -> Result<Option<(ClassMoments, u64)>, Error> {
        let (terms, classes) = (self.terms(), sql::number(self.shape.labels.len() as f64));
        let of = |class: &str| format!("model_class_moments({classes}, {class}, {terms})");
        let [train, test, unknown] = self
            .three(&of, &self.source.class_sql(&self.shape.labels))
            .await?;
        if has_unknown(unknown.as_deref())? {
            return Ok(None);
        }
        let train = ClassMoments::from_bytes(&train.unwrap_or_default()).map_err(refused)?;
        let test = test
            .map(|bytes| ClassMoments::from_bytes(&bytes))
            .transpose()
            .map_err(refused)?;
        let left_out = train.left_out() - test.as_ref().map_or(0, ClassMoments::count);
        Ok(Some((train, left_out)))
    }

    /// In one pass: sums over the rows to learn from, over those that are held out, and of rows that do not fit the shape.
    /// `of` makes sums of the SQL of one argument, which is null in rows that do not belong to them.
    async fn three(
        &self,
        of: &(dyn Fn(&str) -> String + Sync),
        argument: &str,
    ) -> Result<[Option<Vec<u8>>; 3], Error> {
        let mut columns = vec![of(&self.train(argument))];
        if let Some(test) = &self.source.test {
            columns.push(of(&format!("CASE WHEN {test} THEN {argument} END")));
        }
        let unknown = self.source.unknown_sql(self.shape);
        let has_unknown = unknown.is_some();
        columns.extend(unknown.map(|unknown| format!("model_moments({unknown})")));
        let mut sums = self.row(&columns, Rows::All).await?.into_iter();
        let train = sums.next();
        let test = self.source.test.as_ref().and_then(|_| sums.next());
        Ok([train, test, sums.next().filter(|_| has_unknown)])
    }

    /// An argument that is null in rows that are held out.
    fn train(&self, argument: &str) -> String {
        match &self.source.test {
            None => argument.to_string(),
            Some(test) => format!("CASE WHEN {test} THEN NULL ELSE {argument} END"),
        }
    }

    async fn sums(&self, call: &str) -> Result<Vec<u8>, Error> {
        let mut sums = self.row(&[call.to_string()], Rows::All).await?;
        Ok(sums.swap_remove(0))
    }

    /// The one row of aggregates that are bytes.
    async fn row(&self, columns: &[String], rows: Rows<'_>) -> Result<Vec<Vec<u8>>, Error> {
        let columns: Vec<String> = (0..)
            .zip(columns)
            .map(|(number, column): (u32, _)| format!("{column} AS sums_{number}"))
            .collect();
        let (parts, head) = (self.training.parts, columns.join(", "));
        let batches = match rows {
            Rows::All => {
                parts
                    .execute(&format!("SELECT {head} FROM {}", self.source.relation))
                    .await?
            }
            Rows::Stored(table) => {
                parts
                    .execute_over_stored(&format!("SELECT {head} FROM {table}"))
                    .await?
            }
        };
        let row = batches.iter().find(|batch| batch.num_rows() == 1);
        let cells = row.and_then(|row| {
            let cells = row.columns().iter().map(|column| {
                let bytes = column.as_binary_opt::<i32>()?;
                bytes.is_valid(0).then(|| bytes.value(0).to_vec())
            });
            cells.collect::<Option<Vec<_>>>()
        });
        cells.ok_or_else(|| Error::bug("sums of a model are not there"))
    }

    fn terms(&self) -> String {
        self.shape.design.terms_sql(&|name| sql::ident(name)).join(", ")
    }

    fn label_names(&self) -> Vec<String> {
        self.shape.labels.iter().map(ToString::to_string).collect()
    }

    fn reads(&self) -> Vec<LiveRead> {
        let statement: &Arc<_> = self.training.parts.statement;
        statement.reads.lock().values().cloned().collect()
    }
}

/// Whether any row has something that the shape does not have.
fn has_unknown(sums: Option<&[u8]>) -> Result<bool, Error> {
    match sums {
        None => Ok(false),
        Some(sums) => {
            let moments = Moments::from_bytes(sums).map_err(refused)?;
            Ok(moments.count() > 0 && moments.mean(0) * moments.count() as f64 > 0.5)
        }
    }
}

fn refused(error: millpond_model::Error) -> Error {
    model_error(&error)
}
