//! Types of columns as other databases write them.
//!
//! Statements that make tables come from elsewhere: from the database whose changes a topic carries, or from another
//! engine that reads the same topic. [`SqlTypes`] gives the types that DataFusion's SQL has no word for the Arrow type
//! that holds all their values; DataFusion asks it first. What it does not know is DataFusion's.

use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::datatype::DataTypeExt;
use datafusion::error::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{DataType as SqlType, ObjectName, TimezoneInfo};

/// See the module.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        Ok(known(sql_type).map(DataType::into_nullable_field_ref))
    }
}

fn known(sql_type: &SqlType) -> Option<DataType> {
    let without_zone =
        |zone: &TimezoneInfo| matches!(zone, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone);
    match sql_type {
        SqlType::Time(Some(digits), zone) if without_zone(zone) => time(*digits),
        SqlType::Timestamp(Some(digits), zone) if without_zone(zone) => timestamp(Some(*digits), None),
        SqlType::TimestampNtz(digits) | SqlType::Datetime(digits) => timestamp(*digits, None),
        SqlType::MediumInt(_) => Some(DataType::Int32),
        SqlType::MediumIntUnsigned(_) => Some(DataType::UInt32),
        SqlType::Binary(_)
        | SqlType::Varbinary(_)
        | SqlType::Bytes(_)
        | SqlType::TinyBlob
        | SqlType::Blob(_)
        | SqlType::MediumBlob
        | SqlType::LongBlob => Some(DataType::Binary),
        SqlType::Nvarchar(_)
        | SqlType::Clob(_)
        | SqlType::TinyText
        | SqlType::MediumText
        | SqlType::LongText
        | SqlType::JSON
        | SqlType::JSONB
        | SqlType::Uuid
        | SqlType::Enum(..)
        | SqlType::Set(_) => Some(DataType::Utf8),
        SqlType::Custom(name, size) => custom(name, size),
        _ => None,
    }
}

/// Types that the parser has no word for either.
fn custom(name: &ObjectName, size: &[String]) -> Option<DataType> {
    if !name.to_string().eq_ignore_ascii_case("TIMESTAMP_LTZ") {
        return None;
    }
    let digits = match size {
        [] => None,
        [digits] => Some(digits.parse().ok()?),
        _ => return None,
    };
    timestamp(digits, Some("+00:00"))
}

fn time(digits: u64) -> Option<DataType> {
    let unit = unit(digits)?;
    Some(match unit {
        TimeUnit::Second | TimeUnit::Millisecond => DataType::Time32(unit),
        TimeUnit::Microsecond | TimeUnit::Nanosecond => DataType::Time64(unit),
    })
}

/// Without a number of digits it is that of DataFusion's `TIMESTAMP`.
fn timestamp(digits: Option<u64>, zone: Option<&str>) -> Option<DataType> {
    let unit = unit(digits.unwrap_or(9))?;
    Some(DataType::Timestamp(unit, zone.map(Into::into)))
}

/// The coarsest unit that holds so many digits of a second.
fn unit(digits: u64) -> Option<TimeUnit> {
    Some(match digits {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        7..=9 => TimeUnit::Nanosecond,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn planned(sql_type: &str) -> Option<String> {
        let parsed = Parser::new(&GenericDialect {})
            .try_with_sql(sql_type)
            .unwrap()
            .parse_data_type()
            .unwrap();
        let field = SqlTypes.plan_type_field(&parsed).unwrap()?;
        Some(field.data_type().to_string())
    }

    #[test]
    fn words_of_others_have_the_type_that_holds_their_values() {
        let known = [
            ("TIME(0)", "Time32(s)"),
            ("TIME(3)", "Time32(ms)"),
            ("TIME(6)", "Time64(µs)"),
            ("TIMESTAMP(2)", "Timestamp(ms)"),
            ("DATETIME", "Timestamp(ns)"),
            ("DATETIME(6)", "Timestamp(µs)"),
            ("TIMESTAMP_LTZ(3)", "Timestamp(ms, \"+00:00\")"),
            ("MEDIUMINT", "Int32"),
            ("VARBINARY(16)", "Binary"),
            ("BYTES", "Binary"),
            ("LONGTEXT", "Utf8"),
            ("JSON", "Utf8"),
            ("ENUM('a', 'b')", "Utf8"),
        ];
        for (sql_type, expected) in known {
            assert_eq!(planned(sql_type).as_deref(), Some(expected), "{sql_type}");
        }
        // DataFusion's, or nobody's.
        for sql_type in [
            "TIME",
            "BIGINT",
            "TIME(10)",
            "TIMESTAMP(3) WITH TIME ZONE",
            "MONEY",
            "TIMESTAMP_LTZ(a)",
        ] {
            assert_eq!(planned(sql_type), None, "{sql_type}");
        }
    }
}
