//! What options make of a table: versions, rows that go by themselves, limits; and how they change.

use anyhow::{Result, ensure};
use cluster_tests::Bench;

/// A moment of the last hour, as a JSON text.
fn minutes_ago(minutes: i64) -> String {
    let time = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_change_never_wins() -> Result<()> {
    let mut bench = Bench::start(1).await?;
    let topic = bench.broker.topic("versions", 2).await?;
    let put = |id: i32, version: i32| {
        format!(r#"{{"op":"insert","id":{id},"data":{{"v":{version},"text":"v{version}"}}}}"#)
    };
    let delete = |id: i32, version: i32| format!(r#"{{"op":"delete","id":{id},"data":{{"v":{version}}}}}"#);
    for value in [
        put(1, 3),
        put(1, 2),
        put(2, 5),
        delete(2, 6),
        put(3, 1),
        delete(3, 0),
    ] {
        bench.broker.say(&topic, 0, &value)?;
    }
    let columns = "id BIGINT, v BIGINT, text TEXT, PRIMARY KEY (id)";
    let options = "'format' 'op-json', 'version_column' 'v', 'checkpoint.interval' '100ms'";
    bench.create("t", columns, &topic, options).await?;
    bench.wait("t", &topic).await?;
    let all = "SELECT id, text FROM t ORDER BY id";
    ensure!(
        bench.rows(all).await? == ["1 v3", "3 v1"],
        "{:?}",
        bench.rows(all).await?
    );
    let counts = bench
        .rows("SELECT read, applied, stale FROM system.streams")
        .await?;
    ensure!(counts == ["6 6 2"], "{counts:?}");
    bench
        .until(
            "SELECT count(*) = 2 FROM system.stream_partitions WHERE checkpoint_offset = position OR position = 0",
            "no checkpoint",
        )
        .await?;
    bench.kill_all()?;
    bench.start_again().await?;
    // What was deleted is remembered.
    bench.broker.say(&topic, 0, &put(2, 4))?;
    bench.broker.say(&topic, 0, &put(3, 2))?;
    bench.wait("t", &topic).await?;
    ensure!(
        bench.rows(all).await? == ["1 v3", "3 v2"],
        "{:?}",
        bench.rows(all).await?
    );
    bench.broker.say(&topic, 0, &put(2, 7))?;
    bench.wait("t", &topic).await?;
    ensure!(bench.rows(all).await? == ["1 v3", "2 v7", "3 v2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_go_and_late_ones_are_counted() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("sensors", 1).await?;
    let say = |minutes: i64| {
        let value = format!(
            r#"{{"sensor":"a","at":"{}","value":{minutes}}}"#,
            minutes_ago(minutes)
        );
        bench.broker.say(&topic, 0, &value)
    };
    let options = "'format' 'json', 'event_time' 'at', 'watermark.delay' '5min', 'metadata' 'timestamp'";
    let columns = "sensor TEXT, at TIMESTAMP, value INT";
    bench.create("sensors", columns, &topic, options).await?;
    [50, 20, 10, 12, 16].into_iter().try_for_each(say)?;
    bench.wait("sensors", &topic).await?;
    // Ten minutes ago less five: only the one of sixteen minutes ago is late.
    ensure!(bench.rows("SELECT late_rows FROM system.streams").await? == ["1"]);
    let watermark = "SELECT abs(date_part('epoch', now() - watermark) - 900) < 60 FROM system.streams";
    ensure!(bench.rows(watermark).await? == ["true"]);
    let windows = "SELECT count(*), max(n) FROM (SELECT date_bin(INTERVAL '1 minute', at) AS minute, count(*) AS n FROM sensors GROUP BY 1)";
    ensure!(bench.rows(windows).await? == ["5 1"]);
    bench
        .client
        .run("ALTER TABLE sensors SET OPTIONS ('retention.time' '1min')")
        .await?;
    bench
        .until("SELECT count(*) = 0 FROM sensors", "old rows stay")
        .await?;
    say(0)?;
    bench.wait("sensors", &topic).await?;
    ensure!(bench.rows("SELECT value FROM sensors").await? == ["0"]);
    let refused = bench
        .client
        .failure("ALTER TABLE sensors SET OPTIONS ('event_time' 'kafka_timestamp')")
        .await?;
    ensure!(
        refused.contains("MP0005") && refused.contains("event_time"),
        "{refused}"
    );
    let refused = bench
        .client
        .failure("ALTER TABLE sensors SET OPTIONS ('kafka.sasl.password' 'x')")
        .await?;
    ensure!(refused.contains("MP0034"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_waits_at_its_limit_and_goes_on_beyond() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("limited", 1).await?;
    let text = "x".repeat(1000);
    let send = |range: std::ops::Range<i32>| {
        range.into_iter().try_for_each(|n| {
            bench
                .broker
                .send(&topic, 0, None, Some(format!("{n},{text}").as_bytes()))
        })
    };
    bench
        .create(
            "t",
            "n INT, text TEXT",
            &topic,
            "'format' 'csv', 'memory.max' '100KiB'",
        )
        .await?;
    send(0..300)?;
    bench.broker.flush()?;
    bench
        .until("SELECT count(*) > 0 FROM t", "nothing is read")
        .await?;
    send(300..600)?;
    bench.broker.flush()?;
    let stalled = "SELECT state = 'stalled' AND reason LIKE 'memory:%memory.max%' FROM system.streams";
    bench.until(stalled, "it does not wait").await?;
    bench
        .client
        .run("ALTER TABLE t SET OPTIONS ('memory.max' '100MiB')")
        .await?;
    bench.wait("t", &topic).await?;
    ensure!(bench.rows("SELECT count(*), count(DISTINCT n) FROM t").await? == ["600 600"]);
    ensure!(bench.rows("SELECT state FROM system.streams").await? == ["live"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_refreshed_begins_anew() -> Result<()> {
    let bench = Bench::start(2).await?;
    let topic = bench.broker.topic("anew", 2).await?;
    (0..100).try_for_each(|n| bench.broker.say(&topic, n % 2, &format!("{n}")))?;
    bench.create("t", "n INT", &topic, "'format' 'csv'").await?;
    bench.wait("t", &topic).await?;
    let before = bench.client.number("SELECT sum(n) FROM t").await?;
    bench.client.run("REFRESH TABLE t").await?;
    bench.wait("t", &topic).await?;
    ensure!(bench.client.number("SELECT sum(n) FROM t").await? == before);
    ensure!(bench.rows("SELECT read, applied FROM system.streams").await? == ["100 100"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_size_a_table_drops_its_oldest_rows() -> Result<()> {
    const ROWS: i32 = 40_000;
    let bench = Bench::start(2).await?;
    let topic = bench.broker.topic("sized", 2).await?;
    let options = "'format' 'csv', 'metadata' 'partition', 'retention.size' '1MiB'";
    bench.create("sized", "n INT, text TEXT", &topic, options).await?;
    for n in 0..ROWS {
        let value = format!("{n},{n:090}");
        bench.broker.send(&topic, n % 2, None, Some(value.as_bytes()))?;
    }
    bench.wait("sized", &topic).await?;
    let fits = "SELECT bytes <= 1048576 FROM system.streams";
    bench.until(fits, "the table is larger than it may be").await?;
    let least = bench
        .client
        .number("SELECT CAST(min(n) AS BIGINT) FROM sized")
        .await?;
    ensure!(
        least > 0 && least < i64::from(ROWS) - 2000,
        "the first row is {least}"
    );
    // No row is missing behind the first one of a topic partition, and the last one is there.
    let whole =
        "SELECT max(n) >= 39998 AND count(*) = (max(n) - min(n)) / 2 + 1 FROM sized GROUP BY kafka_partition";
    let whole = bench.rows(whole).await?;
    ensure!(whole == ["true", "true"], "{whole:?}");
    ensure!(bench.rows("SELECT read, applied FROM system.streams").await? == ["40000 40000"]);
    Ok(())
}
