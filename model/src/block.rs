//! Some hundred rows at a time, column by column, without those that no model can use.
//!
//! This is the one place that decides which rows count: a row in which any number is NaN (the caller's form of NULL),
//! infinite or beyond [`LARGEST`] is left out, and counted.

use multiversion::multiversion;

/// Greatest magnitude of a number that is used, so that sums of squares over any table stay finite.
pub const LARGEST: f64 = 1e140;

/// Whether numbers can be used, beside what was known of their rows: what cannot is marked.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn keep_usable(numbers: &[f64], usable: &mut [bool]) {
    for (usable, number) in usable.iter_mut().zip(numbers) {
        *usable &= number.abs() <= LARGEST;
    }
}

/// Rows of a block. Two columns of it fit into the fastest cache many times.
pub(crate) const ROWS: usize = 256;
/// Rows that are looked at before their blocks are taken: column by column, as memory is read fastest.
const AHEAD: usize = 8 * ROWS;
/// Numbers that are dealt with at once: so many that no instruction waits for the one before it.
const LANES: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Block {
    /// [`ROWS`] for each column; 0 after the last row.
    values: Vec<f64>,
    /// Usable rows.
    pub(crate) rows: usize,
    /// Rows left out.
    pub(crate) left_out: usize,
    usable: [bool; ROWS],
    /// The row up to which has been looked, and whether every row there can be used.
    ahead: usize,
    is_each_usable: bool,
}

impl Block {
    pub(crate) fn new(columns: usize) -> Self {
        Self {
            values: vec![0.0; columns * ROWS],
            rows: 0,
            left_out: 0,
            usable: [true; ROWS],
            ahead: 0,
            is_each_usable: true,
        }
    }

    /// A column, with zeros after the last row.
    #[inline(always)]
    pub(crate) fn column(&self, column: usize) -> &[f64; ROWS] {
        let (columns, _) = self.values.as_chunks::<ROWS>();
        &columns[column]
    }

    #[inline(always)]
    pub(crate) fn column_mut(&mut self, column: usize) -> &mut [f64; ROWS] {
        let (columns, _) = self.values.as_chunks_mut::<ROWS>();
        &mut columns[column]
    }

    /// Takes in the rows from `start` on, at most [`ROWS`]. All columns are equally long, and are taken from the first row on.
    #[inline(always)]
    pub(crate) fn load(&mut self, columns: &[&[f64]], start: usize) {
        if start == 0 || start >= self.ahead {
            self.look_ahead(columns, start);
        }
        let rows = columns.first().map_or(0, |column| column.len() - start).min(ROWS);
        for (place, column) in columns.iter().enumerate() {
            let to = self.column_mut(place);
            to[..rows].copy_from_slice(&column[start..start + rows]);
            to[rows..].fill(0.0);
        }
        self.rows = rows;
        self.left_out = 0;
        if !self.is_each_usable {
            self.leave_out(columns.len());
        }
    }

    /// The sum of a number and of the columns times numbers, for each row.
    #[inline(always)]
    pub(crate) fn weighted(&self, vector: &[f64]) -> [f64; ROWS] {
        let mut sums = [vector[0]; ROWS];
        for (column, factor) in vector[1..].iter().enumerate() {
            for (sum, value) in sums.iter_mut().zip(self.column(column)) {
                *sum += value * factor;
            }
        }
        sums
    }

    #[inline(always)]
    fn look_ahead(&mut self, columns: &[&[f64]], start: usize) {
        self.ahead = start + AHEAD;
        self.is_each_usable = true;
        for column in columns {
            let rows = &column[start..column.len().min(start + AHEAD)];
            let is_usable = |all, value: &f64| all & (value.abs() <= LARGEST);
            self.is_each_usable &= rows.iter().fold(true, is_usable);
        }
    }

    #[cold]
    fn leave_out(&mut self, columns: usize) {
        self.usable = [true; ROWS];
        let (all, _) = self.values.as_chunks_mut::<ROWS>();
        for column in all.iter().take(columns) {
            for (usable, value) in self.usable.iter_mut().zip(column) {
                *usable &= value.abs() <= LARGEST;
            }
        }
        let mut kept = 0;
        for row in 0..self.rows {
            if self.usable[row] {
                for column in all.iter_mut().take(columns) {
                    column[kept] = column[row];
                }
                kept += 1;
            }
        }
        for column in all.iter_mut().take(columns) {
            column[kept..].fill(0.0);
        }
        self.left_out = self.rows - kept;
        self.rows = kept;
    }
}

/// The greatest magnitude in a column of a block.
#[inline(always)]
pub(crate) fn greatest(column: &[f64; ROWS]) -> f64 {
    let mut greatest = [0.0_f64; LANES];
    for values in column.as_chunks::<LANES>().0 {
        for (greatest, value) in greatest.iter_mut().zip(values) {
            *greatest = if value.abs() > *greatest {
                value.abs()
            } else {
                *greatest
            };
        }
    }
    greatest.into_iter().fold(0.0, f64::max)
}

/// The sum of products of two columns of a block.
#[inline(always)]
pub(crate) fn dot(a: &[f64; ROWS], b: &[f64; ROWS]) -> f64 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_cannot_be_used_are_left_out_and_counted() {
        let a: Vec<f64> = (0..300).map(f64::from).collect();
        let mut b = a.clone();
        b[0] = f64::NAN;
        b[255] = f64::NEG_INFINITY;
        b[257] = 1e200;
        let columns: [&[f64]; 2] = [&a, &b];
        let mut block = Block::new(2);
        block.load(&columns, 0);
        assert_eq!((block.rows, block.left_out), (254, 2));
        assert_eq!(block.column(0)[0], 1.0);
        assert_eq!(block.column(1)[253], 254.0);
        assert_eq!(block.column(1)[254..], [0.0, 0.0]);
        block.load(&columns, 256);
        assert_eq!((block.rows, block.left_out), (43, 1));
        assert_eq!(block.column(0)[..2], [256.0, 258.0]);
    }

    #[test]
    fn rows_far_behind_are_looked_at_too() {
        let mut column = vec![1.0; 2 * AHEAD + 10];
        column[AHEAD + 300] = f64::NAN;
        let mut block = Block::new(1);
        let mut found = Vec::new();
        for _ in 0..2 {
            for start in (0..column.len()).step_by(ROWS) {
                block.load(&[&column], start);
                if block.left_out > 0 {
                    found.push((start, block.left_out, block.rows));
                }
            }
        }
        let once = (AHEAD + ROWS, 1, ROWS - 1);
        assert_eq!(found, [once, once]);
    }

    #[test]
    fn the_greatest_is_of_all_rows() {
        let mut column = [0.5; ROWS];
        column[ROWS - 1] = -3.0;
        assert_eq!(greatest(&column), 3.0);
    }
}
