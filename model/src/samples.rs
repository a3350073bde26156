//! Rows that tests of all models share. `fixtures.py` makes the same ones, bit by bit, and fits them with scikit-learn and
//! statsmodels.

use crate::random::Random;

/// Customers: features by column, and labels.
pub(crate) struct Customers {
    /// Age, visits, income, and whether the region is 1, and 2.
    pub(crate) features: Vec<Vec<f64>>,
    pub(crate) spend: Vec<f64>,
    /// 0 or 1.
    pub(crate) bought: Vec<f64>,
    /// 0, 1 or 2.
    pub(crate) tier: Vec<f64>,
}

pub(crate) fn customers(rows: usize) -> Customers {
    let mut random = Random::new(7);
    let mut below = |limit: u64| ((random.next() >> 11) % limit) as f64;
    let mut all = Customers {
        features: vec![Vec::new(); 5],
        spend: Vec::new(),
        bought: Vec::new(),
        tier: Vec::new(),
    };
    for _ in 0..rows {
        let age = 18.0 + below(60);
        let visits = below(30);
        let income = 20_000.0 + 37.0 * below(2000) + 300.0 * age;
        let region = below(3);
        let noise = below(1000) + below(1000) + below(1000) + below(1000) - 1998.0;
        let is = |number: f64| f64::from(u8::from(region == number));
        let row = [age, visits, income, is(1.0), is(2.0)];
        for (column, value) in all.features.iter_mut().zip(row) {
            column.push(value);
        }
        let cents = 2.0 * income + 1500.0 * visits - 700.0 * age + 20_000.0 * is(1.0) + 30.0 * noise;
        all.spend.push(cents / 100.0);
        let score = visits * 40.0 - age * 10.0 + 150.0 * is(2.0) + noise;
        all.bought.push(f64::from(u8::from(score > 0.0)));
        let hundreds = (income / 100.0).floor();
        all.tier.push(f64::from(
            u8::from(score + hundreds > 0.0) + u8::from(score + hundreds > 900.0),
        ));
    }
    all
}

pub(crate) fn names(columns: usize) -> Vec<String> {
    (0..columns).map(|column| format!("x{column}")).collect()
}

pub(crate) fn slices(columns: &[Vec<f64>]) -> Vec<&[f64]> {
    columns.iter().map(Vec::as_slice).collect()
}

/// True if all numbers are those expected, up to a part of them.
#[track_caller]
pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found - expected).abs();
        assert!(
            off <= tolerance * expected.abs(),
            "{place}: {found:?} is not {expected:?}"
        );
    }
}
