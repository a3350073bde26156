//! The columns of a pipeline, each an expression over earlier ones.
//!
//! A step never changes a column: it adds a cell, and the name means the new cell from then on. So a query can ask for
//! any cells and gets those they are made of, and no others, in as many layers as they depend on each other.
//!
//! Rows do not vanish in between. A row that a step takes out has a *fate* from then on, a text that says which step and
//! why; what is learned is learned from rows without one. At the end every row can be accounted for.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::kind::{Column, Kind};
use crate::sql;

/// A cell of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(usize);

#[derive(Debug, Clone)]
struct Cell {
    /// Unique in the chain.
    name: String,
    expression: String,
    refs: Vec<Id>,
    /// One more than the greatest of those it refers to; 0 for what is in the relation.
    layer: usize,
    kind: Kind,
    /// Everything it depends on has been learned.
    known: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Chain {
    /// What is behind FROM.
    relation: String,
    cells: Vec<Cell>,
    /// The columns that there are at this point.
    visible: Vec<(String, Id)>,
    fate: Option<Id>,
    /// How many rows of the source a row stands for, if rows were put together.
    weight: Option<Id>,
}

impl Chain {
    /// Of a relation: a table's name, or a query in parentheses.
    pub fn new(relation: impl Into<String>, columns: &[Column]) -> Self {
        let mut chain = Self {
            relation: relation.into(),
            cells: Vec::with_capacity(2 * columns.len()),
            visible: Vec::with_capacity(columns.len()),
            fate: None,
            weight: None,
        };
        for column in columns {
            let name = chain.fresh_name(&column.name);
            chain.cells.push(Cell {
                name,
                expression: sql::ident(&column.name),
                refs: Vec::new(),
                layer: 0,
                kind: column.kind,
                known: true,
            });
            chain
                .visible
                .push((column.name.clone(), Id(chain.cells.len() - 1)));
        }
        chain
    }

    fn fresh_name(&self, name: &str) -> String {
        format!("{name}__{}", self.cells.len())
    }

    /// A cell as SQL, for expressions of others.
    pub fn sql(&self, id: Id) -> String {
        sql::ident(&self.cells[id.0].name)
    }

    /// What is in a cell.
    pub fn kind(&self, id: Id) -> Kind {
        self.cells[id.0].kind
    }

    /// True if all that a cell depends on has been learned.
    pub fn is_known(&self, id: Id) -> bool {
        self.cells[id.0].known
    }

    /// Adds a cell. `expression` names others as [`Chain::sql`] does, and these are in `refs`.
    pub fn add(&mut self, name: &str, kind: Kind, refs: &[Id], expression: String) -> Id {
        let name = self.fresh_name(name);
        let layer = refs
            .iter()
            .map(|id| self.cells[id.0].layer + 1)
            .max()
            .unwrap_or(1);
        self.cells.push(Cell {
            name,
            expression,
            layer,
            kind,
            known: refs.iter().all(|id| self.is_known(*id)),
            refs: refs.to_vec(),
        });
        Id(self.cells.len() - 1)
    }

    /// Adds a cell that depends on something that is not learned yet.
    pub fn add_unknown(&mut self, name: &str, kind: Kind) -> Id {
        let nothing = format!("CAST(NULL AS {})", kind.sql_type());
        let id = self.add(name, kind, &[], nothing);
        self.cells[id.0].known = false;
        id
    }

    /// The columns that there are.
    pub fn columns(&self) -> Vec<Column> {
        let column = |(name, id): &(String, Id)| Column {
            name: name.clone(),
            kind: self.kind(*id),
        };
        self.visible.iter().map(column).collect()
    }

    /// Names and cells of the columns that there are.
    pub fn visible(&self) -> &[(String, Id)] {
        &self.visible
    }

    /// Puts other columns in the place of those there are.
    pub fn set_visible(&mut self, visible: Vec<(String, Id)>) {
        self.visible = visible;
    }

    /// Gives a column another cell.
    pub fn set(&mut self, place: usize, id: Id) {
        self.visible[place].1 = id;
    }

    /// The cell of the fates of rows, if any row may have one.
    pub fn fate(&self) -> Option<Id> {
        self.fate
    }

    /// Rows of the source that a row stands for, if that may be more than one.
    pub fn weight(&self) -> Option<Id> {
        self.weight
    }

    /// A condition that holds for rows that are still there.
    pub fn is_live(&self) -> Option<String> {
        self.fate.map(|fate| format!("{} IS NULL", self.sql(fate)))
    }

    /// Gives rows for which a condition holds a fate, if they have none.
    pub fn doom(&mut self, fate: &str, condition: &str, refs: &[Id]) {
        let mut refs = refs.to_vec();
        let mut branches = Vec::new();
        if let Some(before) = self.fate {
            refs.push(before);
            branches.push((format!("{} IS NOT NULL", self.sql(before)), self.sql(before)));
        }
        branches.push((condition.to_owned(), sql::text(fate)));
        let expression = sql::case(&branches, "CAST(NULL AS TEXT)");
        self.fate = Some(self.add("fate", Kind::Text, &refs, expression));
    }

    /// Goes on with rows that were stored: in `relation`, which stands behind FROM, each of `stored` has its name as a
    /// column. All other cells are gone. If it is not there yet, nothing of it is known.
    pub fn rebase(&mut self, relation: &str, stored: &[Id], is_there: bool) {
        self.relation = relation.to_owned();
        for id in stored {
            let cell = &mut self.cells[id.0];
            cell.expression = sql::ident(&cell.name);
            cell.refs.clear();
            cell.layer = 0;
            cell.known = is_there;
        }
    }

    /// Sets the cell of weights.
    pub fn set_weight(&mut self, weight: Id) {
        self.weight = Some(weight);
    }

    /// Cells that others are made of, as far as these are needed for the columns and for which rows there are.
    pub(crate) fn used(&self) -> BTreeSet<Id> {
        let mut outputs: Vec<Id> = self.visible.iter().map(|(_, id)| *id).collect();
        outputs.extend(self.fate);
        let needed = self.closure(&outputs);
        needed
            .iter()
            .flat_map(|id| self.cells[id.0].refs.iter().copied())
            .collect()
    }

    /// A query over the cells that it names: `head` is what stands behind SELECT, `tail` what stands behind FROM.
    pub fn query(&self, head: &str, refs: &[Id], tail: &str) -> String {
        let (with, from) = self.layers(refs);
        format!(
            "{with}SELECT {head} FROM {from}{}{tail}",
            if tail.is_empty() { "" } else { " " }
        )
    }

    /// The common table expressions that have some cells, and the name of the last one.
    fn layers(&self, outputs: &[Id]) -> (String, String) {
        let needed = self.closure(outputs);
        let last = needed.iter().map(|id| self.cells[id.0].layer).max().unwrap_or(0);
        // The layer up to which a cell is handed on.
        let mut handed: Vec<usize> = vec![0; self.cells.len()];
        for id in outputs {
            handed[id.0] = last;
        }
        for id in &needed {
            let cell = &self.cells[id.0];
            for used in &cell.refs {
                handed[used.0] = handed[used.0].max(cell.layer - 1);
            }
        }
        let mut with = String::from("WITH ");
        for layer in 0..=last {
            let from = match layer {
                0 => self.relation.clone(),
                _ => format!("_l{}", layer - 1),
            };
            let separator = if layer == 0 { "" } else { ", " };
            // Writing to a text cannot fail.
            let _ = write!(with, "{separator}_l{layer} AS (SELECT ");
            let mut is_first = true;
            for id in &needed {
                let cell = &self.cells[id.0];
                if cell.layer > layer || cell.layer < layer && handed[id.0] < layer {
                    continue;
                }
                let separator = if is_first { "" } else { ", " };
                is_first = false;
                let name = sql::ident(&cell.name);
                let _ = match cell.layer == layer {
                    true if cell.expression == name => write!(with, "{separator}{name}"),
                    true => write!(with, "{separator}{} AS {name}", cell.expression),
                    false => write!(with, "{separator}{name}"),
                };
            }
            if is_first {
                with.push_str("1 AS nothing");
            }
            let _ = write!(with, " FROM {from})");
        }
        with.push(' ');
        (with, format!("_l{last}"))
    }

    fn closure(&self, outputs: &[Id]) -> BTreeSet<Id> {
        let mut needed = BTreeSet::new();
        let mut open: Vec<Id> = outputs.to_vec();
        while let Some(id) = open.pop() {
            if needed.insert(id) {
                open.extend(&self.cells[id.0].refs);
            }
        }
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Chain {
        let columns = [("a", Kind::Integer), ("b", Kind::Text)].map(|(name, kind)| Column {
            name: name.to_owned(),
            kind,
        });
        Chain::new("t", &columns)
    }

    #[test]
    fn a_query_has_only_what_it_needs() {
        let mut chain = chain();
        let a = chain.visible()[0].1;
        let c = chain.add("c", Kind::Integer, &[a], format!("{} + 1", chain.sql(a)));
        let d = chain.add(
            "d",
            Kind::Integer,
            &[a, c],
            format!("{} * {}", chain.sql(a), chain.sql(c)),
        );
        let sum = format!("sum({})", chain.sql(d));
        assert_eq!(
            chain.query(&sum, &[d], ""),
            "WITH _l0 AS (SELECT \"a\" AS \"a__0\" FROM t), \
             _l1 AS (SELECT \"a__0\", \"a__0\" + 1 AS \"c__2\" FROM _l0), \
             _l2 AS (SELECT \"a__0\" * \"c__2\" AS \"d__3\" FROM _l1) SELECT sum(\"d__3\") FROM _l2"
        );
        assert_eq!(
            chain.query("count(*)", &[], ""),
            "WITH _l0 AS (SELECT 1 AS nothing FROM t) SELECT count(*) FROM _l0"
        );
    }

    #[test]
    fn the_first_fate_stays() {
        let mut chain = chain();
        let a = chain.visible()[0].1;
        chain.doom("1 filter", &format!("{} < 0", chain.sql(a)), &[a]);
        chain.doom("2 filter", &format!("{} < 9", chain.sql(a)), &[a]);
        let fate = chain.fate().unwrap();
        let query = chain.query(&chain.sql(fate), &[fate], "");
        assert!(
            query.contains(
                r#"CASE WHEN "fate__2" IS NOT NULL THEN "fate__2" WHEN "a__0" < 9 THEN '2 filter' ELSE"#
            ),
            "{query}"
        );
    }

    #[test]
    fn what_is_not_learned_makes_others_unknown() {
        let mut chain = chain();
        let unknown = chain.add_unknown("x", Kind::Number);
        let over = chain.add("y", Kind::Number, &[unknown], chain.sql(unknown));
        assert!(!chain.is_known(over));
        assert!(chain.is_known(chain.visible()[0].1));
    }
}
