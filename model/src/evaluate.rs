//! How good predictions are. All but the area under the curve are sums that merge.

use crate::bytes::{Reader, Writer, damaged};
use crate::class_moments::class_of;
use crate::error::Error;
use crate::moments::{Moments, same_columns};
use crate::twofold::Twofold;

/// First byte and version of the state.
const WHAT: (u8, u8) = (b'F', 1);
/// Least probability whose logarithm is taken, as in scikit-learn's `log_loss`.
const LEAST_PROBABILITY: f64 = f64::EPSILON;
/// Most classes.
const CLASSES_MAX: usize = 4096;

/// Errors of a regression: the moments of label, error and its magnitude. Add rows of these three with
/// [`RegressionErrors::add`], merge, and ask.
#[derive(Debug, Clone, PartialEq)]
pub struct RegressionErrors(Moments);

/// How good a regression is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegressionMetrics {
    /// Rows.
    pub rows: u64,
    /// 1 less the squared errors over those of the mean; None if the label is constant.
    pub r2: Option<f64>,
    /// Root of the mean squared error, in the unit of the label.
    pub rmse: f64,
    /// Mean magnitude of an error, in the unit of the label.
    pub mae: f64,
}

impl RegressionErrors {
    /// Of no rows.
    pub fn new() -> Self {
        Self(Moments::new(3))
    }

    /// Adds rows. A row with NaN is left out. Errors: the columns have different lengths.
    pub fn add(&mut self, labels: &[f64], predictions: &[f64]) -> Result<(), Error> {
        let errors: Vec<f64> = labels
            .iter()
            .zip(predictions)
            .map(|(label, value)| label - value)
            .collect();
        let sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
        match labels.len() == predictions.len() {
            true => self.0.add_columns(&[labels, &errors, &sizes]),
            false => Err(Error::state("labels and predictions have different lengths")),
        }
    }

    /// Adds the rows of another state.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        self.0.merge(&other.0)
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// Reads [`RegressionErrors::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let moments = Moments::from_bytes(bytes)?;
        same_columns(3, moments.columns())?;
        Ok(Self(moments))
    }

    /// None without rows.
    pub fn metrics(&self) -> Option<RegressionMetrics> {
        let squares = self.0.product_twofold(1, 1);
        let label_varies = self.0.scale(0).deviation > 0.0;
        (self.0.count() > 0).then(|| RegressionMetrics {
            rows: self.0.count(),
            r2: label_varies.then(|| 1.0 - (squares / self.0.comoment_twofold(0, 0)).value()),
            rmse: (squares.value().max(0.0) / self.0.count() as f64).sqrt(),
            mae: self.0.mean(2),
        })
    }
}

impl Default for RegressionErrors {
    fn default() -> Self {
        Self::new()
    }
}

/// How many rows of each class were predicted to be of each class, and the loss of their probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion {
    classes: usize,
    /// By true class, then by predicted one.
    counts: Vec<u64>,
    loss: Twofold,
}

impl Confusion {
    /// Of no rows.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            counts: vec![0; classes * classes],
            loss: Twofold::ZERO,
        }
    }

    /// Adds a row: its class, the predicted one, and the probability that was predicted for its own class. A row without
    /// one of them (NaN) is left out.
    pub fn add(&mut self, class: f64, predicted: f64, probability: f64) {
        let classes = class_of(class, self.classes).zip(class_of(predicted, self.classes));
        if let Some((class, predicted)) = classes.filter(|_| !probability.is_nan()) {
            self.counts[class * self.classes + predicted] += 1;
            self.loss = self.loss - Twofold::from(probability.clamp(LEAST_PROBABILITY, 1.0).ln());
        }
    }

    /// Adds the rows of another state. Errors: it has other classes.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        same_columns(self.classes, other.classes)?;
        for (own, other) in self.counts.iter_mut().zip(&other.counts) {
            *own += other;
        }
        self.loss = self.loss + other.loss;
        Ok(())
    }

    /// Rows of a class that were predicted to be of a class.
    pub fn count(&self, class: usize, predicted: usize) -> u64 {
        self.counts[class * self.classes + predicted]
    }

    /// Rows.
    pub fn rows(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Share of rows whose class was predicted; None without rows.
    pub fn accuracy(&self) -> Option<f64> {
        let right: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        (self.rows() > 0).then(|| right as f64 / self.rows() as f64)
    }

    /// Mean of -ln of the probability of the true class; None without rows.
    pub fn log_loss(&self) -> Option<f64> {
        (self.rows() > 0).then(|| self.loss.value() / self.rows() as f64)
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT.0, WHAT.1);
        writer.whole(self.classes as u64).twofold(self.loss);
        for count in &self.counts {
            writer.whole(*count);
        }
        writer.finish()
    }

    /// Reads [`Confusion::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT.0, WHAT.1)?;
        let classes = reader.length()?;
        if classes > CLASSES_MAX {
            return Err(damaged());
        }
        let loss = reader.twofold()?;
        let counts: Vec<u64> = (0..classes * classes)
            .map(|_| reader.whole())
            .collect::<Result<_, _>>()?;
        reader.finish()?;
        let total = counts
            .iter()
            .try_fold(0, |sum: u64, count| sum.checked_add(*count));
        total.ok_or_else(damaged)?;
        Ok(Self {
            classes,
            counts,
            loss,
        })
    }
}

/// Rows with the same score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreGroup {
    /// The score; higher is more like the class.
    pub score: f64,
    /// Rows, or their weight, that are of the class.
    pub positive: f64,
    /// Rows, or their weight, that are not.
    pub negative: f64,
}

/// Area under the receiver operating characteristic: the probability that a row of the class has a higher score than one
/// that is not; equal scores count half. Groups come in any order, and more than one may have a score.
///
/// None unless there are rows of both kinds. Source: Hanley and McNeil 1982; equal to scikit-learn's `roc_auc_score`.
pub fn roc_auc(groups: &[ScoreGroup]) -> Option<f64> {
    let mut groups: Vec<ScoreGroup> = groups
        .iter()
        .copied()
        .filter(|group| !group.score.is_nan())
        .collect();
    groups.sort_by(|a, b| a.score.total_cmp(&b.score));
    let (mut pairs, mut below) = (Twofold::ZERO, Twofold::ZERO);
    let mut positives = Twofold::ZERO;
    for same in groups.chunk_by(|a, b| a.score == b.score) {
        let sum = |value: fn(&ScoreGroup) -> f64| Twofold::from(same.iter().map(value).sum::<f64>());
        let (positive, negative) = (sum(|group| group.positive), sum(|group| group.negative));
        pairs = pairs + positive * (below + negative * Twofold::from(0.5));
        below = below + negative;
        positives = positives + positive;
    }
    let all = positives * below;
    (all.value() > 0.0).then(|| (pairs / all).value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_regression_are_those_of_scikit_learn() {
        // r2_score, root_mean_squared_error and mean_absolute_error of [3, -0.5, 2, 7] and [2.5, 0, 2, 8].
        let mut errors = RegressionErrors::new();
        errors.add(&[3.0, -0.5, f64::NAN], &[2.5, 0.0, 1.0]).unwrap();
        let mut other = RegressionErrors::from_bytes(&RegressionErrors::new().to_bytes()).unwrap();
        other.add(&[2.0, 7.0], &[2.0, 8.0]).unwrap();
        errors.merge(&other).unwrap();
        let metrics = errors.metrics().unwrap();
        assert_eq!(metrics.rows, 4);
        assert!((metrics.r2.unwrap() - 0.9486081370449679).abs() < 1e-15);
        assert!((metrics.rmse - 0.6123724356957945).abs() < 1e-15);
        assert!((metrics.mae - 0.5).abs() < 1e-15);
        assert!(RegressionErrors::new().metrics().is_none());
    }

    #[test]
    fn a_confusion_counts_and_weighs() {
        // log_loss([0, 1, 1, 0], [0.1, 0.9, 0.2, 0.65]) of scikit-learn
        let mut confusion = Confusion::new(2);
        confusion.add(0.0, 0.0, 0.9);
        confusion.add(1.0, 1.0, 0.9);
        let mut other = Confusion::new(2);
        other.add(1.0, 0.0, 0.2);
        other.add(0.0, 1.0, 0.35);
        other.add(f64::NAN, 1.0, 0.5);
        confusion
            .merge(&Confusion::from_bytes(&other.to_bytes()).unwrap())
            .unwrap();
        assert_eq!(confusion.accuracy(), Some(0.5));
        assert_eq!(
            (confusion.count(1, 0), confusion.count(0, 1), confusion.rows()),
            (1, 1, 4)
        );
        assert!((confusion.log_loss().unwrap() - LOG_LOSS).abs() < 1e-15);
    }

    const LOG_LOSS: f64 = 0.7174952670621076;

    #[test]
    fn ties_count_half_in_the_area() {
        let group = |score, positive, negative| ScoreGroup {
            score,
            positive,
            negative,
        };
        // roc_auc_score([0, 0, 1, 1, 1, 0], [0.1, 0.4, 0.35, 0.8, 0.4, 0.4], sample_weight=[1, 1, 1, 1, 2, 1])
        let groups = [
            group(0.4, 2.0, 1.0),
            group(0.1, 0.0, 1.0),
            group(0.35, 1.0, 0.0),
            group(0.8, 1.0, 0.0),
            group(0.4, 0.0, 1.0),
        ];
        assert!((roc_auc(&groups).unwrap() - AUC).abs() < 1e-15);
        assert_eq!(roc_auc(&groups[1..2]), None);
    }

    const AUC: f64 = 0.6666666666666667;
}
