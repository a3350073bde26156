//! What an executor does in its cluster.

use crate::error::Error;
use crate::options::setting;

const KEY: &str = "executor.roles";
const QUERY: &str = "query";
const INGEST: &str = "ingest";

/// See the module. At least one of them is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// It runs tasks of statements.
    pub query: bool,
    /// It follows topics and keeps their tables.
    pub ingest: bool,
}

impl Default for Roles {
    fn default() -> Self {
        Self {
            query: true,
            ingest: true,
        }
    }
}

impl Roles {
    /// Reads the words of `executor.roles`.
    ///
    /// # Errors
    /// [`Error::Setting`] for another word, and for none.
    pub(crate) fn read(words: &[String]) -> Result<Self, Error> {
        let has = |role: &str| words.iter().any(|word| word == role);
        let is_known = |word: &String| word == QUERY || word == INGEST;
        match words.iter().all(is_known) && !words.is_empty() {
            true => Ok(Self {
                query: has(QUERY),
                ingest: has(INGEST),
            }),
            false => Err(setting(
                KEY,
                &words.join(","),
                "write query, ingest, or both with a comma",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_roles() {
        let read = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            Roles::read(&words).map(|roles| (roles.query, roles.ingest))
        };
        assert_eq!(read(&["ingest"]).unwrap(), (false, true));
        assert_eq!(read(&["ingest", "query"]).unwrap(), (true, true));
        assert!(read(&[]).is_err());
        assert!(read(&["query", "cook"]).unwrap_err().to_string().contains("cook"));
    }
}
