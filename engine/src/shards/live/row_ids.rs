//! Numbers of rows. A row gets one with its batch and keeps it when its segment is joined with others, so that the index
//! need not be touched then: it knows numbers only, and a segment knows where in it the row of a number is.

/// Numbers of a segment for each of its rows, at most: beyond that the rows get new numbers.
const SPARSE: u64 = 8;
const WORD_BITS: u64 = u64::BITS as u64;

/// The number of a row in its shard. It is never given to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowId(pub(super) u64);

/// The numbers of the rows of a segment, in the order of the rows, which is theirs.
#[derive(Debug)]
pub(super) struct RowIds {
    first: u64,
    /// Behind the last one.
    end: u64,
    /// A bit for each number from the first on that a row has; empty if every number has one.
    words: Vec<u64>,
    /// Rows before each word.
    before: Vec<u32>,
}

impl RowIds {
    /// Of rows of which each has the number after that of the row before it.
    pub(super) fn contiguous(first: u64, rows: usize) -> Self {
        Self {
            first,
            end: first + rows as u64,
            words: Vec::new(),
            before: Vec::new(),
        }
    }

    /// Of so many rows with these numbers, which ascend. `None` if there are too many others between them.
    pub(super) fn ascending(rows: usize, mut ids: impl Iterator<Item = u64>, end: u64) -> Option<Self> {
        let Some(first) = ids.next() else {
            return Some(Self::contiguous(end, 0));
        };
        let span = end - first;
        if span == rows as u64 {
            return Some(Self::contiguous(first, rows));
        }
        if span > rows as u64 * SPARSE {
            return None;
        }
        let mut words = vec![0; span.div_ceil(WORD_BITS) as usize];
        for id in std::iter::once(first).chain(ids) {
            let place = id - first;
            words[(place / WORD_BITS) as usize] |= 1 << (place % WORD_BITS);
        }
        let count = |rows: &mut u32, word: &u64| {
            let before = *rows;
            *rows += word.count_ones();
            Some(before)
        };
        let before = words.iter().scan(0, count).collect();
        Some(Self {
            first,
            end,
            words,
            before,
        })
    }

    /// The first number.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number behind the last one.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.words) + size_of_val(&*self.before)
    }

    /// Which row has a number.
    pub(super) fn row(&self, RowId(id): RowId) -> Option<usize> {
        if id < self.first || id >= self.end {
            return None;
        }
        let place = id - self.first;
        if self.words.is_empty() {
            return Some(place as usize);
        }
        let at = (place / WORD_BITS) as usize;
        let (word, bit) = (self.words[at], 1 << (place % WORD_BITS));
        let within = (word & (bit - 1)).count_ones();
        (word & bit != 0).then(|| (self.before[at] + within) as usize)
    }

    /// The numbers, row by row.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        let all = if self.words.is_empty() {
            self.first..self.end
        } else {
            0..0
        };
        let words = self.words.iter().zip((self.first..).step_by(WORD_BITS as usize));
        all.chain(words.flat_map(|(word, base)| ones(*word).map(move |bit| base + bit)))
    }
}

/// Places of the bits of a word that are set.
fn ones(word: u64) -> impl Iterator<Item = u64> {
    let mut left = word;
    std::iter::from_fn(move || {
        let bit = left.trailing_zeros();
        (left != 0).then(|| {
            left &= left - 1;
            u64::from(bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_row_is_found_by_its_number(gaps in proptest::collection::vec(1..12u64, 0..300), start in 0..1000u64) {
            let numbers: Vec<u64> = gaps.iter().scan(start, |at, gap| { *at += gap; Some(*at) }).collect();
            let end = numbers.last().map_or(start, |last| last + 1);
            let span = end - numbers.first().unwrap_or(&end);
            let ids = RowIds::ascending(numbers.len(), numbers.iter().copied(), end);
            prop_assert_eq!(ids.is_none(), span > SPARSE * numbers.len() as u64);
            let Some(ids) = ids else { return Ok(()) };
            prop_assert_eq!(ids.iter().collect::<Vec<_>>(), numbers.clone());
            for id in start.saturating_sub(3)..end + 70 {
                prop_assert_eq!(ids.row(RowId(id)), numbers.binary_search(&id).ok());
            }
        }
    }
}
