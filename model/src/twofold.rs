//! Numbers of twice the digits: the unevaluated sum of two `f64`, about 32 decimal digits.
//!
//! Sums of products that rows are added to and taken from for years, and normal equations of columns that are nearly
//! dependent, need them: `f64` loses the digits that are left when great sums cancel.
//!
//! Sources: Dekker 1971; Hida, Li, Bailey, "Library for double-double and quad-double arithmetic", 2007; Joldes, Muller,
//! Popescu, "Tight and rigorous error bounds for basic building blocks of double-word arithmetic", 2017. These are the few
//! operations that are needed, so that loops over rows can have them inlined.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// `high + low`, where `low` is at most half of the last bit of `high`. Holds for finite numbers below 1e300.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Twofold {
    pub(crate) high: f64,
    pub(crate) low: f64,
}

/// The sum, and exactly what rounding took from it.
#[inline(always)]
pub(crate) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// The product, and exactly what rounding took from it. `FUSED` is whether the machine has an instruction for that, which
/// is a slow call elsewhere; the result is the same.
#[inline(always)]
pub(crate) fn two_product<const FUSED: bool>(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    if FUSED {
        return (product, a.mul_add(b, -product));
    }
    let ((a, a_low), (b, b_low)) = (halves(a), halves(b));
    (
        product,
        a_low * b_low - (((product - a * b) - a_low * b) - a * b_low),
    )
}

/// The upper and the lower 26 bits of a number, by Veltkamp.
#[inline(always)]
fn halves(number: f64) -> (f64, f64) {
    let far = number * 134_217_729.0;
    let high = far - (far - number);
    (high, number - high)
}

impl Twofold {
    pub(crate) const ZERO: Self = Self { high: 0.0, low: 0.0 };

    /// The exact sum of two numbers.
    #[inline(always)]
    pub(crate) fn sum(a: f64, b: f64) -> Self {
        let (high, low) = two_sum(a, b);
        Self { high, low }
    }

    /// The exact product of two numbers.
    #[inline(always)]
    pub(crate) fn product(a: f64, b: f64) -> Self {
        let (high, low) = two_product::<true>(a, b);
        Self { high, low }
    }

    pub(crate) fn value(self) -> f64 {
        self.high + self.low
    }
}

impl From<f64> for Twofold {
    #[inline(always)]
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

impl From<Twofold> for f64 {
    fn from(number: Twofold) -> Self {
        number.value()
    }
}

impl Add for Twofold {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let (high, low) = two_sum(self.high, other.high);
        let (middle, rest) = two_sum(self.low, other.low);
        let first = Self::sum(high, low + middle);
        Self::sum(first.high, first.low + rest)
    }
}

impl Neg for Twofold {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self {
            high: -self.high,
            low: -self.low,
        }
    }
}

impl Sub for Twofold {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Twofold {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let (high, low) = two_product::<true>(self.high, other.high);
        let cross = self.high.mul_add(other.low, self.low * other.high);
        Self::sum(high, low + cross)
    }
}

impl Div for Twofold {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let first = self.high / other.high;
        let rest = self - other * Self::from(first);
        let second = rest.high / other.high;
        let rest = rest - other * Self::from(second);
        Self::sum(first, second) + Self::from(rest.high / other.high)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_product_is_the_same_on_every_machine(
            a in -1e10..1e10_f64, b in -1e10..1e10_f64, scale in prop::sample::select(vec![1e-120, 1.0, 1e130]),
        ) {
            let (a, b) = (a * scale, b * scale);
            prop_assert_eq!(two_product::<true>(a, b), two_product::<false>(a, b));
        }
    }

    #[test]
    fn thirty_digits_are_kept() {
        let third = Twofold::from(1.0) / Twofold::from(3.0);
        let rest = third * Twofold::from(3.0) - Twofold::from(1.0);
        assert!(rest.value().abs() < 1e-31, "{rest:?}");
        let small = Twofold::from(1e16) + Twofold::from(1e-14) - Twofold::from(1e16);
        assert!((small.value() / 1e-14 - 1.0).abs() < 1e-3, "{small:?}");
        let square = Twofold::product(1.0 + f64::EPSILON, 1.0 + f64::EPSILON);
        assert_eq!(square.low, f64::EPSILON * f64::EPSILON);
    }
}
