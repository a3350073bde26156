//! Images of rows become cells.

use super::super::cell::{Cell, Shape, Writing};
use super::super::change::Kind;
use super::super::hints::Hint;
use super::super::image::Image;
use super::super::rejected::Rejected;
use super::super::scaled::Scaled;
use super::super::slot::{Piece, Slot, Texts};
use super::{Absent, Before, Images, Rows};

impl Rows {
    /// A row that comes after an old image, which its identity may be, can bring a part of its key anew.
    #[inline]
    pub(super) fn push_put(
        &mut self,
        (images, has_old): (Images<'_>, bool),
        identity: &Image,
        absent: Absent,
        text: &str,
    ) -> Result<Kind, Rejected> {
        let mut kept: Option<Box<[bool]>> = None;
        for column in 0..self.targets.len() {
            let target = &self.targets[column];
            let own = images.row.get(column);
            let is_own = has_old && own.is_set() && !self.key_only;
            let slot = match target.is_key && !is_own {
                true => identity.get(column),
                false => own,
            };
            let stays = !target.is_key
                && (slot.is_absent() && absent.stays(column, images.before)
                    || self.is_unavailable(slot, text));
            if stays {
                kept.get_or_insert_with(|| vec![true; self.targets.len()].into())[column] = false;
                self.cells.push(Cell::Null);
                continue;
            }
            let cell = self.cell(column, slot, text)?;
            if matches!(cell, Cell::Null) && self.targets[column].is_required {
                return Err(self.targets[column].missing());
            }
            self.cells.push(cell);
        }
        Ok(kept.map_or(Kind::Put, Kind::Merge))
    }

    /// Puts the end of a row with an old key before the row that was pushed last, if the key is another one.
    pub(super) fn push_old_key(
        &mut self,
        old: &Image,
        before: Before,
        start: usize,
        text: &str,
    ) -> Result<(), Rejected> {
        let says_key = match before {
            _ if self.key_only => false,
            Before::Ignored => false,
            Before::Whole => old.has(&self.key),
            Before::Changed => old.has_any(&self.key),
        };
        if !says_key {
            return Ok(());
        }
        let mut row = vec![Cell::Null; self.targets.len()];
        let mut differs = false;
        for place in 0..self.key.len() {
            let column = self.key[place];
            let slot = old.get(column);
            let cell = if slot.is_set() {
                self.cell(column, slot, text)?
            } else {
                self.cells[start + column]
            };
            differs |= !cell.is_same(self.cells[start + column], self.stock(text));
            row[column] = cell;
        }
        if differs {
            self.cells.splice(start..start, row);
            self.kinds.push(Kind::Rekey);
        }
        Ok(())
    }

    /// Columns that are not of the key are taken if they can be; a delete needs none of them.
    pub(super) fn push_delete(
        &mut self,
        identity: &Image,
        given: &Image,
        text: &str,
    ) -> Result<(), Rejected> {
        for column in 0..self.targets.len() {
            let cell = if self.targets[column].is_key {
                self.cell(column, identity.get(column), text)?
            } else if self.is_unavailable(given.get(column), text) {
                Cell::Null
            } else {
                self.cell(column, given.get(column), text).unwrap_or(Cell::Null)
            };
            self.cells.push(cell);
        }
        self.kinds.push(Kind::Delete);
        self.check_count()
    }

    #[inline(always)]
    fn cell(&mut self, column: usize, slot: Slot, text: &str) -> Result<Cell, Rejected> {
        let hint = self.hints.of(column);
        let slot = match hint {
            Some(hint) => self.spelled(column, slot, hint, text)?,
            None => slot,
        };
        let texts = Texts {
            message: text,
            scratch: &self.scratch.text,
        };
        let unit = match hint {
            Some(Hint::Time(unit)) => Some(unit),
            _ => self.writing.unit,
        };
        let writing = Writing {
            unit,
            hint,
            ..self.writing
        };
        self.targets[column].cell(slot, texts, writing, &mut self.bytes)
    }

    /// A decimal number of the schema is spelled out for a column of text; any other slot is as it is.
    fn spelled(&mut self, column: usize, slot: Slot, hint: Hint, text: &str) -> Result<Slot, Rejected> {
        let target = &self.targets[column];
        if !matches!(target.shape, Shape::Text) {
            return Ok(slot);
        }
        let texts = Texts {
            message: text,
            scratch: &self.scratch.text,
        };
        let number = match (hint, slot) {
            (Hint::Decimal(scale), Slot::Text(piece)) => Scaled::of_text(texts.get(piece), scale),
            (Hint::ScaledDecimal, Slot::Nested(piece)) => Scaled::of_object(texts.get(piece)),
            _ => return Ok(slot),
        };
        let spelled = number
            .and_then(|number| number.spell())
            .map_err(|misfit| target.misfit(misfit, &texts.describe(slot)))?;
        Ok(Slot::Number(Piece::copy(&spelled, &mut self.scratch.text)))
    }

    #[inline]
    fn is_unavailable(&self, slot: Slot, text: &str) -> bool {
        let unavailable = self.unavailable.as_ref();
        unavailable.is_some_and(|unavailable| match slot {
            Slot::Bytes(start, end) => {
                let bytes = self.bytes.get(start as usize..end as usize);
                bytes.is_some_and(|bytes| unavailable.is_bytes(bytes))
            }
            _ => unavailable.is(slot, self.texts(text)),
        })
    }
}
