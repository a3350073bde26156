//! Fits are those of statsmodels, scikit-learn and NIST; `fixtures.py` made the numbers of the customers.

use proptest::prelude::*;

use super::*;
use crate::random::Random;
use crate::samples::{assert_close, customers, names, slices};

const OLS: LinearOptions = LinearOptions {
    l2: 0.0,
    intercept: true,
    standardize: false,
};

fn moments(columns: &[Vec<f64>]) -> Moments {
    let mut moments = Moments::new(columns.len());
    moments.add_columns(&slices(columns)).unwrap();
    moments
}

fn fit(columns: &[Vec<f64>], options: LinearOptions) -> Linear {
    Linear::fit(&moments(columns), &names(columns.len() - 1), options).unwrap()
}

fn spenders() -> Vec<Vec<f64>> {
    let rows = customers(500);
    let mut columns = rows.features;
    columns.push(rows.spend);
    columns
}

/// A number of each estimate, that of the intercept first.
fn each(linear: &Linear, number: fn(&Estimate) -> Option<f64>) -> Vec<f64> {
    let estimates = linear
        .intercept
        .iter()
        .chain(linear.coefficients.iter().flatten());
    estimates.map(|estimate| number(estimate).unwrap()).collect()
}

fn values(linear: &Linear) -> Vec<f64> {
    each(linear, |estimate| Some(estimate.value))
}

#[test]
fn least_squares_are_those_of_statsmodels() {
    let linear = fit(&spenders(), OLS);
    let expected = [
        -49.42734929516968,
        -6.406810762718117,
        13.913368277055904,
        0.020225803379502832,
        220.61809860205446,
        41.860177635511356,
    ];
    assert_close(&values(&linear), &expected, 1e-11);
    let expected = [
        35.09030302938062,
        0.47968211361120366,
        0.921777709155367,
        0.0003646454556653678,
        18.826817661793314,
        19.616093412124307,
    ];
    assert_close(
        &each(&linear, |estimate| estimate.standard_error),
        &expected,
        1e-11,
    );
    let expected = [
        -1.4085757325545136,
        -13.35636785471435,
        15.094060247784517,
        55.46703809210196,
        11.718289440374805,
        2.133971161130301,
    ];
    assert_close(&each(&linear, |estimate| estimate.t), &expected, 1e-11);
    let expected = [
        0.15958972507461827,
        5.865268381664448e-35,
        1.3195382446447376e-42,
        2.5749108251339907e-214,
        3.7344566899997855e-28,
        0.03333697525932323,
    ];
    assert_close(&each(&linear, |estimate| estimate.p), &expected, 1e-9);
    let found = [
        linear.r2,
        linear.adjusted_r2,
        linear.residual_variance,
        Some(linear.rmse),
    ]
    .map(Option::unwrap);
    let expected = [
        0.8801149103321128,
        0.878901498493369,
        30973.227151155075,
        174.9329826686243,
    ];
    assert_close(&found, &expected, 1e-12);
    assert_close(&[linear.condition_number], &[1.7011288788949852], 1e-3);
    assert_eq!((linear.degrees_of_freedom, linear.rows), (494, 500));
    assert!(linear.warnings.is_empty());
}

#[test]
fn without_an_intercept_too() {
    let linear = fit(
        &spenders(),
        LinearOptions {
            intercept: false,
            ..OLS
        },
    );
    let expected = [
        -6.733524335536926,
        13.40925659074827,
        0.019956288572422026,
        213.06191063951553,
        33.37911490048617,
    ];
    assert_close(&values(&linear), &expected, 1e-11);
    let expected = [
        0.4202932868479255,
        0.850308898142444,
        0.00031072083378523037,
        18.06431686382829,
        18.687732625561715,
    ];
    assert_close(
        &each(&linear, |estimate| estimate.standard_error),
        &expected,
        1e-11,
    );
    assert_close(&[linear.r2.unwrap()], &[0.985660699695234], 1e-12);
    assert!(linear.intercept.is_none());
}

#[test]
fn ridge_is_that_of_scikit_learn() {
    let ridge = LinearOptions { l2: 50.0, ..OLS };
    let linear = fit(&spenders(), ridge);
    let expected = [
        -6.173062495135355,
        -6.42563025846721,
        13.577411895994544,
        0.020260906066786377,
        140.039431112633,
        1.4928044953454247,
    ];
    assert_close(&values(&linear), &expected, 1e-9);
    assert!(linear.coefficients[0].unwrap().standard_error.is_none());
    let linear = fit(
        &spenders(),
        LinearOptions {
            standardize: true,
            ..ridge
        },
    );
    let expected = [
        64.74352412066378,
        -5.2170745223367,
        12.99098967144439,
        0.018203876013214174,
        194.18529062909988,
        27.331125134116945,
    ];
    assert_close(&values(&linear), &expected, 1e-11);
}

/// Certified values of NIST's reference data set Longley, whose columns nearly depend on each other.
#[test]
fn longley_is_certified() {
    let rows = [
        [83.0, 234289.0, 2356.0, 1590.0, 107608.0, 1947.0, 60323.0],
        [88.5, 259426.0, 2325.0, 1456.0, 108632.0, 1948.0, 61122.0],
        [88.2, 258054.0, 3682.0, 1616.0, 109773.0, 1949.0, 60171.0],
        [89.5, 284599.0, 3351.0, 1650.0, 110929.0, 1950.0, 61187.0],
        [96.2, 328975.0, 2099.0, 3099.0, 112075.0, 1951.0, 63221.0],
        [98.1, 346999.0, 1932.0, 3594.0, 113270.0, 1952.0, 63639.0],
        [99.0, 365385.0, 1870.0, 3547.0, 115094.0, 1953.0, 64989.0],
        [100.0, 363112.0, 3578.0, 3350.0, 116219.0, 1954.0, 63761.0],
        [101.2, 397469.0, 2904.0, 3048.0, 117388.0, 1955.0, 66019.0],
        [104.6, 419180.0, 2822.0, 2857.0, 118734.0, 1956.0, 67857.0],
        [108.4, 442769.0, 2936.0, 2798.0, 120445.0, 1957.0, 68169.0],
        [110.8, 444546.0, 4681.0, 2637.0, 121950.0, 1958.0, 66513.0],
        [112.6, 482704.0, 3813.0, 2552.0, 123366.0, 1959.0, 68655.0],
        [114.2, 502601.0, 3931.0, 2514.0, 125368.0, 1960.0, 69564.0],
        [115.7, 518173.0, 4806.0, 2572.0, 127852.0, 1961.0, 69331.0],
        [116.9, 554894.0, 4007.0, 2827.0, 130081.0, 1962.0, 70551.0],
    ];
    let columns: Vec<Vec<f64>> = (0..7)
        .map(|column| rows.iter().map(|row| row[column]).collect())
        .collect();
    let linear = fit(&columns, OLS);
    let expected = [
        -3482258.63459582,
        15.0618722713733,
        -0.358191792925910E-01,
        -2.02022980381683,
        -1.03322686717359,
        -0.511041056535807E-01,
        1829.15146461355,
    ];
    assert_close(&values(&linear), &expected, 1e-13);
    let error = linear.intercept.unwrap().standard_error.unwrap();
    assert_close(&[error], &[890420.383607373], 1e-13);
}

/// NIST's Wampler1: y = 1 + x + ... + x^5, fitted without an error.
#[test]
fn powers_are_told_apart() {
    let mut columns: Vec<Vec<f64>> = (1..=5)
        .map(|power| (0..21).map(|x| f64::from(x).powi(power)).collect())
        .collect();
    columns.push(
        (0..21)
            .map(|x| (0..=5).map(|power| f64::from(x).powi(power)).sum())
            .collect(),
    );
    let linear = fit(&columns, OLS);
    assert_close(&values(&linear), &[1.0; 6], 1e-14);
    assert_eq!(linear.r2, Some(1.0));
}

#[test]
fn dependent_and_constant_columns_have_no_coefficient() {
    let mut columns = spenders();
    let label = columns.pop().unwrap();
    let plain = fit(&spenders(), OLS);
    columns.push(vec![0.1; 500]);
    columns.push(
        columns[0]
            .iter()
            .zip(&columns[1])
            .map(|(a, b)| 0.1 * a - 0.7 * b + 1e4)
            .collect(),
    );
    columns.push(label);
    let linear = fit(&columns, OLS);
    assert_eq!(linear.coefficients[5..], [None, None]);
    assert_close(&values(&linear), &values(&plain), 1e-12);
    assert_eq!(
        linear.warnings,
        [
            "'x5' is constant and has no coefficient",
            "'x6' follows from 'x0', 'x1' and has no coefficient"
        ]
    );
    // With a penalty both columns have a part of it.
    assert!(fit(&columns, LinearOptions { l2: 1.0, ..OLS }).coefficients[6].is_some());
}

#[test]
fn nearly_dependent_columns_are_told_apart_with_a_warning() {
    let mut random = Random::new(9);
    let a: Vec<f64> = (0..200)
        .map(|_| (random.normal() * 1024.0).round() / 1024.0)
        .collect();
    // Exact differences of 2^-31, so that the solution is exact too.
    let small = 2.0_f64.powi(-31);
    let b: Vec<f64> = a
        .iter()
        .map(|a| a + small * f64::from((random.share() * 8.0) as u8))
        .collect();
    let label = a
        .iter()
        .zip(&b)
        .map(|(a, b)| 3.0 * a + 2.0 * (b - a) / small)
        .collect();
    let linear = fit(&[a, b, label], OLS);
    assert_close(&values(&linear)[1..], &[3.0 - 2.0 / small, 2.0 / small], 1e-9);
    assert!(
        linear.warnings[0].starts_with("features nearly follow from each other"),
        "{:?}",
        linear.warnings
    );
}

#[test]
fn fewer_rows_than_columns_are_a_warning_and_no_rows_an_error() {
    let columns: Vec<Vec<f64>> = spenders().iter().map(|column| column[..4].to_vec()).collect();
    let linear = fit(&columns, OLS);
    assert_eq!((linear.degrees_of_freedom, linear.residual_variance), (0, None));
    assert!(
        linear
            .coefficients
            .iter()
            .flatten()
            .all(|estimate| estimate.p.is_none())
    );
    assert!(
        linear
            .warnings
            .iter()
            .any(|warning| warning.contains("4 rows are too few")),
        "{:?}",
        linear.warnings
    );
    assert!(linear.rmse < 1e-6, "{}", linear.rmse);
    let error = Linear::fit(&moments(&[vec![f64::NAN], vec![1.0]]), &names(1), OLS).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("there are no rows to learn from (1 rows have nulls"),
        "{error}"
    );
    let linear = fit(&[vec![1.0, 2.0], vec![3.0, 3.0]], OLS);
    assert_eq!(linear.r2, None);
    assert!(linear.warnings.contains(&"the label is constant".to_owned()));
}

#[test]
fn other_rows_are_scored_by_their_moments() {
    let columns = spenders();
    let half = |first: bool| -> Vec<Vec<f64>> {
        let part = |column: &Vec<f64>| {
            if first {
                column[..250].to_vec()
            } else {
                column[250..].to_vec()
            }
        };
        columns.iter().map(part).collect()
    };
    let linear = fit(&half(true), OLS);
    let own = linear.score(&moments(&half(true))).unwrap();
    assert_close(
        &[own.rmse, own.r2.unwrap()],
        &[linear.rmse, linear.r2.unwrap()],
        1e-12,
    );
    let rows = half(false);
    let numbers = values(&linear);
    let error = |row: usize| {
        let terms = (0..5).map(|column| numbers[column + 1] * rows[column][row]);
        rows[5][row] - numbers[0] - terms.sum::<f64>()
    };
    let expected = ((0..250).map(|row| error(row).powi(2)).sum::<f64>() / 250.0).sqrt();
    assert_close(&[linear.score(&moments(&rows)).unwrap().rmse], &[expected], 1e-12);
}

#[test]
fn two_hundred_features_are_solved() {
    let mut random = Random::new(6);
    let mut columns: Vec<Vec<f64>> = (0..200)
        .map(|_| (0..400).map(|_| random.normal()).collect())
        .collect();
    let label = (0..400)
        .map(|row| {
            (0..200)
                .map(|column| columns[column][row] * (column as f64))
                .sum()
        })
        .collect();
    columns.push(label);
    let linear = fit(&columns, OLS);
    let expected: Vec<f64> = (0..200).map(f64::from).collect();
    assert!(
        values(&linear)[1..]
            .iter()
            .zip(&expected)
            .all(|(a, b)| (a - b).abs() < 1e-9)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The promise of a live model: after any history it is the fit of the rows that are left.
    #[test]
    fn a_history_ends_at_the_fit_of_what_is_left(seed in any::<u64>(), kept in 10_usize..200, moved in 0_u8..2) {
        let mut random = Random::new(seed);
        let moved = f64::from(moved) * 1e8;
        let columns: Vec<Vec<f64>> = {
            let a: Vec<f64> = (0..2000).map(|_| moved + random.normal()).collect();
            // Conditions up to 1e5.
            let b: Vec<f64> = a.iter().map(|a| a + 1e-5 * moved.max(1.0).sqrt() * random.normal()).collect();
            let label = a.iter().zip(&b).map(|(a, b)| 2.0 * a - b + random.normal()).collect();
            vec![a, b, label]
        };
        let mut history = moments(&columns);
        let gone: Vec<&[f64]> = columns.iter().map(|column| &column[kept..]).collect();
        history.subtract_columns(&gone).unwrap();
        let left: Vec<Vec<f64>> = columns.iter().map(|column| column[..kept].to_vec()).collect();
        let (after, fresh) = (Linear::fit(&history, &names(2), OLS).unwrap(), fit(&left, OLS));
        assert_close(&values(&after), &values(&fresh), 1e-9);
        assert_close(&[after.rmse], &[fresh.rmse], 1e-9);
    }
}

#[test]
fn errors_are_those_of_each_prediction() {
    let columns = spenders();
    let linear = fit(&columns, OLS);
    let (labels, features) = columns.split_last().unwrap();
    let bytes = Predictor::from(&linear).to_bytes();
    assert!((0..bytes.len()).all(|end| Predictor::from_bytes(&bytes[..end]).is_err()));
    let predictor = Predictor::from_bytes(&bytes).unwrap();
    let mut errors = LinearErrors::default();
    assert_eq!(errors.metrics(), None);
    for rows in [0..100, 100..labels.len()] {
        let mut part = LinearErrors::default();
        let mut of_part: Vec<Vec<f64>> = features
            .iter()
            .map(|column| column[rows.clone()].to_vec())
            .collect();
        let mut labels = labels[rows].to_vec();
        // Neither of these counts.
        of_part
            .iter_mut()
            .for_each(|column| column.extend([f64::NAN, 1.0]));
        labels.extend([1.0, f64::INFINITY]);
        part.add_columns(&predictor, &slices(&of_part), &labels).unwrap();
        let bytes = part.to_bytes();
        assert!((0..bytes.len()).all(|end| LinearErrors::from_bytes(&bytes[..end]).is_err()));
        errors.merge(&LinearErrors::from_bytes(&bytes).unwrap()).unwrap();
    }
    let found = errors.metrics().unwrap();
    let estimates = values(&linear);
    let away = |row: usize| {
        let parts = features.iter().zip(&estimates[1..]);
        labels[row] - estimates[0] - parts.map(|(column, value)| column[row] * value).sum::<f64>()
    };
    let mae = (0..labels.len()).map(|row| away(row).abs()).sum::<f64>() / labels.len() as f64;
    assert_close(&[found.mae, found.rmse], &[mae, linear.rmse], 1e-12);
    assert_close(&[found.r2.unwrap()], &[linear.r2.unwrap()], 1e-12);
    assert!(
        errors
            .add_columns(&predictor, &slices(&features[1..]), labels)
            .is_err()
    );
    let mut same = LinearErrors::default();
    same.add_columns(&predictor, &slices(features), &vec![2.0; labels.len()])
        .unwrap();
    assert_eq!(same.metrics().unwrap().r2, None);
}
