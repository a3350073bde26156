//! The area under the receiver operating characteristic (ROC), of one pass in any order.
//!
//! It is the share of pairs of a row of the class and one that is not of it, of which the first has the greater score; equal scores
//! count half (Hanley and McNeil, "The meaning and use of the area under a ROC curve", 1982). Few rows keep their scores
//! and the area is exact. Of many, rows are counted by score: scores that have 12 bits of their lesser share in common,
//! p or 1 - p, are taken for equal, and so are all whose lesser share is below 2^-64.

use crate::bytes::{Reader, Writer, damaged};
use crate::error::Error;

/// Rows of a state between machines that keep their scores: 2 MiB.
const EACH_MAX: usize = 1 << 18;

/// Rows on one machine that keep their scores: 128 MiB.
const EACH_HERE_MAX: usize = 1 << 24;

/// Scores of rows, to be compared in pairs. Mergeable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Area(Scores);

#[derive(Debug, Clone, PartialEq)]
enum Scores {
    /// Of rows that are not of the class, and of those that are.
    Each([Vec<f64>; 2]),
    /// Numbers of both by score.
    Counted(Counts),
}

/// Bits of the digits by which scores of a page are told apart.
const PAGE_BITS: u32 = 12;
const PAGE: usize = 1 << PAGE_BITS;
/// Pages of all bins: an exponent of the lesser share, and which of both it is.
const PAGES: usize = 1 << 7;
/// The least share that is told apart from others, of the first page.
const LEAST_SHARE: f64 = 1.0 / (1_u128 << 64) as f64;

/// Numbers of rows that are not of the class, and of those that are, by bin. Pages, of 64 KiB, are made when they are needed.
#[derive(Debug, Clone, PartialEq)]
struct Counts(Vec<Option<Box<[[u64; 2]; PAGE]>>>);

impl Counts {
    fn new() -> Self {
        Self(vec![None; PAGES])
    }

    fn of(each: &[Vec<f64>; 2]) -> Self {
        let mut counts = Self::new();
        for (kind, scores) in each.iter().enumerate() {
            for score in scores {
                counts.at(bin(*score))[kind] += 1;
            }
        }
        counts
    }

    fn at(&mut self, bin: u32) -> &mut [u64; 2] {
        let page = self.0[(bin >> PAGE_BITS) as usize].get_or_insert_with(|| Box::new([[0; 2]; PAGE]));
        &mut page[bin as usize % PAGE]
    }

    /// Bins that rows are in, the least score first, and their numbers.
    fn bins(&self) -> impl Iterator<Item = (u32, [u64; 2])> {
        let pages = (0_u32..).zip(&self.0);
        let pages = pages.filter_map(|(number, page)| Some((number << PAGE_BITS, page.as_deref()?)));
        let bins = pages.flat_map(|(first, page)| (first..).zip(page.iter().copied()));
        bins.filter(|(_, counts)| *counts != [0; 2])
    }

    fn merge(&mut self, other: &Self) {
        for (bin, counts) in other.bins() {
            let own = self.at(bin);
            own[0] += counts[0];
            own[1] += counts[1];
        }
    }
}

impl Area {
    /// Of no rows.
    pub(crate) fn new() -> Self {
        Self(Scores::Each([Vec::new(), Vec::new()]))
    }

    /// Adds rows: their probabilities to be of the class, and whether they are.
    pub(crate) fn add(&mut self, rows: &[(f64, bool)]) {
        match &mut self.0 {
            Scores::Each(each) => {
                for (probability, is_of_class) in rows {
                    each[usize::from(*is_of_class)].push(*probability);
                }
                if each[0].len() + each[1].len() > EACH_MAX {
                    self.0 = Scores::Counted(Counts::of(each));
                }
            }
            // Nothing else in between, so that many of these are on their way to memory at once.
            Scores::Counted(counts) => {
                for (probability, is_of_class) in rows {
                    counts.at(bin(*probability))[usize::from(*is_of_class)] += 1;
                }
            }
        }
    }

    /// Adds the rows of another state.
    pub(crate) fn merge(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (Scores::Each(own), Scores::Each(others)) => {
                for (own, others) in own.iter_mut().zip(others) {
                    own.extend(others);
                }
                if own[0].len() + own[1].len() > EACH_HERE_MAX {
                    self.0 = Scores::Counted(Counts::of(own));
                }
            }
            (Scores::Counted(own), Scores::Each(others)) => own.merge(&Counts::of(others)),
            (Scores::Counted(own), Scores::Counted(others)) => own.merge(others),
            (Scores::Each(each), Scores::Counted(others)) => {
                let mut own = Counts::of(each);
                own.merge(others);
                self.0 = Scores::Counted(own);
            }
        }
    }

    /// The area; none without rows of both kinds.
    pub(crate) fn value(&self) -> Option<f64> {
        let places = match &self.0 {
            Scores::Each(each) => places_of(each),
            Scores::Counted(counts) => counts.bins().map(|(_, counts)| counts).collect(),
        };
        let (mut below, mut of_class, mut twice) = (0_u64, 0_u64, 0_u128);
        for [others, own] in places {
            twice += u128::from(own) * (2 * u128::from(below) + u128::from(others));
            below += others;
            of_class += own;
        }
        let pairs = u128::from(below) * u128::from(of_class);
        (pairs > 0).then(|| twice as f64 / (2.0 * pairs as f64))
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        match &self.0 {
            Scores::Each(each) => 8 * each.iter().map(Vec::capacity).sum::<usize>(),
            Scores::Counted(Counts(pages)) => 8 * pages.len() + 16 * PAGE * pages.iter().flatten().count(),
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        match &self.0 {
            Scores::Each(each) if each[0].len() + each[1].len() <= EACH_MAX => {
                writer.whole(0);
                for scores in each {
                    writer.whole(scores.len() as u64).numbers(scores);
                }
            }
            Scores::Each(each) => write_counts(&Counts::of(each), writer),
            Scores::Counted(counts) => write_counts(counts, writer),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        match reader.whole()? {
            0 => {
                let mut each = [Vec::new(), Vec::new()];
                for scores in &mut each {
                    let length = reader.length()?;
                    *scores = reader.numbers(length)?;
                }
                Ok(Self(Scores::Each(each)))
            }
            1 => {
                let mut counts = Counts::new();
                for _ in 0..reader.length()? {
                    let bin = u32::try_from(reader.whole()?).ok();
                    let bin = bin
                        .filter(|bin| bin >> PAGE_BITS < PAGES as u32)
                        .ok_or_else(damaged)?;
                    *counts.at(bin) = [reader.count()?, reader.count()?];
                }
                Ok(Self(Scores::Counted(counts)))
            }
            _ => Err(damaged()),
        }
    }
}

fn write_counts(counts: &Counts, writer: &mut Writer) {
    writer.whole(1).whole(counts.bins().count() as u64);
    for (bin, [others, own]) in counts.bins() {
        writer.whole(u64::from(bin)).whole(others).whole(own);
    }
}

/// The place of a probability: greater ones have greater places, and both ends are told apart as finely.
fn bin(probability: f64) -> u32 {
    const GREATEST: u32 = (PAGES * PAGE - 1) as u32;
    // Exponent and first digits.
    let digits = |share: f64| (share.to_bits() >> (52 - PAGE_BITS)) as u32;
    // One way for both, which nobody can foretell.
    let is_lesser = probability < 0.5;
    let share = if is_lesser { probability } else { 1.0 - probability };
    let place = digits(share.max(LEAST_SHARE)) - digits(LEAST_SHARE);
    if is_lesser { place } else { GREATEST - place }
}

/// Numbers of both kinds at each score, the least score first.
fn places_of(each: &[Vec<f64>; 2]) -> Vec<[u64; 2]> {
    let mut all: Vec<(f64, usize)> = Vec::with_capacity(each[0].len() + each[1].len());
    for (kind, scores) in each.iter().enumerate() {
        all.extend(scores.iter().map(|score| (*score, kind)));
    }
    all.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let equal = all.chunk_by(|one, other| one.0 == other.0);
    equal
        .map(|rows| {
            let own = rows.iter().filter(|(_, kind)| *kind == 1).count() as u64;
            [rows.len() as u64 - own, own]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn of(rows: &[(f64, bool)]) -> Area {
        let mut area = Area::new();
        rows.chunks(1000).for_each(|rows| area.add(rows));
        area
    }

    fn by_pairs(rows: &[(f64, bool)]) -> f64 {
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (own, _) in rows.iter().filter(|row| row.1) {
            for (other, _) in rows.iter().filter(|row| !row.1) {
                pairs += 1.0;
                sum += if own > other {
                    1.0
                } else if own == other {
                    0.5
                } else {
                    0.0
                };
            }
        }
        sum / pairs
    }

    fn random(count: usize, seed: u64, digits: f64) -> Vec<(f64, bool)> {
        let mut random = Random::new(seed);
        let row = |_| {
            let score = random.share();
            let is_of_class = random.share() < score;
            ((score * digits).round() / digits, is_of_class)
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn it_is_the_share_of_pairs_in_order() {
        for digits in [3.0, 1e3, 1e15] {
            let rows = random(400, 7, digits);
            let (one, two) = rows.split_at(150);
            let mut area = of(one);
            area.merge(&of(two));
            assert!((area.value().unwrap() - by_pairs(&rows)).abs() < 1e-12);
        }
    }

    #[test]
    fn without_both_kinds_there_is_none() {
        assert_eq!(Area::new().value(), None);
        assert_eq!(of(&[(0.5, true), (0.1, true)]).value(), None);
    }

    #[test]
    fn many_rows_are_counted_by_score() {
        let rows = random(EACH_MAX + 10, 3, 1e15);
        let exact = Area(Scores::Each([
            rows.iter().filter(|row| !row.1).map(|row| row.0).collect(),
            rows.iter().filter(|row| row.1).map(|row| row.0).collect(),
        ]));
        let counted = of(&rows);
        assert!(matches!(counted.0, Scores::Counted(_)));
        let (exact, counted) = (exact.value().unwrap(), counted.value().unwrap());
        assert!((exact - counted).abs() < 1e-7, "{exact} {counted}");
    }

    #[test]
    fn counts_are_merged_and_written_as_they_are() {
        let rows = random(2 * EACH_MAX + 10, 5, 1e15);
        let whole = of(&rows);
        let (one, two) = rows.split_at(EACH_MAX + 5);
        let (few, most) = rows.split_at(100);
        for (one, two) in [(one, two), (few, most), (most, few)] {
            let mut merged = of(one);
            merged.merge(&of(two));
            assert_eq!(merged.value(), whole.value());
        }
        let mut writer = Writer::new(b'a', 1);
        whole.write(&mut writer);
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes, b'a', 1).unwrap();
        assert_eq!(Area::read(&mut reader).unwrap(), whole);
    }

    #[test]
    fn every_probability_has_a_bin() {
        for probability in [0.0, -0.0, 5e-324, 1e-300, 0.5, 1.0 - f64::EPSILON, 1.0, f64::NAN] {
            assert!(
                ((bin(probability) >> PAGE_BITS) as usize) < PAGES,
                "{probability}"
            );
        }
        assert_eq!(bin(0.0), 0);
        assert_eq!(bin(1.0), (PAGES * PAGE - 1) as u32);
    }

    #[test]
    fn ends_are_told_apart_as_finely_as_each_other() {
        let mut places: Vec<f64> = (0..40).map(|power| 0.5_f64.powi(power + 1)).collect();
        places.extend(places.clone().iter().map(|place| 1.0 - place));
        places.push(0.0);
        places.push(1.0);
        places.sort_unstable_by(f64::total_cmp);
        places.dedup();
        assert!(places.windows(2).all(|pair| bin(pair[0]) < bin(pair[1])));
    }
}
