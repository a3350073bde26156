//! `EXPLAIN` shows the stages a statement would have; `EXPLAIN ANALYZE` runs it and shows what each stage did.

use std::sync::Arc;

use ballista_core::JobId;
use ballista_scheduler::planner::{DefaultDistributedPlanner, DistributedPlanner};
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::displayable;
use millpond_engine::direct::Analyzed;
use millpond_engine::error::Error;
use millpond_engine::shards::ShardsRead;

use super::direct::{self, Way};
use super::frontend::Services;
use super::registry::Statement;
use super::result::ResultSet;
use super::run::Planned;
use super::{adaptive, job, memory, write};
use crate::catalog::{Reads, SessionFactory, what_is_read};
use crate::cluster::StageReport;

/// Plans the statement and shows logical, physical and distributed plan, an operator a line.
pub(super) async fn explain(services: &Services, planned: Planned) -> Result<ResultSet, Error> {
    let Planned { catalog, state, plan } = planned;
    let LogicalPlan::Explain(explain) = plan else {
        return Err(Error::bug("not an EXPLAIN"));
    };
    let plan = write::explained(services, &catalog, &state, Arc::unwrap_or_clone(explain.plan)).await?;
    let optimized = state.optimize(&plan).map_err(Error::from_datafusion)?;
    let mut rows = vec![("logical_plan".to_string(), optimized.display_indent().to_string())];
    if matches!(plan, LogicalPlan::Ddl(_) | LogicalPlan::Statement(_)) {
        return table(rows);
    }
    if what_is_read(&plan).map_err(Error::from_datafusion)? == Reads::MetadataOnly && is_query(&plan) {
        let physical = state.create_physical_plan(&plan).await;
        let physical = physical.map_err(Error::from_datafusion)?;
        let text = displayable(physical.as_ref()).indent(false).to_string();
        rows.push(("physical_plan".to_string(), text));
        rows.push(("execution".to_string(), "on the scheduler".to_string()));
        return table(rows);
    }
    let way = if is_query(&plan) {
        direct::choose(services, &state, &plan).await?
    } else {
        Way::Staged("it writes".to_string())
    };
    match way {
        Way::Direct(route) => {
            let physical = displayable(route.plan().as_ref()).indent(false).to_string();
            rows.push(("physical_plan".to_string(), physical));
            rows.push(("execution".to_string(), route.to_string()));
        }
        Way::Staged(reason) => {
            let staged = staged_rows(&state, &plan).await;
            rows.extend(staged.map_err(Error::from_datafusion)?);
            rows.push(("execution".to_string(), format!("staged: {reason}")));
        }
    }
    table(rows)
}

/// False for plans that write, whose rows are about what was written.
fn is_query(plan: &LogicalPlan) -> bool {
    !matches!(plan, LogicalPlan::Extension(_))
}

async fn staged_rows(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<Vec<(String, String)>, DataFusionError> {
    let mut rows = Vec::new();
    let planned_once = adaptive::state_for(state, plan).await?;
    let state = planned_once.as_ref().unwrap_or(state);
    let physical = state.create_physical_plan(plan).await?;
    rows.push((
        "physical_plan".to_string(),
        displayable(physical.as_ref()).indent(false).to_string(),
    ));
    let mut planner = DefaultDistributedPlanner::new();
    let stages = planner
        .plan_query_stages(&JobId::new("explain"), physical, state.config_options())
        .map_err(|error| DataFusionError::Plan(error.to_string()))?;
    let text: Vec<String> = stages
        .iter()
        .enumerate()
        .map(|(number, stage)| {
            format!(
                "stage {}\n{}",
                number + 1,
                displayable(stage.as_ref()).indent(false)
            )
        })
        .collect();
    rows.push(("distributed_plan".to_string(), text.join("\n")));
    Ok(rows)
}

/// Runs the statement, a write included, drops its rows and shows every stage with the metrics of its operators.
pub(super) async fn analyze(
    services: &Services,
    statement: &Arc<Statement>,
    planned: Planned,
) -> Result<ResultSet, Error> {
    let Planned { catalog, state, plan } = planned;
    let LogicalPlan::Analyze(analyze) = plan else {
        return Err(Error::bug("not an EXPLAIN ANALYZE"));
    };
    let plan = Arc::unwrap_or_clone(analyze.input);
    let job = if let LogicalPlan::Dml(dml) = &plan
        && let Some(target) = memory::target(&catalog, dml)
    {
        // Rows that are looked for without a job leave no stages behind.
        let mut state = state.clone();
        let options = state.config_mut().options_mut();
        options
            .set("millpond.execution_mode", "staged")
            .map_err(Error::from_datafusion)?;
        let written = memory::change(services, statement, &catalog, &state, dml, &target).await?;
        match written.job {
            Some(job) => job,
            None => return table(Vec::new()),
        }
    } else if write::writes(&plan) {
        let planned = Planned { catalog, state, plan };
        write::execute(services, statement, planned).await?.job
    } else if let Way::Direct(route) = direct::choose(services, &state, &plan).await? {
        let plans = direct::analyze(services, statement, &route).await?;
        let analyzed: Vec<Analyzed> = plans.iter().filter_map(Analyzed::of).collect();
        let shards = analyzed.iter().map(|analyzed| analyzed.shards).sum();
        let plans = analyzed
            .into_iter()
            .map(|analyzed| (route.to_string(), analyzed.plan));
        return table(plans.chain(shards_row(shards)).collect());
    } else {
        let context = SessionFactory::of_job(&state);
        let run = || job::run(services, statement, context.clone(), &plan, job::Watched::Yes);
        job::rerun_after_loss(services, run).await?.id
    };
    let stages = services.cluster.stages(&job).await;
    let shards = stages.iter().map(|stage| stage.shards).sum();
    let stages = stages.iter().map(|stage| (heading(stage), stage.plan.clone()));
    table(stages.chain(shards_row(shards)).collect())
}

/// The last row of `EXPLAIN ANALYZE`, if tables in memory were read.
fn shards_row(shards: ShardsRead) -> Option<(String, String)> {
    (shards.total() > 0).then(|| (String::from("shards"), shards.to_string()))
}

fn heading(stage: &StageReport) -> String {
    let rows = stage
        .output_rows
        .map_or_else(String::new, |rows| format!(", {rows} rows"));
    let spilled = match stage.spilled_bytes {
        0 => String::new(),
        bytes => format!(", {bytes} bytes spilled"),
    };
    format!(
        "stage {} ({} tasks on {}, {} ms{rows}{spilled})",
        stage.stage_id,
        stage.tasks_total,
        stage.executors.join(" "),
        stage.elapsed_ms.unwrap_or(0),
    )
}

fn table(rows: Vec<(String, String)>) -> Result<ResultSet, Error> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("plan_type", DataType::Utf8, false),
        Field::new("plan", DataType::Utf8, false),
    ]));
    let (kinds, plans): (Vec<String>, Vec<String>) = rows.into_iter().unzip();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(kinds)),
        Arc::new(StringArray::from(plans)),
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns)
        .map_err(|error| Error::from_datafusion(DataFusionError::from(error)))?;
    Ok(ResultSet::batches(schema, vec![batch]))
}
