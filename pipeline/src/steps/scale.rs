//! Numbers on another scale. What is constant is what scikit-learn takes for constant, and is divided by 1.

use crate::chain::Id;
use crate::compile::Compiler;
use crate::fitted::Value;
use crate::kind::Kind;
use crate::mistake::Mistake;
use crate::spec::{Bin, Norm, NormalizeRows, Selection};
use crate::sql;

/// Most bins.
const BINS_MAX: u32 = 1000;

/// The quantile of a cell's values, between the two next to it where it is none itself; None: it is asked.
pub(super) fn quantile(name: &str, what: &str, share: f64, cell: Id, on: &mut Compiler<'_>) -> Option<Value> {
    let value = on.finite(cell);
    let exact = (share * 4.0).fract() == 0.0;
    let sql = match exact {
        true => simple_quantile(share, &value),
        false => {
            let count = on.aggregate(name, "values", &[cell], format!("count({value})"))?;
            between(share, count.number().unwrap_or(0.0), &value)
        }
    };
    on.aggregate(name, what, &[cell], sql)
}

/// A quantile as the engine gives it: it weighs its neighbours with six digits, which is enough for quarters.
pub(super) fn simple_quantile(share: f64, value: &str) -> String {
    match share {
        0.5 => format!("median({value})"),
        _ => format!(
            "percentile_cont({}) WITHIN GROUP (ORDER BY {value})",
            sql::number(share)
        ),
    }
}

/// A quantile of so many values, of the two next to it.
fn between(share: f64, count: f64, value: &str) -> String {
    /// Lets a rounding error of a place not reach the one before, and is too small to weigh anything.
    const NUDGE: f64 = 5e-7;
    let last = (count - 1.0).max(1.0);
    let place = share * last;
    let at = |place: f64| simple_quantile(((place + NUDGE) / last).min(1.0), value);
    let (below, weight) = (at(place.floor()), place.fract());
    match weight == 0.0 {
        true => below,
        false => format!(
            "{below} + ({} - {below}) * {}",
            at(place.floor() + 1.0),
            sql::number(weight)
        ),
    }
}

pub(super) fn standardize(selection: &Selection, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    scale(selection, on, |name, cell, on| {
        let value = on.finite(cell);
        let mean = on.aggregate(name, "mean", &[cell], format!("avg({value})"));
        let deviation = on.aggregate(name, "deviation", &[cell], format!("stddev_pop({value})"));
        let count = on.aggregate(name, "values", &[cell], format!("count({value})"));
        let (mean, deviation, count) = (mean?.number(), deviation?.number(), count?.number());
        let (Some(mean), Some(deviation), Some(count)) = (mean, deviation, count) else {
            return Some((0.0, 1.0));
        };
        // The error that a sum of equal values may have.
        let variance = deviation * deviation;
        let bound = count * f64::EPSILON * variance + (count * mean * f64::EPSILON).powi(2);
        Some((mean, if variance <= bound { 1.0 } else { deviation }))
    })
}

pub(super) fn min_max(selection: &Selection, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    scale(selection, on, |name, cell, on| {
        let value = on.finite(cell);
        let least = on.aggregate(name, "min", &[cell], format!("min({value})"));
        let greatest = on.aggregate(name, "max", &[cell], format!("max({value})"));
        let (least, greatest) = (least?.number(), greatest?.number());
        let least = least.unwrap_or(0.0);
        Some((least, divisor(greatest.unwrap_or(least) - least)))
    })
}

pub(super) fn robust(selection: &Selection, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    scale(selection, on, |name, cell, on| {
        let mut ask = |what: &str, share: f64| quantile(name, what, share, cell, on);
        let (low, middle, high) = (ask("q1", 0.25), ask("median", 0.5), ask("q3", 0.75));
        let (low, middle, high) = (low?.number(), middle?.number(), high?.number());
        let (Some(low), Some(middle), Some(high)) = (low, middle, high) else {
            return Some((0.0, 1.0));
        };
        Some((middle, divisor(high - low)))
    })
}

/// Divides by 1 instead of by next to nothing, as scikit-learn does it.
fn divisor(width: f64) -> f64 {
    match width.abs() < 10.0 * f64::EPSILON {
        true => 1.0,
        false => width,
    }
}

/// Makes (x - a) / b of columns, where `learn` says a and b.
fn scale(
    selection: &Selection,
    on: &mut Compiler<'_>,
    learn: impl Fn(&str, Id, &mut Compiler<'_>) -> Option<(f64, f64)>,
) -> Result<(), Mistake> {
    for place in on.numeric(selection)? {
        let (name, _) = on.column(place);
        let cell = on.cell(place);
        match learn(&name, cell, on) {
            Some((less, by)) => {
                let value = format!("CAST({} AS DOUBLE)", on.chain.sql(cell));
                let expression = format!("({value} - {}) / {}", sql::number(less), sql::number(by));
                on.change(place, Kind::Number, &[cell], expression);
            }
            None => on.change_later(place, Kind::Number),
        }
    }
    Ok(())
}

pub(super) fn log(selection: &Selection, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    for place in on.numeric(selection)? {
        let cell = on.cell(place);
        let value = format!("CAST({} AS DOUBLE)", on.chain.sql(cell));
        // Of small numbers, 1 + x has few digits of x.
        let expression = format!(
            "CASE WHEN abs({value}) < 0.5 THEN 2.0 * atanh({value} / (2.0 + {value})) \
             WHEN {value} > -1.0 THEN ln(1.0 + {value}) END"
        );
        on.change(place, Kind::Number, &[cell], expression);
    }
    Ok(())
}

pub(super) fn normalize_rows(options: &NormalizeRows, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let places = on.numeric(&options.columns)?;
    let cells: Vec<Id> = places.iter().map(|place| on.cell(*place)).collect();
    let values: Vec<String> = cells
        .iter()
        .map(|id| format!("coalesce(nanvl(CAST({} AS DOUBLE), 0.0), 0.0)", on.chain.sql(*id)))
        .collect();
    let each = |form: fn(&str) -> String| values.iter().map(|value| form(value)).collect::<Vec<_>>();
    let norm = match options.norm {
        Norm::L1 => sql::sum(&each(|value| format!("abs({value})"))),
        Norm::L2 => format!(
            "sqrt({})",
            sql::sum(&each(|value| format!("({value} * {value})")))
        ),
        Norm::Max => format!("greatest({})", each(|value| format!("abs({value})")).join(", ")),
    };
    let norm = on.chain.add("norm", Kind::Number, &cells, norm);
    for place in places {
        let cell = on.cell(place);
        let (value, norm_sql) = (on.chain.sql(cell), on.chain.sql(norm));
        let expression =
            format!("CAST({value} AS DOUBLE) / CASE WHEN {norm_sql} = 0.0 THEN 1.0 ELSE {norm_sql} END");
        on.change(place, Kind::Number, &[cell, norm], expression);
    }
    Ok(())
}

pub(super) fn bin(options: &Bin, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let bins = [options.width, options.quantile].into_iter().flatten().next();
    let ways = [
        options.width.is_some(),
        options.quantile.is_some(),
        options.edges.is_some(),
    ];
    if ways.iter().filter(|way| **way).count() != 1 {
        return Err(Mistake::new("bin needs one of width, quantile and edges"));
    }
    if bins.is_some_and(|bins| !(2..=BINS_MAX).contains(&bins)) {
        return Err(Mistake::new(format!("there can be from 2 to {BINS_MAX} bins")));
    }
    if let Some(edges) = &options.edges
        && !edges.is_sorted_by(|one, next| one < next)
    {
        return Err(Mistake::new(
            "edges are numbers in order, each greater than the one before",
        ));
    }
    for place in on.numeric(&options.columns)? {
        let (name, _) = on.column(place);
        let cell = on.cell(place);
        match edges(options, &name, cell, on) {
            Some(edges) => {
                let value = format!("CAST({} AS DOUBLE)", on.chain.sql(cell));
                let mut branches = vec![(on.is_missing(cell), "NULL".to_owned())];
                let below = edges.iter().enumerate();
                branches.extend(
                    below.map(|(bin, edge)| (format!("{value} < {}", sql::number(*edge)), bin.to_string())),
                );
                let expression = format!(
                    "CAST({} AS BIGINT)",
                    sql::case(&branches, &edges.len().to_string())
                );
                on.change(place, Kind::Integer, &[cell], expression);
            }
            None => on.change_later(place, Kind::Integer),
        }
    }
    Ok(())
}

/// The edges between bins.
fn edges(options: &Bin, name: &str, cell: Id, on: &mut Compiler<'_>) -> Option<Vec<f64>> {
    if let Some(edges) = &options.edges {
        return Some(edges.clone());
    }
    let value = on.finite(cell);
    let mut ask = |what: &str, aggregate: String| on.aggregate(name, what, &[cell], aggregate);
    let (least, greatest) = (
        ask("min", format!("min({value})")),
        ask("max", format!("max({value})")),
    );
    let (least, greatest) = (least?.number(), greatest?.number());
    let (Some(least), Some(greatest)) = (least, greatest) else {
        return Some(Vec::new());
    };
    let mut edges: Vec<f64> = if let Some(bins) = options.width {
        let width = (greatest - least) / f64::from(bins);
        (1..bins).map(|edge| least + width * f64::from(edge)).collect()
    } else {
        let bins = options.quantile.unwrap_or(2);
        let asked: Vec<_> = (1..bins)
            .map(|edge| {
                let share = f64::from(edge) / f64::from(bins);
                quantile(name, &format!("quantile {share}"), share, cell, on)
            })
            .collect();
        let edges: Option<Vec<_>> = asked.into_iter().collect();
        edges?.iter().filter_map(Value::number).collect()
    };
    // Where many values are equal, the bins between them are none.
    edges.retain(|edge| least < *edge && *edge < greatest);
    edges.dedup();
    Some(edges)
}
