//! Schemas that have more than the table: messages wait until it has the columns too (`schema.evolve`).
//!
//! ```text
//! decoder ─► find ─► registry ─► more columns? ─ no ─► schema
//!                                     └─ yes ─► stalled; the scheduler hears of it, alters the table, a new decoder goes on
//! ```
//!
//! The message that came first with a new schema is not applied before, so no value is lost.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use millpond_engine::decode::{Format, NoSchema, SchemaId, SchemaText, Schemas};
use millpond_engine::schema::grown;
use parking_lot::Mutex;

use super::registry::Registry;

/// See the module.
#[derive(Debug)]
pub(super) struct Growth {
    registry: Arc<Registry>,
    format: Format,
    /// What the table has.
    columns: SchemaRef,
    /// Names of those whose types are as they are.
    fixed: Vec<String>,
    /// Schemas of which the table has all columns.
    fitting: Mutex<HashSet<SchemaId>>,
    /// What the table should have.
    wanted: Mutex<Option<SchemaRef>>,
}

impl Growth {
    /// Of a table with some columns, of which the types of `fixed` never change.
    pub(super) fn new(
        registry: Arc<Registry>,
        format: Format,
        columns: SchemaRef,
        fixed: Vec<String>,
    ) -> Self {
        Self {
            registry,
            format,
            columns,
            fixed,
            fitting: Mutex::default(),
            wanted: Mutex::default(),
        }
    }

    /// The columns that the table should have, if a schema was met that has others.
    pub(super) fn wanted(&self) -> Option<SchemaRef> {
        self.wanted.lock().clone()
    }
}

impl Schemas for Growth {
    fn find(&self, id: SchemaId) -> Result<Arc<SchemaText>, NoSchema> {
        let text = self.registry.find(id)?;
        if self.fitting.lock().contains(&id) {
            return Ok(text);
        }
        // The schema of a key, or one that cannot be used, has no columns of rows.
        let columns = self.format.columns(Some(&text), None).ok();
        let wanted = columns.and_then(|(columns, _)| {
            grown(&self.columns, &columns, |name| {
                self.fixed.iter().any(|fixed| fixed == name)
            })
        });
        match wanted {
            None => {
                self.fitting.lock().insert(id);
                Ok(text)
            }
            Some(wanted) => {
                *self.wanted.lock() = Some(Arc::new(wanted));
                Err(NoSchema::Away(format!(
                    "schema {id} has columns that the table is about to get"
                )))
            }
        }
    }
}
