//! A look at the tables of a plan before anybody has work with it: are their rows there?

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan};
use millpond_engine::error::Error;

use super::live_table::LiveTable;
use super::memory_table::MemoryTable;

/// Refuses a plan that reads a table in memory which is not whole, and pins those that follow topics.
///
/// # Errors
/// As for [`MemoryTable::check_whole`] and [`LiveTable::rows`].
pub(crate) async fn check_whole(plan: &LogicalPlan) -> Result<(), Error> {
    for table in tables_of(plan)?.into_iter().flatten() {
        if let Some(table) = table.downcast_ref::<MemoryTable>() {
            table.check_whole()?;
        } else if let Some(table) = table.downcast_ref::<LiveTable>() {
            table.rows().await?.check_whole()?;
        }
    }
    Ok(())
}

/// True if a plan reads a table whose rows follow a topic.
///
/// # Errors
/// A plan that cannot be walked through.
pub(crate) fn reads_live(plan: &LogicalPlan) -> Result<bool, Error> {
    let is_live = |table: &Arc<dyn TableProvider>| table.downcast_ref::<LiveTable>().is_some();
    Ok(tables_of(plan)?.iter().flatten().any(is_live))
}

/// True if all tables that a plan reads are in memory, at the version of its statement.
///
/// # Errors
/// A plan that cannot be walked through.
pub(crate) fn reads_memory_only(plan: &LogicalPlan) -> Result<bool, Error> {
    let in_memory = |table: &Option<Arc<dyn TableProvider>>| {
        table
            .as_ref()
            .is_some_and(|table| table.downcast_ref::<MemoryTable>().is_some())
    };
    Ok(tables_of(plan)?.iter().all(in_memory))
}

/// True if a plan reads rows of tables in memory as they are: nothing is computed, so reading them often costs no more than
/// reading a copy would.
pub(crate) fn is_at_hand(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => match scan.source.get_logical_plan() {
            Some(view) => is_at_hand(&view),
            None => source_as_provider(&scan.source).is_ok_and(|table| {
                table.downcast_ref::<MemoryTable>().is_some() || table.downcast_ref::<LiveTable>().is_some()
            }),
        },
        LogicalPlan::Projection(projection) => {
            let is_column = |column: &Expr| matches!(column.clone().unalias(), Expr::Column(_));
            projection.expr.iter().all(is_column) && is_at_hand(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => is_at_hand(&alias.input),
        _ => false,
    }
}

/// The tables of a plan; `None` for what is no table of a catalog.
fn tables_of(plan: &LogicalPlan) -> Result<Vec<Option<Arc<dyn TableProvider>>>, Error> {
    let mut tables = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            tables.push(source_as_provider(&scan.source).ok());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(Error::from_datafusion)?;
    Ok(tables)
}
