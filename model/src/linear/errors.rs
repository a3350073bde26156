//! How far predictions are from labels, of one pass over rows: what the formula of a model says, without its text.

use multiversion::multiversion;

use super::{Estimate, Linear};
use crate::block::{Block, dot};
use crate::bytes::{Reader, Writer, damaged};
use crate::design::TERMS_MAX;
use crate::error::Error;
use crate::moments::{Moments, same_columns, same_rows};
use crate::twofold::Twofold;

/// First byte and version of the states.
const WHAT_PREDICTOR: (u8, u8) = (b'R', 1);
const WHAT_ERRORS: (u8, u8) = (b'E', 1);

/// Coefficients of a linear regression, by which labels are predicted.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictor {
    /// The intercept, then one for each feature.
    vector: Vec<f64>,
}

impl From<&Linear> for Predictor {
    fn from(linear: &Linear) -> Self {
        let value = |estimate: &Option<Estimate>| estimate.map_or(0.0, |estimate| estimate.value);
        let all = std::iter::once(&linear.intercept).chain(&linear.coefficients);
        Self {
            vector: all.map(value).collect(),
        }
    }
}

impl Predictor {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT_PREDICTOR.0, WHAT_PREDICTOR.1);
        writer.whole(self.vector.len() as u64).numbers(&self.vector);
        writer.finish()
    }

    /// Reads [`Predictor::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT_PREDICTOR.0, WHAT_PREDICTOR.1)?;
        let length = reader.length()?;
        if length == 0 || length > TERMS_MAX + 1 {
            return Err(damaged());
        }
        let vector = reader.numbers(length)?;
        reader.finish()?;
        Ok(Self { vector })
    }
}

/// Sums over rows of the errors of predictions, and what the labels are. Mergeable.
///
/// A row in which a feature or the label cannot be used does not count.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearErrors {
    squares: Twofold,
    magnitudes: Twofold,
    labels: Moments,
}

/// What [`LinearErrors`] come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearMetrics {
    /// Share of the variance of the labels that is explained; none if they are all the same.
    pub r2: Option<f64>,
    /// Root of the mean squared error, in the unit of the label.
    pub rmse: f64,
    /// Mean of the magnitudes of errors, in the unit of the label.
    pub mae: f64,
}

impl Default for LinearErrors {
    fn default() -> Self {
        Self {
            squares: Twofold::ZERO,
            magnitudes: Twofold::ZERO,
            labels: Moments::new(1),
        }
    }
}

impl LinearErrors {
    /// Adds rows: features column by column, and labels. Errors: another number of features than the predictor has.
    pub fn add_columns(
        &mut self,
        predictor: &Predictor,
        columns: &[&[f64]],
        labels: &[f64],
    ) -> Result<(), Error> {
        same_columns(predictor.vector.len() - 1, columns.len())?;
        let mut all = columns.to_vec();
        all.push(labels);
        same_rows(&all)?;
        add_columns(self, predictor, &all)
    }

    /// Adds the rows of another state.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        self.squares = self.squares + other.squares;
        self.magnitudes = self.magnitudes + other.magnitudes;
        self.labels.merge(&other.labels)
    }

    /// What it comes to; none without rows.
    pub fn metrics(&self) -> Option<LinearMetrics> {
        let rows = self.labels.count() as f64;
        let square = self.squares.value() / rows;
        let deviation = self.labels.scale(0).deviation;
        (rows > 0.0).then(|| LinearMetrics {
            r2: (deviation > 0.0).then(|| 1.0 - square / deviation.powi(2)),
            rmse: square.sqrt(),
            mae: self.magnitudes.value() / rows,
        })
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT_ERRORS.0, WHAT_ERRORS.1);
        writer.twofold(self.squares).twofold(self.magnitudes);
        let mut bytes = writer.finish();
        bytes.extend(self.labels.to_bytes());
        bytes
    }

    /// Reads [`LinearErrors::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT_ERRORS.0, WHAT_ERRORS.1)?;
        let (squares, magnitudes) = (reader.twofold()?, reader.twofold()?);
        let labels = Moments::from_bytes(reader.rest())?;
        same_columns(1, labels.columns())?;
        Ok(Self {
            squares,
            magnitudes,
            labels,
        })
    }
}

/// The last column is the label.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn add_columns(errors: &mut LinearErrors, predictor: &Predictor, columns: &[&[f64]]) -> Result<(), Error> {
    let features = columns.len() - 1;
    let mut block = Block::new(columns.len());
    for start in (0..columns[features].len()).step_by(crate::block::ROWS) {
        block.load(columns, start);
        let mut away = block.weighted(&predictor.vector);
        let labels = block.column(features);
        for (away, label) in away.iter_mut().zip(labels) {
            *away = label - *away;
        }
        away[block.rows..].fill(0.0);
        errors.squares = errors.squares + Twofold::from(dot(&away, &away));
        let signs = away.map(|away| if away < 0.0 { -1.0 } else { 1.0 });
        errors.magnitudes = errors.magnitudes + Twofold::from(dot(&away, &signs));
        errors.labels.add_columns(&[&labels[..block.rows]])?;
    }
    Ok(())
}
