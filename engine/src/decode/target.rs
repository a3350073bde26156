//! A column as the rows of a message see it: what it takes, and what is said if a value does not fit.

use super::cell::{Cell, Misfit, Shape, Writing};
use super::rejected::{Reason, Rejected, quote};
use super::slot::{Slot, Texts};

/// A column that rows have cells for.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) shape: Shape,
    pub(super) is_required: bool,
    pub(super) is_key: bool,
}

impl Target {
    /// Makes a cell of a slot. Decoded bytes go to `bytes`.
    #[inline(always)]
    pub(super) fn cell(
        &self,
        slot: Slot,
        texts: Texts<'_>,
        writing: Writing,
        bytes: &mut Vec<u8>,
    ) -> Result<Cell, Rejected> {
        let cell = self.shape.cell(slot, texts, writing, bytes);
        cell.map_err(|misfit| self.misfit(misfit, &texts.describe(slot)))
    }

    /// Says that a value does not fit.
    #[cold]
    pub(super) fn misfit(&self, misfit: Misfit, found: &str) -> Rejected {
        let (name, type_name, found) = (&self.name, &self.type_name, quote(found));
        match misfit {
            Misfit::Type => {
                let detail = format!("column {name:?}: expected {type_name}, found {found}");
                Rejected::new(Reason::WrongType, detail)
            }
            Misfit::Range => {
                let detail = format!("column {name:?}: {found} is beyond what {type_name} can hold");
                Rejected::new(Reason::OutOfRange, detail)
            }
        }
    }

    /// Says that there is no value where there must be one.
    #[cold]
    pub(super) fn missing(&self) -> Rejected {
        let (reason, why) = if self.is_key {
            (Reason::MissingKey, "is part of the primary key")
        } else {
            (Reason::MissingColumn, "is NOT NULL")
        };
        let name = &self.name;
        Rejected::new(reason, format!("column {name:?} {why} but has no value"))
    }
}
