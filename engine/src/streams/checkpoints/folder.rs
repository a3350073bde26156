//! The files of one topic partition: their names, and how they are read and written.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;
use millpond_proto::Message;
use millpond_proto::checkpoint::{Checkpoint, FORMAT, Fence, StoredFile};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use sha2::{Digest, Sha256};
use url::Url;

use super::Failed;
use crate::shards::{check_local, sync};

const CLAIM: &str = "claim";
const FENCE: &str = "fence";
const CHECKPOINT: &str = "checkpoint";
/// Bytes of a SHA-256.
const CHECKSUM_BYTES: usize = 32;

/// Name of a checkpoint: what owner wrote it, and its number among those of that owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) epoch: u64,
    pub(super) seq: u64,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}-{:016}", self.epoch, self.seq)
    }
}

impl Name {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.split_once('-')?;
        Some(Self {
            epoch: epoch.parse().ok()?,
            seq: seq.parse().ok()?,
        })
    }
}

/// A file of a topic partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum File {
    /// An owner is about to begin.
    Claim(u64),
    /// An owner has begun, and with what.
    Fence(u64),
    Checkpoint(Name),
    /// A part of checkpoints: who wrote it, and its name.
    Part(u64, String),
}

impl File {
    fn parse(name: &str) -> Option<Self> {
        if let Some(name) = name.strip_suffix(&format!(".{CHECKPOINT}")) {
            return Name::parse(name).map(Self::Checkpoint);
        }
        let (epoch, rest) = name.split_once('-')?;
        let epoch = epoch.parse().ok()?;
        Some(match rest {
            CLAIM => Self::Claim(epoch),
            FENCE => Self::Fence(epoch),
            _ => Self::Part(epoch, name.to_string()),
        })
    }

    fn name(&self) -> String {
        match self {
            Self::Claim(epoch) => format!("{epoch:016}-{CLAIM}"),
            Self::Fence(epoch) => format!("{epoch:016}-{FENCE}"),
            Self::Checkpoint(name) => format!("{name}.{CHECKPOINT}"),
            Self::Part(_, name) => name.clone(),
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        match self {
            Self::Claim(epoch) | Self::Fence(epoch) | Self::Part(epoch, _) => *epoch,
            Self::Checkpoint(name) => name.epoch,
        }
    }
}

/// The checkpoints of one topic partition.
#[derive(Clone)]
pub struct CheckpointFolder {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    /// The folder on a local disk, where files must be synced.
    local: Option<std::path::PathBuf>,
}

impl fmt::Debug for CheckpointFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointFolder")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl CheckpointFolder {
    /// The folder of a topic partition below `url`, which ends with a slash.
    ///
    /// # Errors
    /// A folder that is not on this machine, or a store without credentials here.
    pub fn open(url: &str, table_id: &str, partition: u32, runtime: &RuntimeEnv) -> Result<Self> {
        let wrong = |error: &dyn fmt::Display| exec_datafusion_err!("'{url}' is no folder: {error}");
        let all = Url::parse(url).map_err(|error| wrong(&error))?;
        check_local(&all)?;
        let folder = all
            .join(&format!("{table_id}/{partition}"))
            .map_err(|error| wrong(&error))?;
        Ok(Self {
            store: runtime.object_store_registry.get_store(&all)?,
            folder: Path::from_url_path(folder.path()).map_err(|error| wrong(&error))?,
            local: (folder.scheme() == "file")
                .then(|| folder.to_file_path().ok())
                .flatten(),
        })
    }

    #[cfg(test)]
    pub(super) fn of_test(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            folder: Path::from("t/0"),
            local: None,
        }
    }

    pub(super) async fn list(&self) -> Result<Vec<File>, Failed> {
        let files: Vec<_> = self.store.list(Some(&self.folder)).try_collect().await?;
        let names = files.iter().filter_map(|file| file.location.filename());
        Ok(names.filter_map(File::parse).collect())
    }

    pub(super) async fn delete(&self, file: &File) -> Result<(), Failed> {
        match self.store.delete(&self.path(file)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a part of checkpoints of an owner. When this returns, it is there and stays.
    pub(super) async fn put_part(
        &self,
        epoch: u64,
        kind: &str,
        content: Vec<u8>,
    ) -> Result<StoredFile, Failed> {
        let name = format!("{epoch:016}-{}.{kind}", uuid::Uuid::new_v4().simple());
        let sha256 = Sha256::digest(&content).to_vec();
        self.put(&File::Part(epoch, name.clone()), content, PutMode::Overwrite)
            .await?;
        Ok(StoredFile { name, sha256 })
    }

    /// Reads a part; `None` if it is missing or damaged.
    pub(super) async fn part(&self, file: &StoredFile) -> Result<Option<Bytes>, Failed> {
        let content = self.get(&File::Part(0, file.name.clone())).await?;
        Ok(content.filter(|content| Sha256::digest(content).as_slice() == file.sha256))
    }

    /// Writes a checkpoint; false if one of that name is there that is another.
    pub(super) async fn put_checkpoint(&self, name: Name, checkpoint: &Checkpoint) -> Result<bool, Failed> {
        let file = File::Checkpoint(name);
        if self.put(&file, seal(checkpoint), PutMode::Create).await? {
            return Ok(true);
        }
        // The answer to an earlier attempt may have been lost.
        let there = self.checkpoint(name).await?;
        Ok(there.is_some_and(|there| there.nonce == checkpoint.nonce))
    }

    /// Reads a checkpoint; `None` if it is missing, damaged, or of a newer version.
    pub(super) async fn checkpoint(&self, name: Name) -> Result<Option<Checkpoint>, Failed> {
        let content = self.get(&File::Checkpoint(name)).await?;
        let checkpoint: Option<Checkpoint> = content.and_then(|content| unseal(&content));
        Ok(checkpoint.filter(|checkpoint| checkpoint.format <= FORMAT))
    }

    /// Writes a claim or a fence of this process. If there is one already it is by the same process.
    ///
    /// # Errors
    /// [`Failed::Fenced`] if it is by another, and a state store that does not answer.
    pub(super) async fn put_mark(&self, file: &File, mark: &Fence) -> Result<(), Failed> {
        if self.put(file, seal(mark), PutMode::Create).await? {
            return Ok(());
        }
        let there: Option<Fence> = self.get(file).await?.and_then(|content| unseal(&content));
        match there.is_some_and(|there| there.instance == mark.instance) {
            true => Ok(()),
            false => Err(Failed::Fenced(file.epoch())),
        }
    }

    /// Reads a fence; `None` if it is missing or damaged.
    pub(super) async fn fence(&self, epoch: u64) -> Result<Option<Fence>, Failed> {
        let content = self.get(&File::Fence(epoch)).await?;
        Ok(content.and_then(|content| unseal(&content)))
    }

    async fn get(&self, file: &File) -> Result<Option<Bytes>, Failed> {
        match self.store.get(&self.path(file)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// False if it is there already and must not be.
    async fn put(&self, file: &File, content: Vec<u8>, mode: PutMode) -> Result<bool, Failed> {
        let put = self
            .store
            .put_opts(&self.path(file), content.into(), mode.into())
            .await;
        match put {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        if let Some(local) = &self.local {
            sync(local.join(file.name())).await?;
        }
        Ok(true)
    }

    fn path(&self, file: &File) -> Path {
        self.folder.clone().join(file.name())
    }
}

/// A message and the checksum of its bytes.
fn seal(message: &impl Message) -> Vec<u8> {
    let mut content = message.encode_to_vec();
    let checksum = Sha256::digest(&content);
    content.extend_from_slice(&checksum);
    content
}

fn unseal<M: Message + Default>(content: &[u8]) -> Option<M> {
    let (message, checksum) = content.split_at_checked(content.len().checked_sub(CHECKSUM_BYTES)?)?;
    (Sha256::digest(message).as_slice() == checksum)
        .then(|| M::decode(message).ok())
        .flatten()
}
