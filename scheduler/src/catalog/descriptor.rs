//! The option `format.descriptor` as the name of a file: it is read once, and the catalog has what was in it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millpond_engine::error::{Code, Error};

use super::location::resolve_location;
use crate::options::LocalPaths;

/// The option.
pub(crate) const DESCRIPTOR: &str = "format.descriptor";
/// Largest file: it is in the catalog from then on.
const BYTES_MAX: u64 = 1 << 20;

/// The value that is stored for one that was written: that of a file is what is in it.
///
/// # Errors
/// A file that may not be read, is not there or is too large.
pub(crate) async fn descriptor(written: &str, allowed: &LocalPaths) -> Result<String, Error> {
    if !names_a_file(written) {
        return Ok(written.to_string());
    }
    let path = resolve_location(written, allowed)?;
    let unreadable = |error: std::io::Error| {
        Error::user(Code::FILE_UNREADABLE, format!("cannot read {path}"))
            .with_detail(error.to_string())
            .with_hint("'format.descriptor' is a file of the scheduler's machine, or its contents in base64")
    };
    let size = tokio::fs::metadata(&path).await.map_err(unreadable)?.len();
    if size > BYTES_MAX {
        return Err(Error::user(
            Code::INVALID_SETTING,
            format!("{path} has {size} bytes, and 'format.descriptor' at most {BYTES_MAX}"),
        )
        .with_hint("leave out files that the message type does not need"));
    }
    Ok(STANDARD.encode(tokio::fs::read(&path).await.map_err(unreadable)?))
}

/// A descriptor in base64 begins with a `C`.
fn names_a_file(written: &str) -> bool {
    ["/", "./", "../", "file://"]
        .iter()
        .any(|start| written.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_once_and_only_where_it_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("types.desc");
        std::fs::write(&file, b"\x0a\x03abc").unwrap();
        let allowed = LocalPaths::Roots(vec![folder.path().to_path_buf()]);
        let name = file.to_str().unwrap();
        for written in [name.to_string(), format!("file://{name}"), "CgNhYmM=".to_string()] {
            assert_eq!(descriptor(&written, &allowed).await.unwrap(), "CgNhYmM=");
        }
        let refused = descriptor("/etc/hostname", &allowed).await.unwrap_err();
        assert_eq!(refused.code, Code::PATH_REFUSED);
        let missing = descriptor(&format!("{name}.no"), &allowed).await.unwrap_err();
        assert_eq!(missing.code, Code::FILE_UNREADABLE);
        std::fs::write(&file, vec![b' '; BYTES_MAX as usize + 1]).unwrap();
        let large = descriptor(name, &allowed).await.unwrap_err();
        assert_eq!(large.code, Code::INVALID_SETTING);
    }
}
