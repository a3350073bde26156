//! The budget on its own and below real operators.

use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;

const MIB: usize = 1 << 20;

fn reserve(pool: &Arc<TaskPool>, name: &str, can_spill: bool) -> MemoryReservation {
    let pool: Arc<dyn MemoryPool> = pool.clone();
    MemoryConsumer::new(name)
        .with_can_spill(can_spill)
        .register(&pool)
}

/// Takes as much as the pool gives, in steps of one MiB; returns it in MiB.
fn take_all(reservation: &MemoryReservation) -> usize {
    (0..).take_while(|_| reservation.try_grow(MIB).is_ok()).count()
}

/// A budget of which tables may fill half.
fn budget_of(limit_bytes: u64, vcores: usize) -> Arc<Budget> {
    Budget::new(limit_bytes, limit_bytes / 2, vcores)
}

#[test]
fn a_lone_task_leaves_only_the_floors_of_idle_vcores() {
    let budget = budget_of(80 * MIB as u64, 4);
    let one_of_four = reserve(&budget.start_task(1), "sort", true);
    assert_eq!(take_all(&one_of_four), 80 - 3 * 10);
    drop(one_of_four);
    let all_vcores = reserve(&budget.start_task(4), "sort", true);
    assert_eq!(take_all(&all_vcores), 80);
}

#[test]
fn a_task_finds_its_floor_whatever_others_hold() {
    let budget = budget_of(80 * MIB as u64, 4);
    let first = reserve(&budget.start_task(1), "first", true);
    assert_eq!(take_all(&first), 50);
    let second = reserve(&budget.start_task(1), "second", false);
    let third = reserve(&budget.start_task(2), "third", true);
    assert_eq!(take_all(&second), 10);
    assert_eq!(take_all(&third), 20);
    assert_eq!(budget.used_bytes(), 80 * MIB);
}

#[test]
fn what_is_returned_goes_to_whoever_asks() {
    let budget = budget_of(80 * MIB as u64, 2);
    let first = reserve(&budget.start_task(1), "first", true);
    let second = reserve(&budget.start_task(1), "second", true);
    assert_eq!(take_all(&first), 60);
    assert_eq!(take_all(&second), 20);
    first.free();
    assert_eq!(take_all(&second), 40, "all but the floor of the first");
}

#[test]
fn the_operators_of_a_task_share_evenly() {
    let budget = budget_of(80 * MIB as u64, 1);
    let pool = budget.start_task(1);
    let sort = reserve(&pool, "sort", true);
    let aggregate = reserve(&pool, "aggregate", true);
    assert_eq!(take_all(&sort), 40);
    let join = reserve(&pool, "join", false);
    assert_eq!(take_all(&join), 40);
    assert_eq!(take_all(&aggregate), 20, "half of what the join leaves");
}

#[test]
fn an_ended_task_leaves_nothing() {
    let budget = budget_of(64 * MIB as u64, 2);
    let pool = budget.start_task(2);
    let reservation = reserve(&pool, "sort", true);
    take_all(&reservation);
    drop(pool);
    assert_eq!(budget.used_bytes(), 64 * MIB, "a reservation keeps its pool");
    drop(reservation);
    assert_eq!(budget.used_bytes(), 0);
    let state = budget.state.lock();
    assert!(state.tasks.is_empty() && state.consumers.is_empty());
}

#[test]
fn more_tasks_than_vcores_still_divide_the_limit() {
    let budget = budget_of(80 * MIB as u64, 1);
    let tasks: Vec<_> = (0..4)
        .map(|_| reserve(&budget.start_task(1), "sort", true))
        .collect();
    let taken: Vec<usize> = tasks.iter().map(take_all).collect();
    assert_eq!(taken, [50, 10, 10, 10]);
}

#[test]
fn a_refusal_names_the_limit_and_the_largest() {
    let budget = budget_of(512 * MIB as u64, 1);
    let pool = budget.start_task(1);
    let join = reserve(&pool, "HashJoinInput[0]", false);
    join.try_grow(300 * MIB).unwrap();
    let sort = reserve(&pool, "ExternalSorter[0]", true);
    sort.try_grow(200 * MIB).unwrap();
    let DataFusionError::ResourcesExhausted(text) = sort.try_grow(64 * MIB).unwrap_err() else {
        panic!("operators spill on ResourcesExhausted only")
    };
    assert_eq!(
        text,
        "executor memory limit 512.0 MiB (executor.memory_limit) reached: ExternalSorter[0] holds 200.0 MiB, asked \
         for 64.0 MiB more, and 12.0 MiB is left for it; in use: 500.0 MiB, by HashJoinInput[0] 300.0 MiB, \
         ExternalSorter[0] 200.0 MiB"
    );
}

/// A session whose task may use one of two vcores, with a file to sort that is larger than the whole limit.
fn session(pool: Arc<TaskPool>) -> SessionContext {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .build_arc()
        .unwrap();
    SessionContext::new_with_config_rt(SessionConfig::new().with_target_partitions(1), runtime)
}

const LARGE: &str =
    "SELECT value, repeat(value::text, 10) AS text FROM range(1, 1000001) ORDER BY text DESC, value";

#[tokio::test]
async fn a_sort_spills_while_another_task_holds_what_it_can() {
    let budget = budget_of(96 * MIB as u64, 2);
    let hog = reserve(&budget.start_task(1), "hog", true);
    assert_eq!(take_all(&hog), 72);

    let context = session(budget.start_task(1));
    let plan = context
        .sql(LARGE)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    assert_eq!(plan.output_partitioning().partition_count(), 1);
    let batches = datafusion::physical_plan::collect(plan.clone(), context.task_ctx())
        .await
        .unwrap();

    assert_eq!(
        batches.iter().map(|batch| batch.num_rows()).sum::<usize>(),
        1_000_000
    );
    assert!(
        plan.metrics().unwrap().spill_count().unwrap() > 0,
        "{:?}",
        plan.metrics()
    );
    drop((hog, plan, batches, context));
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test]
async fn what_cannot_spill_ends_with_the_limit_in_its_error() {
    let budget = budget_of(32 * MIB as u64, 2);
    let context = session(budget.start_task(1));
    let large_build_side =
        "SELECT count(*) FROM range(1, 2000001) a JOIN range(1, 3000001) b ON a.value = b.value";
    let error = context
        .sql(large_build_side)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap_err();
    assert!(
        matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("executor memory limit 32.0 MiB (executor.memory_limit)"),
        "{error}"
    );
}

#[test]
fn tables_may_fill_more_than_half() {
    let budget = Budget::new(100 * MIB as u64, 80 * MIB as u64, 2);
    let tables: Arc<dyn MemoryPool> = budget.start_task(0);
    let table = MemoryConsumer::new("table").register(&tables);
    table.try_grow(80 * MIB).unwrap();
    assert!(table.try_grow(1).is_err());
    let task: Arc<dyn MemoryPool> = budget.start_task(1);
    MemoryConsumer::new("join")
        .register(&task)
        .try_grow(10 * MIB)
        .unwrap();
}
