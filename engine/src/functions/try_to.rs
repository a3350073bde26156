//! Days and times of texts that may be none.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Date32Array, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{HashMap, plan_err, utils::take_function_args};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;

/// `try_to_date(text, format, ...)` and `try_to_timestamp(text, format, ...)`: what a text says by the first format, as
/// [strftime] writes them, that fits the whole of it; null if none does. `to_date` of DataFusion is an error then.
///
/// [strftime]: https://docs.rs/jiff/latest/jiff/fmt/strtime/index.html
#[derive(Debug)]
pub(super) struct TryTo {
    name: &'static str,
    to: DataType,
    signature: Signature,
}

impl PartialEq for TryTo {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for TryTo {}

impl Hash for TryTo {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl TryTo {
    fn new(name: &'static str, to: DataType) -> Self {
        Self {
            name,
            to,
            signature: Signature::variadic(vec![DataType::Utf8], Volatility::Immutable),
        }
    }

    pub(super) fn date() -> Self {
        Self::new("try_to_date", DataType::Date32)
    }

    pub(super) fn timestamp() -> Self {
        Self::new(
            "try_to_timestamp",
            DataType::Timestamp(TimeUnit::Microsecond, None),
        )
    }
}

impl ScalarUDFImpl for TryTo {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args.len() {
            0 | 1 => plan_err!("{} needs a text and at least one format", self.name),
            _ => Ok(self.to.clone()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = |format: &ColumnarValue| matches!(format, ColumnarValue::Scalar(_));
        let has_same_formats = args.args.iter().skip(1).all(is_constant);
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some((texts, formats)) = arrays.split_first() else {
            let [] = take_function_args(self.name, args.args)?;
            return plan_err!("{} needs a text", self.name);
        };
        let texts = texts.as_string::<i32>();
        let formats: Vec<_> = formats.iter().map(|format| format.as_string::<i32>()).collect();
        let formats_of = |row: usize| formats.iter().map(move |format| format.value(row));
        let rows = texts.iter().enumerate();
        let made: ArrayRef = match self.to {
            DataType::Date32 => {
                // Many rows have the same few days.
                let mut known = HashMap::new();
                let mut day_of = |row: usize, text| match has_same_formats {
                    true => *known.entry(text).or_insert_with(|| day(text, formats_of(row))),
                    false => day(text, formats_of(row)),
                };
                Arc::new(Date32Array::from_iter(rows.map(|(row, text)| day_of(row, text?))))
            }
            _ => Arc::new(TimestampMicrosecondArray::from_iter(
                rows.map(|(row, text)| microsecond(text?, formats_of(row))),
            )),
        };
        Ok(ColumnarValue::Array(made))
    }
}

/// Days since the Unix epoch.
fn day<'a>(text: &str, mut formats: impl Iterator<Item = &'a str>) -> Option<i32> {
    let date = formats.find_map(|format| strtime::parse(format, text).ok()?.to_date().ok())?;
    let since = date.since((jiff::Unit::Day, Date::constant(1970, 1, 1))).ok()?;
    Some(since.get_days())
}

/// Microseconds since the Unix epoch. A time with an offset is that of UTC; a format without a time means midnight.
fn microsecond<'a>(text: &str, mut formats: impl Iterator<Item = &'a str>) -> Option<i64> {
    formats.find_map(|format| {
        let parsed = strtime::parse(format, text).ok()?;
        if let Ok(at) = parsed.to_timestamp() {
            return Some(at.as_microsecond());
        }
        let at = match parsed.to_datetime() {
            Ok(at) => at,
            Err(_) => DateTime::from(parsed.to_date().ok()?),
        };
        let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(at.timestamp().as_microsecond())
    })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Date32Type;

    #[test]
    fn the_first_format_that_fits_counts() {
        let day = |text: &str| super::day(text, ["%d-%m-%Y", "%Y-%m-%d", "%b %d, %Y"].into_iter());
        assert_eq!(day("02-01-1970"), Some(1));
        assert_eq!(day("2-1-1970"), Some(1));
        assert_eq!(day("1970-01-03"), Some(2));
        assert_eq!(day("Jan 4, 1970"), Some(3));
        for text in ["", "31-02-2014", "1970-01-03x", "tomorrow"] {
            assert_eq!(day(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_text_is_read_by_the_format_of_its_row() {
        let state = crate::session::with_functions(datafusion::prelude::SessionConfig::new()).unwrap();
        let context = datafusion::prelude::SessionContext::new_with_state(state);
        let rows = "(VALUES ('01-02-2014', '%d-%m-%Y'), ('01-02-2014', '%m-%d-%Y'), ('01-02-2014', '%d-%m-%Y'), (NULL, '%Y'))";
        for (format, days) in [("f", [16102, 16072, 16102]), ("'%m-%d-%Y'", [16072; 3])] {
            let sql = format!("SELECT try_to_date(t, {format}) AS d FROM {rows} AS rows (t, f)");
            let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
            let found = batches[0].column(0).as_primitive::<Date32Type>();
            let expected = days.map(Some).into_iter().chain([None]);
            assert!(found.iter().eq(expected), "{format}: {found:?}");
        }
    }

    #[test]
    fn times_with_and_without_an_offset() {
        let at = |text: &str| {
            super::microsecond(
                text,
                ["%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"].into_iter(),
            )
        };
        assert_eq!(at("1970-01-01 00:00:01"), Some(1_000_000));
        assert_eq!(at("1970-01-01 01:00:00.5+01:00"), Some(500_000));
        assert_eq!(at("1970-01-02"), Some(86_400_000_000));
        assert_eq!(at("noon"), None);
    }
}
