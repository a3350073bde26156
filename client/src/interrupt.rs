//! The user's wish to stop. Signals are caught by the binary; everybody else sees only this.

use tokio::sync::watch;

/// Receives interrupts. A clone receives the same ones.
#[derive(Debug, Clone)]
pub struct Interrupts {
    interrupts: watch::Receiver<u64>,
    terminated: watch::Receiver<bool>,
}

/// Sends interrupts.
#[derive(Debug)]
pub struct Interrupter {
    interrupts: watch::Sender<u64>,
    terminated: watch::Sender<bool>,
}

/// Makes a sender and its receiver.
pub fn interrupts() -> (Interrupter, Interrupts) {
    let (interrupts_sender, interrupts) = watch::channel(0);
    let (terminated_sender, terminated) = watch::channel(false);
    (
        Interrupter {
            interrupts: interrupts_sender,
            terminated: terminated_sender,
        },
        Interrupts {
            interrupts,
            terminated,
        },
    )
}

impl Interrupter {
    /// Ctrl-C: stop what is running, not more.
    pub fn interrupt(&self) {
        self.interrupts.send_modify(|count| *count += 1);
    }

    /// The process has to end.
    pub fn terminate(&self) {
        self.terminated.send_replace(true);
    }
}

impl Interrupts {
    /// Waits for an interrupt that was not yet seen, or for termination.
    pub async fn next(&mut self) {
        let Self {
            interrupts,
            terminated,
        } = self;
        tokio::select! {
            () = changed(interrupts) => {}
            () = set(terminated) => {}
        }
    }

    /// Waits for an interrupt that was not yet seen, whether the process has to end or not.
    pub async fn next_interrupt(&mut self) {
        changed(&mut self.interrupts).await;
    }

    /// Waits until the process has to end.
    pub async fn terminated(&mut self) {
        set(&mut self.terminated).await;
    }

    /// Whether the process has to end.
    pub fn is_terminated(&self) -> bool {
        *self.terminated.borrow()
    }

    /// Forgets interrupts that came while nothing was running.
    pub fn forget(&mut self) {
        self.interrupts.mark_unchanged();
    }
}

async fn changed(receiver: &mut watch::Receiver<u64>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn set(receiver: &mut watch::Receiver<bool>) {
    if receiver.wait_for(|set| *set).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn interrupt_is_seen_once_and_can_be_forgotten() {
        let (sender, mut receiver) = interrupts();
        assert!(receiver.next().now_or_never().is_none());
        sender.interrupt();
        assert!(receiver.next().now_or_never().is_some());
        assert!(receiver.next().now_or_never().is_none());
        sender.interrupt();
        receiver.forget();
        assert!(receiver.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn termination_stays() {
        let (sender, mut receiver) = interrupts();
        sender.terminate();
        assert!(receiver.next().now_or_never().is_some());
        assert!(receiver.next().now_or_never().is_some());
        assert!(receiver.is_terminated());
    }

    #[tokio::test]
    async fn without_a_sender_nothing_interrupts() {
        let (sender, mut receiver) = interrupts();
        drop(sender);
        assert!(receiver.next().now_or_never().is_none());
    }
}
