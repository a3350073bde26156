//! Shards that the scheduler wants here as well, or in the state store.
//!
//! A copy is read from another executor that holds the shard, or from its snapshot if none does. It has the name of the
//! shard, so a scan finds it in place of the original.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{Stream, TryStreamExt, stream};
use millpond_engine::codec;
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::decode_schema;
use millpond_engine::shards::{Deleted, Reader, ShardId, ShardRead, Snapshots};
use millpond_proto::plan::{CopyShards, SaveShards, ShardCopy};

/// Makes copies of shards.
pub(crate) struct ShardCopies {
    shards: Reader,
    runtime: Arc<RuntimeEnv>,
}

impl ShardCopies {
    /// Copies go to the store of `shards`; snapshots are reached with `runtime`.
    pub(crate) fn new(shards: Reader, runtime: Arc<RuntimeEnv>) -> Self {
        Self { shards, runtime }
    }

    /// Takes copies of shards, one after the other. One that is here already stays as it is.
    ///
    /// # Errors
    /// No room, or a shard that can be read nowhere.
    pub(crate) async fn copy(&self, request: &CopyShards) -> Result<(), Error> {
        let schema = decode_schema(&request.arrow_schema).map_err(Error::from_datafusion)?;
        for wanted in &request.shards {
            let id: ShardId = wanted.shard.parse()?;
            if self.shards.store.contains(id) {
                continue;
            }
            match self.copy_from_holders(request, wanted, id, &schema).await {
                Err(error) if error.code == Code::SHARD_MOVED && !wanted.snapshot.is_empty() => {
                    self.copy_from_snapshot(request, wanted, id, &schema).await?;
                }
                copied => copied?,
            }
        }
        Ok(())
    }

    async fn copy_from_holders(
        &self,
        request: &CopyShards,
        wanted: &ShardCopy,
        id: ShardId,
        schema: &SchemaRef,
    ) -> Result<(), Error> {
        let everything = ShardRead {
            range: 0..usize::MAX,
            columns: (0..schema.fields().len()).collect(),
            predicate: None,
            limit: None,
            deleted: Deleted::default(),
        };
        let ticket = everything
            .ticket(id, codec::physical_codec(None).as_ref())
            .map_err(Error::from_datafusion)?;
        let connections = &self.shards.connections;
        let rows = connections.read_any(&wanted.holders, &ticket, schema).await?;
        self.put(request, id, schema, rows).await
    }

    async fn copy_from_snapshot(
        &self,
        request: &CopyShards,
        wanted: &ShardCopy,
        id: ShardId,
        schema: &SchemaRef,
    ) -> Result<(), Error> {
        let read = async {
            let snapshots = Snapshots::open(&request.snapshots, &self.runtime)?;
            snapshots.load(&wanted.snapshot, schema).await
        };
        let batches = read.await.map_err(Error::from_datafusion)?;
        self.put(request, id, schema, stream::iter(batches.into_iter().map(Ok)))
            .await
    }

    async fn put(
        &self,
        request: &CopyShards,
        id: ShardId,
        schema: &SchemaRef,
        mut rows: impl Stream<Item = Result<RecordBatch, Error>> + Unpin,
    ) -> Result<(), Error> {
        let store = &self.shards.store;
        let level = request.storage_level.parse()?;
        let writer = store.start_copy(id, &request.table, &request.write, schema.clone());
        let mut writer = writer.with_level(level);
        while let Some(batch) = rows.try_next().await? {
            writer.push(batch).map_err(Error::from_datafusion)?;
        }
        writer.finish().map_err(Error::from_datafusion)?;
        Ok(())
    }

    /// Writes snapshots of shards that are here.
    ///
    /// # Errors
    /// A shard that is not here, or a state store that cannot be written.
    pub(crate) async fn save(&self, request: &SaveShards) -> Result<(), Error> {
        let snapshots = Snapshots::open(&request.snapshots, &self.runtime).map_err(Error::from_datafusion)?;
        for wanted in &request.shards {
            let id: ShardId = wanted.shard.parse()?;
            let shard = self
                .shards
                .store
                .read(id)
                .ok_or_else(|| Error::new(Code::SHARD_MOVED, format!("shard {id} is not here")))?;
            let saved = snapshots.save(shard, &wanted.snapshot).await;
            saved.map_err(Error::from_datafusion)?;
        }
        Ok(())
    }
}
