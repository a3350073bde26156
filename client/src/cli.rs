//! The tree of commands, and where each one is done.

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::look::{self, Subject};
use crate::commands::{cancel, completion, drain, pipeline, sql, submit};
#[cfg(feature = "server")]
use crate::commands::{config, demo, executor, scheduler, state, topic, up};
use crate::datagen;
use crate::error::Error;
use crate::interrupt::Interrupts;

/// Distributed in-memory query engine: SQL on files, over a cluster or in this process.
#[derive(Debug, Parser)]
#[command(
    name = "millpond",
    version,
    about,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole cluster on this machine, in the foreground
    #[cfg(feature = "server")]
    Up(Box<up::Args>),
    /// See all of it at work: a cluster with a broker, and the four jobs on the shipped data
    #[cfg(feature = "server")]
    Demo(demo::Args),
    /// Run the scheduler of a cluster
    #[cfg(feature = "server")]
    Scheduler(Box<scheduler::Args>),
    /// Run an executor of a cluster
    #[cfg(feature = "server")]
    Executor(Box<executor::Args>),
    /// Run SQL: a shell, or statements from -c, a file or a pipe
    Sql(Box<sql::Args>),
    /// Run a file of SQL as a job, with progress and a summary
    Submit(Box<submit::Args>),
    /// Preprocessing pipelines: check, run, show and apply them
    Pipeline(Box<pipeline::Args>),
    /// Show jobs
    Jobs(look::Args),
    /// Show executors
    Executors(look::Args),
    /// Show models, or what one has learned
    Models(look::Args),
    /// Show tables that follow topics
    Streams(look::Args),
    /// Show tables and views
    Tables(look::Args),
    /// Cancel a job
    Cancel(cancel::Args),
    /// Move what an executor holds elsewhere, so that it can be stopped
    Drain(drain::Args),
    /// Send, show, make and list messages and topics of Kafka
    #[cfg(feature = "server")]
    Topic(topic::Args),
    /// Write a data set to try Millpond with
    Datagen(datagen::command::Args),
    /// Show and explain the configuration
    #[cfg(feature = "server")]
    Config(config::Args),
    /// Save the catalog into a file, or bring it back
    #[cfg(feature = "server")]
    State(state::Args),
    /// Print the script that completes this command line in a shell
    Completion(completion::Args),
}

/// Does what the command line asks for.
///
/// # Errors
/// What ends the command early.
pub async fn run(cli: Cli, interrupts: Interrupts) -> Result<(), Error> {
    match cli.command {
        #[cfg(feature = "server")]
        Command::Up(args) => Box::pin(up::run(*args, interrupts)).await,
        #[cfg(feature = "server")]
        Command::Demo(args) => Box::pin(demo::run(args, interrupts)).await,
        #[cfg(feature = "server")]
        Command::Scheduler(args) => Box::pin(scheduler::run(*args, interrupts)).await,
        #[cfg(feature = "server")]
        Command::Executor(args) => Box::pin(executor::run(*args, interrupts)).await,
        Command::Sql(args) => Box::pin(sql::run(*args, interrupts)).await,
        Command::Submit(args) => Box::pin(submit::run(*args, interrupts)).await,
        Command::Pipeline(args) => Box::pin(pipeline::run(*args, interrupts)).await,
        Command::Jobs(args) => Box::pin(look::run(Subject::Jobs, args, interrupts)).await,
        Command::Executors(args) => Box::pin(look::run(Subject::Executors, args, interrupts)).await,
        Command::Models(args) => Box::pin(look::run(Subject::Models, args, interrupts)).await,
        Command::Streams(args) => Box::pin(look::run(Subject::Streams, args, interrupts)).await,
        Command::Tables(args) => Box::pin(look::run(Subject::Tables, args, interrupts)).await,
        Command::Cancel(args) => Box::pin(cancel::run(args, interrupts)).await,
        Command::Drain(args) => Box::pin(drain::run(args, interrupts)).await,
        #[cfg(feature = "server")]
        Command::Topic(args) => Box::pin(topic::run(args, interrupts)).await,
        Command::Datagen(args) => generate(args, interrupts).await,
        #[cfg(feature = "server")]
        Command::Config(args) => config::run(&args),
        #[cfg(feature = "server")]
        Command::State(args) => Box::pin(state::run(args, interrupts)).await,
        Command::Completion(args) => completion::run(&args, Cli::command()),
    }
}

/// Writes a data set in threads that do not wait for anything else, unless the user interrupts.
async fn generate(args: datagen::command::Args, mut interrupts: Interrupts) -> Result<(), Error> {
    let writing = tokio::task::spawn_blocking(move || datagen::command::run(&args));
    tokio::select! {
        outcome = writing => outcome.unwrap_or_else(|error| Err(Error::Node(format!("the generator ended: {error}")))),
        () = interrupts.next() => Err(Error::Cancelled("cancelled".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_errors_have_the_exit_code_of_usage() {
        for arguments in [
            &["millpond", "sql", "--format", "xml"][..],
            &["millpond", "nope"],
            &["millpond", "submit"],
        ] {
            let error = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(
                error.exit_code(),
                i32::from(crate::exit::Exit::Usage.code()),
                "{arguments:?}"
            );
        }
    }
}
