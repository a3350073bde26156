//! Cuts a script into statements and commands of the shell.

use super::lexer::{Kind, Piece, first_piece};

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// SQL without its semicolon, from its first word on.
    Statement {
        /// The text.
        sql: &'a str,
        /// Line of its first word, from 1.
        line: usize,
    },
    /// A command of the shell, such as `\d t` or `.tables`, without the end of its line.
    Command {
        /// The text.
        text: &'a str,
        /// Its line, from 1.
        line: usize,
    },
}

/// A script in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split<'a> {
    /// What is complete, in order.
    pub items: Vec<Item<'a>>,
    /// A last statement without a semicolon.
    pub rest: Option<Item<'a>>,
    /// The text ended inside a quote or a comment.
    pub open: bool,
}

impl<'a> Split<'a> {
    /// Everything, the last statement included whether it has a semicolon or not.
    pub fn into_items(self) -> Vec<Item<'a>> {
        self.items.into_iter().chain(self.rest).collect()
    }

    /// Whether the shell may run the text: there is something, and nothing is left open.
    pub fn is_complete(&self) -> bool {
        self.rest.is_none() && !self.open
    }
}

/// Cuts a script. Statements end with `;`; commands start where a statement could, and end with their line.
pub fn split(text: &str) -> Split<'_> {
    let mut cursor = Cursor { text, at: 0, line: 1 };
    let mut items = Vec::new();
    let mut current: Option<Start> = None;
    let mut open = false;
    while cursor.at < text.len() {
        if current.is_none() && starts_command(cursor.rest()) {
            items.push(cursor.take_command());
            continue;
        }
        let start = Start {
            at: cursor.at,
            line: cursor.line,
        };
        let piece = cursor.take();
        open = piece.open;
        match piece.kind {
            Kind::Space | Kind::Comment => {}
            Kind::Text => current = current.or(Some(start)),
            Kind::End => items.extend(current.take().map(|from| from.statement(&text[..start.at]))),
        }
    }
    let rest = current.map(|from| from.statement(text));
    Split { items, rest, open }
}

#[derive(Clone, Copy)]
struct Start {
    at: usize,
    line: usize,
}

impl Start {
    fn statement(self, up_to: &str) -> Item<'_> {
        Item::Statement {
            sql: up_to[self.at..].trim_end(),
            line: self.line,
        }
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self) -> Piece {
        let piece = first_piece(self.rest());
        self.advance(piece.length);
        piece
    }

    fn take_command(&mut self) -> Item<'a> {
        let line = self.line;
        let text = self.rest().lines().next().unwrap_or_default();
        self.advance(text.len());
        Item::Command {
            text: text.trim_end(),
            line,
        }
    }

    fn advance(&mut self, length: usize) {
        self.line += self.rest()[..length].matches('\n').count();
        self.at += length;
    }
}

fn starts_command(text: &str) -> bool {
    let mut characters = text.chars();
    match characters.next() {
        Some('\\') => true,
        Some('.') => characters.next().is_some_and(char::is_alphabetic),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(script: &str) -> Vec<&str> {
        let items = split(script).into_items();
        items
            .into_iter()
            .map(|item| match item {
                Item::Statement { sql, .. } => sql,
                Item::Command { text, .. } => text,
            })
            .collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_do_not_end_a_statement() {
        assert_eq!(texts("select ';'; select 2"), ["select ';'", "select 2"]);
        assert_eq!(
            texts("select 1 -- ; \n; select /* ; */ 2;"),
            ["select 1 -- ;", "select /* ; */ 2"]
        );
        assert_eq!(texts("select $$;$$;"), ["select $$;$$"]);
        assert_eq!(texts(r"select E'\';';select 2"), [r"select E'\';'", "select 2"]);
        assert_eq!(texts(";; ;"), Vec::<&str>::new());
        assert_eq!(texts("-- nothing"), Vec::<&str>::new());
    }

    #[test]
    fn lines_are_those_of_the_first_word() {
        let script = "-- head\n\nselect\n1;\n/* a\nb */ select 2;\nselect 3";
        let lines: Vec<usize> = split(script)
            .into_items()
            .into_iter()
            .map(|item| match item {
                Item::Statement { line, .. } | Item::Command { line, .. } => line,
            })
            .collect();
        assert_eq!(lines, [3, 6, 7]);
    }

    #[test]
    fn commands_stand_where_a_statement_could() {
        let script = "\\timing\nselect 1;\n.tables\r\nselect 2 \\ 3;\n\\q";
        assert_eq!(
            texts(script),
            ["\\timing", "select 1", ".tables", "select 2 \\ 3", "\\q"]
        );
        assert_eq!(
            split("\\d t").items,
            [Item::Command {
                text: "\\d t",
                line: 1
            }]
        );
        assert_eq!(split(".5;").items, [Item::Statement { sql: ".5", line: 1 }]);
    }

    #[test]
    fn shell_waits_for_the_semicolon_and_for_the_end_of_quotes() {
        for text in [
            "select 1",
            "select ';",
            "select 1; select",
            "/* ;",
            "select 1; /*",
        ] {
            assert!(!split(text).is_complete(), "{text}");
        }
        for text in [
            "",
            "  ",
            "select 1;",
            "select 1; -- done",
            "\\d",
            ".tables",
            "-- x",
        ] {
            assert!(split(text).is_complete(), "{text}");
        }
    }

    /// Pieces of statements that hold every kind of quote and comment, and no bare semicolon.
    fn fragment() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]{1,8}",
            "[ \n\t]{1,3}",
            "'([^']|''){0,6}'",
            "\"([^\"]|\"\"){0,6}\"",
            "E'([^'\\\\]|\\\\.){0,6}'",
            "/\\*[^*/]{0,6}\\*/",
            "/\\*[^*/]{0,3}/\\*[^*/]{0,3}\\*/[^*/]{0,3}\\*/",
            "--[^\n]{0,6}\n",
            "\\$\\$[^$]{0,6}\\$\\$",
            "\\$t\\$[^$]{0,6}\\$t\\$",
            "[0-9+(),=<>é]{1,4}",
        ]
    }

    fn statement() -> impl Strategy<Value = String> {
        prop::collection::vec(fragment(), 0..12).prop_map(|pieces| format!("select {}", pieces.join(" ")))
    }

    proptest! {
        #[test]
        fn joined_statements_are_found_again(statements in prop::collection::vec(statement(), 0..6)) {
            let script: String = statements.iter().map(|sql| format!("{sql};\n")).collect();
            let expected: Vec<&str> = statements.iter().map(|sql| sql.trim_end()).collect();
            prop_assert_eq!(texts(&script), expected);
            prop_assert!(split(&script).is_complete());
        }

        #[test]
        fn every_line_number_points_at_the_statement(statements in prop::collection::vec(statement(), 1..6)) {
            let script: String = statements.iter().map(|sql| format!("\n{sql};\n")).collect();
            for item in split(&script).items {
                if let Item::Statement { line, sql } = item {
                    let at_line = script.split('\n').skip(line - 1).collect::<Vec<_>>().join("\n");
                    prop_assert!(at_line.trim_start().starts_with(sql));
                }
            }
        }

        #[test]
        fn any_text_is_walked_to_its_end(text in ".*") {
            let found = split(&text);
            let found_bytes: usize = found.into_items().iter().map(|item| match item {
                Item::Statement { sql, .. } => sql.len(),
                Item::Command { text, .. } => text.len(),
            }).sum();
            prop_assert!(found_bytes <= text.len());
        }
    }
}
