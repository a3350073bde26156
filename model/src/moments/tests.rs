//! Histories of rows end at the sums of the rows that are left.

use proptest::prelude::*;

use super::*;
use crate::random::Random;

fn fresh(rows: &[Vec<f64>], columns: usize) -> Moments {
    let mut moments = Moments::new(columns);
    for row in rows {
        moments.add(row).unwrap();
    }
    moments
}

fn columns_of(rows: &[Vec<f64>], columns: usize) -> Vec<Vec<f64>> {
    (0..columns)
        .map(|column| rows.iter().map(|row| row[column]).collect())
        .collect()
}

fn add_columns(moments: &mut Moments, rows: &[Vec<f64>]) {
    let columns = columns_of(rows, moments.columns());
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    moments.add_columns(&columns).unwrap();
}

#[track_caller]
fn assert_near(a: &Moments, b: &Moments, tolerance: f64) {
    assert_eq!(a.count(), b.count());
    for i in 0..a.columns() {
        if a.count() > 0 {
            assert!((a.mean(i) - b.mean(i)).abs() <= tolerance * b.mean(i).abs().max(1e-3));
        }
        for j in i..a.columns() {
            let size = (b.comoment(i, i) * b.comoment(j, j)).sqrt();
            let off = (a.comoment(i, j) - b.comoment(i, j)).abs();
            assert!(off <= tolerance * size, "{i} {j}: {off:e} of {size:e}");
        }
    }
}

/// A row of three columns that depend on each other, moved away from 0.
fn row(random: &mut Random, moved: f64) -> Vec<f64> {
    let a = random.normal();
    let b = 0.5 * a + random.normal();
    vec![moved + a, moved + b, 1e-3 * random.normal()]
}

#[test]
fn means_and_covariances_are_those_of_numpy() {
    // numpy.cov([[1, 2, 4, 8], [3, 1, 4, 1]])
    let moments = fresh(
        &[[1., 3.], [2., 1.], [4., 4.], [8., 1.]].map(|row| row.to_vec()),
        2,
    );
    assert_eq!(moments.mean(0), 3.75);
    assert!((moments.covariance(0, 0) - 9.583333333333334).abs() < 1e-15);
    assert!((moments.covariance(1, 0) + 1.583333333333333).abs() < 1e-15);
    assert!((moments.covariance(1, 1) - 2.25).abs() < 1e-15);
}

#[test]
fn a_drained_table_keeps_the_digits_of_what_is_left() {
    let mut random = Random::new(1);
    let mut moments = Moments::new(3);
    let mut rows = Vec::new();
    // The first row is of another kind than all others, so the shift is a bad one.
    rows.push(vec![0.3, -7.1, 0.0]);
    rows.extend((0..100_000).map(|_| row(&mut random, 1e8)));
    add_columns(&mut moments, &rows);
    for row in rows.iter().take(rows.len() - 12) {
        moments.subtract(row).unwrap();
    }
    assert_near(&moments, &fresh(&rows[rows.len() - 12..], 3), 1e-9);
    // Without the outlier nothing is lost.
    let mut moments = Moments::new(3);
    add_columns(&mut moments, &rows[1..]);
    for row in &rows[1..rows.len() - 12] {
        moments.subtract(row).unwrap();
    }
    assert_near(&moments, &fresh(&rows[rows.len() - 12..], 3), 1e-14);
}

#[test]
fn an_emptied_state_is_a_new_one() {
    let mut random = Random::new(2);
    let rows: Vec<_> = (0..1000).map(|_| row(&mut random, 1e8)).collect();
    let mut moments = Moments::new(3);
    add_columns(&mut moments, &rows);
    for row in rows.iter().rev() {
        moments.subtract(row).unwrap();
    }
    assert_eq!(moments, Moments::new(3));
    let error = moments.subtract(&rows[0]).unwrap_err();
    assert_eq!(error.to_string(), "1 rows cannot be taken from a state of 0");
}

#[test]
fn rows_with_nulls_are_counted_apart() {
    let mut moments = fresh(
        &[vec![1.0, f64::NAN], vec![2.0, 3.0], vec![f64::INFINITY, 1.0]],
        2,
    );
    assert_eq!(
        (moments.count(), moments.left_out(), moments.mean(1)),
        (1, 2, 3.0)
    );
    moments.subtract(&[1.0, f64::NAN]).unwrap();
    assert_eq!((moments.count(), moments.left_out()), (1, 1));
    assert!(moments.add(&[1.0]).is_err());
    assert!(moments.add_columns(&[&[1.0], &[]]).is_err());
}

#[test]
fn a_constant_column_has_no_spread_wherever_it_lies() {
    let mut random = Random::new(3);
    let rows: Vec<_> = (0..5000).map(|_| vec![0.1 + 0.2, random.normal()]).collect();
    let mut moments = fresh(&[vec![1e6, 0.0]], 2);
    add_columns(&mut moments, &rows);
    assert!(moments.scale(0).deviation > 0.0);
    moments.subtract(&[1e6, 0.0]).unwrap();
    assert_eq!(moments.scale(0).deviation, 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_ends_where_a_new_count_does(
        seed in any::<u64>(),
        moved in prop::sample::select(vec![0.0, 1.0, -1e4, 1e8]),
        steps in prop::collection::vec((0_u8..5, 0_usize..600), 1..30),
    ) {
        let mut random = Random::new(seed);
        let mut rows: Vec<Vec<f64>> = Vec::new();
        let mut moments = Moments::new(3);
        for (kind, size) in steps {
            match kind {
                0 => {
                    let new: Vec<_> = (0..size).map(|_| row(&mut random, moved)).collect();
                    add_columns(&mut moments, &new);
                    rows.extend(new);
                }
                1 => {
                    let mut shard = Moments::new(3);
                    let new: Vec<_> = (0..size).map(|_| row(&mut random, moved)).collect();
                    add_columns(&mut shard, &new);
                    moments.merge(&Moments::from_bytes(&shard.to_bytes()).unwrap()).unwrap();
                    rows.extend(new);
                }
                2 => {
                    let new = row(&mut random, moved);
                    moments.add(&new).unwrap();
                    rows.push(new);
                }
                3 => for _ in 0..size.min(rows.len()) {
                    let old = rows.swap_remove(random.below(rows.len()));
                    moments.subtract(&old).unwrap();
                },
                _ => {
                    let old: Vec<_> = rows.drain(rows.len() - size.min(rows.len())..).collect();
                    let columns = columns_of(&old, 3);
                    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
                    moments.subtract_columns(&columns).unwrap();
                }
            }
        }
        assert_near(&moments, &fresh(&rows, 3), 1e-12);
    }

    #[test]
    fn merging_is_associative_and_commutative(seed in any::<u64>(), sizes in prop::array::uniform3(0_usize..50)) {
        let mut random = Random::new(seed);
        let [a, b, c] = sizes.map(|size| {
            let moved = random.normal() * 1e6;
            fresh(&(0..size).map(|_| row(&mut random, moved)).collect::<Vec<_>>(), 3)
        });
        let merged = |parts: [&Moments; 2]| {
            let mut moments = parts[0].clone();
            moments.merge(parts[1]).unwrap();
            moments
        };
        assert_near(&merged([&merged([&a, &b]), &c]), &merged([&a, &merged([&b, &c])]), 1e-14);
        assert_near(&merged([&a, &b]), &merged([&b, &a]), 1e-14);
    }

    #[test]
    fn damaged_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..200, bit in 0_u32..8) {
        let _ = Moments::from_bytes(&bytes);
        let mut state = fresh(&[vec![1.0, 2.0], vec![3.0, 5.0]], 2).to_bytes();
        prop_assert!(Moments::from_bytes(&state[..at.min(state.len() - 1)]).is_err());
        let at = at % state.len();
        state[at] ^= 1_u8 << bit;
        if let Ok(moments) = Moments::from_bytes(&state) {
            let _ = moments.covariance(0, 1);
        }
    }
}

#[test]
fn a_column_that_became_constant_has_no_spread_left_over() {
    let mut random = Random::new(5);
    let rows: Vec<_> = (0..3000)
        .map(|_| vec![random.normal(), random.normal()])
        .collect();
    let mut moments = Moments::new(2);
    add_columns(&mut moments, &rows);
    for value in 0..20 {
        moments.add(&[0.0, f64::from(value)]).unwrap();
    }
    for row in &rows {
        moments.subtract(row).unwrap();
    }
    assert_eq!((moments.scale(0).deviation, moments.comoment(0, 0)), (0.0, 0.0));
    assert!((moments.comoment(1, 1) - 665.0).abs() < 1e-12);
}

#[test]
fn rows_at_once_and_one_by_one_are_the_same() {
    let mut random = Random::new(4);
    for size in [1, 2, 7, 8, 255, 256, 257, 1000] {
        let rows: Vec<_> = (0..size).map(|_| row(&mut random, 1e6)).collect();
        let mut moments = Moments::new(3);
        add_columns(&mut moments, &rows);
        assert_near(&moments, &fresh(&rows, 3), 1e-15);
    }
}
