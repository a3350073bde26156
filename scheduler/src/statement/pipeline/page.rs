//! The page of a run: rows are stored before and after it, so that they are read once, and then looked at.

use millpond_engine::error::Error;
use millpond_pipeline::fit::Engine;
use millpond_pipeline::picture::{Look, Run, look, page};
use millpond_pipeline::{Compiled, sql};

use super::report::Report;
use super::runner::{Opened, Runner};
use super::transform;

/// Looks at the rows of a source. The run goes on with those that were looked at.
pub(super) async fn before(source: &mut Opened, runner: &mut Runner<'_>) -> Result<Look, Error> {
    runner.begin("pictures of the source");
    let table = format!("{}_before", runner.prefix());
    let query = format!("SELECT * FROM {}", source.relation);
    runner.store(&table, &query).await.map_err(Error::from)?;
    source.relation = sql::ident(&table);
    let seen = look(&source.relation, &source.columns, runner).await;
    seen.map_err(Error::from)
}

/// Looks at the rows that came out, and makes the page.
pub(super) async fn after(
    name: &str,
    source: &str,
    report: &Report,
    before: &Look,
    compiled: &Compiled,
    runner: &mut Runner<'_>,
) -> Result<String, Error> {
    runner.begin("pictures of the result");
    let table = format!("{}_after", runner.prefix());
    runner
        .store(&table, &transform(compiled))
        .await
        .map_err(Error::from)?;
    let after = look(&sql::ident(&table), &compiled.chain.columns(), runner)
        .await
        .map_err(Error::from)?;
    let run = Run {
        name,
        source,
        lines: report.lines(),
    };
    page(run, before, &after).map_err(|error| Error::bug(format!("the page cannot be made: {error}")))
}
