//! `millpond models NAME`: what one model has learned, with bars, and how it got there.

use arrow::array::RecordBatch;

use super::look::{look, print};
use crate::connection::Connection;
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::output::Format;
use crate::shell::describe::literal;

/// Longest bar.
const WIDTH: usize = 24;
/// Coefficients that are shown, the strongest first.
const COEFFICIENTS: usize = 40;
/// Versions that are shown.
const VERSIONS: usize = 10;

/// Prints a model.
///
/// # Errors
/// The connection; [`Error::Statement`] if there is none of that name.
pub(super) async fn show(
    connection: &Connection,
    name: &str,
    interrupts: &mut Interrupts,
) -> Result<(), Error> {
    let name_sql = literal(name);
    let about = format!(
        "SELECT name, type, label, refresh, version, newest_version, rows, labels, metrics, trained_at, query \
         FROM system.models WHERE name = {name_sql}"
    );
    let about = look(connection, &about, interrupts).await?;
    if about.iter().all(|batch| batch.num_rows() == 0) {
        return Err(Error::Statement(format!("there is no model '{name}'")));
    }
    print(&about, Format::Table, true)?;
    for query in [coefficients(&name_sql), versions(&name_sql)] {
        let rows: Vec<RecordBatch> = look(connection, &query, interrupts).await?;
        print(&rows, Format::Table, false)?;
    }
    Ok(())
}

/// Bars are as long as a coefficient is strong: by |t| where there is one, for it does not depend on the unit of the column.
fn coefficients(name: &str) -> String {
    let strength = "abs(coalesce(c.t, c.coefficient))";
    format!(
        "WITH lines AS (SELECT c.*, CASE WHEN c.term NOT IN ('intercept', 'prior') THEN {strength} END AS size \
         FROM system.model_coefficients c JOIN system.models m ON m.name = c.model AND m.version = c.version \
         WHERE c.model = {name}) \
         SELECT term, class, coefficient, standard_error, p, \
         CASE WHEN coefficient < 0 THEN '-' ELSE '+' END || \
         repeat('█', CAST(round({WIDTH} * size / max(size) OVER ()) AS BIGINT)) AS strength \
         FROM lines ORDER BY size DESC NULLS FIRST, class, term LIMIT {COEFFICIENTS}"
    )
}

fn versions(name: &str) -> String {
    format!(
        "SELECT version, cause, created_at, elapsed_ms, rows, left_out, metrics FROM system.model_versions \
         WHERE model = {name} ORDER BY version DESC LIMIT {VERSIONS}"
    )
}
