//! Windows over the event time, in plain SQL.

use anyhow::{Result, ensure};
use cluster_tests::Bench;

const TUMBLING: &str = "SELECT CAST(date_bin(INTERVAL '1 minute', ts) AS TEXT), count(*), sum(value) FROM readings \
                        GROUP BY 1 ORDER BY 1";
/// Two minutes long, one each minute.
const HOPPING: &str = "SELECT CAST(date_bin(INTERVAL '1 minute', ts) + hop AS TEXT), count(*), sum(value) \
                       FROM readings, (VALUES (INTERVAL '1 minute'), (INTERVAL '2 minutes')) AS hops(hop) \
                       GROUP BY 1 ORDER BY 1";
/// The reading before, of the same sensor.
const BEFORE: &str =
    "SELECT value, lag(value) OVER (PARTITION BY sensor ORDER BY ts) FROM readings ORDER BY ts";

#[tokio::test(flavor = "multi_thread")]
async fn a_late_row_is_in_its_windows_and_counted() -> Result<()> {
    let bench = Bench::start(2).await?;
    let topic = bench.broker.topic("readings", 2).await?;
    let say = |partition: i32, sensor: &str, time: &str, value: i32| {
        let value = format!(r#"{{"sensor":"{sensor}","ts":"2026-01-01T00:{time}","value":{value}}}"#);
        bench.broker.say(&topic, partition, &value)
    };
    say(0, "a", "00:59", 1)?;
    say(1, "b", "01:00", 2)?;
    say(0, "a", "01:30", 4)?;
    say(1, "b", "02:10", 8)?;
    let columns = "sensor TEXT, ts TIMESTAMP, value INT";
    let options = "'format' 'json', 'event_time' 'ts', 'watermark.delay' '10s'";
    bench.create("readings", columns, &topic, options).await?;
    bench.wait("readings", &topic).await?;
    let minute = |minute: i32| format!("2026-01-01T00:0{minute}:00");
    let tumbling = bench.rows(TUMBLING).await?;
    let expected = [(0, "1 1"), (1, "2 6"), (2, "1 8")].map(|(at, rest)| format!("{} {rest}", minute(at)));
    ensure!(tumbling == expected, "{tumbling:?}");
    let hopping = bench.rows(HOPPING).await?;
    let expected = [(1, "1 1"), (2, "3 7"), (3, "3 14"), (4, "1 8")];
    let expected = expected.map(|(until, rest)| format!("{} {rest}", minute(until)));
    ensure!(hopping == expected, "{hopping:?}");
    let before = bench.rows(BEFORE).await?;
    ensure!(before == ["1 NULL", "2 NULL", "4 1", "8 2"], "{before:?}");
    // The least of the topic partitions: 01:30 less the delay.
    let streams = "SELECT CAST(watermark AS TEXT), late_rows FROM system.streams";
    let seen = bench.rows(streams).await?;
    ensure!(
        seen[0].starts_with("2026-01-01T00:01:20") && seen[0].ends_with(" 0"),
        "{seen:?}"
    );

    // Ten seconds late is in time, and is late beyond that; both topic partitions have a watermark of their own.
    say(0, "a", "01:20", 16)?;
    say(0, "a", "01:19", 32)?;
    say(1, "b", "01:59", 64)?;
    bench.wait("readings", &topic).await?;
    let tumbling = bench.rows(TUMBLING).await?;
    ensure!(tumbling[1] == format!("{} 5 118", minute(1)), "{tumbling:?}");
    let hopping = bench.rows(HOPPING).await?;
    ensure!(hopping[1] == format!("{} 6 119", minute(2)), "{hopping:?}");
    ensure!(hopping[2] == format!("{} 6 126", minute(3)), "{hopping:?}");
    let seen = bench.rows(streams).await?;
    ensure!(seen[0].ends_with(" 2"), "{seen:?}");
    Ok(())
}
