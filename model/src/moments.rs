//! Sums, and sums of products, of columns: all that linear regression needs to know of rows.
//!
//! Rows are added and taken away in any order, for years; states of shards are put together. What comes out is what a new
//! count of the rows that are left would say, but for the last of about 30 digits of the greatest sums there ever were:
//!
//! - The sums are of differences from a *shift*, the first row that came, so that values that all lie at 1e8 lose nothing.
//! - Differences and products are taken with their rounding errors, and summed in numbers of twice the digits. The inner
//!   loop is the compensated dot product `Dot2` of Ogita, Rump, Oishi, "Accurate sum and dot product", 2005.
//! - States with different shifts meet exactly enough, since a shift is moved in numbers of twice the digits too.
//!
//! No label is known here: by convention of [`crate::linear`] it is the last column.

use multiversion::multiversion;
use multiversion::target::target_cfg_f;

use crate::block::{self, Block, ROWS};
use crate::bytes::{Reader, Writer, damaged};
use crate::error::Error;
use crate::scale::Scale;
use crate::twofold::{Twofold, two_product, two_sum};

/// First byte and version of the state.
const WHAT: (u8, u8) = (b'M', 1);
/// Part of the greatest sum that rounding may have left after a hundred million changes. A spread below it is none.
const ROUNDING: f64 = 1e-27;
/// Most columns.
const COLUMNS_MAX: usize = 4096;
/// Sums that are made at once of the rows of a block.
const LANES: usize = 32;

/// Number of rows, sums and sums of products of columns. See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    count: u64,
    left_out: u64,
    /// The first row; zeros while there is none.
    shift: Vec<f64>,
    /// Of differences from the shift.
    sums: Vec<Twofold>,
    /// Of products of these differences: the upper triangle, row by row.
    products: Vec<Twofold>,
    /// The greatest sum of squares that each column had since there were no rows: what rounding may have left is a part
    /// of it.
    peaks: Vec<f64>,
}

/// Numbers in the upper triangle of a square.
pub(crate) fn triangle(columns: usize) -> usize {
    columns * (columns + 1) / 2
}

/// The difference and its rounding error.
#[inline(always)]
pub(crate) fn difference(value: f64, shift: f64) -> Twofold {
    Twofold::sum(value, -shift)
}

impl Moments {
    /// Of no rows.
    pub fn new(columns: usize) -> Self {
        Self {
            count: 0,
            left_out: 0,
            shift: vec![0.0; columns],
            sums: vec![Twofold::ZERO; columns],
            products: vec![Twofold::ZERO; triangle(columns)],
            peaks: vec![0.0; columns],
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.shift.len()
    }

    /// Rows that count.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Rows left out, because a number in them was NaN, infinite or beyond [`block::LARGEST`].
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Adds a row. Errors: the row has another number of columns.
    pub fn add(&mut self, row: &[f64]) -> Result<(), Error> {
        self.change_row(row, Change::Add)
    }

    /// Takes away a row that was added. Errors: another number of columns; there is no row left to take away.
    pub fn subtract(&mut self, row: &[f64]) -> Result<(), Error> {
        self.change_row(row, Change::Subtract)
    }

    /// Adds many rows, given column by column: much faster than one by one.
    pub fn add_columns(&mut self, columns: &[&[f64]]) -> Result<(), Error> {
        self.change_columns(columns, Change::Add)
    }

    /// Takes away many rows that were added. Errors: as [`Moments::subtract`]; then nothing was taken away.
    pub fn subtract_columns(&mut self, columns: &[&[f64]]) -> Result<(), Error> {
        self.change_columns(columns, Change::Subtract)
    }

    /// Adds the rows of another state.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        same_columns(self.columns(), other.columns())?;
        if self.count == 0 {
            self.shift.clone_from(&other.shift);
        }
        let count = Twofold::from(other.count as f64);
        // Of the differences from this shift: those from the other, and how far that lies away.
        let away: Vec<Twofold> = other
            .shift
            .iter()
            .zip(&self.shift)
            .map(|(other, own)| difference(*other, *own))
            .collect();
        let mut place = 0;
        for i in 0..self.columns() {
            for j in i..self.columns() {
                let moved = away[i] * other.sums[j] + away[j] * other.sums[i] + count * away[i] * away[j];
                self.products[place] = self.products[place] + other.products[place] + moved;
                place += 1;
            }
            self.sums[i] = self.sums[i] + other.sums[i] + count * away[i];
        }
        for (own, other) in self.peaks.iter_mut().zip(&other.peaks) {
            *own += other;
        }
        self.count += other.count;
        self.left_out += other.left_out;
        self.settle();
        Ok(())
    }

    /// The mean of a column; NaN without rows.
    pub fn mean(&self, column: usize) -> f64 {
        self.mean_twofold(column).value()
    }

    /// Sum of the products of two columns' differences from their means.
    pub fn comoment(&self, i: usize, j: usize) -> f64 {
        self.comoment_twofold(i, j).value()
    }

    /// Covariance of a sample (divided by rows - 1); NaN below two rows.
    pub fn covariance(&self, i: usize, j: usize) -> f64 {
        match self.count {
            0 | 1 => f64::NAN,
            count => (self.comoment_twofold(i, j) / Twofold::from((count - 1) as f64)).value(),
        }
    }

    /// Mean and deviation of a column.
    pub fn scale(&self, column: usize) -> Scale {
        scale(self.count, self.mean(column), self.comoment(column, column))
    }

    pub(crate) fn mean_twofold(&self, column: usize) -> Twofold {
        Twofold::from(self.shift[column]) + self.sums[column] / Twofold::from(self.count as f64)
    }

    pub(crate) fn comoment_twofold(&self, i: usize, j: usize) -> Twofold {
        if self.count < 2 {
            return Twofold::ZERO;
        }
        let count = Twofold::from(self.count as f64);
        let comoment = self.products[self.place(i, j)] - self.sums[i] * self.sums[j] / count;
        match i == j && comoment.high <= ROUNDING * self.peaks[i] {
            true => Twofold::ZERO,
            false => comoment,
        }
    }

    /// Sum of the products of two columns.
    pub(crate) fn product_twofold(&self, i: usize, j: usize) -> Twofold {
        let count = Twofold::from(self.count as f64);
        self.comoment_twofold(i, j)
            + match self.count {
                0 => Twofold::ZERO,
                _ => count * self.mean_twofold(i) * self.mean_twofold(j),
            }
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT.0, WHAT.1);
        writer
            .whole(self.columns() as u64)
            .whole(self.count)
            .whole(self.left_out)
            .numbers(&self.shift)
            .twofolds(&self.sums)
            .twofolds(&self.products)
            .numbers(&self.peaks);
        writer.finish()
    }

    /// Reads [`Moments::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT.0, WHAT.1)?;
        let columns = reader.length()?;
        if columns > COLUMNS_MAX {
            return Err(damaged());
        }
        let mut moments = Self {
            count: reader.count()?,
            left_out: reader.count()?,
            shift: reader.numbers(columns)?,
            sums: reader.twofolds(columns)?,
            products: reader.twofolds(triangle(columns))?,
            peaks: reader.numbers(columns)?,
        };
        reader.finish()?;
        moments.settle();
        Ok(moments)
    }

    fn place(&self, i: usize, j: usize) -> usize {
        let (i, j) = (i.min(j), i.max(j));
        triangle(self.columns()) - triangle(self.columns() - i) + j - i
    }

    fn change_row(&mut self, row: &[f64], change: Change) -> Result<(), Error> {
        let columns: Vec<&[f64]> = row.iter().map(std::slice::from_ref).collect();
        self.change_columns(&columns, change)
    }

    fn change_columns(&mut self, columns: &[&[f64]], change: Change) -> Result<(), Error> {
        same_columns(self.columns(), columns.len())?;
        same_rows(columns)?;
        let rows = columns.first().map_or(0, |column| column.len());
        if change == Change::Subtract {
            let usable = usable_rows(columns);
            enough(self.count, usable)?;
            enough(self.left_out, (rows - usable as usize) as u64)?;
        }
        change_columns(self, columns, rows, change);
        self.settle();
        Ok(())
    }

    /// Without rows there is no rest of rounding either.
    fn settle(&mut self) {
        for column in 0..self.columns() {
            let square = self.products[self.place(column, column)].high;
            self.peaks[column] = self.peaks[column].max(square);
        }
        if self.count == 0 {
            self.peaks.fill(0.0);
            self.shift.fill(0.0);
            self.sums.fill(Twofold::ZERO);
            self.products.fill(Twofold::ZERO);
        }
    }
}

/// Population scale of a column of so many rows, with this mean and sum of squared differences from it. A spread that is no
/// more than the last bits of the values is none.
pub(crate) fn scale(count: u64, mean: f64, comoment: f64) -> Scale {
    let deviation = (comoment / count as f64).max(0.0).sqrt();
    Scale {
        mean: if count == 0 { 0.0 } else { mean },
        deviation: match deviation > 4.0 * f64::EPSILON * mean.abs() {
            true => deviation,
            false => 0.0,
        },
    }
}

/// What to do with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    Subtract,
}

impl Change {
    /// A sum after rows with this sum have changed it.
    #[inline(always)]
    pub(crate) fn apply(self, sum: Twofold, rows: Twofold) -> Twofold {
        match self {
            Self::Add => sum + rows,
            Self::Subtract => sum - rows,
        }
    }

    /// A count after so many rows have changed it.
    #[inline(always)]
    pub(crate) fn count(self, count: u64, rows: usize) -> u64 {
        match self {
            Self::Add => count.saturating_add(rows as u64),
            Self::Subtract => count.saturating_sub(rows as u64),
        }
    }
}

pub(crate) fn same_columns(own: usize, other: usize) -> Result<(), Error> {
    match own == other {
        true => Ok(()),
        false => Err(Error::state(format!("{other} columns meet a state of {own}"))),
    }
}

pub(crate) fn same_rows(columns: &[&[f64]]) -> Result<(), Error> {
    match columns.iter().all(|column| column.len() == columns[0].len()) {
        true => Ok(()),
        false => Err(Error::state("the columns have different numbers of rows")),
    }
}

pub(crate) fn usable_rows(columns: &[&[f64]]) -> u64 {
    let rows = columns.first().map_or(0, |column| column.len());
    let is_usable = |row: &usize| columns.iter().all(|column| column[*row].abs() <= block::LARGEST);
    (0..rows).filter(is_usable).count() as u64
}

pub(crate) fn enough(count: u64, taken: u64) -> Result<(), Error> {
    match taken <= count {
        true => Ok(()),
        false => Err(Error::state(format!(
            "{taken} rows cannot be taken from a state of {count}"
        ))),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn change_columns(moments: &mut Moments, columns: &[&[f64]], rows: usize, change: Change) {
    const FUSED: bool = target_cfg_f!(any(target_feature = "fma", not(target_arch = "x86_64")));
    if rows == 1 {
        return change_one(moments, columns, change);
    }
    // The differences from the shift, and their rounding errors.
    let (mut high, mut low) = (Block::new(columns.len()), Block::new(columns.len()));
    for start in (0..rows).step_by(ROWS) {
        high.load(columns, start);
        moments.left_out = change.count(moments.left_out, high.left_out);
        if high.rows == 0 {
            continue;
        }
        if moments.count == 0 {
            for (column, shift) in moments.shift.iter_mut().enumerate() {
                *shift = high.column(column)[0];
            }
        }
        moments.count = change.count(moments.count, high.rows);
        for column in 0..columns.len() {
            let shift = moments.shift[column];
            let (high_rows, low_rows) = (high.rows, low.column_mut(column));
            let values = high.column_mut(column);
            for (value, rest) in values.iter_mut().zip(low_rows.iter_mut()) {
                (*value, *rest) = two_sum(*value, -shift);
            }
            values[high_rows..].fill(0.0);
            low_rows[high_rows..].fill(0.0);
        }
        let mut place = 0;
        for i in 0..columns.len() {
            let a = (high.column(i), low.column(i));
            moments.sums[i] = change.apply(moments.sums[i], sum(a));
            for j in i..columns.len() {
                let b = (high.column(j), low.column(j));
                moments.products[place] =
                    change.apply(moments.products[place], sum_of_products::<FUSED>(a, b));
                place += 1;
            }
        }
    }
}

/// The same for one row, without a block.
#[inline(always)]
fn change_one(moments: &mut Moments, columns: &[&[f64]], change: Change) {
    if !columns.iter().all(|column| column[0].abs() <= block::LARGEST) {
        moments.left_out = change.count(moments.left_out, 1);
        return;
    }
    if moments.count == 0 {
        for (shift, column) in moments.shift.iter_mut().zip(columns) {
            *shift = column[0];
        }
    }
    moments.count = change.count(moments.count, 1);
    let shifts = moments.shift.iter();
    let away: Vec<Twofold> = shifts
        .zip(columns)
        .map(|(shift, column)| difference(column[0], *shift))
        .collect();
    let mut products = moments.products.iter_mut();
    for (i, (a, sum)) in away.iter().zip(&mut moments.sums).enumerate() {
        *sum = change.apply(*sum, *a);
        for (b, product) in away[i..].iter().zip(&mut products) {
            *product = change.apply(*product, *a * *b);
        }
    }
}

/// Some hundred numbers, and the rounding errors of each.
pub(crate) type Numbers<'a> = (&'a [f64; ROWS], &'a [f64; ROWS]);

/// The sum of numbers.
#[inline(always)]
pub(crate) fn sum(a: Numbers<'_>) -> Twofold {
    total(|row| (a.0[row], a.1[row]))
}

/// The sum of the products of numbers.
#[inline(always)]
pub(crate) fn sum_of_products<const FUSED: bool>(a: Numbers<'_>, b: Numbers<'_>) -> Twofold {
    total(|row| {
        let (product, rest) = two_product::<FUSED>(a.0[row], b.0[row]);
        (product, rest + a.0[row] * b.1[row] + a.1[row] * b.0[row])
    })
}

/// The sum of a number for each row, with its error; what rounding takes from it is not lost. Rows are summed in lanes,
/// next to each other in memory, and then one half of the lanes is added to the other: each loop does the same to
/// neighbours, so compilers make it of instructions that take several at once.
#[inline(always)]
fn total(number: impl Fn(usize) -> (f64, f64)) -> Twofold {
    let (mut sums, mut errors) = ([0.0; LANES], [0.0; LANES]);
    for lane in 0..LANES {
        let (mut sum, mut error) = (0.0, 0.0);
        for row in (lane..ROWS).step_by(LANES) {
            let (high, low) = number(row);
            let (next, rounding) = two_sum(sum, high);
            sum = next;
            error += rounding + low;
        }
        (sums[lane], errors[lane]) = (sum, error);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            let (sum, rounding) = two_sum(sums[lane], sums[lane + half]);
            sums[lane] = sum;
            errors[lane] += errors[lane + half] + rounding;
        }
        half /= 2;
    }
    Twofold::sum(sums[0], errors[0])
}

#[cfg(test)]
mod tests;
