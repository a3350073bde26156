//! What a statement's text may cost before it is parsed.
//!
//! Parsing and dropping a syntax tree recurse. A flat list of a hundred thousand values is harmless, and so are ten
//! thousand columns of two operators each; a chain of a hundred thousand operators is a tree that deep and would overflow
//! the stack of the whole process. So the text is bounded in bytes, and in the operators that one expression may be made of.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use millpond_engine::error::{Code, Error};

/// Longest text of one statement, in bytes.
pub(crate) const SQL_BYTES_MAX: usize = 1 << 20;
/// Longest text of a statement that is a part of another, and of one that brings a document along.
pub(crate) const LONG_SQL_BYTES_MAX: usize = 32 << 20;
/// Operators that can be inside each other, with the set operations and joins around them.
pub(crate) const DEPTH_MAX: usize = 4_000;
/// The first word of statements that bring a document along.
const IMPORT: &str = "IMPORT";

/// Refuses a text that is too long or could make too deep a tree.
///
/// # Errors
/// [`Code::STATEMENT_TOO_LARGE`] or, for text that has no tokens, [`Code::SYNTAX`].
pub(crate) fn check_text(sql: &str) -> Result<(), Error> {
    let first = sql.split_whitespace().next().unwrap_or_default();
    match first.eq_ignore_ascii_case(IMPORT) {
        true => check(sql, LONG_SQL_BYTES_MAX),
        false => check(sql, SQL_BYTES_MAX),
    }
}

/// As [`check_text`], of a text that was written here as a part of a statement.
///
/// # Errors
/// As [`check_text`].
pub(crate) fn check_part(sql: &str) -> Result<(), Error> {
    check(sql, LONG_SQL_BYTES_MAX)
}

fn check(sql: &str, bytes_max: usize) -> Result<(), Error> {
    if sql.len() >= bytes_max {
        return Err(too_large(format!(
            "the statement has {} bytes, the limit is {bytes_max}",
            sql.len()
        )));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize()
        .map_err(|error| Error::user(Code::SYNTAX, error.to_string()))?;
    let depth = depth_of(&tokens);
    if depth > DEPTH_MAX {
        return Err(too_large(format!(
            "the statement has {depth} operators inside each other, the limit is {DEPTH_MAX}"
        )));
    }
    Ok(())
}

/// What is between two brackets, or the whole.
#[derive(Debug, Default)]
struct Level {
    /// Operators of the item of a list that is being read.
    item: usize,
    /// The deepest brackets in it.
    inner: usize,
    /// The deepest item before.
    deepest: usize,
    /// What all items are inside of: set operations, joins, and queries, of which one may read from another.
    chain: usize,
    is_query: bool,
}

impl Level {
    fn end_item(&mut self) {
        self.deepest = self.deepest.max(self.item + self.inner);
        (self.item, self.inner) = (0, 0);
    }

    fn depth(mut self) -> usize {
        self.end_item();
        self.chain + self.deepest
    }

    /// Takes in what was between brackets.
    fn close(&mut self, inside: Self) {
        let is_query = inside.is_query;
        let depth = inside.depth();
        match is_query {
            true => self.chain += depth,
            false => self.inner = self.inner.max(depth),
        }
    }
}

/// The depth that the tree of a text has at most, however its operators bind. Items of a list are beside each other.
fn depth_of(tokens: &[Token]) -> usize {
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    for token in tokens {
        level.item += usize::from(deepens(token));
        level.chain += usize::from(relates(token));
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => outer.push(std::mem::take(&mut level)),
            Token::RParen | Token::RBracket | Token::RBrace => {
                // One that closes nothing ends no item either.
                if let Some(around) = outer.pop() {
                    let inside = std::mem::replace(&mut level, around);
                    level.close(inside);
                }
            }
            Token::Comma => level.end_item(),
            Token::Word(word) if word.keyword == Keyword::SELECT => level.is_query = true,
            _ => {}
        }
    }
    while let Some(around) = outer.pop() {
        let inside = std::mem::replace(&mut level, around);
        level.close(inside);
    }
    level.depth()
}

/// Operators between relations, which lists do not end.
fn relates(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    matches!(
        word.keyword,
        Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN
    )
}

fn too_large(message: String) -> Error {
    Error::user(Code::STATEMENT_TOO_LARGE, message)
        .with_hint("put the values into a file or table and join with it; use IN (...) for long lists")
}

fn deepens(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND | Keyword::OR | Keyword::NOT | Keyword::LIKE | Keyword::IS | Keyword::CASE
        ),
        Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::Mod
        | Token::Eq
        | Token::Neq
        | Token::Lt
        | Token::LtEq
        | Token::Gt
        | Token::GtEq
        | Token::StringConcat
        | Token::DoubleColon
        | Token::LBracket
        | Token::Caret
        | Token::Ampersand
        | Token::Pipe
        | Token::Arrow
        | Token::LongArrow => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(sql: &str) -> usize {
        depth_of(&Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap())
    }

    #[test]
    fn long_flat_lists_pass_and_deep_chains_do_not() {
        let list = vec!["1"; 100_000].join(",");
        assert!(check_text(&format!("SELECT 1 WHERE 1 IN ({list})")).is_ok());
        let columns = vec!["(a - 1.5) / 2.0 AS b"; 20_000].join(", ");
        assert!(check_text(&format!("SELECT {columns} FROM t")).is_ok());
        for too_deep in [
            format!("SELECT {}", vec!["1"; 100_000].join("+")),
            format!("SELECT 1) {}", vec!["1"; 100_000].join("+")),
            format!("SELECT a, {} FROM t", vec!["f(a, b)"; 5_000].join("+")),
            vec!["SELECT 1, 2"; 10_000].join(" UNION ALL "),
        ] {
            let refused = check_text(&too_deep).unwrap_err();
            assert_eq!(refused.code, Code::STATEMENT_TOO_LARGE);
        }
    }

    #[test]
    fn depth_is_that_of_the_deepest_item() {
        for (sql, expected) in [
            ("", 0),
            ("SELECT a, b FROM t", 0),
            ("SELECT a + b, c * d - e, f FROM t", 2),
            ("SELECT f(a + b, c + d + e) + g FROM t", 3),
            ("SELECT (a + (b - (c * d))) / e", 4),
            ("SELECT a[1][2], b", 2),
            ("SELECT a, b FROM t JOIN u ON a = b JOIN v ON c = d, w", 4),
            // Queries that may be inside each other.
            (
                "WITH a AS (SELECT x + 1, y), b AS (SELECT x + 2 FROM a) SELECT x + 3 FROM b",
                3,
            ),
            (
                "SELECT a FROM t WHERE b IN (SELECT c + 1 FROM u UNION SELECT 2), d",
                2,
            ),
            ("SELECT (a + b", 1),
            ("a + b) + c, d", 2),
        ] {
            assert_eq!(depth(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_megabyte_is_too_much_unless_it_is_a_document() {
        let text = format!("'{}'", "x".repeat(SQL_BYTES_MAX));
        assert_eq!(
            check_text(&format!("SELECT {text}")).unwrap_err().code,
            Code::STATEMENT_TOO_LARGE
        );
        assert!(check_text(&format!("import pipeline {text}")).is_ok());
        assert!(check_part(&format!("SELECT {text}")).is_ok());
    }
}
