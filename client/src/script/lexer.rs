//! Finds the end of comments, quoted texts and words, in the way the server's SQL dialect reads them.

/// What a piece of a script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Spaces, tabs, line ends.
    Space,
    /// `-- ...` or `/* ... */`, the latter may be nested.
    Comment,
    /// `;`
    End,
    /// Anything else: words, numbers, operators, quoted text.
    Text,
}

/// A piece of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    /// Bytes up to the end of the piece; at least 1 and on a character boundary.
    pub(super) length: usize,
    /// The text ended inside a quote or comment.
    pub(super) open: bool,
}

impl Piece {
    fn closed(kind: Kind, length: usize) -> Self {
        Self {
            kind,
            length,
            open: false,
        }
    }

    /// A piece that ends after `found`, or with the whole text if there is no end.
    fn up_to(kind: Kind, found: Option<usize>, text: &str) -> Self {
        Self {
            kind,
            length: found.unwrap_or(text.len()),
            open: found.is_none(),
        }
    }
}

/// Takes the first piece of a text that is not empty.
pub(super) fn first_piece(text: &str) -> Piece {
    let bytes = text.as_bytes();
    match bytes[0] {
        b';' => Piece::closed(Kind::End, 1),
        b'-' if text.starts_with("--") => {
            Piece::closed(Kind::Comment, text.find('\n').map_or(text.len(), |at| at + 1))
        }
        b'/' if text.starts_with("/*") => Piece::up_to(Kind::Comment, end_of_comment(bytes), text),
        quote @ (b'\'' | b'"' | b'`') => Piece::up_to(Kind::Text, end_of_quote(bytes, 1, quote, false), text),
        b'e' | b'E' if bytes.get(1) == Some(&b'\'') => {
            Piece::up_to(Kind::Text, end_of_quote(bytes, 2, b'\'', true), text)
        }
        b'$' => match dollar_tag(text) {
            Some(tag) => Piece::up_to(Kind::Text, end_of_dollar_quote(text, tag), text),
            None => Piece::closed(Kind::Text, 1),
        },
        _ => plain_piece(text),
    }
}

fn plain_piece(text: &str) -> Piece {
    let first = text.chars().next().unwrap_or_default();
    if first.is_whitespace() {
        Piece::closed(Kind::Space, first.len_utf8())
    } else if is_word(first) {
        // A whole word at once, so that its `E` or `$` does not start a quote: `stale'x'` or `a$b$c`.
        Piece::closed(
            Kind::Text,
            text.find(|c| !is_word(c) && c != '$').unwrap_or(text.len()),
        )
    } else {
        Piece::closed(Kind::Text, first.len_utf8())
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn end_of_comment(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match bytes.get(at..at + 2)? {
            b"/*" => (at, depth) = (at + 2, depth + 1),
            b"*/" => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Finds the end of a quoted text; a doubled quote stands for itself, and so does one after a backslash if `escapes`.
fn end_of_quote(bytes: &[u8], start: usize, quote: u8, escapes: bool) -> Option<usize> {
    let mut at = start;
    loop {
        let byte = *bytes.get(at)?;
        at += match byte {
            b'\\' if escapes => 2,
            _ if byte == quote && bytes.get(at + 1) == Some(&quote) => 2,
            _ if byte == quote => return Some(at + 1),
            _ => 1,
        };
    }
}

/// Reads `$$` or `$tag$` at the start; `$1` is a parameter and no quote.
fn dollar_tag(text: &str) -> Option<&str> {
    let name = text[1..].find(|c| !is_word(c)).map(|end| &text[1..=end])?;
    let starts_like_a_name = !name.starts_with(|c: char| c.is_ascii_digit());
    let closed = text[1 + name.len()..].starts_with('$');
    (starts_like_a_name && closed).then(|| &text[..name.len() + 2])
}

fn end_of_dollar_quote(text: &str, tag: &str) -> Option<usize> {
    text[tag.len()..].find(tag).map(|at| at + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, length: usize, kind: Kind) {
        assert_eq!(
            first_piece(text),
            Piece {
                kind,
                length,
                open: false
            },
            "{text}"
        );
    }

    #[test]
    fn quotes_and_comments_are_one_piece() {
        check("'a''b' c", 6, Kind::Text);
        check(r"E'a\'b' c", 7, Kind::Text);
        check(r"'a\' b", 4, Kind::Text);
        check("\"a;\"\"b\" c", 7, Kind::Text);
        check("`a;b` c", 5, Kind::Text);
        check("$$a;b$$ c", 7, Kind::Text);
        check("$x$a$$;b$x$ c", 11, Kind::Text);
        check("-- a;b\nc", 7, Kind::Comment);
        check("-- a", 4, Kind::Comment);
        check("/* a /* ; */ b */ c", 17, Kind::Comment);
        check("/**/;", 4, Kind::Comment);
    }

    #[test]
    fn words_and_parameters_start_no_quote() {
        check("stale'x'", 5, Kind::Text);
        check("a$b$c;", 5, Kind::Text);
        check("$1;$2", 1, Kind::Text);
        check("$a;", 1, Kind::Text);
        check("é'x'", 2, Kind::Text);
    }

    #[test]
    fn text_that_ends_inside_is_open() {
        for text in [
            "'a",
            "\"a",
            "E'a\\'",
            "/* a /* */",
            "$$a",
            "$x$ a $$",
            "E'\\",
            "/*/",
        ] {
            let piece = first_piece(text);
            assert!(piece.open && piece.length == text.len(), "{text}: {piece:?}");
        }
    }
}
