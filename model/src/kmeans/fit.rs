//! From seeds to centroids that stay where they are.

use serde::{Deserialize, Serialize};

use super::centroids::Centroids;
use super::lloyd::{Cluster, LloydSums};
use super::seeds::{SeedRound, SeedSums};
use crate::error::Error;
use crate::linear::no_rows;
use crate::random::Random;
use crate::scale::Scale;
use crate::twofold::Twofold;

/// Rows drawn in each round for each cluster, as in the paper.
pub(super) const SEEDS_PER_CLUSTER: usize = 2;
/// Rounds after the first row. The paper has 5; but each reads all rows, and Lloyd's steps over the seeds follow. As many as
/// in Spark MLlib.
const ROUNDS: u64 = 2;
/// Most of Lloyd's steps over seeds, as in Spark MLlib.
const SEED_STEPS: usize = 30;
/// Movement of centroids, in squares and parts of the mean variance, that is none.
const NO_SHIFT: f64 = 1e-24;

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KMeansOptions {
    /// Number of clusters.
    pub clusters: usize,
    /// Whether columns are divided by their deviations.
    pub standardize: bool,
    /// Of all random choices.
    pub seed: u64,
    /// Most of Lloyd's steps.
    pub max_iterations: u32,
    /// Sum of the squared movements of centroids, in parts of the mean variance of columns, at which to stop; 0: until no
    /// row changes its cluster. As `tol` of scikit-learn, whose default is 1e-4.
    pub tolerance: f64,
}

/// Fitted clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KMeans {
    /// Centroids; fewer than asked if there are fewer different rows.
    pub centroids: Centroids,
    /// Rows of each.
    pub counts: Vec<u64>,
    /// Sum of squared distances of rows from the nearest centroid.
    pub inertia: f64,
    /// Lloyd's steps that were made.
    pub iterations: u32,
    /// Whether centroids stay where they are.
    pub converged: bool,
    /// What whoever uses it should know.
    pub warnings: Vec<String>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum KMeansStep {
    /// Draw from all rows, and give the sums to [`KMeansFit::absorb_seeds`].
    Seeds(SeedRound),
    /// Sum over all rows, and give the sums to [`KMeansFit::absorb`].
    Lloyd(Centroids),
    /// The fit is done.
    Done(Box<KMeans>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Drawing {
        round: u64,
    },
    Weighing,
    Moving,
    /// The centroids are the last ones; only their rows are counted.
    Last {
        converged: bool,
    },
}

/// A fit under way. See [`crate::kmeans`].
#[derive(Debug)]
pub struct KMeansFit {
    options: KMeansOptions,
    centroids: Centroids,
    state: State,
    /// Of columns, divided as asked.
    mean_variance: f64,
    iterations: u32,
    warnings: Vec<String>,
}

impl KMeansFit {
    /// Starts from seeds, or from centroids of an earlier fit of the same columns and number of clusters. `scales` are
    /// those of the columns over the same rows.
    pub fn start(
        scales: &[Scale],
        options: KMeansOptions,
        from: Option<&Centroids>,
    ) -> Result<(Self, KMeansStep), Error> {
        if options.clusters == 0 || scales.is_empty() {
            return Err(Error::option("k-means needs a feature and a cluster at least"));
        }
        let divisor = |scale: &Scale| if options.standardize { scale.divisor() } else { 1.0 };
        let divisors: Vec<f64> = scales.iter().map(divisor).collect();
        let variances = scales
            .iter()
            .zip(&divisors)
            .map(|(scale, by)| (scale.deviation / by).powi(2));
        let from = from.filter(|from| {
            from.centroids.len() == options.clusters
                && from
                    .centroids
                    .iter()
                    .all(|centroid| centroid.len() == scales.len())
        });
        let fit = Self {
            options,
            state: match from {
                None => State::Drawing { round: 0 },
                Some(_) => State::Moving,
            },
            mean_variance: variances.sum::<f64>() / scales.len() as f64,
            centroids: Centroids {
                divisors,
                centroids: from.map_or_else(Vec::new, |from| from.centroids.clone()),
            },
            iterations: 0,
            warnings: Vec::new(),
        };
        let step = fit.step();
        Ok((fit, step))
    }

    fn step(&self) -> KMeansStep {
        match self.state {
            State::Drawing { round } => KMeansStep::Seeds(SeedRound {
                seeds: self.centroids.clone(),
                random: Random::new(self.options.seed.wrapping_add(round << 32)).next(),
                draw: match round {
                    0 => 1,
                    _ => SEEDS_PER_CLUSTER * self.options.clusters,
                },
            }),
            _ => KMeansStep::Lloyd(self.centroids.clone()),
        }
    }

    /// Goes on with what was drawn. Errors: there are no rows; seeds were not asked for.
    pub fn absorb_seeds(&mut self, sums: &SeedSums) -> Result<KMeansStep, Error> {
        let State::Drawing { round } = self.state else {
            return Err(Error::state("no seeds are drawn now"));
        };
        self.centroids
            .centroids
            .extend(sums.drawn.iter().map(|(_, row)| row.clone()));
        if self.centroids.centroids.is_empty() {
            return Err(no_rows(0));
        }
        self.state = match round < ROUNDS && !sums.drawn.is_empty() {
            true => State::Drawing { round: round + 1 },
            false => State::Weighing,
        };
        Ok(self.step())
    }

    /// Goes on with the sums over all rows. Errors: the sums are of other centroids; there are no rows.
    pub fn absorb(&mut self, sums: &LloydSums) -> Result<KMeansStep, Error> {
        if sums.clusters.len() != self.centroids.centroids.len() {
            return Err(Error::state("the sums are of other centroids"));
        }
        if sums.count() == 0 {
            return Err(no_rows(sums.left_out()));
        }
        match self.state {
            State::Drawing { .. } => return Err(Error::state("seeds are drawn now")),
            State::Weighing => {
                let weights: Vec<f64> = sums.counts().into_iter().map(|count| count as f64).collect();
                self.choose(&weights);
                self.state = State::Moving;
            }
            State::Moving => {
                let next = moved(&self.centroids, &sums.clusters);
                let pairs = next.iter().zip(&self.centroids.centroids);
                let shift: f64 = pairs.map(|(a, b)| self.centroids.distance(a, b)).sum();
                let is_still = shift <= NO_SHIFT * self.mean_variance;
                if is_still {
                    return Ok(self.done(sums, true));
                }
                self.iterations += 1;
                self.centroids.centroids = next;
                if shift <= self.options.tolerance * self.mean_variance {
                    self.state = State::Last { converged: true };
                } else if self.iterations >= self.options.max_iterations {
                    self.warnings.push(format!(
                        "not converged in {} steps; raise max_iterations",
                        self.iterations
                    ));
                    self.state = State::Last { converged: false };
                }
            }
            State::Last { converged } => return Ok(self.done(sums, converged)),
        }
        Ok(self.step())
    }

    fn done(&self, sums: &LloydSums, converged: bool) -> KMeansStep {
        KMeansStep::Done(Box::new(KMeans {
            centroids: self.centroids.clone(),
            counts: sums.counts(),
            inertia: sums.inertia(),
            iterations: self.iterations,
            converged,
            warnings: self.warnings.clone(),
        }))
    }

    /// Makes as many centroids as asked of weighted seeds.
    fn choose(&mut self, weights: &[f64]) {
        let mut random = Random::new(self.options.seed ^ 0x006b_6d65_616e_732b);
        let seeds = std::mem::take(&mut self.centroids.centroids);
        let chosen = plus_plus(
            &self.centroids,
            &seeds,
            weights,
            self.options.clusters,
            &mut random,
        );
        if chosen.len() < self.options.clusters {
            self.warnings.push(format!(
                "there are {} clusters of {} asked for, as there are no more different rows",
                chosen.len(),
                self.options.clusters
            ));
        }
        self.centroids.centroids = chosen;
        for _ in 0..SEED_STEPS {
            let next = self.weighted_step(&seeds, weights);
            if next == self.centroids.centroids {
                break;
            }
            self.centroids.centroids = next;
        }
    }

    /// One of Lloyd's steps over weighted seeds.
    fn weighted_step(&self, seeds: &[Vec<f64>], weights: &[f64]) -> Vec<Vec<f64>> {
        let now = &self.centroids.centroids;
        let mut sums = vec![vec![0.0; self.centroids.columns()]; now.len()];
        let mut totals = vec![0.0; now.len()];
        for (seed, weight) in seeds.iter().zip(weights) {
            let distance = |number: &usize| self.centroids.distance(seed, &now[*number]);
            let nearest = (0..now.len())
                .min_by(|a, b| distance(a).total_cmp(&distance(b)))
                .unwrap_or(0);
            totals[nearest] += weight;
            for ((sum, value), middle) in sums[nearest].iter_mut().zip(seed).zip(&now[nearest]) {
                *sum += weight * (value - middle);
            }
        }
        let step = |number: usize, middle: &Vec<f64>| match totals[number] > 0.0 {
            true => middle
                .iter()
                .zip(&sums[number])
                .map(|(middle, sum)| middle + sum / totals[number])
                .collect(),
            false => middle.clone(),
        };
        now.iter()
            .enumerate()
            .map(|(number, middle)| step(number, middle))
            .collect()
    }
}

/// Weighted k-means++ with some tries for each centroid, as many as in scikit-learn (Arthur and Vassilvitskii 2007).
fn plus_plus(
    space: &Centroids,
    seeds: &[Vec<f64>],
    weights: &[f64],
    clusters: usize,
    random: &mut Random,
) -> Vec<Vec<f64>> {
    let tries = 2 + (clusters as f64).ln() as usize;
    let Some(first) = draw(weights, random) else {
        return Vec::new();
    };
    let mut chosen = vec![seeds[first].clone()];
    let mut distances: Vec<f64> = seeds
        .iter()
        .map(|seed| space.distance(seed, &seeds[first]))
        .collect();
    while chosen.len() < clusters {
        let rates: Vec<f64> = distances
            .iter()
            .zip(weights)
            .map(|(distance, weight)| distance * weight)
            .collect();
        let candidates = (0..tries).filter_map(|_| draw(&rates, random));
        let with = |candidate: usize| -> Vec<f64> {
            let to =
                |(seed, distance): (&Vec<f64>, &f64)| distance.min(space.distance(seed, &seeds[candidate]));
            seeds.iter().zip(&distances).map(to).collect()
        };
        let cost = |distances: &[f64]| distances.iter().zip(weights).map(|(a, b)| a * b).sum::<f64>();
        let options = candidates.map(|candidate| (candidate, with(candidate)));
        let Some((best, after)) = options.min_by(|a, b| cost(&a.1).total_cmp(&cost(&b.1))) else {
            break;
        };
        chosen.push(seeds[best].clone());
        distances = after;
    }
    chosen
}

/// A place, as likely as its rate is great.
fn draw(rates: &[f64], random: &mut Random) -> Option<usize> {
    let mut left = random.share() * rates.iter().sum::<f64>();
    let mut last = None;
    for (place, rate) in rates.iter().enumerate().filter(|(_, rate)| **rate > 0.0) {
        last = Some(place);
        left -= rate;
        if left < 0.0 {
            break;
        }
    }
    last
}

/// Centroids in the middle of their rows; those without rows take far ones of others.
fn moved(centroids: &Centroids, clusters: &[Cluster]) -> Vec<Vec<f64>> {
    let mut clusters = clusters.to_vec();
    let mut far: Vec<usize> = (0..clusters.len())
        .filter(|number| clusters[*number].count > 1)
        .collect();
    far.sort_by(|a, b| clusters[*b].farthest.0.total_cmp(&clusters[*a].farthest.0));
    let mut far = far
        .into_iter()
        .filter(|number| clusters[*number].farthest.0 > 0.0)
        .collect::<Vec<_>>()
        .into_iter();
    let mut taken: Vec<Option<Vec<f64>>> = vec![None; clusters.len()];
    for number in 0..clusters.len() {
        if clusters[number].count == 0 {
            let Some(from) = far.next() else {
                break;
            };
            let row = clusters[from].farthest.1.clone();
            let middle = &centroids.centroids[from];
            clusters[from].count -= 1;
            for ((sum, value), middle) in clusters[from].sums.iter_mut().zip(&row).zip(middle) {
                *sum = *sum - Twofold::from(value - middle);
            }
            taken[number] = Some(row);
        }
    }
    let middle = |number: usize, taken: Option<Vec<f64>>| {
        let (cluster, now) = (&clusters[number], &centroids.centroids[number]);
        match (taken, cluster.count) {
            (Some(row), _) => row,
            (None, 0) => now.clone(),
            (None, count) => now
                .iter()
                .zip(&cluster.sums)
                .map(|(now, sum)| now + sum.value() / count as f64)
                .collect(),
        }
    };
    taken
        .into_iter()
        .enumerate()
        .map(|(number, taken)| middle(number, taken))
        .collect()
}
