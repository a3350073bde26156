//! The aggregate functions of groups: for rows of known codes, and in all.
//!
//! [`ByCode`] has a slot for each code, so rows go straight to it. [`Totals`] have a slot for each group, and take over
//! what was found by code, or rows whose codes are too many.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::aggregates::AggregateExec;

use super::sums::{State, Sums};

/// The columns of the partial state of a function.
type States = Vec<ArrayRef>;

/// The functions of an aggregate, in its order, with a slot for each code.
#[derive(Default)]
pub(super) struct ByCode {
    sums: Sums,
    functions: Vec<Function>,
    /// The codes of rows as accumulators take them.
    slots: Vec<usize>,
}

enum Function {
    OfSums(Vec<State>),
    Accumulated(Accumulated),
}

impl ByCode {
    /// The functions of an aggregate, of no rows.
    ///
    /// # Errors
    /// A function that takes no groups of rows.
    pub(super) fn new(aggregate: &AggregateExec) -> Result<Self> {
        let mut by_code = Self::default();
        let schema = aggregate.input_schema();
        for (function, filter) in aggregate.aggr_expr().iter().zip(aggregate.filter_expr()) {
            let states = match filter {
                None => by_code.sums.states_of(function, &schema)?,
                Some(_) => None,
            };
            by_code.functions.push(match states {
                Some(states) => Function::OfSums(states),
                None => Function::Accumulated(Accumulated::new(function, filter.as_ref())?),
            });
        }
        Ok(by_code)
    }

    /// Adds rows to their slots, of which there are `total`.
    ///
    /// # Errors
    /// Those of arguments and filters.
    pub(super) fn update(&mut self, rows: &RecordBatch, codes: &[u32], total: usize) -> Result<()> {
        self.sums.update(rows, codes, total)?;
        self.slots.clear();
        for function in &mut self.functions {
            if let Function::Accumulated(function) = function {
                if self.slots.is_empty() {
                    self.slots.extend(codes.iter().map(|code| *code as usize));
                }
                function.update(rows, &self.slots, total)?;
            }
        }
        Ok(())
    }

    /// Rows of each slot.
    pub(super) fn rows(&self) -> &[i64] {
        self.sums.rows()
    }

    /// The states of each function in all slots, which begin anew.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn take(&mut self) -> Result<Vec<States>> {
        let states = self.functions.iter_mut().map(|function| match function {
            Function::OfSums(states) => states.iter().map(|state| self.sums.state(state)).collect(),
            Function::Accumulated(function) => function.accumulator.state(EmitTo::All),
        });
        let states = states.collect::<Result<_>>()?;
        self.sums.clear();
        Ok(states)
    }

    /// Bytes of all slots.
    pub(super) fn bytes(&self) -> usize {
        let accumulated = self.functions.iter().map(|function| match function {
            Function::OfSums(_) => 0,
            Function::Accumulated(function) => function.accumulator.size(),
        });
        self.sums.bytes() + accumulated.sum::<usize>()
    }
}

/// The functions of an aggregate, in its order, with a slot for each group.
pub(super) struct Totals(Vec<Accumulated>);

impl Totals {
    /// The functions of an aggregate, of no rows.
    ///
    /// # Errors
    /// A function that takes no groups of rows.
    pub(super) fn new(aggregate: &AggregateExec) -> Result<Self> {
        let functions = aggregate.aggr_expr().iter().zip(aggregate.filter_expr());
        let functions = functions.map(|(function, filter)| Accumulated::new(function, filter.as_ref()));
        Ok(Self(functions.collect::<Result<_>>()?))
    }

    /// Adds rows to their groups, of which there are `total`.
    ///
    /// # Errors
    /// Those of arguments and filters.
    pub(super) fn update(&mut self, rows: &RecordBatch, groups: &[usize], total: usize) -> Result<()> {
        let mut functions = self.0.iter_mut();
        functions.try_for_each(|function| function.update(rows, groups, total))
    }

    /// Adds the states of each function to their groups, of which there are `total`.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn merge(&mut self, states: &[States], groups: &[usize], total: usize) -> Result<()> {
        let mut functions = self.0.iter_mut().zip(states);
        functions.try_for_each(|(function, states)| function.accumulator.merge_batch(states, groups, total))
    }

    /// The states of all functions, one after the other, which begin anew.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn take(&mut self) -> Result<States> {
        let states = self
            .0
            .iter_mut()
            .map(|function| function.accumulator.state(EmitTo::All));
        Ok(states.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Bytes of all groups.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|function| function.accumulator.size()).sum()
    }
}

/// A function with an accumulator, and what it is called with.
struct Accumulated {
    accumulator: Box<dyn GroupsAccumulator>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

impl Accumulated {
    fn new(function: &AggregateFunctionExpr, filter: Option<&Arc<dyn PhysicalExpr>>) -> Result<Self> {
        Ok(Self {
            accumulator: function.create_groups_accumulator()?,
            arguments: function.expressions(),
            filter: filter.cloned(),
        })
    }

    fn update(&mut self, rows: &RecordBatch, groups: &[usize], total: usize) -> Result<()> {
        let evaluate =
            |expression: &Arc<dyn PhysicalExpr>| expression.evaluate(rows)?.into_array(rows.num_rows());
        let values: Vec<ArrayRef> = self.arguments.iter().map(evaluate).collect::<Result<_>>()?;
        let filter = self.filter.as_ref().map(evaluate).transpose()?;
        let filter: Option<&BooleanArray> = match &filter {
            Some(filter) => Some(
                filter
                    .as_boolean_opt()
                    .ok_or_else(|| internal_datafusion_err!("a filter of {}", filter.data_type()))?,
            ),
            None => None,
        };
        self.accumulator.update_batch(&values, groups, filter, total)
    }
}
