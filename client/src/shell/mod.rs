//! The shell: reads from a person and hands what is complete to the session.
//!
//! [`command`] reads commands such as `\d t`, [`describe`] has the queries behind them, `completion` knows the names
//! of the live catalog, `editor` is the line with history, and [`run`] is the loop.

pub mod command;
mod completion;
pub(crate) mod describe;
mod editor;
mod prompt;
mod repl;
mod vocabulary;

pub use repl::run;
