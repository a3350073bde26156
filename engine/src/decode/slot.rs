//! What a message says about a column, before the type of the column is looked at.
//!
//! A slot only remembers where in the message its text is, so slots live longer than messages and are used again for
//! the next one. Texts with escapes are written out to a scratch text; the message key goes there too.

use std::borrow::Cow;
use std::ops::Range;

use datafusion::arrow::datatypes::TimeUnit;

/// What is said about one column.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Slot {
    /// Nothing.
    #[default]
    Absent,
    Null,
    Bool(bool),
    /// A number as it is written.
    Number(Piece),
    Text(Piece),
    /// An object or a list as it is written.
    Nested(Piece),
    /// A whole number of a binary format.
    Int(i64),
    /// A number with a fraction of such a format.
    Float(f64),
    /// A point in time or a time of day of such a format.
    Moment(i64, TimeUnit),
    /// Date and time of no zone.
    Local(i64, TimeUnit),
    /// Days since 1970.
    Day(i64),
    /// Bytes by their place among those that were decoded.
    Bytes(u32, u32),
}

impl Slot {
    #[inline]
    pub(super) fn is_set(self) -> bool {
        !matches!(self, Self::Absent | Self::Null)
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) fn is_absent(self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// Where a text is: one number, for many are copied, and processors copy parts of a value slowly that they have just
/// written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece(u64);

/// Bits of a place in a text.
const PLACE: u32 = 31;
const PLACE_MAX: u64 = (1 << PLACE) - 1;

impl Piece {
    #[inline]
    pub(super) fn of_message(start: usize, end: usize) -> Self {
        Self::new(start, end, false)
    }

    /// Copies a text to the scratch text.
    pub(super) fn copy(text: &str, scratch: &mut String) -> Self {
        let start = scratch.len();
        scratch.push_str(text);
        Self::new(start, scratch.len(), true)
    }

    /// What was written to the scratch text.
    pub(super) fn of_scratch(start: usize, end: usize) -> Self {
        Self::new(start, end, true)
    }

    /// Lengths are checked when a message comes in, and the scratch text is bounded too.
    #[inline]
    fn new(start: usize, end: usize, in_scratch: bool) -> Self {
        let (start, end) = (start as u64 & PLACE_MAX, end as u64 & PLACE_MAX);
        Self(u64::from(in_scratch) << (2 * PLACE) | start << PLACE | end)
    }

    /// The places of the text among the bytes of the one that it is in.
    #[inline]
    pub(super) fn range(self) -> Range<usize> {
        (self.0 >> PLACE & PLACE_MAX) as usize..(self.0 & PLACE_MAX) as usize
    }

    fn is_in_scratch(self) -> bool {
        self.0 >> (2 * PLACE) != 0
    }
}

/// The texts that pieces are of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'a> {
    pub(super) message: &'a str,
    pub(super) scratch: &'a str,
}

impl<'a> Texts<'a> {
    #[inline]
    pub(super) fn get(self, piece: Piece) -> &'a str {
        let text = if piece.is_in_scratch() {
            self.scratch
        } else {
            self.message
        };
        text.get(piece.range()).unwrap_or_default()
    }

    /// The text of a slot, if it is a text.
    pub(super) fn text(self, slot: Slot) -> Option<&'a str> {
        match slot {
            Slot::Text(piece) => Some(self.get(piece)),
            _ => None,
        }
    }

    /// A slot as it would be written in JSON.
    pub(super) fn show(self, slot: Slot) -> &'a str {
        match slot {
            Slot::Absent => "nothing",
            Slot::Null => "null",
            Slot::Bool(true) => "true",
            Slot::Bool(false) => "false",
            Slot::Number(piece) | Slot::Text(piece) | Slot::Nested(piece) => self.get(piece),
            Slot::Int(_) | Slot::Float(_) | Slot::Moment(..) | Slot::Local(..) | Slot::Day(_) => "a number",
            Slot::Bytes(..) => "bytes",
        }
    }

    /// The same with numbers, for errors.
    pub(super) fn describe(self, slot: Slot) -> Cow<'a, str> {
        match slot {
            Slot::Int(value) | Slot::Moment(value, _) | Slot::Local(value, _) | Slot::Day(value) => {
                Cow::Owned(value.to_string())
            }
            Slot::Float(value) => Cow::Owned(value.to_string()),
            other => Cow::Borrowed(self.show(other)),
        }
    }
}
