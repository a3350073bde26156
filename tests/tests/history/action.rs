//! The steps of a history: what each does to the cluster, as SQL, and to the model.

use std::fmt;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use crate::model::{Assignment, Condition, FILES, Model, Row, Source, TABLES, VIEWS, row_of};

/// Rows of one table beyond which no more are added.
const ROWS_MAX: usize = 6_000;
/// Files of the table over files.
const FILE_NAMES: [&str; 3] = ["one.csv", "two.csv", "three.csv"];

/// One step.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) action: Action,
    pub(crate) beside: Beside,
}

/// What a step does.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Insert(&'static str, Source),
    Delete(&'static str, Condition),
    Update(&'static str, Assignment, Condition),
    Create {
        table: &'static str,
        replace: bool,
        source: Source,
    },
    CreateEmpty(&'static str),
    Truncate(&'static str),
    Drop(&'static str),
    Cache {
        relation: &'static str,
        lazy: bool,
    },
    Uncache(&'static str),
    ClearCache,
    Refresh(&'static str),
    WriteFile(&'static str, Vec<Row>),
    RemoveFile(&'static str),
    /// One of them, and a new one starts.
    KillExecutor(usize),
    /// It starts again.
    KillScheduler,
}

/// What goes on while a statement runs.
#[derive(Debug, Clone)]
pub(crate) enum Beside {
    Nothing,
    /// Another session reads the table that is written.
    Reader,
    /// Another session adds a row to it.
    Insert(Row),
    /// An executor dies after a while, and a new one starts.
    ExecutorDies(usize, Duration),
    /// The scheduler dies after a while, and starts again.
    SchedulerDies(Duration),
}

/// How a statement must end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    Done,
    /// It says how many rows.
    Rows(usize),
    /// It fails with this code and changes nothing.
    Refused(&'static str),
    /// It is done or refused, depending on what the model does not know.
    DoneOrRefused(&'static str),
}

const UNKNOWN_RELATION: Expected = Expected::Refused("MP0002");
const RELATION_EXISTS: Expected = Expected::Refused("MP0006");

impl Step {
    /// A step that makes sense, mostly, after what was done before.
    pub(crate) fn draw(random: &mut StdRng, model: &Model) -> Self {
        let action = draw_action(random, model);
        let beside = match &action {
            Action::Insert(..) | Action::Delete(..) | Action::Update(..) | Action::Create { .. } => {
                draw_beside(random, &action, model)
            }
            _ => Beside::Nothing,
        };
        Self { action, beside }
    }
}

fn draw_beside(random: &mut StdRng, action: &Action, model: &Model) -> Beside {
    let delay = Duration::from_millis(random.random_range(0..150));
    match random.random_range(0..100) {
        0..15 => Beside::Reader,
        15..25 if is_independent_insert(action, model) => Beside::Insert(draw_row(random)),
        25..30 => Beside::ExecutorDies(random.random_range(0..2), delay),
        30..34 => Beside::SchedulerDies(delay),
        _ => Beside::Nothing,
    }
}

/// True if it does not matter whether another insert comes before or after it.
fn is_independent_insert(action: &Action, model: &Model) -> bool {
    match action {
        Action::Insert(table, Source::Values(_) | Source::Series(..)) => model.tables.contains_key(table),
        _ => false,
    }
}

fn draw_action(random: &mut StdRng, model: &Model) -> Action {
    let table = draw_table(random, model);
    let is_large = model.rows(table).is_some_and(|rows| rows.len() > ROWS_MAX);
    match random.random_range(0..100) {
        0..18 => Action::Insert(table, Source::Values(draw_rows(random))),
        18..28 if !is_large => Action::Insert(table, draw_query(random, model)),
        18..28 => Action::Truncate(table),
        28..42 => Action::Delete(table, draw_condition(random, model)),
        42..56 => Action::Update(table, draw_assignment(random), draw_condition(random, model)),
        56..68 => Action::Create {
            table,
            replace: random.random_bool(0.8),
            source: draw_query(random, model),
        },
        68..71 => Action::CreateEmpty(table),
        71..73 => Action::Truncate(table),
        73..77 => Action::Drop(table),
        77..82 => {
            let first = random.random_range(1..10_000);
            let rows = (first..first + draw_count(random)).map(row_of).collect();
            Action::WriteFile(pick(random, &FILE_NAMES), rows)
        }
        82..84 => Action::RemoveFile(pick(random, &FILE_NAMES)),
        84..90 => Action::Cache {
            relation: draw_cacheable(random),
            lazy: random.random_bool(0.3),
        },
        90..92 => Action::Uncache(draw_cacheable(random)),
        92..93 => Action::ClearCache,
        93..95 => Action::Refresh(draw_cacheable(random)),
        95..98 => Action::KillExecutor(random.random_range(0..2)),
        _ => Action::KillScheduler,
    }
}

/// Mostly one that is there.
fn draw_table(random: &mut StdRng, model: &Model) -> &'static str {
    let present: Vec<&'static str> = model.tables.keys().copied().collect();
    if present.is_empty() || random.random_bool(0.15) {
        return pick(random, &TABLES);
    }
    pick(random, &present)
}

/// A relation of which `CACHE TABLE` keeps the rows.
fn draw_cacheable(random: &mut StdRng) -> &'static str {
    pick(random, &[FILES, VIEWS[0].0, VIEWS[1].0])
}

fn pick(random: &mut StdRng, from: &[&'static str]) -> &'static str {
    from[random.random_range(0..from.len())]
}

fn draw_count(random: &mut StdRng) -> i64 {
    if random.random_bool(0.6) {
        random.random_range(1..20)
    } else {
        random.random_range(20..3_000)
    }
}

fn draw_row(random: &mut StdRng) -> Row {
    Row {
        n: random.random_range(1..10_000),
        g: random.random_range(0..7),
        s: random
            .random_bool(0.7)
            .then(|| format!("t{}", random.random_range(0..11))),
    }
}

fn draw_rows(random: &mut StdRng) -> Vec<Row> {
    (0..random.random_range(1..6)).map(|_| draw_row(random)).collect()
}

fn draw_query(random: &mut StdRng, model: &Model) -> Source {
    if random.random_bool(0.5) {
        let first = random.random_range(1..10_000);
        return Source::Series(first, first + draw_count(random) - 1);
    }
    let relations: Vec<&'static str> = Model::relations()
        .filter(|relation| model.rows(relation).is_some_and(|rows| rows.len() < ROWS_MAX / 2))
        .collect();
    if relations.is_empty() {
        return Source::Values(draw_rows(random));
    }
    let relation = pick(random, &relations);
    Source::Of(
        relation,
        random.random_range(0..100),
        draw_condition(random, model),
    )
}

fn draw_condition(random: &mut StdRng, model: &Model) -> Condition {
    let low = random.random_range(1..10_000);
    match random.random_range(0..12) {
        0 => Condition::Always,
        1 => Condition::Never,
        2..4 => Condition::GroupIs(random.random_range(0..7)),
        4 => Condition::GroupBelow(random.random_range(0..7)),
        5..8 => Condition::Between(low, low + draw_count(random)),
        8 => Condition::TextIs(format!("t{}", random.random_range(0..11))),
        9 => Condition::TextIsNot(format!("t{}", random.random_range(0..11))),
        10 => Condition::NoText,
        _ => Condition::In(draw_table(random, model)),
    }
}

fn draw_assignment(random: &mut StdRng) -> Assignment {
    match random.random_range(0..5) {
        0..2 => Assignment::Add(random.random_range(1..100)),
        2 => Assignment::GroupOfNumber,
        3 => Assignment::Swap,
        _ => Assignment::Text(
            random
                .random_bool(0.5)
                .then(|| format!("u{}", random.random_range(0..11))),
        ),
    }
}

impl Action {
    /// Carries it out on the model. One that is refused leaves the model as it was.
    pub(crate) fn apply(&self, model: &mut Model) -> Expected {
        match self {
            Self::Insert(table, source) => {
                let (Some(more), true) = (source.rows(model), model.tables.contains_key(table)) else {
                    return UNKNOWN_RELATION;
                };
                let count = more.len();
                model.tables.entry(table).or_default().extend(more);
                Expected::Rows(count)
            }
            Self::Delete(table, condition) => {
                let (Some(holds), Some(mut rows)) = (condition.bound(model), model.rows(table)) else {
                    return UNKNOWN_RELATION;
                };
                let before = rows.len();
                rows.retain(|row| !holds(row));
                let deleted = before - rows.len();
                model.tables.insert(table, rows);
                Expected::Rows(deleted)
            }
            Self::Update(table, assignment, condition) => {
                let (Some(holds), Some(mut rows)) = (condition.bound(model), model.rows(table)) else {
                    return UNKNOWN_RELATION;
                };
                let mut count = 0;
                for row in rows.iter_mut().filter(|row| holds(row)) {
                    assignment.apply(row);
                    count += 1;
                }
                model.tables.insert(table, rows);
                Expected::Rows(count)
            }
            Self::Create {
                table,
                replace,
                source,
            } => match source.rows(model) {
                None => UNKNOWN_RELATION,
                Some(_) if !replace && model.tables.contains_key(table) => RELATION_EXISTS,
                Some(rows) => {
                    model.tables.insert(table, rows);
                    Expected::Done
                }
            },
            Self::CreateEmpty(table) => {
                if model.tables.contains_key(table) {
                    return RELATION_EXISTS;
                }
                model.tables.insert(table, Vec::new());
                Expected::Done
            }
            Self::Truncate(table) => match model.tables.get_mut(table) {
                None => UNKNOWN_RELATION,
                Some(rows) => Expected::Rows(std::mem::take(rows).len()),
            },
            Self::Drop(table) => match model.tables.remove(table) {
                None => UNKNOWN_RELATION,
                Some(_) => Expected::Done,
            },
            Self::Cache { relation, lazy } => match model.rows(relation) {
                None => UNKNOWN_RELATION,
                Some(_) if *lazy => Expected::Done,
                Some(rows) => Expected::Rows(rows.len()),
            },
            // Whether it is cached changes no answer, and the model does not know it.
            Self::Refresh(relation) if model.rows(relation).is_none() => Expected::DoneOrRefused("MP0002"),
            Self::Refresh(_) | Self::Uncache(_) | Self::ClearCache => Expected::Done,
            Self::WriteFile(file, rows) => {
                model.files.insert((*file).to_string(), rows.clone());
                Expected::Done
            }
            Self::RemoveFile(file) => {
                // A folder without files is another matter.
                if model.files.len() > 1 {
                    model.files.remove(*file);
                }
                Expected::Done
            }
            Self::KillExecutor(_) | Self::KillScheduler => Expected::Done,
        }
    }

    /// The table in memory whose rows it changes.
    pub(crate) fn table(&self) -> Option<&'static str> {
        match self {
            Self::Insert(table, _)
            | Self::Delete(table, _)
            | Self::Update(table, ..)
            | Self::Create { table, .. } => Some(table),
            _ => None,
        }
    }
}

/// SQL, where it is a statement.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insert(table, source) => write!(f, "INSERT INTO {table} {source}"),
            Self::Delete(table, condition) => write!(f, "DELETE FROM {table} WHERE {condition}"),
            Self::Update(table, assignment, condition) => {
                write!(f, "UPDATE {table} SET {assignment} WHERE {condition}")
            }
            Self::Create {
                table,
                replace,
                source,
            } => {
                let verb = if *replace { "CREATE OR REPLACE" } else { "CREATE" };
                write!(f, "{verb} TABLE {table} AS {source}")
            }
            Self::CreateEmpty(table) => write!(f, "CREATE TABLE {table} (n BIGINT, g BIGINT, s TEXT)"),
            Self::Truncate(table) => write!(f, "TRUNCATE TABLE {table}"),
            Self::Drop(table) => write!(f, "DROP TABLE {table}"),
            Self::Cache { relation, lazy } => {
                let lazy = if *lazy { "LAZY " } else { "" };
                write!(f, "CACHE {lazy}TABLE {relation}")
            }
            Self::Uncache(relation) => write!(f, "UNCACHE TABLE {relation}"),
            Self::ClearCache => write!(f, "CLEAR CACHE"),
            Self::Refresh(relation) => write!(f, "REFRESH TABLE {relation}"),
            Self::WriteFile(file, rows) => match rows.first() {
                Some(first) => write!(f, "(write {file}: {} rows from {})", rows.len(), first.n),
                None => write!(f, "(write {file}: no rows)"),
            },
            Self::RemoveFile(file) => write!(f, "(remove {file}, if it is not the last)"),
            Self::KillExecutor(which) => {
                write!(f, "(kill -9 executor {which} of those that run, start another)")
            }
            Self::KillScheduler => write!(f, "(kill -9 the scheduler, start it again)"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.action)?;
        match &self.beside {
            Beside::Nothing => Ok(()),
            Beside::Reader => write!(f, "   -- while another session reads it"),
            Beside::Insert(row) => write!(f, "   -- while another session adds {:?}", row.cells()),
            Beside::ExecutorDies(which, after) => {
                write!(
                    f,
                    "   -- and kill -9 executor {which} after {after:?}, start another"
                )
            }
            Beside::SchedulerDies(after) => {
                write!(
                    f,
                    "   -- and kill -9 the scheduler after {after:?}, start it again"
                )
            }
        }
    }
}
