//! The types of columns for what a schema says of values.

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use super::super::cell::Writing;
use super::node::Node;

/// Most digits of a decimal column.
const DIGITS_MAX: u8 = 38;

/// What the values of a schema are.
#[derive(Debug)]
pub(super) enum Values {
    /// Only null.
    Null,
    /// Anything.
    Any,
    Of(DataType),
}

impl Values {
    /// Those of both together.
    pub(super) fn or(self, other: Self) -> Self {
        let is_number = |of: &DataType| of.is_integer() || of.is_floating();
        match (self, other) {
            (Self::Null, other) | (other, Self::Null) => other,
            (Self::Of(one), Self::Of(other)) if one == other => Self::Of(one),
            (Self::Of(one), Self::Of(other)) if one.is_integer() && other.is_integer() => {
                Self::Of(DataType::Int64)
            }
            (Self::Of(one), Self::Of(other)) if is_number(&one) && is_number(&other) => {
                Self::Of(DataType::Float64)
            }
            _ => Self::Any,
        }
    }

    /// A column of text takes everything.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Null | Self::Any => DataType::Utf8,
            Self::Of(data_type) => data_type,
        }
    }

    /// The values of a schema that has this word as its type.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn of_word(word: &str, schema: &Node, writing: Writing) -> Result<Self, String> {
        Ok(Self::Of(match word {
            "null" => return Ok(Self::Null),
            "boolean" => DataType::Boolean,
            "integer" => integer(schema, writing),
            "number" => number(schema)?,
            "string" => string(schema)?,
            "object" | "array" => DataType::Utf8,
            other => return Err(format!("there is no type {other:?}")),
        }))
    }

    /// The values of a schema that only lists them, if it does.
    pub(super) fn of_constants(schema: &Node) -> Self {
        let mut listed = schema.items("enum").iter().chain(schema.get("const")).peekable();
        if listed.peek().is_none() {
            return Self::Any;
        }
        listed.map(Self::of_constant).fold(Self::Null, Self::or)
    }

    fn of_constant(constant: &Node) -> Self {
        Self::Of(match constant {
            Node::Null => return Self::Null,
            Node::Bool(_) => DataType::Boolean,
            Node::Whole(_) => DataType::Int64,
            Node::Number => DataType::Float64,
            Node::Text(_) | Node::List(_) | Node::Object(_) => DataType::Utf8,
        })
    }
}

/// A time in a unit that is not read from messages stays the number that it is.
fn integer(schema: &Node, writing: Writing) -> DataType {
    if let Some(moment) = moment(schema.text("title")).filter(|moment| is_read(moment, writing)) {
        return moment;
    }
    match schema.text("connect.type") {
        "int8" => DataType::Int8,
        "int16" => DataType::Int16,
        "int32" => DataType::Int32,
        _ => DataType::Int64,
    }
}

/// Dates and times that are whole numbers, by the names of Kafka Connect and Debezium.
fn moment(title: &str) -> Option<DataType> {
    use TimeUnit::{Microsecond as Micro, Millisecond as Milli, Nanosecond as Nano};
    Some(match title {
        "org.apache.kafka.connect.data.Date" | "io.debezium.time.Date" => DataType::Date32,
        "org.apache.kafka.connect.data.Time" | "io.debezium.time.Time" => DataType::Time32(Milli),
        "io.debezium.time.MicroTime" => DataType::Time64(Micro),
        "io.debezium.time.NanoTime" => DataType::Time64(Nano),
        "org.apache.kafka.connect.data.Timestamp" => DataType::Timestamp(Milli, Some("UTC".into())),
        "io.debezium.time.Timestamp" => DataType::Timestamp(Milli, None),
        "io.debezium.time.MicroTimestamp" => DataType::Timestamp(Micro, None),
        "io.debezium.time.NanoTimestamp" => DataType::Timestamp(Nano, None),
        _ => return None,
    })
}

/// True if numbers in a column of times are read in the unit of the column.
fn is_read(moment: &DataType, writing: Writing) -> bool {
    match moment {
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) => {
            writing.unit_for(*unit) == *unit
        }
        _ => true,
    }
}

fn number(schema: &Node) -> Result<DataType, String> {
    if is_decimal(schema) {
        return decimal(schema);
    }
    Ok(match schema.text("connect.type") {
        "float32" => DataType::Float32,
        _ => DataType::Float64,
    })
}

fn string(schema: &Node) -> Result<DataType, String> {
    if is_decimal(schema) {
        return decimal(schema);
    }
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Ok(match (schema.text("title"), schema.text("format")) {
        ("io.debezium.time.ZonedTimestamp", _) | (_, "date-time") => instant,
        (_, "date") => DataType::Date32,
        (_, "time") => DataType::Time64(TimeUnit::Microsecond),
        _ if schema.text("connect.type") == "bytes" => DataType::Binary,
        _ => DataType::Utf8,
    })
}

fn is_decimal(schema: &Node) -> bool {
    schema.text("title") == "org.apache.kafka.connect.data.Decimal"
}

/// Without a precision there are as many digits as a column can have.
fn decimal(schema: &Node) -> Result<DataType, String> {
    let parameter = |name: &str| schema.get("connect.parameters").and_then(|all| all.whole(name));
    let scale = parameter("scale").ok_or("it is a decimal without \"scale\" in \"connect.parameters\"")?;
    let precision = parameter("connect.decimal.precision").and_then(|digits| u8::try_from(digits).ok());
    let precision = precision.unwrap_or(DIGITS_MAX).clamp(1, DIGITS_MAX);
    match i8::try_from(scale) {
        Ok(scale @ 0..) if scale.unsigned_abs() <= precision => Ok(DataType::Decimal128(precision, scale)),
        _ => Err(format!(
            "no column has decimals of {precision} digits and scale {scale}"
        )),
    }
}
