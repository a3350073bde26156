//! What stages hand to each other stays in memory while it fits.
//!
//! ```text
//!   /dev/shm/millpond-executor-…/jobs/            what Ballista writes, reads, serves and removes
//!       <job>/<stage>/<task>/data.arrow           in memory, or
//!       <job>/<stage>/<task>  ──link──►  <work_dir>/jobs/<job>/<stage>/<task>     above the limit
//! ```
//!
//! Ballista knows one folder for results of stages. It is on a memory file system ([`memory_fs`]); where a task writes
//! is decided when the task starts ([`ShuffleDir::place`], called by the [`PlacingEngine`]). The links lie in memory and
//! lead to the disk, and not the other way round: when Ballista removes a job it removes links and not what they
//! lead to, so memory is free at once, and the disk follows within a second ([`ShuffleDir::sweep`]).
//!
//! The bytes are reserved in the executor's budget, from the part that no task is promised. So they are within
//! `executor.memory_limit`, and tables in memory and running operators come first: if those hold all of it, new tasks
//! write to disk.
//!
//! A task of which more comes than was thought, so that the limit or the file system itself is full, fails with an I/O
//! error. Ballista runs it again, and the rest of its stage writes to disk. What a writer spills for lack of memory
//! goes to disk always.

mod engine;
mod ledger;
mod memory_fs;
mod output;
mod place;

pub(crate) use engine::PlacingEngine;
pub(crate) use place::{ShuffleDir, ShuffleUse};
