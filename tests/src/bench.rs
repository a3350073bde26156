//! Brokers, a cluster that follows their topics, and a client: what tests of tables over topics start from.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{Broker, Client, Cluster, Process};

/// Longest time until a table has caught up after a fault.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Errors that pass by themselves: no executor yet, one that is lost, a topic partition that moves.
const PASSING: [&str; 3] = ["MP0023", "MP0024", "MP0026"];

/// See the module.
#[derive(Debug)]
pub struct Bench {
    /// Its executors may be killed.
    pub cluster: Cluster,
    /// The brokers.
    pub broker: Broker,
    /// A session of the scheduler.
    pub client: Client,
}

impl Bench {
    /// Starts brokers, a scheduler and executors.
    ///
    /// # Errors
    /// What does not start.
    pub async fn start(executors: usize) -> Result<Self> {
        let cluster = Cluster::start(executors).await?;
        Ok(Self {
            client: cluster.connect().await?,
            cluster,
            broker: Broker::start()?,
        })
    }

    /// Makes a table over a topic of the brokers.
    ///
    /// # Errors
    /// What the cluster or the brokers say.
    pub async fn create(&self, table: &str, columns: &str, topic: &str, options: &str) -> Result<()> {
        self.client.run(&self.sql(table, columns, topic, options)).await
    }

    /// The statement that does so.
    pub fn sql(&self, table: &str, columns: &str, topic: &str, options: &str) -> String {
        format!(
            "CREATE EXTERNAL TABLE {table} ({columns}) STORED AS KAFKA LOCATION 'kafka://{}/{topic}' OPTIONS ({options})",
            self.broker.servers()
        )
    }

    /// Waits until a table has everything that was sent to its topic.
    ///
    /// # Errors
    /// What the cluster or the brokers say.
    pub async fn wait(&self, table: &str, topic: &str) -> Result<()> {
        self.broker.flush()?;
        let offsets = self.broker.offsets(topic);
        self.client
            .run(&format!(
                "WAIT FOR TABLE {table} OFFSETS '{offsets}' TIMEOUT '20s'"
            ))
            .await
    }

    /// Rows of a query, the values of each with blanks between them.
    ///
    /// # Errors
    /// What the cluster or the brokers say.
    pub async fn rows(&self, sql: &str) -> Result<Vec<String>> {
        let rows = self.client.rows(sql).await?;
        Ok(rows.into_iter().map(|row| row.join(" ")).collect())
    }

    /// Runs a statement again while what it needs is not there yet.
    ///
    /// # Errors
    /// What the cluster or the brokers say.
    pub async fn patiently(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        let start = Instant::now();
        loop {
            match self.client.rows(sql).await {
                Err(error) if start.elapsed() < PATIENCE => {
                    let text = format!("{error:#}");
                    let passes = PASSING.iter().any(|code| text.contains(code));
                    ensure!(passes, "{sql}: {text}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                ended => return ended.with_context(|| sql.to_string()),
            }
        }
    }

    /// Kills the scheduler and starts another.
    ///
    /// # Errors
    /// What the cluster or the brokers say.
    pub async fn restart_scheduler(&mut self) -> Result<()> {
        self.cluster.scheduler.kill()?;
        self.cluster.restart_scheduler_in_place()?;
        self.client = self.cluster.connect().await?;
        Ok(())
    }

    /// Kills all processes.
    ///
    /// # Errors
    /// What the cluster or the brokers say.
    pub fn kill_all(&mut self) -> Result<()> {
        self.cluster.scheduler.kill()?;
        self.cluster.executors.iter_mut().try_for_each(Process::kill)
    }

    /// After [`Bench::kill_all`]. An executor is ready when it has joined, so the scheduler comes first.
    ///
    /// # Errors
    /// What the cluster or the brokers say.
    pub async fn start_again(&mut self) -> Result<()> {
        self.cluster.restart_scheduler_in_place()?;
        self.cluster.restart_executors()?;
        self.client = self.cluster.connect().await?;
        Ok(())
    }

    /// Kills an executor and starts another.
    ///
    /// # Errors
    /// What the cluster or the brokers say.
    pub fn replace_executor(&mut self, at: usize) -> Result<()> {
        self.cluster.executors[at].kill()?;
        self.cluster.add_executor(&[])?;
        self.cluster.executors.remove(at);
        Ok(())
    }

    /// Waits until a query says `true`; `what` is wrong if it never does.
    ///
    /// # Errors
    /// What the cluster or the brokers say.
    pub async fn until(&self, sql: &str, what: &str) -> Result<()> {
        let start = Instant::now();
        while self.patiently(sql).await?[0][0] != "true" {
            ensure!(start.elapsed() < PATIENCE, "{what}: {sql}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}
