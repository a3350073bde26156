//! Results on their way to the user: batches go in, bytes of a [`Format`] come out, and no result is held in memory.
//!
//! [`Format`] names the formats, [`rows`] opens a [`rows::Writer`] for one result, [`Sink`] is the file or the
//! standard output that one or several results go to. A file appears under its name when it is complete, not before.

mod binary;
mod cell;
mod delimited;
mod expanded;
mod format;
mod json;
mod markdown;
pub mod rows;
mod sink;
mod table;
mod text_columns;

pub use format::Format;
pub use sink::Sink;
