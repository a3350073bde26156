//! What models need of one node: aggregate functions for their sums, and sums that follow live tables.
//!
//! The numbers are those of [`millpond_model`]; here they become functions of SQL, of one pass ([`functions`]) or of many
//! ([`passes`]), whose states are merged as those of any aggregate are. Over a live table the states of one pass are kept
//! with its shards ([`KeptSumsExec`], [`Kept`]) and stored in their checkpoints, so that the next training costs what has
//! changed and not what is there, also after the loss of an executor.

mod aggregation;
mod answer;
mod feature;
mod functions;
mod kept;
mod kept_exec;
mod pass;
mod passes;
mod scores;
mod usable;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub use functions::keeps_sums;
pub use kept::Kept;
pub use kept_exec::KeptSumsExec;

/// All functions of a row.
pub(crate) fn scalars() -> [Arc<ScalarUDF>; 2] {
    [feature::function(), usable::function()]
}

/// All aggregate functions of models.
pub(crate) fn aggregates() -> impl Iterator<Item = Arc<AggregateUDF>> {
    let scores = std::iter::once(scores::aggregate());
    functions::aggregates().chain(passes::aggregates()).chain(scores)
}

#[cfg(test)]
mod tests;
