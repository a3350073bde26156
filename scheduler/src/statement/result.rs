//! What a statement answers, and how it is read.
//!
//! A job leaves its rows with the executors, as many output partitions as its last stage had; each is one ticket of
//! the client. An executor that dies before its rows are read takes them with it. As long as no row of the result has
//! left the scheduler, the job is then run again, and the same tickets lead to the new rows. A small result is fetched
//! as a whole when its first ticket is read, so that it cannot be lost in part.

use std::ops::Range;
use std::sync::Arc;

use ballista_core::serde::protobuf::PartitionLocation;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use millpond_engine::error::{Code, Error};
use parking_lot::Mutex;

use super::frontend::{Request, Services};
use super::job::{self, FinishedJob, Watched};
use super::registry::Statement;
use super::run;
use crate::catalog::SessionFactory;
use crate::cluster::Cluster;

/// Times the job of a result is run again because its rows were lost.
const RERUNS_MAX: usize = 3;

/// Bytes of a result that are held back, for its statement to be run again if an executor is lost.
pub(super) const HEAD_BYTES: usize = 1 << 20;
/// Partitions that are fetched side by side.
const FETCHES: usize = 8;

/// Rows on their way to a reader.
pub(crate) type Rows = BoxStream<'static, Result<RecordBatch, DataFusionError>>;

/// The first rows of a stream.
pub(super) struct Head {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) bytes: usize,
    /// There are no more.
    pub(super) is_all: bool,
}

impl Head {
    /// Reads rows until they are at least `bytes_min`, or to their end.
    ///
    /// # Errors
    /// Those of the stream.
    pub(super) async fn read<E>(
        rows: &mut (impl Stream<Item = Result<RecordBatch, E>> + Unpin),
        bytes_min: usize,
    ) -> Result<Self, E> {
        let mut head = Self {
            batches: Vec::new(),
            bytes: 0,
            is_all: false,
        };
        while head.bytes < bytes_min && !head.is_all {
            match rows.next().await.transpose()? {
                Some(batch) => {
                    head.bytes += batch.get_array_memory_size();
                    head.batches.push(batch);
                }
                None => head.is_all = true,
            }
        }
        Ok(head)
    }

    /// These rows, and those that follow.
    pub(super) fn followed_by(self, rest: Rows) -> Rows {
        stream::iter(self.batches.into_iter().map(Ok)).chain(rest).boxed()
    }
}

/// What a finished statement answers.
pub(crate) struct ResultSet {
    pub(crate) schema: SchemaRef,
    source: Source,
}

enum Source {
    Nothing,
    /// Rows the scheduler has made itself.
    Batches(Vec<RecordBatch>),
    /// Rows the scheduler makes while they are read, once.
    Stream(Mutex<Option<Rows>>),
    /// Rows that lie with executors.
    Job(Box<JobResult>),
}

struct JobResult {
    /// Tickets that were given out.
    tickets: usize,
    latest: tokio::sync::Mutex<Run>,
}

/// The last run of a result's job.
struct Run {
    number: usize,
    partitions: Vec<PartitionLocation>,
    /// The rows of each partition, of a small result from its first read on.
    fetched: Option<Vec<Vec<RecordBatch>>>,
    /// What was asked for. It goes when a row leaves the scheduler, since the job cannot be run again then.
    origin: Option<Request>,
}

impl Run {
    /// Whether the whole result is worth no more than the head of a large one, by what its tasks have written.
    fn is_small(&self) -> bool {
        let bytes = |location: &PartitionLocation| {
            let written = location.partition_stats.as_ref().map(|stats| stats.num_bytes);
            written.and_then(|bytes| usize::try_from(bytes).ok())
        };
        let total = self.partitions.iter().map(bytes).sum::<Option<usize>>();
        total.is_some_and(|total| total <= HEAD_BYTES)
    }

    /// The rows of each partition; they are fetched once.
    async fn fetched(&mut self, cluster: &Cluster) -> Result<&[Vec<RecordBatch>], Error> {
        let rows = match self.fetched.take() {
            Some(rows) => rows,
            None => {
                let fetches = self.partitions.clone().into_iter();
                let fetches = fetches.map(|location| fetch(cluster.clone(), location));
                stream::iter(fetches).buffered(FETCHES).try_collect().await?
            }
        };
        self.origin = None;
        Ok(self.fetched.insert(rows))
    }
}

impl ResultSet {
    /// A result without columns and rows.
    pub(crate) fn nothing() -> Self {
        Self {
            schema: Arc::new(Schema::empty()),
            source: Source::Nothing,
        }
    }

    /// Rows that are at hand.
    pub(crate) fn batches(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self {
            schema,
            source: Source::Batches(batches),
        }
    }

    /// Rows that are made while they are read, which can be done once.
    pub(crate) fn stream(schema: SchemaRef, rows: Rows) -> Self {
        Self {
            schema,
            source: Source::Stream(Mutex::new(Some(rows))),
        }
    }

    /// The rows of a job that was made for `request`.
    pub(super) fn of_job(plan: &LogicalPlan, request: Request, finished: FinishedJob) -> Self {
        Self {
            schema: Arc::new(plan.schema().as_arrow().clone()),
            source: Source::Job(Box::new(JobResult {
                tickets: finished.partitions.len(),
                latest: tokio::sync::Mutex::new(Run {
                    number: 0,
                    partitions: finished.partitions,
                    fetched: None,
                    origin: Some(request),
                }),
            })),
        }
    }

    /// The same rows in one partition, of a statement that has announced these columns.
    ///
    /// # Errors
    /// [`Code::STATE_CONFLICT`] if it answers others: it was planned again meanwhile, and a table had changed.
    pub(super) fn into_announced(mut self, columns: &Schema) -> Result<Self, Error> {
        if self.schema.as_ref() != columns {
            return Err(Error::user(
                Code::STATE_CONFLICT,
                "the columns of a table were changed while the statement ran",
            )
            .with_hint("run the statement again"));
        }
        if let Source::Job(job) = &mut self.source {
            job.tickets = 1;
        }
        Ok(self)
    }

    /// How many output partitions a client can ask for.
    pub(crate) fn partitions(&self) -> usize {
        match &self.source {
            Source::Nothing => 0,
            Source::Batches(_) | Source::Stream(_) => 1,
            Source::Job(job) => job.tickets,
        }
    }

    /// Reads one output partition.
    ///
    /// # Errors
    /// No such partition, a stream that was read before, or rows that are lost and cannot be made again.
    pub(crate) async fn read(
        &self,
        services: &Services,
        statement: &Arc<Statement>,
        partition: usize,
    ) -> Result<Rows, Error> {
        if partition >= self.partitions() {
            return Err(Error::user(
                Code::TICKET_VOID,
                format!("the result has no partition {partition}"),
            ));
        }
        match &self.source {
            Source::Nothing => Ok(stream::empty().boxed()),
            Source::Batches(batches) => Ok(stream::iter(batches.clone().into_iter().map(Ok)).boxed()),
            Source::Stream(once) => once.lock().take().ok_or_else(|| {
                Error::user(Code::STATEMENT_EXPIRED, "this result has been read already")
                    .with_hint("run the statement again")
            }),
            Source::Job(job) => job.read(services, statement, partition).await,
        }
    }
}

impl JobResult {
    async fn read(
        &self,
        services: &Services,
        statement: &Arc<Statement>,
        ticket: usize,
    ) -> Result<Rows, Error> {
        loop {
            let (number, opened) = self.open(&services.cluster, ticket).await;
            match opened {
                Ok(Some(rows)) => return Ok(rows),
                Ok(None) => {}
                Err(error) if error.code == Code::EXECUTOR_LOST => {
                    self.run_again(services, statement, number, error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The number of the latest run and the rows that a ticket has in it; none if another run has come meanwhile.
    async fn open(&self, cluster: &Cluster, ticket: usize) -> (usize, Result<Option<Rows>, Error>) {
        let mut latest = self.latest.lock().await;
        let number = latest.number;
        let covered = covered_by(ticket, self.tickets, latest.partitions.len());
        if latest.is_small() {
            let fetched = latest.fetched(cluster).await;
            return (number, fetched.map(|rows| Some(at_hand(&rows[covered]))));
        }
        let locations = latest.partitions[covered].to_vec();
        drop(latest);
        let rows = match open(cluster, &locations).await {
            Ok(rows) => rows,
            Err(error) => return (number, Err(error)),
        };
        let mut latest = self.latest.lock().await;
        if latest.number != number {
            return (number, Ok(None));
        }
        latest.origin = None;
        (number, Ok(Some(rows)))
    }

    /// Replaces the rows of run `number`, unless another reader has done so.
    async fn run_again(
        &self,
        services: &Services,
        statement: &Arc<Statement>,
        number: usize,
        lost: Error,
    ) -> Result<(), Error> {
        let mut latest = self.latest.lock().await;
        if latest.number != number {
            return Ok(());
        }
        let Some(origin) = latest.origin.as_ref().filter(|_| number < RERUNS_MAX) else {
            return Err(lost);
        };
        tracing::warn!(error = %lost, "rows were lost before they were read: run the job again");
        // Planned anew, for a table that was read may have lost rows too. Nobody has seen a row of the first run.
        let again = || async {
            let planned = run::plan_again(services, statement, origin).await?;
            let context = SessionFactory::of_job(&planned.state);
            let run = || job::run(services, statement, context.clone(), &planned.plan, Watched::No);
            job::rerun_after_loss(services, run).await
        };
        let partitions = run::until_whole(services, again).await?.partitions;
        latest.partitions = partitions;
        latest.fetched = None;
        latest.number += 1;
        Ok(())
    }
}

/// The partitions that a ticket stands for: its own, and for the last ticket all that are left. A job that was run
/// again may have another number of partitions than tickets were given out.
fn covered_by(ticket: usize, tickets: usize, partitions: usize) -> Range<usize> {
    let start = ticket.min(partitions);
    let end = if ticket + 1 == tickets {
        partitions
    } else {
        (ticket + 1).min(partitions)
    };
    start..end
}

/// Opens partitions one after the other. The first block is here when this returns, so that a loss is noticed before
/// a row has left.
async fn open(cluster: &Cluster, locations: &[PartitionLocation]) -> Result<Rows, Error> {
    let mut all: Vec<Rows> = Vec::with_capacity(locations.len());
    for location in locations {
        let mut rows = cluster.fetch(location.clone()).await?;
        let first = match rows.next().await {
            Some(Err(error)) => return Err(loss_of(location, error)),
            Some(Ok(batch)) => Some(Ok(batch)),
            None => None,
        };
        all.push(stream::iter(first).chain(rows).boxed());
    }
    Ok(stream::iter(all).flatten().boxed())
}

/// Reads a whole partition.
async fn fetch(cluster: Cluster, location: PartitionLocation) -> Result<Vec<RecordBatch>, Error> {
    let rows = cluster.fetch(location.clone()).await?;
    rows.try_collect()
        .await
        .map_err(|error| loss_of(&location, error))
}

/// An error of rows that were complete when the job ended: whatever it says, they are not there any more. The cluster
/// may not know yet that the executor is gone.
fn loss_of(location: &PartitionLocation, error: DataFusionError) -> Error {
    let executor = location.executor_meta.as_ref().map_or("", |meta| &meta.id);
    Error::external(
        Code::EXECUTOR_LOST,
        format!("executor {executor} no longer has the result"),
    )
    .with_hint("run the statement again")
    .with_source(Error::from_datafusion(error))
}

/// Rows that have been fetched, as a stream.
fn at_hand(partitions: &[Vec<RecordBatch>]) -> Rows {
    let rows: Vec<_> = partitions.iter().flatten().cloned().map(Ok).collect();
    stream::iter(rows).boxed()
}

#[cfg(test)]
mod tests {
    use ballista_core::JobId;
    use datafusion::logical_expr::{LogicalPlanBuilder, lit};

    use super::*;

    #[test]
    fn tickets_cover_every_partition_once_whatever_their_numbers() {
        for tickets in 1..6 {
            for partitions in 0..8 {
                let covered: Vec<usize> = (0..tickets)
                    .flat_map(|ticket| covered_by(ticket, tickets, partitions))
                    .collect();
                let every: Vec<usize> = (0..partitions).collect();
                assert_eq!(covered, every, "{tickets} tickets, {partitions} partitions");
            }
        }
    }

    #[test]
    fn an_announced_result_is_one_partition_with_its_columns() {
        let plan = LogicalPlanBuilder::values(vec![vec![lit(1)]])
            .unwrap()
            .build()
            .unwrap();
        let of_job = || {
            let finished = FinishedJob {
                id: JobId::new("j"),
                partitions: vec![PartitionLocation::default(); 3],
            };
            ResultSet::of_job(&plan, Request::default(), finished)
        };
        assert_eq!(of_job().partitions(), 3);
        let announced = of_job().into_announced(plan.schema().as_arrow()).unwrap();
        assert_eq!(announced.partitions(), 1);
        assert!(of_job().into_announced(&Schema::empty()).is_err());
    }

    #[test]
    fn constants_have_one_partition_and_nothing_has_none() {
        assert_eq!(ResultSet::nothing().partitions(), 0);
        let schema = Arc::new(Schema::empty());
        assert_eq!(ResultSet::batches(schema, Vec::new()).partitions(), 1);
    }
}
