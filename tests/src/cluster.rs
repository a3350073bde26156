//! A scheduler and executors as separate processes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{Process, command};

/// Longest wait for executors to appear or go.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running cluster with a folder of its own for state and files.
#[derive(Debug)]
pub struct Cluster {
    /// The scheduler.
    pub scheduler: Process,
    /// The executors; a test may kill any.
    pub executors: Vec<Process>,
    /// Executors that were started since all were, which makes their names.
    started: usize,
    folder: TempDir,
    scheduler_args: Vec<String>,
    internal: String,
}

impl Cluster {
    /// Starts a scheduler and `count` executors of two cores and waits until all have registered.
    ///
    /// # Errors
    /// A process that does not start.
    pub async fn start(count: usize) -> Result<Self> {
        Self::start_with(count, &[], &[]).await
    }

    /// The same with more flags for the scheduler and for each executor.
    ///
    /// # Errors
    /// A process that does not start.
    pub async fn start_with(count: usize, scheduler: &[&str], executor: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let state = folder.path().join("state");
        let roots = format!(
            "storage.local_roots={},{}",
            folder.path().display(),
            repository().display()
        );
        let mut scheduler_args: Vec<String> = [
            "scheduler",
            "--flight-sql-bind",
            "127.0.0.1:0",
            "--http-bind",
            "127.0.0.1:0",
        ]
        .map(String::from)
        .to_vec();
        scheduler_args.extend(["--internal-bind".into(), "127.0.0.1:0".into()]);
        scheduler_args.extend(["--state".into(), state.display().to_string()]);
        scheduler_args.extend(["--set".into(), roots]);
        scheduler_args.extend(scheduler.iter().map(ToString::to_string));
        let scheduler = start(&scheduler_args)?;
        let internal = scheduler.announced("internal")?.to_string();
        let mut cluster = Self {
            scheduler,
            executors: Vec::new(),
            started: 0,
            folder,
            scheduler_args,
            internal,
        };
        for _ in 0..count {
            cluster.add_executor(executor)?;
        }
        cluster.wait_for_executors(count).await?;
        Ok(cluster)
    }

    /// Starts one more executor.
    ///
    /// # Errors
    /// It does not start.
    pub fn add_executor(&mut self, flags: &[&str]) -> Result<()> {
        self.started += 1;
        let name = format!("executor-{}", self.started);
        let mut args = vec!["executor", "--scheduler", &self.internal, "--name", &name];
        args.extend([
            "--data-port",
            "0",
            "--grpc-port",
            "0",
            "--http-port",
            "0",
            "--vcores",
            "2",
        ]);
        args.extend_from_slice(flags);
        self.executors.push(Process::start(&args)?);
        Ok(())
    }

    /// As many executors as there were, under the names of the first ones; those are killed.
    ///
    /// # Errors
    /// One that does not start.
    pub fn restart_executors(&mut self) -> Result<()> {
        self.started = 0;
        let old = std::mem::take(&mut self.executors).len();
        (0..old).try_for_each(|_| self.add_executor(&[]))
    }

    /// Starts the scheduler again with the same flags and state, after it was killed, on new ports.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart_scheduler(&mut self) -> Result<()> {
        self.scheduler = start(&self.scheduler_args)?;
        self.internal = self.scheduler.announced("internal")?.to_string();
        Ok(())
    }

    /// Starts the scheduler again where its executors look for it.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart_scheduler_in_place(&mut self) -> Result<()> {
        let mut args = self.scheduler_args.clone();
        for index in 1..args.len() {
            if args[index - 1] == "--internal-bind" {
                args[index] = self.internal.clone();
            }
        }
        self.scheduler = start(&args)?;
        Ok(())
    }

    /// Runs a client command against this cluster and waits for its end.
    ///
    /// # Errors
    /// The command fails.
    pub fn run(&self, args: &[&str]) -> Result<()> {
        let url = self.scheduler.announced("flight_sql")?;
        let output = command()?.args(args).args(["--url", url]).output()?;
        if !output.status.success() {
            bail!("millpond {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// A client of this cluster with a session of its own.
    ///
    /// # Errors
    /// The scheduler does not answer.
    pub async fn connect(&self) -> Result<Client> {
        Client::open(self.scheduler.announced("flight_sql")?).await
    }

    /// Folder that statements may read and write.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until exactly `count` executors are registered.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn wait_for_executors(&self, count: usize) -> Result<Duration> {
        let client = self.connect().await?;
        let start = Instant::now();
        loop {
            let registered = client.number("SELECT count(*) FROM system.executors").await?;
            if registered == count as i64 {
                return Ok(start.elapsed());
            }
            if start.elapsed() > PATIENCE {
                bail!("{registered} executors instead of {count}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn start(args: &[String]) -> Result<Process> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Process::start(&args)
}

/// Folder of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}
