//! A place in the text of a statement, and how it is shown to a person.

use datafusion::common::Span;
use serde::{Deserialize, Serialize};

/// Most characters of a line that are shown around the wrong place.
const SHOWN_WIDTH: usize = 100;

/// A place in a text; both numbers count characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl Position {
    /// Takes the start of a span of DataFusion, unless it is empty.
    pub(super) fn from_span(span: &Span) -> Option<Self> {
        let (line, column) = (
            usize::try_from(span.start.line).ok()?,
            usize::try_from(span.start.column).ok()?,
        );
        (line > 0 && column > 0).then_some(Self { line, column })
    }

    /// Reads ` at Line: 1, Column: 15` at the end of a text and gives the text before it.
    pub(super) fn split_from(text: &str) -> (&str, Option<Self>) {
        let read = || {
            let (before, place) = text.rsplit_once(" at Line: ")?;
            let (line, column) = place.split_once(", Column: ")?;
            let column: String = column.chars().take_while(char::is_ascii_digit).collect();
            Some((
                before,
                Self {
                    line: line.parse().ok()?,
                    column: column.parse().ok()?,
                },
            ))
        };
        read().map_or((text, None), |(before, position)| (before, Some(position)))
    }

    /// Shows the line of `sql` with a caret under the place, or nothing if the text has no such line.
    pub(super) fn point_into(self, sql: &str) -> Option<String> {
        let line: Vec<char> = sql.lines().nth(self.line.checked_sub(1)?)?.chars().collect();
        let caret = self.column.checked_sub(1)?.min(line.len());
        let first = caret.saturating_sub(SHOWN_WIDTH / 2);
        let last = line.len().min(first + SHOWN_WIDTH);
        let shown: String = line[first..last]
            .iter()
            .map(|&c| if c == '\t' { ' ' } else { c })
            .collect();
        let label = format!("line {}: ", self.line);
        Some(format!(
            "{label}{shown}\n{:indent$}^",
            "",
            indent = label.len() + caret - first
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_read_from_the_end_of_the_parsers_text() {
        assert_eq!(
            Position::split_from("Expected: end, found: x at Line: 3, Column: 12"),
            ("Expected: end, found: x", Some(Position { line: 3, column: 12 }))
        );
        assert_eq!(Position::split_from("no place"), ("no place", None));
        assert_eq!(
            Position::split_from(" at Line: x, Column: y"),
            (" at Line: x, Column: y", None)
        );
    }

    #[test]
    fn caret_counts_characters_and_survives_places_beyond_the_text() {
        let point = |line, column, sql| Position { line, column }.point_into(sql);
        assert_eq!(point(1, 3, "äöü"), Some("line 1: äöü\n          ^".to_owned()));
        assert_eq!(point(1, 99, "ab"), Some("line 1: ab\n          ^".to_owned()));
        assert_eq!(point(5, 1, "ab"), None);
        assert_eq!(point(0, 0, "ab"), None);
    }

    #[test]
    fn long_line_is_cut_around_the_place() {
        let sql = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let shown = Position {
            line: 1,
            column: 1001,
        }
        .point_into(&sql)
        .unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0].find('X'), lines[1].find('^'));
        assert!(lines[0].len() < 120, "{shown}");
    }
}
