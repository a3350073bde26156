//! Number, sums and sums of squares of columns, for each class of a label.
//!
//! What naive Bayes knows of rows, and what logistic regression and k-means ask first: how many rows each class has and
//! where the columns lie. Rows come and go as in [`crate::moments`], with the same digits.
//!
//! A class is a whole number from 0 as `f64`; NaN (the caller's form of NULL) and what is no class leave the row out.

use multiversion::multiversion;
use multiversion::target::target_cfg_f;

use crate::block::{Block, LARGEST, ROWS};
use crate::bytes::{Reader, Writer, damaged};
use crate::error::Error;
use crate::moments::{self, Change, difference, enough, same_columns, same_rows};
use crate::scale::Scale;
use crate::twofold::{Twofold, two_sum};

/// First byte and version of the state.
const WHAT: (u8, u8) = (b'C', 1);
/// Most classes, and most columns.
const MOST: usize = 4096;

/// Sums of a class.
#[derive(Debug, Clone, PartialEq)]
struct Class {
    count: u64,
    /// Of differences from the shift, and of their squares; one for each column.
    sums: Vec<Twofold>,
    squares: Vec<Twofold>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMoments {
    left_out: u64,
    /// The first row; zeros while there is none.
    shift: Vec<f64>,
    classes: Vec<Class>,
}

/// The number of a class, if it is one of so many.
#[inline(always)]
pub(crate) fn class_of(value: f64, classes: usize) -> Option<usize> {
    let class = value as usize;
    (class < classes && class as f64 == value).then_some(class)
}

impl ClassMoments {
    /// Of no rows. With one class, it is the moments of all rows.
    pub fn new(classes: usize, columns: usize) -> Self {
        let class = Class {
            count: 0,
            sums: vec![Twofold::ZERO; columns],
            squares: vec![Twofold::ZERO; columns],
        };
        Self {
            left_out: 0,
            shift: vec![0.0; columns],
            classes: vec![class; classes],
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.shift.len()
    }

    /// Rows that count.
    pub fn count(&self) -> u64 {
        self.classes.iter().map(|class| class.count).sum()
    }

    /// Rows of a class that count.
    pub fn class_count(&self, class: usize) -> u64 {
        self.classes[class].count
    }

    /// Rows left out, because a number in them cannot be used or their class is none.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Adds a row. Errors: the row has another number of columns.
    pub fn add(&mut self, row: &[f64], class: f64) -> Result<(), Error> {
        self.change_row(row, class, Change::Add)
    }

    /// Takes away a row that was added. Errors: another number of columns; the class has no row left.
    pub fn subtract(&mut self, row: &[f64], class: f64) -> Result<(), Error> {
        self.change_row(row, class, Change::Subtract)
    }

    /// Adds many rows, given column by column: much faster than one by one.
    pub fn add_columns(&mut self, columns: &[&[f64]], classes: &[f64]) -> Result<(), Error> {
        self.change_columns(columns, classes, Change::Add)
    }

    /// Takes away many rows that were added. Errors: as [`ClassMoments::subtract`]; then nothing was taken away.
    pub fn subtract_columns(&mut self, columns: &[&[f64]], classes: &[f64]) -> Result<(), Error> {
        self.change_columns(columns, classes, Change::Subtract)
    }

    /// Adds the rows of another state.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        same_columns(self.columns(), other.columns())?;
        if self.classes() != other.classes() {
            return Err(Error::state(format!(
                "{} classes meet a state of {}",
                other.classes(),
                self.classes()
            )));
        }
        if self.count() == 0 {
            self.shift.clone_from(&other.shift);
        }
        for (own, class) in self.classes.iter_mut().zip(&other.classes) {
            let count = Twofold::from(class.count as f64);
            for column in 0..self.shift.len() {
                let away = difference(other.shift[column], self.shift[column]);
                let sum = class.sums[column];
                let moved = away * (sum + sum + count * away);
                own.squares[column] = own.squares[column] + class.squares[column] + moved;
                own.sums[column] = own.sums[column] + sum + count * away;
            }
            own.count += class.count;
        }
        self.left_out += other.left_out;
        self.settle();
        Ok(())
    }

    /// Mean of a column in a class; 0 for a class without rows.
    pub fn mean(&self, class: usize, column: usize) -> f64 {
        let class = &self.classes[class];
        match class.count {
            0 => 0.0,
            count => self.mean_of(count, class.sums[column], column),
        }
    }

    /// Variance of a column in a class, of all its rows (divided by their number); 0 for a class without rows.
    pub fn variance(&self, class: usize, column: usize) -> f64 {
        let class = &self.classes[class];
        match class.count {
            0 => 0.0,
            count => spread(count, class.sums[column], class.squares[column]) / count as f64,
        }
    }

    /// Mean and deviation of a column over all classes.
    pub fn scale(&self, column: usize) -> Scale {
        let (mut sum, mut square) = (Twofold::ZERO, Twofold::ZERO);
        for class in &self.classes {
            sum = sum + class.sums[column];
            square = square + class.squares[column];
        }
        match self.count() {
            0 => moments::scale(0, 0.0, 0.0),
            count => moments::scale(
                count,
                self.mean_of(count, sum, column),
                spread(count, sum, square),
            ),
        }
    }

    fn mean_of(&self, count: u64, sum: Twofold, column: usize) -> f64 {
        (Twofold::from(self.shift[column]) + sum / Twofold::from(count as f64)).value()
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(WHAT.0, WHAT.1);
        writer
            .whole(self.classes() as u64)
            .whole(self.columns() as u64)
            .whole(self.left_out)
            .numbers(&self.shift);
        for class in &self.classes {
            writer
                .whole(class.count)
                .twofolds(&class.sums)
                .twofolds(&class.squares);
        }
        writer.finish()
    }

    /// Reads [`ClassMoments::to_bytes`]. Errors: the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, WHAT.0, WHAT.1)?;
        let (classes, columns) = (reader.length()?, reader.length()?);
        if classes.max(columns) > MOST {
            return Err(damaged());
        }
        let left_out = reader.count()?;
        let shift = reader.numbers(columns)?;
        let class = |_| {
            Ok(Class {
                count: reader.count()?,
                sums: reader.twofolds(columns)?,
                squares: reader.twofolds(columns)?,
            })
        };
        let classes: Vec<Class> = (0..classes).map(class).collect::<Result<_, Error>>()?;
        reader.finish()?;
        let total = classes
            .iter()
            .try_fold(0, |sum: u64, class| sum.checked_add(class.count));
        total.ok_or_else(damaged)?;
        let mut moments = Self {
            left_out,
            shift,
            classes,
        };
        moments.settle();
        Ok(moments)
    }

    fn change_row(&mut self, row: &[f64], class: f64, change: Change) -> Result<(), Error> {
        let columns: Vec<&[f64]> = row.iter().map(std::slice::from_ref).collect();
        self.change_columns(&columns, &[class], change)
    }

    fn change_columns(&mut self, columns: &[&[f64]], classes: &[f64], change: Change) -> Result<(), Error> {
        same_columns(self.columns(), columns.len())?;
        let mut all = columns.to_vec();
        all.push(classes);
        same_rows(&all)?;
        if change == Change::Subtract {
            self.has(columns, classes)?;
        }
        change_columns(self, &all, classes.len(), change);
        self.settle();
        Ok(())
    }

    /// Whether there are enough rows in each class to take these away.
    fn has(&self, columns: &[&[f64]], classes: &[f64]) -> Result<(), Error> {
        let mut taken = vec![0; self.classes()];
        let mut left_out = 0;
        for (row, class) in classes.iter().enumerate() {
            let is_usable = columns.iter().all(|column| column[row].abs() <= LARGEST);
            match class_of(*class, self.classes()) {
                Some(class) if is_usable => taken[class] += 1,
                _ => left_out += 1,
            }
        }
        enough(self.left_out, left_out)?;
        let mut counts = self.classes.iter().zip(taken);
        counts.try_for_each(|(class, taken)| enough(class.count, taken))
    }

    /// Without rows there is no rest of rounding either.
    fn settle(&mut self) {
        for class in &mut self.classes {
            if class.count == 0 {
                class.sums.fill(Twofold::ZERO);
                class.squares.fill(Twofold::ZERO);
            }
        }
        if self.count() == 0 {
            self.shift.fill(0.0);
        }
    }
}

/// Sum of squared differences from the mean.
fn spread(count: u64, sum: Twofold, square: Twofold) -> f64 {
    if count < 2 {
        return 0.0;
    }
    (square - sum * sum / Twofold::from(count as f64))
        .value()
        .max(0.0)
}

/// The last column is the class.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn change_columns(moments: &mut ClassMoments, columns: &[&[f64]], rows: usize, change: Change) {
    const FUSED: bool = target_cfg_f!(any(target_feature = "fma", not(target_arch = "x86_64")));
    let features = columns.len() - 1;
    let mut block = Block::new(columns.len());
    let mut members: Vec<Vec<u16>> = vec![Vec::with_capacity(ROWS); moments.classes()];
    for start in (0..rows).step_by(ROWS) {
        block.load(columns, start);
        moments.left_out = change.count(moments.left_out, block.left_out);
        for (row, class) in block.column(features)[..block.rows].iter().enumerate() {
            match class_of(*class, members.len()) {
                Some(class) => members[class].push(row as u16),
                None => moments.left_out = change.count(moments.left_out, 1),
            }
        }
        for (class, members) in members.iter_mut().enumerate() {
            change_class::<FUSED>(moments, &block, (class, members), change);
            members.clear();
        }
    }
}

/// Adds or takes away those rows of a block that are members of a class.
#[inline(always)]
fn change_class<const FUSED: bool>(
    moments: &mut ClassMoments,
    block: &Block,
    (class, members): (usize, &[u16]),
    change: Change,
) {
    let Some(first) = members.first() else {
        return;
    };
    if moments.count() == 0 {
        for (column, shift) in moments.shift.iter_mut().enumerate() {
            *shift = block.column(column)[usize::from(*first)];
        }
    }
    let class = &mut moments.classes[class];
    class.count = change.count(class.count, members.len());
    let (mut high, mut low) = ([0.0; ROWS], [0.0; ROWS]);
    for (column, shift) in moments.shift.iter().enumerate() {
        let values = block.column(column);
        for (place, row) in members.iter().enumerate() {
            high[place] = values[usize::from(*row) % ROWS];
        }
        for (high, low) in high.iter_mut().zip(&mut low).take(members.len()) {
            (*high, *low) = two_sum(*high, -shift);
        }
        let values = (&high, &low);
        class.sums[column] = change.apply(class.sums[column], moments::sum(values));
        class.squares[column] = change.apply(
            class.squares[column],
            moments::sum_of_products::<FUSED>(values, values),
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::Random;

    #[track_caller]
    fn assert_near(a: &ClassMoments, b: &ClassMoments) {
        for class in 0..a.classes() {
            assert_eq!(a.class_count(class), b.class_count(class));
            for column in 0..a.columns() {
                let (one, other) = (a.mean(class, column), b.mean(class, column));
                assert!((one - other).abs() <= 1e-14 * other.abs(), "{one} {other}");
                let (one, other) = (a.variance(class, column), b.variance(class, column));
                assert!((one - other).abs() <= 1e-12 * other, "{one} {other}");
            }
        }
    }

    #[test]
    fn classes_are_apart_and_nulls_left_out() {
        let mut moments = ClassMoments::new(2, 1);
        let (values, classes) = (
            [1.0, 2.0, 4.0, 9.0, f64::NAN, 3.0],
            [0.0, 1.0, 1.0, f64::NAN, 0.0, 2.0],
        );
        moments.add_columns(&[&values], &classes).unwrap();
        assert_eq!(
            (moments.class_count(0), moments.class_count(1), moments.left_out()),
            (1, 2, 3)
        );
        assert_eq!((moments.mean(1, 0), moments.variance(1, 0)), (3.0, 1.0));
        assert!((moments.scale(0).mean - 7.0 / 3.0).abs() < 1e-15);
        assert!(moments.subtract(&[1.0], 2.0).is_ok() && moments.left_out() == 2);
        let error = moments.subtract_columns(&[&[1.0, 1.0]], &[0.0, 0.0]).unwrap_err();
        assert_eq!(error.to_string(), "2 rows cannot be taken from a state of 1");
        moments.subtract_columns(&[&values[..3]], &classes[..3]).unwrap();
        moments
            .subtract_columns(&[&values[3..5]], &classes[3..5])
            .unwrap();
        assert_eq!(moments, ClassMoments::new(2, 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_history_ends_where_a_new_count_does(
            seed in any::<u64>(),
            moved in prop::sample::select(vec![0.0, 1e8]),
            steps in prop::collection::vec((0_u8..3, 0_usize..600), 1..20),
        ) {
            let mut random = Random::new(seed);
            let mut rows: Vec<(Vec<f64>, f64)> = Vec::new();
            let mut moments = ClassMoments::new(3, 2);
            for (kind, size) in steps {
                let mut new = || {
                    let class = random.below(3) as f64;
                    (vec![moved + class + random.normal(), random.normal()], class)
                };
                match kind {
                    0 => {
                        let new: Vec<_> = (0..size).map(|_| new()).collect();
                        let column = |place: usize| new.iter().map(|row| row.0[place]).collect::<Vec<_>>();
                        let classes: Vec<f64> = new.iter().map(|row| row.1).collect();
                        let mut shard = ClassMoments::new(3, 2);
                        shard.add_columns(&[&column(0), &column(1)], &classes).unwrap();
                        moments.merge(&ClassMoments::from_bytes(&shard.to_bytes()).unwrap()).unwrap();
                        rows.extend(new);
                    }
                    1 => {
                        let (row, class) = new();
                        moments.add(&row, class).unwrap();
                        rows.push((row, class));
                    }
                    _ => for _ in 0..size.min(rows.len()) {
                        let (row, class) = rows.swap_remove(random.below(rows.len()));
                        moments.subtract(&row, class).unwrap();
                    },
                }
            }
            let mut fresh = ClassMoments::new(3, 2);
            for (row, class) in &rows {
                fresh.add(row, *class).unwrap();
            }
            assert_near(&moments, &fresh);
        }

        #[test]
        fn damaged_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 2..200)) {
            (bytes[0], bytes[1]) = WHAT;
            let _ = ClassMoments::from_bytes(&bytes);
        }
    }
}
