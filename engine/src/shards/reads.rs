//! How many shards were read where they are: counted by the scans, added up from their metrics.

use std::fmt;
use std::iter::Sum;

use datafusion::physical_plan::metrics::MetricsSet;

/// The metric of a scan for shards that the executor holds itself.
pub(super) const LOCAL: &str = "shards_local";
/// The metric of a scan for shards that another executor holds.
pub(super) const REMOTE: &str = "shards_remote";
/// The metric of a scan for shards that another executor holds, of which this one has kept the columns.
pub(super) const CACHED: &str = "shards_cached";

/// Shards that were opened, by where they were. One of which tasks read parts counts for each part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardsRead {
    /// Read on the executor that holds them.
    pub local: u64,
    /// Read from another executor.
    pub remote: u64,
    /// Of another executor, but read from columns that were kept.
    pub cached: u64,
}

impl ShardsRead {
    /// Adds up the scans among these operators.
    pub fn of(operators: &[MetricsSet]) -> Self {
        let sum = |name| {
            let counts = operators.iter().filter_map(|metrics| metrics.sum_by_name(name));
            counts.map(|count| count.as_usize() as u64).sum()
        };
        Self {
            local: sum(LOCAL),
            remote: sum(REMOTE),
            cached: sum(CACHED),
        }
    }

    /// All of them.
    pub fn total(self) -> u64 {
        self.local + self.remote + self.cached
    }
}

impl Sum for ShardsRead {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            local: sum.local + one.local,
            remote: sum.remote + one.remote,
            cached: sum.cached + one.cached,
        })
    }
}

impl fmt::Display for ShardsRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} read where they are", self.local, self.total())?;
        match self.cached {
            0 => Ok(()),
            cached => write!(f, ", {cached} from columns kept here"),
        }
    }
}
