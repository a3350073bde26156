//! Dates and times, from texts at fixed places and from numbers in a unit.
//!
//! Texts are RFC 3339 or as SQL writes them: `2026-01-02`, `2026-01-02 03:04:05.678`, `2026-01-02T03:04:05+01:00`. Digits
//! that a column has no room for are cut off. What is written otherwise is left to a slower parser.

use datafusion::arrow::datatypes::TimeUnit;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

use super::cell::Misfit;
use super::decimal;

/// The first and the last day, since 1970, that the calendar of Arrow's kernels has: PostgreSQL's infinity lies behind it.
pub(super) const FIRST_DAY: i64 = -96_465_292;
pub(super) const LAST_DAY: i64 = 95_026_236;

const EPOCH: Date = Date::constant(1970, 1, 1);
const DAY: i64 = 86_400;
const NANOS: i64 = 1_000_000_000;

/// Parts of a unit in a second.
pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => NANOS,
    }
}

/// Reads a date. A zone may follow, or a time if it is midnight.
pub(super) fn date(text: &str) -> Result<i32, Misfit> {
    let bytes = text.as_bytes();
    let days = days(bytes).ok_or(Misfit::Type)?;
    // Debezium writes the day and a zone, which moves nothing.
    if bytes.len() > 10 && zone(&bytes[10..]).is_none() {
        let (seconds, nanos, rest) = clock(after_day(bytes).ok_or(Misfit::Type)?).ok_or(Misfit::Type)?;
        if (seconds, nanos) != (0, 0) || zone(rest).is_none() {
            return Err(Misfit::Type);
        }
    }
    i32::try_from(days).map_err(|_| Misfit::Range)
}

/// Reads a time of day.
pub(super) fn time_of_day(text: &str, unit: TimeUnit) -> Result<i64, Misfit> {
    let (seconds, nanos, rest) = clock(text.as_bytes()).ok_or(Misfit::Type)?;
    // Times with a zone come in UTC, so a zone that moves them is refused.
    if !matches!(zone(rest), Some(None | Some(0))) {
        return Err(Misfit::Type);
    }
    in_unit(seconds, nanos, unit)
}

/// Reads a point in time. One without a zone is in that of the column, or as it is if the column has none.
pub(super) fn timestamp(text: &str, unit: TimeUnit, column_zone: Option<&TimeZone>) -> Result<i64, Misfit> {
    let Some((local, nanos, offset)) = fixed(text.as_bytes()) else {
        return slow(text, unit);
    };
    let seconds = match (offset, column_zone) {
        (Some(offset), _) => local - offset,
        (None, None) => local,
        (None, Some(zone)) => at_zone(local, zone)?,
    };
    in_unit(seconds, nanos, unit)
}

/// Takes a whole number in one unit as a time in another.
pub(super) fn convert(value: i64, from: TimeUnit, to: TimeUnit) -> Result<i64, Misfit> {
    let (from, to) = (per_second(from), per_second(to));
    let day = value.div_euclid(from * DAY);
    if !(FIRST_DAY..=LAST_DAY).contains(&day) {
        return Err(Misfit::Range);
    }
    if to >= from {
        value.checked_mul(to / from).ok_or(Misfit::Range)
    } else {
        Ok(value.div_euclid(from / to))
    }
}

/// Takes a number that may have a fraction.
pub(super) fn convert_fraction(text: &str, from: TimeUnit, to: TimeUnit) -> Result<i64, Misfit> {
    let nanos = decimal::parse(text, 9)?.value / i128::from(per_second(from));
    let value = nanos.div_euclid(i128::from(NANOS / per_second(to)));
    let value = i64::try_from(value).map_err(|_| Misfit::Range)?;
    convert(value, to, to)
}

/// A zone of a column; none if it is UTC.
pub(super) fn zone_of_column(name: &str) -> Result<Option<TimeZone>, String> {
    if matches!(
        name,
        "UTC" | "Etc/UTC" | "Z" | "GMT" | "+00:00" | "-00:00" | "+0000"
    ) {
        return Ok(None);
    }
    if let Some(Some(offset)) = zone(name.as_bytes()) {
        let offset = i32::try_from(offset).unwrap_or_default();
        return Ok(Offset::from_seconds(offset).ok().map(TimeZone::fixed));
    }
    TimeZone::get(name).map(Some).map_err(|_| name.to_owned())
}

/// Local seconds, nanoseconds and the offset, of a text in the usual form.
fn fixed(bytes: &[u8]) -> Option<(i64, i64, Option<i64>)> {
    let days = days(bytes)?;
    if bytes.len() == 10 {
        return Some((days * DAY, 0, None));
    }
    let (seconds, nanos, rest) = clock(after_day(bytes)?)?;
    Some((days * DAY + seconds, nanos, zone(rest)?))
}

fn after_day(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.get(10..)? {
        // Oracle GoldenGate writes a colon.
        [b'T' | b't' | b' ' | b':', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// Days since 1970 of a text that starts with `YYYY-MM-DD`.
fn days(bytes: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, ..] = bytes else {
        return None;
    };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    let (month, day) = (two(*m1, *m2)?, two(*d1, *d2)?);
    let date = Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    );
    Some(date.ok()?.duration_since(EPOCH).as_hours() / 24)
}

/// Seconds and nanoseconds of a text that starts with `HH:MM[:SS[.fraction]]`, and what follows.
fn clock(bytes: &[u8]) -> Option<(i64, i64, &[u8])> {
    let [h1, h2, b':', m1, m2, rest @ ..] = bytes else {
        return None;
    };
    let (hour, minute) = (two(*h1, *h2)?, two(*m1, *m2)?);
    let (second, nanos, rest) = match rest {
        [b':', s1, s2, b'.' | b',', rest @ ..] => {
            let (nanos, rest) = fraction(rest)?;
            (two(*s1, *s2)?, nanos, rest)
        }
        [b':', s1, s2, rest @ ..] => (two(*s1, *s2)?, 0, rest),
        rest => (0, 0, rest),
    };
    // A leap second counts as the first of the next minute.
    let is_valid = hour < 24 && minute < 60 && second <= 60;
    is_valid.then_some((hour * 3600 + minute * 60 + second, nanos, rest))
}

fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(length);
    let mut nanos = 0;
    for place in 0..9 {
        nanos = nanos * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    (length > 0).then_some((nanos, rest))
}

/// Seconds east of UTC, if anything is said; the outer none is for what is no zone.
fn zone(bytes: &[u8]) -> Option<Option<i64>> {
    let bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
    let (sign, rest) = match bytes {
        [] => return Some(None),
        b"Z" | b"z" | b"UTC" => return Some(Some(0)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes, seconds) = match rest {
        [h1, h2] => (two(*h1, *h2)?, 0, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (two(*h1, *h2)?, two(*m1, *m2)?, 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => (two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?),
        _ => return None,
    };
    let is_valid = hours < 24 && minutes < 60 && seconds < 60;
    is_valid.then_some(Some(sign * (hours * 3600 + minutes * 60 + seconds)))
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens * 10 + ones))
}

/// What is written in another form: `[Zone/Name]` behind it, or years of more than four digits.
#[cold]
fn slow(text: &str, unit: TimeUnit) -> Result<i64, Misfit> {
    if matches!(text, "infinity" | "-infinity") {
        return Err(Misfit::Range);
    }
    let instant: jiff::Timestamp = text.parse().map_err(|_| Misfit::Type)?;
    let nanos = instant.as_nanosecond();
    let value = nanos.div_euclid(i128::from(NANOS / per_second(unit)));
    i64::try_from(value).map_err(|_| Misfit::Range)
}

pub(super) fn at_zone(local: i64, zone: &TimeZone) -> Result<i64, Misfit> {
    let as_utc = jiff::Timestamp::from_second(local).map_err(|_| Misfit::Range)?;
    let clock = Offset::UTC.to_datetime(as_utc);
    let instant = zone.to_timestamp(clock).map_err(|_| Misfit::Range)?;
    Ok(instant.as_second())
}

fn in_unit(seconds: i64, nanos: i64, unit: TimeUnit) -> Result<i64, Misfit> {
    let parts = per_second(unit);
    let whole = i128::from(seconds) * i128::from(parts) + i128::from(nanos / (NANOS / parts));
    i64::try_from(whole).map_err(|_| Misfit::Range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};

    #[test]
    fn texts_of_rfc_3339_and_sql() {
        let check = |text: &str, expected| assert_eq!(timestamp(text, Microsecond, None), expected, "{text}");
        let at = 1_767_323_045_000_000;
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02 03:04:05",
            "2026-01-02 03:04:05 UTC",
            "2026-01-02:03:04:05",
            "2026-01-02:03:04:05.000000000",
            "2026-01-02T04:04:05+01:00",
            "2026-01-02 04:04:05+01",
            "2026-01-01t22:04:05.000000000-0500",
            "2026-01-02T04:04:05+01:00[Europe/Berlin]",
        ] {
            check(text, Ok(at));
        }
        check("2026-01-02T03:04:05.123456789Z", Ok(at + 123_456));
        check("1969-12-31T23:59:59.5Z", Ok(-500_000));
        check("2026-01-02", Ok(at - 3 * 3_600_000_000 - 245_000_000));
        check("2024-02-29T00:00Z", Ok(1_709_164_800_000_000));
        for text in [
            "",
            "2026-13-01",
            "2026-02-29",
            "2026-01-02T25:00:00",
            "2026-01-02T03:04:05X",
            "x",
            "2026-01-02T03:04:05.",
            "日本語日本語",
        ] {
            check(text, Err(Misfit::Type));
        }
        assert_eq!(timestamp("2999-01-01", Nanosecond, None), Err(Misfit::Range));
    }

    #[test]
    fn a_zone_of_the_column_counts_for_texts_without_one() {
        let berlin = zone_of_column("Europe/Berlin").unwrap();
        assert_eq!(
            timestamp("2026-07-01 02:00:00", Second, berlin.as_ref()),
            timestamp("2026-07-01", Second, None)
        );
        let east = zone_of_column("+02:00").unwrap();
        assert_eq!(
            timestamp("2026-07-01 02:00:00", Second, east.as_ref()),
            timestamp("2026-07-01", Second, None)
        );
        assert!(zone_of_column("UTC").unwrap().is_none());
        assert!(zone_of_column("Nowhere/Never").is_err());
    }

    #[test]
    fn dates_and_times_of_day() {
        assert_eq!(date("1970-01-01"), Ok(0));
        assert_eq!(date("2026-01-02 00:00:00"), Ok(20_455));
        assert_eq!(date("2026-01-02Z"), Ok(20_455));
        assert_eq!(date("2026-01-02x"), Err(Misfit::Type));
        assert_eq!(date("2026-01-02 00:00:01"), Err(Misfit::Type));
        assert_eq!(date("0000-03-01"), Ok(-719_468));
        assert_eq!(time_of_day("01:02:03.5", Millisecond), Ok(3_723_500));
        assert_eq!(time_of_day("01:02:03Z", Second), Ok(3_723));
        assert_eq!(time_of_day("01:02:03+01", Second), Err(Misfit::Type));
    }

    #[test]
    fn numbers_change_units() {
        assert_eq!(convert(-1, Millisecond, Second), Ok(-1));
        assert_eq!(convert(5, Second, Microsecond), Ok(5_000_000));
        assert_eq!(convert(i64::MAX, Second, Nanosecond), Err(Misfit::Range));
        // The end of the calendar, and infinity as Debezium writes it.
        let last = (LAST_DAY + 1) * 86_400_000 - 1;
        assert_eq!(convert(last, Millisecond, Millisecond), Ok(last));
        assert_eq!(convert(last + 1, Millisecond, Millisecond), Err(Misfit::Range));
        assert_eq!(
            convert(9_223_372_036_825_200_000, Microsecond, Microsecond),
            Err(Misfit::Range)
        );
        assert_eq!(
            convert_fraction("1700000000.25", Second, Millisecond),
            Ok(1_700_000_000_250)
        );
    }
}
