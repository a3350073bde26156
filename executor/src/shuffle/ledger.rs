//! Which tasks have written how much to memory.
//!
//! It knows jobs, stages and tasks by number and nothing of files. Bytes are in it as long as the folder of
//! their stage is there; the budget's reservation is always their sum.

use std::collections::HashMap;

use ballista_core::JobId;
use datafusion::execution::memory_pool::MemoryReservation;

/// Bytes that are set aside for a task of a stage of which none has ended: a small result and its schema.
pub(super) const EXPECTED_BYTES_MIN: u64 = 1 << 20;

/// A stage of a job.
pub(super) type StageKey = (JobId, usize);

/// One run of one task. A task that is run again has the same numbers and another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) stage: StageKey,
    pub(super) task: usize,
    attempt: u64,
}

/// The stages that this executor writes or holds.
#[derive(Debug)]
pub(super) struct Ledger {
    limit_bytes: u64,
    reservation: MemoryReservation,
    stages: HashMap<StageKey, Stage>,
    attempts: u64,
}

#[derive(Debug, Default)]
struct Stage {
    tasks: HashMap<usize, Task>,
    largest_bytes: u64,
    avoids_memory: bool,
}

#[derive(Debug)]
struct Task {
    attempt: u64,
    bytes: u64,
    running: bool,
}

impl Ledger {
    /// At most `limit_bytes` are taken from `reservation`.
    pub(super) fn new(limit_bytes: u64, reservation: MemoryReservation) -> Self {
        Self {
            limit_bytes,
            reservation,
            stages: HashMap::new(),
            attempts: 0,
        }
    }

    /// Bytes in memory, and those that are set aside for running tasks.
    pub(super) fn bytes(&self) -> u64 {
        self.reservation.size() as u64
    }

    /// Enters a task that writes to disk.
    pub(super) fn start_on_disk(&mut self, stage: StageKey, task: usize) -> Attempt {
        self.start(stage, task, 0)
    }

    /// Enters a task that writes to memory, unless memory is short or its stage has filled it before.
    pub(super) fn start_in_memory(
        &mut self,
        stage: &StageKey,
        task: usize,
        free_bytes: u64,
    ) -> Option<Attempt> {
        let expected = match self.stages.get(stage) {
            Some(stage) if stage.avoids_memory => return None,
            Some(stage) => stage.largest_bytes.max(EXPECTED_BYTES_MIN),
            None => EXPECTED_BYTES_MIN,
        };
        if expected > free_bytes || !self.take(expected) {
            return None;
        }
        Some(self.start(stage.clone(), task, expected))
    }

    fn start(&mut self, stage: StageKey, task: usize, bytes: u64) -> Attempt {
        self.attempts += 1;
        let attempt = Attempt {
            stage: stage.clone(),
            task,
            attempt: self.attempts,
        };
        let started = Task {
            attempt: self.attempts,
            bytes,
            running: true,
        };
        let replaced = self.stages.entry(stage).or_default().tasks.insert(task, started);
        self.give_back(replaced.map_or(0, |task| task.bytes));
        attempt
    }

    fn take(&self, bytes: u64) -> bool {
        self.bytes() + bytes <= self.limit_bytes && self.reservation.try_grow(bytes as usize).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.reservation
            .shrink((bytes as usize).min(self.reservation.size()));
    }

    fn task(&mut self, attempt: &Attempt) -> Option<&mut Task> {
        let stage = self.stages.get_mut(&attempt.stage)?;
        stage
            .tasks
            .get_mut(&attempt.task)
            .filter(|task| task.attempt == attempt.attempt)
    }

    /// Notes that a running task has written `bytes`; false if that is more than there is room for.
    pub(super) fn grow(&mut self, attempt: &Attempt, bytes: u64) -> bool {
        let Some(known) = self.task(attempt).map(|task| task.bytes) else {
            return true;
        };
        if bytes <= known {
            return true;
        }
        let taken = self.take(bytes - known);
        if taken && let Some(task) = self.task(attempt) {
            task.bytes = bytes;
        }
        taken
    }

    /// Notes that a task has ended well with `bytes` in memory.
    pub(super) fn keep(&mut self, attempt: &Attempt, bytes: u64) {
        let Some(task) = self.task(attempt) else { return };
        let known = std::mem::replace(&mut task.bytes, bytes);
        task.running = false;
        if let Some(stage) = self.stages.get_mut(&attempt.stage) {
            stage.largest_bytes = stage.largest_bytes.max(bytes);
        }
        // They are there, whatever the limit is.
        self.reservation.grow(bytes.saturating_sub(known) as usize);
        self.give_back(known.saturating_sub(bytes));
    }

    /// Forgets a task that has not ended well; false if another attempt of it has started or the stage is gone.
    pub(super) fn discard(&mut self, attempt: &Attempt) -> bool {
        let Some(bytes) = self.task(attempt).map(|task| task.bytes) else {
            return false;
        };
        if let Some(stage) = self.stages.get_mut(&attempt.stage) {
            stage.tasks.remove(&attempt.task);
        }
        self.give_back(bytes);
        true
    }

    /// Sends the tasks of a stage that start from now on to disk.
    pub(super) fn avoid_memory(&mut self, stage: &StageKey) {
        self.stages.entry(stage.clone()).or_default().avoids_memory = true;
    }

    /// Forgets stages without running tasks of which `is_there` does not know.
    pub(super) fn forget(&mut self, mut is_there: impl FnMut(&StageKey) -> bool) {
        let mut freed = 0;
        self.stages.retain(|key, stage| {
            let kept = stage.tasks.values().any(|task| task.running) || is_there(key);
            if !kept {
                freed += stage.tasks.values().map(|task| task.bytes).sum::<u64>();
            }
            kept
        });
        self.give_back(freed);
    }

    /// Whether a job has a stage here.
    pub(super) fn knows_job(&self, job: &str) -> bool {
        self.stages.keys().any(|(known, _)| known.as_str() == job)
    }

    /// Whether this stage of a job is here.
    pub(super) fn knows_stage(&self, job: &str, stage: &str) -> bool {
        self.stages
            .keys()
            .any(|(known, number)| known.as_str() == job && number.to_string() == stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
    use std::sync::Arc;

    const MIB: u64 = 1 << 20;

    fn ledger(limit_bytes: u64) -> Ledger {
        let pool: Arc<dyn MemoryPool> = Budget::new(64 * MIB, 64 * MIB / 2, 1).start_task(0);
        Ledger::new(limit_bytes, MemoryConsumer::new("shuffle").register(&pool))
    }

    fn stage() -> StageKey {
        (JobId::new("job"), 1)
    }

    #[test]
    fn tasks_go_to_memory_until_the_limit() {
        let mut ledger = ledger(10 * MIB);
        let first = ledger.start_in_memory(&stage(), 0, u64::MAX).unwrap();
        assert_eq!(ledger.bytes(), EXPECTED_BYTES_MIN);
        assert!(ledger.grow(&first, 6 * MIB));
        ledger.keep(&first, 6 * MIB);
        assert_eq!(ledger.bytes(), 6 * MIB);
        // The next one is expected to be as large as the first.
        assert!(ledger.start_in_memory(&stage(), 1, u64::MAX).is_none());
        assert!(
            ledger
                .start_in_memory(&(JobId::new("job"), 2), 0, u64::MAX)
                .is_some()
        );
        assert!(
            ledger
                .start_in_memory(&(JobId::new("job"), 3), 0, MIB - 1)
                .is_none()
        );
    }

    #[test]
    fn more_than_the_limit_is_refused_and_given_back() {
        let mut ledger = ledger(4 * MIB);
        let task = ledger.start_in_memory(&stage(), 0, u64::MAX).unwrap();
        assert!(!ledger.grow(&task, 5 * MIB));
        ledger.avoid_memory(&stage());
        assert!(ledger.discard(&task) && !ledger.discard(&task));
        assert_eq!(ledger.bytes(), 0);
        assert!(ledger.start_in_memory(&stage(), 1, u64::MAX).is_none());
    }

    #[test]
    fn the_budget_is_asked_too() {
        // Half of 64 MiB is promised to tasks.
        let mut ledger = ledger(64 * MIB);
        let task = ledger.start_in_memory(&stage(), 0, u64::MAX).unwrap();
        assert!(ledger.grow(&task, 32 * MIB));
        assert!(!ledger.grow(&task, 33 * MIB));
    }

    #[test]
    fn an_attempt_that_was_replaced_takes_nothing_with_it() {
        let mut ledger = ledger(10 * MIB);
        let first = ledger.start_in_memory(&stage(), 0, u64::MAX).unwrap();
        let second = ledger.start_in_memory(&stage(), 0, u64::MAX).unwrap();
        assert!(!ledger.discard(&first));
        ledger.keep(&first, 9 * MIB);
        assert_eq!(ledger.bytes(), EXPECTED_BYTES_MIN);
        ledger.keep(&second, 2 * MIB);
        assert_eq!(ledger.bytes(), 2 * MIB);
    }

    #[test]
    fn stages_are_forgotten_when_they_are_gone_and_nobody_writes() {
        let mut ledger = ledger(10 * MIB);
        let task = ledger.start_in_memory(&stage(), 0, u64::MAX).unwrap();
        ledger.forget(|_| false);
        assert!(ledger.knows_job("job") && ledger.knows_stage("job", "1"));
        assert!(!ledger.knows_stage("job", "2") && !ledger.knows_job("other"));
        ledger.keep(&task, MIB);
        ledger.forget(|_| true);
        assert_eq!(ledger.bytes(), MIB);
        ledger.forget(|_| false);
        assert!(!ledger.knows_job("job"));
        assert_eq!(ledger.bytes(), 0);
    }
}
