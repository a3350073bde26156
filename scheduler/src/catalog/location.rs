//! Where a statement may read and write: the rules for paths in `LOCATION` and `COPY ... TO`.
//!
//! A URL with a scheme is left to the object stores. A path is made absolute or refused, according to
//! [`LocalPaths`]; `..` and links cannot leave the allowed folders.

use std::path::{Component, Path, PathBuf};

use millpond_engine::error::{Code, Error};

use crate::options::LocalPaths;

/// Turns the location of a statement into an absolute path or a URL.
///
/// A slash at the end is kept, for it tells a folder from a file.
///
/// # Errors
/// [`Code::PATH_REFUSED`] for a relative path on a server, and for a path outside the allowed folders.
pub(crate) fn resolve_location(location: &str, allowed: &LocalPaths) -> Result<String, Error> {
    let path = match location.split_once("://") {
        Some(("file", path)) => path,
        Some(_) => return Ok(location.to_string()),
        None => location,
    };
    if path.is_empty() {
        return Err(Error::user(Code::PATH_REFUSED, "the location is empty"));
    }
    let resolved = match allowed {
        LocalPaths::Any { base } => normalise(&base.join(path)),
        LocalPaths::Roots(roots) => below_a_root(Path::new(path), roots)?,
    };
    let mut text = resolved.to_string_lossy().into_owned();
    if path.ends_with('/') && !text.ends_with('/') {
        text.push('/');
    }
    Ok(text)
}

fn below_a_root(path: &Path, roots: &[PathBuf]) -> Result<PathBuf, Error> {
    let refused = |reason: &str| {
        Error::user(Code::PATH_REFUSED, format!("path '{}' {reason}", path.display())).with_hint(
            "name an absolute path below one of the folders in storage.local_roots, or an object store URL",
        )
    };
    if !path.is_absolute() {
        return Err(refused(
            "is relative; the server has no folder that it could start from",
        ));
    }
    if roots.is_empty() {
        return Err(refused("is local, and this server allows no local files"));
    }
    let normal = normalise(path);
    let real = with_links_resolved(&normal);
    let inside = roots.iter().any(|root| {
        let root = normalise(root);
        normal.starts_with(&root) && real.starts_with(with_links_resolved(&root))
    });
    if inside {
        Ok(normal)
    } else {
        Err(refused("is outside the folders that this server allows"))
    }
}

/// Removes `.` and `..` without looking at the disk.
fn normalise(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Follows links in the part of the path that exists.
fn with_links_resolved(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            return real.join(rest);
        }
    }
    path.to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> LocalPaths {
        LocalPaths::Any {
            base: "/home/me".into(),
        }
    }

    #[test]
    fn relative_paths_start_from_the_base() {
        assert_eq!(
            resolve_location("data/x.csv", &any()).unwrap(),
            "/home/me/data/x.csv"
        );
        assert_eq!(resolve_location("../out/", &any()).unwrap(), "/home/out/");
        assert_eq!(resolve_location("s3://b/x", &any()).unwrap(), "s3://b/x");
    }

    #[test]
    fn a_server_refuses_what_is_not_below_its_roots() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        let roots = LocalPaths::Roots(vec![dir.path().to_path_buf()]);
        let inside = dir.path().join("a/b.csv");
        assert!(resolve_location(inside.to_str().unwrap(), &roots).is_ok());
        for bad in ["data.csv", "/etc/passwd"] {
            assert!(resolve_location(bad, &roots).is_err(), "{bad}");
        }
        for bad in ["../x.csv", "link/x.csv"] {
            let path = dir.path().join(bad);
            assert!(resolve_location(path.to_str().unwrap(), &roots).is_err(), "{bad}");
        }
        assert!(resolve_location("/tmp/x", &LocalPaths::Roots(vec![])).is_err());
    }
}
