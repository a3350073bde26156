//! Where rows are stored as a table in between, of which the next steps read.
//!
//! Equal rows become one without a move of all rows: each is stored where it was read, with a hash of its values. A hash
//! that is there once belongs to a row that is there once. Only the rows of other hashes, of which few are expected, are
//! grouped by their values.
//!
//! ```text
//! TABLE            all rows, with their hashes
//! TABLE_repeated   hashes that are there more than once, and how often
//! TABLE_groups     one row for each group of equal rows that have such a hash
//! TABLE_rest       rows of both that are left, if most rows were repeated
//! ```

use super::{Ask, Compiler, Question};
use crate::chain::Id;
use crate::fitted::Key;
use crate::kind::Kind;
use crate::sql;

/// The column of hashes. It has no number at its end, as cells have.
const HASH: &str = "\"hash\"";

/// Rows to be stored as a table before it can go on.
#[derive(Debug, Clone)]
pub struct Store {
    /// The table.
    pub table: String,
    /// The query that has its rows.
    pub query: String,
    /// How equal rows become one; None: they stay.
    pub distinct: Option<Distinct>,
    /// All of its columns are known.
    pub ready: bool,
    /// Number and word of the step that wants it; None: the source is read.
    pub step: Option<String>,
}

/// What is made of a table so that equal rows become one. See the module.
#[derive(Debug, Clone)]
pub struct Distinct {
    /// The table of hashes that are there more than once, and its query.
    pub repeated: (String, String),
    /// A query of two numbers: all rows, and those with such a hash.
    pub counts: String,
    /// The table of groups, and its query.
    pub groups: (String, String),
    /// The table of what is left, and its query.
    pub rest: (String, String),
}

/// How many rows of a table have a hash that is there more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// None: the table is what is left.
    None,
    /// Less than half. There is a table of groups.
    Few,
    /// So many that what is left is a table of its own.
    Most,
}

/// A column of rows of which equal ones become one.
struct Column {
    id: Id,
    /// Of a row that is there once.
    value: String,
    /// Of a group of equal rows.
    aggregate: String,
}

impl Compiler<'_> {
    /// Stores rows as they are.
    pub(crate) fn store(&mut self) {
        let (mut ids, carried) = self.cells_to_store();
        ids.extend(carried.iter().map(|(id, _)| *id));
        ids.extend(self.chain.weight());
        let table = self.new_table();
        self.request(&table, &ids, None, None);
        self.go_on_with(&sql::table(&table), &ids);
    }

    /// Stores rows, of those that are equal only one. A cell counts how many that took away.
    pub(crate) fn store_distinct(&mut self) {
        let (keys, carried) = self.cells_to_store();
        let before = self.chain.weight();
        let table = self.new_table();
        let names: Vec<String> = keys.iter().map(|id| self.chain.sql(*id)).collect();
        let names = names.join(", ");

        let mut columns: Vec<Column> = Vec::with_capacity(keys.len() + carried.len() + 2);
        columns.extend(keys.iter().map(|id| self.column_by(*id, None)));
        columns.extend(carried.iter().map(|(id, of)| self.column_by(*id, Some(of))));
        let read: Vec<Id> = columns.iter().map(|column| column.id).chain(before).collect();
        columns.extend(self.count_equal(before));
        let (distinct, joined) = self.distinct(&table, &columns, &names);

        let relation = match self.known.repeats.get(&(self.stores - 1)) {
            Some(Repeats::None) => format!(
                "(SELECT {} FROM {}) AS rows",
                self.head(&columns, |column| &column.value),
                sql::table(&table)
            ),
            Some(Repeats::Most) => sql::table(&distinct.rest.0),
            Some(Repeats::Few) | None => joined,
        };
        let ids: Vec<Id> = columns.iter().map(|column| column.id).collect();
        let hash = format!("row_hash({names}) AS {HASH}");
        self.request(&table, &read, Some(&hash), Some(distinct));
        self.go_on_with(&relation, &ids);
    }

    /// A cell of a row, and its aggregate over equal rows; without one they are equal in it.
    fn column_by(&self, id: Id, aggregate: Option<&str>) -> Column {
        let value = self.chain.sql(id);
        let aggregate = aggregate.map_or(value.clone(), |aggregate| format!("{aggregate}({value})"));
        Column { id, value, aggregate }
    }

    /// What stands behind SELECT to have some columns by their names.
    fn head(&self, columns: &[Column], of: fn(&Column) -> &str) -> String {
        let columns = columns.iter();
        let columns = columns.map(|column| format!("{} AS {}", of(column), self.chain.sql(column.id)));
        columns.collect::<Vec<_>>().join(", ")
    }

    /// What is made of a table whose rows are equal if they are so in `names`, and what stands behind FROM to read of equal
    /// rows only one, once that is there.
    fn distinct(&self, table: &str, columns: &[Column], names: &str) -> (Distinct, String) {
        let [repeated, groups, rest] = ["repeated", "groups", "rest"].map(|part| format!("{table}_{part}"));
        let [all, repeated_sql, groups_sql] = [table, &repeated, &groups].map(sql::table);
        // Rows of groups have no hash. Not with NOT IN, which would have to think of nulls among the others.
        let joined = format!(
            "(SELECT * FROM (SELECT {}, {HASH} FROM {all} UNION ALL SELECT *, NULL FROM {groups_sql}) AS rows \
             WHERE NOT EXISTS (SELECT 1 FROM {repeated_sql} AS repeated WHERE repeated.{HASH} = rows.{HASH})) AS rows",
            self.head(columns, |column| &column.value)
        );
        let distinct = Distinct {
            repeated: (
                repeated,
                format!("SELECT {HASH}, count(*) AS times FROM {all} GROUP BY {HASH} HAVING count(*) > 1"),
            ),
            counts: format!(
                "SELECT * FROM (SELECT count(*) AS rows FROM {all}) AS every, \
                 (SELECT coalesce(sum(times), 0) AS repeated FROM {repeated_sql}) AS some"
            ),
            groups: (
                groups,
                format!(
                    "SELECT {} FROM {all} WHERE {HASH} IN (SELECT {HASH} FROM {repeated_sql}) GROUP BY {names}",
                    self.head(columns, |column| &column.aggregate)
                ),
            ),
            rest: (rest, format!("SELECT * FROM {joined}")),
        };
        (distinct, joined)
    }

    /// How many rows of the source a row stands for, and how many equal ones it has taken away: a row that is gone already
    /// stands for all that are equal to it.
    fn count_equal(&mut self, before: Option<Id>) -> [Column; 2] {
        let live = self.chain.is_live().unwrap_or_else(|| "true".to_owned());
        let (row, rows) = match before.map(|id| self.chain.sql(id)) {
            Some(weight) => (weight.clone(), format!("sum({weight})")),
            None => ("1".to_owned(), "count(*)".to_owned()),
        };
        let weight = self.chain.add("weight", Kind::Integer, &[], String::new());
        let dropped = self.chain.add("dropped", Kind::Integer, &[], String::new());
        self.dropped.push((self.step_name(), dropped));
        self.chain.set_weight(weight);
        [
            Column {
                id: weight,
                value: format!("CASE WHEN {live} THEN 1 ELSE {row} END"),
                aggregate: format!("CASE WHEN {live} THEN 1 ELSE {rows} END"),
            },
            Column {
                id: dropped,
                value: "0".to_owned(),
                aggregate: format!("CASE WHEN {live} THEN count(*) - 1 ELSE 0 END"),
            },
        ]
    }

    /// The cells by which rows are equal, and those that go with them, with the aggregate that equal rows have of them.
    fn cells_to_store(&self) -> (Vec<Id>, Vec<(Id, &'static str)>) {
        let mut keys: Vec<Id> = self.chain.visible().iter().map(|(_, id)| *id).collect();
        keys.extend(self.chain.fate());
        keys.sort_unstable();
        keys.dedup();
        let mut carried: Vec<(Id, &'static str)> = self.dropped.iter().map(|(_, id)| (*id, "sum")).collect();
        if self.keeps_source {
            let others = self.source.iter().filter(|id| !keys.contains(id));
            carried.extend(others.map(|id| (*id, "first_value")));
        }
        carried.extend(self.row.map(|row| (row, "min")));
        (keys, carried)
    }

    fn new_table(&mut self) -> String {
        let table = format!("{}_{}", self.known.prefix, self.stores);
        self.stores += 1;
        table
    }

    /// True if the table that was named last has been stored.
    fn is_stored(&self) -> bool {
        self.stores <= self.known.stored
    }

    /// Asks for a table of some cells and one more column, if it is not there.
    fn request(&mut self, table: &str, ids: &[Id], more: Option<&str>, distinct: Option<Distinct>) {
        if self.is_stored() || self.frontier.is_some() {
            return;
        }
        let cells = ids.iter().map(|id| self.chain.sql(*id));
        let head = cells
            .map(|cell| format!("{cell} AS {cell}"))
            .chain(more.map(str::to_owned));
        let store = Store {
            query: self.chain.query(&head.collect::<Vec<_>>().join(", "), ids, ""),
            ready: ids.iter().all(|id| self.chain.is_known(*id)),
            table: table.to_owned(),
            distinct,
            step: (self.step > 0).then(|| self.step_name()),
        };
        self.frontier = Some((self.chain.clone(), store));
    }

    /// Goes on with what was stored, and nothing else.
    fn go_on_with(&mut self, relation: &str, ids: &[Id]) {
        self.chain.rebase(relation, ids, self.is_stored());
        if self.stores == 1 {
            self.count_source();
        }
    }

    /// Asks how many rows the source has, of those that were stored first.
    fn count_source(&mut self) {
        let mut refs: Vec<Id> = self.dropped.iter().map(|(_, id)| *id).collect();
        refs.extend(self.chain.weight());
        let parts: Vec<String> = refs.iter().map(|id| self.chain.sql(*id)).collect();
        let count = match parts.is_empty() {
            true => "count(*)".to_owned(),
            false => format!("coalesce(sum({}), 0)", parts.join(" + ")),
        };
        let key = Key::rows_of_source();
        if self.known.fitted.get(&key).is_none() && self.frontier.is_none() {
            self.asks.push(Ask {
                key,
                question: Question::Aggregate(count),
                ready: true,
                refs,
            });
        }
    }
}
