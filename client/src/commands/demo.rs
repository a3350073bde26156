//! `millpond demo`: the four jobs in one go, on a cluster and a broker of its own.
//!
//! It types the commands that anybody can type, and shows them: each is this program again, in a process of its own.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::error::Error;
use crate::interrupt::Interrupts;

/// Longest wait for the cluster.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// Until a model has learned what its table has.
const SETTLE: Duration = Duration::from_millis(1200);
const PIPELINE: &str = "data/pipelines/marketing.yaml";
const MODEL_JOB: &str = "data/jobs/customer_model.sql";
/// The broker that the job names.
const NAMED_BROKER: &str = "localhost:9092";
/// Rows of the large table.
const LARGE_ROWS: &str = "1000000";

/// Flags of `millpond demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave the cluster running until Ctrl-C
    #[arg(long)]
    stay: bool,
}

/// Runs the four jobs.
///
/// # Errors
/// The first command that fails; [`Error::Usage`] outside of the project's folder.
pub async fn run(args: Args, mut interrupts: Interrupts) -> Result<(), Error> {
    for file in [PIPELINE, MODEL_JOB] {
        if !Path::new(file).is_file() {
            return Err(Error::Usage(format!(
                "'{file}' is not here\nhint: run it in the folder of the project, whose data it uses"
            )));
        }
    }
    let work = tempfile::tempdir()
        .map_err(|error| Error::Node(format!("no folder for temporary files: {error}")))?;
    let demo = tokio::select! {
        demo = Demo::start(work.path()) => demo?,
        () = interrupts.next() => return Ok(()),
    };
    let started = Instant::now();
    let outcome = tokio::select! {
        outcome = demo.jobs(work.path()) => outcome,
        () = interrupts.next() => Err(Error::Cancelled("cancelled".to_owned())),
    };
    if outcome.is_ok() {
        say(&format!(
            "All four jobs took {:.0} s.",
            started.elapsed().as_secs_f64()
        ));
        if args.stay {
            say(&format!(
                "The cluster stays until Ctrl-C. In another terminal:\n  export MILLPOND_URL={} MILLPOND_BROKERS={}\n  millpond sql",
                demo.url, demo.brokers
            ));
            interrupts.next().await;
        }
    }
    demo.stop().await;
    outcome
}

/// A running cluster.
struct Demo {
    cluster: Child,
    url: String,
    brokers: String,
}

impl Demo {
    async fn start(work: &Path) -> Result<Self, Error> {
        title("A cluster of two executors, with a Kafka broker");
        let state = work.join("state");
        let arguments = [
            "up",
            "--kafka",
            "embedded",
            "--flight-sql-bind",
            "127.0.0.1:0",
            "--http-bind",
            "127.0.0.1:0",
        ];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
        arguments.extend(["--state".to_owned(), state.display().to_string()]);
        show(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let mut cluster = program(&arguments)?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Error::Node(format!("cannot start a cluster: {error}")))?;
        let output = cluster
            .stdout
            .take()
            .ok_or_else(|| Error::Node("a cluster without output".to_owned()))?;
        let mut lines = BufReader::new(output).lines();
        let (mut url, mut brokers) = (String::new(), String::new());
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                match line.split_once(char::is_whitespace) {
                    Some(("flight_sql", value)) => url = value.trim().to_owned(),
                    Some(("kafka", value)) => brokers = value.trim().to_owned(),
                    None if line.trim() == "ready" => return true,
                    _ => {}
                }
            }
            false
        };
        match tokio::time::timeout(START_TIMEOUT, ready).await {
            Ok(true) => Ok(Self {
                cluster,
                url,
                brokers,
            }),
            _ => Err(Error::Node("the cluster did not start".to_owned())),
        }
    }

    /// Nothing of it is of use afterwards, so it need not end in good order; executors end with it.
    async fn stop(mut self) {
        // One that is gone already cannot be ended.
        let _ = self.cluster.kill().await;
    }

    async fn jobs(&self, work: &Path) -> Result<(), Error> {
        self.preprocess().await?;
        self.stream().await?;
        self.follow(work).await?;
        self.analyse(work).await
    }

    /// The first job.
    async fn preprocess(&self) -> Result<(), Error> {
        title("1. Preprocess: clean a marketing campaign and make features of it");
        self.run(&["pipeline", "run", PIPELINE]).await?;
        self.sql("SELECT id, income, round(income_z, 3) AS income_z, age, total_spend, response FROM marketing_features LIMIT 3")
            .await
    }

    /// The second.
    async fn stream(&self) -> Result<(), Error> {
        title("2. Stream: readings of sensors, some late, incomplete or broken");
        self.run(&[
            "topic",
            "produce",
            "sensor_data",
            "--generate",
            "sensors",
            "--rows",
            "20000",
        ])
        .await?;
        self.sql(&format!(
            "CREATE EXTERNAL TABLE sensor_data (sensor_id TEXT, ts TIMESTAMP, temperature DOUBLE, humidity DOUBLE) \
             STORED AS KAFKA LOCATION 'kafka://{}/sensor_data' OPTIONS ('format' 'json')",
            self.brokers
        ))
        .await?;
        self.sql("SELECT state, lag, rows, dead FROM system.streams WHERE table_name = 'sensor_data'")
            .await?;
        self.sql("WAIT FOR TABLE sensor_data TIMEOUT '30s'").await?;
        say("It has caught up: the lag is 0. What could not become a row is kept:");
        self.sql("SELECT state, lag, rows, dead FROM system.streams WHERE table_name = 'sensor_data'")
            .await?;
        self.sql("SELECT reason, detail, substr(CAST(value AS VARCHAR), 1, 60) AS value FROM system.dead_letters LIMIT 2")
            .await?;
        self.sql(
            "SELECT date_bin(INTERVAL '1 minute', ts) AS minute, count(*) AS readings, round(avg(temperature), 2) AS mean, \
             max(temperature) AS highest FROM sensor_data GROUP BY minute ORDER BY minute LIMIT 3",
        )
        .await
    }

    /// The third.
    async fn follow(&self, work: &Path) -> Result<(), Error> {
        title("3. Follow: customers by their changes, and models that follow them");
        let produce = [
            "topic",
            "produce",
            "customer_updates",
            "--generate",
            "customer-updates",
        ];
        self.run(&[&produce[..], &["--rows", "4000"]].concat()).await?;
        let job = std::fs::read_to_string(MODEL_JOB).map_err(|source| Error::Input {
            path: MODEL_JOB.to_owned(),
            source,
        })?;
        let file = work.join("customer_model.sql");
        std::fs::write(&file, job.replace(NAMED_BROKER, &self.brokers)).map_err(not_written(&file))?;
        say(&format!("{MODEL_JOB}, with the address of this broker:"));
        self.run(&["submit", &file.display().to_string()]).await?;
        say("6,000 changes come in, 1,500 a second. Nobody trains anything:");
        let mut producer = self
            .start_quietly(&[&produce[..], &["--seed", "2", "--rows", "6000", "--rate", "1500"]].concat())?;
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.sql(
                "SELECT m.version, m.rows, round(c.coefficient, 4) AS income, round(c.t, 1) AS t FROM system.models m \
                 JOIN system.model_coefficients c ON c.model = m.name AND c.version = m.version \
                 WHERE m.name = 'spenders' AND c.term = 'income'",
            )
            .await?;
        }
        // Its end is all that matters.
        let _ = producer.wait().await;
        self.sql("WAIT FOR TABLE customers TIMEOUT '30s'").await?;
        tokio::time::sleep(SETTLE).await;
        say("A customer wants to be forgotten: the row goes, and the model forgets it exactly.");
        let id = self.answer("SELECT min(id) FROM customers").await?;
        self.known(&id).await?;
        let message =
            format!(r#"{{"key": {{"id": {id}}}, "op": "d", "before": {{"id": {id}}}, "after": null}}"#);
        self.send("customer_updates", &message).await?;
        self.sql("WAIT FOR TABLE customers TIMEOUT '30s'").await?;
        tokio::time::sleep(SETTLE).await;
        self.known(&id).await?;
        self.run(&["models", "responders"]).await
    }

    /// Whether a customer is there, and how many the table and a model know.
    async fn known(&self, id: &str) -> Result<(), Error> {
        self.sql(&format!(
            "SELECT count(*) AS customers, count(*) FILTER (WHERE id = {id}) AS number_{id}, max(m.version) AS version, \
             max(m.rows + v.left_out) AS rows_learned FROM customers CROSS JOIN system.models m \
             JOIN system.model_versions v ON v.model = m.name AND v.version = m.version WHERE m.name = 'spenders'"
        ))
        .await
    }

    /// The fourth.
    async fn analyse(&self, work: &Path) -> Result<(), Error> {
        title("4. Analyse: a large table, from its files and from memory");
        let folder = work.join("large");
        let file = |name: &str| folder.join(name).display().to_string();
        std::fs::create_dir(&folder).map_err(not_written(&folder))?;
        self.run(&[
            "datagen",
            "marketing",
            "--rows",
            LARGE_ROWS,
            "--output",
            &file("1.csv"),
        ])
        .await?;
        self.sql(&format!(
            "CREATE EXTERNAL TABLE large STORED AS CSV LOCATION '{}/' \
             OPTIONS ('format.delimiter' E'\\t', 'format.has_header' 'true')",
            folder.display()
        ))
        .await?;
        let query = "SELECT \"Education\", count(*) AS customers, round(avg(\"MntWines\"), 1) AS wines FROM large \
                     GROUP BY 1 ORDER BY 1";
        self.timed(query).await?;
        self.timed("CACHE TABLE large").await?;
        self.timed(query).await?;
        say("Another file comes into the folder. Nobody says so, and what is in memory follows:");
        self.run(&[
            "datagen",
            "marketing",
            "--rows",
            "50000",
            "--seed",
            "2",
            "--output",
            &file("2.csv"),
        ])
        .await?;
        self.sql(query).await
    }

    async fn sql(&self, query: &str) -> Result<(), Error> {
        self.run(&["sql", "-c", query]).await
    }

    /// The one value of a query.
    async fn answer(&self, query: &str) -> Result<String, Error> {
        let output = self.program(&["sql", "--format", "csv", "-c", query])?;
        let output = { output }
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(not_started)?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().last().unwrap_or_default().trim().to_owned())
    }

    /// With the time that it took, connection and all.
    async fn timed(&self, query: &str) -> Result<(), Error> {
        let started = Instant::now();
        self.sql(query).await?;
        say(&format!("{:.2} s", started.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Types a command and waits for its end.
    async fn run(&self, arguments: &[&str]) -> Result<(), Error> {
        show(arguments);
        let mut process = self
            .program(arguments)?
            .stdin(Stdio::null())
            .spawn()
            .map_err(not_started)?;
        ended(&mut process, arguments).await
    }

    fn start_quietly(&self, arguments: &[&str]) -> Result<Child, Error> {
        show(arguments);
        let mut process = self.program(arguments)?;
        process
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(not_started)
    }

    /// Sends one message.
    async fn send(&self, topic: &str, message: &str) -> Result<(), Error> {
        let arguments = ["topic", "produce", topic, "--file", "-", "--key", "key"];
        say(&format!("$ echo '{message}' | millpond {}", arguments.join(" ")));
        let mut process = self
            .program(&arguments)?
            .stdin(Stdio::piped())
            .spawn()
            .map_err(not_started)?;
        if let Some(mut input) = process.stdin.take() {
            input
                .write_all(format!("{message}\n").as_bytes())
                .await
                .map_err(not_started)?;
        }
        ended(&mut process, &arguments).await
    }

    fn program(&self, arguments: &[&str]) -> Result<Command, Error> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut command = program(&arguments)?;
        command
            .env("MILLPOND_URL", &self.url)
            .env("MILLPOND_BROKERS", &self.brokers);
        Ok(command)
    }
}

fn program(arguments: &[String]) -> Result<Command, Error> {
    let mut command = Command::new(std::env::current_exe().map_err(not_started)?);
    command.args(arguments).kill_on_drop(true);
    Ok(command)
}

fn not_started(error: std::io::Error) -> Error {
    Error::Node(format!("cannot run this program again: {error}"))
}

fn not_written(place: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let target = place.display().to_string();
    move |source| Error::Output { target, source }
}

async fn ended(process: &mut Child, arguments: &[&str]) -> Result<(), Error> {
    let status = process.wait().await.map_err(not_started)?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::Node(format!("millpond {}: {status}", arguments.join(" ")))),
    }
}

fn title(text: &str) {
    say(&format!(
        "\n── {text} {}",
        "─".repeat(96_usize.saturating_sub(text.chars().count()))
    ));
}

/// Shows a command as it would be typed.
fn show(arguments: &[&str]) {
    let quoted = arguments
        .iter()
        .map(|argument| match argument.contains([' ', '(', '*']) {
            true => format!("\"{}\"", argument.replace('"', "\\\"")),
            false => (*argument).to_owned(),
        });
    say(&format!("$ millpond {}", quoted.collect::<Vec<_>>().join(" ")));
}

fn say(text: &str) {
    // A reader that has gone away is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{text}");
}
