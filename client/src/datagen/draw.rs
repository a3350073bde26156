//! Draws plausible customers: who they are decides what they earn, that what they spend, that what they accept.
//!
//! ```text
//! education ─► income ─┬─► spend ─┬─► purchases        past acceptance ─┐
//! age ─► children ─────┘          ├─► past acceptance ──────────────────┼─► response
//!                                 └─────────────────────────────────────┘
//! ```
//!
//! The shares and means are those published about the well-known file, rounded. Campaigns and purchases depend on income
//! and spend only as strongly as a model needs to find something.

use rand::Rng;
use rand_distr::{Distribution, Poisson, StandardNormal};

use super::customer::{Customer, ENROLMENT_DAYS, Income};

/// Education, its share, and the mean income that goes with it.
const EDUCATION: [(&str, f64, f64); 5] = [
    ("Graduation", 0.503, 52_500.0),
    ("PhD", 0.217, 56_000.0),
    ("Master", 0.165, 53_000.0),
    ("2n Cycle", 0.091, 47_500.0),
    ("Basic", 0.024, 20_500.0),
];

/// Marital status and its share. The odd ones are dirt and come from there.
const MARITAL_STATUS: [(&str, f64); 5] = [
    ("Married", 0.387),
    ("Together", 0.260),
    ("Single", 0.215),
    ("Divorced", 0.104),
    ("Widow", 0.034),
];

/// Share of wines, fruits, meat, fish, sweets and gold in what a customer spends.
const SPEND_SHARES: [f64; 6] = [0.50, 0.043, 0.275, 0.062, 0.045, 0.075];

/// Most that one customer spends on one kind of goods.
const SPEND_MAX: [f64; 6] = [1493.0, 199.0, 1725.0, 259.0, 263.0, 362.0];

const INCOME_MIN: f64 = 1_730.0;
const INCOME_MAX: f64 = 162_397.0;

/// Draws one customer. Nothing about it is dirty.
pub(super) fn draw_customer(rng: &mut impl Rng, id: u32) -> Customer {
    let year_birth = draw_year_of_birth(rng);
    let (education, mean_income) = draw_education(rng);
    let income = draw_income(rng, mean_income);
    let (kids, teens) = draw_children(rng, 2014.0 - f64::from(year_birth), income);
    let spend = draw_spend(rng, income, kids + teens);
    let total_spend = f64::from(spend.iter().sum::<u16>());
    let accepted = draw_accepted(rng, income, total_spend);
    let recency = rng.random_range(0..100);
    let enrolment_day = rng.random_range(0..ENROLMENT_DAYS);
    Customer {
        id,
        year_birth,
        education,
        marital_status: draw_marital_status(rng),
        income: Income::Plain(income as u32),
        kids,
        teens,
        enrolment_day,
        recency,
        spend,
        purchases: draw_purchases(rng, income, total_spend, kids + teens),
        accepted,
        complained: rng.random_bool(0.009),
        responded: draw_response(rng, &accepted, total_spend, recency, enrolment_day),
    }
}

fn draw_year_of_birth(rng: &mut impl Rng) -> u16 {
    let year: f64 = 1969.0 + 12.0 * normal(rng);
    year.clamp(1940.0, 1996.0) as u16
}

fn draw_education(rng: &mut impl Rng) -> (&'static str, f64) {
    let mut left: f64 = rng.random();
    for (name, share, mean_income) in EDUCATION {
        left -= share;
        if left < 0.0 {
            return (name, mean_income);
        }
    }
    (EDUCATION[0].0, EDUCATION[0].2)
}

fn draw_marital_status(rng: &mut impl Rng) -> &'static str {
    let mut left: f64 = rng.random();
    for (name, share) in MARITAL_STATUS {
        left -= share;
        if left < 0.0 {
            return name;
        }
    }
    MARITAL_STATUS[0].0
}

/// A bell around the mean, and a few who earn far more.
fn draw_income(rng: &mut impl Rng, mean: f64) -> f64 {
    let income = if rng.random_bool(0.004) {
        rng.random_range(95_000.0..INCOME_MAX)
    } else {
        mean + 20_000.0 * normal(rng)
    };
    income.clamp(INCOME_MIN, INCOME_MAX).floor()
}

/// Small children with younger parents and lower incomes, teenagers with older parents.
fn draw_children(rng: &mut impl Rng, age: f64, income: f64) -> (u8, u8) {
    let kid = logistic(1.6 - 0.035 * (age - 35.0) - 0.000_035 * income);
    let teen = logistic(0.3 - ((age - 50.0) / 9.0).powi(2));
    (draw_up_to_two(rng, kid), draw_up_to_two(rng, teen))
}

/// 0, 1 or, seldom, 2.
fn draw_up_to_two(rng: &mut impl Rng, some: f64) -> u8 {
    let point: f64 = rng.random();
    u8::from(point < some) + u8::from(point < 0.05 * some)
}

fn draw_spend(rng: &mut impl Rng, income: f64, children: u8) -> [u16; 6] {
    let level = 2.6 + income / 16_500.0 - 0.28 * f64::from(children) + 0.45 * normal(rng);
    let total = level.min(7.5).exp();
    let mut spend = [0; 6];
    for (kind, amount) in spend.iter_mut().enumerate() {
        let taste = (0.5 * normal(rng)).exp();
        *amount = (total * SPEND_SHARES[kind] * taste).min(SPEND_MAX[kind]) as u16;
    }
    spend
}

fn draw_purchases(rng: &mut impl Rng, income: f64, total_spend: f64, children: u8) -> [u8; 5] {
    let means = [
        (1.0 + 1.3 * f64::from(children), 15.0),
        (2.2 + total_spend / 330.0, 27.0),
        (0.4 + total_spend / 270.0, 28.0),
        (2.8 + total_spend / 220.0, 13.0),
        (8.6 - income / 16_000.0, 20.0),
    ];
    means.map(|(mean, max): (f64, f64)| draw_count(rng, mean.max(0.3)).min(max) as u8)
}

/// Campaigns 3, 4, 5, 1, 2. The third pleased everybody alike, the fifth the rich.
fn draw_accepted(rng: &mut impl Rng, income: f64, total_spend: f64) -> [bool; 5] {
    let wealth = (income - 52_000.0) / 20_000.0;
    let spent = total_spend / 600.0;
    let chances = [
        -2.55,
        -3.6 + 0.6 * wealth + 0.4 * spent,
        -5.2 + 1.3 * wealth + 0.6 * spent,
        -4.4 + 1.0 * wealth + 0.5 * spent,
        -5.4 + 0.7 * wealth + 0.4 * spent,
    ];
    chances.map(|chance| rng.random::<f64>() < logistic(chance))
}

/// Those who accepted before, spent much, bought lately and came early accept again.
fn draw_response(
    rng: &mut impl Rng,
    accepted: &[bool; 5],
    total_spend: f64,
    recency: u8,
    enrolment_day: u16,
) -> bool {
    let before = accepted.iter().filter(|accepted| **accepted).count() as f64;
    let chance = -0.95 + 1.05 * before + 0.35 * total_spend / 600.0
        - 0.02 * f64::from(recency)
        - 0.0022 * f64::from(enrolment_day);
    rng.random::<f64>() < logistic(chance)
}

fn draw_count(rng: &mut impl Rng, mean: f64) -> f64 {
    Poisson::new(mean).map_or(0.0, |counts| counts.sample(rng))
}

fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
