//! A value of a row in the type of its column, and how it is made from what a message says.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use jiff::tz::TimeZone;

use super::decimal;
use super::hints::Hint;
use super::scaled::Scaled;
use super::slot::{Piece, Slot, Texts};
use super::time;

const PADDED_OR_NOT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, PADDED_OR_NOT);
const BASE64_IN_URLS: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, PADDED_OR_NOT);

/// MySQL's date of no day: <https://dev.mysql.com/doc/refman/8.4/en/date-and-time-types.html>.
const ZERO_DATE: &str = "0000-00-00";

/// A value in the type of its column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Decimal(i128),
    Text(Piece),
    Word(&'static str),
    /// Bytes by their place among those that were decoded.
    Bytes(usize, usize),
}

impl Cell {
    /// True if both are one value; they are of the same column.
    pub(super) fn is_same(self, other: Self, stock: Stock<'_>) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Unsigned(one), Self::Unsigned(other)) => one == other,
            (Self::Float(one), Self::Float(other)) => one.total_cmp(&other).is_eq(),
            (Self::Decimal(one), Self::Decimal(other)) => one == other,
            (one, other) => one.bytes(stock).is_some() && one.bytes(stock) == other.bytes(stock),
        }
    }

    fn bytes(self, stock: Stock<'_>) -> Option<&[u8]> {
        match self {
            Self::Text(piece) => Some(stock.texts.get(piece).as_bytes()),
            Self::Word(word) => Some(word.as_bytes()),
            Self::Bytes(start, end) => stock.bytes.get(start..end),
            _ => None,
        }
    }
}

/// Where the cells of pending rows point to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stock<'a> {
    pub(super) texts: Texts<'a>,
    pub(super) bytes: &'a [u8],
}

/// Why a value does not fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is of another type.
    Type,
    /// It is too large or too small.
    Range,
}

/// How bytes are written as a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Coding {
    /// RFC 4648, of either alphabet, with padding or without.
    #[default]
    Base64,
    /// Two digits for each byte.
    Hex,
    /// A letter of ISO 8859-1 for each byte.
    Latin1,
}

/// How the bytes and decimals of a format are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Writing {
    /// Texts in decimal columns are base64 of an unscaled number, if they can be.
    pub(super) decimals_in_base64: bool,
    /// Those in columns of whole numbers are too.
    pub(super) wholes_in_base64: bool,
    /// A date of zeros is null.
    pub(super) zero_is_no_date: bool,
    pub(super) bytes: Coding,
    /// Unit of whole numbers in columns of times, if it is not that of the column.
    pub(super) unit: Option<TimeUnit>,
    /// What the schema of the message says of the column.
    pub(super) hint: Option<Hint>,
}

impl Writing {
    /// The unit of whole numbers in a column of times. Without another word it is that of the column; but a column that is
    /// declared without a unit has nanoseconds, and hardly anything is written in these: they are microseconds then.
    pub(super) fn unit_for(self, of_column: TimeUnit) -> TimeUnit {
        match (self.unit, of_column) {
            (Some(unit), _) => unit,
            (None, TimeUnit::Nanosecond) => TimeUnit::Microsecond,
            (None, unit) => unit,
        }
    }
}

/// What a column takes.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Bool,
    Int { min: i64, max: i64 },
    Unsigned { max: u64 },
    Float { is_single: bool },
    Decimal { precision: u8, scale: u8 },
    Text,
    Bytes,
    Date,
    Time(TimeUnit),
    Timestamp(TimeUnit, Option<TimeZone>),
}

impl Shape {
    /// What a column of this type takes; an error names a part of the type that cannot be taken.
    pub(super) fn of(data_type: &DataType) -> Result<Self, String> {
        let int = |min, max| Self::Int { min, max };
        Ok(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 => int(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => int(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => int(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => int(i64::MIN, i64::MAX),
            DataType::UInt8 => Self::Unsigned { max: u8::MAX.into() },
            DataType::UInt16 => Self::Unsigned { max: u16::MAX.into() },
            DataType::UInt32 => Self::Unsigned { max: u32::MAX.into() },
            DataType::UInt64 => Self::Unsigned { max: u64::MAX },
            DataType::Float32 => Self::Float { is_single: true },
            DataType::Float64 => Self::Float { is_single: false },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Bytes,
            DataType::Date32 => Self::Date,
            DataType::Time32(unit @ (TimeUnit::Second | TimeUnit::Millisecond))
            | DataType::Time64(unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond)) => Self::Time(*unit),
            DataType::Timestamp(unit, None) => Self::Timestamp(*unit, None),
            DataType::Timestamp(unit, Some(zone)) => Self::Timestamp(*unit, time::zone_of_column(zone)?),
            DataType::Decimal128(precision, scale) => Self::Decimal {
                precision: *precision,
                scale: u8::try_from(*scale).map_err(|_| data_type.to_string())?,
            },
            _ => return Err(data_type.to_string()),
        })
    }

    /// Makes a cell of a slot. Decoded bytes go to `bytes`.
    #[inline(always)]
    pub(super) fn cell(
        &self,
        slot: Slot,
        texts: Texts<'_>,
        writing: Writing,
        bytes: &mut Vec<u8>,
    ) -> Result<Cell, Misfit> {
        let (piece, is_text) = match (slot, self) {
            (Slot::Absent | Slot::Null, _) => return Ok(Cell::Null),
            (Slot::Bool(value), Self::Bool) => return Ok(Cell::Bool(value)),
            (Slot::Bool(value), Self::Text) => return Ok(Cell::Word(if value { "true" } else { "false" })),
            (Slot::Nested(piece), Self::Text) => return Ok(Cell::Text(piece)),
            (Slot::Nested(piece), Self::Decimal { precision, scale }) => {
                return digits(Scaled::of_object(texts.get(piece))?.at(*scale)?, *precision);
            }
            (Slot::Nested(piece), Self::Int { .. } | Self::Unsigned { .. } | Self::Float { .. }) => {
                return self.number(&Scaled::of_object(texts.get(piece))?.spell()?);
            }
            (Slot::Bytes(start, end), Self::Bytes) => {
                return Ok(Cell::Bytes(start as usize, end as usize));
            }
            (Slot::Bool(_) | Slot::Nested(_) | Slot::Bytes(..), _) => return Err(Misfit::Type),
            (Slot::Int(value), Self::Time(of) | Self::Timestamp(of, _)) => {
                return self.of_int(value, Some(writing.unit_for(*of)));
            }
            (Slot::Int(value), _) => return self.of_int(value, writing.unit),
            (Slot::Float(value), _) => return self.of_float(value),
            (Slot::Moment(value, unit), _) => return self.of_moment(value, unit),
            (Slot::Local(value, unit), _) => return self.of_local(value, unit),
            (Slot::Day(value), _) => return self.of_day(value),
            (Slot::Number(piece), _) => (piece, false),
            (Slot::Text(piece), _) => (piece, true),
        };
        let text = texts.get(piece);
        if let Some(hint) = writing.hint
            && let Some(cell) = self.hinted(hint, text, is_text)
        {
            return cell;
        }
        match self {
            Self::Text => Ok(Cell::Text(piece)),
            Self::Date | Self::Timestamp(..) if writing.zero_is_no_date && text.starts_with(ZERO_DATE) => {
                Ok(Cell::Null)
            }
            Self::Bool => boolean(text).map(Cell::Bool),
            Self::Float { .. } if is_text && let Some(value) = not_finite(text) => Ok(Cell::Float(value)),
            Self::Int { .. } | Self::Unsigned { .. }
                if is_text
                    && writing.wholes_in_base64
                    && let Some(coded) = padded_base64(text) =>
            {
                self.of_whole(decimal::from_bytes(&coded)?)
            }
            Self::Int { .. } | Self::Unsigned { .. } | Self::Float { .. } => self.number(text),
            Self::Decimal { precision, scale } if is_text && writing.decimals_in_base64 => {
                match padded_base64(text) {
                    Some(coded) => digits(decimal::from_bytes(&coded)?, *precision),
                    None => digits(decimal::parse(text, *scale)?.value, *precision),
                }
            }
            Self::Decimal { precision, scale } => digits(decimal::parse(text, *scale)?.value, *precision),
            Self::Bytes if !is_text => Err(Misfit::Type),
            Self::Bytes => {
                let start = bytes.len();
                let decoded = match writing.bytes {
                    Coding::Base64 => decode_base64(text, bytes),
                    Coding::Hex => hex(text, bytes),
                    Coding::Latin1 => latin1(text, bytes),
                };
                decoded
                    .map(|()| Cell::Bytes(start, bytes.len()))
                    .ok_or(Misfit::Type)
            }
            Self::Date if is_text => time::date(text).map(|days| Cell::Int(days.into())),
            Self::Date => int(text)
                .and_then(|days| within(days, time::FIRST_DAY, time::LAST_DAY))
                .map(Cell::Int),
            Self::Time(unit) => {
                let value = if is_text {
                    time::time_of_day(text, *unit)
                } else {
                    moment(text, writing.unit_for(*unit), *unit)
                };
                let day = 86_400 * time::per_second(*unit);
                value.and_then(|value| within(value, 0, day - 1)).map(Cell::Int)
            }
            Self::Timestamp(unit, _) if !is_text || is_whole(text) => {
                moment(text, writing.unit_for(*unit), *unit).map(Cell::Int)
            }
            Self::Timestamp(unit, zone) => time::timestamp(text, *unit, zone.as_ref()).map(Cell::Int),
        }
    }
}

impl Shape {
    /// Makes a cell as the schema of the message says; none if that says nothing beside the type of the column.
    fn hinted(&self, hint: Hint, text: &str, is_text: bool) -> Option<Result<Cell, Misfit>> {
        Some(match (self, hint, is_text) {
            (Self::Timestamp(..) | Self::Time(_), Hint::Days, false) => {
                int(text).and_then(|days| self.of_day(days))
            }
            (Self::Date, Hint::Time(unit), false) => int(text).and_then(|value| self.of_moment(value, unit)),
            (Self::Date | Self::Timestamp(..) | Self::Time(_), Hint::Year, false) => Err(Misfit::Type),
            (Self::Decimal { precision, scale }, Hint::Text, true) => {
                decimal::parse(text, *scale).and_then(|number| digits(number.value, *precision))
            }
            (Self::Int { .. } | Self::Unsigned { .. }, Hint::Text, true) => self.number(text),
            (Self::Decimal { precision, scale }, Hint::Decimal(own), true) => Scaled::of_text(text, own)
                .and_then(|number| number.at(*scale))
                .and_then(|value| digits(value, *precision)),
            (Self::Int { .. } | Self::Unsigned { .. } | Self::Float { .. }, Hint::Decimal(own), true) => {
                Scaled::of_text(text, own)
                    .and_then(|number| number.spell())
                    .and_then(|spelled| self.number(&spelled))
            }
            _ => return None,
        })
    }

    /// Makes a cell of the text of a number, for a column of whole or floating point numbers.
    #[inline(always)]
    fn number(&self, text: &str) -> Result<Cell, Misfit> {
        match self {
            Self::Int { min, max } => int(text)
                .and_then(|value| within(value, *min, *max))
                .map(Cell::Int),
            Self::Unsigned { max } => unsigned(text)
                .and_then(|value| within(value, 0, *max))
                .map(Cell::Unsigned),
            Self::Float { is_single } => float(text, *is_single).map(Cell::Float),
            _ => Err(Misfit::Type),
        }
    }
}

/// Bytes in base64 with all its padding: other texts are more likely numbers.
fn padded_base64(text: &str) -> Option<Vec<u8>> {
    text.len().is_multiple_of(4).then(|| base64(text)).flatten()
}

/// Bytes in base64, of either alphabet.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    decode_base64(text, &mut decoded).map(|()| decoded)
}

fn decode_base64(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let start = bytes.len();
    let decoded = BASE64.decode_vec(text, bytes).or_else(|_| {
        bytes.truncate(start);
        BASE64_IN_URLS.decode_vec(text, bytes)
    });
    decoded.ok()
}

fn boolean(text: &str) -> Result<bool, Misfit> {
    match text {
        "1" => Ok(true),
        "0" => Ok(false),
        _ if text.eq_ignore_ascii_case("true") => Ok(true),
        _ if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(Misfit::Type),
    }
}

#[inline]
fn int(text: &str) -> Result<i64, Misfit> {
    text.parse()
        .or_else(|_| whole(text).and_then(|value| i64::try_from(value).map_err(|_| Misfit::Range)))
}

fn unsigned(text: &str) -> Result<u64, Misfit> {
    text.parse()
        .or_else(|_| whole(text).and_then(|value| u64::try_from(value).map_err(|_| Misfit::Range)))
}

/// A whole number that is written with a point or an exponent, or is too large.
#[cold]
fn whole(text: &str) -> Result<i128, Misfit> {
    let number = decimal::parse(text, 0)?;
    number.is_exact.then_some(number.value).ok_or(Misfit::Type)
}

/// Words for what JSON has no number for, as Java writes them, and Debezium for decimals (`decimal.handling.mode` `string`).
fn not_finite(text: &str) -> Option<f64> {
    match text {
        "NaN" | "NAN" => Some(f64::NAN),
        "Infinity" | "POSITIVE_INFINITY" => Some(f64::INFINITY),
        "-Infinity" | "NEGATIVE_INFINITY" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

#[inline]
fn float(text: &str, is_single: bool) -> Result<f64, Misfit> {
    // The standard parser knows words such as "inf" too.
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
    if !is_number {
        return Err(Misfit::Type);
    }
    let value = if is_single {
        text.parse::<f32>().map(f64::from)
    } else {
        text.parse()
    };
    let value = value.map_err(|_| Misfit::Type)?;
    value.is_finite().then_some(value).ok_or(Misfit::Range)
}

fn moment(text: &str, from: TimeUnit, to: TimeUnit) -> Result<i64, Misfit> {
    match text.parse() {
        Ok(value) => time::convert(value, from, to),
        Err(_) => time::convert_fraction(text, from, to),
    }
}

fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn within<T: PartialOrd>(value: T, min: T, max: T) -> Result<T, Misfit> {
    if value < min || value > max {
        return Err(Misfit::Range);
    }
    Ok(value)
}

pub(super) fn digits(value: i128, precision: u8) -> Result<Cell, Misfit> {
    let limit = 10u128.pow(u32::from(precision.min(38)));
    if value.unsigned_abs() >= limit {
        return Err(Misfit::Range);
    }
    Ok(Cell::Decimal(value))
}

/// Bytes that are written as pairs of hexadecimal digits, with or without `0x` before them.
pub(super) fn hex(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    for pair in text.as_bytes().chunks_exact(2) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(())
}

fn latin1(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    for letter in text.chars() {
        bytes.push(u8::try_from(letter).ok()?);
    }
    Some(())
}
