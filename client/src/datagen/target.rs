//! Where generated rows go: standard output, or a file that appears when it is complete.

use std::fs::{File, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// An open target. Dropping it without [`Target::close`] leaves no file.
#[derive(Debug)]
pub(super) enum Target {
    Stdout(io::Stdout),
    /// A file in the making, beside the place where it will appear.
    Pending {
        file: NamedTempFile,
        path: PathBuf,
    },
    /// Something that exists and is no regular file: a device or a named pipe.
    Special(File),
}

impl Target {
    /// Opens standard output for no path or `-`, else a file. A file that is there already stays until the end.
    ///
    /// # Errors
    /// The folder of the file cannot be written, or the path is a folder.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Stdout(io::stdout()));
        };
        if path.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Ok(Self::Special(File::options().write(true).open(path)?));
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let file = Builder::new()
            .prefix(".millpond-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        Ok(Self::Pending {
            file,
            path: path.to_owned(),
        })
    }

    /// Whether a person looks at it.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Stdout(stdout) if stdout.is_terminal())
    }

    /// Lets the file appear under its name.
    ///
    /// # Errors
    /// The disk is full, or the file cannot be renamed.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Self::Stdout(_) | Self::Special(_) => Ok(()),
            Self::Pending { file, path } => file.persist(path).map(drop).map_err(|error| error.error),
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::Pending { file, .. } => file.write(bytes),
            Self::Special(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Pending { file, .. } => file.flush(),
            Self::Special(file) => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_appears_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        let mut target = Target::open(Some(&path)).unwrap();
        target.write_all(b"x").unwrap();
        assert!(!path.exists());
        target.close().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn abandoned_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(Target::open(Some(&folder.path().join("rows.csv"))).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            Target::open(Some(folder.path())).unwrap_err().kind(),
            io::ErrorKind::IsADirectory
        );
    }
}
