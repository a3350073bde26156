//! The process that runs tasks.
//!
//! ```text
//!   scheduler ──tasks──► gRPC (ballista) ──► task threads ──► jobs/ in memory or on disk ──► data port ──► whoever asks
//!       ▲                                     │  memory from the budget   (shuffle)
//!       └── heartbeats, reports (ballista)    └─ spilled operators ──► spill/
//! ```
//!
//! [`Executor::start`] takes [`Options`] and returns once the scheduler knows the executor. It stays a member
//! (`membership`) until it is asked to stop, whatever becomes of the scheduler. Signals are the binary's business.

mod ballista;
mod budget;
mod data_port;
mod direct;
mod error;
mod executor;
mod grouping;
mod http;
mod ingest;
mod ingest_cores;
mod membership;
mod metrics;
mod options;
mod ports;
mod roles;
mod shard_copies;
mod shuffle;
mod stoppable;
mod streams;
mod work_dir;

pub use error::Error;
pub use executor::{Addresses, Executor};
pub use options::Options;
pub use roles::Roles;
pub use streams::{Preview, Previewed, RegistrySettings};
