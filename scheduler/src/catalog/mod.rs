//! The one catalog of the cluster, as statements see it.
//!
//! What exists is decided by the log in [`crate::state`]. A statement takes one version of it and looks through a
//! [`StatementCatalog`]: tables are opened when they are first named and stay the same until the statement ends,
//! also inside views. `information_schema` and `system` are tables like any other, except that their rows are made
//! on the scheduler when they are scanned ([`metadata::MetadataTable`]). DDL is turned into changes of the log by [`ddl`].
//!
//! ```text
//! log (state) ──version──► StatementCatalog ──table()──► relation: files or view
//!                                           └─────────► metadata: information_schema, system
//! ```

pub(crate) mod cached;
pub(crate) mod ddl;
mod descriptor;
mod kafka_table;
mod live_table;
mod location;
mod memory_table;
mod metadata;
mod model_tables;
pub(crate) mod predict;
mod readable;
mod relation;
mod statement_catalog;
mod stream_tables;
pub(crate) mod system;
mod table_options;
mod whole;

pub(crate) use cached::{Caches, function_of_the_moment};
pub(crate) use descriptor::{DESCRIPTOR, descriptor};
pub(crate) use kafka_table::partitions as topic_partitions;
pub(crate) use location::resolve_location;
pub(crate) use metadata::{Reads, what_is_read};
pub(crate) use model_tables::ModelErrors;
pub(crate) use relation::without_views;
pub(crate) use statement_catalog::{RelationKey, SessionFactory, StatementCatalog};
pub(crate) use table_options::{Durable, Owner, TableOptions, checked};
pub(crate) use whole::{check_whole, is_at_hand, reads_live, reads_memory_only};
