//! Fits are those of scikit-learn and statsmodels; `fixtures.py` made the numbers.

use proptest::prelude::*;

use super::*;
use crate::class_moments::ClassMoments;
use crate::error::Error;
use crate::samples::{Customers, assert_close, customers, names, slices};

fn options(l2: f64) -> LogisticOptions {
    LogisticOptions {
        l2,
        intercept: true,
        standardize: false,
        class_weights: ClassWeights::Equal,
        max_iterations: 100,
        tolerance: 1e-10,
    }
}

/// Fits over three shards, as a cluster does.
fn fit_from(
    columns: &[Vec<f64>],
    classes: &[f64],
    options: LogisticOptions,
    from: Option<&Logistic>,
) -> Result<Logistic, Error> {
    let count = classes.iter().fold(0.0_f64, |most, class| most.max(*class)) as usize + 1;
    let mut moments = ClassMoments::new(count.max(2), columns.len());
    moments.add_columns(&slices(columns), classes)?;
    let labels: Vec<String> = (0..count.max(2)).map(|class| format!("class {class}")).collect();
    let mut fit = LogisticFit::start(&moments, &names(columns.len()), &labels, options, from)?;
    loop {
        let point = LogisticPoint::from_bytes(&fit.point().to_bytes())?;
        let mut merged = LogisticSums::new(&point);
        for shard in 0..3 {
            let of_shard = |column: &[f64]| column.iter().skip(shard).step_by(3).copied().collect::<Vec<_>>();
            let parts: Vec<Vec<f64>> = columns.iter().map(|column| of_shard(column)).collect();
            let mut sums = LogisticSums::new(&point);
            sums.add_columns(&point, &slices(&parts), &of_shard(classes))?;
            merged.merge(&LogisticSums::from_bytes(&sums.to_bytes())?)?;
        }
        if let LogisticStep::Done(fitted) = fit.absorb(&merged)? {
            return Ok(*fitted);
        }
    }
}

fn fit(columns: &[Vec<f64>], classes: &[f64], options: LogisticOptions) -> Result<Logistic, Error> {
    fit_from(columns, classes, options, None)
}

/// Intercept and coefficients, vector by vector.
fn numbers(fitted: &Logistic) -> Vec<f64> {
    let vectors = fitted.intercepts.iter().zip(&fitted.coefficients);
    let of_vector = |(intercept, values): (&f64, &Vec<Option<f64>>)| {
        let values = values.iter().map(|value| value.unwrap_or(0.0));
        std::iter::once(*intercept).chain(values).collect::<Vec<_>>()
    };
    vectors.flat_map(of_vector).collect()
}

#[test]
fn binary_coefficients_are_those_of_scikit_learn() {
    let rows = customers(500);
    let fitted = fit(&rows.features, &rows.bought, options(1.0)).unwrap();
    assert!(
        fitted.converged && fitted.warnings.is_empty() && fitted.iterations < 8,
        "{fitted:?}"
    );
    let expected = [
        -0.4917277181859935,
        -0.024089548201089942,
        0.1075058914617575,
        1.602802653254485e-06,
        0.03662692397276492,
        0.7080151495107948,
    ];
    assert_close(&numbers(&fitted), &expected, 1e-9);
    assert_close(&[fitted.log_loss], &[0.5718707128410264], 1e-9);
    let mut standardized = options(1.0);
    standardized.standardize = true;
    let expected = [
        -0.5062716725639951,
        -0.02373831794135936,
        0.10644003737586728,
        1.5721967141782904e-06,
        0.05249453343878694,
        0.7425883123340401,
    ];
    let fitted = fit(&rows.features, &rows.bought, standardized.clone()).unwrap();
    assert_close(&numbers(&fitted), &expected, 1e-9);
    standardized.class_weights = ClassWeights::Balanced;
    let expected = [
        -0.7704129712544892,
        -0.023490581316537872,
        0.10609231353504976,
        1.3535187872214382e-06,
        0.06608598453674026,
        0.7529640099560512,
    ];
    let fitted = fit(&rows.features, &rows.bought, standardized).unwrap();
    assert_close(&numbers(&fitted), &expected, 1e-9);
}

/// A fit of who has bought, before the first sums.
fn start_of(rows: &Customers) -> LogisticFit {
    let mut moments = ClassMoments::new(2, 5);
    moments
        .add_columns(&slices(&rows.features), &rows.bought)
        .unwrap();
    let labels = ["no", "yes"].map(str::to_owned);
    LogisticFit::start(&moments, &names(5), &labels, options(1.0), None).unwrap()
}

#[test]
fn the_last_sums_are_made_without_second_derivatives() {
    let rows = customers(500);
    let mut fit = start_of(&rows);
    let mut lengths = Vec::new();
    loop {
        let point = fit.point().clone();
        let mut sums = LogisticSums::new(&point);
        sums.add_columns(&point, &slices(&rows.features), &rows.bought)
            .unwrap();
        lengths.push(sums.curvature.len());
        if let LogisticStep::Done(fitted) = fit.absorb(&sums).unwrap() {
            assert!(fitted.converged);
            break;
        }
    }
    let (last, others) = lengths.split_last().unwrap();
    assert_eq!(*last, 0);
    assert!(others.iter().all(|length| *length == 21), "{lengths:?}");
}

#[test]
fn sums_of_another_point_are_refused() {
    let mut fit = start_of(&customers(50));
    let mut without = fit.point().clone();
    without.curvature = false;
    let sums = LogisticSums::new(&without);
    assert!(fit.absorb(&sums).is_err());
    assert!(LogisticSums::new(fit.point()).merge(&sums).is_err());
}

#[test]
fn without_a_penalty_coefficients_are_those_of_statsmodels() {
    let rows = customers(500);
    let expected = [
        -0.5197964747602977,
        -0.024043518082358863,
        0.1078278843573973,
        1.6011410632191522e-06,
        0.05912501371916493,
        0.7561071340801305,
    ];
    assert_close(
        &numbers(&fit(&rows.features, &rows.bought, options(0.0)).unwrap()),
        &expected,
        1e-9,
    );
    let expected = [
        1.5950186134740267,
        0.015419923669583077,
        -0.11280674161512023,
        -2.8068758610232618e-05,
        -0.013098672410085879,
        -0.5605677946319688,
        0.25811243449555676,
        0.0025318568208928076,
        0.02010366759307579,
        3.0023968340932647e-06,
        -0.13950224509568612,
        -0.2524947198114109,
        -1.8531310479695833,
        -0.017951780490475883,
        0.09270307402204446,
        2.5066361776139347e-05,
        0.15260091750577198,
        0.8130625144433795,
    ];
    assert_close(
        &numbers(&fit(&rows.features, &rows.tier, options(0.0)).unwrap()),
        &expected,
        1e-9,
    );
}

#[test]
fn three_classes_are_those_of_scikit_learn() {
    let rows = customers(500);
    let expected = [
        1.5229979022462876,
        0.01481099433244656,
        -0.1089764344131992,
        -2.7085264751792876e-05,
        -0.0024354609559416956,
        -0.5365418867776042,
        0.27634989469859983,
        0.0027018943896409994,
        0.018693617457027568,
        2.6716380988727106e-06,
        -0.14138587658890978,
        -0.2576431789697475,
        -1.799347796944919,
        -0.01751288872208705,
        0.09028281695617248,
        2.4413626652920027e-05,
        0.14382133754486331,
        0.7941850657473545,
    ];
    let mut standardized = options(1.0);
    standardized.standardize = true;
    assert_close(
        &numbers(&fit(&rows.features, &rows.tier, standardized).unwrap()),
        &expected,
        1e-9,
    );
}

#[test]
fn a_warm_start_ends_at_the_same_optimum_sooner() {
    let before = customers(400);
    let after = customers(500);
    for (old, new) in [(&before.bought, &after.bought), (&before.tier, &after.tier)] {
        let first = fit(&before.features, old, options(0.1)).unwrap();
        let cold = fit(&after.features, new, options(0.1)).unwrap();
        let warm = fit_from(&after.features, new, options(0.1), Some(&first)).unwrap();
        assert_close(&numbers(&warm), &numbers(&cold), 1e-10);
        assert!(
            warm.iterations < cold.iterations,
            "{} {}",
            warm.iterations,
            cold.iterations
        );
    }
}

#[test]
fn badly_scaled_features_change_nothing() {
    let rows = customers(500);
    let plain = fit(&rows.features, &rows.bought, options(0.0)).unwrap();
    let mut moved = rows.features.clone();
    // Milliseconds since 1970, and billionths.
    moved[0].iter_mut().for_each(|value| *value += 1.7e12);
    moved[1].iter_mut().for_each(|value| *value *= 1e-9);
    let fitted = fit(&moved, &rows.bought, options(0.0)).unwrap();
    let (plain, fitted) = (numbers(&plain), numbers(&fitted));
    assert_close(&[fitted[1], fitted[2] * 1e-9, fitted[3]], &plain[1..4], 1e-9);
}

#[test]
fn dependent_and_constant_features_have_no_coefficient() {
    let rows = customers(500);
    let mut features = rows.features.clone();
    features.push(vec![3.0; 500]);
    features.push(
        rows.features[3]
            .iter()
            .zip(&rows.features[4])
            .map(|(a, b)| 1.0 - a - b)
            .collect(),
    );
    for label in [&rows.bought, &rows.tier] {
        let fitted = fit(&features, label, options(0.0)).unwrap();
        let plain = fit(&rows.features, label, options(0.0)).unwrap();
        for (with, without) in fitted.coefficients.iter().zip(&plain.coefficients) {
            assert_eq!(with[5..], [None, None]);
            let values =
                |values: &[Option<f64>]| values.iter().map(|value| value.unwrap()).collect::<Vec<_>>();
            assert_close(&values(&with[..5]), &values(without), 1e-8);
        }
        assert_eq!(
            fitted.warnings,
            [
                "'x5' is constant and has no coefficient",
                "'x6' follows from 'x3', 'x4' and has no coefficient"
            ]
        );
    }
    assert!(fit(&features, &rows.bought, options(1.0)).unwrap().coefficients[0][6].is_some());
}

#[test]
fn separable_classes_need_a_penalty() {
    let values: Vec<f64> = (0..40).map(f64::from).collect();
    let classes: Vec<f64> = (0..40).map(|row| f64::from(u8::from(row >= 20))).collect();
    let error = fit(std::slice::from_ref(&values), &classes, options(0.0)).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the greatest are those of 'x0' (set l2 above 0)"),
        "{error}"
    );
    let fitted = fit(std::slice::from_ref(&values), &classes, options(1.0)).unwrap();
    assert!(fitted.converged);
    // Only where x1 is 1 are all rows of one class.
    let rows = customers(500);
    let quasi = rows.bought.iter().zip(&rows.features[1]);
    let flag = quasi
        .map(|(bought, visits)| f64::from(u8::from(*bought == 1.0 && *visits == 3.0)))
        .collect();
    let error = fit(&[rows.features[0].clone(), flag], &rows.bought, options(0.0)).unwrap_err();
    assert!(
        error.to_string().contains("tells part of the rows apart"),
        "{error}"
    );
    assert!(error.to_string().contains("'x1'"), "{error}");
}

#[test]
fn one_class_and_no_rows_are_errors() {
    let error = fit(&[vec![1.0, 2.0]], &[1.0, 1.0], options(1.0)).unwrap_err();
    assert!(
        error.to_string().starts_with("all rows have the label 'class 1'"),
        "{error}"
    );
    let error = fit(&[vec![1.0, 2.0, 3.0]], &[0.0, 0.0, 2.0], options(1.0)).unwrap_err();
    assert!(
        error.to_string().starts_with("no row has the label 'class 1'"),
        "{error}"
    );
    let error = fit(&[vec![f64::NAN]], &[1.0], options(1.0)).unwrap_err();
    assert!(error.to_string().contains("1 rows have nulls"), "{error}");
}

#[test]
fn an_unfinished_fit_says_so() {
    let rows = customers(500);
    let mut few = options(1.0);
    few.max_iterations = 1;
    let fitted = fit(&rows.features, &rows.bought, few).unwrap();
    assert!(
        !fitted.converged && fitted.warnings[0].starts_with("not converged in 1 steps"),
        "{fitted:?}"
    );
}

#[test]
fn two_hundred_features_are_few() {
    let mut random = crate::random::Random::new(5);
    let columns: Vec<Vec<f64>> = (0..200)
        .map(|_| (0..600).map(|_| random.normal()).collect())
        .collect();
    let classes: Vec<f64> = (0..600)
        .map(|row| f64::from(u8::from(columns[0][row] + random.normal() > 0.0)))
        .collect();
    let fitted = fit(&columns, &classes, options(10.0)).unwrap();
    assert!(fitted.converged && fitted.gradient < 1e-9, "{}", fitted.gradient);
}

proptest! {
    #[test]
    fn damaged_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 2..300), kind in prop::bool::ANY) {
        (bytes[0], bytes[1]) = (if kind { b'L' } else { b'P' }, 1);
        let _ = LogisticSums::from_bytes(&bytes);
        let _ = LogisticPoint::from_bytes(&bytes);
    }
}
