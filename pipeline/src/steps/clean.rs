//! Values that are wrong, missing, or beyond limits.

use jiff::fmt::strtime;

use super::expect::{literal, scalar};
use super::scale::{quantile, simple_quantile};
use crate::chain::Id;
use crate::compile::{Compiler, Question};
use crate::expression;
use crate::fitted::Value;
use crate::kind::Kind;
use crate::mistake::Mistake;
use crate::spec::{Cast, Clip, Impute, Name, OnError, Replace, Selection, Strategy, Type};
use crate::sql;

/// Groups that may have a value of their own.
const GROUPS_MAX: usize = 1000;
/// Signs that are passed over in numbers, if that is wanted.
const CURRENCY: &str = r"[$€£¥%]|\b[A-Z]{3}\b";
/// What means yes and no.
const YES: [&str; 6] = ["true", "t", "yes", "y", "on", "1"];
const NO: [&str; 6] = ["false", "f", "no", "n", "off", "0"];

pub(super) fn trim(selection: &Selection, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    for place in on.of_kind(selection, |kind| kind == Kind::Text, "texts", "leave it out")? {
        let cell = on.cell(place);
        let expression = sql::trimmed(&on.chain.sql(cell));
        on.change(place, Kind::Text, &[cell], expression);
    }
    Ok(())
}

pub(super) fn cast(options: &Cast, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    for place in on.resolve(&options.columns)? {
        let (name, from) = on.column(place);
        let cell = on.cell(place);
        let before = on.chain.sql(cell);
        let to = options.to.kind();
        if from == to && from != Kind::Number {
            continue;
        }
        if from == Kind::Text && matches!(to, Kind::Date | Kind::Timestamp) {
            options
                .formats
                .iter()
                .try_for_each(|format| check_format(format, to))?;
        }
        let refs = [cell];
        let expression = cast_of(&before, from, options);
        let cast = on.chain.add(&name, to, &refs, expression);
        let is_there = match from {
            Kind::Text => format!("{before} IS NOT NULL AND {} <> ''", sql::trimmed(&before)),
            _ => format!("NOT {}", on.is_missing(cell)),
        };
        let failed = format!("({is_there} AND {} IS NULL)", on.chain.sql(cast));
        let both = [cell, cast];
        match options.on_error {
            OnError::Null => on.count(&name, "failed", &both, &failed),
            OnError::Reject => on.doom("rejected", &format!("{name} is no {to}"), &failed, &both),
            OnError::Fail => on.verdict(&name, &both, &failed, format!("{name} is {to}"), true),
        }
        on.chain.set(place, cast);
    }
    Ok(())
}

fn cast_of(cell: &str, from: Kind, options: &Cast) -> String {
    let blank_is_null = |text: String| format!("NULLIF({text}, '')");
    match (options.to, from) {
        (Type::Text, Kind::Number) => {
            format!("CASE WHEN NOT isnan(CAST({cell} AS DOUBLE)) THEN CAST({cell} AS TEXT) END")
        }
        (Type::Text, _) => format!("CAST({cell} AS TEXT)"),
        (Type::Number, Kind::Text) => format!(
            "TRY_CAST({} AS DOUBLE)",
            blank_is_null(number_text(cell, options))
        ),
        (Type::Number, _) => format!("TRY_CAST({cell} AS DOUBLE)"),
        (Type::Integer, Kind::Text) => {
            let text = blank_is_null(number_text(cell, options));
            format!(
                "coalesce(TRY_CAST({text} AS BIGINT), {})",
                whole(&format!("TRY_CAST({text} AS DOUBLE)"))
            )
        }
        (Type::Integer, Kind::Number) => whole(&format!("CAST({cell} AS DOUBLE)")),
        (Type::Integer, _) => format!("TRY_CAST({cell} AS BIGINT)"),
        (Type::Boolean, Kind::Integer | Kind::Number) => {
            let number = format!("CAST({cell} AS DOUBLE) + 0.0");
            format!("CASE WHEN {number} = 1.0 THEN true WHEN {number} = 0.0 THEN false END")
        }
        (Type::Boolean, _) => {
            let text = format!("lower({})", sql::trimmed(&format!("CAST({cell} AS TEXT)")));
            let list = |words: [&str; 6]| words.map(sql::text).join(", ");
            format!(
                "CASE WHEN {text} IN ({}) THEN true WHEN {text} IN ({}) THEN false END",
                list(YES),
                list(NO)
            )
        }
        (Type::Date, Kind::Text) => from_formats("try_to_date", "DATE", cell, &options.formats),
        (Type::Date, _) => format!("TRY_CAST({cell} AS DATE)"),
        (Type::Timestamp, Kind::Text) => {
            from_formats("try_to_timestamp", "TIMESTAMP", cell, &options.formats)
        }
        (Type::Timestamp, _) => format!("TRY_CAST({cell} AS TIMESTAMP)"),
    }
}

/// A number that is whole, or null.
fn whole(number: &str) -> String {
    format!("CASE WHEN {number} = trunc({number}) THEN TRY_CAST({number} AS BIGINT) END")
}

fn number_text(cell: &str, options: &Cast) -> String {
    let mut text = sql::trimmed(cell);
    if options.currency {
        let bare = format!("regexp_replace({text}, {}, '', 'g')", sql::text(CURRENCY));
        text = sql::trimmed(&bare);
    }
    if let Some(thousands) = &options.thousands {
        text = format!("replace({text}, {}, '')", sql::text(thousands));
    }
    if let Some(decimal) = &options.decimal {
        text = format!("replace({text}, {}, '.')", sql::text(decimal));
    }
    text
}

fn from_formats(function: &str, sql_type: &str, cell: &str, formats: &[Name]) -> String {
    let text = sql::trimmed(cell);
    if formats.is_empty() {
        return format!("TRY_CAST(NULLIF({text}, '') AS {sql_type})");
    }
    let formats: Vec<String> = formats.iter().map(|format| sql::text(format)).collect();
    format!("{function}({text}, {})", formats.join(", "))
}

/// Whether a day or a time that is written so can be read again.
fn check_format(format: &Name, to: Kind) -> Result<(), Mistake> {
    let time = jiff::Zoned::new(jiff::Timestamp::UNIX_EPOCH, jiff::tz::TimeZone::UTC);
    let wrong = |what: String| {
        format
            .mistake(format!("'{}' is no format of a {to}: {what}", **format))
            .hint("write it as strftime does, such as %Y-%m-%d or %d.%m.%Y %H:%M:%S")
    };
    let written = strtime::format(format.as_str(), &time).map_err(|error| wrong(error.to_string()))?;
    let read = strtime::parse(format.as_str(), &written).map_err(|error| wrong(error.to_string()))?;
    match read.to_date().is_ok() || to == Kind::Timestamp && read.to_timestamp().is_ok() {
        true => Ok(()),
        false => Err(wrong("it says no day".to_owned())),
    }
}

pub(super) fn replace(options: &Replace, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    if options.values.is_empty() && options.pattern.is_none() && options.others.is_none() {
        return Err(Mistake::new("nothing is replaced").hint("add values, others or pattern"));
    }
    let pattern = match &options.pattern {
        Some(pattern) => Some((pattern, expression::pattern(pattern, on)?)),
        None => None,
    };
    for place in on.resolve(&options.columns)? {
        let (name, kind) = on.column(place);
        let cell = on.cell(place);
        let mut value = match kind {
            Kind::Text => format!("CAST({} AS TEXT)", on.chain.sql(cell)),
            _ => on.chain.sql(cell),
        };
        // -0.0 is 0.0.
        let compared = |value: &str| match kind {
            Kind::Number => format!("CAST({value} AS DOUBLE) + 0.0"),
            _ => value.to_owned(),
        };
        if let Some((pattern, sql)) = &pattern {
            if kind != Kind::Text {
                return Err(pattern.mistake(format!("pattern is about texts, and '{name}' is {kind}")));
            }
            let with = options.with.as_deref().unwrap_or_default();
            value = format!("regexp_replace({value}, {sql}, {}, 'g')", sql::text(with));
        }
        let mut branches = Vec::with_capacity(options.values.len());
        for (old, new) in options.values.iter() {
            let old = literal(&scalar(old, kind), &name, kind, on)?;
            let new = literal(new, &name, kind, on)?;
            branches.push((format!("{} = {old}", compared(&value)), new));
        }
        let otherwise = match &options.others {
            Some(other) => {
                let other = literal(other, &name, kind, on)?;
                format!("CASE WHEN {value} IS NOT NULL THEN {other} END")
            }
            None => value.clone(),
        };
        let expression = sql::case(&branches, &otherwise);
        on.change(place, kind, &[cell], expression);
    }
    Ok(())
}

pub(super) fn impute(options: &Impute, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let places = match options.strategy {
        Strategy::Mean | Strategy::Median => on.numeric(&options.columns)?,
        Strategy::Mode | Strategy::Constant => on.resolve(&options.columns)?,
    };
    match (options.strategy, &options.value) {
        (Strategy::Constant, None) => {
            return Err(Mistake::new("strategy constant needs a value").hint("add value"));
        }
        (Strategy::Constant, Some(_)) | (_, None) => {}
        (_, Some(_)) => return Err(Mistake::new("value is for strategy constant")),
    }
    let by = match &options.by {
        Some(_) if matches!(options.strategy, Strategy::Mode | Strategy::Constant) => {
            return Err(Mistake::new("by is for strategies mean and median"));
        }
        Some(by) => {
            let places = on.resolve(by)?.into_iter();
            places.map(|place| on.add_text(on.cell(place))).collect()
        }
        None => Vec::new(),
    };
    for place in places {
        impute_one(place, options, &by, on)?;
    }
    Ok(())
}

fn impute_one(place: usize, options: &Impute, by: &[Id], on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let (name, kind) = on.column(place);
    let cell = on.cell(place);
    let missing = on.is_missing(cell);
    on.count(&name, "missing", &[cell], &missing);
    let becomes = match options.strategy {
        Strategy::Mean | Strategy::Median => Kind::Number,
        Strategy::Mode | Strategy::Constant => kind,
    };
    let fill = match (options.strategy, &options.value) {
        (Strategy::Constant, Some(value)) => Some(literal(value, &name, kind, on)?),
        _ => learned_fill(&name, cell, options.strategy, by, on)?,
    };
    if options.indicator {
        let indicator = format!("{name}_missing");
        let id = on.chain.add(
            &indicator,
            Kind::Integer,
            &[cell],
            format!("CASE WHEN {missing} THEN 1 ELSE 0 END"),
        );
        on.append(&indicator, id)?;
    }
    match fill {
        Some(fill) => {
            let value = match becomes {
                Kind::Number => format!("CAST({} AS DOUBLE)", on.chain.sql(cell)),
                // There are several types of texts, and literals have one.
                Kind::Text => format!("CAST({} AS TEXT)", on.chain.sql(cell)),
                _ => on.chain.sql(cell),
            };
            let expression = sql::case(&[(missing, fill)], &value);
            let mut refs = vec![cell];
            refs.extend(by);
            on.change(place, becomes, &refs, expression);
        }
        None => on.change_later(place, becomes),
    }
    Ok(())
}

/// What takes the place of a missing value, as SQL; None: it is asked.
fn learned_fill(
    name: &str,
    cell: Id,
    strategy: Strategy,
    by: &[Id],
    on: &mut Compiler<'_>,
) -> Result<Option<String>, Mistake> {
    let kind = on.chain.kind(cell);
    let value = on.finite(cell);
    let (what, aggregate) = match strategy {
        Strategy::Mean => ("mean", format!("avg({value})")),
        Strategy::Median => ("median", simple_quantile(0.5, &value)),
        Strategy::Mode | Strategy::Constant => {
            let value = match kind {
                // -0.0 is 0.0.
                Kind::Number => format!("{value} + 0.0"),
                _ => on.live(&on.chain.sql(cell)),
            };
            let mut refs = vec![cell];
            refs.extend(on.chain.fate());
            let mode = on.ask(name, "mode", &refs, Question::Mode { value });
            return Ok(mode.map(|mode| mode.sql(kind.sql_type())));
        }
    };
    let all = on.aggregate(name, what, &[cell], aggregate.clone());
    if by.is_empty() {
        return Ok(all.map(|all| all.sql("DOUBLE")));
    }
    let mut refs = vec![cell];
    refs.extend(by);
    refs.extend(on.chain.fate());
    let texts: Vec<String> = by.iter().map(|id| on.chain.sql(*id)).collect();
    let question = Question::Groups {
        by: texts.clone(),
        aggregate,
        condition: on.chain.is_live(),
    };
    let groups = on.ask(name, &format!("{what} by group"), &refs, question);
    let (Some(all), Some(Value::Groups(groups))) = (all, groups) else {
        return Ok(None);
    };
    if groups.len() > GROUPS_MAX {
        return Err(
            Mistake::new(format!("there are {} groups for '{name}'", groups.len())).hint(format!(
                "use columns with fewer values: {GROUPS_MAX} groups may have a value of their own"
            )),
        );
    }
    let branches: Vec<(String, String)> = groups
        .iter()
        .filter(|(_, value)| *value != Value::Null)
        .map(|(group, value)| {
            let equal: Vec<String> = texts
                .iter()
                .zip(group)
                .map(|(text, value)| match value {
                    Some(value) => format!("{text} = {}", sql::text(value)),
                    None => format!("{text} IS NULL"),
                })
                .collect();
            (equal.join(" AND "), value.sql("DOUBLE"))
        })
        .collect();
    Ok(Some(sql::case(&branches, &all.sql("DOUBLE"))))
}

pub(super) fn clip(options: &Clip, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let fixed = options.lower.is_some() || options.upper.is_some();
    let ways = [
        fixed,
        options.quantiles.is_some(),
        options.iqr.is_some(),
        options.deviations.is_some(),
    ];
    if ways.iter().filter(|way| **way).count() != 1 {
        return Err(Mistake::new("clip needs its limits in one way")
            .hint("give lower and upper, or one of quantiles, iqr and deviations"));
    }
    if let Some([low, high]) = options.quantiles
        && !(0.0 <= low && low < high && high <= 1.0)
    {
        return Err(Mistake::new(format!("[{low}, {high}] are no quantiles"))
            .hint("write two from 0 to 1, the lesser first"));
    }
    if let (Some(lower), Some(upper)) = (options.lower, options.upper)
        && lower > upper
    {
        return Err(Mistake::new(format!("clip: lower is {lower}, and upper is {upper}")).hint("swap them"));
    }
    for place in on.numeric(&options.columns)? {
        let (name, _) = on.column(place);
        let cell = on.cell(place);
        match limits(options, &name, cell, on) {
            Some((lower, upper)) => {
                let value = format!("CAST({} AS DOUBLE)", on.chain.sql(cell));
                let mut branches = vec![(on.is_missing(cell), value.clone())];
                for (limit, sign) in [(lower, "<"), (upper, ">")] {
                    branches.extend(limit.map(|limit| {
                        (
                            format!("{value} {sign} {}", sql::number(limit)),
                            sql::number(limit),
                        )
                    }));
                }
                let expression = sql::case(&branches, &value);
                on.change(place, Kind::Number, &[cell], expression);
            }
            None => on.change_later(place, Kind::Number),
        }
    }
    Ok(())
}

type Limits = (Option<f64>, Option<f64>);

fn limits(options: &Clip, name: &str, cell: Id, on: &mut Compiler<'_>) -> Option<Limits> {
    let value = on.finite(cell);
    // All are asked before any is needed.
    let (one, other, width) = match (options.quantiles, options.iqr, options.deviations) {
        (Some([low, high]), ..) => {
            let low = quantile(name, "lower", low, cell, on);
            let high = quantile(name, "upper", high, cell, on);
            return Some((low?.number(), high?.number()));
        }
        (_, Some(width), _) => (
            quantile(name, "q1", 0.25, cell, on),
            quantile(name, "q3", 0.75, cell, on),
            width,
        ),
        (_, _, Some(width)) => (
            on.aggregate(name, "mean", &[cell], format!("avg({value})")),
            on.aggregate(name, "deviation", &[cell], format!("stddev_pop({value})")),
            width,
        ),
        _ => return Some((options.lower, options.upper)),
    };
    let (one, other) = (one?.number(), other?.number());
    let (Some(one), Some(other)) = (one, other) else {
        return Some((None, None));
    };
    Some(match options.iqr {
        Some(_) => (
            Some(one - width * (other - one)),
            Some(other + width * (other - one)),
        ),
        None => (Some(one - width * other), Some(one + width * other)),
    })
}
