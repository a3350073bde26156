//! Gaussian naive Bayes from [`ClassMoments`], as scikit-learn's `GaussianNB`.

use serde::{Deserialize, Serialize};

use crate::class_moments::ClassMoments;
use crate::error::Error;
use crate::linear::no_rows;

/// Part of the greatest variance of any feature that is added to all variances: `var_smoothing` of scikit-learn.
const SMOOTHING: f64 = 1e-9;

/// A fitted Gaussian naive Bayes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GaussianNb {
    /// Of each class: its share of rows; 0 for a class without rows, which is never predicted.
    pub priors: Vec<f64>,
    /// Of each class, of each feature, in its unit.
    pub means: Vec<Vec<f64>>,
    /// Of each class, of each feature: of all rows of the class (divided by their number), smoothed; above 0.
    pub variances: Vec<Vec<f64>>,
    /// Rows of each class.
    pub counts: Vec<u64>,
    /// What whoever uses it should know.
    pub warnings: Vec<String>,
}

impl GaussianNb {
    /// Fits. `labels` are names of the classes. Errors: there are no rows; all features are constant.
    pub fn fit(moments: &ClassMoments, labels: &[String]) -> Result<Self, Error> {
        if moments.count() == 0 || labels.len() != moments.classes() {
            return Err(no_rows(moments.left_out()));
        }
        let (classes, columns) = (0..moments.classes(), 0..moments.columns());
        let spread = columns
            .clone()
            .map(|column| moments.scale(column).deviation.powi(2));
        let smoothing = SMOOTHING * spread.fold(0.0, f64::max);
        if smoothing <= 0.0 || !smoothing.is_finite() {
            return Err(Error::data("every feature is constant").hint("naive Bayes needs one that varies"));
        }
        let counts: Vec<u64> = classes.clone().map(|class| moments.class_count(class)).collect();
        let present: Vec<usize> = classes.clone().filter(|class| counts[*class] > 0).collect();
        let warnings = match present[..] {
            [only] => vec![format!("all rows have the label '{}'", labels[only])],
            _ => Vec::new(),
        };
        let of_all = |value: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
            let of_class = |class| columns.clone().map(|column| value(class, column)).collect();
            classes.clone().map(of_class).collect()
        };
        Ok(Self {
            priors: counts
                .iter()
                .map(|count| *count as f64 / moments.count() as f64)
                .collect(),
            means: of_all(&|class, column| moments.mean(class, column)),
            variances: of_all(&|class, column| moments.variance(class, column) + smoothing),
            counts,
            warnings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{assert_close, customers, names, slices};

    /// The numbers are of `fixtures.py`.
    #[test]
    fn priors_means_and_variances_are_those_of_scikit_learn() {
        let rows = customers(500);
        let mut moments = ClassMoments::new(3, 5);
        moments.add_columns(&slices(&rows.features), &rows.tier).unwrap();
        let bayes = GaussianNb::fit(&moments, &names(3)).unwrap();
        assert_close(&bayes.priors, &[0.114, 0.42, 0.466], 1e-15);
        let expected = [
            48.423809523809524,
            13.752380952380953,
            68228.68095238095,
            0.35714285714285715,
            0.22380952380952382,
        ];
        assert_close(&bayes.means[1], &expected, 1e-14);
        let expected = [
            298.3762070808033,
            73.52783973386465,
            460581892.99688727,
            0.7330324776288175,
            0.6771594617558023,
        ];
        assert_close(&bayes.variances[1], &expected, 1e-12);
    }

    #[test]
    fn what_cannot_be_told_apart_is_an_error_or_a_warning() {
        let labels = names(2);
        let mut moments = ClassMoments::new(2, 1);
        assert!(GaussianNb::fit(&moments, &labels).is_err());
        moments.add_columns(&[&[5.0, 5.0]], &[0.0, 1.0]).unwrap();
        let error = GaussianNb::fit(&moments, &labels).unwrap_err();
        assert!(
            error.to_string().starts_with("every feature is constant"),
            "{error}"
        );
        moments.add(&[6.0], 0.0).unwrap();
        moments.subtract(&[5.0], 1.0).unwrap();
        let bayes = GaussianNb::fit(&moments, &labels).unwrap();
        assert_eq!(bayes.warnings, ["all rows have the label 'x0'"]);
        assert_eq!(bayes.priors, [1.0, 0.0]);
    }
}
