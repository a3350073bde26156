//! How many statements may use the cluster at once, and how many may wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millpond_engine::error::{Code, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bounded queue in front of the cluster. Metadata queries and DDL do not pass through it.
#[derive(Debug)]
pub(crate) struct Admission {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_running: usize,
    max_queued: usize,
}

impl Admission {
    pub(crate) fn new(max_running: usize, max_queued: usize) -> Self {
        let max_running = max_running.max(1);
        Self {
            running: Arc::new(Semaphore::new(max_running)),
            waiting: AtomicUsize::new(0),
            max_running,
            max_queued,
        }
    }

    /// Waits for a place; it is free again when the permit is dropped. Dropping the future gives up waiting.
    ///
    /// # Errors
    /// [`Code::ADMISSION_FULL`] at once if the queue is full.
    pub(crate) async fn admit(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _place = self.take_place()?;
        let permit = self.running.clone().acquire_owned().await;
        permit.map_err(|_| Error::bug("the admission queue is closed"))
    }

    fn take_place(&self) -> Result<Place<'_>, Error> {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= self.max_queued {
            return Err(Error::resource(
                Code::ADMISSION_FULL,
                format!(
                    "{} statements are running and {} are waiting",
                    self.max_running, self.max_queued
                ),
            )
            .with_hint("try again later, or raise admission.max_running or admission.max_queued"));
        }
        Ok(place)
    }

    /// Statements that are waiting now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A place in the queue, given back on drop.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn one_runs_one_waits_the_third_is_refused() {
        let admission = Admission::new(1, 1);
        let running = admission.admit().await.unwrap();
        let mut waiting = Box::pin(admission.admit());
        assert!((&mut waiting).now_or_never().is_none());
        let refused = admission.admit().await.unwrap_err();
        assert_eq!(refused.code, Code::ADMISSION_FULL);
        drop(running);
        drop(waiting.await.unwrap());
        assert_eq!(admission.waiting(), 0);
    }

    #[tokio::test]
    async fn giving_up_frees_the_place() {
        let admission = Admission::new(1, 1);
        let _running = admission.admit().await.unwrap();
        assert!(admission.admit().now_or_never().is_none());
        assert_eq!(admission.waiting(), 0);
    }
}
