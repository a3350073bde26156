//! What is wrong with the rows, in exact numbers per block.
//!
//! Rows of a block are shuffled once; each kind of dirt takes its number of them from the front, so that no row is dirty
//! twice, and rows that are copied are taken from the clean rest, so that copies add no dirt.

use rand::Rng;
use rand::seq::SliceRandom;

use super::customer::{Customer, Income};
use super::data_set::BLOCK_ROWS;

/// The income that somebody typed to get past the form.
pub(super) const TYPED_INCOME: u32 = 666_666;

/// Rows of one full block, 2,240, with each kind of dirt.
pub(super) const MISSING_INCOMES: usize = 24;
pub(super) const TYPED_INCOMES: usize = 1;
pub(super) const SEPARATED_INCOMES: usize = 12;
pub(super) const SPACED_INCOMES: usize = 8;
pub(super) const IMPLAUSIBLE_YEARS: [u16; 3] = [1893, 1899, 1900];
pub(super) const ODD_MARITAL_STATES: [&str; 7] =
    ["Alone", "Alone", "Alone", "Absurd", "Absurd", "YOLO", "YOLO"];
/// Rows that are exact copies of another row: 2 %.
pub(super) const COPIES: usize = 45;

/// Dirties the rows of one block. A block of fewer rows gets its share of each kind, rounded.
pub(super) fn dirty_block(rng: &mut impl Rng, rows: &mut [Customer]) {
    let share = |of_block: usize| (of_block * rows.len() + BLOCK_ROWS / 2) / BLOCK_ROWS;
    let missing = share(MISSING_INCOMES);
    let typed = share(TYPED_INCOMES);
    let separated = share(SEPARATED_INCOMES);
    let spaced = share(SPACED_INCOMES);
    let years = share(IMPLAUSIBLE_YEARS.len());
    let states = share(ODD_MARITAL_STATES.len());
    let copies = share(COPIES);

    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.shuffle(rng);
    let mut dirty = order.into_iter();
    for row in dirty.by_ref().take(missing) {
        rows[row].income = Income::Missing;
    }
    for row in dirty.by_ref().take(typed) {
        rows[row].income = Income::Plain(TYPED_INCOME);
    }
    for row in dirty.by_ref().take(separated) {
        rows[row].income = retyped(rows[row].income, Income::Separated);
    }
    for (nth, row) in dirty.by_ref().take(spaced).enumerate() {
        let typing = if nth % 2 == 0 {
            Income::SpaceBefore
        } else {
            Income::SpaceAfter
        };
        rows[row].income = retyped(rows[row].income, typing);
    }
    for (year, row) in IMPLAUSIBLE_YEARS.into_iter().zip(dirty.by_ref().take(years)) {
        rows[row].year_birth = year;
    }
    for (state, row) in ODD_MARITAL_STATES.into_iter().zip(dirty.by_ref().take(states)) {
        rows[row].marital_status = state;
    }
    let copies: Vec<usize> = dirty.by_ref().take(copies).collect();
    for (copy, original) in copies.into_iter().zip(dirty) {
        rows[copy] = rows[original].clone();
    }
}

fn retyped(income: Income, typing: fn(u32) -> Income) -> Income {
    income.amount().map_or(Income::Missing, typing)
}
