//! The public door: Arrow Flight SQL, the one way in for every client.
//!
//! A request is let in ([`door`]), turned into a statement and watched. Its result is described by tickets that are
//! signed ([`ticket`]) and name no address; rows are streamed from the executors through here without being
//! collected ([`results`]). Specification: <https://arrow.apache.org/docs/format/FlightSql.html>.
//!
//! ```text
//! GetFlightInfo / PollFlightInfo ─► door ─► Frontend::start ─► FlightInfo { tickets }
//! DoGet(ticket) ─► door ─► ticket checked ─► executor ─► batches
//! DoPut(CommandStatementIngest), rows ─► door ─► Frontend::ingest ─► number of rows
//! DoAction(CancelFlightInfo), a dropped call ─► Statement::cancel
//! ```

mod actions;
mod door;
mod ingest;
mod introspection;
mod poll;
mod prepared;
mod results;
mod script;
mod service;
mod status;
mod ticket;

pub(crate) use poll::PublicService;
pub(crate) use service::FlightSql;
