//! From the steps of a pipeline to the chain of its columns.
//!
//! Compiling is repeated: with what is known by then, some columns are not known yet, and their questions are open.
//! Answers make more of them known, until there are no questions.

mod store;

use std::collections::HashMap;

pub use store::{Distinct, Repeats, Store};

use crate::chain::{Chain, Id};
use crate::fitted::{Fitted, Key, Value};
use crate::kind::{Column, Kind};
use crate::mistake::Mistake;
use crate::spec::{Name, Selection, Spec, Step};
use crate::{sql, steps};

/// What rows are filed under that are not as they must be.
const VIOLATIONS: &str = "violations";
/// Digits that follow from a row.
pub(crate) const ROW_DIGITS: u32 = 6;
/// Whole numbers below it are the same as floating point.
const WHOLE_MAX: &str = "1e15";

/// What a chain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To learn from rows, and to transform these.
    Fit,
    /// To transform other rows, with what was learned.
    Serve,
    /// Only to see whether it can be.
    Look,
}

/// Kinds of columns that are SQL expressions, by number of the step and column.
pub type Kinds = HashMap<(usize, String), Kind>;

/// What is known by now.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Answers.
    pub fitted: Fitted,
    /// What was found out about expressions.
    pub kinds: Kinds,
    /// Start of the names of tables that rows are stored in between.
    pub prefix: String,
    /// How many steps have stored theirs.
    pub stored: usize,
    /// What was found of equal rows, by the number of the step that stored them.
    pub repeats: HashMap<usize, Repeats>,
}

/// A question about a column.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What the answer is filed under.
    pub key: Key,
    /// How it is asked.
    pub question: Question,
    /// Cells that it is about.
    pub refs: Vec<Id>,
    /// All of them are known, so that it can be asked.
    pub ready: bool,
}

/// How a question is asked.
#[derive(Debug, Clone)]
pub enum Question {
    /// An aggregate; questions of this form share a query.
    Aggregate(String),
    /// The values of a cell and how often each is there.
    Categories {
        /// The value, as a text, null where it does not count.
        value: String,
    },
    /// The most frequent value of a cell.
    Mode {
        /// The value, null where it does not count.
        value: String,
    },
    /// How many rows are equal to another one in some cells.
    Repeated {
        /// The cells.
        by: Vec<String>,
        /// Which rows count.
        condition: Option<String>,
    },
    /// An aggregate for each group.
    Groups {
        /// Groups are rows that are equal in these.
        by: Vec<String>,
        /// The aggregate.
        aggregate: String,
        /// Which rows count.
        condition: Option<String>,
    },
}

impl Question {
    /// Whether a value has the form of an answer.
    fn is_answered_by(&self, value: &Value) -> bool {
        let is_number = |value: &Value| matches!(value, Value::Null | Value::Number(_));
        match (self, value) {
            (Self::Aggregate(_) | Self::Repeated { .. }, value) => is_number(value),
            (Self::Mode { .. }, value) => !matches!(value, Value::Categories(_) | Value::Groups(_)),
            (Self::Categories { .. }, value) => matches!(value, Value::Categories(_)),
            (Self::Groups { by, .. }, Value::Groups(groups)) => groups
                .iter()
                .all(|(group, value)| group.len() == by.len() && is_number(value)),
            (Self::Groups { .. }, _) => false,
        }
    }
}

/// Something that must be 0.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The answer that must be 0.
    pub key: Key,
    /// What it means if it is not.
    pub what: String,
    /// It ends the pipeline; else it is only told.
    pub fatal: bool,
}

/// A pipeline, as far as it is known.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The columns, at the end or where rows are to be stored first.
    pub chain: Chain,
    /// The columns of the source.
    pub source: Vec<(String, Id)>,
    /// Open questions.
    pub asks: Vec<Ask>,
    /// Columns whose kind is not known: step and column, and a query with that column alone.
    pub kinds: Vec<((usize, String), String)>,
    /// Rows to be stored.
    pub store: Option<Store>,
    /// The names of all columns are known: none has to be learned.
    pub has_all_columns: bool,
    /// What must hold.
    pub verdicts: Vec<Verdict>,
    /// Cells that say how many equal rows each step has taken away behind a row.
    pub dropped: Vec<(String, Id)>,
}

/// Compiles a pipeline over a source with some columns, of which `relation` is what stands behind FROM.
///
/// # Errors
/// Steps that the columns do not allow; for [`Purpose::Serve`] also a question without an answer.
pub fn compile(
    spec: &Spec,
    relation: &str,
    columns: &[Column],
    known: &Known,
    purpose: Purpose,
) -> Result<Compiled, Mistake> {
    let chain = Chain::new(relation, columns);
    let source: Vec<Id> = chain.visible().iter().map(|(_, id)| *id).collect();
    let mut compiler = Compiler {
        chain,
        source,
        known,
        purpose,
        step: 0,
        word: "source",
        asks: Vec::new(),
        kinds: Vec::new(),
        verdicts: Vec::new(),
        dropped: Vec::new(),
        keeps_source: spec.steps.iter().any(|step| step.value.sets_aside()),
        row: None,
        awaits_columns: false,
        awaits_kinds: false,
        stores: 0,
        frontier: None,
        misfit: None,
    };
    if spec
        .steps
        .iter()
        .any(|step| matches!(step.value, Step::TargetEncode(_)))
    {
        compiler.hash_rows();
    }
    // A source is read once: it may be a file, and it may change.
    let stores_soon = spec
        .steps
        .iter()
        .take_while(|step| !step.value.asks())
        .any(|step| matches!(&step.value, Step::DropDuplicates(options) if options.key.is_none()));
    if purpose == Purpose::Fit && !stores_soon {
        compiler.store();
    }
    for (number, step) in spec.steps.iter().enumerate() {
        compiler.step = number + 1;
        compiler.word = step.value.word();
        if compiler.awaits_columns && matches!(step.value, Step::DropDuplicates(_)) {
            break;
        }
        match steps::compile(&step.value, &mut compiler) {
            Ok(()) => {}
            // It may be about a column that is to come, or of a kind that is to be found out.
            Err(_) if compiler.awaits_columns || compiler.awaits_kinds => break,
            Err(mistake) => {
                let here = (step.referenced.line(), step.referenced.column());
                return Err(Mistake {
                    place: mistake.place.or(Some(here).filter(|(line, _)| *line > 0)),
                    ..mistake
                });
            }
        }
    }
    let (chain, store) = match compiler.frontier {
        Some((chain, store)) => (chain, Some(store)),
        None => (compiler.chain, None),
    };
    if purpose == Purpose::Serve
        && let Some(key) = compiler.misfit
    {
        return Err(Mistake::new(format!(
            "the {} of '{}' is not what step {} has to learn",
            key.what, key.column, key.step
        ))
        .hint("run the pipeline again"));
    }
    if purpose == Purpose::Serve
        && let Some(ask) = compiler.asks.first()
    {
        return Err(Mistake::new(format!(
            "step {} has not learned the {} of '{}'",
            ask.key.step, ask.key.what, ask.key.column
        ))
        .hint("run the pipeline first"));
    }
    Ok(Compiled {
        chain,
        source: columns
            .iter()
            .map(|column| column.name.clone())
            .zip(compiler.source)
            .collect(),
        asks: compiler.asks,
        kinds: compiler.kinds,
        store,
        has_all_columns: !compiler.awaits_columns,
        verdicts: compiler.verdicts,
        dropped: compiler.dropped,
    })
}

/// A pipeline while it is compiled.
pub(crate) struct Compiler<'a> {
    pub(crate) chain: Chain,
    source: Vec<Id>,
    known: &'a Known,
    pub(crate) purpose: Purpose,
    step: usize,
    word: &'static str,
    asks: Vec<Ask>,
    kinds: Vec<((usize, String), String)>,
    verdicts: Vec<Verdict>,
    dropped: Vec<(String, Id)>,
    /// Rows may be set aside, and are shown as they came.
    keeps_source: bool,
    /// A hash of the row of the source, if a step wants it.
    row: Option<Id>,
    /// The columns are not known, and neither is what is missing.
    awaits_columns: bool,
    /// The kind of a column is not known, and so is of many a step whether it is right.
    awaits_kinds: bool,
    stores: usize,
    /// Set where rows are to be stored that are not; what comes after is only looked at.
    frontier: Option<(Chain, Store)>,
    /// An answer that is none to its question.
    misfit: Option<Key>,
}

impl Compiler<'_> {
    /// Number and word of the step.
    pub(crate) fn step_name(&self) -> String {
        format!("{} {}", self.step, self.word)
    }

    /// The word of the step.
    pub(crate) fn word(&self) -> &'static str {
        self.word
    }

    /// Places of columns.
    ///
    /// # Errors
    /// A name that is none of them.
    pub(crate) fn resolve(&self, selection: &Selection) -> Result<Vec<usize>, Mistake> {
        selection.resolve(&self.chain.columns())
    }

    /// Places of columns of numbers.
    ///
    /// # Errors
    /// A name that is none of them, and a column of something else.
    pub(crate) fn numeric(&self, selection: &Selection) -> Result<Vec<usize>, Mistake> {
        self.of_kind(selection, Kind::is_numeric, "numbers", "cast it first")
    }

    /// Places of columns that are fit for something.
    ///
    /// # Errors
    /// A name that is none of them, and a column that is not fit.
    pub(crate) fn of_kind(
        &self,
        selection: &Selection,
        fits: impl Fn(Kind) -> bool,
        what: &str,
        hint: &str,
    ) -> Result<Vec<usize>, Mistake> {
        let places = self.resolve(selection)?;
        for place in &places {
            let (name, kind) = self.column(*place);
            if !fits(kind) {
                return Err(
                    Mistake::new(format!("{} needs {what}, and '{name}' is {kind}", self.word)).hint(hint),
                );
            }
        }
        Ok(places)
    }

    /// Name and kind of a column.
    pub(crate) fn column(&self, place: usize) -> (String, Kind) {
        let (name, id) = &self.chain.visible()[place];
        (name.clone(), self.chain.kind(*id))
    }

    /// The cell of a column.
    pub(crate) fn cell(&self, place: usize) -> Id {
        self.chain.visible()[place].1
    }

    /// Gives a column another expression over itself and `refs`.
    pub(crate) fn change(&mut self, place: usize, kind: Kind, refs: &[Id], expression: String) {
        let (name, _) = self.column(place);
        let id = self.chain.add(&name, kind, refs, expression);
        self.chain.set(place, id);
    }

    /// Gives a column an expression that is not known yet.
    pub(crate) fn change_later(&mut self, place: usize, kind: Kind) {
        let (name, _) = self.column(place);
        let id = self.chain.add_unknown(&name, kind);
        self.chain.set(place, id);
    }

    /// Adds a column at the end.
    ///
    /// # Errors
    /// There is one of that name.
    pub(crate) fn append(&mut self, name: &str, id: Id) -> Result<(), Mistake> {
        let mut visible = self.chain.visible().to_vec();
        if visible.iter().any(|(other, _)| other == name) {
            return Err(Mistake::new(format!("there is a column '{name}' already"))
                .hint("rename it, or leave it out with drop"));
        }
        visible.push((name.to_owned(), id));
        self.chain.set_visible(visible);
        Ok(())
    }

    /// The answer to a question about some cells, or None: it is asked.
    pub(crate) fn ask(&mut self, column: &str, what: &str, refs: &[Id], question: Question) -> Option<Value> {
        let key = self.key(column, what);
        if let Some(value) = self.known.fitted.get(&key) {
            let value = as_answer(value.clone(), &question);
            if !question.is_answered_by(&value) {
                self.misfit.get_or_insert(key);
            }
            return Some(value);
        }
        // Parts of a step that follow each other may want the same.
        let is_asked = self.asks.last().is_some_and(|last| last.key == key);
        if self.frontier.is_none() && !is_asked {
            self.asks.push(Ask {
                key,
                question,
                ready: refs.iter().all(|id| self.chain.is_known(*id)),
                refs: refs.to_vec(),
            });
        }
        None
    }

    /// As [`Compiler::ask`], of an aggregate of all rows that are still there.
    pub(crate) fn aggregate(&mut self, column: &str, what: &str, refs: &[Id], sql: String) -> Option<Value> {
        let mut refs = refs.to_vec();
        refs.extend(self.chain.fate());
        self.ask(column, what, &refs, Question::Aggregate(sql))
    }

    /// Counts rows that are still there and for which a condition holds. It is only asked while the pipeline is fitted.
    pub(crate) fn count(&mut self, column: &str, what: &str, refs: &[Id], condition: &str) {
        if self.purpose == Purpose::Fit {
            let condition = match self.chain.is_live() {
                Some(live) => format!("{live} AND {condition}"),
                None => condition.to_owned(),
            };
            let sql = format!("count(CASE WHEN {condition} THEN 1 END)");
            self.aggregate(column, what, refs, sql);
        }
    }

    /// As [`Compiler::count`], of what must not be.
    pub(crate) fn verdict(&mut self, column: &str, refs: &[Id], condition: &str, what: String, fatal: bool) {
        self.count(column, VIOLATIONS, refs, condition);
        if self.purpose == Purpose::Fit {
            self.verdicts.push(Verdict {
                key: self.key(column, VIOLATIONS),
                what,
                fatal,
            });
        }
    }

    /// As [`Compiler::verdict`], of rows that are equal to another one in some cells: by groups, which need no order.
    pub(crate) fn verdict_unique(&mut self, column: &str, cells: &[Id], what: String, fatal: bool) {
        if self.purpose != Purpose::Fit {
            return;
        }
        let mut refs = cells.to_vec();
        refs.extend(self.chain.fate());
        let question = Question::Repeated {
            by: cells.iter().map(|id| self.chain.sql(*id)).collect(),
            condition: self.chain.is_live(),
        };
        self.ask(column, VIOLATIONS, &refs, question);
        self.verdicts.push(Verdict {
            key: self.key(column, VIOLATIONS),
            what,
            fatal,
        });
    }

    fn key(&self, column: &str, what: &str) -> Key {
        Key {
            step: self.step_name(),
            column: column.to_owned(),
            what: what.to_owned(),
        }
    }

    /// A cell where it counts: null in rows that are gone.
    pub(crate) fn live(&self, value: &str) -> String {
        match self.chain.is_live() {
            Some(live) => format!("CASE WHEN {live} THEN {value} END"),
            None => value.to_owned(),
        }
    }

    /// A cell as a finite number, null in rows that are gone and where it is none.
    pub(crate) fn finite(&self, id: Id) -> String {
        let cell = self.chain.sql(id);
        let mut conditions: Vec<String> = self.chain.is_live().into_iter().collect();
        if self.chain.kind(id) == Kind::Number {
            conditions.push(is_finite(&cell));
        }
        let value = format!("CAST({cell} AS DOUBLE)");
        match conditions.is_empty() {
            true => value,
            false => format!("CASE WHEN {} THEN {value} END", conditions.join(" AND ")),
        }
    }

    /// A condition that holds where a cell has no value; NaN is none.
    pub(crate) fn is_missing(&self, id: Id) -> String {
        let cell = self.chain.sql(id);
        match self.chain.kind(id) {
            Kind::Number => format!("({cell} IS NULL OR isnan(CAST({cell} AS DOUBLE)))"),
            _ => format!("({cell} IS NULL)"),
        }
    }

    /// Adds [`Compiler::row`].
    fn hash_rows(&mut self) {
        let known = |id: &&Id| self.chain.kind(**id) != Kind::Other;
        let cells: Vec<Id> = self.source.iter().filter(known).copied().collect();
        let texts = cells
            .iter()
            .map(|id| format!("CAST({} AS TEXT)", self.chain.sql(*id)));
        let digits = format!("left({}, {ROW_DIGITS})", sql::hash("", texts));
        self.row = Some(self.chain.add("row", Kind::Text, &cells, digits));
    }

    /// [`ROW_DIGITS`] to the base of 16 that follow from a row as it came, of values that no rounding has touched.
    pub(crate) fn row(&self) -> Option<Id> {
        self.row
    }

    /// A cell as a text, by which categories are told apart: NaN is none, and a number has the same whatever its type is.
    pub(crate) fn text(&self, id: Id) -> String {
        let cell = self.chain.sql(id);
        match self.chain.kind(id) {
            Kind::Text => cell,
            Kind::Number => {
                let value = format!("CAST({cell} AS DOUBLE)");
                format!(
                    "CASE WHEN {value} = trunc({value}) AND abs({value}) < {WHOLE_MAX} \
                     THEN CAST(TRY_CAST({value} AS BIGINT) AS TEXT) \
                     WHEN NOT isnan({value}) THEN CAST({value} AS TEXT) END"
                )
            }
            _ => format!("CAST({cell} AS TEXT)"),
        }
    }

    /// Adds a cell with [`Compiler::text`] of another; of texts it is the same.
    pub(crate) fn add_text(&mut self, id: Id) -> Id {
        match self.chain.kind(id) {
            Kind::Text => id,
            _ => self.chain.add("text", Kind::Text, &[id], self.text(id)),
        }
    }

    /// The kind of an expression, or None: it is to be found out.
    pub(crate) fn kind_of(&mut self, column: &str, refs: &[Id], expression: &str) -> Option<Kind> {
        let key = (self.step, column.to_owned());
        if let Some(kind) = self.known.kinds.get(&key) {
            return Some(*kind);
        }
        self.awaits_kinds = true;
        if self.frontier.is_none() {
            let head = format!("{expression} AS {}", sql::ident(column));
            self.kinds.push((key, self.chain.query(&head, refs, "")));
        }
        None
    }

    /// Takes rows out for which a condition holds: `dropped`, `rejected` or `quarantined`.
    pub(crate) fn doom(&mut self, how: &str, reason: &str, condition: &str, refs: &[Id]) {
        let fate = format!("{}|{how}|{reason}", self.step_name());
        self.chain.doom(&fate, condition, refs);
    }

    /// As [`Compiler::verdict`], of an aggregate that is 0 if all is well.
    pub(crate) fn verdict_of_all(&mut self, what: &str, aggregate: String, said: String, fatal: bool) {
        if self.purpose == Purpose::Fit {
            self.aggregate("*", what, &[], aggregate);
            self.verdicts.push(Verdict {
                key: self.key("*", what),
                what: said,
                fatal,
            });
        }
    }

    /// Columns are still to come that have no names yet.
    pub(crate) fn await_columns(&mut self) {
        self.awaits_columns = true;
    }

    /// A mistake about a name of the step.
    pub(crate) fn place_of(&self, name: &Name) -> Result<usize, Mistake> {
        crate::spec::place_of(name, &self.chain.columns())
    }
}

/// An answer as it was before it was stored: no groups and no categories are written alike.
fn as_answer(value: Value, question: &Question) -> Value {
    match (question, value) {
        (Question::Groups { .. }, Value::Categories(none)) if none.is_empty() => Value::Groups(Vec::new()),
        (_, value) => value,
    }
}

/// A condition that holds for numbers that are neither NaN nor infinite.
pub(crate) fn is_finite(cell: &str) -> String {
    format!("({cell} - {cell} = 0)")
}
