//! How well a model tells classes apart: counts, log loss and area under the ROC, of one pass over probabilities.

use crate::area::Area;
use crate::bytes::{Reader, Writer, damaged};
use crate::class_moments::class_of;
use crate::error::Error;
use crate::moments::same_columns;
use crate::twofold::Twofold;

/// First byte and version of the state, and of what comes out.
const WHAT: (u8, u8) = (b'P', 2);
const WHAT_METRICS: (u8, u8) = (b'Q', 1);

/// Least probability whose logarithm is taken, as in scikit-learn's `log_loss`.
const LEAST_PROBABILITY: f64 = f64::EPSILON;

/// Probabilities that one logarithm is taken of: their product is no less than 2^-832, so that it has all its digits.
const FACTORS: u32 = 16;

/// Most classes of a state.
const CLASSES_MAX: usize = 1 << 12;

/// Classes of rows and the probabilities that a model gave them. Mergeable.
///
/// A class is a whole number from 0 as `f64`; a row with NaN, or whose class is none, does not count. What a model takes a row for
/// is the class of the greatest probability, of equal ones the first.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassScores {
    classes: usize,
    /// Rows by class, then by what they were taken for.
    confusion: Vec<u64>,
    loss: Twofold,
    /// Of the second of two classes.
    area: Option<Area>,
}

/// What [`ClassScores`] come to.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMetrics {
    classes: usize,
    confusion: Vec<u64>,
    /// Mean of `-ln(probability of the row's class)`; none without rows.
    pub log_loss: Option<f64>,
    /// Area under the ROC of the second of two classes; none without rows of both.
    pub area: Option<f64>,
}

impl ClassScores {
    /// Of no rows.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            confusion: vec![0; classes * classes],
            loss: Twofold::ZERO,
            area: (classes == 2).then(Area::new),
        }
    }

    /// Adds rows: their classes, and for each class the probabilities to be of it. Errors: another number of classes.
    pub fn add_columns(&mut self, classes: &[f64], probabilities: &[&[f64]]) -> Result<(), Error> {
        same_columns(self.classes, probabilities.len())?;
        if probabilities.iter().any(|column| column.len() != classes.len()) {
            return Err(Error::state("columns of different lengths"));
        }
        let (mut loss, mut product, mut factors) = (0.0, 1.0, 0);
        let mut of_second = Vec::with_capacity(classes.len());
        for (row, class) in classes.iter().enumerate() {
            let Some(class) = class_of(*class, self.classes) else {
                continue;
            };
            let Some(taken_for) = greatest(probabilities, row) else {
                continue;
            };
            self.confusion[class * self.classes + taken_for] += 1;
            product *= probabilities[class][row].max(LEAST_PROBABILITY);
            factors += 1;
            if factors == FACTORS {
                loss -= f64::ln(product);
                (product, factors) = (1.0, 0);
            }
            if self.area.is_some() {
                of_second.push((probabilities[1][row], class == 1));
            }
        }
        loss -= f64::ln(product);
        self.loss = self.loss + Twofold::from(loss);
        if let Some(area) = &mut self.area {
            area.add(&of_second);
        }
        Ok(())
    }

    /// Adds the rows of another state. Errors: another number of classes.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        same_columns(self.classes, other.classes)?;
        for (own, other) in self.confusion.iter_mut().zip(&other.confusion) {
            *own += other;
        }
        self.loss = self.loss + other.loss;
        if let (Some(own), Some(other)) = (&mut self.area, &other.area) {
            own.merge(other);
        }
        Ok(())
    }

    /// What it comes to.
    pub fn metrics(&self) -> ClassMetrics {
        let rows: u64 = self.confusion.iter().sum();
        ClassMetrics {
            classes: self.classes,
            confusion: self.confusion.clone(),
            log_loss: (rows > 0).then(|| self.loss.value() / rows as f64),
            area: self.area.as_ref().and_then(Area::value),
        }
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        size_of_val(self) + 8 * self.confusion.len() + self.area.as_ref().map_or(0, Area::size)
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT.0, WHAT.1);
        writer.whole(self.classes as u64);
        for count in &self.confusion {
            writer.whole(*count);
        }
        writer.twofold(self.loss);
        if let Some(area) = &self.area {
            area.write(&mut writer);
        }
        writer.finish()
    }

    /// Reads [`ClassScores::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT.0, WHAT.1)?;
        let (classes, confusion) = read_confusion(&mut reader)?;
        let scores = Self {
            classes,
            confusion,
            loss: reader.twofold()?,
            area: match classes {
                2 => Some(Area::read(&mut reader)?),
                _ => None,
            },
        };
        reader.finish()?;
        Ok(scores)
    }
}

impl ClassMetrics {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Rows of a class that were taken for another, or for the same.
    pub fn rows(&self, class: usize, taken_for: usize) -> u64 {
        self.confusion[class * self.classes + taken_for]
    }

    /// Share of rows that were taken for what they are; none without rows.
    pub fn accuracy(&self) -> Option<f64> {
        let rows: u64 = self.confusion.iter().sum();
        let right: u64 = (0..self.classes).map(|class| self.rows(class, class)).sum();
        (rows > 0).then(|| right as f64 / rows as f64)
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT_METRICS.0, WHAT_METRICS.1);
        writer.whole(self.classes as u64);
        for count in &self.confusion {
            writer.whole(*count);
        }
        for number in [self.log_loss, self.area] {
            writer
                .whole(u64::from(number.is_some()))
                .number(number.unwrap_or_default());
        }
        writer.finish()
    }

    /// Reads [`ClassMetrics::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT_METRICS.0, WHAT_METRICS.1)?;
        let (classes, confusion) = read_confusion(&mut reader)?;
        let mut number = || -> Result<Option<f64>, Error> {
            let is_there = reader.whole()? > 0;
            let number = reader.number()?;
            Ok(is_there.then_some(number))
        };
        let (log_loss, area) = (number()?, number()?);
        reader.finish()?;
        Ok(Self {
            classes,
            confusion,
            log_loss,
            area,
        })
    }
}

fn read_confusion(reader: &mut Reader<'_>) -> Result<(usize, Vec<u64>), Error> {
    let classes = reader.length()?;
    if classes > CLASSES_MAX {
        return Err(damaged());
    }
    let counts = (0..classes * classes).map(|_| reader.count());
    Ok((classes, counts.collect::<Result<_, _>>()?))
}

/// The class of the greatest probability of a row; none if one is no number.
fn greatest(probabilities: &[&[f64]], row: usize) -> Option<usize> {
    let mut greatest = (0, f64::NEG_INFINITY);
    for (class, column) in probabilities.iter().enumerate() {
        let probability = column[row];
        if probability.is_nan() {
            return None;
        }
        if probability > greatest.1 {
            greatest = (class, probability);
        }
    }
    Some(greatest.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_class_and_by_what_they_were_taken_for() {
        let classes = [0.0, 1.0, 2.0, 1.0, f64::NAN, 7.0];
        let columns: [&[f64]; 3] = [
            &[0.7, 0.6, 0.1, 0.2, 0.9, 0.9],
            &[0.2, 0.3, 0.1, 0.5, 0.1, 0.1],
            &[0.1, 0.1, 0.8, 0.3, 0.0, 0.0],
        ];
        let mut scores = ClassScores::new(3);
        scores.add_columns(&classes, &columns).unwrap();
        let metrics = scores.metrics();
        assert_eq!(metrics.accuracy(), Some(0.75));
        assert_eq!(
            (metrics.rows(1, 0), metrics.rows(1, 1), metrics.rows(2, 2)),
            (1, 1, 1)
        );
        let loss = -(0.7_f64.ln() + 0.3_f64.ln() + 0.8_f64.ln() + 0.5_f64.ln()) / 4.0;
        assert!((metrics.log_loss.unwrap() - loss).abs() < 1e-15);
        assert_eq!(metrics.area, None);
    }

    #[test]
    fn states_merge_and_come_back_from_bytes() {
        let classes = [0.0, 1.0, 0.0, 1.0, 1.0];
        let probabilities = [0.1, 0.9, 0.6, 0.4, 0.7];
        let others: Vec<f64> = probabilities.iter().map(|share| 1.0 - share).collect();
        let mut whole = ClassScores::new(2);
        whole.add_columns(&classes, &[&others, &probabilities]).unwrap();
        let mut parts = ClassScores::new(2);
        for rows in [0..2, 2..5] {
            let mut part = ClassScores::new(2);
            part.add_columns(
                &classes[rows.clone()],
                &[&others[rows.clone()], &probabilities[rows]],
            )
            .unwrap();
            parts
                .merge(&ClassScores::from_bytes(&part.to_bytes()).unwrap())
                .unwrap();
        }
        let (whole, parts) = (whole.metrics(), parts.metrics());
        assert_eq!(parts.area, Some(5.0 / 6.0));
        assert_eq!((parts.area, parts.accuracy()), (whole.area, whole.accuracy()));
        assert_eq!(ClassMetrics::from_bytes(&parts.to_bytes()).unwrap(), parts);
    }

    #[test]
    fn bytes_of_something_else_are_an_error() {
        let bytes = ClassScores::new(2).to_bytes();
        for end in 0..bytes.len() {
            assert!(ClassScores::from_bytes(&bytes[..end]).is_err());
        }
        let mut scores = ClassScores::new(2);
        assert!(scores.merge(&ClassScores::new(3)).is_err());
        assert!(scores.add_columns(&[0.0], &[&[1.0]]).is_err());
    }
}
