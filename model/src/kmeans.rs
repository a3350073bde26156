//! K-means: k-means|| for the start, then Lloyd's steps, on sums over all rows.
//!
//! ```text
//!  Scales ─► KMeansFit::start ─► Step::Seeds(SeedRound)   ─► SeedSums  ─► absorb_seeds, some rounds
//!                                Step::Lloyd(Centroids)   ─► LloydSums ─► absorb, to weigh the seeds, then until
//!                                Step::Done(KMeans)                       centroids stay where they are
//! ```
//!
//! Seeds: one row at random, then in each round [`fit::SEEDS_PER_CLUSTER`] rows for each cluster, a row as likely as its
//! squared distance from the seeds before it is great; then weighted k-means++ and Lloyd's steps over the seeds, each
//! counting as often as rows are nearest to it. Sources: Bahmani et al., "Scalable k-means++", 2012; rows are drawn without
//! replacement and without knowing the sum of distances first by Efraimidis and Spirakis, "Weighted random sampling with a
//! reservoir", 2006, whose random numbers are here a hash of seed and row: the same rows give the same seeds however they
//! are split. Equal rows are one seed; how many there are counts in its weight.
//!
//! Distances are of columns divided by their deviations if `standardize` is asked, else of columns as they are. A tie goes
//! to the centroid of the lower number. A cluster without rows takes the row that is farthest from its centroid, as in
//! scikit-learn; of each cluster at most one.

mod centroids;
mod fit;
mod lloyd;
mod seeds;

pub use centroids::Centroids;
pub use fit::{KMeans, KMeansFit, KMeansOptions, KMeansStep};
pub use lloyd::LloydSums;
pub use seeds::{SeedRound, SeedSums};

#[cfg(test)]
mod tests;
