//! Finds the column that a name of a JSON object means.
//!
//! Producers write the names of an object in the same order again and again. So for each place in an object the name
//! it had last time is kept with its column, and mostly one comparison is enough.

use std::collections::HashMap;

/// Places whose last name is kept.
const PLACES_MAX: usize = 1024;
/// Longest name that is kept, in bytes.
const NAME_MAX: usize = 256;

/// The names of the columns of a table.
#[derive(Debug)]
pub(super) struct Names {
    exact: HashMap<String, usize>,
    /// In small letters.
    any_case: HashMap<String, usize>,
    last: Vec<(String, Option<Found>)>,
}

/// A column that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) column: usize,
    /// True if the name is the same letter by letter.
    pub(super) exact: bool,
}

impl Names {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut exact = HashMap::new();
        let mut any_case = HashMap::new();
        for (column, name) in names.enumerate() {
            exact.entry(name.to_owned()).or_insert(column);
            any_case.entry(name.to_ascii_lowercase()).or_insert(column);
        }
        Self {
            exact,
            any_case,
            last: Vec::new(),
        }
    }

    /// The column of the name at a place in an object: the one with this very name, or else with another case.
    #[inline]
    pub(super) fn find(&mut self, place: usize, name: &str) -> Option<Found> {
        match self.last.get(place) {
            Some((last, found)) if last == name => *found,
            _ => self.search(place, name),
        }
    }

    /// The same for a name whose place says nothing.
    pub(super) fn lookup(&self, name: &str) -> Option<Found> {
        if let Some(column) = self.exact.get(name) {
            return Some(Found {
                column: *column,
                exact: true,
            });
        }
        let column = *self.any_case.get(&name.to_ascii_lowercase())?;
        Some(Found { column, exact: false })
    }

    #[cold]
    fn search(&mut self, place: usize, name: &str) -> Option<Found> {
        let found = self.lookup(name);
        if place < PLACES_MAX && name.len() <= NAME_MAX {
            if self.last.len() <= place {
                self.last.resize(place + 1, (String::new(), None));
            }
            let (last, column) = &mut self.last[place];
            last.clear();
            last.push_str(name);
            *column = found;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_very_name_comes_before_another_case() {
        let mut names = Names::new(["id", "Name", "NAME"].into_iter());
        let mut found = |place, name| names.find(place, name).map(|found| (found.column, found.exact));
        assert_eq!(found(0, "id"), Some((0, true)));
        assert_eq!(found(0, "ID"), Some((0, false)));
        assert_eq!(found(0, "id"), Some((0, true)));
        assert_eq!(found(7, "NAME"), Some((2, true)));
        assert_eq!(found(7, "name"), Some((1, false)));
        assert_eq!(found(3, ""), None);
        assert_eq!(found(3, "other"), None);
        assert_eq!(found(5000, "id"), Some((0, true)));
    }
}
