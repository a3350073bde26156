//! The coefficients that sums are asked for.

use crate::bytes::{Reader, Writer, damaged};
use crate::error::Error;
use crate::scale::Scale;

/// First byte and version of the state.
const WHAT: (u8, u8) = (b'P', 2);
/// Most coefficients: there are 8 million numbers in their curvature.
pub(super) const COEFFICIENTS_MAX: usize = 4096;

/// Whether there are two classes or more, and not too many coefficients.
pub(super) fn is_small(features: usize, classes: usize) -> bool {
    classes > 1 && (classes - 1).saturating_mul(features + 1) <= COEFFICIENTS_MAX
}

/// Coefficients to evaluate, and all else that whoever sums over rows must know.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticPoint {
    /// Of each feature; how it is scaled inside.
    pub(super) scales: Vec<Scale>,
    /// Of each class, times which its rows count.
    pub(super) weights: Vec<f64>,
    /// Whether there is an intercept.
    pub(super) intercept: bool,
    /// Whether second derivatives are wanted.
    pub(super) curvature: bool,
    /// Of each class but the first one: the intercept, then one for each feature, on the inner scale.
    pub(super) vectors: Vec<Vec<f64>>,
}

impl LogisticPoint {
    /// Number of features.
    pub fn features(&self) -> usize {
        self.scales.len()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.weights.len()
    }

    /// The point as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT.0, WHAT.1);
        writer
            .whole(self.features() as u64)
            .whole(self.classes() as u64)
            .whole(u64::from(self.intercept))
            .whole(u64::from(self.curvature))
            .numbers(&self.weights);
        for scale in &self.scales {
            writer.number(scale.mean).number(scale.deviation);
        }
        for vector in &self.vectors {
            writer.numbers(vector);
        }
        writer.finish()
    }

    /// Reads [`LogisticPoint::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT.0, WHAT.1)?;
        let (features, classes) = (reader.length()?, reader.length()?);
        if !is_small(features, classes) {
            return Err(damaged());
        }
        let (intercept, curvature) = (reader.whole()? != 0, reader.whole()? != 0);
        let weights = reader.numbers(classes)?;
        let scale = |_| {
            Ok(Scale {
                mean: reader.number()?,
                deviation: reader.number()?,
            })
        };
        let scales = (0..features).map(scale).collect::<Result<_, Error>>()?;
        let vectors = (1..classes)
            .map(|_| reader.numbers(features + 1))
            .collect::<Result<_, Error>>()?;
        reader.finish()?;
        Ok(Self {
            scales,
            weights,
            intercept,
            curvature,
            vectors,
        })
    }
}
