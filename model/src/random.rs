//! Random numbers that are the same on every machine for a seed.
//!
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014 (SplitMix64).

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

/// Numbers that differ in one bit come out as if they had nothing in common.
#[inline(always)]
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// In (0, 1), of a mixed number.
#[inline(always)]
pub(crate) fn share(number: u64) -> f64 {
    ((number >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// In (0, 1).
    pub(crate) fn share(&mut self) -> f64 {
        share(self.next())
    }
}

#[cfg(test)]
impl Random {
    /// Below a number.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.share() * limit as f64) as usize
    }

    /// From the normal distribution, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.share().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_paper() {
        // First output of java.util.SplittableRandom(1234567), and of the reference code in C.
        assert_eq!(Random::new(1_234_567).next(), 6_457_827_717_110_365_317);
    }
}
