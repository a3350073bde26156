//! SQL behaviour: the same files on one node, on a cluster of processes, and on a cluster that loses a node; as direct
//! plans and as jobs; with tables in files, cached, and created in memory. Every run has the same answers.
//!
//! A few combinations run always, a sample of the others in each run (`MILLPOND_SEED` repeats one), and all of them
//! with `just full`.

use std::time::Duration;

use anyhow::{Context, Result};
use cluster_tests::slt::{Suite, Tables, run};
use cluster_tests::{Cluster, seed};
use rand::SeedableRng;
use rand::seq::IndexedRandom;

/// Kinds of cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nodes {
    One,
    Three,
    /// Three, of which one dies while the files run.
    ThreeLosingOne,
}

async fn run_on(nodes: Nodes, suite: Suite) -> Result<()> {
    let count = if nodes == Nodes::One { 1 } else { 3 };
    let mut cluster = Cluster::start(count).await?;
    let url = cluster.scheduler.announced("flight_sql")?.to_string();
    let folder = cluster.folder().to_path_buf();
    let context = format!("{nodes:?} {suite:?}");
    let running = tokio::spawn(async move { run(&url, &folder, &suite).await });
    if nodes == Nodes::ThreeLosingOne {
        // Somewhere in the files: each of them leaves the cluster as it was, so any moment is as good as another.
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.executors[1].kill()?;
    }
    let files = running.await?.with_context(|| context)?;
    assert!(files > 2);
    if nodes == Nodes::ThreeLosingOne {
        cluster.wait_for_executors(2).await?;
    }
    Ok(())
}

/// Every kind of cluster, way of execution and kind of table.
fn combinations() -> Vec<(Nodes, Suite)> {
    let mut all = Vec::new();
    for nodes in [Nodes::One, Nodes::Three, Nodes::ThreeLosingOne] {
        for mode in ["auto", "direct", "staged"] {
            for tables in [Tables::AsWritten, Tables::Cached, Tables::Created] {
                all.push((nodes, Suite::new(mode).with_tables(tables)));
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_on_one_executor() -> Result<()> {
    run_on(Nodes::One, Suite::new("direct")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_on_three_executors() -> Result<()> {
    run_on(Nodes::Three, Suite::new("staged")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_on_three_executors_of_which_one_dies() -> Result<()> {
    run_on(Nodes::ThreeLosingOne, Suite::new("staged")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_the_other_combinations() -> Result<()> {
    let seed = seed()?;
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    for (nodes, suite) in combinations().choose_multiple(&mut random, 3) {
        run_on(*nodes, suite.clone())
            .await
            .with_context(|| format!("MILLPOND_SEED={seed}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `just full` runs it"]
async fn every_combination() -> Result<()> {
    let mut failures = Vec::new();
    for (nodes, suite) in combinations() {
        if let Err(error) = run_on(nodes, suite).await {
            failures.push(format!("{error:#}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}
