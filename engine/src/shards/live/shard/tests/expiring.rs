//! Rows that go by themselves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use datafusion::arrow::array::TimestampMillisecondArray;
use datafusion::arrow::datatypes::TimeUnit;

use super::*;
use crate::shards::live::table::Expiry;

fn at(second: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second as u64)
}

/// A shard whose rows go after 80 s.
fn expiring(store: &Arc<ShardStore>, segment_rows: usize) -> LiveShard {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let table = LiveTable {
        schema: Arc::new(Schema::new(vec![Field::new("at", time, true)])),
        expiry: Some(Expiry {
            place: 0,
            after: Duration::from_secs(80),
        }),
        ..table(&[])
    };
    let mut live = LiveShard::new(store.clone(), table, 0).unwrap();
    live.segment_rows = segment_rows;
    live
}

fn rows_at(live: &LiveShard, seconds: impl Iterator<Item = i64>) -> Changes {
    let times: TimestampMillisecondArray = seconds.map(|second| Some(second * 1000)).collect();
    let rows = times.len();
    Changes {
        rows: RecordBatch::try_new(live.schema().clone(), vec![Arc::new(times)]).unwrap(),
        kinds: vec![Kind::Put; rows],
        messages: (0..rows as u32).collect(),
    }
}

#[test]
fn rows_stay_as_long_as_they_must_and_not_much_longer() {
    let store = store(usize::MAX);
    let mut live = expiring(&store, 1000);
    for second in 0..400 {
        live.apply(&rows_at(&live, std::iter::repeat_n(second, 5)))
            .unwrap();
        live.expire(at(second)).unwrap();
        live.publish(second as u64);
        let rows = live.views().read().rows() as i64;
        let least = 5 * (second + 1).min(81);
        assert!(
            (least..=least + 5 * 11).contains(&rows),
            "{rows} rows at second {second}"
        );
        assert!(live.segments.len() < 40, "{} segments", live.segments.len());
    }
    assert!(live.expire(at(481)).unwrap());
    assert!(live.segments.is_empty());
    assert!(!live.expire(at(500)).unwrap());
}

#[test]
fn the_oldest_rows_make_room() {
    let store = store(usize::MAX);
    let mut live = expiring(&store, 100);
    for second in 0..50 {
        live.apply(&rows_at(&live, std::iter::repeat_n(20 * second, 60)))
            .unwrap();
    }
    let bytes = live.bytes();
    let shrink = |live: &mut LiveShard, max: usize| {
        live.table.bytes_max = Some(max);
        live.shrink().unwrap()
    };
    assert!(!shrink(&mut live, bytes));
    assert!(shrink(&mut live, bytes / 2));
    assert!(live.bytes() <= bytes / 2 && live.bytes() > bytes / 4);
    shrink(&mut live, 0);
    assert_eq!(live.segments.len(), 1);
    assert_eq!(live.segments[0].rows(), 1);
    assert_eq!(live.segments[0].newest(), Some(49 * 20 * 1000));
}

#[test]
fn a_shard_is_no_larger_than_it_may_be_whatever_its_batches() {
    let store = store(usize::MAX);
    for batch in [1, 50, 5000] {
        let mut live = LiveShard::new(store.clone(), table(&[]), 0).unwrap();
        live.table.bytes_max = Some(100_000);
        for first in 0..20_000 / batch {
            live.apply(&puts(first * batch..(first + 1) * batch)).unwrap();
            live.shrink().unwrap();
            assert!(live.bytes() <= 100_000, "{} bytes", live.bytes());
            assert!(live.segments.len() < 40, "{} segments", live.segments.len());
        }
        live.publish(20_000);
        let rows = rows(store.pin(&live.views().read().clone(), "w"), None);
        let ids: Vec<i64> = rows.into_iter().map(|(id, _)| id).collect();
        let first = *ids.first().unwrap();
        assert!((1..19_500).contains(&first), "{first}");
        assert_eq!(ids, (first..20_000).collect::<Vec<_>>());
    }
}

#[test]
fn of_a_large_batch_as_much_stays_as_there_is_room_for() {
    let store = store(usize::MAX);
    let mut live = LiveShard::new(store.clone(), table(&[]), 0).unwrap();
    live.apply(&puts(0..40_000)).unwrap();
    live.apply(&puts(40_000..40_010)).unwrap();
    for max in [200_000, 100_000, 20_000] {
        live.table.bytes_max = Some(max);
        assert!(live.shrink().unwrap());
        let bytes = live.bytes();
        assert!(bytes <= max && bytes > max * 3 / 4, "{bytes} bytes of {max}");
        assert!(!live.shrink().unwrap(), "{max}");
    }
    live.publish(40_010);
    let rows = rows(store.pin(&live.views().read().clone(), "w"), None);
    let ids: Vec<i64> = rows.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, (ids[0]..40_010).collect::<Vec<_>>());
}
