//! The client's side of the public port: open a connection, run a statement, watch it, read its rows, cancel it.
//!
//! A [`Target`] says where the cluster is and what to show at its door. [`Connection::open`] connects. Every statement
//! goes the same way, whatever its kind: [`Connection::start`] sends it, [`Running::advance`] waits for news (that is
//! the progress), [`Running::finish`] gives the [`Answer`], whose [`Rows`] stream from one output partition after the
//! other. [`run`] does all of it and also cancels when the user interrupts.
//!
//! Nothing here prints or knows formats.

mod flight;
mod rows;
mod run;
mod running;
mod target;
#[cfg(test)]
mod tests;

pub use flight::Connection;
pub use millpond_proto::statement::StatementStatus;
pub use rows::Rows;
pub use run::{Watch, run};
pub use running::{Answer, Running};
pub use target::Target;
