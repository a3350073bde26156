//! Where the values of a column lie and how far they spread.

use serde::{Deserialize, Serialize};

/// Mean and standard deviation of a column.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// The mean, in the unit of the column.
    pub mean: f64,
    /// The deviation of all rows (divided by their number, as scikit-learn's `StandardScaler`), in the unit of the column;
    /// 0 if the column is constant.
    pub deviation: f64,
}

impl Scale {
    /// By what values are divided: 1 for a constant.
    pub fn divisor(&self) -> f64 {
        match self.deviation > 0.0 {
            true => self.deviation,
            false => 1.0,
        }
    }
}
