//! Values of binary formats as text, for columns of text and for nested values, which become JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::datatypes::TimeUnit;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use jiff::{Span, Timestamp};

use super::cell::Misfit;
use super::decimal;
use super::time::per_second;

const EPOCH: Date = Date::constant(1970, 1, 1);
const NANOS: i64 = 1_000_000_000;

/// A date, of days since 1970.
pub(super) fn date(days: i64) -> Option<String> {
    let days = Span::new().try_days(days).ok()?;
    Some(EPOCH.checked_add(days).ok()?.to_string())
}

/// A time of day.
pub(super) fn time(value: i64, unit: TimeUnit) -> Option<String> {
    let (seconds, nanos) = parts(value, unit);
    let seconds = i32::try_from(seconds).ok().filter(|s| (0..86_400).contains(s))?;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let time = Time::new(hour as i8, minute as i8, second as i8, nanos).ok()?;
    Some(time.to_string())
}

/// A point in time.
pub(super) fn instant(value: i64, unit: TimeUnit) -> Option<String> {
    Some(timestamp(value, unit)?.to_string())
}

/// Date and time of day, of no zone.
pub(super) fn local(value: i64, unit: TimeUnit) -> Option<String> {
    Some(Offset::UTC.to_datetime(timestamp(value, unit)?).to_string())
}

/// A decimal number, of its digits and how many of them stand behind the point.
fn decimal(unscaled: i128, scale: i32, out: &mut String) {
    with_point(unscaled < 0, &unscaled.unsigned_abs().to_string(), scale, out);
}

/// The same, of its digits as a whole number in bytes, in two's complement. They may be more than a column can have.
///
/// # Errors
/// No bytes, or far too many.
pub(super) fn decimal_of_bytes(unscaled: &[u8], scale: i32, out: &mut String) -> Result<(), Misfit> {
    match decimal::from_bytes(unscaled) {
        Ok(unscaled) => decimal(unscaled, scale, out),
        Err(Misfit::Range) => {
            let (is_negative, digits) = decimal::long_digits(unscaled)?;
            with_point(is_negative, &digits, scale, out);
        }
        Err(misfit) => return Err(misfit),
    }
    Ok(())
}

fn with_point(is_negative: bool, digits: &str, scale: i32, out: &mut String) {
    if is_negative {
        out.push('-');
    }
    if scale <= 0 {
        out.push_str(digits);
        let zeros = if digits == "0" { 0 } else { scale.unsigned_abs() };
        out.extend((0..zeros).map(|_| '0'));
        return;
    }
    let scale = scale.unsigned_abs() as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    out.extend([whole, ".", fraction]);
}

/// Bytes of a UUID, or others as base64.
pub(super) fn uuid(bytes: &[u8]) -> String {
    match uuid::Uuid::from_slice(bytes) {
        Ok(uuid) => uuid.to_string(),
        Err(_) => base64(bytes),
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A text of JSON.
pub(super) fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter < ' ' => escape(letter, out),
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// A control character in a text of JSON.
pub(super) fn escape(letter: char, out: &mut String) {
    match letter {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        letter => out.push_str(&format!("\\u{:04x}", letter as u32)),
    }
}

fn timestamp(value: i64, unit: TimeUnit) -> Option<Timestamp> {
    let (seconds, nanos) = parts(value, unit);
    Timestamp::new(seconds, nanos).ok()
}

/// Seconds, and nanoseconds that are not negative.
fn parts(value: i64, unit: TimeUnit) -> (i64, i32) {
    let parts = per_second(unit);
    let nanos = value.rem_euclid(parts) * (NANOS / parts);
    (value.div_euclid(parts), nanos as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_sql_writes_them() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(date(-1), some("1969-12-31"));
        assert_eq!(date(i64::MAX), None);
        assert_eq!(time(3_723_004, TimeUnit::Millisecond), some("01:02:03.004"));
        assert_eq!(time(-1, TimeUnit::Second), None);
        assert_eq!(
            instant(-1, TimeUnit::Millisecond),
            some("1969-12-31T23:59:59.999Z")
        );
        assert_eq!(local(1, TimeUnit::Second), some("1970-01-01T00:00:01"));
        assert_eq!(instant(i64::MAX, TimeUnit::Second), None);
    }

    #[test]
    fn decimals_keep_all_digits() {
        let check = |unscaled, scale, expected: &str| {
            let mut text = String::new();
            decimal(unscaled, scale, &mut text);
            assert_eq!(text, expected);
        };
        check(1234, 2, "12.34");
        check(-5, 2, "-0.05");
        check(0, 2, "0.00");
        check(12, -2, "1200");
        check(0, -2, "0");
        check(7, 0, "7");
    }

    #[test]
    fn decimals_may_have_more_digits_than_a_column() {
        let check = |unscaled: &[u8], scale, expected| {
            let mut text = String::new();
            let spelled = decimal_of_bytes(unscaled, scale, &mut text);
            assert_eq!(spelled.map(|()| text), expected, "{unscaled:?}");
        };
        let ok = |text: &str| Ok(text.to_owned());
        check(&[0x04, 0xd2], 2, ok("12.34"));
        // Two to the power of 128, and the same below zero.
        let long = [&[1u8][..], &[0; 16]].concat();
        check(&long, 0, ok("340282366920938463463374607431768211456"));
        check(&long, -2, ok("34028236692093846346337460743176821145600"));
        let below = [&[0xffu8][..], &[0; 16]].concat();
        check(&below, 3, ok("-340282366920938463463374607431768211.456"));
        check(&below, 40, ok("-0.0340282366920938463463374607431768211456"));
        check(&[], 0, Err(Misfit::Type));
        check(&[1; 1 << 16], 0, Err(Misfit::Range));
    }

    #[test]
    fn texts_are_json() {
        let text = "a\"\\\n\u{1}é";
        let mut quoted_text = String::new();
        quoted(text, &mut quoted_text);
        assert_eq!(serde_json::from_str::<String>(&quoted_text).unwrap(), text);
    }
}
