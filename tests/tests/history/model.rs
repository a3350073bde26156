//! What the tables of a history should hold, and the parts of statements: each is SQL for the cluster and a function of
//! rows for the model.

use std::collections::BTreeMap;
use std::fmt;

/// Tables in memory that a history creates, changes and drops.
pub(crate) const TABLES: [&str; 3] = ["apples", "pears", "plums"];
/// The table over files.
pub(crate) const FILES: &str = "files";
/// Views, each with the relation under it; they keep the rows of [`FEW`].
pub(crate) const VIEWS: [(&str, &str); 2] = [("few_files", FILES), ("few_apples", "apples")];
/// Condition of the views.
pub(crate) const FEW: Condition = Condition::GroupBelow(4);

/// One row of any table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) n: i64,
    pub(crate) g: i64,
    pub(crate) s: Option<String>,
}

impl Row {
    /// The row as a client shows it.
    pub(crate) fn cells(&self) -> Vec<String> {
        let text = self.s.clone().unwrap_or_else(|| "NULL".to_string());
        vec![self.n.to_string(), self.g.to_string(), text]
    }
}

/// Rows of every table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) tables: BTreeMap<&'static str, Vec<Row>>,
    /// By the name of the file.
    pub(crate) files: BTreeMap<String, Vec<Row>>,
}

impl Model {
    /// Names of all that can be read, whether it is there or not.
    pub(crate) fn relations() -> impl Iterator<Item = &'static str> {
        let views = VIEWS.into_iter().map(|(view, _)| view);
        TABLES.into_iter().chain([FILES]).chain(views)
    }

    /// Rows of a table or view; `None` if there is no such table, or the view's table is not there.
    pub(crate) fn rows(&self, relation: &str) -> Option<Vec<Row>> {
        if relation == FILES {
            return Some(self.files.values().flatten().cloned().collect());
        }
        match VIEWS.into_iter().find(|(view, _)| *view == relation) {
            Some((_, source)) => self.chosen(source, &FEW),
            None => self.tables.get(relation).cloned(),
        }
    }

    /// Rows of a relation for which a condition is true.
    fn chosen(&self, relation: &str, condition: &Condition) -> Option<Vec<Row>> {
        let mut rows = self.rows(relation)?;
        let holds = condition.bound(self)?;
        rows.retain(|row| holds(row));
        Some(rows)
    }
}

/// Whether a row is meant.
pub(crate) type Test = Box<dyn Fn(&Row) -> bool>;

/// Which rows a statement is about.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Always,
    Never,
    GroupIs(i64),
    GroupBelow(i64),
    Between(i64, i64),
    TextIs(String),
    TextIsNot(String),
    NoText,
    /// The number is one of another table.
    In(&'static str),
}

impl Condition {
    /// The condition as a function of a row, which is false where SQL says unknown; `None` if it names a table that is
    /// not there.
    pub(crate) fn bound(&self, model: &Model) -> Option<Test> {
        let condition = self.clone();
        if let Self::In(other) = self {
            let numbers: std::collections::HashSet<i64> =
                model.rows(other)?.into_iter().map(|row| row.n).collect();
            return Some(Box::new(move |row| numbers.contains(&row.n)));
        }
        Some(Box::new(move |row| match &condition {
            Self::Always => true,
            Self::Never | Self::In(_) => false,
            Self::GroupIs(group) => row.g == *group,
            Self::GroupBelow(group) => row.g < *group,
            Self::Between(low, high) => (*low..=*high).contains(&row.n),
            Self::TextIs(text) => row.s.as_ref().is_some_and(|s| s == text),
            Self::TextIsNot(text) => row.s.as_ref().is_some_and(|s| s != text),
            Self::NoText => row.s.is_none(),
        }))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => write!(f, "true"),
            Self::Never => write!(f, "false"),
            Self::GroupIs(group) => write!(f, "g = {group}"),
            Self::GroupBelow(group) => write!(f, "g < {group}"),
            Self::Between(low, high) => write!(f, "n BETWEEN {low} AND {high}"),
            Self::TextIs(text) => write!(f, "s = '{text}'"),
            Self::TextIsNot(text) => write!(f, "s <> '{text}'"),
            Self::NoText => write!(f, "s IS NULL"),
            Self::In(other) => write!(f, "n IN (SELECT n FROM {other})"),
        }
    }
}

/// What an `UPDATE` does to a row.
#[derive(Debug, Clone)]
pub(crate) enum Assignment {
    Add(i64),
    GroupOfNumber,
    /// Both are read before either is written.
    Swap,
    Text(Option<String>),
}

impl Assignment {
    pub(crate) fn apply(&self, row: &mut Row) {
        match self {
            Self::Add(more) => row.n += more,
            Self::GroupOfNumber => row.g = row.n % 5,
            Self::Swap => (row.n, row.g) = (row.g, row.n),
            Self::Text(text) => row.s.clone_from(text),
        }
    }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(more) => write!(f, "n = n + {more}"),
            Self::GroupOfNumber => write!(f, "g = n % 5"),
            Self::Swap => write!(f, "n = g, g = n"),
            Self::Text(text) => write!(f, "s = {}", literal(text)),
        }
    }
}

/// Where new rows come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Values(Vec<Row>),
    /// One row for each number from the first to the last.
    Series(i64, i64),
    /// Rows of another relation, with another number.
    Of(&'static str, i64, Condition),
}

impl Source {
    /// The rows; `None` if the relation is not there.
    pub(crate) fn rows(&self, model: &Model) -> Option<Vec<Row>> {
        match self {
            Self::Values(rows) => Some(rows.clone()),
            Self::Series(first, last) => Some((*first..=*last).map(row_of).collect()),
            Self::Of(relation, more, condition) => {
                let mut rows = model.chosen(relation, condition)?;
                rows.iter_mut().for_each(|row| row.n += more);
                Some(rows)
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(rows) => {
                let tuples = rows
                    .iter()
                    .map(|row| format!("({}, {}, {})", row.n, row.g, literal(&row.s)));
                write!(f, "VALUES {}", tuples.collect::<Vec<_>>().join(", "))
            }
            Self::Series(first, last) => write!(
                f,
                "SELECT value AS n, value % 7 AS g, 't' || (value % 11) AS s FROM generate_series({first}, {last})"
            ),
            Self::Of(relation, more, condition) => {
                write!(
                    f,
                    "SELECT n + {more} AS n, g, s FROM {relation} WHERE {condition}"
                )
            }
        }
    }
}

/// The row that a series and the files hold for a number.
pub(crate) fn row_of(n: i64) -> Row {
    Row {
        n,
        g: n % 7,
        s: Some(format!("t{}", n % 11)),
    }
}

fn literal(text: &Option<String>) -> String {
    match text {
        Some(text) => format!("'{text}'"),
        None => "NULL".to_string(),
    }
}
