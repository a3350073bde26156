//! From SQL text to a result: plan a statement and send it the way it has to go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DFSchema, ParamValues};
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    DdlStatement, EmptyRelation, Expr, LogicalPlan, Statement as SessionStatement,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as ParsedStatement;
use datafusion::sql::sqlparser::ast;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use millpond_engine::error::{Code, Error};

use super::frontend::{Request, Services};
use super::job::Watched;
use super::plan_cache::{Circumstances, ConstantRows, Known};
use super::registry::Statement;
use super::result::{HEAD_BYTES, Head, ResultSet};
use super::syntax::OwnStatement;
use super::{
    alter, cache, direct, explain, job, limits, memory, model, pipeline, stream, syntax, upkeep, write,
};
use crate::catalog::{Reads, SessionFactory, StatementCatalog, ddl, what_is_read};
use crate::session::Session;
use crate::streams::LiveReads;

/// Pause before a statement runs again because a shard was not where it should be.
const RECOVERY_PAUSE: Duration = Duration::from_millis(250);
/// Runs of a statement that meets others which change the same table.
const CONFLICTS_MAX: usize = 5;

/// A statement that has been planned.
pub(super) struct Planned {
    pub(super) catalog: Arc<StatementCatalog>,
    pub(super) state: SessionState,
    pub(super) plan: LogicalPlan,
}

/// Options of the table that a statement creates, as they were written.
type Options = Vec<(String, String)>;

/// Runs a statement, and again if it has met a part of a table that was lost and is being restored, or another
/// statement that changed the same table: nothing of it has taken effect then.
///
/// # Errors
/// Those of `run`.
pub(super) async fn until_whole<T, F, R>(services: &Services, mut run: F) -> Result<T, Error>
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, Error>>,
{
    let deadline = Instant::now() + services.recovery_timeout;
    let mut conflicts = 0;
    loop {
        match run().await {
            Err(error) if error.code == Code::SHARD_MOVED && Instant::now() < deadline => {
                tracing::debug!(%error, "wait for a shard");
                services.shards.look_now();
                tokio::time::sleep(RECOVERY_PAUSE).await;
            }
            Err(error) if error.code == Code::STATE_CONFLICT && conflicts < CONFLICTS_MAX => {
                conflicts += 1;
            }
            ended => return ended,
        }
    }
}

/// Runs one statement to its result. Dropping the future stops what it started. Its type says nothing of what is inside:
/// statements that run others would else be types without end.
pub(super) fn run<'a>(
    services: &'a Services,
    statement: &'a Arc<Statement>,
    request: &'a Request,
) -> BoxFuture<'a, Result<ResultSet, Error>> {
    run_one(services, statement, request).boxed()
}

async fn run_one(
    services: &Services,
    statement: &Arc<Statement>,
    request: &Request,
) -> Result<ResultSet, Error> {
    if let Some(task) = &request.upkeep {
        return Box::pin(upkeep::run(services, statement, task)).await;
    }
    match request.is_part {
        true => limits::check_part(&request.sql)?,
        false => limits::check_text(&request.sql)?,
    }
    let session = &statement.session;
    let catalog = catalog_of(services, statement, request).await;
    if let Some(known) = services.plans.find(services, &catalog, request).await {
        statement.update(|status| status.verb = "SELECT".to_string());
        let result = match known.as_ref() {
            Known::Constants(rows) => Some(ResultSet::batches(rows.columns.clone(), rows.batches.clone())),
            Known::Plan(plan) => direct::known(services, statement, &catalog, plan).await?,
        };
        if let Some(result) = result {
            return Ok(result);
        }
    }
    if let Some(own) = syntax::parse(&request.sql).map_err(|error| error.with_sql(&request.sql))? {
        statement.update(|status| status.verb = own.verb().to_string());
        return match own {
            OwnStatement::Stream(command) => {
                Box::pin(stream::run(services, statement, &catalog, command)).await
            }
            OwnStatement::Cache(command) => {
                Box::pin(cache::run(services, statement, &catalog, command)).await
            }
            OwnStatement::Pipeline(command) => {
                drop(catalog);
                pipeline::run(services, statement, command).await
            }
            OwnStatement::Model(command) => {
                drop(catalog);
                model::run(services, statement, command).await
            }
        };
    }
    let state = catalog.session_state().map_err(Error::from_datafusion)?;
    let parsed = parse(&catalog, &state, &request.sql)?;
    statement.update(|status| status.verb = verb_of(&parsed));
    if let Some(done) = prepared_statement(session, &parsed)? {
        return Ok(done);
    }
    let resolved = resolve(session, &catalog, &state, parsed, request)?;
    if let Some(command) = alter::command(&resolved.parsed) {
        let context = ddl_context(services, statement, &catalog, &state, &request.sql);
        return Box::pin(alter::run(services, statement, &context, command)).await;
    }
    let (planned, options) = plan_resolved(catalog, state, resolved).await?;
    Box::pin(dispatch(services, statement, planned, request, &options)).await
}

/// Plans a query anew, against the newest version of the catalog unless it must stay at one.
///
/// # Errors
/// What cannot be planned any more.
pub(super) async fn plan_again(
    services: &Services,
    statement: &Arc<Statement>,
    request: &Request,
) -> Result<Planned, Error> {
    let session = &statement.session;
    let catalog = catalog_of(services, statement, request).await;
    let state = catalog.session_state().map_err(Error::from_datafusion)?;
    let parsed = parse(&catalog, &state, &request.sql)?;
    let resolved = resolve(session, &catalog, &state, parsed, request)?;
    let (planned, _) = plan_resolved(catalog, state, resolved).await?;
    Ok(planned)
}

/// The statement to plan: the one that was sent, or the one that its `EXECUTE` names.
fn resolve(
    session: &Session,
    catalog: &StatementCatalog,
    state: &SessionState,
    parsed: ParsedStatement,
    request: &Request,
) -> Result<Resolved, Error> {
    let stored = executed_statement(session, catalog, state, &parsed)?;
    Ok(stored.unwrap_or_else(|| Resolved {
        parsed,
        parameters: request.parameters.clone(),
    }))
}

async fn plan_resolved(
    catalog: Arc<StatementCatalog>,
    state: SessionState,
    mut resolved: Resolved,
) -> Result<(Planned, Options), Error> {
    let options = take_options(&mut resolved.parsed)?;
    let plan = plan(&state, resolved).await?;
    Ok((Planned { catalog, state, plan }, options))
}

/// Parses a statement and takes its options away.
pub(super) fn parse_with_options(
    catalog: &StatementCatalog,
    state: &SessionState,
    sql: &str,
) -> Result<(ParsedStatement, Options), Error> {
    let mut parsed = parse(catalog, state, sql)?;
    let options = take_options(&mut parsed)?;
    Ok((parsed, options))
}

/// Takes the options of `CREATE TABLE ... WITH (...)` away, which DataFusion does not plan.
fn take_options(parsed: &mut ParsedStatement) -> Result<Options, Error> {
    let ParsedStatement::Statement(statement) = parsed else {
        return Ok(Vec::new());
    };
    let ast::Statement::CreateTable(create) = statement.as_mut() else {
        return Ok(Vec::new());
    };
    match std::mem::take(&mut create.table_options) {
        ast::CreateTableOptions::None => Ok(Vec::new()),
        ast::CreateTableOptions::With(options) | ast::CreateTableOptions::Options(options) => {
            options.iter().map(key_and_value).collect()
        }
        other => Err(
            Error::user(Code::NOT_SUPPORTED, format!("'{other}' is not supported"))
                .with_hint("write the options of a table as WITH (key = 'value', ...)"),
        ),
    }
}

fn key_and_value(option: &ast::SqlOption) -> Result<(String, String), Error> {
    let ast::SqlOption::KeyValue { key, value } = option else {
        return Err(Error::user(
            Code::INVALID_SETTING,
            format!("'{option}' is no option of a table"),
        )
        .with_hint("write the options of a table as WITH (key = 'value', ...)"));
    };
    let value = match value {
        ast::Expr::Value(value) => value
            .value
            .clone()
            .into_string()
            .unwrap_or_else(|| value.to_string()),
        other => other.to_string(),
    };
    Ok((key.value.clone(), value))
}

/// The version of the catalog that a request is for.
async fn catalog_of(services: &Services, statement: &Statement, request: &Request) -> Arc<StatementCatalog> {
    match &request.at {
        Some(catalog) => catalog.clone(),
        None => statement_catalog(services, statement).await,
    }
}

/// One version of the catalog with the settings of a statement's session.
pub(super) async fn statement_catalog(services: &Services, statement: &Statement) -> Arc<StatementCatalog> {
    session_catalog(services, &statement.session, statement.reads.clone()).await
}

/// One version of the catalog with the settings of a session; `reads` as for [`StatementCatalog::new`].
pub(super) async fn session_catalog(
    services: &Services,
    session: &Session,
    reads: LiveReads,
) -> Arc<StatementCatalog> {
    let mut config = session.config();
    let defaults = millpond_engine::session::session_config();
    // A user who set the number of output partitions keeps it; else it follows the size of the cluster.
    if config.target_partitions() == defaults.target_partitions() {
        config = config.with_target_partitions(partitions_of_cluster(services).await);
    }
    StatementCatalog::new(
        services.shards.pin(&services.catalog),
        services.factory.clone(),
        config,
        services.system.clone(),
        reads,
    )
}

/// Output partitions of an exchange if the user does not say: as configured, else the cores of the cluster.
pub(super) async fn partitions_of_cluster(services: &Services) -> usize {
    match services.target_partitions {
        None => services.cluster.vcores().await.max(2),
        Some(fixed) => fixed,
    }
}

/// Plans a statement without running it, for prepared statements and schemas. The plan of a statement of ours is empty,
/// with the columns of its answer.
pub(crate) fn plan_only<'a>(
    catalog: &'a StatementCatalog,
    sql: &'a str,
) -> BoxFuture<'a, Result<LogicalPlan, Error>> {
    async move {
        limits::check_text(sql)?;
        plan_one(catalog, sql).await
    }
    .boxed()
}

/// As [`plan_only`], of a query that was written here as a part of a statement.
pub(super) fn plan_part<'a>(
    catalog: &'a StatementCatalog,
    sql: &'a str,
) -> BoxFuture<'a, Result<LogicalPlan, Error>> {
    async move {
        limits::check_part(sql)?;
        plan_one(catalog, sql).await
    }
    .boxed()
}

async fn plan_one(catalog: &StatementCatalog, sql: &str) -> Result<LogicalPlan, Error> {
    if let Some(own) = syntax::parse(sql).map_err(|error| error.with_sql(sql))? {
        if let OwnStatement::Model(command) = &own
            && let Some(query) = model::query_of(catalog.version(), command)?
        {
            return plan_only(catalog, &query).await;
        }
        return empty_plan(match &own {
            syntax::OwnStatement::Pipeline(command) => pipeline::answer_of(command),
            syntax::OwnStatement::Model(command) => model::answer_of(command),
            other => other.answers_count().then(|| Arc::new(write::count_schema())),
        });
    }
    let state = catalog.session_state().map_err(Error::from_datafusion)?;
    let (parsed, _) = parse_with_options(catalog, &state, sql)?;
    if alter::command(&parsed).is_some() {
        return empty_plan(None);
    }
    state
        .statement_to_plan(parsed)
        .await
        .map_err(Error::from_datafusion)
}

fn empty_plan(columns: Option<SchemaRef>) -> Result<LogicalPlan, Error> {
    let columns = columns.unwrap_or_else(|| Arc::new(Schema::empty()));
    let schema = DFSchema::try_from(columns).map_err(Error::from_datafusion)?;
    Ok(LogicalPlan::EmptyRelation(EmptyRelation {
        produce_one_row: false,
        schema: Arc::new(schema),
    }))
}

fn parse(catalog: &StatementCatalog, state: &SessionState, sql: &str) -> Result<ParsedStatement, Error> {
    if sql.trim().trim_end_matches(';').trim().is_empty() {
        return Err(Error::user(Code::SYNTAX, "the statement is empty"));
    }
    let mut parsed = catalog
        .parse(state, sql)
        .map_err(|error| Error::from_datafusion(error).with_sql(sql))?;
    if let ParsedStatement::CopyTo(copy) = &mut parsed {
        // DataFusion leaves the quotes at these names, and then finds no such columns.
        for name in &mut copy.partitioned_by {
            *name = unquoted(name);
        }
    }
    Ok(parsed)
}

/// A name without the quotes around it.
fn unquoted(name: &str) -> String {
    let inside = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    inside.map_or_else(|| name.to_string(), |inside| inside.replace("\"\"", "\""))
}

struct Resolved {
    parsed: ParsedStatement,
    parameters: Option<ParamValues>,
}

async fn plan(state: &SessionState, resolved: Resolved) -> Result<LogicalPlan, Error> {
    let plan = state
        .statement_to_plan(resolved.parsed)
        .await
        .map_err(Error::from_datafusion)?;
    let plan = match resolved.parameters {
        Some(values) => plan.with_param_values(values).map_err(Error::from_datafusion)?,
        None => plan,
    };
    let missing = plan.get_parameter_names().map_err(Error::from_datafusion)?;
    if let Some(name) = missing.iter().next() {
        return Err(
            Error::user(Code::TYPE_MISMATCH, format!("no value for parameter {name}"))
                .with_hint("prepare the statement and bind a value, or write the value into the SQL"),
        );
    }
    Ok(plan)
}

/// Handles `PREPARE` and `DEALLOCATE`, which only change the session.
fn prepared_statement(session: &Session, parsed: &ParsedStatement) -> Result<Option<ResultSet>, Error> {
    let ParsedStatement::Statement(parsed) = parsed else {
        return Ok(None);
    };
    match parsed.as_ref() {
        ast::Statement::Prepare { name, statement, .. } => {
            session.prepare(&name.value, statement.to_string());
            Ok(Some(ResultSet::nothing()))
        }
        ast::Statement::Deallocate { name, .. } => {
            if session.deallocate(&name.value) {
                Ok(Some(ResultSet::nothing()))
            } else {
                Err(no_such_prepared(&name.value))
            }
        }
        _ => Ok(None),
    }
}

/// For `EXECUTE name (values)`: the stored statement, planned anew against today's catalog, with its values.
fn executed_statement(
    session: &Session,
    catalog: &StatementCatalog,
    state: &SessionState,
    parsed: &ParsedStatement,
) -> Result<Option<Resolved>, Error> {
    let ParsedStatement::Statement(parsed) = parsed else {
        return Ok(None);
    };
    let ast::Statement::Execute {
        name: Some(name),
        parameters,
        ..
    } = parsed.as_ref()
    else {
        return Ok(None);
    };
    let name = name.to_string();
    let sql = session.prepared(&name).ok_or_else(|| no_such_prepared(&name))?;
    let mut values = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        values.push(constant(state, parameter)?.into());
    }
    let parameters = (!values.is_empty()).then_some(ParamValues::List(values));
    Ok(Some(Resolved {
        parsed: parse(catalog, state, &sql)?,
        parameters,
    }))
}

fn no_such_prepared(name: &str) -> Error {
    Error::user(
        Code::UNKNOWN_RELATION,
        format!("there is no prepared statement '{name}' in this session"),
    )
    .with_hint("PREPARE it first; prepared statements end with their session")
}

/// Evaluates an expression without columns.
fn constant(state: &SessionState, expression: &ast::Expr) -> Result<datafusion::common::ScalarValue, Error> {
    let schema = datafusion::common::DFSchema::empty();
    let logical = state
        .create_logical_expr(&expression.to_string(), &schema)
        .map_err(Error::from_datafusion)?;
    literal(logical)
}

/// The value of an expression without columns and functions that answer anew each time.
pub(super) fn literal(expression: Expr) -> Result<datafusion::common::ScalarValue, Error> {
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    match simplifier.simplify(expression).map_err(Error::from_datafusion)? {
        Expr::Literal(value, _) => Ok(value),
        expression => Err(Error::user(
            Code::TYPE_MISMATCH,
            format!("'{expression}' is no constant"),
        )),
    }
}

async fn dispatch(
    services: &Services,
    statement: &Arc<Statement>,
    planned: Planned,
    request: &Request,
    options: &Options,
) -> Result<ResultSet, Error> {
    match planned.plan {
        LogicalPlan::Statement(change) => {
            statement.start_running();
            change_session(&statement.session, change)?;
            Ok(ResultSet::nothing())
        }
        LogicalPlan::Ddl(ref command) => {
            let context = ddl_context(
                services,
                statement,
                &planned.catalog,
                &planned.state,
                &request.sql,
            );
            if let DdlStatement::CreateMemoryTable(command) = command {
                memory::create(services, statement, &context, command, options).await?;
            } else {
                statement.start_running();
                ddl::apply(&context, command).await?;
            }
            Ok(ResultSet::nothing())
        }
        LogicalPlan::Dml(ref dml) => match memory::target(&planned.catalog, dml) {
            Some(target) => {
                let catalog = &planned.catalog;
                let written =
                    memory::change(services, statement, catalog, &planned.state, dml, &target).await?;
                write::count_result(written.rows)
            }
            None => write::run(services, statement, planned).await,
        },
        LogicalPlan::Copy(_) => write::run(services, statement, planned).await,
        LogicalPlan::Explain(_) => {
            statement.start_running();
            explain::explain(services, planned).await
        }
        LogicalPlan::Analyze(_) => explain::analyze(services, statement, planned).await,
        _ if what_is_read(&planned.plan).map_err(Error::from_datafusion)? == Reads::MetadataOnly => {
            statement.start_running();
            on_scheduler(services, planned, request).await
        }
        _ => on_cluster(services, statement, planned, request).await,
    }
}

pub(super) fn ddl_context<'a>(
    services: &'a Services,
    statement: &'a Statement,
    catalog: &'a StatementCatalog,
    state: &'a SessionState,
    sql: &'a str,
) -> ddl::Context<'a> {
    ddl::Context {
        log: &services.catalog,
        catalog,
        streams: &services.streams,
        state,
        local_paths: &services.local_paths,
        principal: &statement.session.principal,
        sql,
    }
}

fn change_session(session: &Session, change: SessionStatement) -> Result<(), Error> {
    match change {
        SessionStatement::SetVariable(set) => session.set(&full_name(&set.variable), &set.value),
        SessionStatement::ResetVariable(reset) => session.reset(&full_name(&reset.variable)),
        SessionStatement::TransactionStart(_) | SessionStatement::TransactionEnd(_) => Err(Error::user(
            Code::NOT_SUPPORTED,
            "there are no transactions over several statements",
        )
        .with_hint("every statement is atomic by itself; use autocommit")),
        other => Err(Error::user(
            Code::NOT_SUPPORTED,
            format!("{} is not supported", other.name()),
        )),
    }
}

/// Lets people write `SET statement_timeout = '30s'` for `millpond.statement_timeout`.
fn full_name(variable: &str) -> String {
    let variable = variable.to_ascii_lowercase();
    if variable.contains('.') {
        variable
    } else {
        format!("millpond.{variable}")
    }
}

/// Runs a plan over constants and metadata here, while it is read.
async fn on_scheduler(services: &Services, planned: Planned, request: &Request) -> Result<ResultSet, Error> {
    let circumstances = Circumstances::now(services, &planned.catalog).await;
    let context = SessionContext::new_with_state(planned.state);
    let frame = context
        .execute_logical_plan(planned.plan.clone())
        .await
        .map_err(Error::from_datafusion)?;
    let mut rows = frame.execute_stream().await.map_err(Error::from_datafusion)?;
    let columns = rows.schema();
    let head = Head::read(&mut rows, HEAD_BYTES)
        .await
        .map_err(Error::from_datafusion)?;
    if let Some(constants) = ConstantRows::of(request, &planned.plan, columns.clone(), &head)? {
        let known = Known::Constants(constants);
        services
            .plans
            .remember(circumstances, &planned.catalog, &request.sql, known);
    }
    Ok(ResultSet::stream(columns, head.followed_by(rows.boxed())))
}

async fn on_cluster(
    services: &Services,
    statement: &Arc<Statement>,
    planned: Planned,
    request: &Request,
) -> Result<ResultSet, Error> {
    if let Some(result) = direct::query(services, statement, &planned, request).await? {
        return Ok(result);
    }
    let context = SessionFactory::of_job(&planned.state);
    let run = || job::run(services, statement, context.clone(), &planned.plan, Watched::Yes);
    let finished = job::rerun_after_loss(services, run).await?;
    Ok(ResultSet::of_job(&planned.plan, request.clone(), finished))
}

fn verb_of(parsed: &ParsedStatement) -> String {
    let text = parsed.to_string();
    let mut words = text.split_whitespace().map(str::to_ascii_uppercase);
    let first = words.next().unwrap_or_default();
    match first.as_str() {
        "CREATE" | "DROP" | "ALTER" => {
            let rest: Vec<String> = words
                .filter(|word| !matches!(word.as_str(), "OR" | "REPLACE" | "IF" | "NOT" | "EXISTS"))
                .take(2)
                .collect();
            let object = rest
                .iter()
                .take(if rest.first().is_some_and(|w| w == "EXTERNAL") {
                    2
                } else {
                    1
                });
            std::iter::once(first.clone())
                .chain(object.cloned())
                .collect::<Vec<_>>()
                .join(" ")
        }
        "WITH" => "SELECT".to_string(),
        _ => first,
    }
}
