//! Rows of a shard that are no longer those of its table.
//!
//! `DELETE` and `UPDATE` leave shards as they are. The catalog notes which of their rows are gone, as a roaring bitmap of
//! places (Lemire and others, <https://roaringbitmap.org>), and every read passes over them. A shard of which too much is
//! gone is written anew.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, BooleanBufferBuilder};
use roaring::RoaringBitmap;

use crate::error::Error;

/// Places of deleted rows in a shard, from 0. Cheap to clone.
#[derive(Clone, Default, PartialEq)]
pub struct Deleted(Arc<RoaringBitmap>);

impl fmt::Debug for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deleted").field("rows", &self.rows()).finish()
    }
}

impl Deleted {
    /// These rows.
    pub fn new(mut rows: RoaringBitmap) -> Self {
        rows.optimize();
        Self(Arc::new(rows))
    }

    /// Reads what [`Deleted::to_bytes`] has written.
    ///
    /// # Errors
    /// Bytes that are no bitmap.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let rows = RoaringBitmap::deserialize_from(bytes);
        let rows = rows.map_err(|error| Error::bug(format!("deleted rows cannot be read: {error}")))?;
        Ok(Self(Arc::new(rows)))
    }

    /// As the catalog has them; nothing if there are none.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.0.is_empty() {
            bytes.reserve_exact(self.0.serialized_size());
            // A vector takes all bytes that there are.
            let _ = self.0.serialize_into(&mut bytes);
        }
        bytes
    }

    /// True if all rows are there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.0.len()
    }

    /// These and other rows.
    pub fn and(&self, more: &RoaringBitmap) -> Self {
        Self::new(self.0.as_ref() | more)
    }

    /// All rows of a shard of `rows` rows but a few.
    pub fn all_but(few: &RoaringBitmap, rows: u64) -> Self {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..u32::try_from(rows).unwrap_or(u32::MAX));
        Self::new(all - few)
    }

    /// A bit for each of some rows, set if it is there; `None` if all are.
    pub(super) fn alive(&self, rows: Range<usize>) -> Option<BooleanArray> {
        let place = |row: usize| u32::try_from(row).unwrap_or(u32::MAX);
        let mut gone = self.0.range(place(rows.start)..place(rows.end)).peekable();
        gone.peek()?;
        let mut alive = BooleanBufferBuilder::new(rows.len());
        alive.append_n(rows.len(), true);
        for row in gone {
            alive.set_bit(row as usize - rows.start, false);
        }
        Some(BooleanArray::from(alive.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(rows: impl IntoIterator<Item = u32>) -> RoaringBitmap {
        rows.into_iter().collect()
    }

    #[test]
    fn rows_are_the_same_after_being_stored_and_few_in_a_row_are_few_bytes() {
        let rows = Deleted::new(some((0..100_000).chain([200_000, 300_001])));
        let bytes = rows.to_bytes();
        assert!(bytes.len() < 100, "{} bytes", bytes.len());
        assert_eq!(Deleted::from_bytes(&bytes).unwrap(), rows);
        assert_eq!(Deleted::from_bytes(&[]).unwrap(), Deleted::default());
        assert!(Deleted::default().to_bytes().is_empty());
        assert!(Deleted::from_bytes(&[1, 2, 3]).is_err());
    }

    #[test]
    fn the_rest_of_a_few_are_all_others() {
        let rest = Deleted::all_but(&some([0, 7]), 10);
        assert_eq!(rest.0.iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 8, 9]);
        assert_eq!(rest.and(&some([7])).rows(), 9);
    }

    #[test]
    fn a_bit_says_whether_a_row_is_there() {
        let rows = Deleted::new(some([3, 8, 9, 64, 1000]));
        assert_eq!(rows.alive(10..64), None);
        for range in [0..10, 3..4, 5..70, 999..1024] {
            let alive = rows.alive(range.clone()).unwrap();
            let expected: Vec<bool> = range.map(|row| !rows.0.contains(row as u32)).collect();
            assert_eq!(alive, BooleanArray::from(expected));
        }
    }
}
