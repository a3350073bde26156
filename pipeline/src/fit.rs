//! Learning: questions become queries, and answers come back, until there are none.
//!
//! Each round asks everything that can be asked by then. Aggregates share one query, and categories are counted by one,
//! so a round is one pass over the rows for these; modes, groups and what must be unique have queries of their own. Rows
//! are stored in between where a source would be read again and again, and where equal rows become one.

use crate::aggregates::{Counted, ask_few_values, ask_in_parts, numbered, value_and_rows};
use crate::compile::{Ask, Compiled, Distinct, Kinds, Known, Purpose, Question, Repeats, compile};
use crate::fitted::{Fitted, Key, Value};
use crate::kind::{Column, Kind};
use crate::mistake::Mistake;
use crate::spec::Spec;
use crate::sql;

/// Rounds after which something is wrong with a pipeline: each step needs no more than two.
const ROUNDS_MAX: usize = 10_000;
/// Categories that are asked for: one more than there may be, to know that there are too many.
const CATEGORIES_ASKED: usize = crate::CATEGORIES_MAX + 1;
/// Different values that are counted beside other questions. More of them have a query of their own, which can spill.
const CATEGORIES_IN_MEMORY: usize = 10_000;

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

    /// Whether a query is not too long to be asked.
    fn fits(&self, query: &str) -> bool;

    /// A pass begins: what is done, and for which steps.
    fn tell(&mut self, what: &str, steps: &[String]);
}

/// What came of learning.
#[derive(Debug, Clone)]
pub struct Learned {
    /// The pipeline over the rows that it was learned from.
    pub compiled: Compiled,
    /// The pipeline over any other rows, in a table `source`.
    pub serving: Compiled,
    /// What was learned.
    pub fitted: Fitted,
}

/// Learns everything that a pipeline needs from the rows of a relation, of which [`check`] has found some `kinds`. The
/// chains that come back have all of it.
///
/// # Errors
/// Steps that the columns do not allow, and whatever the engine says.
pub async fn fit<E: Engine + Send>(
    spec: &Spec,
    relation: &str,
    columns: &[Column],
    prefix: &str,
    kinds: Kinds,
    engine: &mut E,
) -> Result<Learned, E::Error> {
    let mut known = Known {
        prefix: prefix.to_owned(),
        kinds,
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
            match steps_of(&ready).as_slice() {
                [] => engine.tell("count the rows of the source", &[]),
                steps => engine.tell("learn", steps),
            }
            answer(&compiled, &ready, &mut known.fitted, engine).await?;
            continue;
        }
        match &compiled.store {
            Some(store) if store.ready => {
                match &store.step {
                    Some(step) => engine.tell("rows into memory, as far as", std::slice::from_ref(step)),
                    None => engine.tell("read the source into memory", &[]),
                }
                engine.store(&store.table, &store.query).await?;
                if let Some(distinct) = &store.distinct {
                    let repeats = find_repeats(distinct, engine).await?;
                    known.repeats.insert(known.stored, repeats);
                }
                known.stored += 1;
            }
            None if compiled.asks.is_empty() => {
                let serving = compile(spec, "source", columns, &known, Purpose::Serve)?;
                let Known {
                    mut fitted, kinds, ..
                } = known;
                remember_source(&serving, columns, &mut fitted);
                for ((number, column), kind) in &kinds {
                    let key = Key::kind_of_expression(&spec.step_name(*number), column);
                    fitted.insert(key, Value::Text(kind.to_string()));
                }
                return Ok(Learned {
                    compiled,
                    serving,
                    fitted,
                });
            }
            _ => break,
        }
    }
    Err(Mistake::new("the steps wait for each other").into())
}

/// Makes of a stored table what is needed to read equal rows as one.
async fn find_repeats<E: Engine + Send>(distinct: &Distinct, engine: &mut E) -> Result<Repeats, E::Error> {
    engine.store(&distinct.repeated.0, &distinct.repeated.1).await?;
    let counts = engine.rows(&distinct.counts).await?;
    let count = |place: usize| counts.first()?.get(place)?.number();
    let (rows, repeated) = (count(0).unwrap_or(0.0), count(1).unwrap_or(0.0));
    if repeated == 0.0 {
        return Ok(Repeats::None);
    }
    engine.store(&distinct.groups.0, &distinct.groups.1).await?;
    if 2.0 * repeated < rows {
        return Ok(Repeats::Few);
    }
    engine.store(&distinct.rest.0, &distinct.rest.1).await?;
    Ok(Repeats::Most)
}

/// Looks whether a pipeline fits a relation, without reading a row, and finds out about its expressions.
///
/// # Errors
/// Steps that the columns do not allow, and whatever the engine says.
pub async fn check<E: Engine + Send>(
    spec: &Spec,
    relation: &str,
    columns: &[Column],
    prefix: &str,
    engine: &mut E,
) -> Result<(Compiled, Kinds), E::Error> {
    let mut known = Known {
        prefix: prefix.to_owned(),
        ..Known::default()
    };
    // Kinds are found out as if nothing were stored in between, which is all the same for them.
    for _ in 0..ROUNDS_MAX {
        let compiled = compile(spec, relation, columns, &known, Purpose::Look)?;
        if compiled.kinds.is_empty() {
            return Ok((compiled, known.kinds));
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
    check_source(&fitted, columns)?;
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

/// Files all columns, and the kinds of those that the rows are made of: others are only handed on, and may be what they
/// like where the pipeline is applied.
fn remember_source(serving: &Compiled, columns: &[Column], fitted: &mut Fitted) {
    fitted.set_columns(columns);
    let used = serving.chain.used();
    let sources = serving.source.iter().zip(columns);
    for ((name, _), column) in sources.filter(|((_, id), _)| used.contains(id)) {
        fitted.insert(Key::kind_of_source(name), Value::Text(column.kind.to_string()));
    }
}

/// Looks whether a relation has the columns that a pipeline was fitted on. A version that does not say which is taken as
/// it is.
fn check_source(fitted: &Fitted, columns: &[Column]) -> Result<(), Mistake> {
    for (key, value) in fitted.iter() {
        let Value::Text(kind) = value else { continue };
        if key != Key::kind_of_source(&key.column) {
            continue;
        }
        let place =
            crate::spec::find(&key.column, columns).map_err(|(what, hint)| Mistake::new(what).hint(hint))?;
        let here = columns[place].kind.to_string();
        if here != *kind {
            let what = format!(
                "'{}' is {here}, and was {kind} when the pipeline was run",
                key.column
            );
            return Err(Mistake::new(what).hint("cast it in a view, and apply the pipeline to that"));
        }
    }
    Ok(())
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

/// The steps that ask, such as `3 impute` and `5 standardize`.
fn steps_of(asks: &[&Ask]) -> Vec<String> {
    let of_steps = asks.iter().filter(|ask| !ask.key.is_of_source());
    let mut steps: Vec<String> = of_steps.map(|ask| ask.key.step.clone()).collect();
    steps.dedup();
    steps
}

async fn answer<E: Engine + Send>(
    compiled: &Compiled,
    asks: &[&Ask],
    fitted: &mut Fitted,
    engine: &mut E,
) -> Result<(), E::Error> {
    let aggregates: Vec<(&Ask, String)> = asks
        .iter()
        .filter_map(|ask| match &ask.question {
            Question::Aggregate(sql) => Some((*ask, sql.clone())),
            Question::Categories { value } => Some((
                *ask,
                ask_few_values(value, CATEGORIES_ASKED, CATEGORIES_IN_MEMORY),
            )),
            _ => None,
        })
        .collect();
    let query = |part: &[(&Ask, String)]| query_of_aggregates(compiled, part);
    let answers = ask_in_parts(&aggregates, query, engine).await?;
    for ((ask, _), value) in aggregates.iter().zip(answers) {
        let answer = match ask.question {
            Question::Categories { .. } => Counted::of(&value).map(|counted| Value::Categories(counted.top)),
            _ => Some(value),
        };
        if let Some(answer) = answer {
            fitted.insert(ask.key.clone(), answer);
        }
    }
    // Those that no aggregate answers, and categories that are too many for it.
    let open: Vec<&&Ask> = asks.iter().filter(|ask| fitted.get(&ask.key).is_none()).collect();
    for ask in open {
        if let Some((query, read)) = query_of(compiled, ask) {
            let rows = engine.rows(&query).await?;
            fitted.insert(ask.key.clone(), read(rows));
        }
    }
    Ok(())
}

fn query_of_aggregates(compiled: &Compiled, asks: &[(&Ask, String)]) -> String {
    let head: Vec<&String> = asks.iter().map(|(_, sql)| sql).collect();
    let mut refs: Vec<_> = asks.iter().flat_map(|(ask, _)| ask.refs.clone()).collect();
    refs.sort_unstable();
    refs.dedup();
    compiled.chain.query(&numbered(&head), &refs, "")
}

type Read = fn(Vec<Vec<Value>>) -> Value;

/// The query of a question that has its own, and what its rows mean.
fn query_of(compiled: &Compiled, ask: &Ask) -> Option<(String, Read)> {
    let chain = &compiled.chain;
    match &ask.question {
        Question::Aggregate(_) => None,
        Question::Categories { value } => {
            let head = format!("{value} AS category, count(*) AS rows");
            let tail = format!(
                "WHERE {value} IS NOT NULL GROUP BY {value} ORDER BY rows DESC, category LIMIT {CATEGORIES_ASKED}"
            );
            Some((chain.query(&head, &ask.refs, &tail), |rows| {
                Value::Categories(rows.into_iter().filter_map(value_and_rows).collect())
            }))
        }
        Question::Mode { value } => {
            // As a text, which has all digits of any number.
            let head = format!("CAST({value} AS TEXT) AS category, count(*) AS rows");
            let tail =
                format!("WHERE {value} IS NOT NULL GROUP BY {value} ORDER BY rows DESC, {value} LIMIT 1");
            Some((chain.query(&head, &ask.refs, &tail), first_value))
        }
        Question::Repeated { by, condition } => {
            let condition = where_of(condition.as_deref());
            let tail = format!("{condition}GROUP BY {} HAVING count(*) > 1", by.join(", "));
            let repeated = chain.query("count(*) AS rows", &ask.refs, &tail);
            let query = format!("SELECT coalesce(sum(rows), 0) AS rows FROM ({repeated}) AS repeated");
            Some((query, first_value))
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
            let condition = where_of(condition.as_deref());
            let tail = format!("{condition}GROUP BY {}", by.join(", "));
            Some((chain.query(&head.join(", "), &ask.refs, &tail), |rows| {
                Value::Groups(rows.into_iter().filter_map(group_of).collect())
            }))
        }
    }
}

fn where_of(condition: Option<&str>) -> String {
    condition.map_or(String::new(), |condition| format!("WHERE {condition} "))
}

fn first_value(rows: Vec<Vec<Value>>) -> Value {
    let first = rows.into_iter().next().and_then(|row| row.into_iter().next());
    first.unwrap_or(Value::Null)
}

fn group_of(mut row: Vec<Value>) -> Option<(Vec<Option<String>>, Value)> {
    let value = row.pop()?;
    let text = |value| match value {
        Value::Text(text) => Some(text),
        _ => None,
    };
    Some((row.into_iter().map(text).collect(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each aggregate with 2, or with a value that is there twice, and takes queries that are not too long.
    struct Twos {
        longest: usize,
        asked: Vec<String>,
    }

    impl Engine for Twos {
        type Error = Mistake;

        async fn columns(&mut self, _: &str) -> Result<Vec<Column>, Mistake> {
            Ok(Vec::new())
        }

        async fn rows(&mut self, query: &str) -> Result<Vec<Vec<Value>>, Mistake> {
            self.asked.push(query.to_owned());
            let is_frequent = |number: usize| {
                let mut ends = [",", " "]
                    .map(|end| format!("{CATEGORIES_IN_MEMORY}) AS a{number}{end}"))
                    .into_iter();
                ends.any(|end| query.contains(&end))
            };
            let answer = |number| match is_frequent(number) {
                true => Value::Text(r#"{"distinct":1,"top":[["x",2]]}"#.to_owned()),
                false => Value::Number(2.0),
            };
            Ok(vec![(0..query.matches(" AS a").count()).map(answer).collect()])
        }

        async fn store(&mut self, _: &str, _: &str) -> Result<(), Mistake> {
            Ok(())
        }

        fn fits(&self, query: &str) -> bool {
            query.len() < self.longest
        }

        fn tell(&mut self, _: &str, _: &[String]) {}
    }

    fn wait<F: Future>(future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => output,
            std::task::Poll::Pending => panic!("it waits for nothing"),
        }
    }

    fn columns(columns: &[(&str, Kind)]) -> Vec<Column> {
        let column = |(name, kind): &(&str, Kind)| Column {
            name: (*name).to_owned(),
            kind: *kind,
        };
        columns.iter().map(column).collect()
    }

    fn learned(longest: usize) -> (Spec, Learned, Vec<String>) {
        let source = columns(&[("id", Kind::Text), ("a", Kind::Integer), ("b", Kind::Number)]);
        learned_by("{standardize: numeric}", &source, longest)
    }

    fn learned_by(step: &str, source: &[Column], longest: usize) -> (Spec, Learned, Vec<String>) {
        let spec = Spec::parse(&format!("name: p\nsource: {{table: t}}\nsteps: [{step}]")).unwrap();
        let mut engine = Twos {
            longest,
            asked: Vec::new(),
        };
        let learned = wait(fit(&spec, "t", source, "x", Kinds::new(), &mut engine)).unwrap();
        (spec, learned, engine.asked)
    }

    #[test]
    fn a_query_that_is_too_long_becomes_several() {
        let (_, all, one) = learned(usize::MAX);
        let (_, parts, several) = learned(200);
        assert_eq!(all.fitted, parts.fitted);
        assert!(one.len() == 1 && several.len() > 2, "{several:?}");
    }

    #[test]
    fn categories_of_many_columns_are_one_query() {
        let names: Vec<String> = (0..50).map(|number| format!("c{number}")).collect();
        let texts: Vec<_> = names.iter().map(|name| (name.as_str(), Kind::Text)).collect();
        let (_, learned, asked) = learned_by("{one_hot: {columns: text}}", &columns(&texts), usize::MAX);
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!(learned.compiled.chain.visible().len(), 50);
        assert_eq!(learned.compiled.chain.visible()[7].0, "c7_x");
        assert_eq!(learned.fitted.columns().unwrap(), columns(&texts));
    }

    #[test]
    fn a_relation_has_the_columns_that_were_learned_from() {
        let (spec, learned, _) = learned(usize::MAX);
        let serve_over = |there: &[(&str, Kind)]| {
            let mut engine = Twos {
                longest: 0,
                asked: Vec::new(),
            };
            let there = columns(there);
            let served = wait(serve(&spec, "u", &there, learned.fitted.clone(), &mut engine));
            served.map(|_| ()).map_err(|mistake| mistake.to_string())
        };
        let (a, b) = (("a", Kind::Integer), ("b", Kind::Number));
        // A column that is only handed on may be what it likes, or lack.
        assert_eq!(serve_over(&[a, b, ("id", Kind::Date)]), Ok(()));
        assert_eq!(serve_over(&[a, b]), Ok(()));
        for (there, said) in [
            (&[a][..], "there is no column 'b' here"),
            (
                &[a, ("b", Kind::Text)],
                "'b' is text, and was number when the pipeline was run",
            ),
            (
                &[("a", Kind::Number), b],
                "'a' is number, and was integer when the pipeline was run",
            ),
        ] {
            let told = serve_over(there).unwrap_err();
            assert!(told.contains(said), "{told}");
        }
    }
}
