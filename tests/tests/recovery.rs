//! Tables in memory when executors are lost, drained and added: what comes back, from where, and what does not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster_tests::{Client, Cluster};

/// Rows of the tables here.
const ROWS: i64 = 200_000;

async fn make(client: &Client, options: &str) -> Result<()> {
    client
        .run(&format!(
            "CREATE TABLE kept WITH ({options}) AS SELECT value AS n, value % 10 AS g FROM generate_series(1, {ROWS})"
        ))
        .await
}

/// Reads every row, so that nothing can be answered from statistics.
async fn check(client: &Client) -> Result<()> {
    let read = client
        .rows("SELECT count(*), sum(n), count(DISTINCT g) FROM kept WHERE n + g > 0")
        .await?;
    ensure!(
        read == [[
            ROWS.to_string(),
            (ROWS * (ROWS + 1) / 2).to_string(),
            "10".to_string()
        ]],
        "{read:?}"
    );
    Ok(())
}

/// The executors of a cluster that hold something, by their place in the list.
async fn holders(cluster: &Cluster, client: &Client) -> Result<Vec<usize>> {
    let names = client
        .rows("SELECT DISTINCT executor_id FROM system.shards WHERE executor_id IS NOT NULL")
        .await?;
    Ok((0..cluster.executors.len())
        .filter(|place| {
            names
                .iter()
                .any(|row| row[0].starts_with(&format!("executor-{}-", place + 1)))
        })
        .collect())
}

/// Waits until a query answers `expected`.
async fn wait_for(client: &Client, sql: &str, expected: i64) -> Result<()> {
    let start = Instant::now();
    while client.number(sql).await? != expected {
        ensure!(
            start.elapsed() < Duration::from_secs(30),
            "{sql} never answered {expected}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Shards without an executor that is there.
const HOMELESS: &str = "SELECT count(*) FROM system.shards WHERE executor_id IS NULL";

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_back_from_snapshots_and_nobody_notices() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.connect().await?;
    make(&client, "durable = 'on'").await?;
    for place in holders(&cluster, &client).await? {
        cluster.executors[place].kill()?;
        cluster.add_executor(&[])?;
        check(&client).await?;
    }
    wait_for(&client, HOMELESS, 0).await?;
    check(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_executors_may_go_and_the_rows_come_back() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.connect().await?;
    make(&client, "durable = 'async'").await?;
    client.run("INSERT INTO kept VALUES (0, 0)").await?;
    wait_for(
        &client,
        "SELECT count(*) FROM system.shards WHERE snapshot IS NULL",
        0,
    )
    .await?;
    client.run("DELETE FROM kept WHERE n = 0").await?;
    wait_for(
        &client,
        "SELECT count(*) FROM system.shards WHERE snapshot IS NULL",
        0,
    )
    .await?;
    for executor in &mut cluster.executors {
        executor.kill()?;
    }
    cluster.add_executor(&[])?;
    check(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over_and_the_next_one_is_made() -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let client = cluster.connect().await?;
    make(&client, "replicas = 2, durable = 'off'").await?;
    let copies =
        "SELECT count(*) - 2 * count(DISTINCT shard) FROM system.shards WHERE executor_id IS NOT NULL";
    assert_eq!(client.number(copies).await?, 0);
    for _ in 0..2 {
        let holder = holders(&cluster, &client).await?[0];
        cluster.executors[holder].kill()?;
        cluster.add_executor(&[])?;
        check(&client).await?;
        wait_for(&client, HOMELESS, 0).await?;
        wait_for(&client, copies, 0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_computed_again_if_their_source_is_as_it_was() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.connect().await?;
    let source = cluster.folder().join("source.parquet");
    let write = |rows: i64| {
        format!(
            "COPY (SELECT value AS n, value % 10 AS g FROM generate_series(1, {rows})) TO '{}'",
            source.display()
        )
    };
    client.run(&write(ROWS)).await?;
    client
        .run(&format!(
            "CREATE EXTERNAL TABLE source STORED AS PARQUET LOCATION '{}'",
            source.display()
        ))
        .await?;
    client
        .run("CREATE TABLE kept WITH (durable = 'off') AS SELECT * FROM source")
        .await?;
    let mut kill_holder = async |client: &Client| -> Result<()> {
        let holder = holders(&cluster, client).await?[0];
        cluster.executors[holder].kill()?;
        cluster.add_executor(&[])
    };
    kill_holder(&client).await?;
    check(&client).await?;
    client.run(&write(5)).await?;
    kill_holder(&client).await?;
    let told = lost(&client).await?;
    assert!(told.contains("MP0025") && told.contains("kept"), "{told}");
    client
        .run("CREATE OR REPLACE TABLE kept AS SELECT * FROM source")
        .await?;
    assert_eq!(client.number("SELECT sum(n) FROM kept").await?, 15);
    Ok(())
}

/// The error of reading a table that does not come back; it may be right while a copy is still there.
async fn lost(client: &Client) -> Result<String> {
    let start = Instant::now();
    loop {
        match client.rows("SELECT sum(n + g) FROM kept").await {
            Err(error) => return Ok(format!("{error:#}")),
            Ok(_) => ensure!(
                start.elapsed() < Duration::from_secs(30),
                "the table was never lost"
            ),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_nothing_keeps_says_so_when_it_is_lost() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.connect().await?;
    make(&client, "durable = 'off'").await?;
    client.run("INSERT INTO kept VALUES (1, 1)").await?;
    for place in holders(&cluster, &client).await? {
        cluster.executors[place].kill()?;
    }
    cluster.add_executor(&[])?;
    let told = lost(&client).await?;
    assert!(told.contains("MP0025") && told.contains("kept"), "{told}");
    client.run("DROP TABLE kept").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_executor_holds_nothing_and_its_end_is_not_noticed() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.connect().await?;
    make(&client, "durable = 'off', replicas = 2").await?;
    client.run("UPDATE kept SET g = n % 10").await?;
    cluster.run(&["drain", "executor-1"])?;
    let held = "SELECT count(*) FROM system.shards WHERE executor_id LIKE 'executor-1-%'";
    assert_eq!(client.number(held).await?, 0);
    assert_eq!(
        client
            .number("SELECT count(*) FROM system.executors WHERE state = 'draining'")
            .await?,
        1
    );
    check(&client).await?;
    cluster.executors[0].kill()?;
    check(&client).await?;
    let refused = cluster.run(&["drain", "executor-2"]);
    assert!(refused.is_err(), "nobody is left to take the shards");
    check(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_starts_again_finds_every_shard_and_copies_none() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.connect().await?;
    make(&client, "replicas = 2").await?;
    let shards = "SELECT shard, executor_id, rows FROM system.shards ORDER BY 1, 2";
    let before = client.rows(shards).await?;
    cluster.scheduler.kill()?;
    cluster.restart_scheduler_in_place()?;
    let client = cluster.connect().await?;
    check(&client).await?;
    cluster.wait_for_executors(2).await?;
    check(&client).await?;
    let names = |rows: Vec<Vec<String>>| rows.into_iter().map(|row| row[0].clone()).collect::<Vec<_>>();
    assert_eq!(names(client.rows(shards).await?), names(before));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_is_killed_finds_pipelines_and_models_again() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let client = cluster.connect().await?;
    let model = |name: &str| {
        format!(
            "CREATE MODEL {name} OPTIONS (type 'linear_regression', label 'y') AS SELECT x, y FROM points"
        )
    };
    let pipeline = |name: &str| {
        format!(
            "RUN PIPELINE 'name: {name}\nsource: {{table: points}}\nsteps:\n  - standardize: [x]\noutput:\n  - \
             table: {name}_rows'"
        )
    };
    for sql in [
        "CREATE TABLE points AS SELECT CAST(value AS DOUBLE) AS x, 2.0 * value AS y FROM generate_series(1, 100)",
        &model("line"),
        "REFRESH MODEL line FULL",
        "ALTER MODEL line SET VERSION 1",
        &model("gone"),
        "DROP MODEL gone",
        &pipeline("scaled"),
        &pipeline("scaled"),
        &pipeline("gone"),
        "DROP PIPELINE gone",
        "APPLY PIPELINE scaled TO points AS scaled_points",
    ] {
        client.rows(sql).await.with_context(|| sql.to_string())?;
    }
    let asked = [
        "SELECT name, version FROM system.models ORDER BY 1",
        "SELECT model, version FROM system.model_versions ORDER BY 1, 2",
        "SELECT name, version FROM system.pipelines ORDER BY 1, 2",
        "SELECT x, predict(line) AS p FROM points WHERE x IN (3, 50) ORDER BY x",
        "SELECT count(*), round(sum(x), 9), max(x) FROM scaled_points",
    ];
    let mut before = Vec::new();
    for sql in asked {
        before.push(client.rows(sql).await.with_context(|| sql.to_string())?);
    }
    assert_eq!(before[1].len(), 2);
    assert_eq!(before[2].len(), 2);
    cluster.scheduler.kill()?;
    cluster.restart_scheduler_in_place()?;
    let client = cluster.connect().await?;
    cluster.wait_for_executors(1).await?;
    for (sql, before) in asked.into_iter().zip(before) {
        assert_eq!(client.rows(sql).await?, before, "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_go_with_the_tables_they_belong_to() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.connect().await?;
    make(&client, "durable = 'on'").await?;
    let folder = cluster.folder().join("state/tables");
    let snapshots = || -> Result<usize> {
        let mut count = 0;
        for write in std::fs::read_dir(&folder)? {
            count += std::fs::read_dir(write?.path())?.count();
        }
        Ok(count)
    };
    assert_eq!(snapshots()?, 1);
    client.run("DROP TABLE kept").await?;
    let start = Instant::now();
    while snapshots()? > 0 {
        ensure!(start.elapsed() < Duration::from_secs(60), "the snapshot stays");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_inserts_become_few_shards() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.connect().await?;
    client.run("CREATE TABLE small (n BIGINT)").await?;
    for n in 0..40 {
        client.run(&format!("INSERT INTO small VALUES ({n})")).await?;
    }
    let start = Instant::now();
    while client.number("SELECT count(*) FROM system.shards").await? > 20 {
        ensure!(start.elapsed() < Duration::from_secs(30), "nothing was joined");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        client
            .rows("SELECT count(*), sum(n) FROM small WHERE n >= 0")
            .await?,
        [["40", "780"]]
    );
    Ok(())
}
