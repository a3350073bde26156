//! Reads the error at the bottom of a text that was written with `Debug`.
//!
//! Ballista reports a failed task as `Task failed due to runtime execution error: DataFusionError(...)`, where the
//! dots are Rust's debug form of the whole chain, such as
//! `ArrowError(CsvError("incorrect number of fields for line 3"), Some(""))`. The variant that holds the text of the
//! innermost error says what kind it is.

/// A variant with the text or the path that it holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variant {
    /// The variant's name, such as `CsvError`.
    pub(super) name: String,
    /// The first text inside it, without quotes and escapes.
    pub(super) text: String,
}

/// Every variant of a debug text that directly holds a text, from the outermost to the innermost.
///
/// `Context("reading", Plan("x"))` gives `Context` and `Plan`; `NotFound { path: "x", .. }` gives `NotFound`.
pub(super) fn variants(text: &str) -> Vec<Variant> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut before = String::new();
    while let Some(at) = rest.find('"') {
        before.push_str(&rest[..at]);
        let Some((literal, after)) = read_literal(&rest[at + 1..]) else {
            break;
        };
        if let Some(name) = name_before(&before) {
            found.push(Variant {
                name: name.to_owned(),
                text: literal,
            });
        }
        before.clear();
        rest = after;
    }
    found
}

/// Reads a literal up to its closing quote and gives it without escapes, with what follows.
fn read_literal(text: &str) -> Option<(String, &str)> {
    let mut literal = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((literal, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => literal.push('\n'),
                't' => literal.push('\t'),
                'r' => literal.push('\r'),
                'u' => literal.push(read_code_point(&mut characters)?),
                other => literal.push(other),
            },
            other => literal.push(other),
        }
    }
    None
}

/// Reads `{1f600}` after `\u`.
fn read_code_point(characters: &mut std::str::CharIndices<'_>) -> Option<char> {
    let hex: String = characters
        .map(|(_, c)| c)
        .take_while(|&c| c != '}')
        .filter(|&c| c != '{')
        .collect();
    u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32)
}

/// The name in `Name(` or `Name { field: ` at the end of a text; further fields may stand before this one.
fn name_before(text: &str) -> Option<&str> {
    let opened = match text.strip_suffix('(') {
        Some(opened) => opened,
        None => {
            let (opened, field) = text.rsplit_once(" { ")?;
            let field = field.strip_suffix(": ")?;
            (!field.contains(['{', '}', '(', ')'])).then_some(opened)?
        }
    };
    let start = opened
        .rfind(|c: char| !c.is_ascii_alphanumeric())
        .map_or(0, |at| at + 1);
    let name = &opened[start..];
    name.starts_with(|c: char| c.is_ascii_uppercase()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let found: Vec<(String, String)> = variants(text).into_iter().map(|v| (v.name, v.text)).collect();
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|&(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn nested_variants_come_from_outside_to_inside() {
        check(
            r#"failed: DataFusionError(Context("a", ArrowError(CsvError("line 3"), Some(""))))"#,
            &[("Context", "a"), ("CsvError", "line 3"), ("Some", "")],
        );
    }

    #[test]
    fn escapes_are_undone() {
        check(
            r#"Plan("say \"hi\"\n\\ \u{e4}")"#,
            &[("Plan", "say \"hi\"\n\\ ä")],
        );
    }

    #[test]
    fn struct_variants_count_by_their_first_text() {
        check(
            r#"ObjectStore(NotFound { path: "/x", source: Os { code: 2, kind: NotFound, message: "no" } })"#,
            &[("NotFound", "/x"), ("Os", "no")],
        );
    }

    #[test]
    fn cut_and_plain_texts_are_harmless() {
        check(r#"Plan("no end"#, &[]);
        check(r#"Plan("bad \u{zz"#, &[]);
        check("plain", &[]);
        check(r#"it is "quoted" text"#, &[]);
    }
}
