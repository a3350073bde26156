//! Texts without the blanks at their ends.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{exec_err, utils::take_function_args};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// Spaces, also those that keep words together, tabs and ends of lines.
const BLANKS: [char; 5] = [' ', '\t', '\r', '\n', '\u{a0}'];

/// `trim_blanks(text)`: the text without the blanks at its ends. `btrim` with a list of characters does the same; this one
/// hands a column on as it is if nothing is to be cut off, which is the usual case.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TrimBlanks {
    signature: Signature,
}

impl TrimBlanks {
    pub(super) fn new() -> Self {
        Self {
            signature: Signature::string(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for TrimBlanks {
    fn name(&self) -> &'static str {
        "trim_blanks"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        let [text] = take_function_args(self.name(), args)?;
        match text {
            DataType::Dictionary(_, texts) => Ok(texts.as_ref().clone()),
            text => Ok(text.clone()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [texts] = take_function_args(self.name(), args.args)?;
        let is_scalar = matches!(texts, ColumnarValue::Scalar(_));
        let trimmed = trimmed(&texts.to_array(args.number_rows)?)?;
        Ok(match is_scalar {
            false => ColumnarValue::Array(trimmed),
            true => ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&trimmed, 0)?),
        })
    }
}

fn trim(text: &str) -> &str {
    if is_trimmed(text.as_bytes()) {
        return text;
    }
    text.trim_matches(BLANKS)
}

/// True if the bytes at both ends belong to no blank. Most texts need no second look.
fn is_trimmed(text: &[u8]) -> bool {
    // The last blank is two bytes, C2 A0; all others are not above a space.
    let is_seen = |byte: &u8| *byte > b' ' && *byte != 0xc2 && *byte != 0xa0;
    text.first().is_none_or(is_seen) && text.last().is_none_or(is_seen)
}

fn trimmed(texts: &ArrayRef) -> Result<ArrayRef> {
    match texts.data_type() {
        DataType::Utf8 => Ok(as_is_or_by(texts, texts.as_string::<i32>().iter(), |trimmed| {
            Arc::new(StringArray::from_iter(trimmed))
        })),
        DataType::LargeUtf8 => Ok(as_is_or_by(texts, texts.as_string::<i64>().iter(), |trimmed| {
            Arc::new(LargeStringArray::from_iter(trimmed))
        })),
        DataType::Utf8View => Ok(as_is_or_by(texts, texts.as_string_view().iter(), |trimmed| {
            Arc::new(StringViewArray::from_iter(trimmed))
        })),
        other => exec_err!("trim_blanks needs a text, and not {other}"),
    }
}

/// A column, or a new one of its texts if one of them has a blank to be cut off.
fn as_is_or_by<'a, T: Iterator<Item = Option<&'a str>> + Clone>(
    column: &ArrayRef,
    texts: T,
    make: impl FnOnce(std::iter::Map<T, fn(Option<&'a str>) -> Option<&'a str>>) -> ArrayRef,
) -> ArrayRef {
    let is_trimmed = |text: &str| trim(text).len() == text.len();
    match texts.clone().flatten().all(is_trimmed) {
        true => column.clone(),
        false => make(texts.map(|text| text.map(trim))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_at_the_ends_go() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![
            Some(" a b\t"),
            None,
            Some("\u{a0}\r\n"),
            Some("é"),
            Some("à la"),
            Some("voilà"),
            Some("\u{a0}"),
            Some("x\u{a0}"),
            Some(""),
        ]));
        let kept = [
            Some("é"),
            Some("à la"),
            Some("voilà"),
            Some(""),
            Some("x"),
            Some(""),
        ];
        let expected = [[Some("a b"), None, Some("")].as_slice(), &kept].concat();
        for kind in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
            let texts = datafusion::arrow::compute::cast(&texts, &kind).unwrap();
            let made = trimmed(&texts).unwrap();
            assert_eq!(made.data_type(), &kind);
            let made = datafusion::arrow::compute::cast(&made, &DataType::Utf8).unwrap();
            assert_eq!(made.as_string::<i32>().iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_column_without_blanks_is_not_copied() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a b"), None]));
        assert!(Arc::ptr_eq(&trimmed(&texts).unwrap(), &texts));
    }
}
