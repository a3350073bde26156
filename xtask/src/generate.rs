//! Documents that are generated from registries in the code.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// A generated file, by its path, and what makes it.
type Document = (&'static str, fn() -> String);

const DOCUMENTS: &[Document] = &[
    ("docs/configuration.md", millpond_engine::config::markdown),
    ("docs/errors.md", millpond_engine::error::markdown),
    ("docs/pipeline.schema.json", millpond_pipeline::Spec::json_schema),
];

/// Writes every document.
pub(crate) fn write(root: &Path) -> Result<()> {
    for (name, make) in DOCUMENTS {
        std::fs::write(root.join(name), make()).with_context(|| format!("write {name}"))?;
        eprintln!("wrote {name}");
    }
    Ok(())
}

/// Fails if a document is missing or differs, and names the first line that does.
pub(crate) fn check(root: &Path) -> Result<()> {
    for (name, make) in DOCUMENTS {
        let found = std::fs::read_to_string(root.join(name)).with_context(|| format!("read {name}"))?;
        if let Some(line) = first_difference(&found, &make()) {
            bail!("{name} is not up to date from line {line} on; run `cargo xtask generate`");
        }
        eprintln!("{name} is up to date");
    }
    Ok(())
}

/// The first line, from 1, in which two texts differ.
fn first_difference(found: &str, made: &str) -> Option<usize> {
    if found == made {
        return None;
    }
    let same = found
        .split('\n')
        .zip(made.split('\n'))
        .take_while(|(a, b)| a == b)
        .count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_is_found_in_the_middle_and_at_the_end() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
        assert_eq!(first_difference("a", "a\n"), Some(2));
    }
}
