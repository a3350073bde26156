//! Rows that come late: when they are applied, their event time is below the watermark.
//!
//! The watermark of a topic partition is its greatest event time so far, less a delay. Late rows are rows like others; they are
//! only counted, so that one can see how much to wait for a window to be complete.

use datafusion::arrow::error::ArrowError;
use millpond_engine::decode::{Changes, Kind};
use millpond_engine::shards::times;
use millpond_engine::streams::EventTime;

/// See the module. Times are milliseconds since the Unix epoch.
#[derive(Debug)]
pub(super) struct Lateness {
    place: usize,
    delay_ms: i64,
    newest: Option<i64>,
}

impl Lateness {
    /// Goes on from the greatest event time that was seen.
    pub(super) fn new(time: EventTime, newest: Option<i64>) -> Self {
        Self {
            place: time.place,
            delay_ms: i64::try_from(time.delay.as_millis()).unwrap_or(i64::MAX),
            newest,
        }
    }

    /// The greatest event time so far.
    pub(super) fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// No more rows are expected from before this time.
    pub(super) fn watermark(&self) -> Option<i64> {
        self.newest.map(|newest| newest.saturating_sub(self.delay_ms))
    }

    /// Takes in the rows that are put, in their order, and says how many are late.
    pub(super) fn count(&mut self, changes: &Changes) -> Result<u64, ArrowError> {
        let times = times(changes.rows.column(self.place))
            .map_err(|error| ArrowError::ExternalError(error.into()))?;
        let mut late = 0;
        for (time, kind) in times.into_iter().zip(&changes.kinds) {
            let (Some(time), Kind::Put | Kind::Merge(_)) = (time, kind) else {
                continue;
            };
            late += u64::from(self.watermark().is_some_and(|watermark| time < watermark));
            self.newest = self.newest.max(Some(time));
        }
        Ok(late)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use datafusion::arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};

    use super::*;

    fn puts(times: &[Option<i64>]) -> Changes {
        let column: ArrayRef = Arc::new(TimestampMillisecondArray::from(times.to_vec()));
        Changes {
            rows: RecordBatch::try_from_iter_with_nullable([("at", column, true)]).unwrap(),
            kinds: vec![Kind::Put; times.len()],
            messages: (0..times.len() as u32).collect(),
        }
    }

    #[test]
    fn a_row_below_the_watermark_is_late() {
        let time = EventTime {
            place: 0,
            delay: Duration::from_millis(5),
        };
        let mut lateness = Lateness::new(time, None);
        let late = lateness.count(&puts(&[
            Some(10),
            Some(5),
            Some(4),
            None,
            Some(20),
            Some(14),
            Some(15),
        ]));
        assert_eq!(late.unwrap(), 2);
        assert_eq!((lateness.newest(), lateness.watermark()), (Some(20), Some(15)));
        let mut restored = Lateness::new(time, lateness.newest());
        assert_eq!(restored.count(&puts(&[Some(14), Some(16)])).unwrap(), 1);
    }
}
