//! One Arrow, one DataFusion, one object_store: types of two versions do not fit each other, and each costs minutes
//! to build.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Crates of which the tree may have one version; a name covers those that start with it and a dash.
const SINGLE: &[&str] = &["arrow", "datafusion", "parquet", "ballista", "object_store"];

/// What `cargo tree -d` says about them, one line each.
pub(crate) fn complaints(root: &Path) -> Result<Vec<String>> {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(cargo)
        .args([
            "tree",
            "--duplicates",
            "--workspace",
            "--depth",
            "0",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--locked",
        ])
        .current_dir(root)
        .output()
        .context("run cargo tree")?;
    ensure!(
        output.status.success(),
        "cargo tree failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(of_tree(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads lines such as `arrow v59.3.2 (*)`. A crate that is there twice with one version was built with two sets of
/// features for the build and the target, which is harmless.
fn of_tree(tree: &str) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            let known = versions.entry(name).or_default();
            if !known.contains(&version) {
                known.push(version);
            }
        }
    }
    versions
        .into_iter()
        .filter(|(name, versions)| versions.len() > 1 && is_single(name))
        .map(|(name, versions)| format!("{name} is in the tree more than once: {}", versions.join(", ")))
        .collect()
}

fn is_single(name: &str) -> bool {
    SINGLE.iter().any(|single| {
        name.strip_prefix(single)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_version_of_a_single_crate_is_named() {
        let tree = "arrow-array v58.0.0\narrow-array v59.1.0\n\nsyn v1.0.0\nsyn v2.0.0\narrow v59.1.0\narrow v59.1.0 (*)\n";
        assert_eq!(
            of_tree(tree),
            ["arrow-array is in the tree more than once: v58.0.0, v59.1.0"]
        );
    }

    #[test]
    fn names_that_only_begin_alike_may_repeat() {
        assert!(of_tree("arrowhead v1.0.0\narrowhead v2.0.0\n").is_empty());
    }
}
