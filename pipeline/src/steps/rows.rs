//! Which rows there are.

use crate::compile::{Compiler, Purpose};
use crate::expression;
use crate::kind::Kind;
use crate::mistake::Mistake;
use crate::spec::{DropDuplicates, Keep, Name, Split};
use crate::sql;

pub(super) fn drop_duplicates(options: &DropDuplicates, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let Some(key) = &options.key else {
        if options.order_by.is_some() {
            return Err(Mistake::new("order_by decides nothing among equal rows").hint("give the key too"));
        }
        if on.purpose == Purpose::Fit {
            on.store_distinct();
        }
        return Ok(());
    };
    let Some(order) = &options.order_by else {
        return Err(
            Mistake::new("rows with the same key are in no order").hint("say with order_by which is first")
        );
    };
    let (key, order) = (on.resolve(key)?, on.resolve(order)?);
    if on.purpose != Purpose::Fit {
        return Ok(());
    }
    let cells = |places: &[usize]| places.iter().map(|place| on.cell(*place)).collect::<Vec<_>>();
    let (key, order) = (cells(&key), cells(&order));
    let mut by: Vec<String> = key.iter().map(|id| on.chain.sql(*id)).collect();
    by.extend(on.chain.is_live());
    let direction = match options.keep {
        Keep::First => "ASC NULLS LAST",
        Keep::Last => "DESC NULLS LAST",
    };
    let order_sql: Vec<String> = order
        .iter()
        .map(|id| format!("{} {direction}", on.chain.sql(*id)))
        .collect();
    let mut refs = [key, order].concat();
    refs.extend(on.chain.fate());
    let number = format!(
        "row_number() OVER (PARTITION BY {} ORDER BY {})",
        by.join(", "),
        order_sql.join(", ")
    );
    let number = on.chain.add("number", Kind::Integer, &refs, number);
    let condition = format!("{} > 1", on.chain.sql(number));
    on.doom("dropped", "duplicate", &condition, &[number]);
    on.store();
    Ok(())
}

pub(super) fn filter(condition: &Name, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let expression = expression::read_condition(condition, on)?;
    let doomed = format!("{} IS NOT TRUE", expression.sql);
    on.doom("dropped", condition, &doomed, &expression.refs);
    Ok(())
}

pub(super) fn split(options: &Split, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    if !(0.0..=1.0).contains(&options.test) {
        return Err(Mistake::new(format!(
            "test is a share from 0 to 1, and not {}",
            options.test
        )));
    }
    let key: Vec<_> = on
        .resolve(&options.key)?
        .into_iter()
        .map(|place| on.cell(place))
        .collect();
    let texts: Vec<String> = key.iter().map(|id| on.text(*id)).collect();
    let is_test = sql::is_in_share(options.test, &options.seed.to_string(), texts);
    let expression = format!("CASE WHEN {is_test} THEN 'test' ELSE 'train' END");
    let id = on.chain.add(&options.column, Kind::Text, &key, expression);
    on.append(&options.column, id)
}
