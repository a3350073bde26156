//! Schemas of JSON: messages are read without, but whoever keeps the columns of the table wants to hear of each schema before
//! its first message is read.

use std::sync::Arc;

use super::frame;
use super::rejected::Rejected;
use super::schemas::{NoSchema, SchemaId, Schemas};

/// Takes frames off, and tells of the schemas that they name.
#[derive(Debug, Default)]
pub(super) struct Announced {
    /// Who hears of them.
    schemas: Option<Arc<dyn Schemas>>,
    /// The one of the last message that had a frame; messages mostly have the same.
    last: Option<SchemaId>,
    /// The one that was told of last, if nobody could say.
    missing: Option<SchemaId>,
}

impl Announced {
    pub(super) fn to(schemas: Option<Arc<dyn Schemas>>) -> Self {
        Self {
            schemas,
            ..Self::default()
        }
    }

    /// True if frames are looked at.
    pub(super) fn heeds_frames(&self) -> bool {
        self.schemas.is_some()
    }

    /// A message without its frame, if it has one.
    ///
    /// # Errors
    /// Its schema cannot be had now. One that nobody knows is no error: there is nothing to hear of it.
    pub(super) fn without_frame<'m>(&mut self, value: &'m [u8]) -> Result<&'m [u8], Rejected> {
        let Some((id, rest)) = frame::split(value) else {
            return Ok(value);
        };
        if self.last != Some(id) {
            self.tell(id)?;
        }
        Ok(rest)
    }

    /// Asks again for the schema that was missing.
    ///
    /// # Errors
    /// It still is.
    pub(super) fn retry(&mut self) -> Result<(), Rejected> {
        self.missing.take().map_or(Ok(()), |id| self.tell(id))
    }

    fn tell(&mut self, id: SchemaId) -> Result<(), Rejected> {
        if let Some(schemas) = &self.schemas
            && let Err(NoSchema::Away(detail)) = schemas.find(id)
        {
            self.missing = Some(id);
            return Err(NoSchema::Away(detail).into());
        }
        self.last = Some(id);
        Ok(())
    }
}
