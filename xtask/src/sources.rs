//! The form of source files: each says why it exists, is short, and has a name that says what is inside.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Most lines of a file.
const LINES: usize = 800;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc"];
/// Folders that hold no sources of ours.
const OTHER_FOLDERS: &[&str] = &["target", ".git", "node_modules"];

/// What is wrong with the sources below a folder, one line each.
pub(crate) fn complaints(root: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for path in rust_files(root)? {
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path);
        complaints.extend(of_file(name, &text));
    }
    Ok(complaints)
}

fn of_file(name: &Path, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if !opens_with_explanation(text) {
        complaints.push(format!(
            "{}: does not open with //! and why it exists",
            name.display()
        ));
    }
    let lines = text.lines().count();
    if lines > LINES {
        complaints.push(format!(
            "{}: has {lines} lines, more than {LINES}",
            name.display()
        ));
    }
    if let Some(empty) = EMPTY_NAMES.iter().find(|empty| is_named(name, empty)) {
        complaints.push(format!(
            "{}: '{empty}' does not say what is inside",
            name.display()
        ));
    }
    complaints
}

/// Whether the first line that is neither blank nor an attribute of the file is a `//!` comment.
fn opens_with_explanation(text: &str) -> bool {
    let mut lines = text
        .lines()
        .map(str::trim)
        .skip_while(|line| line.is_empty() || line.starts_with("#!["));
    lines.next().is_some_and(|line| line.starts_with("//!"))
}

/// Whether a module or a folder of the path has this name.
fn is_named(path: &Path, name: &str) -> bool {
    path.with_extension("")
        .components()
        .any(|component| component.as_os_str() == OsStr::new(name))
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", folder.display()))?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() && !OTHER_FOLDERS.iter().any(|other| entry.file_name() == *other) {
                folders.push(path);
            } else if kind.is_file() && path.extension() == Some(OsStr::new("rs")) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expected: usize) {
        let complaints = of_file(Path::new(name), text);
        assert_eq!(complaints.len(), expected, "{complaints:?}");
    }

    #[test]
    fn a_file_must_say_why_it_exists() {
        check("a/src/lib.rs", "//! Why.\nfn f() {}\n", 0);
        check("a/src/lib.rs", "#![cfg(test)]\n\n//! Why.\n", 0);
        check("a/src/lib.rs", "// not a module comment\n", 1);
        check("a/src/lib.rs", "", 1);
    }

    #[test]
    fn a_file_must_be_short() {
        check("a/src/lib.rs", &"//!\n".repeat(LINES), 0);
        check("a/src/lib.rs", &"//!\n".repeat(LINES + 1), 1);
    }

    #[test]
    fn a_name_must_say_something() {
        check("a/src/utils.rs", "//!", 1);
        check("a/src/common/mod.rs", "//!", 1);
        check("a/src/commonly.rs", "//!", 0);
    }
}
