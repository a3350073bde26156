//! A whole data set as a list of blocks, each of which can be made alone.

use rand::Rng;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::customer::Customer;
use super::dirt::dirty_block;
use super::draw::draw_customer;

/// Rows of a block, as many as the well-known file has. The last block may have fewer.
pub(super) const BLOCK_ROWS: usize = 2240;

/// An ID is drawn from this many, so that IDs have gaps as in the well-known file.
const IDS_PER_ROW: u32 = 5;

/// Most rows of a data set: their IDs stay below 2^31.
pub(super) const ROWS_MAX: u64 = 400_000_000;

/// What the user asked for; decides every byte of the rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct DataSet {
    /// At most [`ROWS_MAX`].
    pub(super) rows: u64,
    pub(super) seed: u64,
}

impl DataSet {
    pub(super) fn blocks(&self) -> u64 {
        self.rows.div_ceil(BLOCK_ROWS as u64)
    }

    /// Makes the rows of one block. IDs are unique in the whole data set, but for exact copies of rows.
    pub(super) fn block(&self, index: u64) -> Vec<Customer> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(index);
        let first_row = index * BLOCK_ROWS as u64;
        let n_rows = (self.rows - first_row).min(BLOCK_ROWS as u64) as u32;
        let mut slots: Vec<u32> = (0..n_rows).collect();
        slots.shuffle(&mut rng);
        let first_id = first_row as u32 * IDS_PER_ROW;
        let mut rows: Vec<Customer> = slots
            .into_iter()
            .map(|slot| {
                let id = first_id + slot * IDS_PER_ROW + rng.random_range(0..IDS_PER_ROW);
                draw_customer(&mut rng, id)
            })
            .collect();
        dirty_block(&mut rng, &mut rows);
        rows
    }
}

#[cfg(test)]
mod tests;
