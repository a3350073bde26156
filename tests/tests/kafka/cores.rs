//! Cores that following topics has for itself.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cluster_tests::{Bench, Broker, Cluster, command};

const ONE: [&str; 2] = ["--set", "executor.ingest_cores=1"];

#[test]
fn more_cores_than_there_are_cannot_be_taken() -> Result<()> {
    let refused = command()?
        .args(["executor", "--set", "executor.ingest_cores=4096"])
        .output()?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(
        !refused.status.success() && said.contains("executor.ingest_cores"),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_that_follow_topics_have_cores_of_their_own() -> Result<()> {
    if std::thread::available_parallelism()?.get() == 1 {
        eprintln!("not tested: one core cannot be divided");
        return Ok(());
    }
    let cluster = Cluster::start_with(1, &[], &ONE).await?;
    let bench = Bench {
        client: cluster.connect().await?,
        cluster,
        broker: Broker::start()?,
    };
    let topic = bench.broker.topic("cores", 2).await?;
    bench.broker.say(&topic, 0, r#"{"n":1}"#)?;
    bench.create("t", "n BIGINT", &topic, "'format' 'json'").await?;
    bench.wait("t", &topic).await?;
    let rows = bench.client.number("SELECT count(*) FROM t").await?;
    ensure!(rows == 1, "{rows} rows");
    let threads = bench.cluster.executors[0].threads()?;
    let of = |belongs: fn(&str) -> bool| {
        let mine = threads.iter().filter(move |(name, _)| belongs(name));
        mine.map(|(_, cores)| cores.clone()).collect::<BTreeSet<_>>()
    };
    let ingest = of(|name| name.starts_with("ingest"));
    let others = of(|name| !name.starts_with("ingest") && !name.starts_with("rdk:"));
    let own = ingest.first().context("no thread of ingest")?;
    ensure!(ingest.len() == 1 && own.len() == 1, "{threads:?}");
    ensure!(of(|name| name.starts_with("rdk:")).contains(own), "{threads:?}");
    ensure!(
        others.len() == 1 && others.iter().all(|cores| cores.is_disjoint(own)),
        "{threads:?}"
    );
    Ok(())
}
