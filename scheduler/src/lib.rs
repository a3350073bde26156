//! The scheduler: where SQL comes in, is planned and placed, and where results go out.
//!
//! [`Scheduler::start`] opens the catalog's log ([`state`]), starts Ballista's scheduler as a library (`cluster`) and
//! serves three ports: Flight SQL for clients (`flight_sql`), gRPC for executors, HTTP for health and metrics. A
//! statement goes `flight_sql` → `statement` → `catalog` (names) → `cluster` (job) and its rows go from the executors
//! through `flight_sql` to the client. The scheduler holds no rows of tables.

mod catalog;
mod cluster;
mod flight_sql;
mod http;
mod locality;
mod options;
mod server;
mod session;
mod shards;
pub mod state;
mod statement;
mod streams;
mod tls;
mod upkeep;

pub use options::{LocalPaths, Options, TlsFiles};
pub use server::{Addresses, Scheduler};
