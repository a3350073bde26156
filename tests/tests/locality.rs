//! Shards are read where they are, and the cluster says so: `EXPLAIN ANALYZE` and `system.stages`.

use anyhow::{Context, Result, ensure};
use cluster_tests::{Client, Cluster};

#[tokio::test(flavor = "multi_thread")]
async fn the_share_of_local_shards_is_told_both_ways() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.connect().await?;
    client
        .run("CREATE TABLE kept AS SELECT value AS n FROM generate_series(1, 100000)")
        .await?;
    let shards = client.number("SELECT count(*) FROM system.shards").await? as u64;
    for mode in ["direct", "staged"] {
        client
            .run(&format!("SET millpond.execution_mode = '{mode}'"))
            .await?;
        let (local, all) = shards_read(&client, "SELECT sum(n) FROM kept WHERE n > 5").await?;
        ensure!(all >= shards, "{mode}: {all} of {shards} shards");
        // A direct plan runs on one executor and reads from the other what that one holds.
        ensure!(local > 0 && local <= all, "{mode}: {local} of {all}");
    }
    let told = client
        .rows("SELECT sum(shards_local), sum(shards_local + shards_remote) FROM system.stages")
        .await?;
    ensure!(told[0][0] != "0" && told[0][1] != "0", "{told:?}");
    let other = client
        .rows("EXPLAIN ANALYZE SELECT value FROM generate_series(1, 10)")
        .await?;
    ensure!(other.iter().all(|row| row[0] != "shards"), "{other:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_other_executors_are_kept_when_they_are_read_again() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.connect().await?;
    client
        .run(
            "CREATE TABLE kept WITH (partition_by = 'n', partitions = 16) \
             AS SELECT value AS n, 'text ' || value AS t FROM generate_series(1, 200000)",
        )
        .await?;
    let holders = "SELECT count(DISTINCT executor_id) FROM system.shards";
    ensure!(client.number(holders).await? == 2);
    client.run("SET millpond.execution_mode = 'direct'").await?;
    let sum = "SELECT sum(n), count(t), max(t) FROM kept";
    let first = client.rows(sum).await?;
    let told = |rows: Vec<Vec<String>>| rows.last().map(|row| row[1].clone()).unwrap_or_default();
    let mut seen = String::new();
    for _ in 0..3 {
        ensure!(client.rows(sum).await? == first);
        seen = told(client.rows(&format!("EXPLAIN ANALYZE {sum}")).await?);
    }
    ensure!(seen.contains("from columns kept here"), "{seen}");
    // Other rows are other shards.
    client.run("UPDATE kept SET n = n + 1 WHERE n > 100000").await?;
    let changed = client.rows(sum).await?;
    ensure!(
        changed[0][0] == (200_000u64 * 200_001 / 2 + 100_000).to_string(),
        "{changed:?}"
    );
    client.run("DROP TABLE kept").await?;
    ensure!(client.run(sum).await.is_err());
    Ok(())
}

/// Both numbers in the last row of `EXPLAIN ANALYZE`, such as `14 of 14 read where they are`.
async fn shards_read(client: &Client, sql: &str) -> Result<(u64, u64)> {
    let rows = client.rows(&format!("EXPLAIN ANALYZE {sql}")).await?;
    let last = rows.last().context("no rows")?;
    ensure!(last[0] == "shards", "{rows:?}");
    let counts = last[1]
        .strip_suffix(" read where they are")
        .and_then(|text| text.split_once(" of "));
    let (local, all) = counts.with_context(|| format!("{last:?}"))?;
    Ok((local.parse()?, all.parse()?))
}
