//! Lloyd's steps from given starts end where scikit-learn's do; `fixtures.py` made the numbers.

use proptest::prelude::*;

use super::*;
use crate::class_moments::ClassMoments;
use crate::error::Error;
use crate::random::Random;
use crate::samples::{assert_close, customers, slices};
use crate::scale::Scale;

fn options(clusters: usize) -> KMeansOptions {
    KMeansOptions {
        clusters,
        standardize: false,
        seed: 1,
        max_iterations: 1000,
        tolerance: 0.0,
    }
}

fn scales(columns: &[Vec<f64>]) -> Vec<Scale> {
    let mut moments = ClassMoments::new(1, columns.len());
    moments
        .add_columns(&slices(columns), &vec![0.0; columns[0].len()])
        .unwrap();
    (0..columns.len()).map(|column| moments.scale(column)).collect()
}

/// Fits over so many shards.
fn fit(
    columns: &[Vec<f64>],
    options: KMeansOptions,
    from: Option<&Centroids>,
    shards: usize,
) -> Result<KMeans, Error> {
    let parts: Vec<Vec<Vec<f64>>> = (0..shards)
        .map(|shard| {
            let part = |column: &Vec<f64>| column.iter().skip(shard).step_by(shards).copied().collect();
            columns.iter().map(part).collect()
        })
        .collect();
    let (mut fit, mut step) = KMeansFit::start(&scales(columns), options, from)?;
    loop {
        step = match step {
            KMeansStep::Seeds(round) => {
                let round = SeedRound::from_bytes(&round.to_bytes())?;
                let mut merged = SeedSums::new(&round);
                for part in &parts {
                    let mut sums = SeedSums::new(&round);
                    sums.add_columns(&round, &slices(part))?;
                    merged.merge(&SeedSums::from_bytes(&sums.to_bytes())?)?;
                }
                fit.absorb_seeds(&merged)?
            }
            KMeansStep::Lloyd(centroids) => {
                let centroids = Centroids::from_bytes(&centroids.to_bytes())?;
                let mut merged = LloydSums::new(&centroids);
                for part in &parts {
                    let mut sums = LloydSums::new(&centroids);
                    sums.add_columns(&centroids, &slices(part))?;
                    merged.merge(&LloydSums::from_bytes(&sums.to_bytes())?)?;
                }
                fit.absorb(&merged)?
            }
            KMeansStep::Done(fitted) => return Ok(*fitted),
        };
    }
}

fn first_rows(columns: &[Vec<f64>], count: usize) -> Centroids {
    Centroids {
        divisors: vec![1.0; columns.len()],
        centroids: (0..count)
            .map(|row| columns.iter().map(|column| column[row]).collect())
            .collect(),
    }
}

#[test]
fn the_same_starts_end_at_the_centroids_of_scikit_learn() {
    let rows = customers(500).features;
    let start = first_rows(&rows, 3);
    let fitted = fit(&rows, options(3), Some(&start), 2).unwrap();
    let expected = [
        [
            42.7906976744186,
            14.215116279069766,
            45342.77906976742,
            0.36046511627906974,
            0.27906976744186046,
        ],
        [
            46.59322033898305,
            15.163841807909604,
            71426.77401129944,
            0.31638418079096037,
            0.3220338983050847,
        ],
        [
            51.48344370860927,
            15.51655629139073,
            98117.15231788077,
            0.3642384105960264,
            0.2847682119205298,
        ],
    ];
    assert_close(&fitted.centroids.centroids.concat(), &expected.concat(), 1e-12);
    assert_close(&[fitted.inertia], &[27543449250.849503], 1e-12);
    assert_eq!(fitted.counts, [172, 177, 151]);
    let mut standardized = options(3);
    (standardized.standardize, standardized.tolerance) = (true, 1e-4);
    let fitted = fit(&rows, standardized, Some(&start), 1).unwrap();
    assert_close(&[fitted.inertia], &[1603.2357680240652], 1e-9);
}

#[test]
fn seeds_are_good_and_do_not_depend_on_shards() {
    let rows = customers(500).features;
    let mut standardized = options(3);
    standardized.standardize = true;
    let one = fit(&rows, standardized, None, 1).unwrap();
    // The best of 20 starts of scikit-learn has 1493.76.
    assert!(
        one.converged && one.inertia < 1.1 * 1493.760740543235,
        "{}",
        one.inertia
    );
    let other = fit(&rows, standardized, None, 4).unwrap();
    let pairs = other
        .centroids
        .centroids
        .concat()
        .into_iter()
        .zip(one.centroids.centroids.concat());
    assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-9));
}

#[test]
fn clear_groups_are_found() {
    let mut random = Random::new(3);
    let middles = [[0.0, 0.0], [1e3, 0.0], [0.0, 1e3], [1e3, 1e3], [500.0, 500.0]];
    let mut columns = vec![Vec::new(); 2];
    for row in 0..1000 {
        for (column, middle) in columns.iter_mut().zip(middles[row % 5]) {
            column.push(1e8 + middle + random.normal());
        }
    }
    for seed in 0..10 {
        let fitted = fit(&columns, KMeansOptions { seed, ..options(5) }, None, 1).unwrap();
        assert_eq!(fitted.counts, [200; 5], "seed {seed}");
        assert!(fitted.inertia < 2200.0);
    }
}

#[test]
fn a_cluster_without_rows_takes_the_farthest() {
    let columns = [vec![0.0, 1.0, 2.0, 50.0]];
    let start = Centroids {
        divisors: vec![1.0],
        centroids: vec![vec![1.0], vec![1e6]],
    };
    let fitted = fit(&columns, options(2), Some(&start), 2).unwrap();
    assert_eq!(fitted.centroids.centroids, [[1.0], [50.0]]);
    assert_eq!((fitted.counts, fitted.inertia), (vec![3, 1], 2.0));
}

#[test]
fn fewer_different_rows_than_clusters_are_a_warning() {
    let columns = [vec![1.0, 1.0, 2.0, 2.0, 2.0, f64::NAN]];
    let fitted = fit(&columns, options(3), None, 2).unwrap();
    assert_eq!((fitted.centroids.centroids.len(), fitted.inertia), (2, 0.0));
    assert!(
        fitted.warnings[0].starts_with("there are 2 clusters of 3 asked for"),
        "{:?}",
        fitted.warnings
    );
    let error = fit(&[vec![f64::NAN]], options(3), None, 1).unwrap_err();
    assert!(error.to_string().starts_with("there are no rows"), "{error}");
}

proptest! {
    #[test]
    fn damaged_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 2..300), kind in 0_usize..4) {
        (bytes[0], bytes[1]) = (b"ZKRS"[kind], 1);
        let _ = (Centroids::from_bytes(&bytes), LloydSums::from_bytes(&bytes));
        let _ = (SeedRound::from_bytes(&bytes), SeedSums::from_bytes(&bytes));
    }
}
