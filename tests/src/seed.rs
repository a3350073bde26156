//! Randomness that can be had again.

use anyhow::{Context, Result};

/// The seed of a test: `MILLPOND_SEED`, else a new one. It is printed, so that what failed can be repeated.
///
/// # Errors
/// `MILLPOND_SEED` is no number.
pub fn seed() -> Result<u64> {
    let seed = match std::env::var("MILLPOND_SEED") {
        Ok(seed) => seed.parse().context("MILLPOND_SEED")?,
        Err(_) => rand::random(),
    };
    eprintln!("MILLPOND_SEED={seed}");
    Ok(seed)
}
