//! `DELETE` and `UPDATE` as queries for the rows that a table has afterwards.
//!
//! They start from the plan that SQL was turned into, before any optimizer has touched it: a filter over a scan, and
//! for `UPDATE` a projection with the new values over that. What the filter says of a row is true, false or
//! unknown; only true deletes or updates.

use datafusion::arrow::array::{Int64Array, RecordBatch};
use datafusion::common::tree_node::TreeNode;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::utils::COUNT_STAR_EXPANSION;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, lit, when};
use datafusion::prelude::col;
use millpond_engine::error::{Code, Error};

/// The rows that a `DELETE` leaves.
pub(super) fn without_deleted(plan: &LogicalPlan) -> Result<LogicalPlan, Error> {
    let (scan, predicate) = filtered_scan(plan)?;
    let kept = match predicate {
        Some(predicate) => predicate.is_not_true(),
        None => lit(false),
    };
    LogicalPlanBuilder::from(scan.clone())
        .filter(kept)
        .and_then(LogicalPlanBuilder::build)
        .map_err(Error::from_datafusion)
}

/// All rows, with the new values where an `UPDATE` says so.
pub(super) fn with_updates(plan: &LogicalPlan) -> Result<LogicalPlan, Error> {
    let (values, source) = projection(plan)?;
    let (scan, predicate) = filtered_scan(source)?;
    let Some(predicate) = predicate else {
        return Ok(plan.clone());
    };
    if predicate.is_volatile() {
        // It is evaluated for each column and for the count, and must answer the same every time.
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            "the condition of an UPDATE has a function that answers anew each time, such as random()",
        )
        .with_hint("write its answers into a table first, and UPDATE with a condition over that table"));
    }
    if has_subquery(&predicate) {
        return changed_and_unchanged(values, scan, predicate);
    }
    let columns = scan.schema().columns();
    let chosen = values
        .iter()
        .zip(columns)
        .map(|(value, column)| {
            let (name, old) = (column.name.clone(), Expr::Column(column));
            let value = value.clone().unalias();
            if value == old {
                return Ok(old.alias(name));
            }
            Ok(when(predicate.clone().is_true(), value)
                .otherwise(old)?
                .alias(name))
        })
        .collect::<datafusion::error::Result<Vec<Expr>>>();
    LogicalPlanBuilder::from(scan.clone())
        .project(chosen.map_err(Error::from_datafusion)?)
        .and_then(LogicalPlanBuilder::build)
        .map_err(Error::from_datafusion)
}

/// The rows that an `UPDATE` changes, and after them the others: a subquery can stand in a filter, but not beside the
/// values.
fn changed_and_unchanged(values: &[Expr], scan: &LogicalPlan, predicate: Expr) -> Result<LogicalPlan, Error> {
    let columns = scan.schema().columns();
    let named = |value: &Expr, name: &str| value.clone().unalias().alias(name);
    let new: Vec<Expr> = values
        .iter()
        .zip(&columns)
        .map(|(value, column)| named(value, &column.name))
        .collect();
    let old: Vec<Expr> = columns
        .iter()
        .map(|column| named(&Expr::Column(column.clone()), &column.name))
        .collect();
    let chosen = |condition: Expr, values: Vec<Expr>| {
        LogicalPlanBuilder::from(scan.clone())
            .filter(condition)
            .and_then(|rows| rows.project(values))
            .and_then(LogicalPlanBuilder::build)
    };
    let both = || {
        let unchanged = chosen(predicate.clone().is_not_true(), old)?;
        LogicalPlanBuilder::from(chosen(predicate.clone(), new)?)
            .union(unchanged)?
            .build()
    };
    both().map_err(Error::from_datafusion)
}

fn has_subquery(predicate: &Expr) -> bool {
    let is_subquery = |part: &Expr| {
        let subquery = matches!(
            part,
            Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_)
        );
        Ok(subquery)
    };
    predicate.exists(is_subquery).unwrap_or(true)
}

/// A query for the number of rows that an `UPDATE` changes.
pub(super) fn count_of_updated(plan: &LogicalPlan) -> Result<LogicalPlan, Error> {
    let (_, source) = projection(plan)?;
    LogicalPlanBuilder::from(source.clone())
        .aggregate(
            Vec::<Expr>::new(),
            vec![count(Expr::Literal(COUNT_STAR_EXPANSION, None)).alias("count")],
        )
        .and_then(|plan| plan.project(vec![col("count")]))
        .and_then(LogicalPlanBuilder::build)
        .map_err(Error::from_datafusion)
}

/// The count in a batch of such a query.
pub(super) fn first_number(batch: &RecordBatch) -> u64 {
    let counts = batch
        .columns()
        .first()
        .and_then(|column| column.as_any().downcast_ref::<Int64Array>());
    counts.map_or(0, |counts| {
        counts
            .iter()
            .flatten()
            .map(|count| u64::try_from(count).unwrap_or_default())
            .sum()
    })
}

fn projection(plan: &LogicalPlan) -> Result<(&[Expr], &LogicalPlan), Error> {
    match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) => Ok((expr, input)),
        other => Err(Error::bug(format!("an UPDATE of the form {}", other.display()))),
    }
}

/// Splits a plan into the scan of the table and the predicate over it.
fn filtered_scan(plan: &LogicalPlan) -> Result<(&LogicalPlan, Option<Expr>), Error> {
    let (input, predicate) = match plan {
        LogicalPlan::Filter(filter) => (filter.input.as_ref(), Some(filter.predicate.clone())),
        other => (other, None),
    };
    match input {
        LogicalPlan::TableScan(_) => Ok((input, predicate)),
        LogicalPlan::SubqueryAlias(alias) if matches!(alias.input.as_ref(), LogicalPlan::TableScan(_)) => {
            Ok((input, predicate))
        }
        _ => Err(Error::user(
            Code::NOT_SUPPORTED,
            "UPDATE ... FROM and DELETE ... LIMIT are not supported on a table in memory",
        )
        .with_hint("say which rows with a condition, such as WHERE id IN (SELECT ...)")),
    }
}
