//! Clusters for tests: real processes of the real binary, on loopback and free ports.
//!
//! A [`Cluster`] is a `millpond scheduler` and some `millpond executor` processes that a test can kill one by one.
//! [`Cluster::connect`] gives the product's own Flight SQL client. Everything ends with the test.

mod bench;
pub mod binary;
mod broker;
mod client;
mod cluster;
mod process;
mod registry;
mod seed;
pub mod slt;
mod tokens;

pub use bench::{Bench, PATIENCE};
pub use broker::Broker;
pub use client::{Client, finish, text_rows};
pub use cluster::Cluster;
pub use process::{Process, command};
pub use registry::Registry;
pub use seed::seed;
pub use tokens::Tokens;
