//! Data sets that look like those of the four jobs, dirt included, so that everything can be tried without a download.
//!
//! Rows are made in blocks. A block is a function of the seed and its own number and of nothing else, so blocks can be
//! made by any number of threads; they are written in the order of their numbers, and only a few exist at a time.
//!
//! ```text
//! command ──► DataSet ──► ordered: thread 0 makes block 0, 2, 4, ...  ─┐
//!                                  thread 1 makes block 1, 3, 5, ...  ─┴─► in order ──► csv | parquet ──► Target
//!                         block = draw (plausible customers) + dirt (exact counts)
//! ```

pub mod command;

mod csv;
mod customer;
mod customer_updates;
mod data_set;
mod dirt;
mod draw;
mod event;
mod ordered;
mod parquet;
mod sensors;
mod target;

pub use event::{Envelope, Event, Stream, events};
