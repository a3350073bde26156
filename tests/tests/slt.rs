//! SQL behaviour: the same files on one node, on a cluster of processes, and on a cluster that loses a node.

use std::time::Duration;

use anyhow::Result;
use cluster_tests::{Cluster, slt};

#[tokio::test(flavor = "multi_thread")]
async fn on_one_executor() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let files = slt::run_all(cluster.scheduler.announced("flight_sql")?, cluster.folder()).await?;
    assert!(files > 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_three_executors() -> Result<()> {
    let cluster = Cluster::start(3).await?;
    slt::run_all(cluster.scheduler.announced("flight_sql")?, cluster.folder()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_three_executors_of_which_one_dies() -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let url = cluster.scheduler.announced("flight_sql")?.to_string();
    let folder = cluster.folder().to_path_buf();
    // The rows of a table in memory are lost with the executor that held them; `faults` shows what happens then.
    let running = tokio::spawn(async move { slt::run_all_but(&url, &folder, &["memory.slt"]).await });
    // Somewhere in the files: each of them leaves the cluster as it was, so any moment is as good as another.
    tokio::time::sleep(Duration::from_millis(700)).await;
    cluster.executors[1].kill()?;
    running.await??;
    cluster.wait_for_executors(2).await?;
    Ok(())
}
