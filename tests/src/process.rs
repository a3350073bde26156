//! One process of the binary under test.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// Path of the `millpond` binary that was built beside this test.
///
/// # Errors
/// It is not there: build the whole workspace.
fn binary() -> Result<PathBuf> {
    let test = std::env::current_exe().context("path of this test")?;
    let folder = test
        .parent()
        .and_then(|deps| deps.parent())
        .context("folder of the build")?;
    let binary = folder.join("millpond");
    if !binary.is_file() {
        bail!(
            "{} is not built; run `cargo build` or `cargo test` for the whole workspace",
            binary.display()
        );
    }
    Ok(binary)
}

/// The binary under test, without the variables of the tests: MILLPOND_SEED, for example, is no setting, and others
/// would change what is tested.
///
/// # Errors
/// It is not built.
pub fn command() -> Result<Command> {
    let mut command = Command::new(binary()?);
    let of_tests = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MILLPOND_"));
    for (name, _) in of_tests {
        command.env_remove(name);
    }
    Ok(command)
}

/// A process that has said where it listens. It is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    announced: HashMap<String, String>,
}

impl Process {
    /// Starts `millpond` with `args` and waits until it has announced itself with `ready`.
    ///
    /// # Errors
    /// It ended before; its standard error is in the log of the test.
    pub fn start(args: &[&str]) -> Result<Self> {
        let mut command = command()?;
        let mut child = command
            .args(args)
            .env(
                "MILLPOND_LOG_LEVEL",
                std::env::var("MILLPOND_TEST_LOG").unwrap_or_else(|_| "error".into()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start millpond")?;
        let out = child.stdout.take().context("standard output")?;
        let mut announced = HashMap::new();
        for line in BufReader::new(out).lines() {
            let line = line.context("read what the process announces")?;
            if line.trim() == "ready" {
                return Ok(Self { child, announced });
            }
            if let Some((name, value)) = line.split_once(' ') {
                announced.insert(name.to_string(), value.trim().to_string());
            }
        }
        let status = child.wait()?;
        bail!("millpond {args:?} ended before it was ready: {status}")
    }

    /// A value that the process announced, such as `flight_sql`.
    ///
    /// # Errors
    /// It announced no such thing.
    pub fn announced(&self, name: &str) -> Result<&str> {
        self.announced
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("no {name} in {:?}", self.announced))
    }

    /// The sum of a metric over its labels; 0 if the process has no such one.
    ///
    /// # Errors
    /// It does not answer.
    pub fn metric(&self, name: &str) -> Result<u64> {
        let samples = self.samples(name)?;
        Ok(samples.iter().map(|(_, value)| *value as u64).sum())
    }

    /// The samples of a metric, with their labels.
    ///
    /// # Errors
    /// It does not answer.
    pub fn samples(&self, name: &str) -> Result<Vec<(String, f64)>> {
        let address = self.announced("http")?.replace("http://", "");
        let mut connection = TcpStream::connect(address)?;
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut page = String::new();
        connection.read_to_string(&mut page)?;
        let of_metric = page
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        let samples = of_metric.filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'));
        samples
            .map(|(labels, value)| Ok((labels.to_string(), value.parse()?)))
            .collect()
    }

    /// Its threads: name, and the cores that each may run on.
    ///
    /// # Errors
    /// It has ended, or the system is not Linux.
    pub fn threads(&self) -> Result<Vec<(String, BTreeSet<usize>)>> {
        let mut threads = Vec::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // Some end meanwhile.
            let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) else {
                continue;
            };
            let field = |name: &str| {
                status
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))
            };
            let cores = field("Cpus_allowed_list").context("cores of a thread")?;
            threads.push((field("Name").unwrap_or_default().to_string(), numbers(cores)?));
        }
        Ok(threads)
    }

    /// Ends the process as `kill -9` does.
    ///
    /// # Errors
    /// It has ended already.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("kill")?;
        self.child.wait().context("wait")?;
        Ok(())
    }

    /// Sends a signal, such as `TERM` or `STOP`.
    ///
    /// # Errors
    /// There is no such process any more.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()?;
        if !status.success() {
            bail!("kill -{name} failed");
        }
        Ok(())
    }

    /// Waits for the end and answers the exit code.
    ///
    /// # Errors
    /// The process was ended by a signal.
    pub fn wait(&mut self) -> Result<i32> {
        self.child.wait()?.code().context("ended by a signal")
    }

    /// True while the process runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// The numbers of a list such as `0-2,5`.
fn numbers(list: &str) -> Result<BTreeSet<usize>> {
    let mut numbers = BTreeSet::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse()?, last.parse()?);
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
