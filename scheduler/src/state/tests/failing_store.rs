//! An object store whose writes of log entries fail in the ways that networks fail.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use super::super::Store;
use super::super::store::Kind;

/// What happens to one write of a log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It succeeds.
    None,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is not carried out.
    RequestLost,
    /// It is not carried out, and neither is the next read of an entry.
    Outage,
    /// It is carried out twice, as clients of object stores do when an answer is lost.
    SentTwice,
}

/// Memory behind a network that fails as told. Clones share the faults.
#[derive(Debug, Clone)]
pub(super) struct FailingStore {
    objects: Arc<InMemory>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    failing_reads: Arc<Mutex<usize>>,
}

impl FailingStore {
    /// A store that works on `objects` until faults are planned.
    pub(super) fn over(objects: Arc<InMemory>) -> Self {
        Self {
            objects,
            faults: Arc::default(),
            failing_reads: Arc::default(),
        }
    }

    /// A state store on this one.
    pub(super) fn store(&self) -> Store {
        Store::over(Arc::new(self.clone()))
    }

    /// Faults of the coming writes of log entries, in order.
    pub(super) fn plan(&self, faults: &[Fault]) {
        self.faults.lock().extend(faults);
    }

    /// True if every planned fault has happened, so that a test knows that it has tested something.
    pub(super) fn all_happened(&self) -> bool {
        self.faults.lock().is_empty() && *self.failing_reads.lock() == 0
    }

    fn next_fault(&self, path: &Path) -> Fault {
        match Kind::Log.version(path) {
            Some(_) => self.faults.lock().pop_front().unwrap_or(Fault::None),
            None => Fault::None,
        }
    }

    fn read_fails(&self, path: &Path) -> bool {
        let mut failing = self.failing_reads.lock();
        let fails = *failing > 0 && Kind::Log.version(path).is_some();
        *failing -= usize::from(fails);
        fails
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FailingStore")
    }
}

fn connection_reset() -> Error {
    Error::Generic {
        store: "FailingStore",
        source: "connection reset".into(),
    }
}

#[async_trait::async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.next_fault(path) {
            Fault::None => self.objects.put_opts(path, payload, options).await,
            Fault::AnswerLost => {
                self.objects.put_opts(path, payload, options).await?;
                Err(connection_reset())
            }
            Fault::RequestLost => Err(connection_reset()),
            Fault::Outage => {
                *self.failing_reads.lock() += 1;
                Err(connection_reset())
            }
            Fault::SentTwice => {
                self.objects
                    .put_opts(path, payload.clone(), options.clone())
                    .await?;
                self.objects.put_opts(path, payload, options).await
            }
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        match self.read_fails(path) {
            true => Err(connection_reset()),
            false => self.objects.get_opts(path, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
