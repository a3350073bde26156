//! Leaves the rows of a query in the memory of the executors, as shards that wait for their commit.
//!
//! ```text
//! query ─► ShardSinkExec (each executor its part) ─► even out, replicas ─► shards and their holders
//!               └─► snapshots in the state store
//! ```

use std::sync::Arc;

use ballista_core::JobId;
use ballista_core::serde::protobuf::PartitionLocation;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Extension, LogicalPlan};
use millpond_engine::error::Error;
use millpond_engine::schema::encode_schema;
use millpond_engine::shards::{ShardRow, ShardSinkNode, Snapshots};
use millpond_proto::catalog::TableShard;
use millpond_proto::plan::ShardSink;

use super::super::frontend::Services;
use super::super::job::{self, Watched};
use super::super::registry::Statement;
use crate::catalog::{Durable, SessionFactory, TableOptions};
use crate::cluster::data_address;
use crate::shards::{Copies, Has, Member, Members, Need, RunningWrite, TableCopies};

/// Whose rows are stored, and how.
pub(in super::super) struct Storing<'a> {
    table: &'a str,
    schema: &'a SchemaRef,
    options: &'a TableOptions,
    durable: bool,
}

/// Shards that wait for their commit; they stay while `write` is held.
pub(in super::super) struct StoredShards {
    pub(in super::super) shards: Vec<TableShard>,
    pub(in super::super) job: JobId,
    pub(in super::super) write: RunningWrite,
}

impl<'a> Storing<'a> {
    /// Rows of a table.
    pub(in super::super) fn table(table: &'a str, schema: &'a SchemaRef, options: &'a TableOptions) -> Self {
        Self {
            table,
            schema,
            options,
            durable: options.durable == Durable::On,
        }
    }

    /// Rows beside their source, from which they can be had again.
    pub(in super::super) fn cache(table: &'a str, schema: &'a SchemaRef, options: &'a TableOptions) -> Self {
        Self {
            durable: false,
            ..Self::table(table, schema, options)
        }
    }

    /// Refuses options that do not fit the table.
    pub(in super::super) fn check(&self) -> Result<(), Error> {
        self.sink("", "").map(drop)
    }

    /// The plan that stores the rows of `input` for a write.
    pub(in super::super) fn plan(
        &self,
        input: Arc<LogicalPlan>,
        write: &str,
        snapshots: &str,
    ) -> Result<LogicalPlan, Error> {
        let sink = self.sink(write, snapshots)?;
        let node = ShardSinkNode::try_new(input, Arc::new(sink), self.schema.clone())
            .map_err(Error::from_datafusion)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// How executors store the rows of a write.
    pub(in super::super) fn sink(&self, write: &str, snapshots: &str) -> Result<ShardSink, Error> {
        let snapshots = if self.durable { snapshots } else { "" };
        Ok(ShardSink {
            table: self.table.to_string(),
            write: write.to_string(),
            arrow_schema: encode_schema(self.schema).map_err(Error::from_datafusion)?,
            snapshots: snapshots.to_string(),
            storage_level: self.options.storage_level.clone(),
            partition_by: TableOptions::places(&self.options.partition_by, self.schema)?,
            sort_by: TableOptions::places(&self.options.sort_by, self.schema)?,
            buckets: self.options.buckets(),
        })
    }
}

/// Runs a query and leaves its rows in memory.
pub(in super::super) async fn store(
    services: &Services,
    statement: &Arc<Statement>,
    state: &SessionState,
    plan: LogicalPlan,
    storing: &Storing<'_>,
) -> Result<StoredShards, Error> {
    let plan = Arc::new(plan);
    let mut state = state.clone();
    let buckets = Some(storing.options.buckets() as usize).filter(|buckets| *buckets > 0);
    if let Some(partitions) = storing.options.partitions.or(buckets) {
        state.config_mut().options_mut().execution.target_partitions = partitions;
    }
    let context = SessionFactory::of_job(&state);
    job::rerun_after_loss(services, || async {
        let write = services.shards.start_write();
        let plan = storing.plan(plan.clone(), write.id(), services.shards.snapshot_url())?;
        let finished = job::run(services, statement, context.clone(), &plan, Watched::Yes).await?;
        let mut shards = Vec::new();
        for partition in finished.partitions {
            shards.extend(stored_in(services, partition).await?);
        }
        settle(services, storing, &write, &mut shards).await?;
        Ok(StoredShards {
            shards,
            job: finished.id,
            write,
        })
    })
    .await
}

/// The shards that tasks of an output partition have stored. The executor that has their names has the shards.
async fn stored_in(services: &Services, partition: PartitionLocation) -> Result<Vec<TableShard>, Error> {
    let Some(executor) = partition.executor_meta.clone() else {
        return Err(Error::bug("an output partition without a place"));
    };
    let holder = data_address(&executor.host, executor.port);
    let mut shards = Vec::new();
    for batch in &services.cluster.fetch_all(partition).await? {
        let rows = ShardRow::read(batch).map_err(Error::from_datafusion)?;
        shards.extend(rows.into_iter().map(|row| table_shard(row, &holder)));
    }
    Ok(shards)
}

/// A shard as the catalog names it, where it was written.
pub(in super::super) fn table_shard(row: ShardRow, holder: &str) -> TableShard {
    TableShard {
        shard: row.shard.to_string(),
        holder: holder.to_string(),
        rows: row.rows,
        bytes: row.bytes,
        statistics: row.statistics,
        bucket: row.bucket,
        ..Default::default()
    }
}

/// Brings shards that were just written to where they have to be before their commit.
///
/// # Errors
/// A replica that cannot be made.
pub(in super::super) async fn settle(
    services: &Services,
    storing: &Storing<'_>,
    write: &RunningWrite,
    shards: &mut [TableShard],
) -> Result<(), Error> {
    if storing.durable && !services.shards.snapshot_url().is_empty() {
        for shard in shards.iter_mut() {
            shard.snapshot = Snapshots::path_of(write.id(), shard.shard.parse()?);
        }
    }
    spread(services, storing, write, shards).await
}

/// Gives every executor about as much of the table, and every shard its replicas.
async fn spread(
    services: &Services,
    storing: &Storing<'_>,
    write: &RunningWrite,
    shards: &mut [TableShard],
) -> Result<(), Error> {
    let members = services.cluster.members().await.into_iter().map(|member| Member {
        address: member.address,
        draining: member.draining,
        bytes: 0,
    });
    let mut members = Members::new(members.collect());
    let moves = members.even_out(shards).into_iter().map(|(index, to)| {
        let from = vec![shards[index].holder.clone()];
        let (to, kept) = (vec![to], Vec::new());
        (index, Copies { from, to, kept })
    });
    // A shard that cannot be moved is as good where it is.
    let moves: Vec<_> = moves.collect();
    if let Err(error) = copy(services, storing, write, shards, moves).await {
        tracing::warn!(table = storing.table, %error, "even out a table");
    }
    for shard in shards.iter() {
        members.add(&shard.holder, shard.bytes);
    }
    let mut replicas = Vec::new();
    for (index, shard) in shards.iter().enumerate() {
        let has = |address: &str| {
            if address == shard.holder {
                Has::Yes
            } else {
                Has::No
            }
        };
        if let Need::Copies(copies) = members.need(shard, has, storing.options.replicas) {
            replicas.push((index, copies));
        }
    }
    copy(services, storing, write, shards, replicas).await
}

async fn copy(
    services: &Services,
    storing: &Storing<'_>,
    write: &RunningWrite,
    shards: &mut [TableShard],
    wanted: Vec<(usize, Copies)>,
) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let about = TableCopies {
        table: storing.table,
        write: write.id(),
        arrow_schema: &encode_schema(storing.schema).map_err(Error::from_datafusion)?,
        storage_level: &storing.options.storage_level,
    };
    let (places, failed) = {
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|(index, copies)| (&shards[index], copies))
            .collect();
        services.shards.copy(&about, &wanted).await
    };
    for place in places {
        let shard = shards.iter_mut().find(|shard| shard.shard == place.shard);
        if let (Some(shard), Some((first, others))) = (shard, place.holders.split_first()) {
            shard.holder = first.clone();
            shard.replicas = others.to_vec();
        }
    }
    failed.map_or(Ok(()), Err)
}
