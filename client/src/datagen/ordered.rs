//! Work done by several threads and handed over in order.
//!
//! Thread `t` of `n` makes items `t`, `t + n`, `t + 2n`, ... into a short queue of its own; the caller takes from the queues
//! in turn. A slow caller fills the queues and so stops the threads: memory stays bounded.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Items that may wait per thread.
const QUEUE_ITEMS: usize = 4;

/// Makes items `0..count` on `jobs` threads and hands them to `take` in the order of their numbers.
///
/// # Errors
/// The first error of `take`; the threads then stop.
pub(super) fn for_each_in_order<T: Send, E>(
    count: u64,
    jobs: NonZeroUsize,
    make: impl Fn(u64) -> T + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let jobs = jobs.get();
    thread::scope(|scope| {
        let queues: Vec<Receiver<T>> = (0..jobs)
            .map(|job| {
                let (sender, queue) = sync_channel(QUEUE_ITEMS);
                let make = &make;
                scope.spawn(move || {
                    // Sending fails when the caller has returned: then nobody wants the rest.
                    (job as u64..count)
                        .step_by(jobs)
                        .try_for_each(|index| sender.send(make(index)))
                });
                queue
            })
            .collect();
        for queue in queues.iter().cycle().take(count as usize) {
            // A queue ends early only when its thread panicked, which the scope passes on.
            let Ok(item) = queue.recv() else { break };
            take(item)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(count: u64, jobs: usize) -> Vec<u64> {
        let mut taken = Vec::new();
        let jobs = NonZeroUsize::new(jobs).unwrap();
        let outcome: Result<(), ()> = for_each_in_order(
            count,
            jobs,
            |n| n * n,
            |n| {
                taken.push(n);
                Ok(())
            },
        );
        outcome.unwrap();
        taken
    }

    #[test]
    fn order_does_not_depend_on_threads() {
        let expected: Vec<u64> = (0..1000).map(|n| n * n).collect();
        for jobs in [1, 2, 3, 7] {
            assert_eq!(squares(1000, jobs), expected);
        }
        assert_eq!(squares(0, 3), Vec::<u64>::new());
        assert_eq!(squares(2, 5), vec![0, 1]);
    }

    #[test]
    fn error_stops_the_threads() {
        let jobs = NonZeroUsize::new(2).unwrap();
        let outcome = for_each_in_order(u64::MAX, jobs, |n| n, |n| if n == 10 { Err(n) } else { Ok(()) });
        assert_eq!(outcome, Err(10));
    }
}
