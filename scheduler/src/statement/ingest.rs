//! Bulk ingest: a stream of rows from a client becomes a table in memory, or more rows of one.
//!
//! The scheduler holds no rows. It passes every batch on to an executor and changes the executor after each
//! [`PIECE_ROWS`], so that a large table lies with all of them. What they answer is the commit record, as in
//! [`super::memory`]. A stream cannot be read twice, so the loss of an executor ends the statement.
//!
//! ```text
//! client ─► batches ─┬─ piece 1 ─DoPut─► executor A ─► (shard, rows, bytes) ─┐
//!                    ├─ piece 2 ─DoPut─► executor B ─► (shard, rows, bytes) ─┼─► commit ─► visible
//!                    └─ ...          stream broken, cancelled: no commit, the shards are dropped
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use millpond_engine::connections::Connections;
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::{decode_schema, encode_schema};
use millpond_engine::shards::{Fitting, plain_schema};
use millpond_proto::catalog::{Change, ChangeKind, CommitShards, MemoryTable, RelationKind, TableShard};
use millpond_proto::plan::ShardSink;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use super::frontend::Services;
use super::memory::{self, Storing};
use super::registry::Statement;
use super::result::ResultSet;
use super::run;
use crate::catalog::{TableOptions, ddl};
use crate::cluster::wait_for_executors;

/// Rows after which the next executor is used: those of a whole shard.
const PIECE_ROWS: usize = 1 << 20;
/// The same in bytes, for rows that are wide.
const PIECE_BYTES: usize = 256 << 20;
/// Batches on their way to an executor. More would be rows that the scheduler holds.
const WAITING_BATCHES: usize = 2;

/// What to do if there is no such table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Create,
    Fail,
}

/// What to do if there is such a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Fail,
    Append,
    Replace,
}

/// Rows to store.
pub(crate) struct Ingest {
    pub(crate) table: TableReference,
    pub(crate) missing: Missing,
    pub(crate) existing: Existing,
    /// Columns of the rows.
    pub(crate) schema: SchemaRef,
    pub(crate) rows: BoxStream<'static, Result<RecordBatch, Error>>,
}

impl Ingest {
    /// What stands in `system.jobs` in the place of SQL.
    pub(super) fn text(&self) -> String {
        let mode = match (self.missing, self.existing) {
            (Missing::Create, Existing::Fail) => "create",
            (Missing::Create, Existing::Append) => "create or append",
            (Missing::Create, Existing::Replace) => "create or replace",
            (Missing::Fail, Existing::Append) => "append",
            (Missing::Fail, Existing::Replace) => "replace",
            (Missing::Fail, Existing::Fail) => "fail",
        };
        format!("INGEST INTO {} ({mode})", self.table.to_quoted_string())
    }
}

/// Stores the rows and makes them visible.
///
/// # Errors
/// A table that is there or not there against the wish, columns that do not fit, a stream that ends with an error, and
/// whatever an executor refuses. Nothing is left then.
pub(super) async fn run(
    services: &Services,
    statement: &Arc<Statement>,
    ingest: Ingest,
) -> Result<ResultSet, Error> {
    statement.update(|status| status.verb = "INGEST".to_string());
    let catalog = run::statement_catalog(services, statement).await;
    let state = catalog.session_state().map_err(Error::from_datafusion)?;
    let context = run::ddl_context(services, statement, &catalog, &state, &statement.sql);
    let (schema_name, name) = ddl::writable_name(&context, &ingest.table)?;
    let target = target(&context, &ingest, &schema_name, &name)?;
    let schema = match &target {
        Target::New { .. } => Arc::new(memory::stored_schema(&plain_schema(&ingest.schema)?, false)),
        Target::Old(table) => decode_schema(&table.arrow_schema).map_err(Error::from_datafusion)?,
    };
    // Before any row is sent.
    Fitting::new(&name, &ingest.schema, &schema)?;
    let _permit = services.admission.admit().await?;
    wait_for_executors(&services.cluster, 1, services.executor_patience).await?;
    statement.start_running();
    let write = services.shards.start_write();
    let options = match &target {
        Target::New { .. } => TableOptions::of(&HashMap::<String, String>::new()),
        Target::Old(table) => TableOptions::of(&table.settings),
    };
    let storing = Storing::table(&name, &schema, &options);
    let sink = storing.sink(write.id(), services.shards.snapshot_url())?;
    let mut shards = store(services, statement, sink, write.id(), ingest.schema, ingest.rows).await?;
    memory::settle(services, &storing, &write, &mut shards).await?;
    let rows: u64 = shards.iter().map(|shard| shard.rows).sum();
    let change = match target {
        Target::New { replace } => {
            let table = MemoryTable {
                table_id: uuid::Uuid::new_v4().simple().to_string(),
                arrow_schema: encode_schema(&schema).map_err(Error::from_datafusion)?,
                version: 1,
                shards,
                definition: statement.sql.clone(),
                ..Default::default()
            };
            ddl::put(&context, schema_name, name, replace, RelationKind::Memory(table))
        }
        Target::Old(table) => ChangeKind::CommitShards(CommitShards {
            schema: schema_name,
            name,
            table_id: table.table_id,
            add: shards,
            ..Default::default()
        }),
    };
    services
        .catalog
        .commit(vec![Change { kind: Some(change) }])
        .await?;
    drop(write);
    statement.update(|status| status.affected_rows = Some(rows));
    Ok(ResultSet::nothing())
}

/// Where the rows go.
enum Target {
    New { replace: bool },
    Old(Box<MemoryTable>),
}

fn target(context: &ddl::Context<'_>, ingest: &Ingest, schema: &str, name: &str) -> Result<Target, Error> {
    let full_name = format!("{schema}.{name}");
    let key = (schema.to_string(), name.to_string());
    let Some(relation) = context.catalog.version().relations.get(&key) else {
        return match ingest.missing {
            Missing::Create => Ok(Target::New { replace: false }),
            Missing::Fail => Err(ddl::unknown("table", &full_name)),
        };
    };
    if ingest.existing == Existing::Fail {
        return Err(Error::user(
            Code::RELATION_EXISTS,
            format!("table or view '{full_name}' exists already"),
        )
        .with_hint("drop it first, or use the mode append, replace or create_append"));
    }
    let refused = |what: &str, hint: &str| {
        Err(Error::user(
            Code::NOT_SUPPORTED,
            format!("'{full_name}' is {what}, and bulk ingest writes to tables in memory only"),
        )
        .with_hint(hint))
    };
    match &relation.kind {
        Some(RelationKind::Memory(_)) if ingest.existing == Existing::Replace => {
            Ok(Target::New { replace: true })
        }
        Some(RelationKind::Memory(table)) => Ok(Target::Old(Box::new(table.clone()))),
        Some(RelationKind::View(_)) => refused("a view", "ingest into a table of another name"),
        _ => refused(
            "a table over files",
            "ingest into a table of another name, and INSERT INTO or COPY from there",
        ),
    }
}

/// Sends all rows to executors. When it returns, they have them.
async fn store(
    services: &Services,
    statement: &Statement,
    sink: ShardSink,
    write: &str,
    schema: SchemaRef,
    mut rows: BoxStream<'static, Result<RecordBatch, Error>>,
) -> Result<Vec<TableShard>, Error> {
    let members = services.cluster.members().await.into_iter();
    let active = members.filter(|member| !member.draining);
    let mut holders: Vec<String> = active.map(|member| member.address).collect();
    holders.sort();
    let mut spread = Spread {
        connections: services.connections.clone(),
        sink: Arc::new(sink),
        schema,
        holders: rotated(holders, write).into(),
        pieces: JoinSet::new(),
        current: None,
        shards: Vec::new(),
    };
    let mut count = 0;
    while let Some(batch) = rows.try_next().await? {
        count += batch.num_rows() as u64;
        spread.push(batch).await?;
        statement.update(|status| status.input_rows = count);
    }
    let shards = spread.finish().await?;
    let stored: u64 = shards.iter().map(|shard| shard.rows).sum();
    match stored == count {
        true => Ok(shards),
        false => Err(Error::bug(format!("of {count} rows {stored} were stored"))),
    }
}

/// Begins with another executor each time, so that small tables are spread too.
fn rotated(mut holders: Vec<String>, write: &str) -> Vec<String> {
    let number = write
        .get(..8)
        .and_then(|digits| usize::from_str_radix(digits, 16).ok());
    let count = holders.len().max(1);
    holders.rotate_left(number.unwrap_or(0) % count);
    holders
}

/// Rows on their way to the executors, a piece for each in turn.
struct Spread {
    connections: Connections,
    sink: Arc<ShardSink>,
    schema: SchemaRef,
    /// The next one first.
    holders: VecDeque<String>,
    pieces: JoinSet<Result<Vec<TableShard>, Error>>,
    current: Option<Piece>,
    shards: Vec<TableShard>,
}

/// A stream to one executor, with the room it has left.
struct Piece {
    rows: mpsc::Sender<RecordBatch>,
    room_rows: usize,
    room_bytes: usize,
}

impl Spread {
    async fn push(&mut self, batch: RecordBatch) -> Result<(), Error> {
        let mut start = 0;
        while start < batch.num_rows() {
            let mut piece = match self.current.take() {
                Some(piece) => piece,
                None => self.start_piece().await?,
            };
            let part = batch.slice(start, piece.room_rows.min(batch.num_rows() - start));
            start += part.num_rows();
            piece.room_rows -= part.num_rows();
            piece.room_bytes = piece.room_bytes.saturating_sub(bytes_of(&part));
            if piece.rows.send(part).await.is_err() {
                return Err(self.reason().await);
            }
            if piece.room_rows > 0 && piece.room_bytes > 0 {
                self.current = Some(piece);
            }
        }
        Ok(())
    }

    /// Opens a stream to the next executor, after one has finished if all are busy.
    async fn start_piece(&mut self) -> Result<Piece, Error> {
        if self.pieces.len() >= self.holders.len().max(1) {
            self.end_one().await?;
        }
        self.holders.rotate_left(1.min(self.holders.len()));
        let Some(holder) = self.holders.back().cloned() else {
            return Err(Error::new(
                Code::NO_EXECUTORS,
                "there is no executor to store the rows",
            ));
        };
        let (rows, receiver) = mpsc::channel(WAITING_BATCHES);
        let (connections, sink) = (self.connections.clone(), self.sink.clone());
        let schema = self.schema.clone();
        self.pieces.spawn(async move {
            let rows = ReceiverStream::new(receiver);
            let stored = connections.put_shards(&holder, &sink, schema, rows).await?;
            Ok(stored
                .into_iter()
                .map(|row| memory::table_shard(row, &holder))
                .collect())
        });
        Ok(Piece {
            rows,
            room_rows: PIECE_ROWS,
            room_bytes: PIECE_BYTES,
        })
    }

    /// Waits for the end of a piece. False if there is none.
    async fn end_one(&mut self) -> Result<bool, Error> {
        match self.pieces.join_next().await {
            None => Ok(false),
            Some(Ok(Ok(shards))) => {
                self.shards.extend(shards);
                Ok(true)
            }
            Some(Ok(Err(error))) if error.code == Code::EXECUTOR_LOST => {
                Err(error.with_hint("send the rows again"))
            }
            Some(Ok(Err(error))) => Err(error),
            Some(Err(error)) => Err(Error::bug(format!("rows were not passed on: {error}"))),
        }
    }

    /// Why an executor reads no more.
    async fn reason(&mut self) -> Error {
        loop {
            match self.end_one().await {
                Err(error) => return error,
                Ok(true) => {}
                Ok(false) => return Error::bug("an executor has stopped reading for no reason"),
            }
        }
    }

    async fn finish(mut self) -> Result<Vec<TableShard>, Error> {
        self.current = None;
        while self.end_one().await? {}
        Ok(self.shards)
    }
}

/// Bytes that the values of a batch have, whatever they share with other batches.
fn bytes_of(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or_default())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_begins_with_another_executor() {
        let holders = || ["a", "b", "c"].map(String::from).to_vec();
        assert_eq!(rotated(holders(), "00000000ffff"), ["a", "b", "c"]);
        assert_eq!(rotated(holders(), "00000004ffff"), ["b", "c", "a"]);
        assert!(rotated(Vec::new(), "00000004").is_empty());
    }
}
