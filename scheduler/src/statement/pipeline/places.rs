//! Whether a file or a folder can be written, looked at before anything is learned for it.
//!
//! A file that is there is replaced, and folders that are not there are made, so neither is a mistake. A folder of files
//! that has some already is: the rows of two runs would be in it. What executors on other machines may write only shows
//! when they do; the file is put in its place from here, so what is looked at here has to hold too.

use std::io::ErrorKind;
use std::path::Path;

use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::object_store::{self, ObjectStoreExt};
use futures::TryStreamExt;
use millpond_engine::error::{Code, Error};

use crate::catalog::resolve_location;
use crate::options::LocalPaths;

/// Looks at the place of an output; `in_parts` if it is to be a folder of files.
///
/// # Errors
/// A place that nothing can be written to, and a folder with files in it.
pub(super) async fn check(
    name: &str,
    in_parts: bool,
    allowed: &LocalPaths,
    state: &SessionState,
) -> Result<(), Error> {
    let location = resolve_location(name, allowed)?;
    let is_folder = in_parts || location.ends_with('/');
    match location.contains("://") {
        true => check_in_store(name, &location, is_folder, state).await,
        false => check_local(name, Path::new(location.trim_end_matches('/')), is_folder).await,
    }
}

async fn check_local(name: &str, place: &Path, is_folder: bool) -> Result<(), Error> {
    match tokio::fs::metadata(place).await {
        Ok(found) if found.is_dir() && !is_folder => {
            return Err(refused(name, "it is a folder, and one file is to be written")
                .with_hint("name a file in it, or divide the rows with partition_by"));
        }
        Ok(found) if !found.is_dir() && is_folder => {
            return Err(
                refused(name, "it is a file, and a folder of files is to be written")
                    .with_hint("name a folder"),
            );
        }
        Ok(_) if is_folder => {
            let mut entries = tokio::fs::read_dir(place)
                .await
                .map_err(|error| told(name, &error))?;
            if entries
                .next_entry()
                .await
                .map_err(|error| told(name, &error))?
                .is_some()
            {
                return Err(has_files(name));
            }
        }
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
        Err(error) => return Err(told(name, &error)),
    }
    let mut around = place
        .ancestors()
        .skip(1)
        .filter(|folder| !folder.as_os_str().is_empty());
    match around.find(|folder| folder.exists()) {
        Some(folder) => try_to_write(name, folder).await,
        None => Ok(()),
    }
}

/// Makes a folder and removes it: no question about rights has all that can be in the way.
async fn try_to_write(name: &str, folder: &Path) -> Result<(), Error> {
    let refused = |error: std::io::Error| match error.kind() {
        ErrorKind::NotADirectory => refused(name, &format!("'{}' is no folder", folder.display())),
        _ => refused(
            name,
            &format!("nothing can be made in '{}': {error}", folder.display()),
        ),
    };
    let trial = folder.join(format!(".trial-{}", uuid::Uuid::new_v4().simple()));
    tokio::fs::create_dir(&trial).await.map_err(refused)?;
    tokio::fs::remove_dir(&trial).await.map_err(refused)
}

async fn check_in_store(
    name: &str,
    location: &str,
    is_folder: bool,
    state: &SessionState,
) -> Result<(), Error> {
    let url = ListingTableUrl::parse(location).map_err(Error::from_datafusion)?;
    let store = state
        .runtime_env()
        .object_store(url.object_store())
        .map_err(Error::from_datafusion)?;
    let found = match is_folder {
        true => store
            .list(Some(url.prefix()))
            .try_next()
            .await
            .map(|found| found.is_some()),
        false => match store.head(url.prefix()).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        },
    };
    match found {
        Ok(false) => Ok(()),
        Ok(true) => Err(has_files(name)),
        Err(error) => Err(Error::from_datafusion(DataFusionError::ObjectStore(Box::new(
            error,
        )))),
    }
}

fn refused(name: &str, why: &str) -> Error {
    Error::user(Code::PIPELINE, format!("'{name}' cannot be written: {why}"))
}

fn told(name: &str, error: &std::io::Error) -> Error {
    refused(name, &error.to_string())
}

fn has_files(name: &str) -> Error {
    refused(
        name,
        "the folder has files already, to which those of this run would come",
    )
    .with_hint("remove it, or name another folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(place: &Path, is_folder: bool) -> String {
        let checked = check_local("it", place, is_folder).await;
        checked.err().map_or(String::new(), |error| error.user_text())
    }

    #[tokio::test]
    async fn places_that_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        std::fs::write(&file, "a").unwrap();
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        for (place, is_folder) in [
            ("new.csv", false),
            ("a.csv", false),
            ("x/y/new.csv", false),
            ("x/y", true),
            ("empty", true),
        ] {
            assert_eq!(said(&folder.path().join(place), is_folder).await, "", "{place}");
        }
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            2,
            "nothing is left"
        );
    }

    #[tokio::test]
    async fn places_that_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        std::fs::write(&file, "a").unwrap();
        for (place, is_folder, words) in [
            (folder.path().to_owned(), false, "it is a folder"),
            (folder.path().to_owned(), true, "has files already"),
            (file.clone(), true, "it is a file"),
            (file.join("b.csv"), false, "is no folder"),
            (
                Path::new("/proc/b.csv").to_owned(),
                false,
                "nothing can be made in '/proc'",
            ),
        ] {
            let said = said(&place, is_folder).await;
            assert!(said.contains(words), "{}: {said}", place.display());
        }
    }
}
