//! Preprocessing pipelines: a declared chain of steps, what they learn from data, and the SQL that applies them.
//!
//! A pipeline is YAML ([`spec`]). It becomes a [`chain`] of columns, each an SQL expression over earlier ones; [`steps`] say
//! which. What a step must learn first it asks for, and [`fit`] answers as many questions with one query as their columns
//! allow. With all answers ([`fitted`]) the chain is a plain projection, the same for the rows it was fitted on, for new
//! ones and for a live table.
//!
//! ```text
//! YAML ─► Spec ─► compile ─► Chain ──► questions ─► SQL ─► answers ─► Fitted ─┐
//!                    ▲                                                        │ until there are no questions
//!                    └────────────────────────────────────────────────────────┘
//!                            Chain without questions ─► SQL of the transform
//! ```
//!
//! What is in columns is looked at by [`profile`], before a pipeline is written, and by [`picture`], after it was run.
//! What was learned leaves a cluster as a document ([`exported`]), and comes into another.
//!
//! Nothing here runs SQL or knows rows: whoever does implements [`fit::Engine`].

mod aggregates;
pub mod chain;
pub mod compile;
pub mod exported;
pub mod expression;
pub mod fit;
pub mod fitted;
pub mod kind;
pub mod mistake;
pub mod picture;
pub mod profile;
pub mod propose;
pub mod spec;
pub mod sql;
mod steps;

pub(crate) use steps::CATEGORIES_MAX;

pub use chain::Chain;
pub use compile::{Compiled, Kinds, Purpose, compile};
pub use exported::{Exported, Imported};
pub use fitted::{Fitted, Value};
pub use kind::{Column, Kind};
pub use mistake::Mistake;
pub use spec::Spec;
