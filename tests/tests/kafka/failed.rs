//! Topic partitions that stop, and how they go on.

use anyhow::{Result, ensure};
use cluster_tests::Bench;

const STATE: &str = "SELECT state, reason FROM system.stream_partitions";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_has_failed_goes_on_when_it_is_told_to() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("failing", 1).await?;
    for value in [r#"{"n":1}"#, "bad", r#"{"n":2}"#] {
        bench.broker.say(&topic, 0, value)?;
    }
    bench
        .create("t", "n INT", &topic, "'format' 'json', 'on_error' 'fail'")
        .await?;
    let failed = "SELECT count(*) = 1 FROM system.stream_partitions WHERE state = 'failed' AND reason LIKE 'bad_message at offset 1%'";
    bench.until(failed, "it has not failed").await?;
    // Nothing has become better, and nothing is lost.
    bench.client.run("PAUSE TABLE t").await?;
    bench.client.run("RESUME TABLE t").await?;
    bench.until(failed, "it has not failed again").await?;
    let counts = "SELECT read, applied, dead, skipped FROM system.streams";
    ensure!(
        bench.rows(counts).await? == ["1 1 0 0"],
        "{:?}",
        bench.rows(counts).await?
    );
    bench
        .client
        .run("ALTER TABLE t SET OPTIONS ('on_error' 'dead_letter')")
        .await?;
    bench.wait("t", &topic).await?;
    ensure!(bench.rows("SELECT n FROM t ORDER BY n").await? == ["1", "2"]);
    ensure!(
        bench.rows(counts).await? == ["3 2 1 0"],
        "{:?}",
        bench.rows(counts).await?
    );
    ensure!(
        bench.rows(STATE).await? == ["live NULL"],
        "{:?}",
        bench.rows(STATE).await?
    );
    Ok(())
}

/// A table whose topic has deleted what it has not read yet does not go on as if nothing had been there.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_gone_are_missed() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("gone", 1).await?;
    let put = |id: i32| {
        let value = format!(r#"{{"op":"insert","id":{id},"data":{{"n":1}}}}"#);
        bench.broker.say(&topic, 0, &value)
    };
    (0..3).try_for_each(put)?;
    let columns = "id BIGINT, n BIGINT, PRIMARY KEY (id)";
    bench.create("t", columns, &topic, "'format' 'op-json'").await?;
    bench.wait("t", &topic).await?;
    bench.client.run("PAUSE TABLE t").await?;
    (3..6).try_for_each(put)?;
    bench.broker.forget(&topic).await?;
    put(6)?;
    bench.client.run("RESUME TABLE t").await?;
    let failed = "SELECT count(*) = 1 FROM system.stream_partitions WHERE state = 'failed' AND reason LIKE 'out_of_range%'";
    bench.until(failed, "it has not noticed").await?;
    ensure!(bench.rows("SELECT id FROM t ORDER BY id").await? == ["0", "1", "2"]);
    bench.client.run("REFRESH TABLE t").await?;
    bench.wait("t", &topic).await?;
    ensure!(bench.rows("SELECT id FROM t").await? == ["6"]);
    Ok(())
}

/// Changes that turn out to be of no use are kept beyond the limit, but no more than those of a batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_too_many_letters_waits_whatever_they_are() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("doubtful", 1).await?;
    let lost = |id: i32| format!(r#"{{"op":"update","id":{id},"data":{{"n":{id}}}}}"#);
    for id in 0..5 {
        bench.broker.say(&topic, 0, &lost(id))?;
    }
    let columns = "id BIGINT, n BIGINT, name TEXT NOT NULL, PRIMARY KEY (id)";
    let options = "'format' 'op-json', 'dead_letters.max' '3'";
    bench.create("pausing", columns, &topic, options).await?;
    let dropping = format!("{options}, 'dead_letters.full' 'drop_oldest'");
    bench.create("dropping", columns, &topic, &dropping).await?;
    bench.wait("dropping", &topic).await?;
    let full = "SELECT count(*) = 1 FROM system.stream_partitions WHERE table_name = 'pausing' AND reason LIKE 'dead_letters_full%'";
    bench.until(full, "it does not wait").await?;
    for id in 5..9 {
        bench.broker.say(&topic, 0, &lost(id))?;
    }
    bench.wait("dropping", &topic).await?;
    let counts = "SELECT table_name, read, applied, dead, skipped FROM system.streams ORDER BY 1";
    let letters =
        "SELECT table_name, count(*), max(kafka_offset) FROM system.dead_letters GROUP BY 1 ORDER BY 1";
    let (counted, kept) = (bench.rows(counts).await?, bench.rows(letters).await?);
    ensure!(counted == ["dropping 9 0 3 6", "pausing 5 0 5 0"], "{counted:?}");
    ensure!(kept == ["dropping 3 8", "pausing 5 4"], "{kept:?}");
    bench
        .client
        .run("ALTER TABLE pausing SET OPTIONS ('dead_letters.max' '100')")
        .await?;
    bench.wait("pausing", &topic).await?;
    let counted = bench.rows(counts).await?;
    ensure!(counted == ["dropping 9 0 3 6", "pausing 9 0 9 0"], "{counted:?}");
    Ok(())
}

/// A table that only grows follows the partitions that its topic gets, from their beginning; keys would be in two of them.
#[tokio::test(flavor = "multi_thread")]
async fn topics_get_partitions() -> Result<()> {
    let mut bench = Bench::start(2).await?;
    if !bench.broker.is_real() {
        eprintln!("topics of this broker do not grow: nothing is tested");
        return Ok(());
    }
    let topic = bench.broker.topic("growing", 2).await?;
    let say = |bench: &Bench, partition: i32, n: i32| {
        let value = format!(r#"{{"op":"insert","id":{n},"data":{{"n":{n}}}}}"#);
        bench.broker.say(&topic, partition, &value)
    };
    (0..10).try_for_each(|n| say(&bench, n % 2, n))?;
    let often = "'checkpoint.interval' '100ms', 'kafka.topic.metadata.refresh.interval.ms' '200'";
    let append = format!("'format' 'json', 'scan.startup' 'latest', {often}");
    bench.create("readings", "id BIGINT", &topic, &append).await?;
    let keyed = format!("'format' 'op-json', {often}");
    let columns = "id BIGINT, n BIGINT, PRIMARY KEY (id)";
    bench.create("customers", columns, &topic, &keyed).await?;
    bench.wait("customers", &topic).await?;

    bench.broker.grow(&topic, 4).await?;
    (10..30).try_for_each(|n| say(&bench, n % 4, n))?;
    bench.broker.flush()?;
    let all =
        "SELECT count(*) = 4 AND sum(read) = 20 FROM system.stream_partitions WHERE table_name = 'readings'";
    bench.until(all, "it does not follow what is new").await?;
    let rows = bench
        .rows("SELECT count(*), count(DISTINCT id), min(id) FROM readings")
        .await?;
    ensure!(rows == ["20 20 10"], "{rows:?}");
    let stopped = "SELECT count(*) = 2 FROM system.stream_partitions \
        WHERE table_name = 'customers' AND state = 'failed' AND reason LIKE 'partition_growth%'";
    bench.until(stopped, "it has not stopped").await?;
    bench.client.run("REFRESH TABLE customers").await?;
    bench.wait("customers", &topic).await?;
    let rows = bench.rows("SELECT count(*), sum(n) FROM customers").await?;
    ensure!(rows == ["30 435"], "{rows:?}");

    let stored = "SELECT count(*) = 8 FROM system.stream_partitions WHERE checkpoint_offset = end_offset";
    bench.until(stored, "not everything is stored").await?;
    bench.kill_all()?;
    bench.start_again().await?;
    let rows = bench
        .patiently("SELECT count(*), count(DISTINCT id) FROM readings")
        .await?;
    ensure!(rows == [["20", "20"]], "{rows:?}");
    Ok(())
}

/// Offsets of a topic mean nothing in another one of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_anew() -> Result<()> {
    let mut bench = Bench::start(1).await?;
    if !bench.broker.is_real() {
        eprintln!("topics of this broker cannot be deleted: nothing is tested");
        return Ok(());
    }
    let topic = bench.broker.topic("anew", 1).await?;
    let say = |bench: &Bench, n: i32| bench.broker.say(&topic, 0, &format!(r#"{{"n":{n}}}"#));
    (0..5).try_for_each(|n| say(&bench, n))?;
    bench
        .create(
            "t",
            "n INT",
            &topic,
            "'format' 'json', 'checkpoint.interval' '100ms'",
        )
        .await?;
    bench.wait("t", &topic).await?;
    let stored = "SELECT count(*) = 1 FROM system.stream_partitions WHERE checkpoint_offset = 5";
    bench.until(stored, "no checkpoint").await?;
    let other = "SELECT count(*) = 1 FROM system.stream_partitions WHERE state = 'failed' AND reason LIKE 'topic_recreated%'";
    // While nobody looks, and under the eyes of its follower.
    for (is_followed, first) in [(false, 100), (true, 200)] {
        if !is_followed {
            bench.kill_all()?;
        }
        bench.broker.make_anew(&topic, 1).await?;
        (first..first + 9).try_for_each(|n| say(&bench, n))?;
        if !is_followed {
            bench.start_again().await?;
        }
        bench
            .until(other, "it takes the topic for the one before")
            .await?;
        bench.client.run("REFRESH TABLE t").await?;
        bench.wait("t", &topic).await?;
        let rows = bench.rows("SELECT count(*), min(n), max(n) FROM t").await?;
        ensure!(rows == [format!("9 {first} {}", first + 8)], "{rows:?}");
    }
    Ok(())
}
