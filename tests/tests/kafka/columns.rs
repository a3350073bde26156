//! Columns of a table over a topic change while it is followed.

use anyhow::{Result, ensure};
use cluster_tests::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn a_column_comes_and_another_becomes_wider() -> Result<()> {
    let mut bench = Bench::start(2).await?;
    let topic = bench.broker.topic("columns", 2).await?;
    let put = |id: i64, data: &str| {
        let value = format!(r#"{{"op":"insert","id":{id},"data":{{{data}}}}}"#);
        bench.broker.say(&topic, (id % 2) as i32, &value)
    };
    for id in 0..20 {
        put(id, &format!(r#""n":{id},"city":"c{id}""#))?;
    }
    let columns = "id BIGINT, n INT, PRIMARY KEY (id)";
    let options = "'format' 'op-json', 'metadata' 'offset,partition', 'checkpoint.interval' '100ms'";
    bench.create("t", columns, &topic, options).await?;
    bench.wait("t", &topic).await?;
    put(1, r#""n":3000000000"#)?;
    bench.wait("t", &topic).await?;
    ensure!(bench.rows("SELECT dead FROM system.streams").await? == ["1"]);
    let stored = "SELECT count(*) = 2 FROM system.stream_partitions WHERE checkpoint_offset = position";
    bench.until(stored, "no checkpoint").await?;
    bench.client.run("CREATE VIEW v AS SELECT * FROM t").await?;
    bench
        .client
        .run("ALTER TABLE t ADD COLUMN city TEXT, ALTER COLUMN n TYPE BIGINT")
        .await?;
    bench
        .client
        .run("ALTER TABLE t ADD COLUMN IF NOT EXISTS city TEXT")
        .await?;
    let all = "SELECT id, n, city, kafka_offset, kafka_partition FROM t WHERE id < 3 ORDER BY id";
    let before = ["0 0 NULL 0 0", "1 1 NULL 0 1", "2 2 NULL 1 0"];
    ensure!(bench.rows(all).await? == before, "{:?}", bench.rows(all).await?);
    ensure!(bench.rows("SELECT count(*), count(city) FROM v").await? == ["20 0"]);
    put(2, r#""n":4000000000,"city":"x""#)?;
    bench.wait("t", &topic).await?;
    let after = ["0 0 NULL 0 0", "1 1 NULL 0 1", "2 4000000000 x 10 0"];
    ensure!(bench.rows(all).await? == after, "{:?}", bench.rows(all).await?);
    // A column that did not fit is a row now.
    ensure!(bench.rows("REPLAY DEAD LETTERS FROM t").await? == ["1"]);
    let after = ["0 0 NULL 0 0", "1 3000000000 NULL 10 1", "2 4000000000 x 10 0"];
    ensure!(bench.rows(all).await? == after, "{:?}", bench.rows(all).await?);
    // What was stored before is read in the columns of now.
    bench.kill_all()?;
    bench.start_again().await?;
    bench.patiently("WAIT FOR TABLE t").await?;
    for mode in ["direct", "staged"] {
        bench
            .client
            .run(&format!("SET millpond.execution_mode = '{mode}'"))
            .await?;
        ensure!(
            bench.rows(all).await? == after,
            "{mode}: {:?}",
            bench.rows(all).await?
        );
    }
    bench.client.run("REFRESH TABLE t").await?;
    bench.wait("t", &topic).await?;
    ensure!(bench.rows("SELECT count(city) FROM t").await? == ["19"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_columns_that_cannot_be_is_refused() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("refused", 1).await?;
    bench
        .broker
        .say(&topic, 0, r#"{"op":"insert","id":1,"data":{"n":1}}"#)?;
    let columns = "id INT, n BIGINT, v INT, PRIMARY KEY (id)";
    let options = "'format' 'op-json', 'version_column' 'v'";
    bench.create("t", columns, &topic, options).await?;
    let refused = [
        ("ALTER TABLE t ALTER COLUMN id TYPE BIGINT", "decides about rows"),
        ("ALTER TABLE t ALTER COLUMN v TYPE BIGINT", "decides about rows"),
        ("ALTER TABLE t ALTER COLUMN n TYPE INT", "has a place"),
        ("ALTER TABLE t ALTER COLUMN m TYPE INT", "no column 'm'"),
        ("ALTER TABLE t ADD COLUMN n INT", "already"),
        ("ALTER TABLE t ADD COLUMN m INT NOT NULL", "NOT NULL"),
        ("ALTER TABLE t ADD COLUMN m INT DEFAULT 3", "DEFAULT"),
        ("ALTER TABLE t DROP COLUMN n", "ADD COLUMN"),
        ("ALTER TABLE t ADD COLUMN m INTERVAL", "'m'"),
    ];
    for (statement, part) in refused {
        let text = bench.client.failure(statement).await?;
        ensure!(text.contains(part), "{statement}: {text}");
    }
    bench.wait("t", &topic).await?;
    ensure!(bench.rows("SELECT * FROM t").await? == ["1 1 NULL"]);
    Ok(())
}
