//! What a data set promises: its dirt in exact numbers, its ranges, and what goes with what.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::datagen::customer::{COLUMNS, Income};
use crate::datagen::dirt;

fn rows(n: u64, seed: u64) -> Vec<Customer> {
    let data_set = DataSet { rows: n, seed };
    let rows: Vec<Customer> = (0..data_set.blocks())
        .flat_map(|index| data_set.block(index))
        .collect();
    assert_eq!(rows.len() as u64, n);
    rows
}

fn count(rows: &[Customer], is: impl Fn(&Customer) -> bool) -> usize {
    rows.iter().filter(|row| is(row)).count()
}

/// Checks the dirt of `blocks` full blocks.
fn check_dirt(rows: &[Customer], blocks: usize) {
    assert_eq!(count(rows, |row| row.income == Income::Missing), blocks * 24);
    assert_eq!(
        count(rows, |row| row.income == Income::Plain(dirt::TYPED_INCOME)),
        blocks
    );
    assert_eq!(
        count(rows, |row| matches!(row.income, Income::Separated(_))),
        blocks * dirt::SEPARATED_INCOMES
    );
    let spaced = count(rows, |row| {
        matches!(row.income, Income::SpaceBefore(_) | Income::SpaceAfter(_))
    });
    assert_eq!(spaced, blocks * dirt::SPACED_INCOMES);
    assert_eq!(count(rows, |row| row.year_birth < 1901), blocks * 3);
    for (state, expected) in [("Alone", 3), ("Absurd", 2), ("YOLO", 2)] {
        assert_eq!(count(rows, |row| row.marital_status == state), blocks * expected);
    }
    let distinct: HashSet<u32> = rows.iter().map(|row| row.id).collect();
    assert_eq!(rows.len() - distinct.len(), blocks * dirt::COPIES);
}

#[test]
fn each_block_has_the_dirt_of_the_well_known_file() {
    check_dirt(&rows(2240, 1), 1);
    check_dirt(&rows(2240, 99), 1);
    check_dirt(&rows(5 * 2240, 1), 5);
}

#[test]
fn last_block_has_its_share_of_dirt() {
    let rows = rows(2240 + 1120, 1);
    let last = &rows[2240..];
    assert_eq!(count(last, |row| row.income == Income::Missing), 12);
    assert_eq!(count(last, |row| matches!(row.income, Income::Separated(_))), 6);
    assert_eq!(count(&self::rows(1, 1), |row| row.income == Income::Missing), 0);
}

#[test]
fn same_id_means_same_row() {
    let rows = rows(20_000, 5);
    let mut seen: HashMap<u32, &Customer> = HashMap::new();
    for row in &rows {
        assert_eq!(*seen.entry(row.id).or_insert(row), row);
    }
}

#[test]
fn blocks_of_one_seed_differ() {
    let data_set = DataSet {
        rows: 3 * 2240,
        seed: 1,
    };
    let incomes = |index| {
        data_set
            .block(index)
            .into_iter()
            .map(|row| row.income)
            .collect::<Vec<_>>()
    };
    assert_ne!(incomes(0), incomes(1));
    assert_ne!(incomes(1), incomes(2));
}

#[test]
fn largest_data_set_has_ids_of_31_bits() {
    let data_set = DataSet {
        rows: ROWS_MAX,
        seed: 1,
    };
    let last = data_set.block(data_set.blocks() - 1);
    assert!(last.iter().all(|row| row.id < 1 << 31));
    assert!(last.iter().all(|row| row.id > 1_999_900_000));
}

#[test]
fn values_are_in_range() {
    let rows = rows(50_000, 2);
    let days: HashSet<&str> = rows.iter().map(Customer::enrolment_date).collect();
    assert!(days.contains("30-07-2012") && days.contains("29-06-2014"));
    assert_eq!(days.len(), 700);
    for row in &rows {
        assert!((1893..=1996).contains(&row.year_birth));
        assert!(
            row.income
                .amount()
                .is_none_or(|income| (1730..=162_397).contains(&income) || income == 666_666)
        );
        assert!(row.kids <= 2 && row.teens <= 2 && row.recency < 100);
        assert!(row.spend.iter().all(|spend| *spend <= 1725));
    }
    assert_eq!(COLUMNS.len(), 8 + rows[0].numbers_after_date().len());
}

/// Pearson's correlation of two properties, over rows with a true income.
fn correlation(rows: &[Customer], x: impl Fn(&Customer) -> f64, y: impl Fn(&Customer) -> f64) -> f64 {
    let pairs: Vec<(f64, f64)> = rows
        .iter()
        .filter(|row| {
            row.income
                .amount()
                .is_some_and(|income| income != dirt::TYPED_INCOME)
        })
        .map(|row| (x(row), y(row)))
        .collect();
    let n = pairs.len() as f64;
    let mean_x = pairs.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = pairs.iter().map(|(_, y)| y).sum::<f64>() / n;
    let sum = |of: fn(f64, f64) -> f64| pairs.iter().map(|(x, y)| of(x - mean_x, y - mean_y)).sum::<f64>();
    sum(|x, y| x * y) / (sum(|x, _| x * x) * sum(|_, y| y * y)).sqrt()
}

fn income(row: &Customer) -> f64 {
    f64::from(row.income.amount().unwrap_or(0))
}

fn spend(row: &Customer) -> f64 {
    f64::from(row.spend.iter().sum::<u16>())
}

fn accepted(row: &Customer) -> f64 {
    row.accepted.iter().filter(|accepted| **accepted).count() as f64
}

fn response(row: &Customer) -> f64 {
    f64::from(u8::from(row.responded))
}

#[test]
fn columns_go_together() {
    let rows = rows(50_000, 3);
    let between = |low: f64, x: fn(&Customer) -> f64, y: fn(&Customer) -> f64, high: f64| {
        let found = correlation(&rows, x, y);
        assert!(
            low < found && found < high,
            "{found} is not between {low} and {high}"
        );
    };
    between(0.6, income, spend, 0.95);
    between(0.2, spend, accepted, 0.7);
    between(0.2, accepted, response, 0.6);
    between(0.1, spend, response, 0.5);
    between(-0.8, income, |row| f64::from(row.purchases[4]), -0.2);
    between(-0.7, spend, |row| f64::from(row.kids), -0.1);
    between(-0.4, response, |row| f64::from(row.recency), -0.05);
}

#[test]
fn averages_are_those_of_a_shop() {
    let rows = rows(50_000, 4);
    let n = rows.len() as f64;
    let mean = |of: fn(&Customer) -> f64| rows.iter().map(of).sum::<f64>() / n;
    let responded = mean(response);
    assert!((0.10..0.20).contains(&responded), "{responded}");
    let spent = mean(spend);
    assert!((450.0..750.0).contains(&spent), "{spent}");
    let married = count(&rows, |row| row.marital_status == "Married") as f64 / n;
    assert!((0.37..0.40).contains(&married), "{married}");
}
