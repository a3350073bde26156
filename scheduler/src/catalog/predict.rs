//! `predict(m)` and its kin, written out as formulas before a statement is planned.
//!
//! ```text
//! predict(m)   predict_class(m)   predict_proba(m)   predict_distance(m)      features by the names of columns
//! predict(m, a, b + 1)                                                        features by place
//! predict_proba(m, label => 'yes')   predict(m, version => 3)                 one label; another version
//! ```
//!
//! Views keep the call, so that they follow the model; all calls of a statement see one version of the catalog.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Select, SelectItem, Value,
    VisitMut, VisitorMut, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use millpond_engine::config::nearest;
use millpond_engine::error::{Code, Error};
use millpond_model::{FeatureKind, FittedModel, sql};
use millpond_proto::catalog::{Model, ModelVersion};

use crate::state::CatalogState;

const FUNCTIONS: &[&str] = &["predict", "predict_class", "predict_proba", "predict_distance"];
/// Longest formula, in bytes.
const FORMULA_MAX: usize = 1 << 20;
/// Depth of a formula that is parsed; they are balanced, so none needs it.
const DEPTH: usize = 500;

/// Models that predict, by name: when they were made, and which version answers.
pub(crate) type Used = BTreeMap<String, (u64, u64)>;

/// Writes the predictions of a statement out, and says which models they are of.
///
/// # Errors
/// No such model or version, a wrong number of arguments, a function that the type of the model does not have.
pub(crate) fn write_out(version: &CatalogState, statement: &mut Statement) -> Result<Used, Error> {
    let mut predictions = Predictions {
        version,
        used: Used::new(),
    };
    let ended = match statement {
        Statement::Statement(statement) => statement.visit(&mut predictions),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(&mut predictions),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::Explain(explain) => return write_out(version, &mut explain.statement),
        _ => ControlFlow::Continue(()),
    };
    match ended {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(predictions.used),
    }
}

/// The model of that name.
///
/// # Errors
/// There is none.
pub(crate) fn find_model(version: &CatalogState, name: &str) -> Result<Arc<Model>, Error> {
    version.models.get(name).cloned().ok_or_else(|| {
        let error = Error::user(Code::UNKNOWN_RELATION, format!("there is no model '{name}'"));
        error.with_hint(match nearest(name, version.models.keys().map(String::as_str)) {
            Some(nearest) => format!("did you mean '{nearest}'?"),
            None => "SHOW MODELS lists those there are".to_string(),
        })
    })
}

/// A version of a model; without a number the one that answers.
///
/// # Errors
/// It has no such version.
pub(crate) fn version_of(model: &Model, number: Option<u64>) -> Result<&ModelVersion, Error> {
    let found = match number.or(model.served) {
        None => model.versions.last(),
        Some(number) => model.versions.iter().find(|version| version.version == number),
    };
    found.ok_or_else(|| {
        let kept = model.versions.iter().map(|version| version.version.to_string());
        let number = number.unwrap_or_default();
        Error::user(
            Code::UNKNOWN_RELATION,
            format!("model '{}' has no version {number}", model.name),
        )
        .with_hint(format!("it has {}", kept.collect::<Vec<_>>().join(", ")))
    })
}

struct Predictions<'a> {
    version: &'a CatalogState,
    used: Used,
}

impl VisitorMut for Predictions<'_> {
    type Break = Box<Error>;

    /// A column is named after the call and not after its formula.
    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && predicts(expr)
            {
                let alias = Ident::with_quote('"', expr.to_string());
                *item = SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias,
                };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let Some((name, function)) = call(expr) {
            match self.formula(&name, function) {
                Ok(formula) => *expr = Expr::Nested(Box::new(formula)),
                Err(error) => return ControlFlow::Break(Box::new(error)),
            }
        }
        ControlFlow::Continue(())
    }
}

/// True if a prediction is in it.
fn predicts(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |part| match call(part) {
        Some(_) => ControlFlow::Break(()),
        None => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn call(expr: &Expr) -> Option<(String, &Function)> {
    let Expr::Function(function) = expr else {
        return None;
    };
    let [name] = function.name.0.as_slice() else {
        return None;
    };
    let name = name.as_ident()?.value.to_lowercase();
    FUNCTIONS.contains(&name.as_str()).then_some((name, function))
}

/// What a call says.
struct Arguments {
    model: String,
    version: Option<u64>,
    label: Option<String>,
    /// Features by place, as SQL.
    values: Vec<String>,
}

impl Predictions<'_> {
    fn formula(&mut self, name: &str, function: &Function) -> Result<Expr, Error> {
        let arguments = Arguments::of(name, function)?;
        let model = find_model(self.version, &arguments.model)?;
        let version = version_of(&model, arguments.version)?;
        self.used
            .insert(model.name.clone(), (model.created_at_ms, version.version));
        let fitted =
            FittedModel::from_json(&version.fitted).map_err(|error| Error::bug(error.to_string()))?;
        let features = fitted.design().features();
        if !arguments.values.is_empty() && arguments.values.len() != features.len() {
            let names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
            let given = arguments.values.len();
            let message = format!(
                "{name}({}) has {given} values for {} features",
                arguments.model,
                features.len()
            );
            return Err(Error::user(Code::MODEL, message).with_hint(format!("they are {}", names.join(", "))));
        }
        let column = |name: &str| {
            let place = features.iter().position(|feature| feature.name == name);
            let kind = place.map(|place| &features[place].kind);
            let value = place.and_then(|place| arguments.values.get(place));
            let value = value.map_or_else(|| sql::ident(name), |value| format!("({value})"));
            let kind = match kind {
                Some(FeatureKind::Boolean) => "boolean",
                Some(FeatureKind::Text { .. }) => "text",
                _ => "number",
            };
            format!("model_feature({value}, {}, '{kind}')", sql::text(name))
        };
        let formula = match name {
            "predict_class" => fitted.predict_class(&column),
            "predict_proba" => fitted.predict_proba(arguments.label.as_deref(), &column),
            "predict_distance" => fitted.distance(&column),
            _ => Ok(fitted.predict(&column)),
        };
        parse_formula(&formula.map_err(|error| model_error(&error))?)
    }
}

fn parse_formula(formula: &str) -> Result<Expr, Error> {
    if formula.len() > FORMULA_MAX {
        let message = format!(
            "the formula of the prediction has {} bytes, the limit is {FORMULA_MAX}",
            formula.len()
        );
        let error = Error::user(Code::STATEMENT_TOO_LARGE, message);
        return Err(error.with_hint("train on fewer columns, or on texts with fewer categories"));
    }
    let broken = |error| Error::bug(format!("the formula of a prediction: {error}"));
    let parser = Parser::new(&GenericDialect {}).with_recursion_limit(DEPTH);
    let mut parser = parser.try_with_sql(formula).map_err(broken)?;
    parser.parse_expr().map_err(broken)
}

/// What is wrong with a model, as an error with a code.
pub(crate) fn model_error(error: &millpond_model::Error) -> Error {
    match error.kind {
        millpond_model::ErrorKind::State => Error::bug(error.to_string()),
        _ if error.hint.is_empty() => Error::user(Code::MODEL, error.what.clone()),
        _ => Error::user(Code::MODEL, error.what.clone()).with_hint(error.hint.clone()),
    }
}

impl Arguments {
    fn of(name: &str, function: &Function) -> Result<Self, Error> {
        let wrong = |what: String| {
            Error::user(Code::MODEL, what).with_hint(format!(
                "write {name}(model), {name}(model, value, ...) or {name}(model, version => 3)"
            ))
        };
        let FunctionArguments::List(list) = &function.args else {
            return Err(wrong(format!("{name} needs a model")));
        };
        let mut arguments = list.args.iter();
        let model = match arguments.next() {
            Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(model)))) => name_of(model),
            _ => {
                return Err(wrong(format!(
                    "the first argument of {name} is the name of a model"
                )));
            }
        };
        let mut read = Self {
            model,
            version: None,
            label: None,
            values: Vec::new(),
        };
        for argument in arguments {
            let (key, value) = match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => {
                    read.values.push(value.to_string());
                    continue;
                }
                FunctionArg::Named { name, arg, .. } => (name.value.to_lowercase(), arg),
                FunctionArg::ExprNamed { name, arg, .. } => (name.to_string().to_lowercase(), arg),
                FunctionArg::Unnamed(other) => return Err(wrong(format!("'{other}' is no value of {name}"))),
            };
            match (key.as_str(), constant(value)) {
                ("version", Some(value)) => {
                    let number = value.parse().ok();
                    read.version = Some(number.ok_or_else(|| wrong(format!("'{value}' is no version")))?);
                }
                ("label", Some(value)) if name == "predict_proba" => read.label = Some(value),
                _ => return Err(wrong(format!("{name} has no argument {key} => {value}"))),
            }
        }
        Ok(read)
    }
}

/// The name of a model, as identifiers are read: in lower case unless it is in quotes.
fn name_of(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

fn constant(value: &FunctionArgExpr) -> Option<String> {
    let FunctionArgExpr::Expr(Expr::Value(value)) = value else {
        return None;
    };
    match &value.value {
        Value::Number(number, _) => Some(number.clone()),
        Value::SingleQuotedString(text) => Some(text.clone()),
        Value::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn catalog() -> CatalogState {
        let fitted = r#"{"design": [{"name": "x", "kind": {"type": "number"}}], "labels": [],
            "parameters": {"type": "linear_regression", "intercept": {"value": 1.5, "standard_error": null, "t": null, "p": null},
            "coefficients": [{"value": 2.0, "standard_error": null, "t": null, "p": null}], "rows": 3,
            "degrees_of_freedom": 1, "r2": null, "adjusted_r2": null, "residual_variance": null, "rmse": 0.0,
            "condition_number": 1.0, "warnings": []}, "metrics": {}}"#;
        let version = ModelVersion {
            version: 1,
            fitted: fitted.to_string(),
            ..ModelVersion::default()
        };
        let model = Model {
            name: "m".to_string(),
            versions: vec![version],
            ..Model::default()
        };
        CatalogState {
            models: [("m".to_string(), Arc::new(model))].into(),
            ..CatalogState::default()
        }
    }

    fn written(sql: &str) -> Result<String, Error> {
        let mut statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        write_out(&catalog(), &mut statement)?;
        Ok(statement.to_string())
    }

    #[test]
    fn a_call_becomes_a_formula_of_columns_and_keeps_its_name() {
        let sql = written("SELECT predict(m) FROM t WHERE predict(M, a + 1, version => 1) > 3").unwrap();
        let formula = |value: &str| {
            let value = format!("model_feature({value}, 'x', 'number')");
            format!(
                "(CASE WHEN abs(CAST({value} AS DOUBLE)) <= 1e140 THEN 1.5 + 2.0 * CAST({value} AS DOUBLE) END)"
            )
        };
        let expected = format!(
            "SELECT {} AS \"predict(m)\" FROM t WHERE {} > 3",
            formula("\"x\""),
            formula("(a + 1)")
        );
        assert_eq!(sql, expected);
        let inside = written("EXPLAIN SELECT y FROM (SELECT predict(m) AS y FROM t)").unwrap();
        assert!(inside.contains("CASE WHEN"), "{inside}");
        assert!(
            written("COPY (SELECT predict(m) FROM t) TO 'a.csv'")
                .unwrap()
                .contains("CASE WHEN")
        );
    }

    #[test]
    fn mistakes_name_what_is_wrong() {
        let said = |sql: &str| written(sql).unwrap_err().to_string();
        assert!(said("SELECT predict(n)").contains("there is no model 'n'"));
        assert!(said("SELECT predict(m, version => 7)").contains("has no version 7"));
        assert!(said("SELECT predict(m, 1, 2)").contains("has 2 values for 1 features"));
        assert!(said("SELECT predict()").contains("the name of a model"));
        assert!(said("SELECT predict_class(m)").contains("needs a model that classifies"));
        assert!(said("SELECT predict(m, label => 'a')").contains("has no argument label"));
    }
}
