//! Random histories: statements and faults in random order, against a model of what the tables hold.
//!
//! Every step is drawn from the seed and its number, so `MILLPOND_SEED` repeats a history, and a failure prints the
//! steps that led to it. After some steps every table is compared with the model row by row, by another session each
//! time. A statement that was under way when the scheduler died must have happened as a whole or not at all; which of
//! both is found out by looking.
//!
//! ```text
//! draw a step ─► the model after it ─┐
//!      └───────► the cluster ────────┴─► equal?
//! ```

mod action;
mod model;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use arrow::array::RecordBatch;
use cluster_tests::{Client, Cluster, seed, text_rows};
use rand::SeedableRng;
use rand::rngs::StdRng;

use action::{Action, Beside, Expected, Step};
use model::{FEW, FILES, Model, Row, VIEWS, row_of};

/// Errors that say: run it again, nothing was done.
const AGAIN: [&str; 3] = ["MP0024", "MP0026", "MP0060"];
/// How often a statement is run in all.
const ATTEMPTS: usize = 5;
/// Steps from one comparison to the next.
const STEPS_BETWEEN: usize = 3;
/// Longest time for a step with what follows from it.
const PATIENCE: Duration = Duration::from_secs(90);
/// Ways of execution that comparisons use in turn.
const MODES: [&str; 3] = ["auto", "staged", "direct"];

type Cells = Vec<Vec<String>>;

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_what_a_random_history_makes_them() -> Result<()> {
    run(seed()?, 60).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes; `just full` runs it"]
async fn tables_are_what_many_random_histories_make_them() -> Result<()> {
    let first = seed()?;
    for number in 0..20 {
        run(first.wrapping_add(number), 150).await?;
    }
    Ok(())
}

async fn run(seed: u64, steps: usize) -> Result<()> {
    let start = Instant::now();
    let mut history = History::start().await?;
    let mut told = Vec::new();
    for number in 1..=steps {
        let step = Step::draw(&mut random_of(seed, number), &history.model);
        told.push(format!("{number}: {step}"));
        let compare = number % STEPS_BETWEEN == 0 || number == steps;
        let taken = tokio::time::timeout(PATIENCE, Box::pin(history.take(&step, number, compare))).await;
        taken
            .unwrap_or_else(|_| bail!("it takes longer than {PATIENCE:?}"))
            .with_context(|| format!("MILLPOND_SEED={seed} failed after\n{}", told.join("\n")))?;
    }
    eprintln!("MILLPOND_SEED={seed}: {steps} steps in {:?}", start.elapsed());
    Ok(())
}

/// A source of its own for each step, so that one that went another way does not change those after it.
fn random_of(seed: u64, number: usize) -> StdRng {
    StdRng::seed_from_u64(seed ^ (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// A cluster and what its tables should hold.
struct History {
    cluster: Cluster,
    /// The first writes and reads, the second only reads, or writes at the same time.
    clients: [Client; 2],
    model: Model,
    folder: PathBuf,
}

impl History {
    async fn start() -> Result<Self> {
        let cluster = Cluster::start(2).await?;
        let folder = cluster.folder().join(FILES);
        fs::create_dir_all(&folder)?;
        let history = Self {
            clients: [cluster.connect().await?, cluster.connect().await?],
            cluster,
            model: Model::default(),
            folder,
        };
        history.with_tables().await
    }

    /// With a file, the table over it, a table in memory and the views.
    async fn with_tables(mut self) -> Result<Self> {
        let rows: Vec<Row> = (1..=1_000).map(row_of).collect();
        self.write_file("one.csv", &rows)?;
        self.model.files.insert("one.csv".to_string(), rows);
        self.model.tables.insert("apples", Vec::new());
        let mut definitions = vec![
            format!(
                "CREATE EXTERNAL TABLE {FILES} (n BIGINT, g BIGINT, s TEXT) STORED AS CSV LOCATION '{}/' \
                 OPTIONS ('format.has_header' 'true')",
                self.folder.display()
            ),
            Action::CreateEmpty("apples").to_string(),
        ];
        for (view, source) in VIEWS {
            definitions.push(format!(
                "CREATE VIEW {view} AS SELECT * FROM {source} WHERE {FEW}"
            ));
        }
        for definition in definitions {
            self.clients[0].run(&definition).await?;
        }
        Ok(self)
    }

    /// Takes a step and, if asked or if it was rough, compares.
    async fn take(&mut self, step: &Step, number: usize, compare: bool) -> Result<()> {
        let before = self.model.clone();
        let expected = step.action.apply(&mut self.model);
        match &step.action {
            Action::WriteFile(file, rows) => self.write_file(file, rows)?,
            Action::RemoveFile(file) => self.remove_file(file)?,
            Action::KillExecutor(which) => self.replace_executor(*which)?,
            Action::KillScheduler => {
                self.cluster.scheduler.kill()?;
                self.restart_scheduler().await?;
            }
            statement => self.carry_out(statement, &expected, &step.beside, before).await?,
        }
        let is_rough = matches!(step.action, Action::KillExecutor(_) | Action::KillScheduler)
            || matches!(step.beside, Beside::ExecutorDies(..) | Beside::SchedulerDies(_));
        if compare || is_rough {
            self.compare(number).await?;
        }
        Ok(())
    }

    async fn carry_out(
        &mut self,
        statement: &Action,
        expected: &Expected,
        beside: &Beside,
        before: Model,
    ) -> Result<()> {
        let sql = statement.to_string();
        let [writer, other] = &self.clients;
        let table = statement.table().unwrap_or(FILES);
        match beside {
            Beside::Nothing => check(expected, run_again(writer, &sql).await),
            Beside::Reader => {
                let (outcome, seen) = tokio::join!(run_again(writer, &sql), read(other, table));
                check(expected, outcome)?;
                let seen = seen?;
                ensure!(
                    seen == cells_of(&before, table) || seen == cells_of(&self.model, table),
                    "a reader saw neither the table before nor after, but {} rows",
                    seen.map_or(0, |rows| rows.len())
                );
                Ok(())
            }
            Beside::Insert(row) => {
                let insert = Action::Insert(table, model::Source::Values(vec![row.clone()]));
                let also = insert.apply(&mut self.model);
                let more = insert.to_string();
                let (outcome, second) = tokio::join!(run_again(writer, &sql), run_again(other, &more));
                check(expected, outcome)?;
                check(&also, second)
            }
            Beside::ExecutorDies(which, after) => {
                let killed = running_executor(&mut self.cluster, *which)?;
                let executor = &mut self.cluster.executors[killed];
                let death = async {
                    tokio::time::sleep(*after).await;
                    executor.kill()
                };
                let (outcome, died) = tokio::join!(run_again(writer, &sql), death);
                died?;
                self.cluster.add_executor(&[])?;
                check(expected, outcome)
            }
            Beside::SchedulerDies(after) => {
                let scheduler = &mut self.cluster.scheduler;
                let death = async {
                    tokio::time::sleep(*after).await;
                    scheduler.kill()
                };
                let (outcome, died) = tokio::join!(writer.query(&sql), death);
                died?;
                self.restart_scheduler().await?;
                match outcome {
                    Ok(answer) => check(expected, Ok(answer)),
                    Err(_) => self.find_out(before).await,
                }
            }
        }
    }

    /// Decides by looking whether a statement was carried out; the model says that it was.
    async fn find_out(&mut self, before: Model) -> Result<()> {
        let Some(not_after) = self.difference(&self.clients[0], &self.model).await? else {
            return Ok(());
        };
        if let Some(not_before) = self.difference(&self.clients[0], &before).await? {
            bail!("half a statement: before it {not_before}; after it {not_after}");
        }
        self.model = before;
        Ok(())
    }

    /// Compares every table with the model.
    async fn compare(&self, number: usize) -> Result<()> {
        let client = &self.clients[number % 2];
        let mode = MODES[number / STEPS_BETWEEN % MODES.len()];
        client
            .run(&format!("SET millpond.execution_mode = '{mode}'"))
            .await?;
        if let Some(difference) = self.difference(client, &self.model).await? {
            bail!("{mode}: {difference}");
        }
        for relation in Model::relations() {
            if let Some(rows) = self.model.rows(relation) {
                check_statistics(client, relation, &rows)
                    .await
                    .with_context(|| mode)?;
            }
        }
        Ok(())
    }

    /// What the cluster holds otherwise than a model.
    async fn difference(&self, client: &Client, model: &Model) -> Result<Option<String>> {
        for relation in Model::relations() {
            let (found, expected) = (read(client, relation).await?, cells_of(model, relation));
            if found != expected {
                return Ok(Some(format!(
                    "{relation} has {}",
                    described(found.as_ref(), expected.as_ref())
                )));
            }
        }
        Ok(None)
    }

    /// As a program does that wants no reader to see half a file.
    fn write_file(&self, file: &str, rows: &[Row]) -> Result<()> {
        let lines: String = rows
            .iter()
            .map(|row| format!("{}\n", row.cells().join(",")))
            .collect();
        let draft = self.cluster.folder().join("draft");
        fs::write(&draft, format!("n,g,s\n{lines}"))?;
        Ok(fs::rename(draft, self.folder.join(file))?)
    }

    fn remove_file(&self, file: &str) -> Result<()> {
        let path = self.folder.join(file);
        if !self.model.files.contains_key(file) && path.exists() {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    fn replace_executor(&mut self, which: usize) -> Result<()> {
        let killed = running_executor(&mut self.cluster, which)?;
        self.cluster.executors[killed].kill()?;
        self.cluster.add_executor(&[])
    }

    async fn restart_scheduler(&mut self) -> Result<()> {
        self.cluster.restart_scheduler_in_place()?;
        self.cluster.wait_for_executors(2).await?;
        self.clients = [self.cluster.connect().await?, self.cluster.connect().await?];
        Ok(())
    }
}

/// Position of one of the executors that run.
fn running_executor(cluster: &mut Cluster, which: usize) -> Result<usize> {
    let executors = cluster.executors.iter_mut().enumerate();
    let mut alive = executors.filter_map(|(position, executor)| executor.is_alive().then_some(position));
    alive.nth(which).context("fewer executors run than should")
}

/// Runs a statement, and again while the cluster says so.
async fn run_again(client: &Client, sql: &str) -> Result<Vec<RecordBatch>> {
    let mut attempt = 1;
    loop {
        match client.query(sql).await {
            Err(error) if attempt < ATTEMPTS && AGAIN.iter().any(|code| has_code(&error, code)) => {
                attempt += 1
            }
            outcome => return outcome,
        }
    }
}

fn has_code(error: &anyhow::Error, code: &str) -> bool {
    format!("{error:#}").contains(code)
}

fn check(expected: &Expected, outcome: Result<Vec<RecordBatch>>) -> Result<()> {
    match (expected, outcome) {
        (Expected::Done | Expected::DoneOrRefused(_), Ok(_)) => Ok(()),
        (Expected::Rows(count), Ok(answer)) => {
            let told = text_rows(&answer)?;
            ensure!(
                told == [[count.to_string()]],
                "it should say {count} rows, not {told:?}"
            );
            Ok(())
        }
        (Expected::Refused(code) | Expected::DoneOrRefused(code), Err(error)) if has_code(&error, code) => {
            Ok(())
        }
        (Expected::Refused(code), Ok(_)) => bail!("it should fail with {code}"),
        (_, Err(error)) => Err(error),
    }
}

/// All rows of a relation in order; `None` if it is not there.
async fn read(client: &Client, relation: &str) -> Result<Option<Cells>> {
    match run_again(client, &format!("SELECT n, g, s FROM {relation}")).await {
        Ok(answer) => {
            let mut rows = text_rows(&answer)?;
            rows.sort();
            Ok(Some(rows))
        }
        Err(error) if has_code(&error, "MP0002") => Ok(None),
        Err(error) => Err(error.context(format!("read {relation}"))),
    }
}

fn cells_of(model: &Model, relation: &str) -> Option<Cells> {
    let mut rows: Cells = model.rows(relation)?.iter().map(Row::cells).collect();
    rows.sort();
    Some(rows)
}

/// Checks answers that may come from statistics, and leave out what has no such rows.
async fn check_statistics(client: &Client, relation: &str, rows: &[Row]) -> Result<()> {
    let numbers = || rows.iter().map(|row| row.n);
    let text = |number: Option<i64>| number.map_or("NULL".to_string(), |number| number.to_string());
    let (least, most) = (numbers().min(), numbers().max());
    let texts = rows.iter().filter(|row| row.s.is_some()).count();
    let expected = vec![vec![
        rows.len().to_string(),
        text(least),
        text(most),
        texts.to_string(),
    ]];
    let sql = format!("SELECT count(*), min(n), max(n), count(s) FROM {relation}");
    ensure_answer(client, &sql, expected).await?;
    let (low, high) = (least.unwrap_or(0), most.unwrap_or(0));
    let middle = low + (high - low) / 2;
    let above = rows.iter().filter(|row| row.n > middle).count();
    let sql = format!("SELECT count(*) FROM {relation} WHERE n > {middle}");
    ensure_answer(client, &sql, vec![vec![above.to_string()]]).await
}

async fn ensure_answer(client: &Client, sql: &str, expected: Cells) -> Result<()> {
    let answer = text_rows(&run_again(client, sql).await.with_context(|| sql.to_string())?)?;
    ensure!(answer == expected, "{sql}: {answer:?} instead of {expected:?}");
    Ok(())
}

/// A difference in words, with the first rows that are only on one side.
fn described(found: Option<&Cells>, expected: Option<&Cells>) -> String {
    let count = |rows: Option<&Cells>| {
        rows.map_or("no such table".to_string(), |rows| format!("{} rows", rows.len()))
    };
    let only = |rows: Option<&Cells>, others: Option<&Cells>| -> Cells {
        let missing = |row: &&Vec<String>| others.is_none_or(|others| others.binary_search(row).is_err());
        let rows = rows.into_iter().flatten();
        rows.filter(missing).take(3).cloned().collect()
    };
    format!(
        "{} instead of {}; only there {:?}, missing {:?}",
        count(found),
        count(expected),
        only(found, expected),
        only(expected, found)
    )
}
