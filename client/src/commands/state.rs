//! `millpond state`: the catalog in one file, and back again.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use millpond_engine::config::keys;
use millpond_scheduler::Options;
use millpond_scheduler::state::{Existing, Store, Summary, backup, restore};

use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::node::{ConfigArgs, state_url};

/// Flags of `millpond state`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write the catalog into a new file; a scheduler may run meanwhile
    Backup {
        #[command(flatten)]
        place: Place,
    },
    /// Make the catalog of a file the one of a state store
    Restore {
        /// Replace a catalog that is there; a scheduler that runs on it stops
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, ClapArgs)]
struct Place {
    /// File of the backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The state store: a folder, or the URL of an object store [key: state.url]
    #[arg(long, value_name = "DIR|URL")]
    state: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Place {
    fn store(&self) -> Result<Store, Error> {
        let state = self.state.as_deref().map(state_url).transpose()?;
        let settings = state.map(|url| (keys::STATE_URL.key.name, url.to_string()));
        let config = self.config.load(settings.into_iter().collect())?;
        let options = Options::from_config(&config).map_err(|error| Error::Usage(error.user_text()))?;
        let url = options
            .state_url
            .ok_or_else(|| Error::Usage("there is no state store".to_owned()))?;
        Store::open(&url, config.buckets()).map_err(failed)
    }
}

/// Runs the command.
///
/// # Errors
/// The file or the store; what is there and was not to be replaced.
pub async fn run(args: Args, mut interrupts: Interrupts) -> Result<(), Error> {
    let work = async {
        match &args.action {
            Action::Backup { place } => backup(&place.store()?, &place.file).await.map_err(failed),
            Action::Restore { place, replace } => {
                let existing = if *replace {
                    Existing::Replace
                } else {
                    Existing::Keep
                };
                restore(&place.file, &place.store()?, existing)
                    .await
                    .map_err(failed)
            }
        }
    };
    let summary = tokio::select! {
        outcome = Box::pin(work) => outcome?,
        () = interrupts.next() => return Err(Error::Cancelled("cancelled".to_owned())),
    };
    std::io::stdout()
        .write_all(text_of(&summary).as_bytes())
        .map_err(|source| Error::Output {
            target: "standard output".to_owned(),
            source,
        })
}

fn text_of(summary: &Summary) -> String {
    let Summary {
        version,
        schemas,
        relations,
        bytes,
        ..
    } = summary;
    format!("version    {version}\nschemas    {schemas}\nrelations  {relations}\nbytes      {bytes}\n")
}

fn failed(error: millpond_scheduler::state::Error) -> Error {
    Error::Node(millpond_engine::error::Error::from(error).user_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_told_line_by_line() {
        let summary = Summary {
            version: 7,
            schemas: 1,
            relations: 2,
            objects: 3,
            bytes: 400,
        };
        assert_eq!(
            text_of(&summary),
            "version    7\nschemas    1\nrelations  2\nbytes      400\n"
        );
    }
}
