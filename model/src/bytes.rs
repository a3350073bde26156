//! States as bytes between machines and in checkpoints.
//!
//! The first byte says what it is, the second the version; then whole numbers and floating point, little end first. What
//! is read was written by another process, perhaps of another version: reading asks for lengths before it believes them.

use crate::error::Error;
use crate::twofold::Twofold;

/// Greatest length of a list in a state.
const LENGTH_MAX: usize = 1 << 26;

/// Most rows of a state: more are no longer told apart as `f64`.
const COUNT_MAX: u64 = 1 << 53;

/// Writes a state.
#[derive(Debug)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(what: u8, version: u8) -> Self {
        Self(vec![what, version])
    }

    pub(crate) fn whole(&mut self, number: u64) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    pub(crate) fn number(&mut self, number: f64) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    /// Numbers, without how many they are.
    pub(crate) fn numbers(&mut self, numbers: &[f64]) -> &mut Self {
        for number in numbers {
            self.number(*number);
        }
        self
    }

    pub(crate) fn twofold(&mut self, number: Twofold) -> &mut Self {
        self.number(number.high).number(number.low)
    }

    pub(crate) fn twofolds(&mut self, numbers: &[Twofold]) -> &mut Self {
        for number in numbers {
            self.twofold(*number);
        }
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a state. All numbers in it are finite.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Of bytes that must be of this kind and version.
    pub(crate) fn new(bytes: &'a [u8], what: u8, version: u8) -> Result<Self, Error> {
        match bytes {
            [first, second, rest @ ..] if *first == what && *second == version => Ok(Self(rest)),
            _ => Err(Error::state(
                "the state of a model is damaged or of another version",
            )),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn whole(&mut self) -> Result<u64, Error> {
        self.take().map(u64::from_le_bytes)
    }

    /// A number of rows: so small that sums of them have a place.
    pub(crate) fn count(&mut self) -> Result<u64, Error> {
        match self.whole()? {
            count if count <= COUNT_MAX => Ok(count),
            _ => Err(damaged()),
        }
    }

    /// A whole number that is not great, such as that of columns.
    pub(crate) fn length(&mut self) -> Result<usize, Error> {
        let length = usize::try_from(self.whole()?).map_err(|_| damaged())?;
        match length <= LENGTH_MAX {
            true => Ok(length),
            false => Err(damaged()),
        }
    }

    pub(crate) fn number(&mut self) -> Result<f64, Error> {
        let number = f64::from_le_bytes(self.take()?);
        match number.is_finite() {
            true => Ok(number),
            false => Err(damaged()),
        }
    }

    /// Some numbers; nothing is allocated for more than there are bytes.
    pub(crate) fn numbers(&mut self, count: usize) -> Result<Vec<f64>, Error> {
        self.has(count, 8)?;
        (0..count).map(|_| self.number()).collect()
    }

    pub(crate) fn twofold(&mut self) -> Result<Twofold, Error> {
        let (high, low) = (self.number()?, self.number()?);
        match high + low == high {
            true => Ok(Twofold { high, low }),
            false => Err(damaged()),
        }
    }

    pub(crate) fn twofolds(&mut self, count: usize) -> Result<Vec<Twofold>, Error> {
        self.has(count, 16)?;
        (0..count).map(|_| self.twofold()).collect()
    }

    fn has(&self, count: usize, bytes: usize) -> Result<(), Error> {
        match count
            .checked_mul(bytes)
            .is_some_and(|needed| needed <= self.0.len())
        {
            true => Ok(()),
            false => Err(damaged()),
        }
    }

    /// What is left, a state of its own.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(damaged()),
        }
    }
}

/// The state is not what was written.
pub(crate) fn damaged() -> Error {
    Error::state("the state of a model is damaged")
}
