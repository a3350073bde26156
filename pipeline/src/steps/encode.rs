//! Categories as numbers.

use std::collections::BTreeMap;

use crate::chain::Id;
use crate::compile::{Compiler, Purpose, Question, ROW_DIGITS};
use crate::fitted::Value;
use crate::kind::Kind;
use crate::mistake::Mistake;
use crate::spec::{OneHot, Ordinal, Selection, TargetEncode};
use crate::sql;

/// Most categories of a column.
pub(crate) const CATEGORIES_MAX: usize = 1000;
/// End of the name of the column of grouped categories, and the same where a category has that name.
const OTHER: &str = "other";
const RARE: &str = "rare";

/// The categories of a column whose texts are in a cell, the most frequent first; None: it is asked.
fn categories(name: &str, text: Id, on: &mut Compiler<'_>) -> Result<Option<Vec<(String, u64)>>, Mistake> {
    let value = on.live(&on.chain.sql(text));
    let mut refs = vec![text];
    refs.extend(on.chain.fate());
    match on.ask(name, "categories", &refs, Question::Categories { value }) {
        None => Ok(None),
        Some(Value::Categories(categories)) if categories.len() > CATEGORIES_MAX => Err(Mistake::new(
            format!("'{name}' has more than {CATEGORIES_MAX} categories"),
        )
        .hint("group them with replace, or use another encoding")),
        Some(Value::Categories(categories)) => Ok(Some(categories)),
        Some(_) => Ok(Some(Vec::new())),
    }
}

pub(super) fn one_hot(options: &OneHot, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    if options.max_categories == Some(0) {
        return Err(Mistake::new("max_categories is 1 or more"));
    }
    let mut places = on.resolve(&options.columns)?;
    // From the last, so that the places before stay.
    places.sort_unstable();
    for place in places.into_iter().rev() {
        let (name, _) = on.column(place);
        let cell = on.add_text(on.cell(place));
        let Some(categories) = categories(&name, cell, on)? else {
            on.await_columns();
            continue;
        };
        let (shown, grouped) = grouped(&categories, options);
        let text = on.chain.sql(cell);
        let list = |names: &[&str]| {
            names
                .iter()
                .map(|name| sql::text(name))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut made: Vec<(String, String)> = shown
            .iter()
            .map(|category| {
                let condition = format!("{text} = {}", sql::text(category));
                (format!("{name}_{category}"), condition)
            })
            .collect();
        if grouped {
            let condition = match shown.is_empty() {
                true => format!("{text} IS NOT NULL"),
                false => format!("{text} NOT IN ({})", list(&shown)),
            };
            let group = if shown.contains(&OTHER) { RARE } else { OTHER };
            made.push((format!("{name}_{group}"), condition));
        }
        if options.drop_first && !made.is_empty() {
            made.remove(0);
        }
        let mut visible = on.chain.visible().to_vec();
        visible.remove(place);
        for (at, (column, condition)) in made.into_iter().enumerate() {
            if visible.iter().any(|(other, _)| *other == column) {
                return Err(
                    Mistake::new(format!("there is a column '{column}' already")).hint("rename one of them")
                );
            }
            let expression = format!("CASE WHEN {condition} THEN 1 ELSE 0 END");
            let id = on.chain.add(&column, Kind::Integer, &[cell], expression);
            visible.insert(place + at, (column, id));
        }
        on.chain.set_visible(visible);
    }
    Ok(())
}

/// Categories that get a column, in the order of the alphabet, and whether there are others.
fn grouped<'a>(categories: &'a [(String, u64)], options: &OneHot) -> (Vec<&'a str>, bool) {
    let total: u64 = categories.iter().map(|(_, count)| count).sum();
    let least = options.min_share.unwrap_or(0.0) * total as f64;
    let mut shown: Vec<&str> = categories
        .iter()
        .filter(|(_, count)| *count as f64 >= least)
        .map(|(category, _)| category.as_str())
        .take(options.max_categories.unwrap_or(usize::MAX))
        .collect();
    shown.sort_unstable();
    let may_group = options.min_share.is_some() || options.max_categories.is_some();
    let grouped = may_group && shown.len() < categories.len();
    (shown, grouped)
}

pub(super) fn ordinal(options: &Ordinal, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    for place in on.resolve(&options.columns)? {
        let (name, kind) = on.column(place);
        let cell = on.add_text(on.cell(place));
        let order = match &options.order {
            Some(order) => Some(order.iter().map(|category| text_of(category, kind)).collect()),
            None => categories(&name, cell, on)?.map(|categories| in_order(categories, kind)),
        };
        let Some(order) = order else {
            on.change_later(place, Kind::Integer);
            continue;
        };
        let text = on.chain.sql(cell);
        let branches: Vec<(String, String)> = order
            .iter()
            .enumerate()
            .map(|(number, category)| (format!("{text} = {}", sql::text(category)), number.to_string()))
            .collect();
        let expression = format!("CAST({} AS BIGINT)", sql::case(&branches, "-1"));
        on.change(place, Kind::Integer, &[cell], expression);
    }
    Ok(())
}

/// How [`Compiler::text`] writes a category that somebody else has written.
fn text_of(category: &str, kind: Kind) -> String {
    match category.parse::<f64>() {
        Ok(number) if kind == Kind::Number && number.fract() == 0.0 => format!("{number:.0}"),
        _ => category.to_owned(),
    }
}

fn in_order(categories: Vec<(String, u64)>, kind: Kind) -> Vec<String> {
    let mut names: Vec<String> = categories.into_iter().map(|(name, _)| name).collect();
    match kind.is_numeric() {
        true => names.sort_by(|one, other| {
            let number = |text: &str| text.parse().unwrap_or(f64::INFINITY);
            number(one).total_cmp(&number(other))
        }),
        false => names.sort_unstable(),
    }
    names
}

pub(super) fn frequency(selection: &Selection, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    for place in on.resolve(selection)? {
        let (name, _) = on.column(place);
        let cell = on.add_text(on.cell(place));
        let live = on.chain.is_live().unwrap_or_else(|| "true".to_owned());
        let rows = on.aggregate(&name, "rows", &[], format!("count(CASE WHEN {live} THEN 1 END)"));
        let (Some(categories), Some(rows)) = (categories(&name, cell, on)?, rows) else {
            on.change_later(place, Kind::Number);
            continue;
        };
        let rows = rows.number().unwrap_or(0.0).max(1.0);
        let text = on.chain.sql(cell);
        let branches: Vec<(String, String)> = categories
            .iter()
            .map(|(category, count)| {
                (
                    format!("{text} = {}", sql::text(category)),
                    sql::number(*count as f64 / rows),
                )
            })
            .collect();
        let expression = sql::case(&branches, "0.0");
        on.change(place, Kind::Number, &[cell], expression);
    }
    Ok(())
}

/// Sum and number of values of the target.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    sum: f64,
    count: f64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    fn without(self, other: Self) -> Self {
        Self {
            sum: self.sum - other.sum,
            count: self.count - other.count,
        }
    }

    fn mean(self) -> f64 {
        match self.count > 0.0 {
            true => self.sum / self.count,
            false => 0.0,
        }
    }

    /// The mean, as if there were some more values, all of them `prior`.
    fn smoothed(self, prior: f64, smoothing: f64) -> f64 {
        match self.count + smoothing > 0.0 {
            true => (self.sum + smoothing * prior) / (self.count + smoothing),
            false => prior,
        }
    }
}

/// The encoding is that of Micci-Barreca, A preprocessing scheme for high-cardinality categorical attributes, 2001, with
/// a fixed weight of the prior, and out of fold for the rows that it is fitted on.
pub(super) fn target(options: &TargetEncode, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    if options.folds < 2 || options.folds > 100 {
        return Err(Mistake::new("folds are from 2 to 100"));
    }
    let target_place = on.place_of(&options.target)?;
    let (target_name, kind) = on.column(target_place);
    if !kind.is_numeric() && kind != Kind::Boolean {
        return Err(options
            .target
            .mistake(format!("the target is a number, and '{target_name}' is {kind}"))
            .hint("cast it to number first"));
    }
    let target = on.cell(target_place);
    let fold = fold_of(options.folds, on)?;
    for place in on.resolve(&options.columns)? {
        if place == target_place {
            return Err(Mistake::new(format!("'{target_name}' is the target")));
        }
        let (name, _) = on.column(place);
        let cell = on.add_text(on.cell(place));
        let Some(sums) = sums_of(&name, cell, target, fold, on) else {
            on.change_later(place, Kind::Number);
            continue;
        };
        let by_category = total(&sums, |(category, _)| category.clone());
        if by_category.len() > CATEGORIES_MAX {
            return Err(
                Mistake::new(format!("'{name}' has more than {CATEGORIES_MAX} categories"))
                    .hint("group them with replace first"),
            );
        }
        let by_fold = total(&sums, |(_, fold)| fold.clone());
        let everything = total(&sums, |_| ()).remove(&()).unwrap_or_default();
        let text = on.chain.sql(cell);
        let mut branches = Vec::new();
        let otherwise;
        match on.purpose {
            Purpose::Serve => {
                for (category, sums) in &by_category {
                    let value = sums.smoothed(everything.mean(), options.smoothing);
                    branches.push((format!("{text} = {}", sql::text(category)), sql::number(value)));
                }
                otherwise = sql::number(everything.mean());
                on.change(place, Kind::Number, &[cell], sql::case(&branches, &otherwise));
            }
            Purpose::Fit | Purpose::Look => {
                let fold_sql = on.chain.sql(fold);
                let mut priors = Vec::new();
                for (number, here) in &by_fold {
                    let prior = everything.without(*here).mean();
                    let is_here = format!("{fold_sql} = {number}");
                    for (category, all) in &by_category {
                        let own = sums
                            .get(&(category.clone(), number.clone()))
                            .copied()
                            .unwrap_or_default();
                        let value = all.without(own).smoothed(prior, options.smoothing);
                        let condition = format!("{is_here} AND {text} = {}", sql::text(category));
                        branches.push((condition, sql::number(value)));
                    }
                    priors.push((is_here, sql::number(prior)));
                }
                branches.extend(priors);
                otherwise = sql::number(everything.mean());
                on.change(
                    place,
                    Kind::Number,
                    &[cell, fold],
                    sql::case(&branches, &otherwise),
                );
            }
        }
    }
    Ok(())
}

/// The part that a row is in, which follows from what it came with.
fn fold_of(folds: u32, on: &mut Compiler<'_>) -> Result<Id, Mistake> {
    let row = on.row().ok_or_else(|| Mistake::new("rows have no hash"))?;
    let digits = on.chain.sql(row);
    let all = 16u64.pow(ROW_DIGITS);
    let branches: Vec<(String, String)> = (1..folds)
        .map(|fold| {
            let limit = u64::from(fold) * all / u64::from(folds);
            let limit = format!("{limit:0width$x}", width = ROW_DIGITS as usize);
            (
                format!("{digits} < {}", sql::text(&limit)),
                (fold - 1).to_string(),
            )
        })
        .collect();
    let expression = sql::case(&branches, &(folds - 1).to_string());
    Ok(on.chain.add("fold", Kind::Integer, &[row], expression))
}

type OfCategoryAndFold = BTreeMap<(String, String), Sums>;

fn sums_of(name: &str, cell: Id, target: Id, fold: Id, on: &mut Compiler<'_>) -> Option<OfCategoryAndFold> {
    let value = match on.chain.kind(target) {
        Kind::Boolean => format!("CAST(CAST({} AS INT) AS DOUBLE)", on.chain.sql(target)),
        _ => on.finite(target),
    };
    let by = vec![
        on.chain.sql(cell),
        format!("CAST({} AS TEXT)", on.chain.sql(fold)),
    ];
    let mut refs = vec![cell, target, fold];
    refs.extend(on.chain.fate());
    let mut ask = |what: &str, aggregate: String| {
        let question = Question::Groups {
            by: by.clone(),
            aggregate,
            condition: on.chain.is_live(),
        };
        on.ask(name, what, &refs, question)
    };
    let (sums, counts) = (
        ask("sums", format!("sum({value})")),
        ask("counts", format!("count({value})")),
    );
    let (Some(Value::Groups(sums)), Some(Value::Groups(counts))) = (sums, counts) else {
        return None;
    };
    let mut all = OfCategoryAndFold::new();
    for (groups, is_sum) in [(sums, true), (counts, false)] {
        for (group, value) in groups {
            let [Some(category), Some(fold)] = group.as_slice() else {
                continue;
            };
            let entry = all.entry((category.clone(), fold.clone())).or_default();
            let number = value.number().unwrap_or(0.0);
            match is_sum {
                true => entry.sum = number,
                false => entry.count = number,
            }
        }
    }
    Some(all)
}

fn total<K: Ord>(sums: &OfCategoryAndFold, key: impl Fn(&(String, String)) -> K) -> BTreeMap<K, Sums> {
    let mut totals = BTreeMap::new();
    for (of, sums) in sums {
        let total: &mut Sums = totals.entry(key(of)).or_default();
        total.add(*sums);
    }
    totals
}
