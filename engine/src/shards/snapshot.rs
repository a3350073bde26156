//! Durable copies of shards: an Arrow IPC file for each, in the state store of the cluster.
//!
//! The executor that stores a shard writes its snapshot before it names the shard, so a shard that a commit names can
//! be read again whatever becomes of the executor. Executors read and write the state store by themselves, with the
//! credentials of their own configuration; the scheduler only says which folder.
//!
//! Format: <https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format>, buffers compressed with LZ4.

use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::CompressionType;
use datafusion::arrow::ipc::reader::FileReader;
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use super::file::IpcWriter;
use super::shard::{Shard, ShardId, batch_of, write_ipc};
use crate::error::{Code, Error};

/// Folder of a cluster's snapshots, as one process reaches it.
pub struct Snapshots {
    store: Arc<dyn ObjectStore>,
    folder: Url,
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshots")
            .field("folder", &self.folder.as_str())
            .finish_non_exhaustive()
    }
}

impl Snapshots {
    /// Reaches the folder at `url`, which ends with a slash.
    ///
    /// # Errors
    /// A folder that is not on this machine, or a store without credentials here.
    pub fn open(url: &str, runtime: &RuntimeEnv) -> Result<Self> {
        let folder = Url::parse(url).map_err(|error| exec_datafusion_err!("'{url}' is no URL: {error}"))?;
        check_local(&folder)?;
        let store = runtime.object_store_registry.get_store(&folder)?;
        Ok(Self { store, folder })
    }

    /// Path of the snapshot of a shard that `write` has made, below the folder.
    pub fn path_of(write: &str, shard: ShardId) -> String {
        format!("{write}/{shard}.arrow")
    }

    /// Writes a snapshot. When this returns, it is there and stays.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub async fn save(&self, shard: Arc<Shard>, path: &str) -> Result<()> {
        let encoded = tokio::task::spawn_blocking(move || encode(&shard)).await;
        let content = encoded.map_err(|error| exec_datafusion_err!("{error}"))??;
        let place = self.place(path)?;
        self.store.put(&place, content.into()).await?;
        if self.folder.scheme() == "file" {
            sync(self.local(path)?).await?;
        }
        Ok(())
    }

    /// Reads the snapshot of a shard of these columns.
    ///
    /// # Errors
    /// A snapshot that is gone or damaged.
    pub async fn load(&self, path: &str, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let content = self.store.get(&self.place(path)?).await?.bytes().await?;
        let schema = schema.clone();
        let decoded = tokio::task::spawn_blocking(move || {
            let batches = decode_ipc(content)?;
            batches
                .into_iter()
                .map(|batch| of_table(batch, &schema))
                .collect()
        })
        .await;
        decoded.map_err(|error| exec_datafusion_err!("{error}"))?
    }

    fn place(&self, path: &str) -> Result<Path> {
        let url = self
            .folder
            .join(path)
            .map_err(|error| exec_datafusion_err!("'{path}' is no path: {error}"))?;
        Path::from_url_path(url.path()).map_err(|error| exec_datafusion_err!("{url}: {error}"))
    }

    fn local(&self, path: &str) -> Result<std::path::PathBuf> {
        let url = self.folder.join(path).ok();
        url.and_then(|url| url.to_file_path().ok())
            .ok_or_else(|| exec_datafusion_err!("'{path}' is no path"))
    }
}

/// Refuses a folder of another machine: its parent is the state of the cluster, which the scheduler has made.
pub(crate) fn check_local(folder: &Url) -> Result<()> {
    if folder.scheme() != "file" {
        return Ok(());
    }
    let state = folder.join("..").ok().and_then(|url| url.to_file_path().ok());
    match state {
        Some(state) if state.is_dir() => Ok(()),
        _ => Err(Error::external(
            Code::FILE_MISSING,
            format!("the state folder of the cluster, {folder}, is not on this executor's machine"),
        )
        .with_hint(
            "keep the state where every executor reaches it (--state s3://... or a shared folder), or create the table with durable = 'off'",
        )
        .into()),
    }
}

/// Makes sure that a file and its name outlive a loss of power.
pub(crate) async fn sync(file: std::path::PathBuf) -> Result<()> {
    let synced = tokio::task::spawn_blocking(move || {
        std::fs::File::open(&file)?.sync_all()?;
        match file.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    })
    .await;
    synced.map_err(|error| exec_datafusion_err!("{error}"))??;
    Ok(())
}

fn encode(shard: &Shard) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    write_ipc(shard, &mut content, Some(CompressionType::LZ4_FRAME))?;
    Ok(content)
}

/// Rows as a file.
///
/// # Errors
/// Those of the writer.
pub(crate) fn encode_ipc(rows: &RecordBatch) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut ipc = IpcWriter::new(&mut content, &rows.schema(), Some(CompressionType::LZ4_FRAME))?;
    ipc.write(rows)?;
    ipc.finish().map(drop)?;
    Ok(content)
}

/// Batches of a file. A dictionary is not in a file as such, so columns may be of plain types.
///
/// # Errors
/// Bytes that are no such file.
pub(crate) fn decode_ipc(content: Bytes) -> Result<Vec<RecordBatch>> {
    let reader = FileReader::try_new(Cursor::new(content), None)?;
    reader.map(|batch| Ok(batch?)).collect()
}

/// The columns of a snapshot are those of the table, in their order; text may be coded in another way.
fn of_table(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()));
    batch_of(
        schema.clone(),
        columns.collect::<Result<_, _>>()?,
        batch.num_rows(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_stores::Registry;
    use crate::shards::ShardStore;
    use datafusion::arrow::array::{Int64Array, StringArray};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::execution::memory_pool::UnboundedMemoryPool;

    fn shard() -> Arc<Shard> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("t", DataType::Utf8, true),
        ]));
        let store = ShardStore::new(Arc::new(UnboundedMemoryPool::default()), usize::MAX);
        let mut writer = store.start("t", "w", schema.clone());
        let n = Int64Array::from(vec![Some(1), None, Some(3)]);
        let t = StringArray::from(vec![Some("a"), Some(""), None]);
        writer
            .push(RecordBatch::try_new(schema, vec![Arc::new(n), Arc::new(t)]).unwrap())
            .unwrap();
        writer.finish().unwrap().unwrap()
    }

    #[tokio::test]
    async fn what_was_saved_is_read_again() {
        let state = tempfile::tempdir().unwrap();
        let folder = Url::from_directory_path(state.path().join("tables")).unwrap();
        let runtime = Registry::new(vec![]).runtime_builder().build().unwrap();
        let snapshots = Snapshots::open(folder.as_str(), &runtime).unwrap();
        let shard = shard();
        let path = Snapshots::path_of("w", shard.id());
        snapshots.save(shard.clone(), &path).await.unwrap();
        let rows = snapshots.load(&path, shard.schema()).await.unwrap();
        assert_eq!(&rows[0].schema(), shard.schema());
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
        assert!(snapshots.load("w/other.arrow", shard.schema()).await.is_err());
    }

    #[tokio::test]
    async fn a_folder_of_another_machine_is_refused_with_a_remedy() {
        let runtime = Registry::new(vec![]).runtime_builder().build().unwrap();
        let error = Snapshots::open("file:///nowhere/at/all/tables/", &runtime).unwrap_err();
        let text = Error::from_datafusion(error).user_text();
        assert!(text.contains("durable = 'off'"), "{text}");
    }
}
