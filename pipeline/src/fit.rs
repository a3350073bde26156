//! Learning: questions become queries, and answers come back, until there are none.
//!
//! Each round asks everything that can be asked by then. Aggregates share one query, so a round is one pass over the
//! rows for these, and one for each column whose categories are counted. Rows are stored in between where a source would
//! be read again and again, and where equal rows become one.

use crate::compile::{Ask, Compiled, Known, Purpose, Question, compile};
use crate::fitted::{Fitted, Value};
use crate::kind::{Column, Kind};
use crate::mistake::Mistake;
use crate::spec::Spec;
use crate::sql;

/// Rounds after which something is wrong with a pipeline: each step needs no more than two.
const ROUNDS_MAX: usize = 10_000;
/// Aggregates that share a query. A planner's work grows faster than their number.
const AGGREGATES_MAX: usize = 400;

/// Whoever runs SQL.
pub trait Engine {
    /// What goes wrong.
    type Error: From<Mistake>;

    /// The columns of a query, which is not run.
    fn columns(&mut self, query: &str) -> impl Future<Output = Result<Vec<Column>, Self::Error>> + Send;

    /// The rows of a query, of numbers, texts and truth values.
    fn rows(&mut self, query: &str) -> impl Future<Output = Result<Vec<Vec<Value>>, Self::Error>> + Send;

    /// Stores the rows of a query as a table in memory that goes when the pipeline has ended.
    fn store(&mut self, table: &str, query: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// A round begins, and what it is about.
    fn tell(&mut self, what: &str);
}

/// Learns everything that a pipeline needs from the rows of a relation. The chain that comes back has all of it.
///
/// # Errors
/// Steps that the columns do not allow, and whatever the engine says.
pub async fn fit<E: Engine + Send>(
    spec: &Spec,
    relation: &str,
    columns: &[Column],
    prefix: &str,
    engine: &mut E,
) -> Result<(Compiled, Known), E::Error> {
    let mut known = Known {
        prefix: prefix.to_owned(),
        ..Known::default()
    };
    for _ in 0..ROUNDS_MAX {
        let compiled = compile(spec, relation, columns, &known, Purpose::Fit)?;
        if !compiled.kinds.is_empty() {
            find_kinds(&compiled, &mut known, engine).await?;
            continue;
        }
        let ready: Vec<&Ask> = compiled.asks.iter().filter(|ask| ask.ready).collect();
        if !ready.is_empty() {
            engine.tell(&steps_of(&ready));
            answer(&compiled, &ready, &mut known.fitted, engine).await?;
            continue;
        }
        match &compiled.store {
            Some(store) if store.ready => {
                engine.tell("rows into memory");
                engine.store(&store.table, &store.query).await?;
                known.stored += 1;
            }
            None if compiled.asks.is_empty() => return Ok((compiled, known)),
            _ => break,
        }
    }
    Err(Mistake::new("the steps wait for each other").into())
}

/// Looks whether a pipeline fits a relation, without reading a row.
///
/// # Errors
/// Steps that the columns do not allow, and whatever the engine says.
pub async fn check<E: Engine + Send>(
    spec: &Spec,
    relation: &str,
    columns: &[Column],
    prefix: &str,
    engine: &mut E,
) -> Result<Compiled, E::Error> {
    let mut known = Known {
        prefix: prefix.to_owned(),
        ..Known::default()
    };
    // Kinds are found out as if nothing were stored in between, which is all the same for them.
    for _ in 0..ROUNDS_MAX {
        let compiled = compile(spec, relation, columns, &known, Purpose::Look)?;
        if compiled.kinds.is_empty() {
            return Ok(compiled);
        }
        find_kinds(&compiled, &mut known, engine).await?;
    }
    Err(Mistake::new("the steps wait for each other").into())
}

/// The chain of a pipeline over another relation, with what was learned before.
///
/// # Errors
/// Columns that the relation has not, and whatever the engine says.
pub async fn serve<E: Engine + Send>(
    spec: &Spec,
    relation: &str,
    columns: &[Column],
    fitted: Fitted,
    engine: &mut E,
) -> Result<Compiled, E::Error> {
    let mut known = Known {
        fitted,
        ..Known::default()
    };
    for _ in 0..ROUNDS_MAX {
        let compiled = compile(spec, relation, columns, &known, Purpose::Serve)?;
        if compiled.kinds.is_empty() {
            return Ok(compiled);
        }
        find_kinds(&compiled, &mut known, engine).await?;
    }
    Err(Mistake::new("the steps wait for each other").into())
}

async fn find_kinds<E: Engine + Send>(
    compiled: &Compiled,
    known: &mut Known,
    engine: &mut E,
) -> Result<(), E::Error> {
    for ((step, column), query) in &compiled.kinds {
        let found = engine.columns(query).await?;
        let kind = found.first().map_or(Kind::Other, |column| column.kind);
        known.kinds.insert((*step, column.clone()), kind);
    }
    Ok(())
}

/// `steps 3 impute, 5 standardize`.
fn steps_of(asks: &[&Ask]) -> String {
    let mut steps: Vec<&str> = asks.iter().map(|ask| ask.key.step.as_str()).collect();
    steps.dedup();
    format!("learn {}", steps.join(", "))
}

async fn answer<E: Engine + Send>(
    compiled: &Compiled,
    asks: &[&Ask],
    fitted: &mut Fitted,
    engine: &mut E,
) -> Result<(), E::Error> {
    let aggregates: Vec<(&Ask, &String)> = asks
        .iter()
        .filter_map(|ask| match &ask.question {
            Question::Aggregate(sql) => Some((*ask, sql)),
            _ => None,
        })
        .collect();
    for part in aggregates.chunks(AGGREGATES_MAX) {
        let head: Vec<String> = part
            .iter()
            .enumerate()
            .map(|(number, (_, sql))| format!("{sql} AS a{number}"))
            .collect();
        let mut refs: Vec<_> = part.iter().flat_map(|(ask, _)| ask.refs.clone()).collect();
        refs.sort_unstable();
        refs.dedup();
        let rows = engine
            .rows(&compiled.chain.query(&head.join(", "), &refs, ""))
            .await?;
        let mut values = rows.into_iter().next().unwrap_or_default().into_iter();
        for (ask, _) in part {
            fitted.insert(ask.key.clone(), values.next().unwrap_or(Value::Null));
        }
    }
    for ask in asks {
        if let Some((query, read)) = query_of(compiled, ask) {
            let rows = engine.rows(&query).await?;
            fitted.insert(ask.key.clone(), read(rows));
        }
    }
    Ok(())
}

type Read = fn(Vec<Vec<Value>>) -> Value;

/// The query of a question that has its own, and what its rows mean.
fn query_of(compiled: &Compiled, ask: &Ask) -> Option<(String, Read)> {
    let chain = &compiled.chain;
    let most = crate::CATEGORIES_MAX + 1;
    match &ask.question {
        Question::Aggregate(_) => None,
        Question::Categories { value } => {
            let head = format!("{value} AS category, count(*) AS rows");
            let tail = format!(
                "WHERE {value} IS NOT NULL GROUP BY {value} ORDER BY rows DESC, category LIMIT {most}"
            );
            Some((chain.query(&head, &ask.refs, &tail), |rows| {
                Value::Categories(rows.into_iter().filter_map(category_of).collect())
            }))
        }
        Question::Mode { value } => {
            let head = format!("{value} AS category, count(*) AS rows");
            let tail =
                format!("WHERE {value} IS NOT NULL GROUP BY {value} ORDER BY rows DESC, category LIMIT 1");
            Some((chain.query(&head, &ask.refs, &tail), |rows| {
                let first = rows.into_iter().next().and_then(|row| row.into_iter().next());
                first.unwrap_or(Value::Null)
            }))
        }
        Question::Groups {
            by,
            aggregate,
            condition,
        } => {
            let names: Vec<String> = (0..by.len())
                .map(|number| sql::ident(&format!("g{number}")))
                .collect();
            let head: Vec<String> = by
                .iter()
                .zip(&names)
                .map(|(by, name)| format!("{by} AS {name}"))
                .chain([format!("{aggregate} AS answer")])
                .collect();
            let condition = condition
                .as_ref()
                .map_or(String::new(), |condition| format!("WHERE {condition} "));
            let tail = format!("{condition}GROUP BY {}", by.join(", "));
            Some((chain.query(&head.join(", "), &ask.refs, &tail), |rows| {
                Value::Groups(rows.into_iter().filter_map(group_of).collect())
            }))
        }
    }
}

fn category_of(row: Vec<Value>) -> Option<(String, u64)> {
    match row.as_slice() {
        [Value::Text(category), Value::Number(count)] => Some((category.clone(), *count as u64)),
        _ => None,
    }
}

fn group_of(mut row: Vec<Value>) -> Option<(Vec<Option<String>>, Value)> {
    let value = row.pop()?;
    let text = |value| match value {
        Value::Text(text) => Some(text),
        _ => None,
    };
    Some((row.into_iter().map(text).collect(), value))
}
