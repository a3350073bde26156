//! Formulas give what scikit-learn's `predict` and `predict_proba` give; `fixtures.py` made the numbers.

use super::evaluator::{Value, evaluate};
use crate::design::{Design, Feature, FeatureKind, FirstCategory};
use crate::fitted::{FittedModel, Parameters};
use crate::kmeans::{Centroids, KMeans};
use crate::label::Label;
use crate::linear::{Estimate, Linear};
use crate::logistic::{Classifier, Logistic};
use crate::naive_bayes::GaussianNb;
use crate::samples::{assert_close, customers, slices};
use crate::scores::{ClassMetrics, ClassScores};
use crate::sql;

const NAMES: [&str; 3] = ["age", "visits", "income"];

/// Age, visits, income, and the region as a text, whose categories are 1 and 2.
fn design() -> Design {
    let mut features: Vec<Feature> = NAMES
        .iter()
        .map(|name| Feature {
            name: (*name).to_owned(),
            kind: FeatureKind::Number,
        })
        .collect();
    features.push(Feature {
        name: "re\"gion".to_owned(),
        kind: FeatureKind::Text {
            categories: vec!["1".to_owned(), "2".to_owned()],
            reference: None,
        },
    });
    Design::new(features, FirstCategory::Kept).unwrap()
}

fn row(place: usize) -> Vec<(&'static str, Value)> {
    let features = customers(place + 1).features;
    let region = features[3][place] + 2.0 * features[4][place];
    let mut row: Vec<_> = NAMES
        .iter()
        .zip(&features)
        .map(|(name, column)| (*name, Value::Number(column[place])))
        .collect();
    row.push(("re\"gion", Value::Text(region.to_string())));
    row
}

fn model(labels: Vec<Label>, parameters: Parameters) -> FittedModel {
    let model = FittedModel::new(design(), labels, parameters).unwrap();
    let read = FittedModel::from_json(&model.to_json().unwrap()).unwrap();
    assert_eq!(read, model);
    read
}

fn linear(intercept: f64, values: &[f64]) -> Linear {
    let estimate = |value: f64| {
        Some(Estimate {
            value,
            standard_error: None,
            t: None,
            p: None,
        })
    };
    Linear {
        intercept: estimate(intercept),
        coefficients: values.iter().map(|value| estimate(*value)).collect(),
        rows: 10,
        degrees_of_freedom: 4,
        r2: Some(0.5),
        adjusted_r2: None,
        residual_variance: None,
        rmse: 1.0,
        condition_number: 1.0,
        warnings: Vec::new(),
    }
}

fn logistic(vectors: &[&[f64]]) -> Parameters {
    Parameters::LogisticRegression(Logistic {
        intercepts: vectors.iter().map(|vector| vector[0]).collect(),
        coefficients: vectors
            .iter()
            .map(|vector| vector[1..].iter().map(|value| Some(*value)).collect())
            .collect(),
        rows: 500,
        log_loss: 0.5,
        iterations: 5,
        converged: true,
        gradient: 0.0,
        warnings: Vec::new(),
    })
}

#[test]
fn a_linear_regression_is_a_sum() {
    let model = model(
        Vec::new(),
        Parameters::LinearRegression(linear(1.5, &[2.0, 0.0, 0.25, -3.0, 0.0])),
    );
    let sql = model.predict(&sql::ident);
    assert!(
        sql.ends_with(
            "THEN 1.5 + 2.0 * CAST(\"age\" AS DOUBLE) + 0.25 * CAST(\"income\" AS DOUBLE) + \
             CASE \"re\"\"gion\" WHEN '1' THEN (-3.0) ELSE 0.0 END END"
        ),
        "{sql}"
    );
    let mut row = vec![
        ("age", Value::Number(30.0)),
        ("visits", Value::Number(1.0)),
        ("income", Value::Number(8.0)),
        ("re\"gion", Value::Text("1".to_owned())),
    ];
    assert_eq!(evaluate(&sql, &row), Value::Number(60.5));
    row[3].1 = Value::Text("not seen".to_owned());
    assert_eq!(evaluate(&sql, &row), Value::Number(63.5));
    for (place, value) in [
        (0, Value::Null),
        (1, Value::Number(f64::NAN)),
        (2, Value::Number(f64::NEG_INFINITY)),
        (3, Value::Null),
    ] {
        let mut row = row.clone();
        row[place].1 = value;
        assert_eq!(evaluate(&sql, &row), Value::Null);
    }
    assert!(model.predict_class(&sql::ident).is_err() && model.distance(&sql::ident).is_err());
}

const BINARY: &[f64] = &[
    -0.4917277181859935,
    -0.024089548201089942,
    0.1075058914617575,
    1.602802653254485e-06,
    0.03662692397276492,
    0.7080151495107948,
];

#[test]
fn binary_probabilities_are_those_of_scikit_learn() {
    let labels = vec![Label::Boolean(false), Label::Boolean(true)];
    let model = model(labels, logistic(&[BINARY]));
    let sql = model.predict_proba(Some("true"), &sql::ident).unwrap();
    let found: Vec<f64> = (0..3).map(|place| evaluate(&sql, &row(place)).number()).collect();
    assert_close(
        &found,
        &[0.2792728637062088, 0.3448931770653012, 0.1743493392340984],
        1e-13,
    );
    let both = evaluate(&model.predict_proba(None, &sql::ident).unwrap(), &row(0));
    let Value::Struct(fields) = both else { panic!() };
    assert_eq!(fields[0].0, "false");
    assert!((fields[0].1.number() + found[0] - 1.0).abs() < 1e-15);
    assert_eq!(
        evaluate(&model.predict(&sql::ident), &row(0)),
        Value::Boolean(false)
    );
    let error = model.predict_proba(Some("ture"), &sql::ident).unwrap_err(); // misspelt
    assert!(error.to_string().ends_with("(did you mean 'true'?)"), "{error}");
}

#[test]
fn extreme_scores_are_certain() {
    let labels = vec![Label::Integer(0), Label::Integer(1)];
    let model = model(labels, logistic(&[&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]]));
    let sql = model.predict_proba(Some("1"), &sql::ident).unwrap();
    for (age, expected) in [(1e4, 1.0), (-1e4, 0.0), (-700.0, 9.85967654375977e-305)] {
        let mut row = row(0);
        row[0].1 = Value::Number(age);
        assert_close(&[evaluate(&sql, &row).number()], &[expected], 1e-13);
    }
}

#[test]
fn softmax_is_that_of_scikit_learn() {
    let vectors: [&[f64]; 3] = [
        &[
            1.5229979022462876,
            0.01481099433244656,
            -0.1089764344131992,
            -2.7085264751792876e-05,
            -0.0024354609559416956,
            -0.5365418867776042,
        ],
        &[
            0.27634989469859983,
            0.0027018943896409994,
            0.018693617457027568,
            2.6716380988727106e-06,
            -0.14138587658890978,
            -0.2576431789697475,
        ],
        &[
            -1.799347796944919,
            -0.01751288872208705,
            0.09028281695617248,
            2.4413626652920027e-05,
            0.14382133754486331,
            0.7941850657473545,
        ],
    ];
    let labels = ["a", "b's", "c"]
        .map(|label| Label::Text(label.to_owned()))
        .to_vec();
    let model = model(labels, logistic(&vectors));
    let Value::Struct(fields) = evaluate(&model.predict_proba(None, &sql::ident).unwrap(), &row(0)) else {
        panic!()
    };
    let found: Vec<f64> = fields.iter().map(|field| field.1.number()).collect();
    assert_close(
        &found,
        &[0.2814751949533096, 0.597198536997421, 0.12132626804926956],
        1e-12,
    );
    assert_eq!(
        evaluate(&model.predict(&sql::ident), &row(0)),
        Value::Text("b's".to_owned())
    );
    assert_eq!(model.coefficients().len(), 18);
}

#[test]
fn naive_bayes_is_that_of_scikit_learn() {
    let rows = customers(500);
    let mut moments = crate::ClassMoments::new(3, 5);
    moments
        .add_columns(&crate::samples::slices(&rows.features), &rows.tier)
        .unwrap();
    let labels: Vec<Label> = (0..3).map(Label::Integer).collect();
    let bayes = GaussianNb::fit(&moments, &crate::samples::names(3)).unwrap();
    let model = model(labels, Parameters::GaussianNb(bayes));
    let sql = model.predict_proba(None, &sql::ident).unwrap();
    let probabilities = |place| match evaluate(&sql, &row(place)) {
        Value::Struct(fields) => fields.iter().map(|field| field.1.number()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let expected = [
        [0.2682087743298203, 0.5241090489142805, 0.2076821767558985],
        [0.31427516231755437, 0.48541391864206135, 0.20031091904038498],
    ];
    assert_close(&probabilities(0), &expected[0], 1e-10);
    assert_close(&probabilities(1), &expected[1], 1e-10);
    let sql = model.predict(&sql::ident);
    let classes: Vec<f64> = (0..12)
        .map(|place| evaluate(&sql, &row(place)).number())
        .collect();
    assert_eq!(classes, [1., 1., 1., 2., 2., 2., 0., 2., 1., 2., 2., 2.]);
}

#[test]
fn the_nearest_centroid_is_that_of_scikit_learn() {
    let centroids = Centroids {
        divisors: vec![1.0; 5],
        centroids: vec![
            vec![
                42.7906976744186,
                14.215116279069766,
                45342.77906976742,
                0.36046511627906974,
                0.27906976744186046,
            ],
            vec![
                46.59322033898305,
                15.163841807909604,
                71426.77401129944,
                0.31638418079096037,
                0.3220338983050847,
            ],
            vec![
                51.48344370860927,
                15.51655629139073,
                98117.15231788077,
                0.3642384105960264,
                0.2847682119205298,
            ],
        ],
    };
    let kmeans = KMeans {
        centroids: centroids.clone(),
        counts: vec![172, 177, 151],
        inertia: 1.0,
        iterations: 8,
        converged: true,
        warnings: Vec::new(),
    };
    let model = model(Vec::new(), Parameters::Kmeans(kmeans));
    let sql = model.predict(&sql::ident);
    let numbers: Vec<f64> = (0..8).map(|place| evaluate(&sql, &row(place)).number()).collect();
    assert_eq!(numbers, [0., 1., 1., 1., 0., 1., 0., 1.]);
    let features = customers(1).features.concat();
    let away = features
        .iter()
        .zip(&centroids.centroids[0])
        .map(|(a, b)| (a - b).powi(2));
    let expected = away.sum::<f64>().sqrt();
    let distance = evaluate(&model.distance(&sql::ident).unwrap(), &row(0)).number();
    assert_close(&[distance], &[expected], 1e-13);
}

#[test]
fn two_hundred_features_are_not_too_deep() {
    let names: Vec<String> = (0..200).map(|place| format!("x{place}")).collect();
    let feature = |name: &String| Feature {
        name: name.clone(),
        kind: FeatureKind::Number,
    };
    let design = Design::new(names.iter().map(feature).collect(), FirstCategory::Kept).unwrap();
    let values: Vec<f64> = (0..200).map(|place| f64::from(place) - 99.0).collect();
    let model = FittedModel::new(
        design,
        Vec::new(),
        Parameters::LinearRegression(linear(7.0, &values)),
    )
    .unwrap();
    let row: Vec<(&str, Value)> = names
        .iter()
        .map(|name| (name.as_str(), Value::Number(2.0)))
        .collect();
    assert_eq!(evaluate(&model.predict(&sql::ident), &row), Value::Number(207.0));
}

#[test]
fn a_model_of_other_columns_is_refused() {
    let few = Parameters::LinearRegression(linear(0.0, &[1.0]));
    assert!(FittedModel::new(design(), Vec::new(), few.clone()).is_err());
    let model = FittedModel::new(
        Design::new(design().features()[..1].to_vec(), FirstCategory::Kept).unwrap(),
        Vec::new(),
        few,
    );
    let json = model.unwrap().to_json().unwrap();
    assert!(
        FittedModel::from_json(&json.replace("age\"", "age\",\"kind\":\"number\"},{\"name\":\"b\"")).is_err()
    );
    assert!(FittedModel::from_json("{}").is_err());
}

/// Scores of customers as formulas of probabilities say.
fn scores_of_formulas(model: &FittedModel, classes: &[f64]) -> ClassMetrics {
    let mut scores = ClassScores::new(model.labels().len());
    for (place, class) in classes.iter().enumerate() {
        let probability = |label: &Label| {
            let sql = model
                .predict_proba(Some(&label.to_string()), &sql::ident)
                .unwrap();
            vec![evaluate(&sql, &row(place)).number()]
        };
        let probabilities: Vec<Vec<f64>> = model.labels().iter().map(probability).collect();
        let columns: Vec<&[f64]> = probabilities.iter().map(Vec::as_slice).collect();
        scores.add_columns(&[*class], &columns).unwrap();
    }
    scores.metrics()
}

#[test]
fn a_classifier_says_what_formulas_say() {
    let two: &[&[f64]] = &[&[-0.5, -0.02, 0.1, 1e-6, 0.04, 0.7]];
    let three: &[&[f64]] = &[
        &[1.5, 0.01, -0.1, -4e-5, 0.0, -0.4],
        &[0.5, 0.0, 0.0, 1e-6, 0.1, 0.1],
        &[-2.0, -0.01, 0.1, 4e-5, -0.1, 0.3],
    ];
    let customers = customers(300);
    for (vectors, classes) in [(two, &customers.bought), (three, &customers.tier)] {
        let count = vectors.len().max(2) as i64;
        let model = model((0..count).map(Label::Integer).collect(), logistic(vectors));
        let Parameters::LogisticRegression(fitted) = model.parameters() else {
            panic!("it is a logistic regression");
        };
        let bytes = Classifier::from(fitted).to_bytes();
        assert!((0..bytes.len()).all(|end| Classifier::from_bytes(&bytes[..end]).is_err()));
        let classifier = Classifier::from_bytes(&bytes).unwrap();
        let mut scores = ClassScores::new(classifier.classes());
        let mut columns = customers.features.clone();
        let mut numbers = classes.clone();
        // Neither of these counts.
        for column in &mut columns {
            column.extend([f64::NAN, 1.0]);
        }
        numbers.extend([0.0, f64::NAN]);
        classifier
            .score(&mut scores, &slices(&columns), &numbers)
            .unwrap();
        let (found, expected) = (scores.metrics(), scores_of_formulas(&model, classes));
        for class in 0..classifier.classes() {
            for taken_for in 0..classifier.classes() {
                assert_eq!(found.rows(class, taken_for), expected.rows(class, taken_for));
            }
        }
        assert_close(&[found.log_loss.unwrap()], &[expected.log_loss.unwrap()], 1e-13);
        assert_eq!(found.area, expected.area);
        assert!(
            classifier
                .score(&mut scores, &slices(&columns[1..]), &numbers)
                .is_err()
        );
    }
}
