//! File systems that keep their files in memory.

use std::io;
use std::path::Path;

/// Whether what is written below `path` stays in memory. Only Linux tells.
#[cfg(target_os = "linux")]
pub(super) fn is_in_memory(path: &Path) -> io::Result<bool> {
    /// The kernel's number of tmpfs (`linux/magic.h`).
    const TMPFS: u64 = 0x0102_1994;
    Ok(rustix::fs::statfs(path)?.f_type as u64 == TMPFS)
}

/// Whether what is written below `path` stays in memory. Only Linux tells.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_in_memory(_: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Bytes that can still be written on the file system of `path`.
///
/// # Errors
/// There is no such path.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let filesystem = rustix::fs::statvfs(path)?;
    Ok(filesystem.f_bavail.saturating_mul(filesystem.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_no_memory_and_has_a_size() {
        let proc = Path::new("/proc");
        if proc.exists() {
            assert!(!is_in_memory(proc).unwrap());
        }
        let temporary = std::env::temp_dir();
        assert!(free_bytes(&temporary).unwrap() > 0);
        assert!(free_bytes(Path::new("/no/such/path")).is_err());
    }
}
