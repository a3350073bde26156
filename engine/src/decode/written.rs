//! The schemas that messages were written with: by what is in front of each, or one for all.

use std::collections::HashMap;
use std::sync::Arc;

use super::frame;
use super::rejected::{Reason, Rejected};
use super::schemas::{NoSchema, SchemaId, SchemaText, Schemas};

/// Schemas that were read from their text.
#[derive(Debug)]
pub(super) enum Written<S> {
    /// By what is in front.
    Registry {
        schemas: Arc<dyn Schemas>,
        known: HashMap<SchemaId, Arc<S>>,
        /// The one that was asked for last, if nobody could say.
        missing: Option<SchemaId>,
    },
    /// All have this one.
    Given { schema: Arc<S>, is_framed: bool },
}

impl<S> Written<S> {
    pub(super) fn by_registry(schemas: Arc<dyn Schemas>) -> Self {
        Self::Registry {
            schemas,
            known: HashMap::new(),
            missing: None,
        }
    }

    pub(super) fn given(schema: S, is_framed: bool) -> Self {
        Self::Given {
            schema: Arc::new(schema),
            is_framed,
        }
    }

    /// True if what a schema is called is in front of messages.
    pub(super) fn is_framed(&self) -> bool {
        match self {
            Self::Registry { .. } => true,
            Self::Given { is_framed, .. } => *is_framed,
        }
    }

    /// The schema of some bytes, and what follows its frame. `parse` reads one that is new.
    ///
    /// # Errors
    /// Bytes without a frame, or one that means nothing that can be used.
    pub(super) fn open<'m>(
        &mut self,
        bytes: &'m [u8],
        parse: impl FnOnce(&SchemaText) -> Result<S, String>,
    ) -> Result<(Arc<S>, &'m [u8]), Rejected> {
        match self {
            Self::Given { schema, is_framed } => match is_framed {
                true => Ok((schema.clone(), frame::split_required(bytes)?.1)),
                false => Ok((schema.clone(), bytes)),
            },
            Self::Registry {
                schemas,
                known,
                missing,
            } => {
                let (id, value) = frame::split_required(bytes)?;
                if let Some(schema) = known.get(&id) {
                    return Ok((schema.clone(), value));
                }
                let text = schemas.find(id).inspect_err(|none| {
                    *missing = matches!(none, NoSchema::Away(_)).then_some(id);
                })?;
                let schema = parse(&text).map_err(|error| {
                    Rejected::new(
                        Reason::UnknownSchema,
                        format!("schema {id} cannot be used: {error}"),
                    )
                })?;
                let schema = known.entry(id).or_insert(Arc::new(schema));
                Ok((schema.clone(), value))
            }
        }
    }

    /// Asks again for the schema that was missing.
    ///
    /// # Errors
    /// It still is.
    pub(super) fn retry(&mut self) -> Result<(), Rejected> {
        if let Self::Registry { schemas, missing, .. } = self
            && let Some(id) = missing.take()
            && let Err(NoSchema::Away(detail)) = schemas.find(id)
        {
            *missing = Some(id);
            return Err(NoSchema::Away(detail).into());
        }
        Ok(())
    }
}
