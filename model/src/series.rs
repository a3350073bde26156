//! Exponentials and logarithms without a branch or a call, so that the compiler makes many of them at once.

use std::f64::consts::LOG2_E;

/// Terms of the series of a logarithm: each is less than a ninth of the one before.
const LOGARITHM_TERMS: u32 = 17;
/// The series of an exponential, of at most half of ln 2: the next term is less than the last digit.
const EXPONENTIAL: [f64; 14] = one_by_factorials();
/// Least exponent whose power is a normal number.
const LEAST_EXPONENT: f64 = -708.0;
/// Added to a small number it leaves no room for digits behind the point, and the whole number in its last bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// The first bits of ln 2, so few that products with small whole numbers are exact, and the rest of it (Cody and Waite,
/// "Software Manual for the Elementary Functions", 1980).
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

const fn one_by_factorials() -> [f64; 14] {
    let mut factors = [1.0; 14];
    let (mut factorial, mut term) = (1.0, 1);
    while term < factors.len() {
        factorial *= term as f64;
        factors[term] = 1.0 / factorial;
        term += 1;
    }
    factors
}

/// `exp(x)` of x up to 0, but for its last digit. Below -708 it stays what it is there, 3e-308.
#[inline(always)]
pub(crate) fn exp_of_negative(x: f64) -> f64 {
    let x = if x < LEAST_EXPONENT { LEAST_EXPONENT } else { x };
    let rounded = x * LOG2_E + ROUNDER;
    let power = rounded - ROUNDER;
    let rest = (x - power * LN_2_HIGH) - power * LN_2_LOW;
    let mut sum = 0.0;
    for factor in EXPONENTIAL.iter().rev() {
        sum = sum * rest + factor;
    }
    // 2 to the power, whose exponent is stored 1023 greater.
    sum * f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52)
}

/// `ln(1 + x)` of x from 0 to 1, but for its last digit: it is `2 artanh(z)` with `z = x / (2 + x)`, which is at most 1/3, as
/// a series.
#[inline(always)]
pub(crate) fn ln_1p(x: f64) -> f64 {
    let z = x / (2.0 + x);
    let square = z * z;
    let mut sum = 0.0;
    for term in (0..LOGARITHM_TERMS).rev() {
        sum = sum * square + 1.0 / f64::from(2 * term + 1);
    }
    2.0 * z * sum
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use super::*;

    #[test]
    fn logarithms_have_all_digits() {
        for step in 0..10_000 {
            let x = f64::from(step) / 9_999.0;
            for x in [x, x * 1e-8, x * 1e-300] {
                let error = (ln_1p(x) - x.ln_1p()).abs();
                assert!(error <= 6e-16 * x.ln_1p(), "{x}: {error}");
            }
        }
    }

    #[test]
    fn exponentials_have_all_digits() {
        assert!((LN_2_HIGH + LN_2_LOW - LN_2).abs() < 1e-16);
        for step in 0..100_000 {
            let x = -708.0 * (f64::from(step) / 99_999.0).powi(2);
            let error = (exp_of_negative(x) - x.exp()).abs();
            assert!(error <= 6e-16 * x.exp(), "{x}: {error}");
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!(exp_of_negative(-0.0), 1.0);
        assert!(exp_of_negative(f64::NEG_INFINITY) < 1e-300);
        assert!(exp_of_negative(f64::NAN).is_nan());
    }
}
