//! The disk of an executor's work directory is full: statements that need more of it fail, the executor goes on.
//!
//! The work directory is on a file system of a few MiB. Mounting one takes rights of its own, so the test starts
//! itself again in a new mount namespace, in which it may mount and whose mounts end with it. Where namespaces are
//! not allowed either it says so and proves nothing.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster_tests::{Client, Cluster};
use tempfile::TempDir;

/// Names the mount point in the test's second life, in a namespace. Not `MILLPOND_...`: that would be a configuration
/// key.
const MOUNT_POINT: &str = "DISK_FULL_MOUNT_POINT";
/// Ways to a mount namespace: the first one as anybody, the second one as root where user namespaces are forbidden.
const NAMESPACES: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];
const DISK: &str = "size=8m";
/// 200,000 rows of 320 bytes that do not compress away, 64 MB.
const WIDE: &str =
    "(SELECT value AS n, repeat(md5(cast(value AS TEXT)), 10) AS t FROM generate_series(1, 200000)) AS wide";

#[test]
fn a_full_disk_fails_the_statement_and_is_freed() -> Result<()> {
    in_namespace("a_full_disk_fails_the_statement_and_is_freed", async |disk| {
        let (mut cluster, client) = start(disk, "1GiB").await?;
        // Rows for the next stage, and rows for the client.
        for too_large in [
            format!("SELECT t, count(*) AS c FROM {WIDE} GROUP BY t"),
            format!("SELECT n, t FROM {WIDE}"),
        ] {
            fails_and_is_freed(&mut cluster, &client, disk, &too_large).await?;
        }
        Ok(())
    })
}

#[test]
fn a_disk_too_small_to_spill_fails_the_statement_and_is_freed() -> Result<()> {
    in_namespace(
        "a_disk_too_small_to_spill_fails_the_statement_and_is_freed",
        async |disk| {
            let (mut cluster, client) = start(disk, "48MiB").await?;
            let sorted = format!("SELECT count(t) FROM (SELECT t FROM {WIDE} ORDER BY t OFFSET 1)");
            fails_and_is_freed(&mut cluster, &client, disk, &sorted).await
        },
    )
}

/// A cluster of one executor that works on `disk`.
async fn start(disk: &Path, memory_limit: &str) -> Result<(Cluster, Client)> {
    let work_dir = format!("executor.work_dir={}", work_dir(disk).display());
    // All on disk: nothing would be full otherwise.
    let flags = [
        "--memory-limit",
        memory_limit,
        "--set",
        &work_dir,
        "--set",
        "executor.shuffle_dir=",
    ];
    let cluster = Cluster::start_with(1, &[], &flags).await?;
    let client = cluster.connect().await?;
    small_query_works(&client).await?;
    Ok((cluster, client))
}

fn work_dir(disk: &Path) -> PathBuf {
    disk.join("work")
}

/// The statement fails for want of disk, its files go, and the executor takes the next statement.
async fn fails_and_is_freed(
    cluster: &mut Cluster,
    client: &Client,
    disk: &Path,
    too_large: &str,
) -> Result<()> {
    let error = client.failure(too_large).await?;
    ensure!(
        error.contains("MP0021") && error.contains("executor.work_dir") && error.contains("hint: "),
        "{error}"
    );
    let start = Instant::now();
    while let Some(left) = leftovers(disk)? {
        ensure!(
            start.elapsed() < Duration::from_secs(10),
            "{} was left by: {too_large}",
            left.display()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    small_query_works(client).await?;
    assert!(cluster.executors[0].is_alive());
    Ok(())
}

/// A query with a shuffle that fits; on a disk that is not freed it would not.
async fn small_query_works(client: &Client) -> Result<()> {
    let groups =
        "SELECT count(g) FROM (SELECT value % 7 AS g FROM generate_series(1, 1000) GROUP BY value % 7)";
    assert_eq!(client.number(groups).await?, 7);
    Ok(())
}

/// A file of more than a page, of jobs or of operators that spilled.
///
/// What small statements leave for their clients to fetch is not looked at.
fn leftovers(disk: &Path) -> Result<Option<PathBuf>> {
    let mut folders = vec![work_dir(disk)];
    while let Some(folder) = folders.pop() {
        // What is gone between two calls is no leftover.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.len() > 4096 {
                return Ok(Some(entry.path()));
            }
        }
    }
    Ok(None)
}

/// Runs `body` on the path of an empty small disk, in a process of its own.
fn in_namespace(test: &str, body: impl AsyncFnOnce(&Path) -> Result<()>) -> Result<()> {
    if let Some(disk) = env::var_os(MOUNT_POINT).map(PathBuf::from) {
        ensure!(mount(&mut Command::new("mount"), &disk)?, "cannot mount");
        return tokio::runtime::Runtime::new()?.block_on(body(&disk));
    }
    let disk = TempDir::new()?;
    for namespace in NAMESPACES {
        let mut probe = Command::new("unshare");
        if !mount(probe.args(namespace).arg("mount"), disk.path()).unwrap_or(false) {
            continue;
        }
        // Its output is not passed on as long as all is well, or the test would be counted twice.
        let output = Command::new("unshare")
            .args(namespace)
            .arg(env::current_exe()?)
            .args([test, "--exact", "--nocapture"])
            .env(MOUNT_POINT, disk.path())
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
        "SKIPPED {test}: no mount namespace is allowed here, so there is no small disk"
    )?;
    Ok(())
}

/// Mounts the small disk on `folder`; false if that is not allowed.
fn mount(command: &mut Command, folder: &Path) -> Result<bool> {
    let command = command.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(folder);
    Ok(command.status().context("start mount")?.success())
}
