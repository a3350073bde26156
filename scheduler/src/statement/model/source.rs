//! What a model learns from: the columns of its query, and the SQL of what is summed over its rows.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use millpond_engine::config::nearest;
use millpond_engine::error::{Code, Error};
use millpond_model::{
    Classifier, Design, Feature, FeatureKind, FirstCategory, FittedModel, Label, ModelOptions, ModelType,
    Predictor, TERMS_MAX, class_sql, sql,
};

use crate::catalog::predict::model_error;
use crate::statement::parts::Parts;

/// Different labels that are read; more are no classes.
const LABELS_MAX: usize = 100;
/// Seed of the hash by which rows are held out.
const SEED: &str = "0";

/// The rows of a model's query.
pub(super) struct Source {
    /// What stands behind FROM.
    pub(super) relation: String,
    features: Vec<(String, Kind)>,
    label: Option<(String, Kind)>,
    /// A condition for rows that are held out.
    pub(super) test: Option<String>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Number,
    Boolean,
    Text,
}

/// Features and labels, as they were when they were first seen.
#[derive(Clone)]
pub(super) struct Shape {
    pub(super) design: Design,
    pub(super) labels: Vec<Label>,
}

impl Shape {
    /// Of a model.
    pub(super) fn of(fitted: &FittedModel) -> Self {
        Self {
            design: fitted.design().clone(),
            labels: fitted.labels().to_vec(),
        }
    }
}

impl Source {
    /// Looks at the columns behind FROM.
    ///
    /// # Errors
    /// A query that cannot be planned; a label or key that it does not have; a column that cannot be learned from.
    pub(super) async fn open(
        parts: &Parts<'_>,
        relation: &str,
        options: &ModelOptions,
    ) -> Result<Self, Error> {
        let fields = parts.fields_of(&format!("SELECT * FROM {relation}")).await?;
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        let place = |option: &str, name: &Option<String>| match name {
            Some(name) => place_of(option, name, &names).map(Some),
            None => Ok(None),
        };
        let (label, key) = (place("label", &options.label)?, place("key", &options.key)?);
        let mut features = Vec::new();
        for (number, field) in fields.iter().enumerate() {
            if Some(number) != label && Some(number) != key {
                features.push((field.name().clone(), kind_of(field)?));
            }
        }
        let label = label
            .map(|place| label_of(&fields[place], options.model_type))
            .transpose()?;
        let test = key.filter(|_| options.test > 0.0).map(|place| {
            let text = format!("CAST({} AS VARCHAR)", sql::ident(names[place]));
            millpond_pipeline::sql::is_in_share(options.test, SEED, [text])
        });
        Ok(Self {
            relation: relation.to_string(),
            features,
            label,
            test,
        })
    }

    /// Whether the columns are those of a design.
    pub(super) fn has_columns_of(&self, design: &Design) -> bool {
        let features = design.features();
        let is_same = |((name, kind), feature): (&(String, Kind), &Feature)| {
            *name == feature.name
                && match feature.kind {
                    FeatureKind::Number => matches!(kind, Kind::Integer | Kind::Number),
                    FeatureKind::Boolean => *kind == Kind::Boolean,
                    FeatureKind::Text { .. } => *kind == Kind::Text,
                }
        };
        features.len() == self.features.len() && self.features.iter().zip(features).all(is_same)
    }

    /// The columns of features.
    pub(super) fn features_sql(&self) -> String {
        let names: Vec<String> = self.features.iter().map(|(name, _)| sql::ident(name)).collect();
        names.join(", ")
    }

    /// Reads the categories of texts and the labels of classes.
    ///
    /// # Errors
    /// Too many of them; no feature.
    pub(super) async fn shape(&self, parts: &Parts<'_>, options: &ModelOptions) -> Result<Shape, Error> {
        let mut features = Vec::new();
        for (name, kind) in &self.features {
            let kind = match kind {
                Kind::Integer | Kind::Number => FeatureKind::Number,
                Kind::Boolean => FeatureKind::Boolean,
                Kind::Text => FeatureKind::Text {
                    categories: texts(&self.different(parts, name, "VARCHAR", TERMS_MAX + 2).await?)?,
                    reference: None,
                },
            };
            let name = name.clone();
            features.push(Feature { name, kind });
        }
        let is_regression = matches!(
            options.model_type,
            ModelType::LinearRegression | ModelType::LogisticRegression
        );
        let first = match is_regression && options.l2 == 0.0 && options.intercept {
            true => FirstCategory::Dropped,
            false => FirstCategory::Kept,
        };
        Ok(Shape {
            design: Design::new(features, first).map_err(|error| model_error(&error))?,
            labels: self.labels(parts, options).await?,
        })
    }

    async fn labels(&self, parts: &Parts<'_>, options: &ModelOptions) -> Result<Vec<Label>, Error> {
        let Some((name, kind)) = self.label.as_ref().filter(|_| options.model_type.classifies()) else {
            return Ok(Vec::new());
        };
        let labels: Vec<Label> = match kind {
            Kind::Boolean => [false, true].map(Label::Boolean).to_vec(),
            Kind::Integer | Kind::Number => {
                let mut numbers = Vec::new();
                for batch in self.different(parts, name, "BIGINT", LABELS_MAX + 1).await? {
                    numbers.extend(
                        batch
                            .column(0)
                            .as_primitive::<Int64Type>()
                            .values()
                            .iter()
                            .copied(),
                    );
                }
                numbers.sort_unstable();
                numbers.into_iter().map(Label::Integer).collect()
            }
            Kind::Text => {
                let texts = texts(&self.different(parts, name, "VARCHAR", LABELS_MAX + 1).await?)?;
                texts.into_iter().map(Label::Text).collect()
            }
        };
        match labels.len() {
            0..=1 => Err(refused(
                format!("the label '{name}' has {} different values", labels.len()),
                "a classification needs rows of two classes at least",
            )),
            2..=LABELS_MAX => Ok(labels),
            _ => Err(refused(
                format!("the label '{name}' has more than {LABELS_MAX} different values"),
                "group them; for a number to predict there is linear_regression",
            )),
        }
    }

    /// The different values of a column, a limited number of them.
    async fn different(
        &self,
        parts: &Parts<'_>,
        name: &str,
        kind: &str,
        limit: usize,
    ) -> Result<Vec<RecordBatch>, Error> {
        let column = sql::ident(name);
        let query = format!(
            "SELECT DISTINCT CAST({column} AS {kind}) AS value FROM {} WHERE {column} IS NOT NULL LIMIT {limit}",
            self.relation
        );
        parts.execute(&query).await
    }

    /// The label as a number, for a regression.
    pub(super) fn number_sql(&self) -> String {
        match &self.label {
            Some((name, _)) => format!("CAST({} AS DOUBLE)", sql::ident(name)),
            None => "CAST(NULL AS DOUBLE)".to_string(),
        }
    }

    /// The number of the class, from 0; null if it is none of the labels.
    pub(super) fn class_sql(&self, labels: &[Label]) -> String {
        let column = self
            .label
            .as_ref()
            .map_or_else(String::new, |(name, _)| sql::ident(name));
        class_sql(&column, labels)
    }

    /// How well a logistic regression tells the classes of rows apart.
    pub(super) fn classify_sql(&self, classifier: &Classifier, shape: &Shape) -> String {
        let (at, class) = (sql::bytes(&classifier.to_bytes()), self.class_sql(&shape.labels));
        format!("model_classify({at}, {})", self.test_sql(&class, &shape.design))
    }

    /// How far predictions of a linear regression are from labels.
    pub(super) fn regress_sql(&self, predictor: &Predictor, design: &Design) -> String {
        let (at, label) = (sql::bytes(&predictor.to_bytes()), self.number_sql());
        format!("model_regress({at}, {})", self.test_sql(&label, design))
    }

    /// A label, which is null in rows that do not say how good a model is, and the terms of features.
    fn test_sql(&self, label: &str, design: &Design) -> String {
        let label = match &self.test {
            None => label.to_string(),
            Some(test) => format!("CASE WHEN {test} THEN {label} END"),
        };
        let terms = design.terms_sql(&|name| sql::ident(name)).join(", ");
        format!("{label}, {terms}")
    }

    /// 1 for a row with a category or label that a shape does not have, else 0; nothing if there cannot be one.
    pub(super) fn unknown_sql(&self, shape: &Shape) -> Option<String> {
        let mut conditions = Vec::new();
        for feature in shape.design.features() {
            if let FeatureKind::Text {
                categories,
                reference,
            } = &feature.kind
            {
                let column = sql::ident(&feature.name);
                let known = reference.iter().chain(categories);
                let known: Vec<String> = known.map(|category| sql::text(category)).collect();
                conditions.push(match known.is_empty() {
                    true => format!("{column} IS NOT NULL"),
                    false => format!("{column} NOT IN ({})", known.join(", ")),
                });
            }
        }
        if let Some((name, kind)) = &self.label
            && !shape.labels.is_empty()
            && *kind != Kind::Boolean
        {
            let known: Vec<String> = shape.labels.iter().map(Label::sql).collect();
            conditions.push(format!("{} NOT IN ({})", sql::ident(name), known.join(", ")));
        }
        let any = sql::any(&conditions)?;
        Some(format!("CASE WHEN {any} THEN 1.0 ELSE 0.0 END"))
    }
}

fn place_of(option: &str, name: &str, names: &[&str]) -> Result<usize, Error> {
    let exact = names.iter().position(|other| *other == name);
    let found = exact.or_else(|| names.iter().position(|other| other.eq_ignore_ascii_case(name)));
    found.ok_or_else(|| {
        let hint = match nearest(name, names.iter().copied()) {
            Some(nearest) => format!("did you mean '{nearest}'?"),
            None => format!("it has {}", names.join(", ")),
        };
        refused(
            format!("the query has no column '{name}', which is the {option}"),
            &hint,
        )
    })
}

fn kind_of(field: &Field) -> Result<Kind, Error> {
    let kind = match field.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        kind => kind,
    };
    match kind {
        kind if kind.is_integer() => Ok(Kind::Integer),
        kind if kind.is_numeric() => Ok(Kind::Number),
        kind if kind.is_string() => Ok(Kind::Text),
        DataType::Boolean => Ok(Kind::Boolean),
        other => Err(refused(
            format!(
                "column '{}' is a {other}, which a model cannot learn from",
                field.name()
            ),
            "leave it out of the query, or make a number of it, such as date_part('year', day)",
        )),
    }
}

fn label_of(field: &Arc<Field>, model_type: ModelType) -> Result<(String, Kind), Error> {
    let (name, kind) = (field.name().clone(), kind_of(field)?);
    match (model_type.classifies(), kind) {
        (false, Kind::Text) => Err(refused(
            format!("the label '{name}' of a {} is a text", model_type.name()),
            "it predicts a number; logistic_regression and gaussian_nb predict classes",
        )),
        (true, Kind::Number) => Err(refused(
            format!("the label '{name}' is a {}, which is no class", field.data_type()),
            "CAST it AS BIGINT, or group it; linear_regression predicts a number",
        )),
        _ => Ok((name, kind)),
    }
}

fn texts(batches: &[RecordBatch]) -> Result<Vec<String>, Error> {
    let mut texts = Vec::new();
    for batch in batches {
        let column = cast(batch.column(0), &DataType::Utf8);
        let column = column.map_err(|error| Error::from_datafusion(error.into()))?;
        let column = column.as_string::<i32>();
        texts.extend((0..column.len()).map(|row| column.value(row).to_string()));
    }
    texts.sort_unstable();
    Ok(texts)
}

pub(super) fn refused(what: String, hint: &str) -> Error {
    Error::user(Code::MODEL, what).with_hint(hint)
}
