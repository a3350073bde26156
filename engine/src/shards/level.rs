//! Where the rows of a table are kept.

use std::str::FromStr;

use crate::error::Error;

/// Whether shards are in memory, may leave it, or are not in it at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StorageLevel {
    /// In memory; a statement that finds no room for them fails.
    Memory,
    /// In memory, and on the local disk of the executor when that is full.
    #[default]
    MemoryAndDisk,
    /// On the local disk of the executor.
    Disk,
}

impl FromStr for StorageLevel {
    type Err = Error;

    /// Reads `memory`, `memory_and_disk` or `disk`; nothing is the default.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "memory" => Ok(Self::Memory),
            "" | "memory_and_disk" => Ok(Self::MemoryAndDisk),
            "disk" => Ok(Self::Disk),
            other => Err(Error::bug(format!("'{other}' is no storage level"))),
        }
    }
}
