//! Where results go: standard output, or a file that appears when it is complete.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use tempfile::{Builder, NamedTempFile};

use super::format::Format;
use super::rows::{self, Layout, Writer};
use crate::error::Error;

const BUFFER_BYTES: usize = 64 << 10;

/// Where results go.
#[derive(Debug)]
pub struct Sink {
    target: Target,
    /// Results written so far.
    results: usize,
}

#[derive(Debug)]
enum Target {
    Stdout,
    /// A file in the making, beside the place where it will appear.
    Pending {
        file: BufWriter<NamedTempFile>,
        path: PathBuf,
    },
    /// Something that exists and is no regular file: a device or a named pipe.
    Special {
        file: BufWriter<File>,
        path: PathBuf,
    },
}

impl Sink {
    /// Standard output.
    pub fn stdout() -> Self {
        Self {
            target: Target::Stdout,
            results: 0,
        }
    }

    /// A file. Nothing is there until [`Sink::close`]; a file that is there already stays until then.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn file(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Output {
            target: path.display().to_string(),
            source,
        };
        let is_special = path
            .metadata()
            .is_ok_and(|found| !found.is_file() && !found.is_dir());
        let target = if is_special {
            let file = File::options().write(true).open(path).map_err(failed)?;
            Target::Special {
                file: BufWriter::with_capacity(BUFFER_BYTES, file),
                path: path.to_owned(),
            }
        } else if path.is_dir() {
            return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
        } else {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            let file = Builder::new()
                .prefix(".millpond-")
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(folder)
                .map_err(failed)?;
            Target::Pending {
                file: BufWriter::with_capacity(BUFFER_BYTES, file),
                path: path.to_owned(),
            }
        };
        Ok(Self { target, results: 0 })
    }

    /// Opens the writer of the next result.
    ///
    /// # Errors
    /// [`Error::Usage`] for bytes on a terminal, or for a second result in a format whose files hold one.
    pub fn open(
        &mut self,
        format: Format,
        expanded: bool,
        schema: &SchemaRef,
    ) -> Result<Box<dyn Writer + '_>, Error> {
        if format.is_binary() && self.is_terminal() {
            return Err(Error::Usage(format!(
                "{} is not for a terminal\nhint: write it into a file with -o FILE",
                format.name()
            )));
        }
        if format.is_binary() && self.results > 0 {
            return Err(Error::Usage(format!(
                "a second result does not fit into one {} output\nhint: run one query per file",
                format.name()
            )));
        }
        self.results += 1;
        let name = self.name();
        let to_file = matches!(self.target, Target::Pending { .. });
        let layout = Layout {
            format,
            expanded,
            to_file,
        };
        let out: Box<dyn Write + Send + '_> = match &mut self.target {
            Target::Stdout => Box::new(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())),
            Target::Pending { file, .. } => Box::new(file),
            Target::Special { file, .. } => Box::new(file),
        };
        rows::open(layout, schema, out).map_err(|error| failure(name, error))
    }

    /// Writes a text as it is.
    ///
    /// # Errors
    /// The disk is full, or nobody reads standard output.
    pub fn write_text(&mut self, text: &str) -> Result<(), Error> {
        let written = match &mut self.target {
            Target::Stdout => io::stdout().write_all(text.as_bytes()),
            Target::Pending { file, .. } => file.write_all(text.as_bytes()),
            Target::Special { file, .. } => file.write_all(text.as_bytes()),
        };
        written.map_err(|source| Error::Output {
            target: self.name(),
            source,
        })
    }

    /// Turns an error of a writer of this sink into one for the user.
    pub fn failure(&self, error: rows::Error) -> Error {
        failure(self.name(), error)
    }

    /// Whether a person looks at it.
    pub fn is_terminal(&self) -> bool {
        matches!(self.target, Target::Stdout) && io::stdout().is_terminal()
    }

    /// Lets the file appear under its name.
    ///
    /// # Errors
    /// The disk is full, or the file cannot be renamed.
    pub fn close(self) -> Result<(), Error> {
        let name = self.name();
        let failed = |source| Error::Output {
            target: name.clone(),
            source,
        };
        match self.target {
            Target::Stdout => Ok(()),
            Target::Special { mut file, .. } => file.flush().map_err(failed),
            Target::Pending { file, path } => {
                let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
                file.as_file().sync_all().map_err(failed)?;
                file.persist(&path).map(drop).map_err(|error| failed(error.error))
            }
        }
    }

    fn name(&self) -> String {
        match &self.target {
            Target::Stdout => "standard output".to_owned(),
            Target::Pending { path, .. } | Target::Special { path, .. } => path.display().to_string(),
        }
    }
}

fn failure(target: String, error: rows::Error) -> Error {
    let source = match error {
        rows::Error::Io(source) => source,
        rows::Error::Format(text) => io::Error::other(text),
    };
    Error::Output { target, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::rows::tests::sample;

    fn write_sample(sink: &mut Sink, format: Format) -> Result<(), Error> {
        let batches = sample();
        let mut writer = sink.open(format, false, &batches[0].schema())?;
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
        Ok(())
    }

    #[test]
    fn file_appears_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        std::fs::write(&path, "before").unwrap();
        let mut sink = Sink::file(&path).unwrap();
        write_sample(&mut sink, Format::Csv).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        sink.close().unwrap();
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .starts_with("n,x,s\n1,1.5,")
        );
    }

    #[test]
    fn abandoned_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Sink::file(&folder.path().join("out.csv")).unwrap();
        write_sample(&mut sink, Format::Csv).unwrap();
        drop(sink);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn binary_file_holds_one_result_and_text_files_several() {
        let folder = tempfile::tempdir().unwrap();
        let mut binary = Sink::file(&folder.path().join("a.parquet")).unwrap();
        write_sample(&mut binary, Format::Parquet).unwrap();
        assert!(matches!(
            write_sample(&mut binary, Format::Parquet),
            Err(Error::Usage(_))
        ));
        let mut text = Sink::file(&folder.path().join("a.csv")).unwrap();
        write_sample(&mut text, Format::Csv).unwrap();
        write_sample(&mut text, Format::Csv).unwrap();
    }

    #[test]
    fn device_is_written_in_place() {
        let mut sink = Sink::file(Path::new("/dev/null")).unwrap();
        write_sample(&mut sink, Format::Csv).unwrap();
        sink.close().unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }

    #[test]
    fn missing_folder_is_named() {
        let error = Sink::file(Path::new("/nowhere/at/all/x.csv")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/x.csv"), "{error}");
    }
}
