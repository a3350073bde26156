//! One module per command. Each has its flags as `Args` and a function `run`.

pub mod cancel;
pub mod completion;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod demo;
pub mod drain;
#[cfg(feature = "server")]
pub mod executor;
pub mod look;
mod model;
pub mod pipeline;
#[cfg(feature = "server")]
pub mod scheduler;
pub mod sql;
#[cfg(feature = "server")]
pub mod state;
pub mod submit;
#[cfg(feature = "server")]
pub mod topic;
#[cfg(feature = "server")]
pub mod up;
