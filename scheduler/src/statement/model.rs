//! `CREATE MODEL`, `REFRESH MODEL`, `ALTER MODEL`, `DROP MODEL`, `SHOW MODELS` and `DESCRIBE MODEL`.
//!
//! ```text
//! CREATE  ─► options, query ─► train ─► evaluate ─► the model with its first version, in the catalog
//! REFRESH ─► the same, from the version before ─────► one more version
//!    ▲
//!    └── follow: what the query reads has changed, or the time has come
//! ```
//!
//! Predictions are written out as formulas when a statement is read: [`crate::catalog::predict`].

mod evaluate;
mod follow;
mod source;
mod train;

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::FutureExt;
use futures::future::BoxFuture;
use millpond_engine::clock::now_ms;
use millpond_engine::error::{Code, Error};
use millpond_engine::session::DEFAULT_SCHEMA;
use millpond_model::{FittedModel, ModelOptions, ModelType, sql};
use millpond_proto::catalog::{
    AddModelVersion, Change, ChangeKind, DropModel, Model, ModelOption, ModelVersion, ServeModel,
};

use self::evaluate::{Metrics, evaluate, evaluate_trained};
pub(super) use self::follow::follow;
use self::train::{Trained, Training};
use super::frontend::Services;
use super::parts::Parts;
use super::registry::Statement;
use super::result::ResultSet;
use super::run;
use super::syntax::{CreateModel, ModelStatement};
use crate::catalog::predict::{find_model, model_error, version_of};
use crate::state::CatalogState;

/// Metrics of a naive Bayes that follows changes need a pass of their own, and are not made more often than this.
const EVALUATION_PAUSE: Duration = Duration::from_secs(10);

/// Carries out a statement. Its type says nothing of what is inside: that runs statements in turn.
pub(super) fn run<'a>(
    services: &'a Services,
    statement: &'a Arc<Statement>,
    command: ModelStatement,
) -> BoxFuture<'a, Result<ResultSet, Error>> {
    carry_out(services, statement, command).boxed()
}

/// Columns of the answer, unless it is that of a query.
pub(super) fn answer_of(command: &ModelStatement) -> Option<SchemaRef> {
    match command {
        ModelStatement::Create(_) | ModelStatement::Refresh { .. } => Some(answer_schema()),
        _ => None,
    }
}

/// The query that answers a statement, if one does.
///
/// # Errors
/// There is no such model.
pub(super) fn query_of(catalog: &CatalogState, command: &ModelStatement) -> Result<Option<String>, Error> {
    Ok(match command {
        ModelStatement::Show => {
            let columns = "name, type, label, refresh, version, rows, metrics, trained_at";
            Some(format!("SELECT {columns} FROM system.models ORDER BY name"))
        }
        ModelStatement::Describe(name) => {
            let model = find_model(catalog, name)?;
            let columns = "term, class, coefficient, standard_error, t, p, variance";
            Some(format!(
                "SELECT {columns} FROM system.model_coefficients WHERE model = {} AND version = {}",
                sql::text(name),
                version_of(&model, None)?.version
            ))
        }
        _ => None,
    })
}

async fn carry_out(
    services: &Services,
    statement: &Arc<Statement>,
    command: ModelStatement,
) -> Result<ResultSet, Error> {
    match command {
        ModelStatement::Create(create) => {
            let parts = Parts::new(services, statement, &create.name);
            let made = make(&parts, &create).await;
            parts.clean_up().await;
            made
        }
        ModelStatement::Refresh { name, full } => {
            let parts = Parts::new(services, statement, &name);
            let refreshed = refresh(&parts, &name, full).await;
            parts.clean_up().await;
            refreshed
        }
        ModelStatement::Serve { name, version } => {
            let model = find_model(&services.catalog.current(), &name)?;
            if version.is_some() {
                version_of(&model, version)?;
            }
            commit(services, ChangeKind::ServeModel(ServeModel { name, version })).await?;
            Ok(ResultSet::nothing())
        }
        ModelStatement::Drop { name, if_exists } => {
            let version = services.catalog.current();
            if if_exists && !version.models.contains_key(&name) {
                return Ok(ResultSet::nothing());
            }
            find_model(&version, &name)?;
            let dropped = DropModel { name: name.clone() };
            commit(services, ChangeKind::DropModel(dropped)).await?;
            services.model_errors.note(&name, None);
            Ok(ResultSet::nothing())
        }
        ModelStatement::Show | ModelStatement::Describe(_) => {
            let query = query_of(&services.catalog.current(), &command)?;
            Parts::new(services, statement, "")
                .run(&query.unwrap_or_default())
                .await
        }
    }
}

async fn make(parts: &Parts<'_>, create: &CreateModel) -> Result<ResultSet, Error> {
    let there = parts.services.catalog.current().models.contains_key(&create.name);
    if there && create.if_not_exists {
        return Ok(ResultSet::nothing());
    }
    if there && !create.or_replace {
        let error = Error::user(
            Code::RELATION_EXISTS,
            format!("there is a model '{}'", create.name),
        );
        return Err(error.with_hint("CREATE OR REPLACE MODEL takes its place, REFRESH MODEL trains it again"));
    }
    let options = ModelOptions::parse(&create.options).map_err(|error| model_error(&error))?;
    check_default_schema(parts).await?;
    let start = Instant::now();
    let trained = Training {
        parts,
        options: &options,
        query: &create.query,
        before: None,
    };
    let mut trained = trained.run().await?;
    let found = evaluate_trained(parts, &trained).await?;
    add(&mut trained.fitted, &options, "", found);
    let version = version(&trained, "create", start.elapsed())?;
    let answer = answer(&create.name, 1, &trained, &version)?;
    let option = |(key, value): &(String, String)| ModelOption {
        key: key.clone(),
        value: value.clone(),
    };
    let model = Model {
        name: create.name.clone(),
        options: create.options.iter().map(option).collect(),
        query: create.query.clone(),
        versions: vec![ModelVersion {
            version: 1,
            ..version
        }],
        served: None,
        owner: parts.statement.session.principal.clone(),
        created_at_ms: now_ms(),
    };
    commit(parts.services, ChangeKind::PutModel(model)).await?;
    parts.services.model_errors.note(&create.name, None);
    Ok(answer)
}

/// A model is trained again in other sessions, where names without a schema must mean the same.
async fn check_default_schema(parts: &Parts<'_>) -> Result<(), Error> {
    let schema = run::statement_catalog(parts.services, parts.statement)
        .await
        .default_schema();
    match schema == DEFAULT_SCHEMA {
        true => Ok(()),
        false => {
            let error = Error::user(
                Code::MODEL,
                format!("a model cannot be made in the schema '{schema}'"),
            );
            Err(error.with_hint(format!(
                "SET datafusion.catalog.default_schema = '{DEFAULT_SCHEMA}', and name tables of others with their schema"
            )))
        }
    }
}

async fn refresh(parts: &Parts<'_>, name: &str, full: bool) -> Result<ResultSet, Error> {
    let catalog = parts.services.catalog.current();
    let model = find_model(&catalog, name)?;
    let options = options_of(&model)?;
    let newest = model
        .versions
        .last()
        .ok_or_else(|| Error::bug("a model without a version"))?;
    let before = fitted_of(newest)?;
    let served = version_of(&model, None)?;
    let start = Instant::now();
    let training = Training {
        parts,
        options: &options,
        query: &model.query,
        before: (!full).then_some(&before),
    };
    let mut trained = training.run().await?;
    let follows = follow::is_follower(&parts.statement.session);
    // One that answers and is not trained any more shows by its metrics on the newest rows whether it still holds.
    let pinned = (served.version != newest.version)
        .then(|| fitted_of(served))
        .transpose()?;
    let former = pinned.as_ref().unwrap_or(&before);
    if !full && options.model_type == ModelType::LinearRegression {
        let (new, old) = (trained.score(&trained.fitted), trained.score(former));
        add(&mut trained.fitted, &options, "", new);
        add(&mut trained.fitted, &options, "served_", old);
    } else if !follows || options.model_type != ModelType::GaussianNb || is_evaluation_due(&model) {
        measure(parts, &options, &mut trained, former).await?;
    }
    let cause = match (follows, full) {
        (true, _) => "change",
        (false, true) => "refresh full",
        (false, false) => "refresh",
    };
    let version = version(&trained, cause, start.elapsed())?;
    let answer = answer(name, newest.version + 1, &trained, &version)?;
    let added = AddModelVersion {
        name: name.to_string(),
        model_created_at_ms: model.created_at_ms,
        version: Some(version),
        keep: options.keep_versions,
    };
    commit(parts.services, ChangeKind::AddModelVersion(added)).await?;
    parts.services.model_errors.note(name, None);
    Ok(answer)
}

/// Metrics of what was learned, and of the version that answered until then, over the same rows.
async fn measure(
    parts: &Parts<'_>,
    options: &ModelOptions,
    trained: &mut Trained,
    former: &FittedModel,
) -> Result<(), Error> {
    let found = evaluate_trained(parts, trained).await?;
    add(&mut trained.fitted, options, "", found);
    if trained.source.has_columns_of(former.design()) {
        let mut found = evaluate(parts, &trained.source, former).await?;
        found.retain(|name, _| !evaluate::is_confusion(name));
        add(&mut trained.fitted, options, "served_", found);
    }
    Ok(())
}

/// Adds metrics, with `test_` before their names if they are of rows that were held out. What the fit itself says is not
/// said again.
fn add(fitted: &mut FittedModel, options: &ModelOptions, of: &str, metrics: Metrics) {
    let test = if options.test > 0.0 { "test_" } else { "" };
    for (name, value) in metrics {
        fitted.metrics.entry(format!("{of}{test}{name}")).or_insert(value);
    }
}

/// True unless a version of a moment ago has metrics of a pass of their own.
fn is_evaluation_due(model: &Model) -> bool {
    let since = now_ms().saturating_sub(EVALUATION_PAUSE.as_millis() as u64);
    let recent = model
        .versions
        .iter()
        .filter(|version| version.created_at_ms > since);
    let is_evaluated = |version: &ModelVersion| {
        let fitted = fitted_of(version);
        fitted.is_ok_and(|fitted| fitted.metrics.keys().any(|name| name.ends_with("accuracy")))
    };
    !recent.into_iter().any(is_evaluated)
}

/// The options of a model, checked again.
///
/// # Errors
/// Those of another version of Millpond.
fn options_of(model: &Model) -> Result<ModelOptions, Error> {
    let options = model.options.iter();
    let options: Vec<_> = options
        .map(|option| (option.key.clone(), option.value.clone()))
        .collect();
    ModelOptions::parse(&options).map_err(|error| model_error(&error))
}

fn fitted_of(version: &ModelVersion) -> Result<FittedModel, Error> {
    FittedModel::from_json(&version.fitted).map_err(|error| model_error(&error))
}

fn version(trained: &Trained, cause: &str, elapsed: Duration) -> Result<ModelVersion, Error> {
    Ok(ModelVersion {
        version: 0,
        fitted: trained.fitted.to_json().map_err(|error| model_error(&error))?,
        cause: cause.to_string(),
        rows: trained.fitted.rows(),
        left_out: trained.left_out,
        reads: trained.reads.clone(),
        created_at_ms: now_ms(),
        elapsed_ms: elapsed.as_millis() as u64,
        versions_read: trained.versions_read.clone(),
    })
}

async fn commit(services: &Services, change: ChangeKind) -> Result<(), Error> {
    services
        .catalog
        .commit(vec![Change { kind: Some(change) }])
        .await?;
    Ok(())
}

fn answer_schema() -> SchemaRef {
    let column = |name| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(["what", "value"].map(column).to_vec()))
}

/// What was learned, in short.
fn answer(name: &str, number: u64, trained: &Trained, version: &ModelVersion) -> Result<ResultSet, Error> {
    let mut lines = vec![
        ("model", name.to_string()),
        ("version", number.to_string()),
        ("rows", version.rows.to_string()),
        ("rows left out", version.left_out.to_string()),
        ("terms", trained.fitted.design().terms().len().to_string()),
    ];
    let metrics = trained.fitted.metrics.iter();
    lines.extend(metrics.map(|(name, value)| (name.as_str(), value.to_string())));
    lines.extend(
        trained
            .fitted
            .warnings()
            .iter()
            .map(|warning| ("warning", warning.clone())),
    );
    lines.push(("seconds", format!("{:.3}", version.elapsed_ms as f64 / 1e3)));
    let (whats, values): (Vec<&str>, Vec<String>) = lines.into_iter().unzip();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(whats)),
        Arc::new(StringArray::from(values)),
    ];
    let batch = RecordBatch::try_new(answer_schema(), columns);
    let batch = batch.map_err(|error| Error::from_datafusion(error.into()))?;
    Ok(ResultSet::batches(answer_schema(), vec![batch]))
}
