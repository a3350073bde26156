//! Loss, gradient and curvature over rows.

use multiversion::multiversion;

use super::point::{LogisticPoint, is_small};
use crate::block::{Block, ROWS, dot, greatest};
use crate::bytes::{Reader, Writer, damaged};
use crate::class_moments::class_of;
use crate::error::Error;
use crate::moments::{same_columns, same_rows, triangle};
use crate::series::{exp_of_negative, ln_1p};
use crate::twofold::Twofold;

/// First byte and version of the state.
const WHAT: (u8, u8) = (b'L', 2);

/// Sums over rows of the loss at a [`LogisticPoint`], of its gradient and its second derivatives. Mergeable.
///
/// A class is a whole number from 0 as `f64`; a row with NaN, or whose class is none, is left out and counted.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticSums {
    pub(super) features: usize,
    pub(super) classes: usize,
    pub(super) count: u64,
    left_out: u64,
    pub(super) loss: Twofold,
    /// Of each class but the first one: of the intercept, then of each feature.
    pub(super) gradient: Vec<Twofold>,
    /// Of each pair of these classes, the second not before the first: the upper triangle, row by row. Newton's steps get
    /// no better by twice the digits. Empty if they are not wanted.
    pub(super) curvature: Vec<f64>,
    /// Greatest magnitude of each scaled feature.
    pub(super) greatest: Vec<f64>,
}

impl LogisticSums {
    /// Of no rows.
    pub fn new(point: &LogisticPoint) -> Self {
        let (features, classes) = (point.features(), point.classes());
        let curvature = match point.curvature {
            true => triangle(classes - 1) * triangle(features + 1),
            false => 0,
        };
        Self {
            features,
            classes,
            count: 0,
            left_out: 0,
            loss: Twofold::ZERO,
            gradient: vec![Twofold::ZERO; (classes - 1) * (features + 1)],
            curvature: vec![0.0; curvature],
            greatest: vec![0.0; features],
        }
    }

    /// Rows that count.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Rows left out, because a number in them cannot be used or their class is none.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Sum of the losses of rows, without penalty: with no class weights, rows times the log loss.
    pub fn loss(&self) -> f64 {
        self.loss.value()
    }

    /// Adds a row. Errors: another number of features than the point has.
    pub fn add(&mut self, point: &LogisticPoint, row: &[f64], class: f64) -> Result<(), Error> {
        let columns: Vec<&[f64]> = row.iter().map(std::slice::from_ref).collect();
        self.add_columns(point, &columns, &[class])
    }

    /// Adds many rows, given column by column: much faster than one by one.
    pub fn add_columns(
        &mut self,
        point: &LogisticPoint,
        columns: &[&[f64]],
        classes: &[f64],
    ) -> Result<(), Error> {
        same_columns(self.features, columns.len())?;
        same_columns(self.features, point.features())?;
        same_columns(self.classes, point.classes())?;
        let mut all = columns.to_vec();
        all.push(classes);
        same_rows(&all)?;
        add_columns(self, point, &all);
        Ok(())
    }

    /// Adds the rows of another state of the same point.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        same_columns(self.features, other.features)?;
        same_columns(self.classes, other.classes)?;
        same_columns(self.curvature.len(), other.curvature.len())?;
        self.count += other.count;
        self.left_out += other.left_out;
        self.loss = self.loss + other.loss;
        for (own, other) in self.gradient.iter_mut().zip(&other.gradient) {
            *own = *own + *other;
        }
        for (own, other) in self.curvature.iter_mut().zip(&other.curvature) {
            *own += other;
        }
        for (own, other) in self.greatest.iter_mut().zip(&other.greatest) {
            *own = own.max(*other);
        }
        Ok(())
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT.0, WHAT.1);
        writer
            .whole(self.features as u64)
            .whole(self.classes as u64)
            .whole(u64::from(!self.curvature.is_empty()))
            .whole(self.count)
            .whole(self.left_out)
            .twofold(self.loss)
            .twofolds(&self.gradient)
            .numbers(&self.curvature)
            .numbers(&self.greatest);
        writer.finish()
    }

    /// Reads [`LogisticSums::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT.0, WHAT.1)?;
        let (features, classes) = (reader.length()?, reader.length()?);
        if !is_small(features, classes) {
            return Err(damaged());
        }
        let curvature = match reader.whole()? {
            0 => 0,
            _ => triangle(classes - 1) * triangle(features + 1),
        };
        let sums = Self {
            features,
            classes,
            count: reader.count()?,
            left_out: reader.count()?,
            loss: reader.twofold()?,
            gradient: reader.twofolds((classes - 1) * (features + 1))?,
            curvature: reader.numbers(curvature)?,
            greatest: reader.numbers(features)?,
        };
        reader.finish()?;
        Ok(sums)
    }
}

/// The last column is the class.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn add_columns(sums: &mut LogisticSums, point: &LogisticPoint, columns: &[&[f64]]) {
    let (features, classes) = (point.features(), point.classes());
    let mut block = Block::new(columns.len());
    // A one for each row, then the scaled features; the same times a weight; a share of each class but the first.
    let mut design = Block::new(features + 1);
    let mut weighted = Block::new(features + 1);
    let mut shares = Block::new(classes - 1);
    let mut errors = Block::new(classes - 1);
    let mut class_at = [0; ROWS];
    for start in (0..columns[features].len()).step_by(ROWS) {
        block.load(columns, start);
        sums.left_out += block.left_out as u64;
        let mut is_row = [0.0; ROWS];
        for (row, class) in block.column(features)[..block.rows].iter().enumerate() {
            match class_of(*class, classes) {
                Some(class) => (class_at[row], is_row[row]) = (class, 1.0),
                None => sums.left_out += 1,
            }
        }
        let used = is_row.iter().filter(|is_row| **is_row > 0.0).count();
        sums.count += used as u64;
        if used == 0 {
            continue;
        }
        *design.column_mut(0) = is_row;
        for (feature, scale) in point.scales.iter().enumerate() {
            let (mean, by) = (scale.mean, 1.0 / scale.divisor());
            let from = block.column(feature);
            let to = design.column_mut(feature + 1);
            for row in 0..ROWS {
                to[row] = (from[row] - mean) * by * is_row[row];
            }
            sums.greatest[feature] = sums.greatest[feature].max(greatest(to));
        }
        let mut loss = Twofold::ZERO;
        let known = (&class_at, &is_row);
        match classes {
            2 => binary(point, &design, known, &mut shares, &mut errors, &mut loss),
            _ => softmax(point, &design, known, &mut shares, &mut errors, &mut loss),
        }
        sums.loss = sums.loss + loss;
        for class in 0..classes - 1 {
            for column in 0..=features {
                let place = class * (features + 1) + column;
                let sum = dot(errors.column(class), design.column(column));
                sums.gradient[place] = sums.gradient[place] + Twofold::from(sum);
            }
        }
        if point.curvature {
            let known = (&class_at, &is_row);
            add_curvature(&mut sums.curvature, point, known, &shares, &design, &mut weighted);
        }
    }
}

/// Adds the second derivatives of the rows of a block.
#[inline(always)]
fn add_curvature(
    sums: &mut [f64],
    point: &LogisticPoint,
    (class_at, is_row): Known<'_>,
    shares: &Block,
    design: &Block,
    weighted: &mut Block,
) {
    let (features, classes) = (point.features(), point.classes());
    let mut place = 0;
    for one in 0..classes - 1 {
        for other in one..classes - 1 {
            let mut weights = [0.0; ROWS];
            let is_same = if one == other { 1.0 } else { 0.0 };
            let (a, b) = (shares.column(one), shares.column(other));
            for row in 0..ROWS {
                weights[row] = a[row] * (is_same - b[row]) * point.weights[class_at[row]] * is_row[row];
            }
            for column in 0..=features {
                let from = design.column(column);
                let to = weighted.column_mut(column);
                for row in 0..ROWS {
                    to[row] = from[row] * weights[row];
                }
            }
            for i in 0..=features {
                for j in i..=features {
                    sums[place] += dot(weighted.column(i), design.column(j));
                    place += 1;
                }
            }
        }
    }
}

/// What class a row has, and whether it counts (1 or 0).
type Known<'a> = (&'a [usize; ROWS], &'a [f64; ROWS]);

/// The log odds of a class against the first one.
#[inline(always)]
fn log_odds(vector: &[f64], design: &Block) -> [f64; ROWS] {
    let mut odds = [0.0; ROWS];
    for (column, factor) in vector.iter().enumerate() {
        for (odds, value) in odds.iter_mut().zip(design.column(column)) {
            *odds += value * factor;
        }
    }
    odds
}

#[inline(always)]
fn binary(
    point: &LogisticPoint,
    design: &Block,
    (class_at, is_row): Known<'_>,
    shares: &mut Block,
    errors: &mut Block,
    loss: &mut Twofold,
) {
    let odds = log_odds(&point.vectors[0], design);
    let (shares, errors) = (shares.column_mut(0), errors.column_mut(0));
    let small = odds.map(|odds| exp_of_negative(-odds.abs()));
    let logs = small.map(ln_1p);
    let (mut weights, mut losses) = ([0.0; ROWS], [0.0; ROWS]);
    // Without branches, so that many rows are dealt with at once.
    for row in 0..ROWS {
        let (is_class, is_likely) = (class_at[row] == 1, odds[row] >= 0.0);
        weights[row] = is_row[row]
            * if is_class {
                point.weights[1]
            } else {
                point.weights[0]
            };
        let share = 1.0 / (1.0 + small[row]);
        let rest = small[row] * share;
        shares[row] = if is_likely { share } else { rest };
        // Without the difference of two numbers near 1.
        let others = if is_likely { rest } else { share };
        errors[row] = weights[row] * if is_class { -others } else { shares[row] };
        let wrong = if is_class { -odds[row] } else { odds[row] };
        losses[row] = (if wrong > 0.0 { wrong } else { 0.0 }) + logs[row];
    }
    *loss = Twofold::from(dot(&weights, &losses));
}

#[inline(always)]
fn softmax(
    point: &LogisticPoint,
    design: &Block,
    (class_at, is_row): Known<'_>,
    shares: &mut Block,
    errors: &mut Block,
    loss: &mut Twofold,
) {
    let mut greatest = [0.0_f64; ROWS];
    for (place, vector) in point.vectors.iter().enumerate() {
        let odds = log_odds(vector, design);
        for (greatest, odds) in greatest.iter_mut().zip(odds) {
            *greatest = greatest.max(odds);
        }
        *shares.column_mut(place) = odds;
    }
    let mut sum = 0.0;
    for row in 0..ROWS {
        let own = match class_at[row] {
            0 => 0.0,
            class => shares.column(class - 1)[row],
        };
        let mut total = exp_of_negative(-greatest[row]);
        for place in 0..point.vectors.len() {
            let share = &mut shares.column_mut(place)[row];
            *share = exp_of_negative(*share - greatest[row]);
            total += *share;
        }
        let weight = point.weights[class_at[row]] * is_row[row];
        for place in 0..point.vectors.len() {
            let share = &mut shares.column_mut(place)[row];
            *share /= total;
            let is_class = if class_at[row] == place + 1 { 1.0 } else { 0.0 };
            errors.column_mut(place)[row] = weight * (*share - is_class);
        }
        sum += weight * (greatest[row] - own + total.ln());
    }
    *loss = Twofold::from(sum);
}
