//! Centroids, and how far away from them rows are.

use serde::{Deserialize, Serialize};

use crate::block::{Block, ROWS};
use crate::bytes::{Reader, Writer, damaged};
use crate::error::Error;

/// First byte and version of the state.
const WHAT: (u8, u8) = (b'Z', 1);
/// Most columns.
const COLUMNS_MAX: usize = 4096;
/// Most centroids.
const CENTROIDS_MAX: usize = 1 << 20;

/// Centroids of clusters, in the units of columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Centroids {
    /// By what differences in each column are divided; 1 everywhere if not standardised.
    pub divisors: Vec<f64>,
    /// Each with a number for each column.
    pub centroids: Vec<Vec<f64>>,
}

impl Centroids {
    /// The nearest centroid of each row of a block, and the squared distance from it.
    #[inline(always)]
    pub(super) fn nearest(&self, block: &Block, nearest: &mut [usize; ROWS], distances: &mut [f64; ROWS]) {
        *distances = [f64::INFINITY; ROWS];
        let mut places = [0.0; ROWS];
        for (number, centroid) in self.centroids.iter().enumerate() {
            let mut sums = [0.0; ROWS];
            for (column, (middle, divisor)) in centroid.iter().zip(&self.divisors).enumerate() {
                let (middle, by) = (*middle, 1.0 / divisor);
                for (sum, value) in sums.iter_mut().zip(block.column(column)) {
                    let away = (value - middle) * by;
                    *sum += away * away;
                }
            }
            let number = number as f64;
            for row in 0..ROWS {
                let is_nearer = sums[row] < distances[row];
                places[row] = if is_nearer { number } else { places[row] };
                distances[row] = if is_nearer { sums[row] } else { distances[row] };
            }
        }
        for (nearest, place) in nearest.iter_mut().zip(places) {
            *nearest = place as usize;
        }
    }

    /// Squared distance of two rows.
    pub(super) fn distance(&self, a: &[f64], b: &[f64]) -> f64 {
        let away = a
            .iter()
            .zip(b)
            .zip(&self.divisors)
            .map(|((a, b), by)| (a - b) / by);
        away.map(|away| away * away).sum()
    }

    pub(super) fn columns(&self) -> usize {
        self.divisors.len()
    }

    /// The centroids as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT.0, WHAT.1);
        writer
            .whole(self.columns() as u64)
            .whole(self.centroids.len() as u64)
            .numbers(&self.divisors);
        for centroid in &self.centroids {
            writer.numbers(centroid);
        }
        writer.finish()
    }

    /// Reads [`Centroids::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT.0, WHAT.1)?;
        let (columns, count) = (reader.length()?, reader.length()?);
        if !(1..=COLUMNS_MAX).contains(&columns) || count > CENTROIDS_MAX {
            return Err(damaged());
        }
        let divisors = reader.numbers(columns)?;
        let centroids = (0..count)
            .map(|_| reader.numbers(columns))
            .collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { divisors, centroids })
    }
}
