//! What a statement's text may cost before it is parsed.
//!
//! Parsing and dropping a syntax tree recurse. A flat list of a hundred thousand values is harmless, a chain of a
//! hundred thousand operators is a tree that deep and would overflow the stack of the whole process. So the text is
//! bounded in bytes and in words that make the tree deeper.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use millpond_engine::error::{Code, Error};

/// Longest text of one statement, in bytes.
pub(crate) const SQL_BYTES_MAX: usize = 1 << 20;
/// Operators and set operations in one statement.
pub(crate) const DEPTH_MAX: usize = 4_000;

/// Refuses a text that is too long or could make too deep a tree.
///
/// # Errors
/// [`Code::STATEMENT_TOO_LARGE`] or, for text that has no tokens, [`Code::SYNTAX`].
pub(crate) fn check_text(sql: &str) -> Result<(), Error> {
    if sql.len() >= SQL_BYTES_MAX {
        return Err(too_large(format!(
            "the statement has {} bytes, the limit is {SQL_BYTES_MAX}",
            sql.len()
        )));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize()
        .map_err(|error| Error::user(Code::SYNTAX, error.to_string()))?;
    let depth = tokens.iter().filter(|token| deepens(token)).count();
    if depth > DEPTH_MAX {
        return Err(too_large(format!(
            "the statement has {depth} operators, the limit is {DEPTH_MAX}"
        )));
    }
    Ok(())
}

fn too_large(message: String) -> Error {
    Error::user(Code::STATEMENT_TOO_LARGE, message)
        .with_hint("put the values into a file or table and join with it; use IN (...) for long lists")
}

fn deepens(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::JOIN
                | Keyword::LIKE
                | Keyword::IS
                | Keyword::CASE
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

    #[test]
    fn long_flat_lists_pass_and_deep_chains_do_not() {
        let list = vec!["1"; 100_000].join(",");
        assert!(check_text(&format!("SELECT 1 WHERE 1 IN ({list})")).is_ok());
        let chain = vec!["1"; 100_000].join("+");
        assert_eq!(
            check_text(&format!("SELECT {chain}")).unwrap_err().code,
            Code::STATEMENT_TOO_LARGE
        );
        let unions = vec!["SELECT 1"; 10_000].join(" UNION ALL ");
        assert_eq!(check_text(&unions).unwrap_err().code, Code::STATEMENT_TOO_LARGE);
    }

    #[test]
    fn a_megabyte_is_too_much() {
        let text = format!("SELECT '{}'", "x".repeat(SQL_BYTES_MAX));
        assert_eq!(check_text(&text).unwrap_err().code, Code::STATEMENT_TOO_LARGE);
    }
}
