//! Which columns there are, and new ones from old.

use crate::chain::Id;
use crate::compile::Compiler;
use crate::expression;
use crate::kind::Kind;
use crate::mistake::Mistake;
use crate::spec::{DatePart, DateParts, Name, Pairs, Selection};
use crate::sql;

pub(super) fn rename(names: &Pairs<Name>, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let mut visible = on.chain.visible().to_vec();
    for (old, new) in names.iter() {
        visible[on.place_of(old)?].0.clone_from(new);
    }
    for (_, new) in names.iter() {
        if visible.iter().filter(|(name, _)| *name == **new).count() > 1 {
            return Err(new.mistake(format!("there would be two columns '{}'", **new)));
        }
    }
    on.chain.set_visible(visible);
    Ok(())
}

pub(super) fn select(selection: &Selection, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let places = on.resolve(selection)?;
    let visible = on.chain.visible();
    let kept = places.into_iter().map(|place| visible[place].clone()).collect();
    keep(kept, on)
}

fn keep(kept: Vec<(String, Id)>, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    if kept.is_empty() {
        return Err(Mistake::new("no column would be left"));
    }
    on.chain.set_visible(kept);
    Ok(())
}

pub(super) fn drop(selection: &Selection, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let places = on.resolve(selection)?;
    let visible = on.chain.visible().iter().enumerate();
    let kept: Vec<_> = visible
        .filter(|(place, _)| !places.contains(place))
        .map(|(_, column)| column.clone())
        .collect();
    keep(kept, on)
}

pub(super) fn derive(expressions: &Pairs<Name>, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    for (name, text) in expressions.iter() {
        let expression = expression::read(text, &on.chain)?;
        let kind = on
            .kind_of(name, &expression.refs, &expression.sql)
            .unwrap_or(Kind::Other);
        let columns = on.chain.columns();
        let place = match columns
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(name))
        {
            true => Some(on.place_of(name)?),
            false => None,
        };
        let id = on.chain.add(name, kind, &expression.refs, expression.sql);
        match place {
            Some(place) => on.chain.set(place, id),
            None => on.append(name, id)?,
        }
    }
    Ok(())
}

pub(super) fn date_parts(options: &DateParts, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let is_date = |kind| matches!(kind, Kind::Date | Kind::Timestamp);
    let places = on.of_kind(&options.columns, is_date, "dates", "cast it to date first")?;
    for place in places {
        let (name, _) = on.column(place);
        let cell = on.cell(place);
        for part in &options.parts {
            let expression = part_of(*part, &on.chain.sql(cell), options.since.as_ref());
            let made = format!("{name}_{}", part.word());
            let id = on.chain.add(&made, Kind::Integer, &[cell], expression);
            on.append(&made, id)?;
        }
    }
    Ok(())
}

fn part_of(part: DatePart, date: &str, since: Option<&Name>) -> String {
    let field = match part {
        // PostgreSQL's dow is 0 on Sunday.
        DatePart::Weekday => return format!("CAST((date_part('dow', {date}) + 6) % 7 AS BIGINT)"),
        DatePart::Days => {
            let since = since.map_or("1970-01-01", |since| since.as_str());
            let days = |date: &str| format!("CAST(CAST({date} AS DATE) AS INT)");
            return format!("CAST({} - {} AS BIGINT)", days(date), days(&sql::text(since)));
        }
        DatePart::DayOfYear => "doy",
        other => other.word(),
    };
    format!("CAST(date_part('{field}', {date}) AS BIGINT)")
}
