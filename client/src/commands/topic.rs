//! `millpond topic`: a producer and a consumer for any Kafka.

use std::io::Write;

use clap::Subcommand;

use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::kafka::{consume, produce, topics};

/// Flags of `millpond topic`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Send messages: made ones, or the lines of a file
    Produce(produce::Args),
    /// Show messages, one JSON object a line
    Consume(consume::Args),
    /// Make a topic
    Create(topics::CreateArgs),
    /// Show topics with their partitions and messages
    List(topics::ListArgs),
}

/// Runs the command until it is done or interrupted.
///
/// # Errors
/// Those of the action.
pub async fn run(args: Args, mut interrupts: Interrupts) -> Result<(), Error> {
    let work = async {
        match args.action {
            Action::Produce(args) => apart(move || produce::run(&args)).await,
            Action::Consume(args) => apart(move || consume::run(&args)).await,
            Action::Create(args) => topics::create(&args).await,
            Action::List(args) => {
                for (name, partitions, messages) in apart(move || topics::list(&args)).await? {
                    show(&format!("{name}\t{partitions}\t{messages}"))?;
                }
                Ok(())
            }
        }
    };
    tokio::select! {
        outcome = work => outcome,
        () = interrupts.next() => Ok(()),
    }
}

fn show(line: &str) -> Result<(), Error> {
    writeln!(std::io::stdout(), "{line}").map_err(|source| Error::Output {
        target: "standard output".to_string(),
        source,
    })
}

/// Runs what blocks on a thread of its own.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Node(format!("the command ended: {error}"))))
}
