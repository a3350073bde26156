//! `GROUP BY` over columns of tables in memory whose values are numbered already.
//!
//! A packed column holds small numbers: places in a list of texts, or distances from the least of its integers. Where such
//! columns are grouped by, a partial aggregate need not hash the values of each row: the numbers are codes, and each code
//! has a slot in a table. When the codes of a batch stand for other values than those before, the slots are added up by
//! value. The scan below gives the columns as dictionaries, and a [`DictionaryAggregateExec`] takes the place of the
//! aggregate; what comes out of it is the same, and so is everything above. It is decided by the executor that has the
//! rows, when a plan is about to run.
//!
//! ```text
//! AggregateExec (partial)          DictionaryAggregateExec     rows ─► codes ─► slots ─► groups
//! └─ ProjectionExec          ─►    └─ ProjectionExec
//!    └─ scan of shards                └─ scan of shards, with dictionaries
//! ```

mod codes;
mod exec;
mod functions;
mod sums;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode, PhysicalExpr};

pub use self::exec::DictionaryAggregateExec;

use crate::shards::{ShardSource, columns_alone};

/// Most combinations of values in a batch for which a table of groups is worth it.
const COMBINATIONS_MAX: usize = 1 << 14;

/// Puts a [`DictionaryAggregateExec`] in the place of each partial aggregate that can be one.
///
/// # Errors
/// None in practice: nodes get other children with the same columns.
pub fn by_code(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| match dictionary_aggregate(&node)? {
        Some(aggregate) => Ok(Transformed::yes(Arc::new(aggregate) as Arc<dyn ExecutionPlan>)),
        None => Ok(Transformed::no(node)),
    })
    .data()
}

fn dictionary_aggregate(node: &Arc<dyn ExecutionPlan>) -> Result<Option<DictionaryAggregateExec>> {
    let Some(aggregate) = node
        .downcast_ref::<AggregateExec>()
        .filter(|aggregate| is_plain(aggregate))
    else {
        return Ok(None);
    };
    let Some(places) = grouped_alone(aggregate) else {
        return Ok(None);
    };
    let input = with_dictionaries(aggregate.input(), &places)?;
    Ok(input.map(|input| DictionaryAggregateExec::new(aggregate.clone(), places, input)))
}

/// True for a partial aggregate of rows in no order, by one set of groups, whose functions take the groups of rows.
fn is_plain(aggregate: &AggregateExec) -> bool {
    let groups = aggregate.group_expr();
    let takes_groups = aggregate.aggr_expr().iter().all(|function| {
        function.groups_accumulator_supported()
            && function.order_bys().is_empty()
            && has_small_state(function)
    });
    *aggregate.mode() == AggregateMode::Partial
        && groups.is_single()
        && !groups.is_empty()
        && takes_groups
        && *aggregate.input_order_mode() == InputOrderMode::Linear
        && aggregate.limit_options().is_none()
        && aggregate.dynamic_expressions_produced().is_empty()
}

/// True if the state of a function is not a list of values, which would be built and taken apart for each dictionary.
fn has_small_state(function: &AggregateFunctionExpr) -> bool {
    let states = function.state_fields();
    states.is_ok_and(|states| states.iter().all(|state| !state.data_type().is_nested()))
}

/// Places in the input of the columns that are grouped by, if they are used for nothing else.
fn grouped_alone(aggregate: &AggregateExec) -> Option<Vec<usize>> {
    let groups = aggregate.group_expr().expr().iter();
    let places = groups.map(|(group, _)| Some(group.downcast_ref::<Column>()?.index()));
    let places: Vec<usize> = places.collect::<Option<_>>()?;
    let arguments = aggregate
        .aggr_expr()
        .iter()
        .flat_map(|function| function.expressions());
    let filters = aggregate.filter_expr().iter().flatten().cloned();
    let used = |expression: Arc<dyn PhysicalExpr>| {
        let columns = collect_columns(&expression);
        columns.iter().any(|column| places.contains(&column.index()))
    };
    let is_twice = (1..places.len()).any(|place| places[..place].contains(&places[place]));
    (!is_twice && !arguments.chain(filters).any(used)).then_some(places)
}

/// The same rows with the columns at some places as dictionaries, if the scan below has numbers for their values.
fn with_dictionaries(
    input: &Arc<dyn ExecutionPlan>,
    places: &[usize],
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(projection) = input.downcast_ref::<ProjectionExec>() {
        let expressions: Vec<&Arc<dyn PhysicalExpr>> = projection
            .expr()
            .iter()
            .map(|projected| &projected.expr)
            .collect();
        let Some(below) = columns_alone(&expressions, places) else {
            return Ok(None);
        };
        let below = with_dictionaries(projection.input(), &below)?;
        let over = |below| ProjectionExec::try_new(projection.expr().to_vec(), below);
        let same = below.map(over).transpose()?;
        return Ok(same.map(|same| Arc::new(same) as Arc<dyn ExecutionPlan>));
    }
    let Some((scan, source)) = ShardSource::scanned_by(input) else {
        return Ok(None);
    };
    let Some(source) = source.with_dictionaries(places) else {
        return Ok(None);
    };
    if !are_few(&source, &scan.file_groups) {
        return Ok(None);
    }
    let scan = FileScanConfigBuilder::from(scan.clone()).with_source(Arc::new(source));
    Ok(Some(DataSourceExec::from_data_source(scan.build())))
}

/// True if values of the dictionaries are numbered and few in all shards that are here, and some are.
fn are_few(source: &ShardSource, files: &[FileGroup]) -> bool {
    let files = files.iter().flat_map(FileGroup::iter);
    let mut shards = source
        .shards_here(files)
        .filter(|shard| shard.rows() > 0)
        .peekable();
    let is_few = |combinations: usize| combinations <= COMBINATIONS_MAX;
    shards.peek().is_some()
        && shards.all(|shard| shard.combinations_max(source.dictionaries()).is_some_and(is_few))
}

#[cfg(test)]
mod tests;
