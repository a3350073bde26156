//! The wire contract of Millpond: messages that processes of one cluster, their clients and the state store exchange.
//!
//! There is no logic here beyond encoding. A message that is *stored* ([`catalog`]) carries a format number and is
//! only ever extended by new fields; a message that is *sent* ([`statement`], [`plan`]) lives as long as one statement.
//! The messages are declared with `prost` derives, so a build needs no `protoc`.

pub mod catalog;
pub mod checkpoint;
pub mod plan;
pub mod statement;
pub mod stream;

pub use prost::Message;
