//! Decimal numbers, taken exactly from the text that a message has.

use num_bigint::{BigInt, Sign};

use super::cell::Misfit;

/// Longest whole number of which all digits are worked out, in bytes: that takes the square of its length.
const LONG_MAX: usize = 1 << 12;

/// A number that was read at some scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    /// The number times ten to the power of the scale.
    pub(super) value: i128,
    /// False if digits beyond the scale were rounded away.
    pub(super) is_exact: bool,
}

/// Reads a number, with or without an exponent. Digits beyond the scale are rounded, halves away from zero.
///
/// # Errors
/// A text that is no number, or a number with more than 38 digits.
pub(super) fn parse(text: &str, scale: u8) -> Result<Decimal, Misfit> {
    let (is_negative, number) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let mantissa_end = number.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match mantissa_end {
        Some(end) => (&number[..end], exponent(&number[end + 1..])?),
        None => (number, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    let digits = || whole.iter().chain(fraction);
    let count = whole.len() + fraction.len();
    if count == 0 || !digits().all(u8::is_ascii_digit) {
        return Err(Misfit::Type);
    }
    // So many digits, counted from the first, stand before the last place of the scale.
    let kept = i64::try_from(whole.len()).unwrap_or(i64::MAX) + i64::from(scale) + exponent;
    let kept = usize::try_from(kept.max(-1)).ok();
    let mut value: i128 = 0;
    for digit in digits().take(kept.unwrap_or(0)) {
        value = append(value, digit - b'0')?;
    }
    for _ in count..kept.unwrap_or(0) {
        if value == 0 {
            break;
        }
        value = append(value, 0)?;
    }
    let mut dropped = digits()
        .skip(kept.unwrap_or(0))
        .map(|digit| digit - b'0')
        .peekable();
    if kept.is_some() && dropped.peek().is_some_and(|digit| *digit >= 5) {
        value = value.checked_add(1).ok_or(Misfit::Range)?;
    }
    let is_exact = dropped.all(|digit| digit == 0);
    Ok(Decimal {
        value: if is_negative { -value } else { value },
        is_exact,
    })
}

/// Reads the bytes of a whole number, the greatest first, in two's complement.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<i128, Misfit> {
    let first = *bytes.first().ok_or(Misfit::Type)?;
    let sign = if first >= 0x80 { 0xff } else { 0x00 };
    let spare = bytes.len().saturating_sub(16);
    let (extension, last) = bytes.split_at(spare);
    let is_extended = last.first().is_some_and(|byte| (byte ^ sign) < 0x80);
    if extension.iter().any(|byte| *byte != sign) || !is_extended {
        return Err(Misfit::Range);
    }
    let mut whole = [sign; 16];
    whole[16 - last.len()..].copy_from_slice(last);
    Ok(i128::from_be_bytes(whole))
}

/// The digits of a whole number that may be longer than any other here, and whether it is below zero. Bytes are as for
/// [`from_bytes`].
///
/// # Errors
/// No bytes, or too many.
#[cold]
pub(super) fn long_digits(bytes: &[u8]) -> Result<(bool, String), Misfit> {
    if bytes.is_empty() {
        return Err(Misfit::Type);
    }
    if bytes.len() > LONG_MAX {
        return Err(Misfit::Range);
    }
    let number = BigInt::from_signed_bytes_be(bytes);
    Ok((number.sign() == Sign::Minus, number.magnitude().to_string()))
}

/// Moves a number from one scale to another.
pub(super) fn rescale(value: i128, from: i32, to: i32) -> Result<i128, Misfit> {
    let mut value = value;
    for _ in from..to {
        if value == 0 {
            break;
        }
        value = append(value, 0)?;
    }
    if to < from {
        let places = from.saturating_sub(to).unsigned_abs();
        let Some(divisor) = 10i128.checked_pow(places) else {
            return Ok(0);
        };
        let (quotient, rest) = (value / divisor, value % divisor);
        let up = rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
        value = if up { quotient + value.signum() } else { quotient };
    }
    Ok(value)
}

fn append(value: i128, digit: u8) -> Result<i128, Misfit> {
    let tenfold = value.checked_mul(10).ok_or(Misfit::Range)?;
    tenfold.checked_add(i128::from(digit)).ok_or(Misfit::Range)
}

/// An exponent; one that is far out is as good as one that is farther.
fn exponent(text: &[u8]) -> Result<i64, Misfit> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Misfit::Type);
    }
    let far = |value: i64, digit: &u8| (value * 10 + i64::from(digit - b'0')).min(1 << 40);
    let value = digits.iter().fold(0, far);
    Ok(if is_negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, scale: u8, value: i128, is_exact: bool) {
        assert_eq!(parse(text, scale), Ok(Decimal { value, is_exact }), "{text}");
    }

    #[test]
    fn digits_are_exact_and_halves_go_away_from_zero() {
        check("12.34", 2, 1234, true);
        check("-12.3", 2, -1230, true);
        check("1.005", 2, 101, false);
        check("-1.005", 2, -101, false);
        check("1.0049", 2, 100, false);
        check("0.00000000000000000000000000000000000000000000001", 2, 0, false);
        check("1e3", 2, 100_000, true);
        check("123e-4", 2, 1, false);
        check("0e999999999999999999999", 2, 0, true);
        check("9e-999999999999999999999", 2, 0, false);
        check("0.5", 0, 1, false);
        check("0.05", 0, 0, false);
        check(
            "99999999999999999999999999999999999999",
            0,
            10i128.pow(38) - 1,
            true,
        );
        assert_eq!(parse("1e39", 0), Err(Misfit::Range));
        for text in ["", "-", ".", "1x", "NaN", "1e", "1.2.3", "e5"] {
            assert_eq!(parse(text, 2), Err(Misfit::Type), "{text}");
        }
    }

    #[test]
    fn bytes_are_twos_complement() {
        assert_eq!(from_bytes(&[0x04, 0xd2]), Ok(1234));
        assert_eq!(from_bytes(&[0xfb, 0x2e]), Ok(-1234));
        assert_eq!(from_bytes(&[0; 20]), Ok(0));
        assert_eq!(from_bytes(&[0x7f; 17]), Err(Misfit::Range));
        assert_eq!(from_bytes(&[]), Err(Misfit::Type));
    }

    #[test]
    fn long_numbers_have_the_digits_of_short_ones() {
        let below = [-1, -255, -256, -1_000_000_000, i128::MIN, i128::MIN + 1];
        let above = [
            0,
            1,
            255,
            256,
            999_999_999,
            1_000_000_000,
            10i128.pow(27),
            i128::MAX,
        ];
        for value in below.into_iter().chain(above) {
            let (is_negative, digits) = long_digits(&value.to_be_bytes()).unwrap();
            assert_eq!(is_negative, value < 0, "{value}");
            assert_eq!(digits, value.unsigned_abs().to_string());
        }
        assert_eq!(long_digits(&[]), Err(Misfit::Type));
        let longest = long_digits(&[0x7f; LONG_MAX]).unwrap().1;
        assert_eq!(longest.len(), 9864);
        assert_eq!(long_digits(&[0x7f; LONG_MAX + 1]), Err(Misfit::Range));
    }

    #[test]
    fn scales_change() {
        assert_eq!(rescale(15, 1, 0), Ok(2));
        assert_eq!(rescale(-15, 1, 0), Ok(-2));
        assert_eq!(rescale(14, 1, 0), Ok(1));
        assert_eq!(rescale(7, 0, 3), Ok(7000));
        assert_eq!(rescale(7, i32::MIN, 3), Err(Misfit::Range));
    }
}
