//! An executor in a process of its own, started from the same binary.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, Command};

use super::config_args::ConfigArgs;
use super::parent::DRAIN;
use crate::error::Error;

/// How to start an executor.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Name of the executor, stable over restarts.
    pub name: String,
    /// `HOST:PORT` of the scheduler's internal port.
    pub scheduler: String,
    /// Configuration that all processes of the cluster share.
    pub config: ConfigArgs,
    /// Settings of this executor alone.
    pub settings: Vec<(String, String)>,
}

impl Launch {
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["executor".to_owned(), "--exit-with-parent".to_owned()];
        arguments.extend(["--name".to_owned(), self.name.clone()]);
        arguments.extend(["--scheduler".to_owned(), self.scheduler.clone()]);
        let mut config = self.config.clone();
        let any_port = ["executor.data_port", "executor.grpc_port", "executor.http_port"];
        config
            .set
            .extend(any_port.map(|key| (key.to_owned(), "0".to_owned())));
        config.set.extend(self.settings.iter().cloned());
        arguments.extend(config.to_flags());
        arguments
    }
}

/// A running executor process. Dropping it kills the process.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    /// Kept apart from `process`, whose `wait` would close it; the child takes that for our death.
    input: Option<ChildStdin>,
}

impl Child {
    /// Starts the process. Its log goes to our standard error. It stands in a process group of its own, so that
    /// Ctrl-C in the terminal is ours to handle.
    ///
    /// # Errors
    /// The binary is gone or the system has no process left.
    pub fn start(launch: &Launch) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::Node(format!("cannot start {}: {error}", launch.name));
        let binary: PathBuf = std::env::current_exe().map_err(failed)?;
        let mut process = Command::new(binary)
            .args(launch.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let input = process.stdin.take();
        Ok(Self { process, input })
    }

    /// Number of the process while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// The system does not tell.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Asks the process to end in good order and waits for it, up to `timeout`; then it is killed.
    pub async fn stop(mut self, timeout: Duration) {
        if let Some(mut input) = self.input.take() {
            // A process that is gone already cannot be asked.
            let _ = input.write_all(format!("{DRAIN}\n").as_bytes()).await;
        }
        if tokio::time::timeout(timeout, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_one_executor_come_last_and_so_win() {
        let launch = Launch {
            name: "executor-2".into(),
            scheduler: "127.0.0.1:1".into(),
            config: ConfigArgs {
                set: vec![("executor.vcores".into(), "8".into())],
                ..Default::default()
            },
            settings: vec![("executor.vcores".into(), "1".into())],
        };
        let arguments = launch.arguments();
        let position = |text: &str| arguments.iter().position(|argument| argument == text).unwrap();
        assert!(position("executor.vcores=8") < position("executor.vcores=1"));
        assert_eq!(arguments[0], "executor");
    }
}
