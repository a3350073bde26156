//! Functions that SQL has beside DataFusion's. Planner and executors know them by the same names.

mod row_hash;
mod trim_blanks;
mod try_to;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

use row_hash::RowHash;
use trim_blanks::TrimBlanks;
use try_to::TryTo;

/// All of them.
pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    let functions = [
        ScalarUDF::from(TryTo::date()),
        ScalarUDF::from(TryTo::timestamp()),
        ScalarUDF::from(TrimBlanks::new()),
        ScalarUDF::from(RowHash::new()),
    ];
    functions.map(Arc::new).to_vec()
}
