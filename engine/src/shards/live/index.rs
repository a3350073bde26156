//! Which row each key has.
//!
//! A table of keys that grows is copied, which takes the longer the more it has; so there are many small ones, and
//! none of them stops the stream for long.

use std::hash::BuildHasher;

use datafusion::arrow::row::Row;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::row_ids::RowId;

/// Tables by hash.
const TABLES: usize = 256;
/// Which bits of a hash choose the table: others than those that choose a place in it.
const TABLE_SHIFT: u32 = 40;
/// Bytes of an entry, beside a key that is long, about: tables are between half and seven eighths full, with a byte for each
/// place.
const ENTRY_BYTES: usize = (size_of::<Entry<ShortKey>>() + 1) * 3 / 2;
/// Bytes of keys that lie in their entries.
const SHORT_MAX: usize = 15;

/// See the module. Keys are rows of the key columns in a form that can be compared byte by byte. Most are short: whoever
/// finds the entry has found the key.
pub(super) struct KeyIndex {
    hasher: DefaultHashBuilder,
    short: Tables<ShortKey>,
    long: Tables<Box<[u8]>>,
    /// Bytes of long keys.
    long_bytes: usize,
}

/// Tables of keys of one form.
struct Tables<K> {
    tables: Vec<HashTable<Entry<K>>>,
    keys: usize,
}

struct Entry<K> {
    key: K,
    row: RowId,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct ShortKey {
    bytes: [u8; SHORT_MAX],
    length: u8,
}

impl ShortKey {
    /// `None` if the key is long.
    fn of(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; SHORT_MAX];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        let length = key.len() as u8;
        Some(Self { bytes, length })
    }
}

impl AsRef<[u8]> for ShortKey {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl KeyIndex {
    pub(super) fn new() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            short: Tables::new(),
            long: Tables::new(),
            long_bytes: 0,
        }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        (self.short.keys + self.long.keys) * ENTRY_BYTES + self.long_bytes
    }

    /// Bytes that so many more keys will take, at most.
    pub(super) fn bytes_for(keys: usize, key_bytes: usize) -> usize {
        keys * ENTRY_BYTES + key_bytes
    }

    /// The row of this key.
    pub(super) fn get(&self, key: &[u8]) -> Option<RowId> {
        let hash = self.hasher.hash_one(key);
        match ShortKey::of(key) {
            Some(short) => self.short.get(hash, |known| *known == short),
            None => self.long.get(hash, |known| **known == *key),
        }
    }

    /// Looks up keys that are about to be changed. Lookups that do not wait for each other wait for memory together; a change
    /// waits alone, but finds its entry near then.
    pub(super) fn fetch<'k>(&self, keys: impl Iterator<Item = Row<'k>>) {
        for key in keys {
            std::hint::black_box(self.get(key.as_ref()));
        }
    }

    /// This is the row of this key now; the answer is the one it had.
    pub(super) fn put(&mut self, key: &[u8], row: RowId) -> Option<RowId> {
        let hasher = &self.hasher;
        let hash = hasher.hash_one(key);
        match ShortKey::of(key) {
            Some(short) => {
                let entry = Entry { key: short, row };
                self.short.put(hasher, hash, entry, |known| *known == short)
            }
            None => {
                let entry = Entry {
                    key: Box::from(key),
                    row,
                };
                let old = self.long.put(hasher, hash, entry, |known| **known == *key);
                self.long_bytes += if old.is_none() { key.len() } else { 0 };
                old
            }
        }
    }

    /// There is no row of this key any more; the answer is the one it had.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<RowId> {
        let hash = self.hasher.hash_one(key);
        match ShortKey::of(key) {
            Some(short) => self.short.remove(hash, |known| *known == short),
            None => {
                let old = self.long.remove(hash, |known| **known == *key);
                self.long_bytes -= if old.is_some() { key.len() } else { 0 };
                old
            }
        }
    }
}

impl<K: AsRef<[u8]>> Tables<K> {
    fn new() -> Self {
        Self {
            tables: std::iter::repeat_with(HashTable::new).take(TABLES).collect(),
            keys: 0,
        }
    }

    fn table(hash: u64) -> usize {
        (hash >> TABLE_SHIFT) as usize % TABLES
    }

    fn get(&self, hash: u64, is_it: impl Fn(&K) -> bool) -> Option<RowId> {
        let entry = self.tables[Self::table(hash)].find(hash, |entry| is_it(&entry.key));
        entry.map(|entry| entry.row)
    }

    fn put(
        &mut self,
        hasher: &DefaultHashBuilder,
        hash: u64,
        entry: Entry<K>,
        is_it: impl Fn(&K) -> bool,
    ) -> Option<RowId> {
        let table = &mut self.tables[Self::table(hash)];
        if let Some(known) = table.find_mut(hash, |entry| is_it(&entry.key)) {
            return Some(std::mem::replace(&mut known.row, entry.row));
        }
        table.insert_unique(hash, entry, |entry| hasher.hash_one(entry.key.as_ref()));
        self.keys += 1;
        None
    }

    fn remove(&mut self, hash: u64, is_it: impl Fn(&K) -> bool) -> Option<RowId> {
        let table = &mut self.tables[Self::table(hash)];
        let entry = table.find_entry(hash, |entry| is_it(&entry.key)).ok()?;
        let (entry, _) = entry.remove();
        self.keys -= 1;
        Some(entry.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_where_they_were_put_last() {
        let mut index = KeyIndex::new();
        let id = |number: u32| RowId(number.into());
        for number in 0..10_000u32 {
            assert_eq!(index.put(&number.to_be_bytes(), id(number)), None);
        }
        for number in (0..10_000u32).step_by(3) {
            assert_eq!(index.remove(&number.to_be_bytes()), Some(id(number)));
            assert_eq!(index.remove(&number.to_be_bytes()), None);
        }
        assert_eq!(index.put(&1u32.to_be_bytes(), id(0)), Some(id(1)));
        assert_eq!(index.put(&1u32.to_be_bytes(), id(1)), Some(id(0)));
        assert_eq!(index.bytes(), 6_666 * ENTRY_BYTES);
    }

    #[test]
    fn keys_of_any_length_are_others() {
        let mut index = KeyIndex::new();
        let id = |row: usize| RowId(row as u64);
        let keys: Vec<Vec<u8>> = (0..40).map(|length| vec![0; length]).collect();
        for (row, key) in keys.iter().enumerate() {
            assert_eq!(index.put(key, id(row)), None);
        }
        let long = || keys.iter().map(Vec::len).filter(|length| *length > SHORT_MAX);
        assert_eq!(index.bytes(), 40 * ENTRY_BYTES + long().sum::<usize>());
        for (row, key) in keys.iter().enumerate() {
            assert_eq!(index.get(key), Some(id(row)));
            assert_eq!(index.put(key, id(row + 1)), Some(id(row)));
            assert_eq!(index.remove(key), Some(id(row + 1)));
            assert_eq!(index.get(key), None);
        }
        assert_eq!(index.bytes(), 0);
    }
}
