//! The memory of all tasks of an executor: one limit, shared fairly.
//!
//! ```text
//!  limit ┌───────────────────────────────┬───────────────────────────────┐
//!        │ floors: half of every vcore's │ commons: whoever asks first   │
//!        │ share, kept for its task      │                               │
//!        └───────────────────────────────┴───────────────────────────────┘
//! ```
//!
//! A task asks the [`Budget`] for a [`TaskPool`] when it starts, and operators reserve memory from that. When a
//! reservation is refused, an operator that can spill writes what it holds to disk and asks again; one that cannot
//! ends the query with an error, which names the limit.
//!
//! DataFusion's pools were not enough. With one greedy pool for the process, a sort that filled it starves the
//! next task, which fails because it holds nothing that it could spill. One fair pool for the process divides by
//! the number of all spilling operators of all tasks, busy or not, and gives nothing to operators that cannot
//! spill once the others filled it. A fair pool per task (what Ballista does) leaves most of the memory idle when
//! few tasks run, as in a final sort. So:
//!
//! - Every vcore has a floor, half of its share of the limit, that only its task may use, even while no task runs
//!   on it: a task that starts finds its floor free, whatever the others hold. Where tables in memory may fill more
//!   than half of the limit, the floors are what is left.
//! - The other half, and nothing else, goes to whoever asks first. A refused task spills, which returns it.
//! - Inside a task the spilling operators share evenly, as in DataFusion's `FairSpillPool`, and as there one that
//!   comes late may overdraw until those before it have spilled. So the limit can be passed for a moment; the
//!   default limit leaves room for that and for memory that nobody reserves (batches in flight).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use millpond_engine::memory::Bytes;
use parking_lot::Mutex;

/// Consumers named in an error, largest first.
const NAMED_CONSUMERS: usize = 3;

/// The memory that the tasks of one executor may reserve together.
#[derive(Debug)]
pub(crate) struct Budget {
    limit_bytes: usize,
    /// The floors of all vcores together.
    floors_bytes: usize,
    vcores: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used_bytes: usize,
    next_task: u64,
    tasks: HashMap<u64, Task>,
    consumers: HashMap<usize, Consumer>,
}

/// What a running task may claim and holds.
#[derive(Debug, Default)]
struct Task {
    vcores: usize,
    used_bytes: usize,
    /// The part of `used_bytes` that belongs to operators that can spill.
    spillable_bytes: usize,
    /// Registered operators that can spill.
    spillers: usize,
}

#[derive(Debug)]
struct Consumer {
    name: String,
    bytes: usize,
}

impl Budget {
    /// Makes a budget of `limit_bytes` for tasks on `vcores` vcores in all (at least one), and for tables, which may
    /// fill `tables_bytes` of it.
    pub(crate) fn new(limit_bytes: u64, tables_bytes: u64, vcores: usize) -> Arc<Self> {
        let floors_bytes = (limit_bytes / 2).min(limit_bytes.saturating_sub(tables_bytes));
        Arc::new(Self {
            limit_bytes: usize::try_from(limit_bytes).unwrap_or(usize::MAX),
            floors_bytes: usize::try_from(floors_bytes).unwrap_or(usize::MAX),
            vcores: vcores.max(1),
            state: Mutex::default(),
        })
    }

    /// A pool for a task that runs on `vcores` of the executor's. Its floor is given back when the pool is dropped.
    pub(crate) fn start_task(self: &Arc<Self>, vcores: usize) -> Arc<TaskPool> {
        let mut state = self.state.lock();
        let task = state.next_task;
        state.next_task += 1;
        state.tasks.insert(
            task,
            Task {
                vcores,
                ..Task::default()
            },
        );
        Arc::new(TaskPool {
            budget: self.clone(),
            task,
        })
    }

    /// The limit in bytes.
    pub(crate) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Bytes that all tasks hold now.
    pub(crate) fn used_bytes(&self) -> usize {
        self.state.lock().used_bytes
    }

    /// Bytes that `task` may still take without touching the floor of another vcore. Negative once it has overdrawn.
    fn free_bytes(&self, state: &State, task: u64) -> i128 {
        let busy: usize = state.tasks.values().map(|task| task.vcores).sum();
        // More vcores may be busy than there are, when a scheduler has forgotten about tasks of another one.
        let floor = self.floors_bytes / self.vcores.max(busy);
        let idle_floors = floor * self.vcores.saturating_sub(busy);
        let unused_floors: usize = state
            .tasks
            .iter()
            .filter(|(other, _)| **other != task)
            .map(|(_, other)| (floor * other.vcores).saturating_sub(other.used_bytes))
            .sum();
        self.limit_bytes as i128 - (state.used_bytes + idle_floors + unused_floors) as i128
    }

    fn refusal(
        &self,
        state: &State,
        reservation: &MemoryReservation,
        additional: usize,
        left: usize,
    ) -> DataFusionError {
        let mut largest: Vec<&Consumer> = state
            .consumers
            .values()
            .filter(|consumer| consumer.bytes > 0)
            .collect();
        largest.sort_by_key(|consumer| std::cmp::Reverse(consumer.bytes));
        let largest: Vec<String> = largest
            .iter()
            .take(NAMED_CONSUMERS)
            .map(|consumer| format!("{} {}", consumer.name, Bytes(consumer.bytes as u64)))
            .collect();
        let largest = if largest.is_empty() {
            String::from("nothing")
        } else {
            largest.join(", ")
        };
        DataFusionError::ResourcesExhausted(format!(
            "executor memory limit {} (executor.memory_limit) reached: {} holds {}, asked for {} more, and {} is left \
             for it; in use: {}, by {largest}",
            Bytes(self.limit_bytes as u64),
            reservation.consumer().name(),
            Bytes(reservation.size() as u64),
            Bytes(additional as u64),
            Bytes(left as u64),
            Bytes(state.used_bytes as u64),
        ))
    }
}

impl State {
    fn grow(&mut self, task: u64, consumer: &MemoryConsumer, additional: usize) {
        self.used_bytes += additional;
        if let Some(task) = self.tasks.get_mut(&task) {
            task.used_bytes += additional;
            if consumer.can_spill() {
                task.spillable_bytes += additional;
            }
        }
        if let Some(consumer) = self.consumers.get_mut(&consumer.id()) {
            consumer.bytes += additional;
        }
    }

    fn shrink(&mut self, task: u64, consumer: &MemoryConsumer, returned: usize) {
        self.used_bytes = self.used_bytes.saturating_sub(returned);
        if let Some(task) = self.tasks.get_mut(&task) {
            task.used_bytes = task.used_bytes.saturating_sub(returned);
            if consumer.can_spill() {
                task.spillable_bytes = task.spillable_bytes.saturating_sub(returned);
            }
        }
        if let Some(consumer) = self.consumers.get_mut(&consumer.id()) {
            consumer.bytes = consumer.bytes.saturating_sub(returned);
        }
    }

    fn held_by(&self, consumer: &MemoryConsumer) -> usize {
        self.consumers
            .get(&consumer.id())
            .map_or(0, |consumer| consumer.bytes)
    }
}

/// The part of a [`Budget`] that one task sees.
#[derive(Debug)]
pub(crate) struct TaskPool {
    budget: Arc<Budget>,
    task: u64,
}

impl Drop for TaskPool {
    fn drop(&mut self) {
        self.budget.state.lock().tasks.remove(&self.task);
    }
}

impl fmt::Display for TaskPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}(limit: {})",
            self.name(),
            Bytes(self.budget.limit_bytes as u64)
        )
    }
}

impl MemoryPool for TaskPool {
    fn name(&self) -> &str {
        "executor"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        let mut state = self.budget.state.lock();
        state.consumers.insert(
            consumer.id(),
            Consumer {
                name: consumer.name().to_string(),
                bytes: 0,
            },
        );
        if let Some(task) = state.tasks.get_mut(&self.task).filter(|_| consumer.can_spill()) {
            task.spillers += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut state = self.budget.state.lock();
        state.consumers.remove(&consumer.id());
        if let Some(task) = state.tasks.get_mut(&self.task).filter(|_| consumer.can_spill()) {
            task.spillers = task.spillers.saturating_sub(1);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.budget
            .state
            .lock()
            .grow(self.task, reservation.consumer(), additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, returned: usize) {
        self.budget
            .state
            .lock()
            .shrink(self.task, reservation.consumer(), returned);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut state = self.budget.state.lock();
        let consumer = reservation.consumer();
        let free = self.budget.free_bytes(&state, self.task);
        let left = match state.tasks.get(&self.task) {
            Some(task) if consumer.can_spill() => {
                (task.spillable_bytes as i128 + free) / task.spillers.max(1) as i128
                    - state.held_by(consumer) as i128
            }
            _ => free,
        };
        let left = usize::try_from(left).unwrap_or(0);
        if additional > left {
            return Err(self.budget.refusal(&state, reservation, additional, left));
        }
        state.grow(self.task, consumer, additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.budget
            .state
            .lock()
            .tasks
            .get(&self.task)
            .map_or(0, |task| task.used_bytes)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.budget.limit_bytes)
    }
}

#[cfg(test)]
mod tests;
