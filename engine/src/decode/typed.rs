//! Cells of values that a binary format has in types of its own.

use datafusion::arrow::datatypes::TimeUnit;
use jiff::tz::TimeZone;

use super::cell::{Cell, Misfit, Shape, digits, within};
use super::decimal;
use super::time;

const DAY: i64 = 86_400;

impl Shape {
    /// Makes a cell of a whole number, which is a time in `unit` where one is asked for.
    pub(super) fn of_int(&self, value: i64, unit: Option<TimeUnit>) -> Result<Cell, Misfit> {
        Ok(match self {
            Self::Bool => match value {
                0 => Cell::Bool(false),
                1 => Cell::Bool(true),
                _ => return Err(Misfit::Type),
            },
            Self::Int { min, max } => Cell::Int(within(value, *min, *max)?),
            Self::Unsigned { max } => {
                let value = u64::try_from(value).map_err(|_| Misfit::Range)?;
                Cell::Unsigned(within(value, 0, *max)?)
            }
            Self::Float { .. } => Cell::Float(value as f64),
            Self::Decimal { precision, scale } => {
                let value = decimal::rescale(i128::from(value), 0, i32::from(*scale))?;
                digits(value, *precision)?
            }
            Self::Date => Cell::Int(within(value, time::FIRST_DAY, time::LAST_DAY)?),
            Self::Time(to) | Self::Timestamp(to, _) => return self.of_moment(value, unit.unwrap_or(*to)),
            Self::Text | Self::Bytes => return Err(Misfit::Type),
        })
    }

    /// Makes a cell of a number with a fraction.
    pub(super) fn of_float(&self, value: f64) -> Result<Cell, Misfit> {
        match self {
            Self::Float { is_single: true } if value.is_finite() && !(value as f32).is_finite() => {
                Err(Misfit::Range)
            }
            Self::Float { .. } => Ok(Cell::Float(value)),
            _ if !value.is_finite() => Err(Misfit::Range),
            Self::Decimal { precision, scale } => {
                digits(decimal::parse(&value.to_string(), *scale)?.value, *precision)
            }
            Self::Int { .. } | Self::Unsigned { .. } => {
                let number = decimal::parse(&value.to_string(), 0)?;
                self.of_whole(number.is_exact.then_some(number.value).ok_or(Misfit::Type)?)
            }
            _ => Err(Misfit::Type),
        }
    }

    /// Makes a cell of a whole number of any size, for a column of such numbers.
    pub(super) fn of_whole(&self, value: i128) -> Result<Cell, Misfit> {
        match self {
            Self::Unsigned { max } => {
                let value = u64::try_from(value).map_err(|_| Misfit::Range)?;
                within(value, 0, *max).map(Cell::Unsigned)
            }
            _ => self.of_int(i64::try_from(value).map_err(|_| Misfit::Range)?, None),
        }
    }

    /// Makes a cell of a point in time or a time of day.
    pub(super) fn of_moment(&self, value: i64, unit: TimeUnit) -> Result<Cell, Misfit> {
        match self {
            Self::Timestamp(to, _) => time::convert(value, unit, *to).map(Cell::Int),
            Self::Time(to) => {
                let value = time::convert(value, unit, *to)?;
                within(value, 0, DAY * time::per_second(*to) - 1).map(Cell::Int)
            }
            Self::Date => {
                let day = DAY * time::per_second(unit);
                let days = within(value.div_euclid(day), time::FIRST_DAY, time::LAST_DAY)?;
                match value.rem_euclid(day) {
                    0 => Ok(Cell::Int(days)),
                    _ => Err(Misfit::Type),
                }
            }
            _ => self.of_int(value, Some(unit)),
        }
    }

    /// Makes a cell of days since 1970: midnight, where a time is asked for.
    pub(super) fn of_day(&self, days: i64) -> Result<Cell, Misfit> {
        match self {
            Self::Timestamp(..) => {
                let days = within(days, time::FIRST_DAY, time::LAST_DAY)?;
                self.of_local(days * DAY, TimeUnit::Second)
            }
            Self::Time(_) => Err(Misfit::Type),
            _ => self.of_int(days, None),
        }
    }

    /// The same for one of no zone, which is in that of the column.
    pub(super) fn of_local(&self, value: i64, unit: TimeUnit) -> Result<Cell, Misfit> {
        match self {
            Self::Timestamp(to, Some(zone)) => in_zone(value, unit, *to, zone).map(Cell::Int),
            _ => self.of_moment(value, unit),
        }
    }
}

fn in_zone(value: i64, from: TimeUnit, to: TimeUnit, zone: &TimeZone) -> Result<i64, Misfit> {
    let parts = time::per_second(from);
    let local = value.div_euclid(parts);
    let shift = time::at_zone(local, zone)? - local;
    let shift = shift.checked_mul(parts).ok_or(Misfit::Range)?;
    time::convert(value.checked_add(shift).ok_or(Misfit::Range)?, from, to)
}
