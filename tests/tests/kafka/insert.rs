//! Rows that are sent to a topic by `INSERT INTO`.

use anyhow::{Result, ensure};
use cluster_tests::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn inserted_rows_go_through_the_topic() -> Result<()> {
    let bench = Bench::start(2).await?;
    let topic = bench.broker.topic("out", 4).await?;
    let columns = "id BIGINT, name TEXT, at TIMESTAMP, price DECIMAL(10, 2), PRIMARY KEY (id)";
    bench.create("t", columns, &topic, "'format' 'upsert'").await?;
    // The other side reads the messages as they are.
    bench
        .create(
            "messages",
            "value TEXT",
            &topic,
            "'format' 'raw', 'metadata' 'key,partition'",
        )
        .await?;
    let insert = "INSERT INTO t SELECT value, 'n' || value, TIMESTAMP '2026-01-01T00:00:00', value / 4 FROM generate_series(1, 5000)";
    let sent = bench.rows(insert).await?;
    ensure!(sent == ["5000"], "{sent:?}");
    bench
        .client
        .run("INSERT INTO t (id, name) VALUES (1, NULL)")
        .await?;
    bench.client.run("WAIT FOR TABLE t").await?;
    bench.client.run("WAIT FOR TABLE messages").await?;
    let rows = bench
        .rows("SELECT count(*), sum(id), sum(price), count(name) FROM t")
        .await?;
    ensure!(
        rows[0].starts_with("5000 12502500 ") && rows[0].ends_with(" 4999"),
        "{rows:?}"
    );
    let messages = bench
        .rows("SELECT count(*), count(DISTINCT kafka_partition) FROM messages")
        .await?;
    ensure!(messages == ["5001 4"], "{messages:?}");
    let one = bench
        .rows("SELECT DISTINCT CAST(kafka_key AS TEXT) FROM messages WHERE value LIKE '%\"n7\"%'")
        .await?;
    ensure!(one == [r#"{"id":7}"#], "{one:?}");
    let explained = bench
        .rows("EXPLAIN INSERT INTO t (id) VALUES (3)")
        .await?
        .join("\n");
    ensure!(explained.contains("at least once"), "{explained}");
    let refused = bench.client.failure("INSERT INTO t (name) VALUES ('x')").await?;
    ensure!(refused.contains("NOT NULL"), "{refused}");
    let refused = bench.client.failure("UPDATE t SET name = 'x'").await?;
    ensure!(refused.contains("MP0005"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_table_takes_rows_too() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("append", 1).await?;
    bench
        .create(
            "t",
            "a INT, b TEXT",
            &topic,
            "'format' 'csv', 'metadata' 'key,offset'",
        )
        .await?;
    bench
        .client
        .run("INSERT INTO t (a, b, kafka_key) VALUES (1, 'x,\"y\"', CAST('k' AS BYTEA))")
        .await?;
    bench.client.run("WAIT FOR TABLE t").await?;
    bench
        .client
        .run("INSERT INTO t (a) SELECT max(a) + 1 FROM t")
        .await?;
    bench.client.run("WAIT FOR TABLE t").await?;
    let rows = bench
        .rows("SELECT b, CAST(kafka_key AS TEXT), kafka_offset FROM t WHERE kafka_offset = 0")
        .await?;
    ensure!(rows == ["x,\"y\" k 0"], "{rows:?}");
    let refused = bench
        .client
        .failure("INSERT INTO t (a, kafka_offset) VALUES (1, 5)")
        .await?;
    ensure!(refused.contains("kafka_offset"), "{refused}");
    Ok(())
}
