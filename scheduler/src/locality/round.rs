//! One round of binding: free vcores in, tasks for Ballista out.
//!
//! This is the counterpart of Ballista's private `bind_one`, with the same tasks, attempts and vcores; a test holds
//! both against each other. Only who gets which partitions differs.

use std::collections::HashSet;
use std::sync::Arc;

use ballista_core::JobId;
use ballista_core::config::BallistaConfig;
use ballista_core::execution_plans::{RangeShuffleReaderExec, ShuffleReaderExec};
use ballista_core::serde::protobuf::AvailableVcores;
use ballista_core::serde::scheduler::TaskKey;
use ballista_scheduler::cluster::BoundTask;
use ballista_scheduler::state::execution_graph::{TaskDescription, create_task_info};
use ballista_scheduler::state::execution_stage::RunningStage;
use datafusion::physical_plan::ExecutionPlan;

use super::DataAddress;
use super::held;
use super::placement::{self, Placed, Room};

/// What a round does with the stages that it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Binds partitions to the executors that hold them.
    Held,
    /// Binds stages that read no shards.
    Spread,
    /// Binds whatever waits still.
    Rest,
}

/// Free vcores and what they were given.
pub(super) struct Round<'a> {
    budgets: Vec<&'a mut AvailableVcores>,
    /// The same, in the same order, as placement sees them.
    rooms: Vec<Room>,
    /// Whose turn it is in the rotation.
    turn: usize,
    bound: Vec<BoundTask>,
}

/// Names that a task needs, of the job it belongs to.
struct Owner<'a> {
    job: &'a JobId,
    session: &'a str,
}

impl<'a> Round<'a> {
    /// A round over these budgets.
    pub(super) fn new(mut budgets: Vec<&'a mut AvailableVcores>, data_address: &DataAddress) -> Self {
        // As in Ballista's rotation: the largest is the first.
        budgets.sort_by_key(|budget| std::cmp::Reverse(budget.vcores));
        let rooms = budgets
            .iter()
            .map(|budget| Room {
                address: data_address(&budget.executor_id),
                free: budget.vcores as usize,
            })
            .collect();
        Self {
            budgets,
            rooms,
            turn: 0,
            bound: Vec::new(),
        }
    }

    /// Whether no vcore is free.
    pub(super) fn is_full(&self) -> bool {
        self.rooms.iter().all(|room| room.free == 0)
    }

    /// The tasks that were bound, each with its executor.
    pub(super) fn into_bound(self) -> Vec<BoundTask> {
        self.bound
    }

    /// Binds those pending partitions of a stage that the pass is for; the others keep their order.
    pub(super) fn bind_stage(&mut self, pass: Pass, job: &JobId, session: &str, stage: &mut RunningStage) {
        let plan = stage.plan.clone();
        let pending = stage.pending.next_slice(usize::MAX);
        let whole = collapses(&plan);
        let placed = if whole {
            self.place_whole(pass, &plan, &pending)
        } else {
            self.place_split(pass, &plan, stage, &pending)
        };
        let taken: HashSet<usize> = placed
            .iter()
            .flat_map(|placed| placed.partitions.iter().copied())
            .collect();
        let left = pending.into_iter().filter(|partition| !taken.contains(partition));
        stage.pending.reschedule(left);
        for placed in placed {
            let vcores = if whole { 1 } else { placed.partitions.len() };
            self.bind(&Owner { job, session }, stage, placed, vcores);
        }
    }

    /// A stage that must not be divided.
    fn place_whole(&mut self, pass: Pass, plan: &Arc<dyn ExecutionPlan>, pending: &[usize]) -> Vec<Placed> {
        let held = held::in_all(plan);
        let executor = match (pass, held.is_empty()) {
            (Pass::Held, false) => placement::main_holder_with_room(&held, &self.rooms),
            (Pass::Rest, false) => placement::anyone(&held, &self.rooms),
            (Pass::Spread | Pass::Rest, true) => placement::next_in_rotation(&self.rooms, &mut self.turn),
            (Pass::Held, true) | (Pass::Spread, false) => None,
        };
        executor
            .filter(|_| !pending.is_empty())
            .map(|executor| Placed {
                executor,
                partitions: pending.to_vec(),
            })
            .into_iter()
            .collect()
    }

    fn place_split(
        &mut self,
        pass: Pass,
        plan: &Arc<dyn ExecutionPlan>,
        stage: &RunningStage,
        pending: &[usize],
    ) -> Vec<Placed> {
        let held = held::by_partition(plan, stage.partitions);
        let none_held = held.iter().all(held::Bytes::is_empty);
        let at_most = partitions_per_task(stage);
        match (pass, none_held) {
            (Pass::Held, false) => placement::to_holders(pending, &held, &self.rooms, at_most),
            (Pass::Rest, false) => placement::to_anyone(pending, &held, &self.rooms, at_most),
            (Pass::Spread | Pass::Rest, true) => {
                placement::in_rotation(pending, &self.rooms, &mut self.turn, at_most)
            }
            (Pass::Held, true) | (Pass::Spread, false) => Vec::new(),
        }
    }

    fn bind(&mut self, owner: &Owner<'_>, stage: &mut RunningStage, placed: Placed, vcores: usize) {
        let budget = &mut self.budgets[placed.executor];
        // A task takes no more than is free, which was a u32.
        let vcores_consumed = vcores as u32;
        let task_id = stage.task_infos.len();
        let mut info = create_task_info(budget.executor_id.clone(), task_id);
        info.global_input_partition_ids = placed.partitions.clone();
        info.vcores_consumed = vcores_consumed;
        stage.task_infos.push(info);
        budget.vcores -= vcores_consumed;
        self.rooms[placed.executor].free -= vcores;
        let task = TaskDescription {
            session_id: owner.session.to_string(),
            key: TaskKey {
                job_id: owner.job.clone(),
                stage_id: stage.stage_id,
                task_id,
            },
            stage_attempt_num: stage.stage_attempt_num,
            task_attempt: attempts(stage, &placed.partitions),
            global_input_partition_ids: placed.partitions,
            vcores_consumed,
            plan: stage.plan.clone(),
            session_config: stage.session_config.clone(),
        };
        self.bound.push((budget.executor_id.clone(), task));
    }
}

/// How often the most unlucky of some partitions has failed.
fn attempts(stage: &RunningStage, partitions: &[usize]) -> usize {
    partitions
        .iter()
        .filter_map(|partition| stage.task_failure_numbers.get(*partition))
        .max()
        .copied()
        .unwrap_or(0)
}

/// Most partitions that may go together, by the session's settings.
fn partitions_per_task(stage: &RunningStage) -> usize {
    stage
        .session_config
        .options()
        .extensions
        .get::<BallistaConfig>()
        .map(BallistaConfig::max_partitions_per_task)
        .filter(|count| *count > 0)
        .unwrap_or(usize::MAX)
}

/// Whether a stage brings its input together, so that one task must run all of it: two would each yield a part.
///
/// This is Ballista's private `stage_has_input_collapse` and must decide the same.
fn collapses(stage: &Arc<dyn ExecutionPlan>) -> bool {
    match stage.children().as_slice() {
        [child] => collapses_below(child),
        _ => false,
    }
}

fn collapses_below(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.is::<ShuffleReaderExec>() || plan.is::<RangeShuffleReaderExec>() {
        return false;
    }
    if plan.properties().output_partitioning().partition_count() == 1 {
        return true;
    }
    match plan.children().as_slice() {
        [child] => collapses_below(child),
        _ => false,
    }
}
