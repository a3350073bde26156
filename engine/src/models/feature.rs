//! `model_feature(value, name, kind)`: a column that a model wants, of the kind that it was when the model was trained.
//!
//! It is there for planning alone: a column of another kind is an error that names it, and after that the value stands for
//! itself, so that plans are plain expressions of columns.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{ScalarValue, internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(FeatureFunction {
        signature: Signature::any(3, Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FeatureFunction {
    signature: Signature,
}

impl ScalarUDFImpl for FeatureFunction {
    fn name(&self) -> &str {
        "model_feature"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("model_feature has the type of its first argument")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let text = |place: usize| match args.scalar_arguments.get(place) {
            Some(Some(ScalarValue::Utf8(Some(text)))) => text.as_str(),
            _ => "",
        };
        let (name, wanted) = (text(1), text(2));
        let given = match args.arg_fields[0].data_type() {
            DataType::Dictionary(_, values) => values.as_ref(),
            given => given,
        };
        let fits = match wanted {
            "number" => given.is_numeric(),
            "boolean" => *given == DataType::Boolean,
            _ => given.is_string(),
        };
        match fits || *given == DataType::Null {
            true => Ok(args.arg_fields[0].clone()),
            false => plan_err!("the model wants a {wanted} for '{name}', which is a {given}: CAST it"),
        }
    }

    fn simplify(&self, mut args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Simplified(args.swap_remove(0)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.swap_remove(0))
    }
}
