//! Statements: one thing a client asked for, from its arrival to the last byte of its result.
//!
//! A front end starts a statement ([`Frontend::start`]) and watches it. The statement is planned against one version
//! of the catalog and then takes one of five ways: settings and DDL change the session or the catalog; metadata
//! queries run on the scheduler; a query that reads little, or from one executor, runs there as a whole ([`direct`]);
//! any other becomes a cluster job ([`job`]); a statement that writes is a job plus a commit ([`write`],
//! [`memory`]). Rows that a client sends are passed on to executors ([`ingest`]). The result stays in the [`Registry`] until it is read or expires.
//!
//! ```text
//! Queued ──admitted──► Running ──► Finished(result) ──read or expired──► history
//!    └───────────────────┴──────► Failed(error)     (a cancel or a deadline is a failure with its own code)
//! ```

mod adaptive;
mod admission;
mod alter;
mod cache;
mod constants;
mod direct;
mod drain;
mod explain;
mod frontend;
mod ingest;
mod job;
mod limits;
mod masked;
mod memory;
mod model;
mod parts;
mod pipeline;
mod plan_cache;
mod registry;
mod result;
mod run;
mod stream;
mod syntax;
mod topic;
mod upkeep;
mod write;

pub(crate) use admission::Admission;
pub(crate) use frontend::{Frontend, Request, Services};
pub(crate) use ingest::{Existing, Ingest, Missing};
pub(crate) use masked::without_password;
pub(crate) use parts::drop_leftovers;
pub(crate) use plan_cache::{Described, PlanCache};
pub(crate) use registry::{Phase, Progress, Registry, Statement};
pub(crate) use result::{ResultSet, Rows};
pub(crate) use run::plan_only;
pub(crate) use topic::Outboxes;
