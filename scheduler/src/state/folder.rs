//! A folder in the state store whose files executors write: what is there, and what may go.

use object_store::path::Path;
use url::Url;

use super::{Error, Store};

/// See the module.
pub(crate) struct StateFolder {
    /// With a slash at the end.
    url: String,
    name: &'static str,
    store: Store,
}

impl StateFolder {
    /// The folder `name` of a state store that is at `state`.
    pub(crate) fn new(state: &Url, name: &'static str, store: Store) -> Self {
        let slash = if state.path().ends_with('/') { "" } else { "/" };
        Self {
            url: format!("{state}{slash}{name}/"),
            name,
            store,
        }
    }

    /// What executors are told: a URL with a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Every file there is, by its path below the folder.
    ///
    /// # Errors
    /// A store that cannot be listed.
    pub(crate) async fn list(&self) -> Result<Vec<String>, Error> {
        let all = self.store.list_below(&Path::from(self.name)).await?;
        let below = all.iter().filter_map(|path| {
            let path = path.as_ref().strip_prefix(self.name)?;
            path.strip_prefix('/').map(str::to_string)
        });
        Ok(below.collect())
    }

    /// Deletes files, which are named as in [`StateFolder::list`].
    ///
    /// # Errors
    /// A store that refuses.
    pub(crate) async fn delete(&self, files: Vec<String>) -> Result<(), Error> {
        let paths = files
            .iter()
            .map(|file| Path::from(format!("{}/{file}", self.name)));
        self.store.delete(paths.collect()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_below_the_state() {
        for state in ["file:///var/state", "file:///var/state/"] {
            let folder = StateFolder::new(&Url::parse(state).unwrap(), "tables", Store::in_memory());
            assert_eq!(folder.url(), "file:///var/state/tables/");
        }
    }
}
