//! Scripts that run on after their client has gone: `submit --detach`.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use millpond_engine::error::{Code, Error};
use std::sync::Arc;

use crate::session::Session;
use crate::statement::{Frontend, Phase, Request};

/// Starts a script and returns the name under which `system.jobs` shows its statements.
///
/// The statements run one after the other; after a failure the rest is not run.
///
/// # Errors
/// A text that cannot be cut into statements, or holds none.
pub(super) fn start(
    frontend: &Frontend,
    session: Arc<Session>,
    name: &str,
    text: &str,
) -> Result<String, Error> {
    let statements = split(text)?;
    if statements.is_empty() {
        return Err(Error::user(Code::SYNTAX, "the script holds no statement"));
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    let script = if name.is_empty() {
        format!("script-{}", &id[..8])
    } else {
        format!("{name}-{}", &id[..8])
    };
    let (frontend, label, count) = (frontend.clone(), script.clone(), statements.len());
    tokio::spawn(async move {
        for (index, sql) in statements.into_iter().enumerate() {
            let name = format!("{label} {}/{count}", index + 1);
            let request = Request {
                sql,
                name,
                detached: true,
                ..Default::default()
            };
            let ended = frontend.start(session.clone(), request).ended().await;
            if let Phase::Failed(error) = ended.phase {
                tracing::warn!(script = %label, statement = index + 1, %error, "script stopped");
                return;
            }
        }
    });
    Ok(script)
}

/// Cuts a text at its semicolons; those in strings and comments do not count.
fn split(text: &str) -> Result<Vec<String>, Error> {
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| Error::user(Code::SYNTAX, error.to_string()))?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let offset = |line: u64, column: u64| {
        let before: usize = lines
            .iter()
            .take(line.saturating_sub(1) as usize)
            .map(|line| line.len())
            .sum();
        let in_line = lines
            .get(line.saturating_sub(1) as usize)
            .copied()
            .unwrap_or_default();
        let chars = in_line.char_indices().nth(column.saturating_sub(1) as usize);
        before + chars.map_or(in_line.len(), |(at, _)| at)
    };
    let mut statements = Vec::new();
    let (mut start, mut has_words) = (0, false);
    for token in &tokens {
        match &token.token {
            Token::SemiColon => {
                let at = offset(token.span.start.line, token.span.start.column);
                if has_words {
                    statements.push(text[start..at].trim().to_string());
                }
                (start, has_words) = (at + 1, false);
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ => has_words = true,
        }
    }
    if has_words {
        statements.push(text[start..].trim().to_string());
    }
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_strings_and_comments_do_not_cut() {
        let text = "-- a; comment\nSELECT 'ä;b';\n/* ; */ SELECT \"x;y\" FROM t ; ;\n\nSELECT 3";
        let statements = split(text).unwrap();
        assert_eq!(statements.len(), 3, "{statements:?}");
        assert!(statements[0].ends_with("SELECT 'ä;b'"));
        assert!(statements[1].ends_with("FROM t"));
        assert_eq!(statements[2], "SELECT 3");
        assert!(split(" ; -- nothing\n").unwrap().is_empty());
    }
}
