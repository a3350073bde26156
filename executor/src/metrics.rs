//! What an executor measures, with names, units and help.
//!
//! Counters grow as tasks end ([`count_task`]); gauges, and what the store of shards counts, are read when somebody asks for `/metrics`
//! ([`Reading::publish`]). All carry the executor's name, because a process can hold other roles too.

use std::sync::Once;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::shuffle::ShuffleUse;

const MEMORY_LIMIT: &str = "executor_memory_limit_bytes";
const INGEST_LIMIT: &str = "executor_ingest_limit_bytes";
const INGEST_MEMORY: &str = "executor_ingest_memory_bytes";
const TABLES_LIMIT: &str = "executor_tables_limit_bytes";
const TABLES_MEMORY: &str = "executor_tables_memory_bytes";
const COLUMN_CACHE: &str = "executor_column_cache_bytes";
const TABLES_ON_DISK: &str = "executor_tables_on_disk_bytes";
const SHARDS_SPILLED: &str = "executor_shards_spilled_total";
const MEMORY_USED: &str = "executor_memory_used_bytes";
const SPILL_ON_DISK: &str = "executor_spill_on_disk_bytes";
const RESIDENT: &str = "executor_process_resident_bytes";
const TASKS_RUNNING: &str = "executor_tasks_running";
const VCORES: &str = "executor_vcores";
const REGISTERED: &str = "executor_registered";
const TASKS_ENDED: &str = "executor_tasks_ended_total";
const SPILLED: &str = "executor_spilled_bytes_total";
const REGISTRATIONS: &str = "executor_registrations_total";
const SHUFFLE_LIMIT: &str = "executor_shuffle_memory_limit_bytes";
const SHUFFLE_MEMORY: &str = "executor_shuffle_memory_bytes";
const SHUFFLE_TASKS: &str = "executor_shuffle_tasks_total";

/// Installs the registry of the process and describes the metrics in it.
pub(crate) fn install() {
    static DESCRIBED: Once = Once::new();
    millpond_engine::metrics::registry();
    DESCRIBED.call_once(|| {
        describe_gauge!(
            MEMORY_LIMIT,
            Unit::Bytes,
            "memory that tasks and tables may reserve together"
        );
        describe_gauge!(
            INGEST_LIMIT,
            Unit::Bytes,
            "memory that tables over topics have of their own; 0: none"
        );
        describe_gauge!(
            INGEST_MEMORY,
            Unit::Bytes,
            "memory of their own that tables over topics fill"
        );
        describe_gauge!(TABLES_LIMIT, Unit::Bytes, "memory that tables may fill");
        describe_gauge!(TABLES_MEMORY, Unit::Bytes, "memory that tables fill");
        describe_gauge!(
            COLUMN_CACHE,
            Unit::Bytes,
            "memory of columns of tables that lie with other executors, part of executor_tables_memory_bytes"
        );
        describe_gauge!(
            TABLES_ON_DISK,
            Unit::Bytes,
            "files of tables that are not in memory"
        );
        describe_counter!(
            SHARDS_SPILLED,
            "shards of tables that went to disk for lack of memory"
        );
        describe_gauge!(
            MEMORY_USED,
            Unit::Bytes,
            "memory that running tasks and tables have reserved"
        );
        describe_gauge!(
            SPILL_ON_DISK,
            Unit::Bytes,
            "spilled data of running tasks on disk now"
        );
        describe_gauge!(
            RESIDENT,
            Unit::Bytes,
            "physical memory of the process, all roles in it"
        );
        describe_gauge!(TASKS_RUNNING, "tasks that run now");
        describe_gauge!(VCORES, "vcores that tasks can run on");
        describe_gauge!(REGISTERED, "1 while the scheduler answers heartbeats, else 0");
        describe_counter!(TASKS_ENDED, "tasks that ended, successfully or not");
        describe_counter!(
            SPILLED,
            Unit::Bytes,
            "bytes that operators wrote to disk for lack of memory"
        );
        describe_counter!(REGISTRATIONS, "times this executor joined the cluster");
        describe_gauge!(
            SHUFFLE_LIMIT,
            Unit::Bytes,
            "most bytes of results of stages in memory, 0 if all go to disk"
        );
        describe_gauge!(
            SHUFFLE_MEMORY,
            Unit::Bytes,
            "results of stages in memory, and what is set aside for those being written; part of the used memory"
        );
        describe_counter!(
            SHUFFLE_TASKS,
            "tasks by where they wrote, place memory or disk, if memory may be used"
        );
    });
}

/// Counts a task that ended after spilling `spilled_bytes`.
pub(crate) fn count_task(executor: &str, spilled_bytes: u64) {
    counter!(TASKS_ENDED, "executor" => executor.to_string()).increment(1);
    counter!(SPILLED, "executor" => executor.to_string()).increment(spilled_bytes);
}

/// Counts that the executor joined the cluster.
pub(crate) fn count_registration(executor: &str) {
    counter!(REGISTRATIONS, "executor" => executor.to_string()).increment(1);
}

/// The gauges at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) memory_limit_bytes: usize,
    pub(crate) memory_used_bytes: usize,
    /// Of tables over topics, and what they may have.
    pub(crate) ingest_bytes: (usize, usize),
    pub(crate) tables_limit_bytes: usize,
    pub(crate) tables_memory_bytes: usize,
    pub(crate) column_cache_bytes: usize,
    pub(crate) tables_on_disk_bytes: usize,
    pub(crate) shards_spilled: u64,
    pub(crate) spill_on_disk_bytes: u64,
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) tasks_running: usize,
    pub(crate) vcores: usize,
    pub(crate) registered: bool,
    pub(crate) shuffle: ShuffleUse,
}

impl Reading {
    /// Writes the gauges into the registry.
    pub(crate) fn publish(self, executor: &str) {
        let set =
            |name: &'static str, value: f64| gauge!(name, "executor" => executor.to_string()).set(value);
        set(MEMORY_LIMIT, self.memory_limit_bytes as f64);
        set(MEMORY_USED, self.memory_used_bytes as f64);
        set(INGEST_MEMORY, self.ingest_bytes.0 as f64);
        set(INGEST_LIMIT, self.ingest_bytes.1 as f64);
        set(TABLES_LIMIT, self.tables_limit_bytes as f64);
        set(TABLES_MEMORY, self.tables_memory_bytes as f64);
        set(COLUMN_CACHE, self.column_cache_bytes as f64);
        set(TABLES_ON_DISK, self.tables_on_disk_bytes as f64);
        counter!(SHARDS_SPILLED, "executor" => executor.to_string()).absolute(self.shards_spilled);
        set(SPILL_ON_DISK, self.spill_on_disk_bytes as f64);
        set(TASKS_RUNNING, self.tasks_running as f64);
        set(VCORES, self.vcores as f64);
        set(REGISTERED, f64::from(u8::from(self.registered)));
        set(SHUFFLE_LIMIT, self.shuffle.limit_bytes as f64);
        set(SHUFFLE_MEMORY, self.shuffle.memory_bytes as f64);
        let tasks = |place: &'static str, count: u64| {
            counter!(SHUFFLE_TASKS, "executor" => executor.to_string(), "place" => place).absolute(count);
        };
        tasks("memory", self.shuffle.tasks_in_memory);
        tasks("disk", self.shuffle.tasks_on_disk);
        if let Some(bytes) = self.resident_bytes {
            set(RESIDENT, bytes as f64);
        }
    }
}
