//! Rows drawn as seeds.

use super::centroids::Centroids;
use crate::block::{Block, ROWS};
use crate::bytes::{Reader, Writer, damaged};
use crate::error::Error;
use crate::moments::{same_columns, same_rows};
use crate::random::{mix, share};

/// First bytes and versions of the states.
const ROUND: (u8, u8) = (b'R', 1);
const SUMS: (u8, u8) = (b'S', 1);

/// What to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct SeedRound {
    /// Seeds so far; none in the first round.
    pub(super) seeds: Centroids,
    /// Differs from round to round.
    pub(super) random: u64,
    /// How many rows to draw.
    pub(super) draw: usize,
}

impl SeedRound {
    /// The round as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(ROUND.0, ROUND.1);
        writer.whole(self.random).whole(self.draw as u64);
        let mut bytes = writer.finish();
        bytes.extend(self.seeds.to_bytes());
        bytes
    }

    /// Reads [`SeedRound::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (head, seeds) = bytes.split_at_checked(18).ok_or_else(damaged)?;
        let mut reader = Reader::new(head, ROUND.0, ROUND.1)?;
        Ok(Self {
            random: reader.whole()?,
            draw: reader.length()?,
            seeds: Centroids::from_bytes(seeds)?,
        })
    }
}

/// The rows drawn in a [`SeedRound`]. Mergeable. A row with a number that cannot be used is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct SeedSums {
    columns: usize,
    draw: usize,
    /// The rows of the least keys, by key. A key has the exponential distribution, its rate the squared distance.
    pub(super) drawn: Vec<(f64, Vec<f64>)>,
}

impl SeedSums {
    /// Of no rows.
    pub fn new(round: &SeedRound) -> Self {
        Self {
            columns: round.seeds.columns(),
            draw: round.draw,
            drawn: Vec::new(),
        }
    }

    /// Adds a row. Errors: another number of columns.
    pub fn add(&mut self, round: &SeedRound, row: &[f64]) -> Result<(), Error> {
        let columns: Vec<&[f64]> = row.iter().map(std::slice::from_ref).collect();
        self.add_columns(round, &columns)
    }

    /// Adds many rows, given column by column: much faster than one by one.
    pub fn add_columns(&mut self, round: &SeedRound, columns: &[&[f64]]) -> Result<(), Error> {
        same_columns(self.columns, columns.len())?;
        same_columns(self.columns, round.seeds.columns())?;
        same_rows(columns)?;
        let mut block = Block::new(columns.len());
        let (mut nearest, mut distances) = ([0; ROWS], [1.0; ROWS]);
        let rows = columns.first().map_or(0, |column| column.len());
        for start in (0..rows).step_by(ROWS) {
            block.load(columns, start);
            if !round.seeds.centroids.is_empty() {
                round.seeds.nearest(&block, &mut nearest, &mut distances);
            }
            let mut hashes = [round.random; ROWS];
            for column in 0..columns.len() {
                for (hash, value) in hashes.iter_mut().zip(block.column(column)) {
                    // 0 and -0 are one number.
                    *hash = mix(*hash ^ (value + 0.0).to_bits()).wrapping_add(0x9e37_79b9_7f4a_7c15);
                }
            }
            for row in 0..block.rows {
                let share = share(mix(hashes[row]));
                // -ln(share) is at least 1 - share, which is known at once.
                if distances[row] <= 0.0 || self.is_too_great((1.0 - share) / distances[row]) {
                    continue;
                }
                let values = (0..columns.len())
                    .map(|column| block.column(column)[row])
                    .collect();
                self.insert(-share.ln() / distances[row], values);
            }
        }
        Ok(())
    }

    fn is_too_great(&self, key: f64) -> bool {
        self.drawn.len() >= self.draw && self.drawn.last().is_none_or(|last| key > last.0)
    }

    fn insert(&mut self, key: f64, row: Vec<f64>) {
        if self.is_too_great(key) {
            return;
        }
        let place = self
            .drawn
            .partition_point(|drawn| (drawn.0, &drawn.1) < (key, &row));
        if self.drawn.get(place).is_some_and(|next| next.1 == row) {
            return;
        }
        self.drawn.insert(place, (key, row));
        self.drawn.truncate(self.draw);
    }

    /// Adds the rows of another state of the same round.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        same_columns(self.columns, other.columns)?;
        for (key, row) in &other.drawn {
            self.insert(*key, row.clone());
        }
        Ok(())
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(SUMS.0, SUMS.1);
        writer
            .whole(self.columns as u64)
            .whole(self.draw as u64)
            .whole(self.drawn.len() as u64);
        for (key, row) in &self.drawn {
            writer.number(*key).numbers(row);
        }
        writer.finish()
    }

    /// Reads [`SeedSums::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, SUMS.0, SUMS.1)?;
        let (columns, draw, count) = (reader.length()?, reader.length()?, reader.length()?);
        if count > draw {
            return Err(damaged());
        }
        let row = |_| Ok((reader.number()?, reader.numbers(columns)?));
        let drawn: Vec<(f64, Vec<f64>)> = (0..count).map(row).collect::<Result<_, Error>>()?;
        reader.finish()?;
        if !drawn.is_sorted() {
            return Err(damaged());
        }
        Ok(Self { columns, draw, drawn })
    }
}
