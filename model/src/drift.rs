//! How far sums that were kept up to date by changes are from those of the rows themselves.

use crate::class_moments::ClassMoments;
use crate::moments::Moments;

impl Moments {
    /// The greatest difference of a mean, in deviations, or of a covariance, in products of deviations. Infinite if even
    /// the rows are not as many.
    pub fn drift_from(&self, other: &Self) -> f64 {
        if self.count() != other.count() || self.columns() != other.columns() {
            return f64::INFINITY;
        }
        let unit = |column: usize| other.scale(column).divisor();
        let mut drift: f64 = 0.0;
        for i in 0..self.columns() {
            drift = drift.max((self.mean(i) - other.mean(i)).abs() / unit(i));
            for j in i..self.columns() {
                let difference = (self.comoment(i, j) - other.comoment(i, j)).abs();
                drift = drift.max(difference / (unit(i) * unit(j)) / self.count().max(1) as f64);
            }
        }
        // Without rows there is no mean, and `max` passes over what is none.
        drift
    }
}

impl ClassMoments {
    /// The same of means and variances in classes.
    pub fn drift_from(&self, other: &Self) -> f64 {
        let counts = |moments: &Self| -> Vec<u64> {
            (0..moments.classes())
                .map(|class| moments.class_count(class))
                .collect()
        };
        if counts(self) != counts(other) || self.columns() != other.columns() {
            return f64::INFINITY;
        }
        let mut drift: f64 = 0.0;
        for column in 0..self.columns() {
            let unit = other.scale(column).divisor();
            for class in 0..self.classes() {
                let mean = self.mean(class, column) - other.mean(class, column);
                let variance = self.variance(class, column) - other.variance(class, column);
                drift = drift.max(mean.abs() / unit).max(variance.abs() / (unit * unit));
            }
        }
        drift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f64]) -> Moments {
        let mut moments = Moments::new(2);
        for value in values {
            moments.add(&[*value, 3.0 - value]).unwrap();
        }
        moments
    }

    #[test]
    fn what_was_added_and_taken_away_is_not_far() {
        let mut kept = moments(&[1e9, 1.0, 2.0, 3.5]);
        let fresh = moments(&[1.0, 2.0, 3.5]);
        assert_eq!(kept.drift_from(&fresh), f64::INFINITY);
        kept.subtract(&[1e9, 3.0 - 1e9]).unwrap();
        assert!(kept.drift_from(&fresh) < 1e-9, "{}", kept.drift_from(&fresh));
        assert!(moments(&[1.0, 2.0, 3.6]).drift_from(&fresh) > 1e-2);
        assert_eq!(Moments::new(2).drift_from(&Moments::new(2)), 0.0);
    }

    #[test]
    fn classes_differ_by_their_own_rows() {
        let classes = |rows: &[(f64, f64)]| {
            let mut moments = ClassMoments::new(2, 1);
            for (value, class) in rows {
                moments.add(&[*value], *class).unwrap();
            }
            moments
        };
        let fresh = classes(&[(1.0, 0.0), (2.0, 1.0), (4.0, 1.0)]);
        assert_eq!(fresh.drift_from(&fresh.clone()), 0.0);
        assert!(classes(&[(1.0, 0.0), (2.0, 1.0), (4.5, 1.0)]).drift_from(&fresh) > 1e-2);
        assert_eq!(
            classes(&[(1.0, 1.0), (2.0, 1.0), (4.0, 1.0)]).drift_from(&fresh),
            f64::INFINITY
        );
        assert_eq!(ClassMoments::new(2, 1).drift_from(&ClassMoments::new(2, 1)), 0.0);
    }
}
