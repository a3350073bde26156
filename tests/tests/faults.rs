//! What goes wrong around a cluster: lost processes, lost clients, bad files, bad SQL. After each the cluster works.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use cluster_tests::{Client, Cluster, finish};

/// A query that keeps two executors busy for some seconds.
const SLOW: &str = "SELECT count(*) FROM numbers a JOIN numbers b ON a.g = b.g WHERE a.n + b.n > 5";

/// A table of 120,000 rows in 40 files with columns `n` and `g` (20 groups).
async fn make_numbers(cluster: &Cluster, client: &Client) -> Result<()> {
    let folder = cluster.folder().join("numbers");
    fs::create_dir_all(&folder)?;
    for file in 0..40 {
        let rows: String = (file * 3000..(file + 1) * 3000)
            .map(|n| format!("{n},{}\n", n % 20))
            .collect();
        fs::write(folder.join(format!("{file}.csv")), format!("n,g\n{rows}"))?;
    }
    client
        .run(&format!(
            "CREATE EXTERNAL TABLE numbers (n BIGINT, g BIGINT) STORED AS CSV LOCATION '{}/' OPTIONS ('format.has_header' 'true')",
            folder.display()
        ))
        .await
}

async fn works(client: &Client) -> Result<()> {
    assert_eq!(
        client
            .number("SELECT count(*) FROM numbers WHERE n < 100")
            .await?,
        100
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_survives_the_loss_of_an_executor() -> Result<()> {
    survives_the_loss("staged", &[0]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_query_survives_the_loss_of_executors() -> Result<()> {
    // Two of three, so that the one that runs it is most likely among them.
    survives_the_loss("direct", &[0, 1]).await
}

async fn survives_the_loss(mode: &str, killed: &[usize]) -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    client
        .run(&format!("SET millpond.execution_mode = '{mode}'"))
        .await?;
    let running = client.start(SLOW).await?;
    wait_for(
        &client,
        "SELECT count(*) FROM system.jobs WHERE state = 'running' AND tasks > 0",
        1,
    )
    .await?;
    for executor in killed {
        cluster.executors[*executor].kill()?;
    }
    let answered = finish(running).await?;
    let count = answered[0]
        .column(0)
        .as_any()
        .downcast_ref::<arrow::array::Int64Array>()
        .map(|c| c.value(0));
    assert_eq!(
        count,
        Some(720_000_000 - 3),
        "all pairs of equal groups but (0,0), (1,1) and (2,2)"
    );
    let noticed = cluster.wait_for_executors(3 - killed.len()).await?;
    assert!(
        noticed < Duration::from_secs(10),
        "the loss was noticed after {noticed:?}"
    );
    works(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_not_read_yet_are_made_again() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    client.run("SET millpond.execution_mode = 'staged'").await?;
    let mut running = client
        .start("SELECT g, sum(n) AS s FROM numbers GROUP BY g")
        .await?;
    while !running.is_over() {
        running.advance().await?;
    }
    // Whoever holds the rows, they are gone now.
    cluster.executors.clear();
    cluster.add_executor(&[])?;
    let batches = finish(running).await?;
    let rows: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
    assert_eq!(rows, 20);
    works(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_to_memory_that_loses_an_executor_stores_every_row_once() -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    let running = client
        .start("CREATE TABLE partners AS SELECT a.n, count(*) AS c FROM numbers a JOIN numbers b ON a.g = b.g GROUP BY a.n")
        .await?;
    wait_for(
        &client,
        "SELECT count(*) FROM system.jobs WHERE state = 'running' AND tasks > 0",
        1,
    )
    .await?;
    cluster.executors[2].kill()?;
    finish(running).await?;
    cluster.wait_for_executors(2).await?;
    let counted = client
        .rows("SELECT count(*), count(DISTINCT n), sum(c) FROM partners")
        .await?;
    assert_eq!(counted, [["120000", "120000", "720000000"]]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_in_memory_outlive_the_scheduler_while_their_executors_live() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let client = cluster.connect().await?;
    client
        .run("CREATE TABLE kept AS SELECT value AS n FROM generate_series(1, 1000)")
        .await?;
    cluster.scheduler.kill()?;
    cluster.restart_scheduler_in_place()?;
    cluster.wait_for_executors(1).await?;
    let client = cluster.connect().await?;
    assert_eq!(client.number("SELECT sum(n) FROM kept").await?, 500_500);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_write_to_memory_is_not_seen_and_harms_no_other_table() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    client.run("CREATE TABLE other AS SELECT * FROM numbers").await?;
    let running = client
        .start("CREATE TABLE pairs AS SELECT a.n AS a, b.n AS b FROM numbers a JOIN numbers b ON a.g = b.g")
        .await?;
    wait_for(
        &client,
        "SELECT count(*) FROM system.jobs WHERE state = 'running' AND tasks > 0",
        1,
    )
    .await?;
    running.cancel().await?;
    wait_for(
        &client,
        "SELECT count(*) FROM system.jobs WHERE state = 'cancelled'",
        1,
    )
    .await?;
    assert!(client.failure("SELECT * FROM pairs").await?.contains("MP0002"));
    assert_eq!(client.number("SELECT count(*) FROM other").await?, 120_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_survive_the_kill_of_the_scheduler() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    client.run("CREATE SCHEMA mart").await?;
    client
        .run("CREATE VIEW mart.small AS SELECT * FROM numbers WHERE n < 10")
        .await?;
    cluster.scheduler.kill()?;
    cluster.executors.clear();
    cluster.restart_scheduler()?;
    cluster.add_executor(&[])?;
    cluster.wait_for_executors(1).await?;
    let client = cluster.connect().await?;
    works(&client).await?;
    assert_eq!(client.number("SELECT count(*) FROM mart.small").await?, 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_ends_on_the_cluster() -> Result<()> {
    cancelled_ends("staged").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_direct_query_ends_on_the_cluster() -> Result<()> {
    cancelled_ends("direct").await
}

async fn cancelled_ends(mode: &str) -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    client
        .run(&format!("SET millpond.execution_mode = '{mode}'"))
        .await?;
    let running = client.start(SLOW).await?;
    wait_for(
        &client,
        "SELECT count(*) FROM system.jobs WHERE state = 'running' AND tasks > 0",
        1,
    )
    .await?;
    running.cancel().await?;
    wait_for(
        &client,
        "SELECT count(*) FROM system.jobs WHERE state = 'cancelled'",
        1,
    )
    .await?;
    let outcome = finish(running)
        .await
        .map(|_| "answered")
        .map_err(|error| format!("{error:#}"));
    assert!(
        matches!(&outcome, Err(error) if error.contains("cancelled")),
        "{outcome:?}"
    );
    works(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logistic_regression_survives_the_loss_of_an_executor() -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let client = cluster.connect().await?;
    client
        .run(
            "CREATE TABLE points AS SELECT x, y, x + noise > 1 AS bought FROM (SELECT (value * 37 % 1009) / 1009.0 AS x, \
             (value * 91 % 4001) / 4001.0 AS y, (value * 7919 % 10007) / 10007.0 AS noise FROM generate_series(1, 4000000))",
        )
        .await?;
    let train = |name: &str| {
        format!(
            "CREATE MODEL {name} OPTIONS (type 'logistic_regression', label 'bought') AS SELECT * FROM points"
        )
    };
    let start = Instant::now();
    client.run(&train("calm")).await?;
    // Some passes over the rows are done by then, and others are not, on a machine of any speed.
    let amidst = start.elapsed() / 4;
    let hurt = train("hurt");
    let loss = async {
        tokio::time::sleep(amidst).await;
        let trained = "SELECT count(*) FROM system.models WHERE name = 'hurt'";
        assert_eq!(client.number(trained).await?, 0, "it was over before the loss");
        cluster.executors[0].kill()
    };
    // It starts to run when it is sent, and is heard of after a while.
    let (running, lost) = tokio::join!(client.start(&hurt), loss);
    lost?;
    let running = running?;
    finish(running).await?;
    // The same rows have the same optimum, in whatever order they are summed.
    let apart = "SELECT count(*) FROM system.model_coefficients a JOIN system.model_coefficients b \
        ON a.term = b.term WHERE a.model = 'calm' AND b.model = 'hurt' AND abs(a.coefficient - b.coefficient) {} 1e-7";
    assert_eq!(client.number(&apart.replace("{}", "<=")).await?, 3);
    assert_eq!(client.number(&apart.replace("{}", ">")).await?, 0);
    assert_eq!(client.number("SELECT count(*) FROM points").await?, 4_000_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_ends() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    client.run("SET millpond.statement_timeout = '300ms'").await?;
    let start = Instant::now();
    let error = client.failure(SLOW).await?;
    assert!(error.contains("MP0041"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
    client.run("SET millpond.statement_timeout = '0s'").await?;
    works(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_does_not_fit_names_the_limit_and_kills_nobody() -> Result<()> {
    let mut cluster = Cluster::start_with(1, &[], &["--memory-limit", "32MiB"]).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    let error = client
        .failure("SELECT g, array_agg(repeat('x', 2000) || cast(n AS TEXT)) FROM numbers GROUP BY g")
        .await?;
    assert!(error.contains("MP0020") && error.contains("32.0 MiB"), "{error}");
    assert!(cluster.executors[0].is_alive());
    works(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sort_beyond_the_limit_spills_and_answers() -> Result<()> {
    let cluster = Cluster::start_with(1, &[], &["--memory-limit", "48MiB"]).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    // Small batches, so that no operator asks for much at once.
    client.run("SET datafusion.execution.batch_size = 1024").await?;
    let text = client
        .rows("EXPLAIN ANALYZE SELECT n, repeat('x', 300) || cast(n AS TEXT) AS t FROM numbers ORDER BY t")
        .await?;
    let plan = text
        .iter()
        .map(|row| row.join("\n"))
        .collect::<Vec<_>>()
        .join("\n");
    assert!(plan.contains("spilled"), "the sort did not spill:\n{plan}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_and_bad_sql_give_clear_errors() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    let file = |name: &str| cluster.folder().join(name).display().to_string();

    fs::write(file("ragged.csv"), "a,b\n1,2\n3\n4,5,6\n")?;
    fs::write(file("latin.csv"), b"a,b\n1,\xe9t\xe9\n")?;
    fs::write(file("not.parquet"), "this is no parquet file")?;
    let header: Vec<String> = (0..10_000).map(|n| format!("column_{n}")).collect();
    let row: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    fs::write(
        file("wide.csv"),
        format!("{}\n{}\n", header.join(","), row.join(",")),
    )?;

    let create = |name: &str, columns: &str, format: &str, path: String| {
        format!(
            "CREATE EXTERNAL TABLE {name} {columns} STORED AS {format} LOCATION '{path}' OPTIONS ('format.has_header' 'true')"
        )
    };
    let error = client
        .failure(&create("missing", "", "CSV", file("missing.csv")))
        .await?;
    assert!(error.contains("[MP"), "{error}");
    client
        .run(&create("gone", "(a BIGINT)", "CSV", file("gone.csv")))
        .await?;
    let error = client.failure("SELECT sum(a) FROM gone").await;
    assert!(error.is_ok() || client.number("SELECT count(*) FROM gone").await? == 0);
    client
        .run(&create(
            "ragged",
            "(a BIGINT, b BIGINT)",
            "CSV",
            file("ragged.csv"),
        ))
        .await?;
    let error = client.failure("SELECT sum(a) FROM ragged").await?;
    assert!(error.contains("MP0032"), "{error}");
    client
        .run(&create("latin", "(a BIGINT, b TEXT)", "CSV", file("latin.csv")))
        .await?;
    let error = client.failure("SELECT max(b) FROM latin").await?;
    assert!(error.contains("MP0032"), "{error}");
    let error = client
        .failure(&create("no", "", "PARQUET", file("not.parquet")))
        .await?;
    assert!(error.contains("[MP"), "{error}");
    client.run(&create("wide", "", "CSV", file("wide.csv"))).await?;
    assert_eq!(client.number("SELECT column_9999 FROM wide").await?, 9_999);
    let error = client
        .failure(&create("outside", "(a TEXT)", "CSV", "/etc/passwd".to_string()))
        .await?;
    assert!(error.contains("MP0033"), "{error}");

    let error = client
        .failure(&format!("SELECT '{}'", "x".repeat(1 << 20)))
        .await?;
    assert!(error.contains("MP0011"), "{error}");
    let error = client
        .failure(&format!("SELECT {}", vec!["1"; 100_000].join("+")))
        .await?;
    assert!(error.contains("MP0011"), "{error}");
    let error = client.failure("SELEC 1").await?;
    assert!(error.contains("MP0001") && error.contains('^'), "{error}");
    let error = client.failure("SELECT * FROM nowhere").await?;
    assert!(error.contains("MP0002"), "{error}");
    works(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_leaves_nothing() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    let target = cluster.folder().join("out.parquet");
    let error = client
        .failure(&format!(
            "COPY (SELECT n / (n - 777) AS x FROM numbers) TO '{}'",
            target.display()
        ))
        .await?;
    assert!(error.contains("[MP"), "{error}");
    assert!(!target.exists());
    let left = || -> Result<Vec<String>> {
        let names = fs::read_dir(cluster.folder())?.map(|entry| Ok(entry?.file_name().display().to_string()));
        Ok(names
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .filter(|name| name.contains("staging"))
            .collect())
    };
    let start = Instant::now();
    while !left()?.is_empty() && start.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(left()?.is_empty(), "{:?}", left()?);
    client
        .run(&format!("COPY (SELECT * FROM numbers) TO '{}'", target.display()))
        .await?;
    assert!(target.is_file());
    works(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_executor_drains() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.connect().await?;
    make_numbers(&cluster, &client).await?;
    cluster.executors[1].signal("TERM")?;
    assert_eq!(cluster.executors[1].wait()?, 0);
    cluster.wait_for_executors(1).await?;
    works(&client).await
}

/// Waits until a query answers `expected`.
async fn wait_for(client: &Client, sql: &str, expected: i64) -> Result<()> {
    let start = Instant::now();
    while client.number(sql).await? != expected {
        anyhow::ensure!(
            start.elapsed() < Duration::from_secs(30),
            "{sql} never answered {expected}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
