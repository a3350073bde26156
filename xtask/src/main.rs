//! Checks and generated files that have logic of their own: `cargo xtask generate [--check]`, `cargo xtask tidy`.
//!
//! `generate` writes the documents that come from registries in the code; with `--check` it compares instead. `tidy`
//! looks at the sources and the dependency tree for what no lint sees. CI runs both.

mod duplicates;
mod generate;
mod sources;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Checks and generated files of the Millpond workspace")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Writes docs/configuration.md and docs/errors.md.
    Generate {
        /// Compares instead of writing, and fails if a file is not up to date.
        #[arg(long)]
        check: bool,
    },
    /// Checks the sources' form and that the dependency tree has one Arrow and one DataFusion.
    Tidy,
}

fn main() -> Result<()> {
    let root = workspace_root()?;
    match Arguments::parse().task {
        Task::Generate { check: false } => generate::write(&root),
        Task::Generate { check: true } => generate::check(&root),
        Task::Tidy => tidy(&root),
    }
}

fn tidy(root: &Path) -> Result<()> {
    let mut complaints = sources::complaints(root)?;
    complaints.extend(duplicates::complaints(root)?);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    anyhow::ensure!(complaints.is_empty(), "{} things are not tidy", complaints.len());
    eprintln!("tidy");
    Ok(())
}

/// The folder of the workspace, of which this crate is a direct child.
fn workspace_root() -> Result<PathBuf> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder
        .parent()
        .map(Path::to_owned)
        .context("find the workspace")
}
