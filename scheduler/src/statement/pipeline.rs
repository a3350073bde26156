//! `RUN PIPELINE`, `CHECK PIPELINE`, `APPLY PIPELINE`, `EXPORT PIPELINE`, `IMPORT PIPELINE`, `DROP PIPELINE`, and what leads
//! to them: `SUMMARIZE` and `PROPOSE PIPELINE`.
//!
//! ```text
//! RUN:   source ─► fit (queries, rows into memory) ─► what must hold? ─► account ─► outputs ─► new version in the catalog
//! APPLY: version of the catalog ─► SQL over another table ─► CREATE VIEW
//! ```
//!
//! [`millpond_pipeline`] says which queries; each runs here as a statement of its own would. Nothing is written before all is
//! known to be well; tables in between are dropped at the end, whatever it is.

mod account;
mod carried;
mod outputs;
mod page;
mod passes;
mod places;
mod report;
mod runner;
mod summary;

use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use futures::FutureExt;
use futures::future::BoxFuture;
use millpond_engine::clock::now_ms;
use millpond_engine::error::{Code, Error};
use millpond_pipeline::fit::Learned;
use millpond_pipeline::profile::{Profile, profile};
use millpond_pipeline::{Compiled, Fitted, Kinds, Mistake, Spec, sql};
use millpond_pipeline::{fit, propose};
use millpond_proto::catalog::{AddPipeline, Change, ChangeKind, DropPipeline, Pipeline, PipelineVersion};

use self::account::Account;
use self::report::Report;
use self::runner::{Opened, Runner, check_length};
use super::frontend::Services;
use super::registry::Statement;
use super::result::ResultSet;
use super::syntax::{PipelineStatement, PipelineText};

/// Versions of a pipeline that are kept.
const VERSIONS_KEPT: u32 = 10;

/// Carries out a statement. Its type says nothing of what is inside: that runs statements in turn.
pub(super) fn run<'a>(
    services: &'a Services,
    statement: &'a Arc<Statement>,
    command: PipelineStatement,
) -> BoxFuture<'a, Result<ResultSet, Error>> {
    carry_out(services, statement, command).boxed()
}

async fn carry_out(
    services: &Services,
    statement: &Arc<Statement>,
    command: PipelineStatement,
) -> Result<ResultSet, Error> {
    match command {
        PipelineStatement::Run { text, report } => {
            let yaml = yaml_of(services, text)?;
            let spec = Spec::parse(&yaml).map_err(refused)?;
            let mut runner = Runner::new(services, statement, &spec.name);
            let done = run_spec(&spec, &yaml, report, &mut runner).await;
            runner.parts.clean_up().await;
            done?.result()
        }
        PipelineStatement::Check(yaml) => {
            let spec = Spec::parse(&yaml).map_err(refused)?;
            let mut runner = Runner::new(services, statement, &spec.name);
            let checked = check(&spec, &mut runner).await;
            runner.parts.clean_up().await;
            checked?.result()
        }
        PipelineStatement::Summarize(relation) => {
            let mut runner = Runner::new(services, statement, "summary");
            let summary = summarize(&relation, &mut runner).await;
            runner.parts.clean_up().await;
            summary::result(&summary?)
        }
        PipelineStatement::Propose { name, source } => {
            let mut runner = Runner::new(services, statement, &name);
            let proposed = propose(&name, &source, &mut runner).await;
            runner.parts.clean_up().await;
            report::text("pipeline", proposed?)
        }
        PipelineStatement::Apply {
            name,
            version,
            to,
            view,
        } => apply(services, statement, &name, version, &to, &view).await,
        PipelineStatement::Export { name, version } => carried::export(services, &name, version),
        PipelineStatement::Import(json) => carried::import(services, &json).await,
        PipelineStatement::Drop { name, if_exists } => {
            if if_exists && !services.catalog.current().pipelines.contains_key(&name) {
                return Ok(ResultSet::nothing());
            }
            commit(services, ChangeKind::DropPipeline(DropPipeline { name })).await?;
            Ok(ResultSet::nothing())
        }
    }
}

/// Columns of the answer.
pub(super) fn answer_of(command: &PipelineStatement) -> Option<SchemaRef> {
    match command {
        PipelineStatement::Run { .. } | PipelineStatement::Check(_) => Some(report::schema()),
        PipelineStatement::Summarize(_) => Some(summary::schema()),
        PipelineStatement::Propose { .. } | PipelineStatement::Export { .. } => {
            Some(report::text_schema("pipeline"))
        }
        PipelineStatement::Import(_) => Some(carried::schema()),
        PipelineStatement::Apply { .. } | PipelineStatement::Drop { .. } => None,
    }
}

async fn run_spec(
    spec: &Spec,
    yaml: &str,
    with_page: bool,
    runner: &mut Runner<'_>,
) -> Result<Report, Error> {
    let start = Instant::now();
    runner.begin("open the source and look at the outputs");
    outputs::check_places(spec, runner).await?;
    let mut source = runner.open(&spec.source).await?;
    let kinds = look(spec, &source, runner).await?.1;
    let before = match with_page {
        true => Some(page::before(&mut source, runner).await?),
        false => None,
    };
    let prefix = runner.prefix().to_string();
    let learning = fit::fit(spec, &source.relation, &source.columns, &prefix, kinds, runner);
    let Learned {
        compiled,
        serving,
        fitted,
    } = learning.await.map_err(Error::from)?;
    let fitted = &fitted;
    let warnings = verdicts(&compiled, fitted)?;
    runner.begin("all steps, to count rows");
    let account = Account::of(&compiled, fitted, runner).await?;
    if account.rows_out == 0 && account.rows_in > 0 {
        return Err(Error::user(Code::PIPELINE, "no row is left at the end")
            .with_detail(account.to_string())
            .with_hint("look at the steps that take rows out"));
    }
    outputs::check_columns(spec, &compiled, runner).await?;
    let written = runner.write(spec, &compiled, &account).await?;
    runner.begin("file the version in the catalog");
    let version = PipelineVersion {
        version: 0,
        spec: yaml.to_string(),
        fitted: serde_json::to_string(fitted).map_err(|error| Error::bug(error.to_string()))?,
        source: source.name.clone(),
        rows_in: account.rows_in,
        rows_out: account.rows_out,
        created_at_ms: now_ms(),
        elapsed_ms: start.elapsed().as_millis() as u64,
        transform: transform(&serving),
    };
    add_version(runner.parts.services, &spec.name, version).await?;
    runner.passes.end();
    let passes = runner.passes.done();
    let mut report = Report::new(spec, &compiled, fitted, &account, &warnings, passes);
    report.add_written(&written);
    report.add_times(passes, start.elapsed());
    if let Some(before) = before {
        let page = page::after(&spec.name, &source.name, &report, &before, &compiled, runner).await?;
        runner.passes.end();
        report.add_later_times(runner.passes.done());
        report.add_page(page);
    }
    Ok(report)
}

async fn add_version(services: &Services, name: &str, version: PipelineVersion) -> Result<(), Error> {
    let added = AddPipeline {
        name: name.to_string(),
        version: Some(version),
        keep: VERSIONS_KEPT,
    };
    commit(services, ChangeKind::AddPipeline(added)).await
}

/// Looks whether a pipeline fits its source, as far as that can be said without reading rows.
async fn check(spec: &Spec, runner: &mut Runner<'_>) -> Result<Report, Error> {
    outputs::check_places(spec, runner).await?;
    let source = runner.open(&spec.source).await?;
    let (compiled, _) = look(spec, &source, runner).await?;
    Ok(Report::of_check(spec, &compiled))
}

/// Looks whether the steps fit the columns, what comes out the outputs, and the whole a statement.
async fn look(spec: &Spec, source: &Opened, runner: &mut Runner<'_>) -> Result<(Compiled, Kinds), Error> {
    let prefix = runner.prefix().to_string();
    let (compiled, kinds) = fit::check(spec, &source.relation, &source.columns, &prefix, runner)
        .await
        .map_err(Error::from)?;
    outputs::check_columns(spec, &compiled, runner).await?;
    check_length(&transform(&compiled), &compiled)?;
    Ok((compiled, kinds))
}

/// Looks at all columns of a table, or of a query in parentheses.
async fn summarize(relation: &str, runner: &mut Runner<'_>) -> Result<Profile, Error> {
    let columns = runner.columns_of(relation).await?;
    let prefix = runner.prefix().to_string();
    profile(relation, &columns, &prefix, runner)
        .await
        .map_err(Error::from)
}

/// Writes a pipeline for a source, which is the part of a pipeline with that name. The rows of a file are read as texts,
/// which they always can be.
async fn propose(name: &str, source: &str, runner: &mut Runner<'_>) -> Result<String, Error> {
    let yaml = format!("name: {name}\nsource:\n{}", indented(source));
    let mut spec = Spec::parse(&yaml).map_err(refused)?;
    let mut lines = source.trim_end().to_string();
    if runner.is_of_texts(&spec.source)? && spec.source.types.is_empty() {
        lines.push_str("\ntypes: {\"*\": text}");
        let yaml = format!("name: {name}\nsource:\n{}", indented(&lines));
        spec = Spec::parse(&yaml).map_err(refused)?;
    }
    let opened = runner.open(&spec.source).await?;
    let prefix = format!("{}_texts", runner.prefix());
    let texts = profile(&opened.relation, &opened.columns, &prefix, runner)
        .await
        .map_err(Error::from)?;
    if texts.rows == 0 {
        return Err(Error::user(Code::PIPELINE, "the source has no rows to look at"));
    }
    let casts = propose::casts(&texts);
    let relation = propose::cast_query(&opened.relation, &opened.columns, &casts);
    let typed = summarize(&relation, runner).await?;
    Ok(propose::pipeline(name, &lines, &texts, &casts, &typed))
}

fn indented(lines: &str) -> String {
    let lines: Vec<String> = lines.lines().map(|line| format!("  {line}\n")).collect();
    lines.concat()
}

/// What must hold and does not: an error, or warnings.
fn verdicts(compiled: &Compiled, fitted: &Fitted) -> Result<Vec<(String, String)>, Error> {
    let mut warnings = Vec::new();
    let mut failures = Vec::new();
    for verdict in &compiled.verdicts {
        let count = fitted
            .get(&verdict.key)
            .and_then(millpond_pipeline::Value::number);
        let count = count.unwrap_or(0.0);
        if count <= 0.0 {
            continue;
        }
        let said = format!(
            "step {}: expected that {}; {count} times it is not so",
            verdict.key.step, verdict.what
        );
        match verdict.fatal {
            true => failures.push(said),
            false => warnings.push((verdict.key.step.clone(), said)),
        }
    }
    match failures.is_empty() {
        true => Ok(warnings),
        false => Err(Error::user(Code::PIPELINE, failures.join("; "))
            .with_hint("nothing was written; mend the source, or write otherwise: warn, drop or quarantine")),
    }
}

async fn apply(
    services: &Services,
    statement: &Arc<Statement>,
    name: &str,
    version: Option<u64>,
    to: &TableReference,
    view: &TableReference,
) -> Result<ResultSet, Error> {
    let pipeline = find(services, name)?;
    let version = version_of(&pipeline, version)?;
    let spec = Spec::parse(&version.spec).map_err(refused)?;
    let fitted = fitted_of(version)?;
    let mut runner = Runner::new(services, statement, name);
    if runner.is_same(to, view).await? {
        return Err(
            Error::user(Code::PIPELINE, format!("the view '{view}' would be over itself"))
                .with_hint("give it another name than that of the table"),
        );
    }
    let relation = sql::table(&to.to_string());
    let columns = runner.columns_of(&relation).await?;
    let compiled = fit::serve(&spec, &relation, &columns, fitted, &mut runner)
        .await
        .map_err(Error::from)?;
    let query = transform(&compiled);
    let view = sql::table(&view.to_string());
    runner
        .parts
        .execute(&format!("CREATE OR REPLACE VIEW {view} AS {query}"))
        .await?;
    Ok(ResultSet::nothing())
}

/// The query that has the rows of a pipeline.
pub(super) fn transform(compiled: &Compiled) -> String {
    let chain = &compiled.chain;
    let head: Vec<String> = chain
        .visible()
        .iter()
        .map(|(name, id)| format!("{} AS {}", chain.sql(*id), sql::ident(name)))
        .collect();
    let mut refs: Vec<_> = chain.visible().iter().map(|(_, id)| *id).collect();
    refs.extend(chain.fate());
    let tail = chain
        .is_live()
        .map_or(String::new(), |live| format!("WHERE {live}"));
    chain.query(&head.join(", "), &refs, &tail)
}

fn yaml_of(services: &Services, text: PipelineText) -> Result<String, Error> {
    match text {
        PipelineText::Yaml(yaml) => Ok(yaml),
        PipelineText::Stored(name) => {
            let pipeline = find(services, &name)?;
            version_of(&pipeline, None).map(|version| version.spec.clone())
        }
    }
}

fn find(services: &Services, name: &str) -> Result<Arc<Pipeline>, Error> {
    let version = services.catalog.current();
    let found = version.pipelines.get(name).cloned();
    found.ok_or_else(|| {
        let known = version.pipelines.keys().map(String::as_str);
        let hint = match millpond_engine::config::nearest(name, known) {
            Some(nearest) => format!("did you mean '{nearest}'?"),
            None => "SELECT name FROM system.pipelines shows those there are".to_string(),
        };
        Error::user(Code::UNKNOWN_RELATION, format!("there is no pipeline '{name}'")).with_hint(hint)
    })
}

fn version_of(pipeline: &Pipeline, number: Option<u64>) -> Result<&PipelineVersion, Error> {
    let found = match number {
        None => pipeline.versions.last(),
        Some(number) => pipeline.versions.iter().find(|version| version.version == number),
    };
    found.ok_or_else(|| {
        let kept: Vec<String> = pipeline
            .versions
            .iter()
            .map(|version| version.version.to_string())
            .collect();
        Error::user(
            Code::UNKNOWN_RELATION,
            format!(
                "pipeline '{}' has no version {}",
                pipeline.name,
                number.unwrap_or(0)
            ),
        )
        .with_hint(format!("it has {}", kept.join(", ")))
    })
}

/// What a version has learned.
fn fitted_of(version: &PipelineVersion) -> Result<Fitted, Error> {
    serde_json::from_str(&version.fitted).map_err(|error| Error::bug(error.to_string()))
}

async fn commit(services: &Services, change: ChangeKind) -> Result<(), Error> {
    services
        .catalog
        .commit(vec![Change { kind: Some(change) }])
        .await?;
    Ok(())
}

/// A mistake in a pipeline, as an error with a code.
pub(super) fn refused(mistake: Mistake) -> Error {
    let hint = mistake.hint.clone();
    let text = Mistake {
        hint: String::new(),
        ..mistake
    };
    let error = Error::user(Code::PIPELINE, text.to_string());
    match hint.is_empty() {
        true => error,
        false => error.with_hint(hint),
    }
}
