//! The `millpond` command and the library behind it.
//!
//! Reading order: [`cli`] is the tree of commands and flags, [`commands`] has one module per command. Those that talk
//! to a cluster get a [`connection::Connection`] from [`access`], which starts an [`embedded`] cluster when no address
//! is given. [`session`] runs scripts and commands of the shell over a connection; [`output`] writes the rows,
//! [`progress`] the line that tells how far a statement is, [`shell`] reads from a person.
//!
//! ```text
//! cli ─► commands ─► access ─► connection ══ Flight SQL ══► scheduler
//!            │                     │ batches
//!            └──► session ─────────┴──► output ─► stdout or a file
//!                    └─► progress, notes ─► stderr
//! ```
//!
//! Standard output carries data and nothing else. With the feature `server` off there are no nodes and no embedded
//! cluster; what remains needs neither the engine nor its dependencies.

pub mod access;
pub mod cli;
pub mod commands;
pub mod connection;
pub mod datagen;
#[cfg(feature = "server")]
pub mod embedded;
pub mod error;
pub mod exit;
pub mod interrupt;
#[cfg(feature = "server")]
pub mod kafka;
#[cfg(feature = "server")]
pub mod node;
pub mod output;
pub mod place;
pub mod progress;
pub mod script;
pub mod session;
pub mod shell;
pub mod terminal;
