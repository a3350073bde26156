//! What happens to processes and files, each with a proof that it did.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster_tests::{Bench, PATIENCE, Process};
use rand::Rng;
use rand::rngs::StdRng;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    KillExecutor,
    CutOff,
    KillScheduler,
    KillAll,
    Join,
    Drain,
    Pause,
    DamageCheckpoint,
    CrashBroker,
}

impl Fault {
    pub(crate) const ALL: [Self; 9] = [
        Self::KillExecutor,
        Self::CutOff,
        Self::KillScheduler,
        Self::KillAll,
        Self::Join,
        Self::Drain,
        Self::Pause,
        Self::DamageCheckpoint,
        Self::CrashBroker,
    ];

    /// Makes it happen; an error if it had no effect.
    pub(crate) async fn strike(self, bench: &mut Bench, random: &mut StdRng) -> Result<()> {
        match self {
            Self::KillExecutor => kill_executor(bench, random).await,
            Self::CutOff => cut_off(bench, random).await,
            Self::KillScheduler => bench.restart_scheduler().await,
            Self::KillAll => {
                bench.until(STORED, "nothing is stored").await?;
                bench.kill_all()?;
                bench.start_again().await
            }
            Self::Join => join(bench).await,
            Self::Drain => drain(bench).await,
            Self::Pause => {
                bench.client.run("PAUSE TABLE by_op_json").await?;
                let paused = "SELECT state = 'paused' FROM system.streams WHERE table_name = 'by_op_json'";
                bench.until(paused, "the table is not paused").await?;
                bench.client.run("RESUME TABLE by_op_json").await
            }
            Self::DamageCheckpoint => damage_checkpoint(bench, random).await,
            Self::CrashBroker => {
                bench.broker.crash()?;
                bench.until(MISSED, "nothing misses the broker").await?;
                bench.broker.revive().await
            }
        }
    }
}

const STORED: &str = "SELECT count(checkpoint_offset) > 0 FROM system.stream_partitions";
const ALL_STORED: &str = "SELECT bool_and(checkpoint_offset = end_offset) FROM system.stream_partitions";
const MISSED: &str = "SELECT count(*) > 0 FROM system.stream_partitions WHERE state = 'stalled' AND starts_with(reason, 'brokers: ')";

async fn kill_executor(bench: &mut Bench, random: &mut StdRng) -> Result<()> {
    let epochs = "SELECT sum(epoch) FROM system.stream_partitions";
    let before = bench.patiently(epochs).await?;
    let at = random.random_range(0..bench.cluster.executors.len());
    bench.replace_executor(at)?;
    let later = format!(
        "SELECT sum(epoch) > {} FROM system.stream_partitions",
        before[0][0]
    );
    bench.until(&later, "no topic partition has moved").await
}

/// An executor stands still until others have its part, and then goes on, with what it was about to publish and to store.
async fn cut_off(bench: &mut Bench, random: &mut StdRng) -> Result<()> {
    let at = random.random_range(0..bench.cluster.executors.len());
    let executor = &bench.cluster.executors[at];
    let name = name_of(executor)?;
    bench
        .until(&format!("{} > 0", owned(&name)), "the executor has nothing")
        .await?;
    executor.signal("STOP")?;
    bench
        .until(&format!("{} = 0", owned(&name)), "it keeps its part")
        .await?;
    executor.signal("CONT")?;
    // It is one of them again.
    let is_back = format!(
        "SELECT count(*) = {} FROM system.executors",
        bench.cluster.executors.len()
    );
    bench.until(&is_back, "it does not come back").await
}

/// One more executor gets its part.
async fn join(bench: &mut Bench) -> Result<()> {
    bench.cluster.add_executor(&[])?;
    let joined = bench.cluster.executors.last().context("an executor")?;
    let has_some = format!("{} > 0", owned(&name_of(joined)?));
    bench.until(&has_some, "the new executor follows nothing").await
}

/// An executor gives up its part, and ends.
async fn drain(bench: &mut Bench) -> Result<()> {
    if bench.cluster.executors.len() < 3 {
        join(bench).await?;
    }
    let name = name_of(&bench.cluster.executors[0])?;
    let had_some = format!("{} > 0", owned(&name));
    bench
        .until(&had_some, "the executor has nothing to give up")
        .await?;
    bench.cluster.run(&["drain", &name])?;
    let has_none = format!("{} = 0", owned(&name));
    bench.until(&has_none, "the executor keeps something").await?;
    bench.cluster.executors.remove(0).kill()
}

/// A query for the number of topic partitions that an executor follows.
fn owned(name: &str) -> String {
    format!("SELECT (SELECT count(*) FROM system.stream_partitions WHERE executor_id LIKE '{name}-%')")
}

/// Its name: the identifier is another one after it was given up.
fn name_of(executor: &Process) -> Result<String> {
    let id = executor.announced("executor")?;
    let (name, _) = id.rsplit_once('-').context("an identifier behind the name")?;
    Ok(name.to_string())
}

async fn damage_checkpoint(bench: &mut Bench, random: &mut StdRng) -> Result<()> {
    // The newest are those of the owners of now: nobody looks at older ones that their fences do not name.
    bench.broker.flush()?;
    bench.until(ALL_STORED, "not everything is stored").await?;
    // Nothing may write a newer one before the damage is met.
    bench.kill_all()?;
    let mut newest: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for path in checkpoints(bench)? {
        newest.insert(path.parent().context("folder")?.to_path_buf(), path);
    }
    ensure!(!newest.is_empty(), "there is no checkpoint");
    for path in newest.values() {
        let mut content = std::fs::read(path)?;
        let middle = content.len() / 2;
        // Torn, or a flipped bit.
        match random.random_bool(0.5) {
            true => content.truncate(middle),
            false => content[middle] ^= 4,
        }
        std::fs::write(path, content)?;
    }
    bench.start_again().await?;
    let (start, damaged) = (Instant::now(), newest.len() as u64);
    loop {
        let met = |executor: &Process| executor.metric("stream_damaged_checkpoints_total");
        let met: Vec<u64> = bench.cluster.executors.iter().map(met).collect::<Result<_>>()?;
        if met.iter().sum::<u64>() >= damaged {
            return Ok(());
        }
        ensure!(start.elapsed() < PATIENCE, "{met:?} of {damaged} were met");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Files of checkpoints.
pub(crate) fn checkpoints(bench: &Bench) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(&bench.cluster.folder().join("state/streams"), &mut found)?;
    found.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "checkpoint")
    });
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        match path.is_dir() {
            true => walk(&path, found)?,
            false => found.push(path),
        }
    }
    Ok(())
}
