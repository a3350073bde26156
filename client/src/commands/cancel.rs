//! `millpond cancel`: cancels a job, whoever watches it.

use clap::Args as ClapArgs;

use crate::access::{Access, AccessArgs};
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::terminal::note;

/// Flags of `millpond cancel`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Job, as `millpond jobs` shows it
    #[arg(value_name = "JOB")]
    job: String,
    #[command(flatten)]
    access: AccessArgs,
}

/// Runs the command.
///
/// # Errors
/// The connection, or that there is no such job.
pub async fn run(args: Args, mut interrupts: Interrupts) -> Result<(), Error> {
    let (access, _) = args.access.resolve()?;
    let cancelling = async {
        let connection = Access::open_remote(&access).await?;
        connection.action("millpond.CancelJob", args.job.clone()).await
    };
    tokio::select! {
        outcome = Box::pin(cancelling) => outcome.map(drop)?,
        () = interrupts.next() => return Err(Error::Cancelled("cancelled".to_owned())),
    }
    note(&format!("cancelled {}", args.job));
    Ok(())
}
