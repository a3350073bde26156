//! Results of stages in memory: what fits stays there, what does not goes to disk, and a full memory file
//! system costs a task and not the statement.
//!
//! The small memory file system is mounted as in `disk_full`, in a namespace of the test's own.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cluster_tests::{Client, Cluster};
use tempfile::TempDir;

/// Names the mount point in the test's second life. Not `MILLPOND_...`: that would be a configuration key.
const MOUNT_POINT: &str = "SHUFFLE_MOUNT_POINT";
/// Ways to a mount namespace: the first one as anybody, the second one as root where user namespaces are forbidden.
const NAMESPACES: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];
const SIZE: &str = "size=16m";
/// 200,000 rows of 320 bytes that do not compress away, 64 MB.
const WIDE: &str =
    "(SELECT value AS n, repeat(md5(cast(value AS TEXT)), 10) AS t FROM generate_series(1, 200000)) AS wide";
const GROUPS: &str =
    "SELECT count(g) FROM (SELECT value % 7 AS g FROM generate_series(1, 1000) GROUP BY value % 7)";

#[test]
fn more_than_memory_holds_goes_to_disk() -> Result<()> {
    in_namespace("more_than_memory_holds_goes_to_disk", async |memory| {
        let (cluster, client) = start(memory, &[]).await?;
        let too_large = format!("SELECT count(*) FROM (SELECT t, count(*) AS c FROM {WIDE} GROUP BY t)");
        for _ in 0..3 {
            assert_eq!(client.number(&too_large).await?, 200_000);
        }
        ensure!(disk_tasks(&cluster)? > 0, "nothing went to disk");
        assert_eq!(client.number(GROUPS).await?, 7);
        Ok(())
    })
}

#[test]
fn memory_that_others_fill_costs_no_statement() -> Result<()> {
    in_namespace("memory_that_others_fill_costs_no_statement", async |memory| {
        let (_cluster, client) = start(memory, &[]).await?;
        // Between the limit, which is within half of it, and the end of the file system there is less than is written.
        fs::write(memory.join("of-others"), vec![1; 13 << 20])?;
        let too_large = format!("SELECT count(*) FROM (SELECT t, count(*) AS c FROM {WIDE} GROUP BY t)");
        assert_eq!(client.number(&too_large).await?, 200_000);
        Ok(fs::remove_file(memory.join("of-others"))?)
    })
}

#[test]
fn what_a_killed_executor_left_in_memory_is_removed() -> Result<()> {
    in_namespace(
        "what_a_killed_executor_left_in_memory_is_removed",
        async |memory| {
            let (mut cluster, client) = start(memory, &[]).await?;
            client.number(GROUPS).await?;
            let killed = folders(memory)?;
            assert_eq!(killed.len(), 1);
            cluster.executors[0].kill()?;
            cluster.executors.clear();
            assert_eq!(folders(memory)?, killed);
            add_executor(&mut cluster, memory, &[])?;
            cluster.wait_for_executors(1).await?;
            let now = folders(memory)?;
            ensure!(now.len() == 1 && now != killed, "{now:?} after {killed:?}");
            assert_eq!(client.number(GROUPS).await?, 7);
            cluster.executors.clear();
            Ok(())
        },
    )
}

/// A cluster of one executor that keeps results of stages on `memory`.
async fn start(memory: &Path, flags: &[&str]) -> Result<(Cluster, Client)> {
    let mut cluster = Cluster::start(0).await?;
    add_executor(&mut cluster, memory, flags)?;
    cluster.wait_for_executors(1).await?;
    let client = cluster.connect().await?;
    client.run("SET millpond.execution_mode = 'staged'").await?;
    assert_eq!(client.number(GROUPS).await?, 7);
    Ok((cluster, client))
}

fn add_executor(cluster: &mut Cluster, memory: &Path, flags: &[&str]) -> Result<()> {
    let shuffle_dir = format!("executor.shuffle_dir={}", memory.display());
    let work_dir = format!("executor.work_dir={}", cluster.folder().join("work").display());
    let mut all = vec![
        "--memory-limit",
        "1GiB",
        "--set",
        &shuffle_dir,
        "--set",
        &work_dir,
    ];
    all.extend(flags);
    cluster.add_executor(&all)
}

/// Tasks of the executor that wrote to disk, from its metrics.
fn disk_tasks(cluster: &Cluster) -> Result<u64> {
    let samples = cluster.executors[0].samples("executor_shuffle_tasks_total")?;
    let on_disk = samples.iter().find(|(labels, _)| labels.contains("disk"));
    let (_, count) = on_disk.with_context(|| format!("no metric in {samples:?}"))?;
    Ok(*count as u64)
}

/// The executors' folders in memory.
fn folders(memory: &Path) -> Result<Vec<PathBuf>> {
    Ok(fs::read_dir(memory)?
        .flatten()
        .map(|entry| entry.path())
        .collect())
}

/// Runs `body` on the path of an empty small memory file system, in a process of its own.
fn in_namespace(test: &str, body: impl AsyncFnOnce(&Path) -> Result<()>) -> Result<()> {
    if let Some(memory) = env::var_os(MOUNT_POINT).map(PathBuf::from) {
        ensure!(mount(&mut Command::new("mount"), &memory)?, "cannot mount");
        return tokio::runtime::Runtime::new()?.block_on(body(&memory));
    }
    let memory = TempDir::new()?;
    for namespace in NAMESPACES {
        let mut probe = Command::new("unshare");
        if !mount(probe.args(namespace).arg("mount"), memory.path()).unwrap_or(false) {
            continue;
        }
        // Its output is not passed on as long as all is well, or the test would be counted twice.
        let output = Command::new("unshare")
            .args(namespace)
            .arg(env::current_exe()?)
            .args([test, "--exact", "--nocapture"])
            .env(MOUNT_POINT, memory.path())
            .output()
            .context("start the test in a mount namespace")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(
            output.status.success(),
            "in its mount namespace {test} ended with {}\n{}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        return Ok(());
    }
    // Not `eprintln!`, which nobody sees of a test that passes.
    writeln!(
        io::stderr(),
        "SKIPPED {test}: no mount namespace is allowed here, so there is no small memory"
    )?;
    Ok(())
}

/// Mounts the small file system on `folder`; false if that is not allowed.
fn mount(command: &mut Command, folder: &Path) -> Result<bool> {
    let command = command.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(folder);
    Ok(command.status().context("start mount")?.success())
}
