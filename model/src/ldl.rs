//! Factors of symmetric matrices that may be singular: `A = L D Lᵀ`, where a row that follows from those before it is left
//! out.
//!
//! Rows are taken in their order, and one is left out if next to nothing of it remains without those that were kept. So
//! which column of several dependent ones has no coefficient does not depend on rounding, and it is the last of them, as in
//! R's `lm`. Pivoting by size would tell the rank more surely (Higham, "Accuracy and stability of numerical algorithms",
//! 2002, section 10.3), but name other columns after every change of the rows; twice the digits make up for it.
//!
//! Neither nalgebra nor a build of faer that takes less than minutes has this factor, or numbers of twice the digits.

use std::ops::{Add, Div, Mul, Sub};

use crate::twofold::Twofold;

/// What matrices are made of.
pub(crate) trait Number:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + From<f64>
    + Into<f64>
{
    fn dot(a: &[Self], b: &[Self]) -> Self;
}

impl Number for f64 {
    fn dot(a: &[Self], b: &[Self]) -> Self {
        let mut sums = [0.0; 8];
        let (a, b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
        for (a, b) in a.0.iter().zip(b.0) {
            for lane in 0..8 {
                sums[lane] += a[lane] * b[lane];
            }
        }
        let rest: f64 = a.1.iter().zip(b.1).map(|(a, b)| a * b).sum();
        sums.iter().sum::<f64>() + rest
    }
}

impl Number for Twofold {
    fn dot(a: &[Self], b: &[Self]) -> Self {
        a.iter().zip(b).fold(Self::ZERO, |sum, (a, b)| sum + *a * *b)
    }
}

/// A symmetric matrix.
#[derive(Debug, Clone)]
pub(crate) struct Symmetric<T> {
    size: usize,
    /// The lower triangle, row by row.
    values: Vec<T>,
}

fn start(row: usize) -> usize {
    row * (row + 1) / 2
}

impl<T: Number> Symmetric<T> {
    /// By row and column, which is at most the row.
    pub(crate) fn new(size: usize, value: impl Fn(usize, usize) -> T) -> Self {
        let value = &value;
        let values = (0..size)
            .flat_map(|row| (0..=row).map(move |column| value(row, column)))
            .collect();
        Self { size, values }
    }

    pub(crate) fn at(&self, i: usize, j: usize) -> T {
        self.values[start(i.max(j)) + i.min(j)]
    }

    pub(crate) fn times(&self, vector: &[T]) -> Vec<T> {
        (0..self.size)
            .map(|i| (0..self.size).fold(T::from(0.0), |sum, j| sum + self.at(i, j) * vector[j]))
            .collect()
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Ldl<T> {
    /// The rows of the matrix that were kept.
    pub(crate) kept: Vec<usize>,
    /// Rows that follow from kept ones, and with what factor from which.
    pub(crate) dependent: Vec<(usize, Vec<(usize, f64)>)>,
    /// The lower triangle without the diagonal, which is 1.
    lower: Vec<Vec<T>>,
    diagonal: Vec<T>,
}

impl<T: Number> Ldl<T> {
    /// Of a positive semi-definite matrix with ones on the diagonal, or a bit more. A row of which no more than `tolerance`
    /// remains is left out.
    pub(crate) fn new(matrix: &Symmetric<T>, tolerance: f64) -> Self {
        let mut ldl = Self {
            kept: Vec::with_capacity(matrix.size),
            dependent: Vec::new(),
            lower: Vec::with_capacity(matrix.size),
            diagonal: Vec::with_capacity(matrix.size),
        };
        for row in 0..matrix.size {
            // The row of L, times D.
            let mut scaled: Vec<T> = Vec::with_capacity(ldl.kept.len());
            for (lower, column) in ldl.lower.iter().zip(&ldl.kept) {
                let known = T::dot(&scaled, lower);
                scaled.push(matrix.at(row, *column) - known);
            }
            let lower: Vec<T> = scaled.iter().zip(&ldl.diagonal).map(|(a, d)| *a / *d).collect();
            let rest = matrix.at(row, row) - T::dot(&scaled, &lower);
            if rest.into() > tolerance {
                ldl.kept.push(row);
                ldl.lower.push(lower);
                ldl.diagonal.push(rest);
            } else {
                let factors = ldl.back(lower).into_iter().map(T::into);
                ldl.dependent
                    .push((row, ldl.kept.iter().copied().zip(factors).collect()));
            }
        }
        ldl
    }

    /// `L⁻¹ v` of kept rows.
    pub(crate) fn forward(&self, vector: &[T]) -> Vec<T> {
        let mut solved: Vec<T> = Vec::with_capacity(self.kept.len());
        for (lower, row) in self.lower.iter().zip(&self.kept) {
            let known = T::dot(&solved, lower);
            solved.push(vector[*row] - known);
        }
        solved
    }

    /// `vᵀ A⁻¹ v`.
    pub(crate) fn quadratic(&self, vector: &[T]) -> T {
        let forward = self.forward(vector);
        let scaled: Vec<T> = self.over_diagonal(&forward);
        T::dot(&forward, &scaled)
    }

    /// `A⁻¹ v`, with 0 for rows left out. `v` has all rows.
    pub(crate) fn solve(&self, vector: &[T]) -> Vec<T> {
        let scaled = self.over_diagonal(&self.forward(vector));
        let mut all = vec![T::from(0.0); vector.len()];
        for (row, value) in self.kept.iter().zip(self.back(scaled)) {
            all[*row] = value;
        }
        all
    }

    fn over_diagonal(&self, vector: &[T]) -> Vec<T> {
        vector.iter().zip(&self.diagonal).map(|(v, d)| *v / *d).collect()
    }

    /// `L⁻ᵀ v`.
    fn back(&self, mut vector: Vec<T>) -> Vec<T> {
        for row in (0..vector.len()).rev() {
            let value = vector[row];
            for (column, factor) in self.lower[row].iter().enumerate() {
                vector[column] = vector[column] - *factor * value;
            }
        }
        vector
    }

    /// The condition number of the kept rows in the 2-norm: greatest over least eigenvalue, by power iteration, to about
    /// three digits.
    pub(crate) fn condition(&self, matrix: &Symmetric<T>) -> f64 {
        let greatest = greatest_eigenvalue(self.kept.len(), |vector| {
            let times = matrix.times(&self.spread(vector, matrix.size));
            self.kept.iter().map(|row| times[*row].into()).collect()
        });
        let inverse = greatest_eigenvalue(self.kept.len(), |vector| {
            let solved = self.solve(&self.spread(vector, matrix.size));
            self.kept.iter().map(|row| solved[*row].into()).collect()
        });
        greatest * inverse
    }

    fn spread(&self, vector: &[f64], size: usize) -> Vec<T> {
        let mut all = vec![T::from(0.0); size];
        for (row, value) in self.kept.iter().zip(vector) {
            all[*row] = T::from(*value);
        }
        all
    }
}

/// Of a positive definite matrix that multiplies.
fn greatest_eigenvalue(size: usize, times: impl Fn(&[f64]) -> Vec<f64>) -> f64 {
    // A start that is unlikely to lie across the vector that is looked for.
    let mut vector: Vec<f64> = (0..size)
        .map(|place| 1.0 + ((place * 7919) % 97) as f64 / 97.0)
        .collect();
    let mut eigenvalue = 0.0;
    for _ in 0..200 {
        let norm = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|value| *value /= norm);
        let next = times(&vector);
        let before = eigenvalue;
        eigenvalue = f64::dot(&vector, &next);
        vector = next;
        if (eigenvalue - before).abs() <= 1e-6 * eigenvalue {
            break;
        }
    }
    eigenvalue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_follows_from_others_is_left_out_and_explained() {
        // Columns a, b and c = a - 2b, of norms 1.
        let (a, b) = ([0.6, 0.8, 0.0], [0.0, 0.6, 0.8]);
        let c = [0.6 - 0.0, 0.8 - 1.2, -1.6];
        let norm = f64::dot(&c, &c).sqrt();
        let columns = [a, b, c.map(|value| value / norm)];
        let matrix = Symmetric::new(3, |i, j| f64::dot(&columns[i], &columns[j]));
        let ldl = Ldl::new(&matrix, 1e-12);
        assert_eq!(ldl.kept, [0, 1]);
        let (row, factors) = &ldl.dependent[0];
        assert_eq!(*row, 2);
        assert!((factors[0].1 - 1.0 / norm).abs() < 1e-12 && (factors[1].1 + 2.0 / norm).abs() < 1e-12);
        let solved = ldl.solve(&matrix.times(&[2.0, -1.0, 0.0]));
        assert!((solved[0] - 2.0).abs() < 1e-12 && (solved[1] + 1.0).abs() < 1e-12 && solved[2] == 0.0);
    }

    #[test]
    fn the_condition_of_a_hilbert_matrix_is_seen_in_twice_the_digits() {
        let one = Twofold::from(1.0);
        let matrix = Symmetric::new(8, |i, j| one / Twofold::from((i + j + 1) as f64));
        let ldl = Ldl::new(&matrix, 0.0);
        // numpy.linalg.cond(scipy.linalg.hilbert(8))
        let condition = ldl.condition(&matrix);
        assert!((condition / 15_257_575_538.06 - 1.0).abs() < 1e-4, "{condition}");
        let solved = ldl.solve(&matrix.times(&[one; 8]));
        assert!(solved.iter().all(|value| (value.value() - 1.0).abs() < 1e-15));
    }
}
