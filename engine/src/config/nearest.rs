//! Finds a key by name, and the one that was probably meant.

use super::key::Key;
use super::keys::KEYS;
use crate::error::{Code, Error};

/// Names less alike than this are no suggestion.
const LIKENESS: f64 = 0.4;

/// Finds a key by its name.
///
/// # Errors
/// `UNKNOWN_SETTING` with the nearest name as the hint.
pub fn find_key(name: &str) -> Result<&'static Key, Error> {
    KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
        let error = Error::user(Code::UNKNOWN_SETTING, format!("no setting is named '{name}'"));
        error.with_hint(suggestion(name, KEYS.iter().map(|key| key.name)))
    })
}

/// `did you mean 'x'?`, or where to look if no name is near.
pub(super) fn suggestion<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, names) {
        Some(near) => format!("did you mean '{near}'?"),
        None => "docs/configuration.md and `millpond config show` list all settings".to_owned(),
    }
}

/// The name most like this one, or `None` if none is like it. Among several the name that ends the same wins.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |other: &str| {
        let same_end = if other.ends_with(name) { 0.3 } else { 0.0 };
        strsim::normalized_damerau_levenshtein(name, other) + same_end
    };
    names
        .map(|other| (likeness(other), other))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_keys_find_their_neighbour() {
        for (written, meant) in [
            ("executor.memorylimit", "executor.memory_limit"),
            ("flightsql.bind", "flight_sql.bind"),
            ("memory_limit", "executor.memory_limit"),
            ("admission.max_runing", "admission.max_running"),
        ] {
            let error = find_key(written).unwrap_err();
            assert_eq!(error.code, Code::UNKNOWN_SETTING);
            assert_eq!(error.hint, Some(format!("did you mean '{meant}'?")), "{written}");
        }
    }

    #[test]
    fn a_name_like_no_other_gets_the_list() {
        assert!(
            find_key("zzzzzzzzzzzzzzzz")
                .unwrap_err()
                .user_text()
                .contains("config show")
        );
    }
}
