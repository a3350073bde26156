//! The probabilities of many rows at once: what the formula of a model says, without its text.

use multiversion::multiversion;

use super::fit::Logistic;
use super::point::is_small;
use crate::block::{Block, ROWS};
use crate::bytes::{Reader, Writer, damaged};
use crate::error::Error;
use crate::moments::{same_columns, same_rows};
use crate::scores::ClassScores;
use crate::series::exp_of_negative;

/// First byte and version of the state.
const WHAT: (u8, u8) = (b'C', 1);

/// Coefficients of a logistic regression, by which rows are classified.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    features: usize,
    /// Of each class but the first of two, as in [`Logistic`]: the intercept, then one for each feature.
    vectors: Vec<Vec<f64>>,
}

impl From<&Logistic> for Classifier {
    fn from(logistic: &Logistic) -> Self {
        let known = |vector: &Vec<Option<f64>>| vector.iter().map(|value| value.unwrap_or(0.0)).collect();
        let vectors = logistic.coefficients.iter().map(known).collect();
        Self::new(logistic.intercepts.clone(), vectors)
    }
}

impl Classifier {
    pub(super) fn new(intercepts: Vec<f64>, vectors: Vec<Vec<f64>>) -> Self {
        let features = vectors.first().map_or(0, Vec::len);
        let joined = intercepts.into_iter().zip(vectors);
        let vectors = joined.map(|(intercept, vector)| std::iter::once(intercept).chain(vector).collect());
        Self {
            features,
            vectors: vectors.collect(),
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        match self.vectors.len() {
            1 => 2,
            classes => classes,
        }
    }

    /// Adds rows, given column by column, and the numbers of their classes to scores: what [`ClassScores::add_columns`] says of
    /// their probabilities. A row that no model can use does not count.
    ///
    /// Errors: another number of features or classes.
    pub fn score(&self, scores: &mut ClassScores, columns: &[&[f64]], classes: &[f64]) -> Result<(), Error> {
        same_columns(self.features, columns.len())?;
        let mut all = columns.to_vec();
        all.push(classes);
        same_rows(&all)?;
        score(self, scores, &all)
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT.0, WHAT.1);
        writer
            .whole(self.features as u64)
            .whole(self.vectors.len() as u64);
        for vector in &self.vectors {
            writer.numbers(vector);
        }
        writer.finish()
    }

    /// Reads [`Classifier::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT.0, WHAT.1)?;
        let (features, vectors) = (reader.length()?, reader.length()?);
        if vectors == 0 || !is_small(features, vectors.max(2)) {
            return Err(damaged());
        }
        let vectors = (0..vectors).map(|_| reader.numbers(features + 1));
        let vectors = vectors.collect::<Result<_, Error>>()?;
        reader.finish()?;
        Ok(Self { features, vectors })
    }
}

/// The last column is the class.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn score(classifier: &Classifier, scores: &mut ClassScores, columns: &[&[f64]]) -> Result<(), Error> {
    let (features, classes) = (classifier.features, classifier.classes());
    // The first of two classes has log odds of 0.
    let first = classes - classifier.vectors.len();
    let mut block = Block::new(columns.len());
    let mut odds = Block::new(classes);
    let mut shares = Block::new(classes);
    for start in (0..columns[features].len()).step_by(ROWS) {
        block.load(columns, start);
        for (class, vector) in (first..).zip(&classifier.vectors) {
            *odds.column_mut(class) = block.weighted(vector);
        }
        match classes {
            2 => of_two(&odds, &mut shares),
            _ => softmax(&odds, &mut shares, classes),
        }
        let shares: Vec<&[f64]> = (0..classes)
            .map(|class| &shares.column(class)[..block.rows])
            .collect();
        scores.add_columns(&block.column(features)[..block.rows], &shares)?;
    }
    Ok(())
}

/// Probabilities of two classes, of which the first has log odds of 0.
#[inline(always)]
fn of_two(odds: &Block, shares: &mut Block) {
    let odds = odds.column(1);
    let small = odds.map(|odds| exp_of_negative(-odds.abs()));
    let greater = small.map(|small| 1.0 / (1.0 + small));
    for class in 0..2 {
        let shares = shares.column_mut(class);
        for row in 0..ROWS {
            let is_greater = (class == 1) == (odds[row] >= 0.0);
            shares[row] = greater[row] * if is_greater { 1.0 } else { small[row] };
        }
    }
}

/// Probabilities of classes.
#[inline(always)]
fn softmax(odds: &Block, shares: &mut Block, classes: usize) {
    let mut greatest = *odds.column(0);
    for class in 1..classes {
        for (greatest, odds) in greatest.iter_mut().zip(odds.column(class)) {
            *greatest = greatest.max(*odds);
        }
    }
    let mut totals = [0.0; ROWS];
    for class in 0..classes {
        let (odds, shares) = (odds.column(class), shares.column_mut(class));
        for row in 0..ROWS {
            shares[row] = exp_of_negative(odds[row] - greatest[row]);
            totals[row] += shares[row];
        }
    }
    for class in 0..classes {
        for (share, total) in shares.column_mut(class).iter_mut().zip(&totals) {
            *share /= total;
        }
    }
}
