//! `system.models`, `system.model_versions` and `system.model_coefficients`.

use std::collections::{BTreeMap, HashMap};

use millpond_model::FittedModel;
use millpond_proto::catalog::{Model, ModelVersion};
use parking_lot::Mutex;

use super::predict::version_of;
use super::system::{Cell, Columns, Kind, positions_of};
use crate::state::CatalogState;

pub(super) const MODELS: Columns = &[
    ("name", Kind::Text),
    ("type", Kind::Text),
    ("label", Kind::Text),
    ("refresh", Kind::Text),
    ("version", Kind::Number),
    ("newest_version", Kind::Number),
    ("rows", Kind::Number),
    ("features", Kind::Text),
    ("labels", Kind::Text),
    ("metrics", Kind::Text),
    ("trained_at", Kind::Time),
    ("error", Kind::Text),
    ("owner", Kind::Text),
    ("created_at", Kind::Time),
    ("options", Kind::Text),
    ("query", Kind::Text),
];
pub(super) const VERSIONS: Columns = &[
    ("model", Kind::Text),
    ("version", Kind::Number),
    ("cause", Kind::Text),
    ("created_at", Kind::Time),
    ("elapsed_ms", Kind::Number),
    ("rows", Kind::Number),
    ("left_out", Kind::Number),
    ("positions", Kind::Text),
    ("metrics", Kind::Text),
    ("warnings", Kind::Text),
    ("fitted", Kind::Text),
];
pub(super) const COEFFICIENTS: Columns = &[
    ("model", Kind::Text),
    ("version", Kind::Number),
    ("term", Kind::Text),
    ("class", Kind::Text),
    ("coefficient", Kind::Real),
    ("standard_error", Kind::Real),
    ("t", Kind::Real),
    ("p", Kind::Real),
    ("variance", Kind::Real),
];

/// Why models could not be trained when that was due, by name, until they can be again.
#[derive(Debug, Default)]
pub(crate) struct ModelErrors(Mutex<HashMap<String, String>>);

impl ModelErrors {
    /// Notes how the last training ended.
    pub(crate) fn note(&self, model: &str, error: Option<String>) {
        let mut errors = self.0.lock();
        match error {
            Some(error) => drop(errors.insert(model.to_string(), error)),
            None => drop(errors.remove(model)),
        }
    }

    fn of(&self, model: &str) -> Option<String> {
        self.0.lock().get(model).cloned()
    }
}

/// A row for each model, with the version that answers.
pub(super) fn models(catalog: &CatalogState, errors: &ModelErrors) -> Vec<Vec<Cell>> {
    let row = |model: &Model| {
        let version = version_of(model, None).ok()?;
        let fitted = read(version)?;
        let features = fitted.design().features().iter();
        let features: Vec<&str> = features.map(|feature| feature.name.as_str()).collect();
        let labels: Vec<String> = fitted.labels().iter().map(ToString::to_string).collect();
        let options = model.options.iter();
        let options: BTreeMap<&str, &str> = options
            .map(|option| (option.key.as_str(), option.value.as_str()))
            .collect();
        let option = |key: &str| {
            let found = options.iter().find(|(other, _)| other.eq_ignore_ascii_case(key));
            found.map(|(_, value)| (*value).to_string())
        };
        Some(vec![
            model.name.clone().into(),
            option("type").into(),
            option("label").into(),
            option("refresh").unwrap_or_else(|| "manual".to_string()).into(),
            version.version.into(),
            model.versions.last().map(|newest| newest.version).into(),
            version.rows.into(),
            json(&features),
            json(&labels),
            json(&fitted.metrics),
            Cell::Time(Some(version.created_at_ms)),
            errors.of(&model.name).into(),
            model.owner.clone().into(),
            Cell::Time(Some(model.created_at_ms)),
            json(&options),
            model.query.clone().into(),
        ])
    };
    catalog.models.values().filter_map(|model| row(model)).collect()
}

/// A row for each version of each model.
pub(super) fn versions(catalog: &CatalogState) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for (model, version, fitted) in all(catalog) {
        rows.push(vec![
            model.name.clone().into(),
            version.version.into(),
            version.cause.clone().into(),
            Cell::Time(Some(version.created_at_ms)),
            version.elapsed_ms.into(),
            version.rows.into(),
            version.left_out.into(),
            positions_of(&version.reads).into(),
            json(&fitted.metrics),
            Some(fitted.warnings().join("; "))
                .filter(|text| !text.is_empty())
                .into(),
            version.fitted.clone().into(),
        ]);
    }
    rows
}

/// A row for each number that each version has learned.
pub(super) fn coefficients(catalog: &CatalogState) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for (model, version, fitted) in all(catalog) {
        for line in fitted.coefficients() {
            let estimate = line.estimate;
            rows.push(vec![
                model.name.clone().into(),
                version.version.into(),
                line.term.into(),
                line.class.into(),
                estimate.map(|estimate| estimate.value).into(),
                estimate.and_then(|estimate| estimate.standard_error).into(),
                estimate.and_then(|estimate| estimate.t).into(),
                estimate.and_then(|estimate| estimate.p).into(),
                line.variance.into(),
            ]);
        }
    }
    rows
}

fn all(catalog: &CatalogState) -> impl Iterator<Item = (&Model, &ModelVersion, FittedModel)> {
    let models = catalog.models.values();
    models.flat_map(|model| {
        let versions = model.versions.iter();
        versions.filter_map(|version| Some((model.as_ref(), version, read(version)?)))
    })
}

fn read(version: &ModelVersion) -> Option<FittedModel> {
    let fitted = FittedModel::from_json(&version.fitted);
    fitted
        .inspect_err(|error| tracing::warn!(%error, "a stored model"))
        .ok()
}

fn json(value: &impl serde::Serialize) -> Cell {
    serde_json::to_string(value).ok().into()
}
