//! `millpond drain`: takes an executor out of the cluster without losing what it holds.

use std::time::Duration;

use clap::Args as ClapArgs;

use crate::access::{Access, AccessArgs};
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::terminal::note;

/// Flags of `millpond drain`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Executor, as `millpond executors` shows it, or its name
    #[arg(value_name = "EXECUTOR")]
    executor: String,
    /// Give it work again instead
    #[arg(long)]
    undo: bool,
    /// Longest wait in seconds; the executor goes on draining after it
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    #[command(flatten)]
    access: AccessArgs,
}

/// Runs the command. It ends when the executor holds nothing any more that is needed, and can be stopped.
///
/// # Errors
/// The connection, no such executor, no other one that could take its shards, or the end of the wait.
pub async fn run(args: Args, mut interrupts: Interrupts) -> Result<(), Error> {
    let (access, _) = args.access.resolve()?;
    let action = if args.undo {
        "millpond.StopDraining"
    } else {
        "millpond.Drain"
    };
    let draining = async {
        let connection = Access::open_remote(&access).await?;
        connection.action(action, args.executor.clone()).await
    };
    let limit = tokio::time::sleep(Duration::from_secs(args.timeout));
    tokio::select! {
        outcome = Box::pin(draining) => outcome.map(drop)?,
        () = limit => {
            let waited = format!("executor {} still holds shards after {} s and goes on draining", args.executor, args.timeout);
            return Err(Error::TimedOut(waited));
        }
        () = interrupts.next() => return Err(Error::Cancelled("stopped waiting; the executor goes on draining".to_owned())),
    }
    let done = if args.undo {
        "gets work again"
    } else {
        "is drained and can be stopped"
    };
    note(&format!("{} {done}", args.executor));
    Ok(())
}
