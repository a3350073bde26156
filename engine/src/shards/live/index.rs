//! Where the row of each key is.
//!
//! A table of keys that grows is copied, which takes the longer the more it has; so there are many small ones, and
//! none of them stops the stream for long.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Tables by hash.
const TABLES: usize = 256;
/// Which bits of a hash choose the table: others than those that choose a place in it.
const TABLE_SHIFT: u32 = 40;
/// Bytes of an entry beside its key, about: tables are between half and seven eighths full, with a byte for each place.
const ENTRY_BYTES: usize = (size_of::<Entry>() + 1) * 3 / 2;

/// A row of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) row: u32,
}

struct Entry {
    key: Box<[u8]>,
    place: Place,
}

/// See the module. Keys are rows of the key columns in a form that can be compared byte by byte.
pub(super) struct KeyIndex {
    hasher: DefaultHashBuilder,
    tables: Vec<HashTable<Entry>>,
    keys: usize,
    key_bytes: usize,
}

impl KeyIndex {
    pub(super) fn new() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            tables: std::iter::repeat_with(HashTable::new).take(TABLES).collect(),
            keys: 0,
            key_bytes: 0,
        }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.keys * ENTRY_BYTES + self.key_bytes
    }

    /// Bytes that so many more keys will take, at most.
    pub(super) fn bytes_for(keys: usize, key_bytes: usize) -> usize {
        keys * ENTRY_BYTES + key_bytes
    }

    fn table(hash: u64) -> usize {
        (hash >> TABLE_SHIFT) as usize % TABLES
    }

    /// Where the row of this key is.
    pub(super) fn get(&self, key: &[u8]) -> Option<Place> {
        let hash = self.hasher.hash_one(key);
        let entry = self.tables[Self::table(hash)].find(hash, |entry| *entry.key == *key);
        entry.map(|entry| entry.place)
    }

    /// The row of this key is here now; the answer is where it was.
    pub(super) fn put(&mut self, key: &[u8], place: Place) -> Option<Place> {
        let hash = self.hasher.hash_one(key);
        let table = &mut self.tables[Self::table(hash)];
        if let Some(entry) = table.find_mut(hash, |entry| *entry.key == *key) {
            return Some(std::mem::replace(&mut entry.place, place));
        }
        let hasher = &self.hasher;
        let entry = Entry {
            key: key.into(),
            place,
        };
        table.insert_unique(hash, entry, |entry| hasher.hash_one(&*entry.key));
        self.keys += 1;
        self.key_bytes += key.len();
        None
    }

    /// There is no row of this key any more; the answer is where it was.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Place> {
        let hash = self.hasher.hash_one(key);
        let table = &mut self.tables[Self::table(hash)];
        let entry = table.find_entry(hash, |entry| *entry.key == *key).ok()?;
        let (entry, _) = entry.remove();
        self.keys -= 1;
        self.key_bytes -= key.len();
        Some(entry.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_where_they_were_put_last() {
        let mut index = KeyIndex::new();
        let place = |number: u32| Place {
            segment: number / 7,
            row: number,
        };
        for number in 0..10_000u32 {
            assert_eq!(index.put(&number.to_be_bytes(), place(number)), None);
        }
        for number in (0..10_000u32).step_by(3) {
            assert_eq!(index.remove(&number.to_be_bytes()), Some(place(number)));
            assert_eq!(index.remove(&number.to_be_bytes()), None);
        }
        assert_eq!(index.put(&1u32.to_be_bytes(), place(0)), Some(place(1)));
        assert_eq!(index.put(&1u32.to_be_bytes(), place(1)), Some(place(0)));
        assert_eq!(index.keys, 6_666);
        assert_eq!(index.key_bytes, 4 * 6_666);
    }
}
