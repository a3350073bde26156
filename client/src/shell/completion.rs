//! Completes the word before the cursor.

use std::time::{Duration, Instant};

use reedline::{Completer, CompletionResult, Span, Suggestion};
use tokio::runtime::Handle;

use super::command;
use super::vocabulary::Vocabulary;
use crate::connection::Connection;

/// Names younger than this are not read again.
const FRESH: Duration = Duration::from_secs(1);
/// Longest time that a key press waits for names.
const PATIENCE: Duration = Duration::from_millis(500);

const KEYWORDS: [&str; 68] = [
    "ALL",
    "ALTER",
    "ANALYZE",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CROSS",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTERNAL",
    "FALSE",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IF",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "RIGHT",
    "SCHEMA",
    "SELECT",
    "SET",
    "SHOW",
    "STORED",
    "TABLE",
    "THEN",
    "TO",
    "TRUE",
    "UNION",
    "USING",
    "VALUES",
    "VIEW",
    "WHERE",
    "WITH",
];

/// Words after which a table is meant.
const BEFORE_TABLES: [&str; 8] = [
    "FROM", "JOIN", "INTO", "TABLE", "VIEW", "DESCRIBE", "\\D", ".SCHEMA",
];

/// Completes from the live catalog. Lives in the thread that reads keys.
pub(super) struct CatalogCompleter {
    connection: Connection,
    runtime: Handle,
    vocabulary: Vocabulary,
    loaded_at: Instant,
}

impl CatalogCompleter {
    pub(super) fn new(connection: Connection, runtime: Handle, vocabulary: Vocabulary) -> Self {
        Self {
            connection,
            runtime,
            vocabulary,
            loaded_at: Instant::now(),
        }
    }

    /// Reads the tables again if they are old. If the cluster is slow or gone the old names must do.
    fn refresh(&mut self) {
        if self.loaded_at.elapsed() < FRESH {
            return;
        }
        let mut fresh = self.vocabulary.clone();
        // The timer of the timeout belongs to the runtime, which must be entered before it is made.
        let _entered = self.runtime.enter();
        let loading = tokio::time::timeout(PATIENCE, fresh.refresh(&self.connection));
        if let Ok(Ok(())) = self.runtime.block_on(loading) {
            self.vocabulary = fresh;
        }
        self.loaded_at = Instant::now();
    }
}

impl Completer for CatalogCompleter {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        self.refresh();
        let before = line.get(..position).unwrap_or(line);
        let word = word_before(before);
        let span = Span::new(position - word.len(), position);
        let suggestions: Vec<Suggestion> = suggestions(&self.vocabulary, before, word)
            .into_iter()
            .map(|value| {
                let append_whitespace = !value.ends_with('(');
                Suggestion {
                    value,
                    span,
                    append_whitespace,
                    ..Default::default()
                }
            })
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

/// The word that ends at the cursor; dots belong to it, and quotes and a command's backslash.
fn word_before(before: &str) -> &str {
    let start = before.rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '\\' | '?')));
    match start {
        Some(at) => &before[at + before[at..].chars().next().map_or(0, char::len_utf8)..],
        None => before,
    }
}

/// What can stand for the word, best first.
fn suggestions(vocabulary: &Vocabulary, before: &str, word: &str) -> Vec<String> {
    let earlier = &before[..before.len() - word.len()];
    if earlier.trim().is_empty() && word.starts_with(['\\', '.']) {
        return matching(word, command::NAMES.iter().map(|name| (*name).to_owned()));
    }
    let previous = earlier
        .split_whitespace()
        .next_back()
        .unwrap_or_default()
        .to_uppercase();
    if previous == "SET" {
        return matching(word, vocabulary.settings());
    }
    let means_table = BEFORE_TABLES.contains(&previous.as_str());
    let mut found = if means_table {
        matching(word, vocabulary.tables())
    } else {
        Vec::new()
    };
    if let Some((qualifier, _)) = word.rsplit_once('.') {
        let name = qualifier
            .rsplit('.')
            .next()
            .unwrap_or(qualifier)
            .trim_matches('"');
        let members = vocabulary
            .members(name)
            .into_iter()
            .map(|member| format!("{qualifier}.{member}"));
        found.extend(matching(word, members));
    } else if !means_table && !word.is_empty() {
        found.extend(matching(word, vocabulary.user_columns()));
        found.extend(matching(word, vocabulary.tables()));
        found.extend(keywords(word));
        found.extend(matching(word, vocabulary.functions()));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|name| seen.insert(name.clone()));
    found
}

/// Names that start with the word, whatever their case and quotes.
fn matching(word: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let plain = |text: &str| text.replace('"', "").to_lowercase();
    let start = plain(word);
    names.filter(|name| plain(name).starts_with(&start)).collect()
}

/// Keywords in the case that the user types.
fn keywords(word: &str) -> Vec<String> {
    let is_lower = !word.chars().any(char::is_uppercase);
    let cased = |keyword: &&str| {
        if is_lower {
            keyword.to_lowercase()
        } else {
            (*keyword).to_owned()
        }
    };
    matching(word, KEYWORDS.iter().map(cased))
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::tests::sample;
    use super::*;

    fn check(before: &str, expected: &[&str]) {
        assert_eq!(
            suggestions(&sample(), before, word_before(before)),
            expected,
            "{before}"
        );
    }

    #[test]
    fn tables_follow_from() {
        check("select * from ca", &["campaign"]);
        check("select * from l", &["lab.runs"]);
        check("select * from lab.", &["lab.runs"]);
        check("\\d cu", &["customers"]);
    }

    #[test]
    fn columns_follow_a_dot() {
        check("select campaign.i", &["campaign.income"]);
        check("select c.ye", &["c.\"Year_Birth\""]);
        check("select public.campaign.inc", &["public.campaign.income"]);
    }

    #[test]
    fn columns_keywords_and_functions_are_mixed_elsewhere() {
        check("select coun", &["count("]);
        check(
            "select i",
            &[
                "income",
                "id",
                "if",
                "in",
                "inner",
                "insert",
                "intersect",
                "into",
                "is",
            ],
        );
        check("SELECT inco", &["income"]);
        check("SEL", &["SELECT"]);
    }

    #[test]
    fn settings_follow_set_and_commands_stand_first() {
        check("set data", &["datafusion.execution.batch_size"]);
        check("\\ti", &["\\timing"]);
        check(".ta", &[".tables"]);
    }

    #[test]
    fn nothing_is_suggested_for_nothing() {
        check("", &[]);
        check("select ", &[]);
    }

    #[test]
    fn word_ends_at_the_cursor() {
        assert_eq!(word_before("select ä(b.c"), "b.c");
        assert_eq!(word_before("é"), "é");
        assert_eq!(word_before("a, "), "");
    }
}
