//! Sums of one of Lloyd's steps.

use multiversion::multiversion;

use super::centroids::Centroids;
use crate::block::{Block, ROWS};
use crate::bytes::{Reader, Writer, damaged};
use crate::error::Error;
use crate::moments::{same_columns, same_rows};
use crate::twofold::Twofold;

/// First byte and version of the state.
const WHAT: (u8, u8) = (b'K', 1);

/// A cluster's rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cluster {
    pub(super) count: u64,
    /// Of differences from the centroid, one for each column.
    pub(super) sums: Vec<Twofold>,
    /// Squared distance of the row that is farthest from the centroid, and that row; below 0 if there is none.
    pub(super) farthest: (f64, Vec<f64>),
}

/// Sums over rows of differences from the nearest of some [`Centroids`]. Mergeable. A row with a number that cannot be used
/// is left out and counted.
#[derive(Debug, Clone, PartialEq)]
pub struct LloydSums {
    pub(super) clusters: Vec<Cluster>,
    pub(super) inertia: Twofold,
    left_out: u64,
    columns: usize,
}

impl LloydSums {
    /// Of no rows.
    pub fn new(centroids: &Centroids) -> Self {
        let columns = centroids.columns();
        let cluster = Cluster {
            count: 0,
            sums: vec![Twofold::ZERO; columns],
            farthest: (-1.0, vec![0.0; columns]),
        };
        Self {
            clusters: vec![cluster; centroids.centroids.len()],
            inertia: Twofold::ZERO,
            left_out: 0,
            columns,
        }
    }

    /// Rows that count.
    pub fn count(&self) -> u64 {
        self.clusters.iter().map(|cluster| cluster.count).sum()
    }

    /// Rows left out.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Rows of each cluster.
    pub fn counts(&self) -> Vec<u64> {
        self.clusters.iter().map(|cluster| cluster.count).collect()
    }

    /// Sum of squared distances of rows from their centroids.
    pub fn inertia(&self) -> f64 {
        self.inertia.value()
    }

    /// Adds a row. Errors: another number of columns.
    pub fn add(&mut self, centroids: &Centroids, row: &[f64]) -> Result<(), Error> {
        let columns: Vec<&[f64]> = row.iter().map(std::slice::from_ref).collect();
        self.add_columns(centroids, &columns)
    }

    /// Adds many rows, given column by column: much faster than one by one.
    pub fn add_columns(&mut self, centroids: &Centroids, columns: &[&[f64]]) -> Result<(), Error> {
        same_columns(self.columns, columns.len())?;
        same_columns(self.columns, centroids.columns())?;
        same_rows(columns)?;
        if self.clusters.len() != centroids.centroids.len() || self.clusters.is_empty() {
            return Err(Error::state("the sums are of other centroids"));
        }
        add_columns(self, centroids, columns);
        Ok(())
    }

    /// Adds the rows of another state of the same centroids.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        same_columns(self.columns, other.columns)?;
        if self.clusters.len() != other.clusters.len() {
            return Err(Error::state("the sums are of other centroids"));
        }
        for (own, other) in self.clusters.iter_mut().zip(&other.clusters) {
            own.count += other.count;
            for (sum, other) in own.sums.iter_mut().zip(&other.sums) {
                *sum = *sum + *other;
            }
            if is_farther(&other.farthest, &own.farthest) {
                own.farthest.clone_from(&other.farthest);
            }
        }
        self.inertia = self.inertia + other.inertia;
        self.left_out += other.left_out;
        Ok(())
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT.0, WHAT.1);
        writer
            .whole(self.columns as u64)
            .whole(self.clusters.len() as u64)
            .whole(self.left_out)
            .twofold(self.inertia);
        for cluster in &self.clusters {
            writer
                .whole(cluster.count)
                .twofolds(&cluster.sums)
                .number(cluster.farthest.0)
                .numbers(&cluster.farthest.1);
        }
        writer.finish()
    }

    /// Reads [`LloydSums::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT.0, WHAT.1)?;
        let (columns, clusters) = (reader.length()?, reader.length()?);
        let (left_out, inertia) = (reader.count()?, reader.twofold()?);
        let cluster = |_| {
            Ok(Cluster {
                count: reader.count()?,
                sums: reader.twofolds(columns)?,
                farthest: (reader.number()?, reader.numbers(columns)?),
            })
        };
        let clusters: Vec<Cluster> = (0..clusters).map(cluster).collect::<Result<_, Error>>()?;
        reader.finish()?;
        let total = clusters
            .iter()
            .try_fold(0, |sum: u64, cluster| sum.checked_add(cluster.count));
        total.ok_or_else(damaged)?;
        Ok(Self {
            clusters,
            inertia,
            left_out,
            columns,
        })
    }
}

/// Of two equally far rows always the same one, whichever came first.
fn is_farther(a: &(f64, Vec<f64>), b: &(f64, Vec<f64>)) -> bool {
    a.0 > b.0 || a.0 == b.0 && a.1 < b.1
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn add_columns(sums: &mut LloydSums, centroids: &Centroids, columns: &[&[f64]]) {
    let width = columns.len();
    let mut block = Block::new(width);
    let (mut nearest, mut distances) = ([0; ROWS], [0.0; ROWS]);
    let mut partial = vec![0.0; sums.clusters.len() * width];
    for start in (0..columns[0].len()).step_by(ROWS) {
        block.load(columns, start);
        sums.left_out += block.left_out as u64;
        centroids.nearest(&block, &mut nearest, &mut distances);
        sums.inertia = sums.inertia + Twofold::from(distances[..block.rows].iter().sum::<f64>());
        for (row, number) in nearest[..block.rows].iter().enumerate() {
            let cluster = &mut sums.clusters[*number];
            cluster.count += 1;
            if distances[row] >= cluster.farthest.0 {
                let values = (0..width).map(|column| block.column(column)[row]).collect();
                let candidate = (distances[row], values);
                if is_farther(&candidate, &cluster.farthest) {
                    cluster.farthest = candidate;
                }
            }
        }
        for column in 0..width {
            let values = &block.column(column)[..block.rows];
            for (number, value) in nearest.iter().zip(values) {
                partial[number * width + column] += value - centroids.centroids[*number][column];
            }
        }
    }
    for (cluster, partial) in sums.clusters.iter_mut().zip(partial.chunks(width)) {
        for (sum, partial) in cluster.sums.iter_mut().zip(partial) {
            *sum = *sum + Twofold::from(*partial);
        }
    }
}
