//! The policy under Ballista's own state and graphs, and against Ballista's own rotation.

use ballista_core::config::BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK;
use ballista_core::execution_plans::ShuffleReaderExec;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::{ShuffleWritePartition, SuccessfulTask, TaskStatus, task_status};
use ballista_core::serde::scheduler::{
    ExecutorData, ExecutorMetadata, ExecutorOperatingSystemSpecification, ExecutorSpecification,
};
use ballista_scheduler::cluster::memory::InMemoryClusterState;
use ballista_scheduler::config::TaskDistributionPolicy;
use ballista_scheduler::planner::DefaultDistributedPlanner;
use ballista_scheduler::state::execution_graph::{StaticExecutionGraph, TaskDescription};
use ballista_scheduler::state::execution_stage::PendingPartitions;
use datafusion::arrow::array::{Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion::prelude::{SessionConfig, SessionContext};
use millpond_engine::shards::{Place, ShardId, ShardSource};

use super::*;

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]))
}

/// A scan of shards, given by holder and bytes, one list for each group.
pub(super) fn shard_scan(groups: &[&[(&str, u64)]]) -> Arc<dyn ExecutionPlan> {
    let mut places = HashMap::new();
    let groups = groups
        .iter()
        .map(|shards| {
            let files = shards.iter().map(|(holder, bytes)| {
                let shard = ShardId::random();
                let place = Place {
                    holders: vec![holder.to_string()],
                    ..Default::default()
                };
                places.insert(shard, place);
                ShardSource::file_of(shard, 0..*bytes, *bytes)
            });
            FileGroup::new(files.collect())
        })
        .collect();
    let source = ShardSource::new(schema(), Arc::new(places), None);
    let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
        .with_file_groups(groups)
        .build();
    DataSourceExec::from_data_source(scan)
}

/// What a task was bound with: executor, stage, number, partitions, vcores, attempt.
type Bound = (String, usize, usize, Vec<usize>, u32, usize);

/// Executors, each reachable at its name and port 1, and the jobs that run on them.
struct World {
    state: Arc<InMemoryClusterState>,
    policy: TaskDistributionPolicy,
    jobs: HashMap<JobId, JobInfoCache>,
}

impl World {
    async fn new(executors: &[(&str, u32)], policy: Option<TaskDistributionPolicy>) -> Self {
        let state = Arc::new(InMemoryClusterState::default());
        for (id, vcores) in executors {
            let data = ExecutorData {
                executor_id: id.to_string(),
                total_vcores: *vcores,
                available_vcores: *vcores,
            };
            state.register_executor(executor(id), data).await.unwrap();
        }
        let ours = || {
            TaskDistributionPolicy::Custom(Arc::new(Locality::of_registered(
                state.clone(),
                Draining::default(),
            )))
        };
        Self {
            policy: policy.unwrap_or_else(ours),
            state,
            jobs: HashMap::new(),
        }
    }

    fn run(&mut self, job: &str, plan: Arc<dyn ExecutionPlan>, config: SessionConfig) {
        let id = JobId::new(job.to_string());
        let planner = &mut DefaultDistributedPlanner::new();
        let config = Arc::new(config);
        let graph =
            StaticExecutionGraph::new("scheduler", &id, job, "session", plan, 0, config, planner, None)
                .unwrap();
        self.jobs.insert(id, JobInfoCache::new(Box::new(graph)));
    }

    async fn tasks(&self) -> Vec<BoundTask> {
        self.state
            .bind_schedulable_tasks(self.policy.clone(), Arc::new(self.jobs.clone()), None)
            .await
            .unwrap()
    }

    /// Binds what can be bound; tasks in order of executor.
    async fn bind(&self) -> Vec<Bound> {
        described(&self.tasks().await)
    }

    /// Ends tasks with success and frees their vcores.
    async fn complete(&self, tasks: Vec<BoundTask>) {
        for (executor_id, task) in tasks {
            let freed = vec![(executor_id.clone(), task.vcores_consumed)];
            let mut graph = self.jobs[&task.key.job_id].execution_graph.write().await;
            let ended = vec![success(task, &executor_id)];
            graph
                .update_task_status(&executor(&executor_id), ended, 1, 1)
                .unwrap();
            self.state.unbind_tasks(freed).await.unwrap();
        }
    }
}

fn executor(id: &str) -> ExecutorMetadata {
    ExecutorMetadata {
        id: id.to_string(),
        host: id.to_string(),
        port: 1,
        grpc_port: 2,
        specification: ExecutorSpecification::default(),
        os_info: ExecutorOperatingSystemSpecification::default(),
    }
}

fn success(task: TaskDescription, executor_id: &str) -> TaskStatus {
    let written = |partition| ShuffleWritePartition {
        partition_id: partition as u64,
        num_batches: 1,
        num_rows: 1,
        num_bytes: 1,
        file_id: None,
        is_sort_shuffle: false,
    };
    let outcome = SuccessfulTask {
        executor_id: executor_id.to_string(),
        partitions: (0..task.get_output_partition_number()).map(written).collect(),
        runtime_stats: vec![],
        task_column_stats: vec![],
        window_state: vec![],
    };
    TaskStatus {
        task_id: task.key.task_id as u32,
        job_id: task.key.job_id.clone().into(),
        stage_id: task.key.stage_id as u32,
        stage_attempt_num: task.stage_attempt_num as u32,
        launch_time: 0,
        start_exec_time: 0,
        end_exec_time: 0,
        metrics: vec![],
        status: Some(task_status::Status::Successful(outcome)),
    }
}

fn described(tasks: &[BoundTask]) -> Vec<Bound> {
    let mut described: Vec<Bound> = tasks
        .iter()
        .map(|(executor, task)| {
            (
                executor.clone(),
                task.key.stage_id,
                task.key.task_id,
                task.global_input_partition_ids.clone(),
                task.vcores_consumed,
                task.task_attempt,
            )
        })
        .collect();
    described.sort();
    described
}

/// Executor and partitions only.
fn places(bound: &[Bound]) -> Vec<(&str, &[usize])> {
    bound
        .iter()
        .map(|task| (task.0.as_str(), task.3.as_slice()))
        .collect()
}

fn config() -> SessionConfig {
    SessionConfig::new_with_ballista().with_target_partitions(5)
}

/// Two clusters alike, one under Ballista's rotation, one under ours.
async fn both(executors: &[(&str, u32)]) -> (World, World) {
    let theirs = World::new(executors, Some(TaskDistributionPolicy::RoundRobin)).await;
    (theirs, World::new(executors, None).await)
}

async fn planned(sql: &str) -> Arc<dyn ExecutionPlan> {
    let session = SessionContext::new_with_config(config());
    let rows = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let batch = RecordBatch::try_new(schema(), vec![rows]).unwrap();
    let table = MemTable::try_new(schema(), vec![vec![batch]; 13]).unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
    session
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap()
}

#[tokio::test]
async fn stages_without_shards_are_bound_as_ballista_binds_them() {
    let queries = [
        "SELECT x FROM t",
        "SELECT sum(x) FROM t",
        "SELECT x % 7, sum(x) FROM t GROUP BY 1 ORDER BY 2 LIMIT 3",
        "SELECT x, row_number() OVER (PARTITION BY x % 3 ORDER BY x) FROM t",
    ];
    for (sql, at_most) in queries
        .iter()
        .flat_map(|sql| ["0", "1", "2"].map(|at_most| (sql, at_most)))
    {
        let (mut theirs, mut ours) = both(&[("a", 1), ("b", 4), ("c", 2)]).await;
        let plan = planned(sql).await;
        let config = config().set_str(BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, at_most);
        theirs.run("job", plan.clone(), config.clone());
        ours.run("job", plan, config);
        let mut bound = 0;
        loop {
            let (expected, found) = (theirs.tasks().await, ours.tasks().await);
            assert_eq!(described(&found), described(&expected), "{sql}, {at_most}");
            if found.is_empty() {
                break;
            }
            bound += found.len();
            theirs.complete(expected).await;
            ours.complete(found).await;
        }
        assert!(bound > 4, "{sql}: {bound} tasks");
    }
}

fn spread(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::new(RepartitionExec::try_new(plan, Partitioning::RoundRobinBatch(4)).unwrap())
}

fn collected(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::new(CoalescePartitionsExec::new(plan))
}

fn empty(partitions: usize) -> Arc<dyn ExecutionPlan> {
    Arc::new(EmptyExec::new(schema()).with_partitions(partitions))
}

/// Puts `plan` in the place of the one stage of the job.
async fn replace_plan(world: &World, plan: &Arc<dyn ExecutionPlan>, pending: &[usize]) {
    for info in world.jobs.values() {
        let mut graph = info.execution_graph.write().await;
        let stage = graph.fetch_running_stage(&[]).unwrap();
        stage.plan = plan.clone();
        stage.partitions = 4;
        stage.pending = PendingPartitions::empty(4);
        stage.pending.reschedule(pending.iter().copied());
        stage.task_failure_numbers = vec![0, 2, 0, 1];
    }
}

#[tokio::test]
async fn a_stage_is_undivided_whenever_ballista_says_so() {
    let partitioning = Partitioning::UnknownPartitioning(1);
    let reader = ShuffleReaderExec::try_new(1, vec![vec![]], schema(), partitioning).unwrap();
    let reader: Arc<dyn ExecutionPlan> = Arc::new(reader);
    let union = UnionExec::try_new(vec![collected(empty(2)), collected(empty(2))]).unwrap();
    let cases = [
        (spread(collected(empty(3))), true),
        (spread(spread(collected(empty(3)))), true),
        (spread(empty(1)), true),
        (spread(collected(reader.clone())), true),
        (spread(empty(3)), false),
        (spread(reader), false),
        (spread(union), false),
        (empty(4), false),
    ];
    for (plan, whole) in cases {
        let (mut theirs, mut ours) = both(&[("a", 3), ("b", 1)]).await;
        for world in [&mut theirs, &mut ours] {
            world.run("job", empty(4), config());
            replace_plan(world, &plan, &[3, 0, 1, 2]).await;
        }
        let bound = ours.bind().await;
        assert_eq!(bound, theirs.bind().await);
        if whole {
            assert_eq!(bound, [("a".to_string(), 1, 0, vec![3, 0, 1, 2], 1, 2)]);
        } else {
            assert_eq!(places(&bound), [("a", &[3, 0, 1][..]), ("b", &[2][..])]);
        }
        // What vcores are left is the same, too: a second job takes them.
        for world in [&mut theirs, &mut ours] {
            world.jobs.clear();
            world.run("next", shard_scan(&[&[][..]; 4]), config());
        }
        assert_eq!(ours.bind().await, theirs.bind().await);
    }
}

#[tokio::test]
async fn shards_are_read_where_they_are() {
    let mut world = World::new(&[("a", 9), ("b", 2), ("c", 2)], None).await;
    let groups: [&[(&str, u64)]; 5] = [
        &[("c:1", 5)],
        &[("b:1", 5)],
        &[("c:1", 5)],
        &[("b:1", 4), ("a:1", 3)],
        &[("a:1", 1)],
    ];
    world.run("job", shard_scan(&groups), config());
    let bound = world.bind().await;
    assert_eq!(
        places(&bound),
        [("a", &[4][..]), ("b", &[1, 3][..]), ("c", &[0, 2][..])]
    );
    assert!(bound.iter().all(|task| task.4 as usize == task.3.len()));
}

#[tokio::test]
async fn what_the_holder_has_no_room_for_goes_elsewhere_at_once() {
    let mut world = World::new(&[("a", 1), ("b", 2), ("c", 2)], None).await;
    world.run("job", shard_scan(&[&[("a:1", 5)][..]; 4]), config());
    let bound = world.bind().await;
    let partitions: usize = bound.iter().map(|task| task.3.len()).sum();
    assert_eq!(partitions, 4);
    assert_eq!(places(&bound)[0], ("a", &[0][..]));
}

#[tokio::test]
async fn partitions_of_a_lost_holder_are_bound_and_none_is_left_out() {
    let mut world = World::new(&[("a", 2), ("b", 1)], None).await;
    world.run("job", shard_scan(&[&[("gone:1", 5)][..]; 5]), config());
    let mut partitions = Vec::new();
    for expected in [3, 2] {
        let tasks = world.tasks().await;
        let now: Vec<usize> = tasks
            .iter()
            .flat_map(|(_, task)| task.global_input_partition_ids.clone())
            .collect();
        assert_eq!(now.len(), expected);
        partitions.extend(now);
        world.complete(tasks).await;
    }
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2, 3, 4]);
    assert_eq!(world.bind().await, []);
}

#[tokio::test]
async fn a_remote_read_takes_no_vcore_from_a_local_one_of_another_job() {
    let mut world = World::new(&[("a", 1), ("b", 1)], None).await;
    world.run(
        "remote",
        shard_scan(&[&[("gone:1", 5)], &[("gone:1", 5)]]),
        config(),
    );
    world.run("at_a", shard_scan(&[&[("a:1", 5)], &[]]), config());
    world.run("at_b", shard_scan(&[&[("b:1", 5)], &[]]), config());
    let tasks = world.tasks().await;
    let mut jobs: Vec<(String, String)> = tasks
        .into_iter()
        .map(|(executor, task)| (executor, task.key.job_id.to_string()))
        .collect();
    jobs.sort();
    assert_eq!(
        jobs,
        [
            ("a".to_string(), "at_a".to_string()),
            ("b".to_string(), "at_b".to_string())
        ]
    );
}

#[tokio::test]
async fn an_undivided_stage_goes_to_who_holds_most() {
    let scan = shard_scan(&[&[("a:1", 2)], &[("b:1", 3)], &[("a:1", 2), ("c:1", 1)]]);
    let plan = spread(collected(scan));
    for (executors, chosen) in [
        (&[("a", 1), ("b", 2), ("c", 9)][..], "a"),
        (&[("b", 2), ("c", 9)][..], "b"),
        (&[("d", 1), ("e", 2)][..], "e"),
    ] {
        let mut world = World::new(executors, None).await;
        world.run("job", empty(4), config());
        replace_plan(&world, &plan, &[0, 2, 3]).await;
        assert_eq!(
            world.bind().await,
            [(chosen.to_string(), 1, 0, vec![0, 2, 3], 1, 1)]
        );
    }
}

#[tokio::test]
async fn a_job_that_does_not_run_is_passed_over() {
    let mut world = World::new(&[("a", 4)], None).await;
    world.run("job", shard_scan(&[&[("a:1", 5)]]), config());
    for info in world.jobs.values_mut() {
        info.status = None;
    }
    assert_eq!(world.bind().await, []);
}
