//! `millpond completion`: the script that lets a shell complete the command line.

use std::io::Write;

use clap::{Args as ClapArgs, Command};
use clap_complete::Shell;

use crate::error::Error;

/// Flags of `millpond completion`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Writes the script for a tree of commands.
///
/// # Errors
/// Standard output.
pub fn run(args: &Args, mut command: Command) -> Result<(), Error> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    std::io::stdout()
        .write_all(&script)
        .map_err(|source| Error::Output {
            target: "standard output".to_owned(),
            source,
        })
}
